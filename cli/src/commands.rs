//! Commands: one file for each, the same shape in all: options, `run`, and what is printed.
//!
//! In: options and a [`crate::opening::Context`]. Out: an [`crate::exit::Exit`] or a [`crate::failure::Failure`]. Never: engine logic; what a command does is done by the engine.

pub(crate) mod backup;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod diff;
pub(crate) mod domain;
pub(crate) mod entry;
pub(crate) mod find;
pub(crate) mod forget;
pub(crate) mod gc;
pub(crate) mod keys;
pub(crate) mod ls;
pub(crate) mod point;
pub(crate) mod points;
pub(crate) mod promote;
pub(crate) mod repair;
pub(crate) mod replicate;
pub(crate) mod repo;
pub(crate) mod restore;
pub(crate) mod scrub;
pub(crate) mod undelete;
