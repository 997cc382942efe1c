//! The repository on object storage: format, writer, reader, upkeep.
//!
//! In: a [`source::Source`] to back up, a [`target::Target`] to restore into, a [`store::Store`] that holds objects. Out: immutable objects as in
//! `docs/format.md`, and what was in them. Never: knows Kubernetes or gRPC, reads a clock, or deletes an object that a valid restore point needs.
//!
//! The tour, in the order in which data meets the stages:
//!
//! 1. [`codec`], [`hash`], [`compress`], [`seal`]: bytes to fields, bytes to names, bytes to sealed bytes.
//! 2. [`keys`], [`layout`], [`marks`], [`features`]: who may open what, and what it is called.
//! 3. [`pack`]: blobs in one stored object. [`tree`]: metadata rows, pure. [`table`]: rows in blobs.
//! 4. [`point`], [`session`]: a restore point, and the protocol that makes it safe.
//! 5. [`write`]: a source becomes a restore point. [`read`]: a restore point is walked, checked, and restored into a target.
//! 6. [`quarantine`]: packs that were found damaged. [`upkeep`]: what only the holder of the upkeep key does: marks and deletes.

pub mod codec;
pub mod compress;
pub mod domain;
pub mod error;
pub mod features;
pub mod generated;
pub mod hash;
pub mod keys;
pub mod layout;
pub mod marks;
pub mod pack;
mod parallel;
pub mod point;
pub mod quarantine;
pub mod read;
pub mod seal;
pub mod session;
pub mod source;
pub mod store;
pub mod table;
pub mod target;
pub mod tree;
pub mod upkeep;
pub mod write;

pub use error::Error;
