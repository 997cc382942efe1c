//! Plans: which runs, that it ends, and what it costs.

use super::*;

fn sizes(bytes: &[u64]) -> Vec<RunSize> {
    bytes.iter().map(|bytes| RunSize { stored_bytes: *bytes }).collect()
}

const KIB: u64 = 1024;

/// What it is, sizes newest first, dead space, and what is to be merged.
type Case = (&'static str, &'static [u64], DeadSpace, Option<Range<usize>>);

#[test]
fn the_runs_to_merge_are_those_of_the_design() {
    let none = DeadSpace::default();
    let dead = |hidden_bytes, hidden_packs, live_bytes| DeadSpace { hidden_bytes, hidden_packs, live_bytes };
    let quarter = dead(26, 1, 100);
    let cases: &[Case] = &[
        ("nothing", &[], none, None),
        ("one run", &[9], none, None),
        ("one run with dead space has nothing hidden", &[9], quarter, None),
        ("half of the lowest is not exceeded", &[50, 100], none, None),
        ("half of the lowest is exceeded", &[51, 100], none, Some(0..2)),
        ("more than a quarter of dead space", &[1, 100 * KIB], quarter, Some(0..2)),
        ("a quarter of dead space", &[1, 100 * KIB], dead(25, 1, 100), None),
        ("sixteen times the merge", &[10 * KIB, 90 * KIB], dead(1600 * KIB, 1, 90_000 * KIB), None),
        ("more than sixteen times the merge", &[10 * KIB, 90 * KIB], dead(1601 * KIB, 1, 90_000 * KIB), Some(0..2)),
        ("tiny runs cost no less than a block", &[1, 90], dead(64 * KIB, 1, 90_000 * KIB), None),
        ("64 dead packs", &[1, 100 * KIB], dead(64, 64, 90_000 * KIB), None),
        ("more than 64 dead packs", &[1, 100 * KIB], dead(65, 65, 90_000 * KIB), Some(0..2)),
        ("three alike", &[10 * KIB, 10 * KIB, 10 * KIB, 9000 * KIB], none, None),
        ("four alike", &[10 * KIB, 40 * KIB, 20 * KIB, 30 * KIB, 9000 * KIB], none, Some(0..4)),
        ("four that are not alike", &[10 * KIB, 41 * KIB, 20 * KIB, 30 * KIB, 9000 * KIB], none, None),
        ("all that are alike", &[5 * KIB, 5 * KIB, 5 * KIB, 5 * KIB, 5 * KIB, 9000 * KIB], none, Some(0..5)),
        ("below the newest", &[5 * KIB, 90 * KIB, 80 * KIB, 70 * KIB, 60 * KIB, 9000 * KIB], none, Some(1..5)),
        ("tiny ones are alike", &[1, 200, 3, 4 * KIB, 9000 * KIB], none, Some(0..4)),
    ];
    for (what, runs, dead, expected) in cases {
        assert_eq!(plan_merges(&sizes(runs), *dead), *expected, "{what}");
    }
}

/// Sizes from a generator without state of its own.
fn pseudo_random(seed: u64, count: usize) -> Vec<RunSize> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = state >> 33;
        RunSize { stored_bytes: (bits & 0xffff) << (bits >> 16 & 31).min(24) }
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Merges until nothing is planned; the merged run is as large as all it was made of, which is the most it can be.
fn merge_all(runs: &mut Vec<RunSize>) -> u64 {
    let mut written = 0;
    loop {
        let Some(range) = plan_merges(runs, DeadSpace::default()) else { return written };
        assert!(range.len() >= 2 && range.end <= runs.len());
        let before = runs.len();
        let stored_bytes = bytes(&runs[range.clone()]);
        written += stored_bytes;
        runs.splice(range, [RunSize { stored_bytes }]);
        assert!(runs.len() < before, "a merge that leaves as many runs as there were would never end");
    }
}

#[test]
fn planning_ends_and_leaves_few_runs_whatever_the_sizes() {
    for seed in 0..2_000 {
        let mut runs = pseudo_random(seed, 1 + seed as usize % 90);
        let total = bytes(&runs);
        merge_all(&mut runs);
        assert!(runs.len() <= RUNS_MAX && bytes(&runs) == total, "seed {seed}");
    }
}

#[test]
fn sizes_that_are_never_alike_do_not_pile_up() {
    let mut runs = sizes(&[1 << 40]);
    for number in 0..10_000u64 {
        runs.insert(0, RunSize { stored_bytes: if number % 2 == 0 { 100 * KIB } else { 1000 * KIB } });
        merge_all(&mut runs);
        assert!(runs.len() <= RUNS_MAX, "{} runs after {number}", runs.len());
    }
}

#[test]
fn a_thousand_equal_increments_are_written_a_few_times_each() {
    let mut runs = sizes(&[100_000 * KIB]);
    let mut written = 0;
    for _ in 0..1_000 {
        runs.insert(0, RunSize { stored_bytes: 40 * KIB });
        written += merge_all(&mut runs);
    }
    let added = 1_000 * 40 * KIB;
    let factor = written as f64 / added as f64;
    assert!(factor < 6.0, "each byte of an increment was written {factor:.1} times more");
}
