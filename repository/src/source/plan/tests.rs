//! What has to hold of the module above, one claim per test.

use proptest::prelude::*;

use super::*;

const MIB: u64 = BLOCK_BYTES as u64;

fn place(directory: u64, name: &str, block: u64) -> Place {
    Place { directory, name: name.as_bytes().to_vec(), block }
}

fn budget(from: Place, bytes: u64) -> Scrub {
    Scrub::new(ScrubPlan { from, bytes, ..ScrubPlan::default() })
}

fn file(scrub: &mut Scrub, directory: u64, name: &str, mib: u64) -> Range<u64> {
    scrub.take(directory, name.as_bytes(), (mib * MIB, mib * MIB))
}

#[test]
fn a_budget_ends_in_the_middle_of_a_large_file_and_goes_on_there() {
    let mut scrub = budget(Place::START, 5 * MIB);
    assert_eq!(file(&mut scrub, 1, "a", 2), 0..2);
    assert_eq!(file(&mut scrub, 1, "b", 10), 0..3);
    assert!(file(&mut scrub, 1, "c", 1).is_empty());
    assert_eq!((scrub.reached(), scrub.bytes), (place(1, "b", 3), 5 * MIB));
    let mut next = budget(place(1, "b", 3), 100 * MIB);
    assert!(file(&mut next, 1, "a", 2).is_empty());
    assert_eq!(file(&mut next, 1, "b", 10), 3..10);
    assert_eq!(file(&mut next, 1, "c", 1), 0..1);
    assert_eq!((next.reached(), next.bytes), (Place::END, 8 * MIB));
}

#[test]
fn without_a_budget_nothing_is_read_and_the_place_stays_before_what_was_not_read() {
    let mut scrub = budget(place(5, "m", 0), 0);
    assert!(file(&mut scrub, 4, "z", 2).is_empty());
    assert!(file(&mut scrub, 5, "n", 2).is_empty());
    assert!(file(&mut scrub, 9, "a", 2).is_empty());
    assert_eq!(scrub.reached(), place(5, "n", 0));
}

#[test]
fn what_is_due_is_read_whatever_it_costs_also_over_the_end() {
    let plan = ScrubPlan { from: place(3, "a", 0), until: Place::END, again_until: place(2, "b", 4), bytes: 0 };
    let mut scrub = Scrub::new(plan);
    assert_eq!(file(&mut scrub, 1, "x", 2), 0..2);
    assert_eq!(file(&mut scrub, 2, "b", 9), 0..4);
    assert!(file(&mut scrub, 2, "c", 9).is_empty());
    assert_eq!(file(&mut scrub, 3, "a", 7), 0..7);
    assert_eq!(scrub.reached(), Place::END);
}

#[test]
fn a_directory_that_comes_late_is_read_as_if_it_had_come_in_its_turn() {
    let mut scrub = budget(Place::START, 3 * MIB);
    assert_eq!(file(&mut scrub, 1, "a", 2), 0..2);
    assert_eq!(file(&mut scrub, 9, "a", 4), 0..1);
    assert_eq!(file(&mut scrub, 5, "moved", 2), 0..2);
    assert!(file(&mut scrub, 9, "b", 2).is_empty());
    assert_eq!(scrub.reached(), place(9, "a", 1));
}

#[test]
fn a_sparse_file_costs_what_it_holds() {
    let mut scrub = budget(Place::START, 2 * MIB);
    // An exabyte with 4 MiB in it: half of its room costs half of what it holds.
    let blocks = (1_u64 << 60) / MIB;
    assert_eq!(scrub.take(1, b"sparse", (1 << 60, 4 * MIB)), 0..blocks / 2);
    assert_eq!(scrub.bytes, 2 * MIB);
    let mut empty = budget(Place::START, 0);
    assert_eq!(empty.take(1, b"hole", (1 << 60, 0)), 0..0);
}

proptest! {
    /// Whatever the budgets: run after run, everything is read once before anything is read again.
    #[test]
    fn budgets_go_round(files in prop::collection::vec((1..4_u64, 0..6_u64), 1..12), budgets in prop::collection::vec(1..8 * MIB, 30)) {
        let mut files: Vec<(u64, String, u64)> =
            files.into_iter().enumerate().map(|(n, (directory, mib))| (directory, format!("{n:02}"), mib)).collect();
        files.sort();
        let mut from = Place::START;
        let mut read = vec![0_u64; files.len()];
        for bytes in budgets {
            let mut scrub = budget(from.clone(), bytes);
            for (at, (directory, name, mib)) in files.iter().enumerate() {
                let range = file(&mut scrub, *directory, name, *mib);
                if !range.is_empty() {
                    prop_assert_eq!(range.start, read[at]);
                    read[at] = range.end;
                }
            }
            prop_assert!(scrub.bytes <= bytes + MIB);
            from = scrub.reached();
            if from == Place::END {
                for (at, (_, _, mib)) in files.iter().enumerate() {
                    prop_assert_eq!(read[at], (*mib).max(1));
                }
                read.fill(0);
                from = Place::START;
            }
        }
    }
}
