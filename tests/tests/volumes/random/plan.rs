//! Plan: what one sequence does, from its seed alone.
//!
//! In: a seed. Out: changes and backups in their order, who writes meanwhile, and by which clock. Never: depends on what the volume says.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::changes::{Dice, LARGE_PAGES};

/// Writers that go on during backups; each has a file of its own.
const LIVE: [&str; 9] = ["pwrite", "visit", "map", "aio", "direct", "ring", "large", "slow", "slowdirect"];
/// Every stamp is older than a write can take. True only while nobody writes during a backup.
const HOUR: i64 = 3600;

/// One sequence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How much later than it does each run starts, by the clock it is given: with none every stamp is too young to be believed, with a few seconds it depends on who has
    /// the file open, with an hour all are believed.
    pub(crate) ahead_seconds: i64,
    pub(crate) live: Vec<&'static str>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Change(String),
    BackUp(Moment),
}

/// What goes on during a backup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing: writers are held, with all that they have open, mapped and not written out.
    Quiet,
    /// Live writers write to their own files.
    Live,
    /// They do, and these changes are made.
    Storm(Vec<String>),
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let mut dice = Dice(SmallRng::seed_from_u64(seed));
        let ahead_seconds = match dice.below(8) {
            0 => 0,
            1..3 => HOUR,
            _ => 3 + dice.below(8) as i64,
        };
        let is_calm = ahead_seconds == HOUR;
        let live = if is_calm { 0 } else { 1 + dice.below(3) };
        let live = (0..live).map(|_| dice.pick(&LIVE)).collect();
        let mut steps = beginning(&mut dice);
        for backup in 0..1 + dice.below(5) {
            steps.extend((0..2 + dice.below(16)).map(|_| Step::Change(dice.change())));
            let moment = match dice.below(4) {
                _ if is_calm => Moment::Quiet,
                0 if backup > 0 => Moment::Storm((0..5 + dice.below(30)).map(|_| dice.change()).collect()),
                0 | 1 => Moment::Live,
                _ => Moment::Quiet,
            };
            let was_quiet = moment == Moment::Quiet;
            steps.push(Step::BackUp(moment));
            if !was_quiet && dice.below(2) == 0 {
                steps.push(Step::BackUp(Moment::Quiet));
            }
        }
        steps.extend((0..dice.below(6)).map(|_| Step::Change(dice.change())));
        steps.push(Step::BackUp(Moment::Quiet));
        Plan { ahead_seconds, live, steps }
    }
}

/// What there is to change: some files, one with several names, some open or mapped; sometimes a large one, in large folios.
fn beginning(dice: &mut Dice) -> Vec<Step> {
    const ALWAYS: [&str; 9] = [
        "rewrite in/a 90000 1",
        "rewrite in/d/a 5000 2",
        "rewrite in/e/a 200000 3",
        "rewrite in/d/f/a 70000 4",
        "rewrite out/d/a 30 5",
        "rewrite in/g/a 300 6",
        "link in/a out/b",
        "map 0 in/a 36",
        "register 0 in/d/a",
    ];
    const SOMETIMES: [&str; 7] = [
        "map 1 in/e/a 36",
        "map 2 in/d/f/a 36",
        "hold 0 in/e/a",
        "hold 1 in/a",
        "register 1 in/a",
        "register 2 in/e/a",
        "loop 0 in/disk",
    ];
    let mut changes: Vec<String> = ALWAYS.map(str::to_owned).into();
    changes.extend(SOMETIMES.iter().filter(|_| dice.below(2) == 0).map(|change| (*change).to_owned()));
    if dice.below(4) == 0 {
        changes.push(format!("rewrite in/large {} 7", LARGE_PAGES * 4096));
        changes.push(format!("map 3 in/large {LARGE_PAGES}"));
    }
    changes.into_iter().map(Step::Change).collect()
}

#[test]
fn a_seed_always_gives_the_same_plan() {
    for seed in 0..100 {
        assert_eq!(Plan::of(seed), Plan::of(seed));
        assert_ne!(Plan::of(seed), Plan::of(seed + 1));
    }
}
