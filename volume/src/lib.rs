//! One volume on this machine: walked, read and restored into, safely.
//!
//! In: a path that an operator or the controller named. Out: a [`repository::source::Source`] or a [`repository::target::Target`]. Never: knows Kubernetes,
//! a bucket or a key, follows a symbolic link inside a volume, or leaves it.
//!
//! What lives in a volume belongs to somebody else who may change it at any moment, in any way. So nothing is opened by a name that was checked before:
//! [`sys::open`] explains how it is done instead.
//!
//! 1. [`walk`]: directories are listed and entries stat'ed.
//! 2. [`track`]: what has to be read, and what may be believed.
//! 3. [`read`]: files and devices are read, with the verdict whether their stamp may be relied on.
//! 4. [`restore`]: entries are written under temporary names and renamed.
//! 5. `sys`: what the kernel offers for this, the only unsafe code; [`fanotify`] reads what it says of events, [`confine`] gives up what a process does not need.

pub mod confine;
mod error;
mod extended;
pub mod fanotify;
mod listing;
pub mod read;
pub mod restore;
mod sys;
#[cfg(test)]
mod testing;
pub mod track;
pub mod walk;

pub use error::OpenError;
pub use read::settle::WriterProbe;
pub use restore::DirectoryTarget;
pub use restore::open_target;
pub use restore::single::{BlockTarget, FileTarget};
pub use sys::heap::share_one_heap;
pub use track::plan::{Asked, Handover, Watching};
pub use walk::single::SingleSource;
pub use walk::{DirectorySource, SourceOptions, open_source};
