//! Volumes: what lies on real filesystems comes back as it was, and no change to it goes unseen.
//!
//! In: ext4, xfs and btrfs in loop-mounted images, and tmpfs; writers of every kind that Linux offers. Out: nothing, or what differs by the word of GNU tools.
//! Never: the machine's clock changed (the start of a run is an input), a process killed by name, or a filesystem of the machine itself written to outside of the
//! folder for temporary files.
//!
//! Only root can mount: without that, or without a tool from Debian, each test says SKIP. `HOLDFAST_RACE_SECONDS` makes the races longer; `HOLDFAST_TEST_ALL=1` adds the
//! large trees.
//!
//! Each test of a change that is hard to see also shows that it is: that sizes, stamps or names say nothing, so that a backup that compared only those would have
//! missed it.

#[path = "volumes/compare.rs"]
mod compare;
#[path = "volumes/content.rs"]
mod content;
#[path = "volumes/crash.rs"]
mod crash;
#[path = "volumes/fidelity.rs"]
mod fidelity;
#[path = "volumes/handover.rs"]
mod handover;
#[path = "volumes/large.rs"]
mod large;
#[path = "volumes/mounted.rs"]
mod mounted;
#[path = "volumes/names.rs"]
mod names;
#[path = "volumes/program.rs"]
mod program;
#[path = "volumes/protected.rs"]
mod protected;
#[path = "volumes/race.rs"]
mod race;
#[path = "volumes/random.rs"]
mod random;
#[path = "volumes/silent.rs"]
mod silent;
#[path = "volumes/stamp.rs"]
mod stamp;
#[path = "volumes/subvolumes.rs"]
mod subvolumes;
#[path = "volumes/tree.rs"]
mod tree;
#[path = "volumes/unmounted.rs"]
mod unmounted;
#[path = "volumes/writers.rs"]
mod writers;
