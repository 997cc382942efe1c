//! End to end: the real binary, real files, a repository in a folder, and what scripts rely on (docs/cli.md).
//!
//! In: nothing but a temporary folder for each test. Out: claims about exit codes, standard output and restored files. Never: looks into the program.
//!
//! What needs root (a mount, a loop device) says SKIP without it.

#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/exit_codes.rs"]
mod exit_codes;
#[path = "cli/interrupted.rs"]
mod interrupted;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/main_job.rs"]
mod main_job;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/reading.rs"]
mod reading;
#[path = "cli/replica.rs"]
mod replica;
#[path = "cli/targets.rs"]
mod targets;
#[path = "cli/tracking.rs"]
mod tracking;
#[path = "cli/tree.rs"]
mod tree;
#[path = "cli/upkeep.rs"]
mod upkeep;
