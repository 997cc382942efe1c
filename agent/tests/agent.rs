//! The agent's real processes: on a made kubelet's tree, on real mounts.
//!
//! In: nothing but a temporary folder for each test. Out: claims about exit codes, output, system calls and restore points. Never: looks into the program.
//!
//! What needs root (a mount) or strace says SKIP without it.

#[path = "agent/backup.rs"]
mod backup;
#[path = "agent/discover.rs"]
mod discover;
#[path = "agent/mounts.rs"]
mod mounts;
#[path = "agent/place.rs"]
mod place;
#[path = "agent/workers.rs"]
mod workers;
