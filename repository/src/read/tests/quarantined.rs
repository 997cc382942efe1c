//! What goes into quarantine, what does not, and what comes out of it.

use super::check::{checked, checked_at};
use super::*;
use crate::store::{Effect, Faults, Operation, Rule};
use crate::tree::PackId;

fn pack_of(name: &str) -> PackId {
    match layout::ParsedName::parse(name) {
        Ok(layout::ParsedName::Pack { session, sequence, .. }) => PackId { session, seq: sequence },
        other => panic!("{name} is no pack: {other:?}"),
    }
}

#[test]
fn one_bad_read_is_told_and_damages_nothing() {
    let world = World::known();
    world.backup();
    let mut told = 0;
    for number in 0..40 {
        for effect in [Effect::FlipBit, Effect::Ignore] {
            let faults = Faults::seeded(number);
            let options = CheckOptions { level: CheckLevel::Data, workers: 1, ..CheckOptions::default() };
            let domain = world.domain_on(world.store().with_faults(faults.clone()));
            faults.add(Rule::on(Operation::Get, "d/", effect.clone()).after(number).times(1));
            let report = match check(&domain, &options) {
                Ok(report) => report,
                // What was listed and is not there was removed meanwhile.
                Err(error) => panic!("{effect:?} of get {number}: {error}"),
            };
            let vanished = report.points == 0;
            assert_eq!(report.outcome, CheckOutcome::Ok, "{effect:?} of get {number}: {:?}", report.damaged);
            assert_eq!(report.to_quarantine, []);
            if faults.fired() == 1 && !vanished {
                assert_eq!(report.transient.len(), 1, "{effect:?} of get {number}");
                told += 1;
            }
        }
    }
    assert!(told > 5, "only {told} bad reads were seen");
}

#[test]
fn a_pack_whose_bytes_are_wrong_is_quarantined_once_and_released_when_it_is_good_again() {
    let world = World::known();
    let point = world.backup();
    let name = world.objects("/packs/").into_iter().find(|name| name.contains(&point.session.to_string())).unwrap();
    let good = world.store().get(&name).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Some(Bytes::from(bytes))
    };
    let bad = [
        None,
        Some(good.slice(..good.len() - 1)),
        flipped(20),
        flipped(2000),
        flipped(good.len() - 100),
        flipped(good.len() - 1),
    ];
    for bytes in bad {
        match bytes {
            Some(bytes) => world.store().put(&name, bytes).unwrap(),
            None => world.store().delete(&name).unwrap(),
        }
        let report = checked(&world, true);
        assert_eq!((report.to_quarantine.as_slice(), report.quarantined.len()), (&[pack_of(&name)][..], 0));
        assert_eq!(world.objects("/damage/"), Vec::<String>::new(), "a check changes nothing");
        world.keeper().settle(&report).unwrap();
        assert_eq!(world.objects("/damage/").len(), 1);
        let again = checked(&world, false);
        assert_eq!((again.to_quarantine.len(), again.quarantined.as_slice()), (0, &[pack_of(&name)][..]));
        assert!(again.damaged.iter().any(|damaged| damaged.object == name), "what is in quarantine is read whole");
        assert_eq!(checked_at(&world, CheckLevel::Objects).outcome, CheckOutcome::Damaged);
        world.store().put(&name, good.clone()).unwrap();
        let repaired = checked(&world, false);
        assert_eq!((repaired.outcome, repaired.released.len(), repaired.quarantined.len()), (CheckOutcome::Ok, 1, 0));
        world.keeper().settle(&repaired).unwrap();
        assert_eq!(world.objects("/damage/"), Vec::<String>::new());
    }
}

#[test]
fn a_report_that_came_while_the_pack_was_read_is_not_removed() {
    let world = World::known();
    world.backup();
    let pack = pack_of(&world.objects("/packs/")[0]);
    world.keeper().quarantine(pack).unwrap();
    let report = checked(&world, false);
    world.keeper().quarantine(pack).unwrap();
    world.keeper().settle(&report).unwrap();
    assert_eq!(world.objects("/damage/").len(), 1, "the later report stands");
}

#[test]
fn what_no_copy_would_mend_is_not_quarantined() {
    let world = World::known();
    let point = world.backup();
    let name = world.objects("/packs/").into_iter().find(|name| name.contains(&point.session.to_string())).unwrap();
    // The header names a key that is not at hand, as if it had been destroyed.
    let mut bytes = world.store().get(&name).unwrap().to_vec();
    for slot in 0..3 {
        bytes[48 + slot * 52 + 4] ^= 1;
    }
    world.store().put(&name, Bytes::from(bytes)).unwrap();
    let report = checked(&world, true);
    assert_eq!((report.outcome, report.to_quarantine.len()), (CheckOutcome::Damaged, 0), "{:?}", report.damaged);
    // Nobody needs it any more.
    world.mark(point, Mark::Doomed);
    world.store().delete(&name).unwrap();
    let report = checked(&world, true);
    assert_eq!((report.outcome, report.to_quarantine.len()), (CheckOutcome::Ok, 0));
}
