//! What comes back from another copy, and what a rotten or hostile one cannot do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::compress::Compressor;
use crate::generated::SeededRandom;
use crate::keys::{Recipient, init_repository};
use crate::layout::{self, Mark, ParsedName};
use crate::pack::{PackBuilder, Segment};
use crate::read::tests::{World, overwrite};
use crate::read::{CheckOutcome, RestoreOptions};
use crate::seal::ObjectKind;
use crate::store::{Effect, Faults, Operation, Rule};

/// Three points of one volume and one of another, in several packs.
fn world() -> (World, Vec<PointId>) {
    let world = World::known();
    let mut points = Vec::new();
    for page in 0..3 {
        world.source.with(|tree| overwrite(tree, "large", 40 * page, 5000 + page));
        points.push(world.backup());
    }
    points.push(world.backup_as("other"));
    (world, points)
}

fn options(level: CheckLevel) -> RepairOptions {
    let check = CheckOptions { level, workers: 2, ..CheckOptions::default() };
    RepairOptions { check, dry_run: false, writer: "test".into() }
}

fn repaired(world: &World, other: &Store) -> RepairReport {
    repair(&world.keeper(), other, &options(CheckLevel::Data)).unwrap()
}

/// Everything is as in the copy, but for sessions that repairs have announced.
fn assert_as(world: &World, copy: &Store, what: &str) {
    let of = |store: &Store| -> Vec<(String, Bytes)> {
        let names = store.list("").unwrap().into_iter().map(|listed| listed.name);
        names.map(|name| (name.clone(), store.get(&name).unwrap())).collect()
    };
    let (ours, theirs) = (of(&world.store()), of(copy));
    for object in &theirs {
        assert!(ours.contains(object), "{what}: {} did not come back", object.0);
    }
    for (name, _) in ours.iter().filter(|object| !theirs.contains(object)) {
        assert!(name.contains("/sessions/"), "{what}: {name} was made");
    }
}

fn objects(report: &[DamagedObject]) -> Vec<&str> {
    report.iter().map(|one| one.object.as_str()).collect()
}

#[test]
fn whatever_was_lost_or_changed_comes_back_and_nothing_else_changes() {
    let (world, _) = world();
    let copy = world.copied();
    let in_domain = |name: &String| ["/packs/", "/points/", "/sessions/"].iter().any(|part| name.contains(part));
    for name in world.objects("d/").into_iter().filter(in_domain) {
        let good = world.store().get(&name).unwrap();
        let flipped = |at: usize| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 8;
            Some(Bytes::from(bytes))
        };
        for bad in
            [None, Some(good.slice(..good.len() / 2)), flipped(20), flipped(good.len() / 2), flipped(good.len() - 1)]
        {
            match bad {
                Some(bad) => world.store().put(&name, bad).unwrap(),
                None => world.store().delete(&name).unwrap(),
            }
            let report = repaired(&world, &copy);
            assert_eq!((objects(&report.repaired), report.not_repaired.len()), (vec![name.as_str()], 0), "{name}");
            assert_eq!(
                (report.left.outcome, report.left.points),
                (CheckOutcome::Ok, 4),
                "{name}: {:?}",
                report.left.damaged
            );
            assert_as(&world, &copy, &name);
        }
    }
}

#[test]
fn everything_at_once_comes_back_table_by_table() {
    let (world, _) = world();
    let copy = world.copied();
    for name in world.objects("/packs/") {
        world.store().delete(&name).unwrap();
    }
    let report = repair(&world.keeper(), &copy, &options(CheckLevel::Objects)).unwrap();
    assert_eq!((report.left.outcome, report.not_repaired.len()), (CheckOutcome::Ok, 0), "{report:?}");
    assert_eq!(objects(&report.repaired), world.objects("/packs/"));
    assert_as(&world, &copy, "all packs");
}

#[test]
fn what_the_other_copy_has_rotten_is_not_put_and_stays_in_quarantine() {
    let (world, _) = world();
    let copy = world.copied();
    for name in world.objects("/packs/") {
        world.flip(&name, 1000);
        let bad = world.store().get(&name).unwrap();
        let good = copy.get(&name).unwrap();
        let other = copy.get(world.objects("/packs/").iter().find(|other| **other != name).unwrap()).unwrap();
        let mut grown = good.to_vec();
        grown.push(0);
        for rotten in [bad.clone(), good.slice(..good.len() - 1), Bytes::new(), other, Bytes::from(grown)] {
            copy.put(&name, rotten).unwrap();
            let report = repaired(&world, &copy);
            assert_eq!((report.repaired.len(), report.not_repaired.len()), (0, 1), "{report:?}");
            assert_eq!(report.left.outcome, CheckOutcome::Damaged);
            assert!(world.store().get(&name).unwrap() == bad, "other bytes were put");
            assert_eq!(world.objects("/damage/").len(), 1);
        }
        copy.put(&name, good).unwrap();
        repaired(&world, &copy);
        assert_as(&world, &copy, &name);
    }
}

#[test]
fn a_copy_whose_every_answer_is_wrong_changes_nothing() {
    let (world, points) = world();
    let copy = world.copied();
    world.store().delete(&world.objects("/packs/")[0]).unwrap();
    world.store().delete(&layout::session_open(world.domain().id(), points[1].session)).unwrap();
    let before = world.objects("");
    for effect in [Effect::FlipBit, Effect::Ignore] {
        let faults = Faults::seeded(3);
        faults.add(Rule::on(Operation::Get, "d/", effect));
        let report = repaired(&world, &copy.clone().with_faults(faults));
        assert_eq!(report.repaired, []);
        assert_eq!(report.not_repaired.len(), 2, "{report:?}");
    }
    let made = |name: &&String| !before.contains(name);
    let after = world.objects("");
    assert!(
        after.iter().filter(made).all(|name| name.contains("/sessions/") || name.contains("/damage/")),
        "{after:?}"
    );
}

#[test]
fn another_repository_is_no_copy() {
    let (world, _) = world();
    let stranger = world.copied();
    stranger.delete(REPOSITORY).unwrap();
    let recipients = [(Recipient::Age(age::x25519::Identity::generate().to_public()), "other".to_owned())];
    init_repository(&stranger, &recipients, world.domain().now(), &mut SeededRandom::new(8)).unwrap();
    let error = repair(&world.keeper(), &stranger, &options(CheckLevel::Objects)).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Denied);
    let nothing = world.copied();
    nothing.delete(REPOSITORY).unwrap();
    let error = repair(&world.keeper(), &nothing, &options(CheckLevel::Objects)).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Missing);
    let newer = world.copied();
    newer.put("features/folded.read", Bytes::new()).unwrap();
    assert!(repair(&world.keeper(), &newer, &options(CheckLevel::Objects)).is_err());
}

#[test]
fn what_was_collected_or_is_ended_here_does_not_come_back() {
    let (world, points) = world();
    let copy = world.copied();
    let domain = world.domain();
    let names = |point: PointId| {
        (layout::session_open(domain.id(), point.session), layout::point(domain.id(), point.volume, point.session))
    };
    // Collected: nothing of it is left, not even marks.
    let (open, point) = names(points[0]);
    world.store().delete(&open).unwrap();
    world.store().delete(&point).unwrap();
    // A collector is at work: the announcement is gone, the marks are there.
    world.mark(points[1], Mark::Doomed);
    world.store().delete(&names(points[1]).0).unwrap();
    // The point is gone, and its session was called dead.
    world.mark(points[2], Mark::Dead);
    world.store().delete(&names(points[2]).1).unwrap();
    let before = world.objects("");
    let report = repaired(&world, &copy);
    assert_eq!((objects(&report.repaired), report.left.points), (vec![], 1));
    assert_eq!(world.objects(""), before);
}

#[test]
fn a_point_that_is_not_valid_in_the_other_copy_is_not_taken_from_it() {
    for what in ["doomed", "not announced", "not there"] {
        let (world, points) = world();
        let copy = world.copied();
        let domain = world.domain();
        let open = layout::session_open(domain.id(), points[1].session);
        match what {
            "doomed" => {
                world.mark(points[1], Mark::Doomed);
                let mark = world.objects("/marks/").remove(0);
                copy.put(&mark, Bytes::new()).unwrap();
                world.store().delete(&mark).unwrap();
            }
            "not announced" => copy.delete(&open).unwrap(),
            _ => copy.delete(&layout::point(domain.id(), points[1].volume, points[1].session)).unwrap(),
        }
        world.store().delete(&open).unwrap();
        let report = repaired(&world, &copy);
        assert_eq!((report.repaired.len(), report.left.points), (0, 3), "{what}: {report:?}");
        assert_eq!(report.not_repaired.iter().map(|one| &one.object).collect::<Vec<_>>(), [&open], "{what}");
    }
}

#[test]
fn no_point_becomes_valid_before_all_that_it_needs_is_there() {
    let (world, points) = world();
    let copy = world.copied();
    let domain = world.domain();
    let (last, own) = (points[2], points[2].session.to_string());
    let pack = world.objects("/packs/").into_iter().find(|name| name.contains(&own)).unwrap();
    for half in [layout::session_open(domain.id(), last.session), layout::point(domain.id(), last.volume, last.session)]
    {
        let good = world.store().get(&half).unwrap();
        let bytes = world.store().get(&pack).unwrap();
        world.store().delete(&half).unwrap();
        world.store().delete(&pack).unwrap();
        let report = repaired(&world, &copy);
        assert!(!world.store().exists(&half).unwrap(), "{report:?}");
        assert!(report.not_repaired.iter().any(|one| one.object == half && one.why.contains("packs")), "{report:?}");
        world.store().put(&half, good).unwrap();
        world.store().put(&pack, bytes).unwrap();
    }
}

#[test]
fn the_points_that_are_worked_for_are_announced_before_anything_is_put() {
    let (world, points) = world();
    let copy = world.copied();
    let faults = Faults::seeded(1);
    let keeper = world.keeper_of(world.domain_on(world.store().with_faults(faults.clone())));
    let pack = world.objects("/packs/").into_iter().find(|name| name.contains(&points[0].session.to_string())).unwrap();
    world.store().delete(&pack).unwrap();
    let before = world.objects("/sessions/");
    faults.add(Rule::on(Operation::Put, &pack, Effect::Fail(crate::store::Failure::Denied)));
    repair(&keeper, &copy, &options(CheckLevel::Objects)).unwrap_err();
    let announced = world.objects("/sessions/").into_iter().find(|name| !before.contains(name)).unwrap();
    let Ok(ParsedName::SessionOpen { session, .. }) = ParsedName::parse(&announced) else { panic!() };
    let announcement = crate::session::read_announcement(&world.domain(), session).unwrap();
    assert!(announcement.pins.iter().any(|pin| points.contains(pin)), "{announcement:?}");
    // A point that is ended between the check and the announcement is not worked for.
    faults.clear();
    let found = check(&world.domain(), &CheckOptions::default()).unwrap();
    assert_eq!(found.damaged_packs.len(), 1);
    for point in &points {
        world.mark(*point, Mark::Doomed);
    }
    let options = options(CheckLevel::Structure);
    let mut repairer = Repairer {
        domain: keeper.domain(),
        copy: keeper.domain().on(copy.clone()),
        options: &options,
        session: None,
        repaired: BTreeMap::new(),
        not_repaired: BTreeMap::new(),
    };
    repairer.round(&found).unwrap();
    assert!(!world.store().exists(&pack).unwrap(), "{:?}", repairer.repaired);
}

#[test]
fn a_repair_that_takes_days_shows_that_it_is_alive() {
    for lost in ["/packs/", "/points/"] {
        let (world, _) = world();
        let copy = world.copied();
        let lost = world.objects(lost);
        lost.iter().for_each(|name| world.store().delete(name).unwrap());
        let before = world.objects("/sessions/");
        // Every object that is read from the copy takes longer than signs may be apart.
        let faults = Faults::seeded(1);
        let clock = world.source.clock();
        let hours = Effect::Meanwhile(Arc::new(move || clock.advance(Duration::from_secs(7 * 3600))));
        faults.add(Rule::on(Operation::Get, "d/", hours));
        let report = repair(&world.keeper(), &copy.with_faults(faults), &options(CheckLevel::Objects)).unwrap();
        assert_eq!((objects(&report.repaired).len(), report.not_repaired.len()), (lost.len(), 0), "{report:?}");
        let (mut announced, mut beats) = (BTreeSet::new(), BTreeMap::<_, usize>::new());
        for name in world.objects("/sessions/").into_iter().filter(|name| !before.contains(name)) {
            match ParsedName::parse(&name) {
                Ok(ParsedName::SessionOpen { session, .. }) => _ = announced.insert(session),
                Ok(ParsedName::SessionBeat { session, .. }) => *beats.entry(session).or_default() += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(beats.keys().all(|session| announced.contains(session)), "{announced:?} {beats:?}");
        // In each round the first object is begun when the announcement is fresh.
        assert!(beats.values().sum::<usize>() + announced.len() >= lost.len(), "{announced:?} {beats:?}");
    }
}

#[test]
fn a_dry_run_tells_what_could_be_repaired_and_puts_nothing() {
    let (world, points) = world();
    let copy = world.copied();
    let domain = world.domain();
    let pack = world.objects("/packs/")[1].clone();
    let open = layout::session_open(domain.id(), points[0].session);
    world.flip(&pack, 1000);
    world.store().delete(&open).unwrap();
    let before = world.copied();
    let report = repair(&world.keeper(), &copy, &RepairOptions { dry_run: true, ..options(CheckLevel::Data) }).unwrap();
    let mut expected = [pack.as_str(), open.as_str()];
    expected.sort_unstable();
    assert_eq!(objects(&report.repaired), expected);
    assert_eq!(world.objects(""), before.list("").unwrap().into_iter().map(|listed| listed.name).collect::<Vec<_>>());
    assert!(world.store().get(&pack).unwrap() == before.get(&pack).unwrap());
}

#[test]
fn a_damaged_key_comes_back_and_a_missing_one_only_when_it_is_asked_for() {
    let (world, _) = world();
    let key = world.objects("/keys/").into_iter().find(|name| name.ends_with(".key")).unwrap();
    world.repository.rotate_domain(&world.store(), "default", &mut SeededRandom::new(9)).unwrap();
    let copy = world.copied();
    let stores = (&world.store(), &copy);
    let with = |missing: bool| {
        repair_keys(&world.repository, "default", stores, KeysToRepair { missing, dry_run: false }).unwrap()
    };
    world.flip(&key, 150);
    assert!(check(&world.domain(), &CheckOptions::default()).unwrap().damaged.iter().any(|one| one.object == key));
    assert_eq!(objects(&with(false).0), [key.as_str()]);
    assert_as(&world, &copy, "a damaged key");
    world.store().delete(&key).unwrap();
    assert_eq!(with(false), (vec![], vec![]), "whoever destroys a key does not want it back");
    assert_eq!(objects(&with(true).0), [key.as_str()]);
    assert_as(&world, &copy, "a missing key");
    // Another object under its name is none.
    let other = world.objects("/keys/").into_iter().find(|name| name.ends_with(".key") && *name != key).unwrap();
    copy.put(&key, copy.get(&other).unwrap()).unwrap();
    world.flip(&key, 150);
    let (repaired, not_repaired) = with(true);
    assert_eq!((repaired.len(), not_repaired.len()), (0, 1));
}

#[test]
fn a_repaired_repository_restores() {
    let (world, points) = world();
    let copy = world.copied();
    world.objects("/packs/").iter().step_by(2).for_each(|name| world.flip(name, 900));
    repaired(&world, &copy);
    let target = crate::generated::MemoryTarget::default();
    let options = RestoreOptions { workers: 2, ..RestoreOptions::default() };
    let report = crate::read::restore(&world.domain(), &world.view(points[3]), &options, &target).unwrap();
    assert_eq!(report.failed_count, 0);
}

#[test]
fn who_holds_the_keys_cannot_slip_in_another_pack_of_the_same_name() {
    let (world, _) = world();
    let copy = world.copied();
    let domain = world.domain();
    for name in world.objects("/packs/") {
        // All that an agent has: the keys, and the name.
        let (keys, binding) = (domain.writer_keys().unwrap(), domain.binding(ObjectKind::Pack, &name));
        let all = [&keys.structure, &keys.metadata, &keys.data];
        let mut forged = PackBuilder::new(binding, &all, [7; 32], Vec::new()).unwrap();
        let content = Compressor::new(3).unwrap().compress(b"not what was written").unwrap();
        let segment = Segment { bytes: 20, hash: domain.hashing().segment(b"not what was written"), hint: Vec::new() };
        forged.add_data(&content, &[segment]).unwrap();
        let (forged, _) = forged.finish().unwrap();
        let good = copy.get(&name).unwrap();
        world.store().delete(&name).unwrap();
        copy.put(&name, forged).unwrap();
        let report = repaired(&world, &copy);
        assert_eq!((report.repaired.len(), report.not_repaired.len()), (0, 1), "{report:?}");
        copy.put(&name, good.clone()).unwrap();
        world.store().put(&name, good).unwrap();
        repaired(&world, &copy);
    }
}

#[test]
fn a_mark_that_comes_after_the_lists_counts() {
    let (world, points) = world();
    let copy = world.copied();
    let (keeper, options) = (world.keeper(), options(CheckLevel::Objects));
    let mut repairer = Repairer {
        domain: keeper.domain(),
        copy: keeper.domain().on(copy),
        options: &options,
        session: None,
        repaired: BTreeMap::new(),
        not_repaired: BTreeMap::new(),
    };
    let open = layout::session_open(keeper.domain().id(), points[0].session);
    world.store().delete(&open).unwrap();
    let half = points::Half { open: Some("it was missing".into()), ..points::Half::default() };
    let halves = BTreeMap::from([(points[0], half)]);
    world.mark(points[0], Mark::Doomed);
    repairer.repair_points(&halves, &BTreeSet::new()).unwrap();
    assert!(!world.store().exists(&open).unwrap() && repairer.repaired.is_empty());
}
