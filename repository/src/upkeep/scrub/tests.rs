//! Rounds of a scrub, what it finds, and what it may not conclude.

use proptest::prelude::*;

use super::*;
use crate::generated::{GeneratedSource, Shape};
use crate::read::tests::{World, overwrite};
use crate::store::{Bytes, Effect, Faults, Operation, Rule};

/// A few packs.
fn world() -> World {
    let world = World::known();
    for page in 0..5 {
        world.source.with(|tree| overwrite(tree, "large", 40 * page, 5000 + page));
        world.backup();
    }
    world
}

fn options(bytes_max: u64, cursor: Option<ScrubCursor>) -> ScrubOptions {
    ScrubOptions { bytes_max, cursor, ..ScrubOptions::default() }
}

fn all(world: &World) -> ScrubReport {
    scrub(&world.keeper(), &options(u64::MAX, None)).unwrap()
}

#[test]
fn a_round_reaches_every_pack_once_whatever_the_budget() {
    let world = world();
    let whole = all(&world);
    assert_eq!((whole.outcome, whole.packs), (CheckOutcome::Ok, whole.round.packs));
    assert!(whole.packs >= 5, "{whole:?}");
    let largest = 40_000;
    for budget in [0, 5_000, largest] {
        let (mut cursor, mut packs, mut bytes) = (None, 0, 0);
        loop {
            let report = scrub(&world.keeper(), &options(budget, cursor)).unwrap();
            assert!(report.packs == 1 || report.bytes <= budget, "{report:?}");
            assert!(report.packs >= 1);
            (packs, bytes) = (packs + report.packs, bytes + report.bytes);
            cursor = report.cursor;
            if packs >= whole.packs {
                // A run goes on with the next round as long as its budget lasts.
                assert_eq!((packs - 1) % whole.packs + 1, report.round.packs_done, "budget {budget}");
                break;
            }
            assert_eq!((report.round.packs_done, report.round.bytes_done), (packs, bytes), "budget {budget}");
        }
    }
}

#[test]
fn packs_that_no_point_needs_are_not_read() {
    let world = world();
    let domain = world.domain();
    let stray = layout::pack(domain.id(), domain.new_session().unwrap(), 0);
    world.store().put(&stray, Bytes::from_static(b"not a pack")).unwrap();
    assert_eq!(all(&world).outcome, CheckOutcome::Ok);
}

#[test]
fn damage_is_quarantined_and_what_was_repaired_is_released() {
    let world = world();
    let packs = world.objects("/packs/");
    let goods: Vec<Bytes> = packs.iter().map(|name| world.store().get(name).unwrap()).collect();
    world.flip(&packs[0], 1500);
    world.store().delete(&packs[1]).unwrap();
    world.flip(&packs[2], goods[2].len() - 70);
    let report = all(&world);
    let damaged: Vec<&str> = report.damaged.iter().map(|damaged| damaged.object.as_str()).collect();
    assert_eq!(damaged, packs[..3]);
    assert_eq!((report.outcome, world.objects("/damage/").len()), (CheckOutcome::Damaged, 3));
    all(&world);
    assert_eq!(world.objects("/damage/").len(), 3, "said once");
    world.store().put(&packs[1], goods[1].clone()).unwrap();
    let report = all(&world);
    assert_eq!((report.repaired.as_slice(), world.objects("/damage/").len()), (&packs[1..2], 2));
}

#[test]
fn ciphertext_is_scrubbed_with_the_structure_key_alone_and_proves_nothing_more() {
    let world = world();
    let keeper = world.keeper_of(world.structure_domain());
    let scrubbed = || scrub(&keeper, &options(u64::MAX, None)).unwrap();
    let report = scrubbed();
    assert_eq!((report.outcome, report.packs), (CheckOutcome::Ok, all(&world).packs));
    assert!(report.ciphertext_only.is_some() && all(&world).ciphertext_only.is_none());
    for name in world.objects("/packs/") {
        let length = world.store().get(&name).unwrap().len();
        // The commitments of keys that are not at hand cannot be tested: bytes 68.. and 120.. of the header.
        for at in [9, 30, 70, 210, length / 2, length - 100, length - 1] {
            world.flip(&name, at);
            let found = scrub(&keeper, &options(u64::MAX, None)).unwrap();
            assert_eq!(found.damaged.len(), 1, "byte {at} of {name}");
            world.flip(&name, at);
        }
    }
    // Whoever sees only ciphertext cannot say that content is good again.
    let doubtful = world.objects("/damage/").len();
    assert!(doubtful > 0);
    scrubbed();
    assert_eq!(world.objects("/damage/").len(), doubtful);
    all(&world);
    assert_eq!(world.objects("/damage/").len(), 0);
}

#[test]
fn a_pack_of_another_name_is_found_without_content_keys() {
    let world = world();
    let packs = world.objects("/packs/");
    world.store().put(&packs[0], world.store().get(&packs[1]).unwrap()).unwrap();
    let keeper = world.keeper_of(world.structure_domain());
    let report = scrub(&keeper, &options(u64::MAX, None)).unwrap();
    assert_eq!(report.damaged.iter().map(|damaged| &damaged.object).collect::<Vec<_>>(), [&packs[0]]);
}

#[test]
fn one_bad_read_is_told_and_quarantines_nothing() {
    let world = world();
    let mut told = 0;
    for number in 0..30 {
        let faults = Faults::seeded(number);
        let keeper = world.keeper_of(world.domain_on(world.store().with_faults(faults.clone())));
        faults.add(Rule::on(Operation::Get, "d/", Effect::FlipBit).after(number).times(1));
        let report = scrub(&keeper, &options(u64::MAX, None)).unwrap();
        assert_eq!((report.outcome, report.transient.len() as u64), (CheckOutcome::Ok, faults.fired()));
        told += faults.fired();
    }
    assert!(told >= 10, "{told}");
    assert_eq!(world.objects("/damage/"), Vec::<String>::new());
}

#[test]
fn what_a_collector_took_meanwhile_is_not_damage() {
    let world = World::new(GeneratedSource::new(3, &Shape::tiny()));
    let point = world.backup();
    let keeper = world.keeper();
    let quarantine = Quarantine::list(keeper.domain()).unwrap();
    let mut found = Found::default();
    let (due, _) = find_due(keeper.domain(), &mut found).unwrap();
    world.mark(point, layout::Mark::Doomed);
    for due in &due {
        world.store().delete(&keeper.domain().pack_name(due.pack)).unwrap();
        found.test(keeper.domain(), due, PackSummary::default()).unwrap();
    }
    assert_eq!(found.bad.len(), due.len());
    assert_eq!(settle(&keeper, &quarantine, &mut found).unwrap(), (vec![], vec![]));
    assert_eq!(world.objects("/damage/"), Vec::<String>::new());
}

proptest! {
    #[test]
    fn a_plan_keeps_to_its_budget_goes_on_from_the_cursor_and_reads_nothing_twice(
        sizes in proptest::collection::vec(0u64..100, 0..20),
        start in proptest::option::of(0u8..25),
        bytes_max in 0u64..300,
    ) {
        let place = |number: u8| ScrubCursor([number; 16]);
        let due: Vec<Due> = (1u8..).zip(&sizes).map(|(number, bytes)| {
            let session = model::SessionId([number; 16]);
            Due { order: place(number), pack: PackId { session, seq: 0 }, bytes: *bytes }
        }).collect();
        let chosen = plan(&due, start.map(place), bytes_max);
        let bytes: u64 = chosen.iter().map(|index| due[*index].bytes).sum();
        prop_assert!(chosen.len() == 1 || bytes <= bytes_max);
        prop_assert_eq!(chosen.is_empty(), due.is_empty());
        let mut sorted = chosen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), chosen.len());
        if let Some(first) = chosen.first() {
            let after = due.iter().position(|due| start.is_none_or(|start| due.order > place(start)));
            prop_assert_eq!(*first, after.unwrap_or(0));
        }
        // What does not fit is the next one.
        if chosen.len() < due.len() {
            let next = (chosen.last().unwrap_or(&0) + 1) % due.len();
            prop_assert!(bytes + due[next].bytes > bytes_max);
        }
    }
}
