//! The proof of the metadata tree: whatever is done to a tree of files, and whenever runs are merged, every restore point shows what the oracle has.
//!
//! In: seeds. Out: nothing, or the seed and operation of the first difference. Never: needs a file, a key or a clock.
//!
//! `HOLDFAST_TREE_OPERATIONS=1000000` runs the full campaign, `HOLDFAST_TREE_SEED=n` begins at another seed: one line replays a failure.

#[path = "tree_model/expected.rs"]
mod expected;
#[path = "tree_model/operations.rs"]
mod operations;
#[path = "tree_model/points.rs"]
mod points;
#[path = "tree_model/state.rs"]
mod state;
#[path = "tree_model/verify.rs"]
mod verify;
#[path = "tree_model/writer.rs"]
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use repository::tree::Class;
use repository::tree::rules::{Rule, Rules};

use points::{MergeHabit, Point};
use state::State;
use writer::WriterHabit;

/// Operations under one seed: long enough for runs of every age, short enough to replay.
const OPERATIONS_PER_SEED: u64 = 2_000;
/// What continuous integration runs: some seconds.
const OPERATIONS_DEFAULT: u64 = 40_000;
/// Within so many operations the model notices the loss of any rule.
const OPERATIONS_TO_NOTICE: u64 = 20_000;
/// Restore points that are read again later.
const POINTS_KEPT: usize = 6;

/// The first difference.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    what: String,
    operation: u64,
}

impl Failure {
    pub(crate) fn new(class: Class, what: String) -> Failure {
        Failure { class, what, operation: 0 }
    }
}

/// What one seed decides for all its operations.
struct Habits {
    nodes_max: usize,
    operations_per_backup: u32,
    writer: WriterHabit,
    merges: MergeHabit,
}

impl Habits {
    fn of(rng: &mut SmallRng) -> Habits {
        let mut one_of = |choices: [f64; 3]| choices.into_iter().choose(rng).unwrap_or(0.1);
        let writer = WriterHabit {
            gone: one_of([0.03, 0.2, 0.4]),
            cut: one_of([0.0, 0.2, 0.5]),
            noise: one_of([0.0, 0.1, 0.3]),
        };
        let random = one_of([0.05, 0.2, 0.35]);
        let merges = MergeHabit { planned: rng.random_bool(0.25), random, runs_max: rng.random_range(3..24) };
        Habits { nodes_max: rng.random_range(2..16), operations_per_backup: rng.random_range(1..6), writer, merges }
    }
}

/// Random operations, backups, merges and reads under one seed.
fn campaign(seed: u64, operations: u64, rules: Rules) -> Result<(), Failure> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let habits = Habits::of(&mut rng);
    let mut state = State::empty();
    let mut points = VecDeque::from([Point::nothing()]);
    for operation in 0..operations {
        let at = |failure: Failure| Failure { operation, ..failure };
        operations::random_operation(&mut state, habits.nodes_max, &mut rng);
        if rng.random_ratio(1, habits.operations_per_backup) {
            let parent = points.back().cloned().unwrap_or_else(Point::nothing);
            points.push_back(backup(parent, &state, rules, &habits, &mut rng).map_err(at)?);
        }
        if points.len() > POINTS_KEPT {
            points.remove(rng.random_range(0..POINTS_KEPT));
        }
        if rng.random_bool(0.02)
            && let Some(point) = points.iter().choose(&mut rng)
        {
            for class in Class::ALL {
                verify::verify(point, class, rules, &mut rng).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// One restore point after another: first the new rows, then merges, each list of runs read as a whole.
fn backup(parent: Point, state: &State, rules: Rules, habits: &Habits, rng: &mut SmallRng) -> Result<Point, Failure> {
    let rows = writer::rows_between(&parent.state, state, habits.writer, rng);
    let mut point = Point { state: Arc::new(state.clone()), ..parent };
    for (class, rows) in Class::ALL.into_iter().zip(rows) {
        let run = points::store(class, rows, rng)?;
        let written = run.is_some();
        point.runs[class as usize].splice(0..0, run);
        if written {
            verify::verify(&point, class, rules, rng)?;
        }
        while points::merge_some(&mut point, class, habits.merges, rules, rng)? {
            verify::verify(&point, class, rules, rng)?;
        }
    }
    Ok(point)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn every_restore_point_shows_what_the_oracle_has() {
    let operations = setting("HOLDFAST_TREE_OPERATIONS", OPERATIONS_DEFAULT);
    let first = setting("HOLDFAST_TREE_SEED", 0);
    for seed in first..first + operations.div_ceil(OPERATIONS_PER_SEED) {
        if let Err(failure) = campaign(seed, OPERATIONS_PER_SEED, Rules::default()) {
            panic!("HOLDFAST_TREE_SEED={seed} HOLDFAST_TREE_OPERATIONS=1: {failure:?}");
        }
    }
}

#[test]
fn a_campaign_is_a_function_of_its_seed() {
    let rules = Rules::without(Rule::HeadActsOnlyBelow);
    let run = || campaign(7, OPERATIONS_PER_SEED, rules).map_err(|failure| (failure.operation, failure.what));
    assert!(run().is_err() && run() == run());
}

#[test]
fn the_loss_of_any_single_rule_is_noticed() {
    for rule in Rule::ALL {
        let mut seeds = 0..OPERATIONS_TO_NOTICE / OPERATIONS_PER_SEED;
        let noticed = seeds.find_map(|seed| {
            let failure = campaign(seed, OPERATIONS_PER_SEED, Rules::without(rule)).err()?;
            Some((seed * OPERATIONS_PER_SEED + failure.operation, failure.class))
        });
        match noticed {
            Some((operations, class)) => println!("{rule:?}: noticed after {operations} operations, in {class:?}"),
            None => panic!("nothing noticed that {rule:?} does not hold"),
        }
    }
}
