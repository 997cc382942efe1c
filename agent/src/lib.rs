//! The node side of Holdfast.
//!
//! In: the kubelet's directories on this machine. Out: what volumes there are, and how each can be reached. Never: knows the Kubernetes API, or opens a volume in
//! the supervising process.
//!
//! 1. [`discovery`]: volumes come and go. 2. [`worker`]: each that is worked on has a process of its own. [`app`] is the wiring of the program.

pub mod app;
pub mod discovery;
#[cfg(test)]
mod testing;
pub mod text;
pub mod worker;
