//! What tests that cross crates share: real servers, started for one test and gone after it.
//!
//! In: binaries that the environment names (`cargo xtask test` sets it). Out: running servers. Never: uses a server that somebody else
//! started, or leaves one behind.

pub mod azure;
pub mod folder;
pub mod s3;
pub mod server;
pub mod simulation;
