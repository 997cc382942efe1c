//! Generated: trees of files that live in memory, for tests and simulations.
//!
//! In: a seed, a [`Shape`], operations and faults. Out: a [`GeneratedSource`] that behaves like a kernel's file system under a backup, a [`MemoryTarget`]
//! that enforces the contract of a restore, and [`difference`], which says whether two trees are equal. Never: reads a clock, the system's randomness or a
//! disk, so that one seed replays a failure; and never more memory than what was written: a sparse file of 1 TiB takes as much as its pages.

mod clock;
mod compare;
mod content;
mod dice;
mod grow;
mod operations;
mod source;
mod target;
mod tree;

#[cfg(test)]
mod tests;

pub use clock::LogicalClock;
pub use compare::{assert_same_tree, difference};
pub use content::{FileContent, page_bytes};
pub use dice::{Dice, SeededRandom};
pub use grow::Shape;
pub use source::{Action, GeneratedSource, Moment};
pub use target::{MemoryTarget, Written};
pub use tree::{Kind, Node, Tree, TreeError};
