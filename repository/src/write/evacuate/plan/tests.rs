//! Plans: what is emptied, in which order, and where it ends.

use super::*;
use crate::pack::PackSummary;
use model::SessionId;

const MIB: u64 = 1 << 20;

fn id(number: u32) -> PackId {
    PackId { session: SessionId([1; 16]), seq: number }
}

/// Packs by their stored MiB and of it how much is needed; content compresses 2:1.
fn space(packs: &[(u64, u64)]) -> Space {
    let mut space = Space::default();
    for (number, (stored, live)) in packs.iter().enumerate() {
        let summary = PackSummary { pack_bytes: stored * MIB, data_bytes: 2 * stored * MIB, directory_hash: [1; 32] };
        let held = PackSpace { summary, live: [0, 2 * (live * MIB) as i64], ..PackSpace::default() };
        space.packs.insert(id(number as u32), held);
    }
    space
}

fn emptied(space: &Space, new_bytes: u64, scan_bytes: u64) -> Vec<u32> {
    let packs = packs_to_empty(space, &BTreeSet::new(), new_bytes, scan_bytes);
    packs.into_iter().map(|pack| pack.seq).collect()
}

#[test]
fn nothing_is_emptied_up_to_1_7_times_what_lives_with_what_is_about_to_come() {
    let packs = [(32, 32), (32, 4), (32, 21)];
    assert_eq!(emptied(&space(&packs), 0, 0), [0u32; 0]);
    let packs = [(32, 32), (32, 4), (32, 20)];
    assert_eq!(emptied(&space(&packs), 0, 0), [1], "the emptiest is enough");
    let packs = [(32, 32), (32, 4), (32, 21)];
    assert_eq!(emptied(&space(&packs), MIB, 0), [1]);
}

#[test]
fn the_emptiest_go_first_and_as_many_as_it_takes() {
    let packs = [(32, 10), (32, 2), (32, 8), (32, 30), (32, 4)];
    // 160 for 54: to 89.1 is 70.9; 30, 28 and 24 win it.
    assert_eq!(emptied(&space(&packs), 0, 0), [1, 4, 2]);
}

#[test]
fn what_only_hidden_rows_name_is_left_to_merges() {
    let packs = [(32, 30), (32, 2), (32, 0), (32, 30)];
    // 128 for 62: without the dead one it is 96.
    assert_eq!(emptied(&space(&packs), 0, 0), [0u32; 0]);
}

#[test]
fn no_more_is_moved_than_a_third_of_what_is_new_or_64_mebibytes_or_what_looking_costs() {
    let packs: Vec<(u64, u64)> = std::iter::repeat_n((50, 20), 30).collect();
    let space = space(&packs);
    assert_eq!(emptied(&space, 0, 0).len(), 3);
    assert_eq!(emptied(&space, 3 * 90 * MIB, 0).len(), 4);
    assert_eq!(emptied(&space, 0, 100 * MIB).len(), 5);
}

#[test]
fn a_full_pack_is_never_emptied_for_its_own_sake() {
    let mut space = space(&[(32, 32), (32, 32)]);
    // A pack whose tables are not listed any more takes space that no plan can win from the others.
    for held in space.packs.values_mut() {
        held.live = [0, 64 * MIB as i64];
    }
    assert_eq!(emptied(&space, 1 << 40, 0), [0u32; 0]);
}

#[test]
fn the_oldest_256_small_packs_become_one_when_there_are_more() {
    let small = |count: usize| std::iter::repeat_n((1, 1), count).chain([(32, 32)]).collect::<Vec<_>>();
    assert_eq!(emptied(&space(&small(256)), 0, 0), [0u32; 0]);
    assert_eq!(emptied(&space(&small(257)), 0, 0), (0..256).collect::<Vec<u32>>());
    // What is damaged does not count: it is emptied anyway, and nothing of it can be read from there.
    let damaged = BTreeSet::from([id(0)]);
    assert_eq!(packs_to_empty(&space(&small(257)), &damaged, 0, 0).len(), 0);
}

#[test]
fn hints_that_cannot_be_true_do_no_harm() {
    let mut space = space(&[(32, 32), (32, 1), (32, 1)]);
    for held in space.packs.values_mut().take(2) {
        held.live = [i64::MIN, i64::MAX];
    }
    assert_eq!(emptied(&space, u64::MAX, u64::MAX), [2]);
    for held in space.packs.values_mut() {
        held.summary = PackSummary::default();
    }
    assert_eq!(emptied(&space, 0, 0), [0u32; 0], "nothing is known of them");
}
