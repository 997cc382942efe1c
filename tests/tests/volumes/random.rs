//! Random: any operations in any order, live writers among them, with backups anywhere between.
//!
//! In: a seed. Out: after each backup during which nobody wrote, a restore that equals the volume; after one during which somebody did, nothing older than its beginning,
//! and by the next quiet one everything. Never: anything that would heal a missed change: no pass over everything, no scrub, no sync.
//!
//! `HOLDFAST_SEED=7 HOLDFAST_SEEDS=1` replays seed 7 alone, `HOLDFAST_SEEDS=1000` is a campaign. A seed always gives the same operations and backups ([`plan`]); when
//! threads and the kernel's own writing get their turn is not ours to say, so a failure that needs a race may need several tries. What changes the volume is a program of
//! its own (`tests/writers`), because most of it cannot be done without unsafe code; it also takes the census of what is compared.

#[path = "random/changes.rs"]
mod changes;
#[path = "random/plan.rs"]
mod plan;
#[path = "random/sequence.rs"]
mod sequence;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::mounted::{Kind, Volume, can_mount};
use plan::Plan;
use sequence::{Place, Sequence};

/// These seeds each run of the tests does per filesystem. Every operation takes effect in them.
const SEEDS: std::ops::Range<u64> = 1..61;

/// What was done, over all sequences.
#[derive(Default)]
pub(crate) struct Tally {
    /// Of each kind of operation: how many took effect, and how many could not be done where the dice put them.
    pub(crate) operations: BTreeMap<String, (u64, u64)>,
    pub(crate) quiet: u64,
    pub(crate) live: u64,
    pub(crate) storms: u64,
    /// What was said not to have been captured while somebody wrote.
    pub(crate) missed: u64,
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("HOLDFAST_SEED").unwrap_or(SEEDS.start);
    first..first + number("HOLDFAST_SEEDS").unwrap_or(SEEDS.end - SEEDS.start)
}

#[expect(clippy::disallowed_methods, reason = "how long it took is printed")]
fn comes_back(kind: Kind) {
    if !can_mount() {
        return;
    }
    let (begun, seeds, mut tally) = (Instant::now(), seeds(), Tally::default());
    let mut place = Place::new(Volume::new(kind));
    for seed in seeds.clone() {
        Sequence::begin(&mut place, &mut tally, seed).run(&Plan::of(seed));
    }
    let (sequences, seconds) = (seeds.end - seeds.start, begun.elapsed().as_secs_f64());
    let (done, not): (u64, u64) = tally.operations.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    println!(
        "{kind:?}: {sequences} sequences, {done} operations ({not} could not be done), {} quiet backups, {} with live writers, {} in storms, {} missed, {seconds:.1} s",
        tally.quiet, tally.live, tally.storms, tally.missed
    );
    println!("{:?}", tally.operations);
    for change in changes::names().filter(|change| seeds == SEEDS && kind.is_able(change)) {
        let done = tally.operations.get(change).copied().unwrap_or_default().0;
        assert!(done > 0, "{kind:?}: {change} was never done");
    }
}

impl Kind {
    /// What this filesystem, or its kernel, can do.
    fn is_able(self, change: &str) -> bool {
        match change {
            "clone" => matches!(self, Kind::Xfs | Kind::Btrfs),
            "collapse" | "insert" => matches!(self, Kind::Ext4 | Kind::Xfs),
            "zero" => self != Kind::Tmpfs,
            _ => true,
        }
    }
}

#[test]
fn an_ext4_comes_back_after_any_operations_in_any_order() {
    comes_back(Kind::Ext4);
}

#[test]
fn an_xfs_comes_back_after_any_operations_in_any_order() {
    comes_back(Kind::Xfs);
}

#[test]
fn a_btrfs_comes_back_after_any_operations_in_any_order() {
    comes_back(Kind::Btrfs);
}

/// Its stamps say nothing of mappings, so everything is read each time.
#[test]
fn a_tmpfs_comes_back_after_any_operations_in_any_order() {
    comes_back(Kind::Tmpfs);
}
