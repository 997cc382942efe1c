//! What a collector cannot judge: it deletes nothing, and says why.

use std::sync::Arc;

use model::ErrorClass;
use repository::domain::Domain;
use repository::generated::{GeneratedSource, Shape, Tree};
use repository::layout::{self, Mark, ParsedName};
use repository::session::{PointId, Session, read_point};
use repository::store::{Bytes, Effect, Faults, Operation, Rule};
use repository::tree::PackId;
use repository::upkeep::{CollectOptions, DoomReason, Keeper, collect, retire};

use super::super::world::{VOLUME, World};
use super::{DAY, assert_exact, at_once, keeper, packs, reference, run, three_points, without_grace, world};

#[test]
fn a_run_that_sees_what_cannot_be_deletes_nothing() {
    type Harm = fn(&World, &[(PointId, Tree)]);
    let cases: [(&str, ErrorClass, Harm); 3] = [
        ("a pack that a restore point needs is not listed", ErrorClass::Corrupt, |world, points| {
            let (pack, _) = reference(world, points[2].0).packs.iter().next().expect("a pack");
            world.delete(&world.domain().pack_name(pack));
        }),
        ("a restore point cannot be read", ErrorClass::Corrupt, |world, points| {
            let name = layout::point(world.domain().id(), points[1].0.volume, points[1].0.session);
            world.put(&name, Bytes::from_static(b"something else"));
        }),
        ("packs that nobody accounts for", ErrorClass::Invalid, |world, points| {
            let session = points[2].0.session;
            for seq in 100..200 {
                world.put(&world.domain().pack_name(PackId { session, seq }), Bytes::from(vec![1; 100_000]));
            }
        }),
    ];
    for (what, class, harm) in cases {
        let world = world(6);
        let points = three_points(&world);
        retire(&keeper(&world), &[points[0].0]).expect("retired");
        harm(&world, &points);
        let before = packs(&world);
        let options = CollectOptions { share_percent_max: 50, ..without_grace() };
        let error = collect(&keeper(&world), &options).expect_err(what);
        assert_eq!(error.class(), class, "{what}: {error}");
        assert_eq!(packs(&world), before, "{what}");
    }
}

#[test]
fn an_announcement_that_cannot_be_read_holds_everything() {
    let world = world(7);
    let points = three_points(&world);
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let domain = world.domain();
    let name = layout::session_open(domain.id(), domain.new_session().expect("an id"));
    world.put(&name, Bytes::from_static(b"nobody can read this"));
    let before = packs(&world);
    let report = run(&world, &at_once());
    assert!(report.collection.blocked.as_ref().is_some_and(|why| why.contains(&name)), "{report:?}");
    assert_eq!(packs(&world), before);
    world.delete(&name);
    run(&world, &at_once());
    assert_exact(&world, "after it was removed");
}

#[test]
fn an_announcement_that_goes_while_it_is_looked_at_ends_the_run() {
    let world = world(8);
    let points = three_points(&world);
    let session = Session::open(&world.domain(), points[0].0.volume, vec![points[0].0], "test").expect("a session");
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    for looks in [0, 1] {
        let faults = Faults::seeded(1);
        let name = layout::session_open(world.domain().id(), session.id());
        faults.add(Rule::on(Operation::Get, &name, Effect::Ignore).after(looks).times(1));
        let before = packs(&world);
        let upkeep = Arc::new(world.repository.upkeep().expect("the key"));
        let keeper = Keeper::new(world.faulty_domain(&faults), upkeep).expect("a keeper");
        let error = collect(&keeper, &without_grace()).expect_err("it is gone");
        assert_eq!(error.class(), ErrorClass::Busy, "look {looks}: {error}");
        assert_eq!(packs(&world), before);
    }
}

#[test]
fn marks_that_upkeep_did_not_sign_change_nothing_and_are_named() {
    let world = world(10);
    let points = three_points(&world);
    let domain = world.domain().id();
    let stranger = World::new(99, GeneratedSource::new(99, &Shape::tiny()));
    let key = stranger.repository.upkeep().expect("a key");
    for mark in [Mark::Retired, Mark::Doomed, Mark::Dead, Mark::Abort] {
        let name = repository::marks::mark_name(
            (&key, world.repository.id()),
            domain,
            (points[2].0.volume, points[2].0.session),
            mark,
            layout::MarkRun([3; 16]),
        );
        world.put(&name.expect("a name"), Bytes::new());
    }
    let before = packs(&world);
    let report = run(&world, &at_once());
    assert_eq!(report.collection.ignored.len(), 4);
    assert_eq!(packs(&world), before);
    assert_eq!(world.points().len(), 3);
    world.assert_restores(points[2].0, &points[2].1, "marked by a stranger");
}

/// A domain as somebody opened it before its keys were replaced, and one as it is now; what the first has sealed can be left without a key.
fn rotated() -> (World, Domain) {
    let world = world(11);
    let before = world.domain();
    world.rotate_keys();
    (world, before)
}

/// As it is when nothing needs the key any more.
fn destroy_first_key(world: &World) {
    let first = world.names().iter().find_map(|name| match ParsedName::parse(name) {
        Ok(ParsedName::DomainKey { epoch: 1, key, .. }) => Some((name.clone(), key)),
        _ => None,
    });
    let (name, key) = first.expect("the first key");
    world.put(&layout::destroyed_key(world.domain().id(), key), Bytes::new());
    world.delete(&name);
}

fn unmark(world: &World, point: PointId, mark: Mark) {
    let is_it = |name: &&String| matches!(ParsedName::parse(name), Ok(ParsedName::Mark { session, mark: found, .. }) if session == point.session && found == mark);
    world.names().iter().filter(is_it).for_each(|name| world.delete(name));
}

#[test]
fn an_announcement_whose_key_is_misread_or_lost_holds_everything() {
    let (world, before) = rotated();
    let points = three_points(&world);
    let running = Session::open(&world.domain(), points[0].0.volume, vec![points[0].0], "running").expect("announced");
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    destroy_first_key(&world);
    let (name, key) =
        (layout::session_open(before.id(), running.id()), world.domain().announcing_key().expect("a key").id);
    let mut bytes = world.object(&name).to_vec();
    let at = bytes.windows(16).position(|window| window == key.0).expect("the key's id");
    bytes[at] ^= 1;
    world.put(&name, bytes.into());
    let report = run(&world, &at_once());
    assert!(report.collection.blocked.is_some_and(|why| why.contains(&name)));
    assert_eq!((report.ended, report.deleted.packs), (Vec::new(), 0), "nobody knows whether it is over");
}

#[test]
fn an_announcement_whose_key_is_gone_holds_nothing_up() {
    let (world, before) = rotated();
    let points = three_points(&world);
    let error = Session::open(&before, points[0].0.volume, vec![points[0].0], "too late").err().expect("replaced");
    assert_eq!(error.class(), ErrorClass::Busy, "{error}");
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let report = run(&world, &without_grace());
    assert_eq!(
        (report.collection.blocked, report.collection.running),
        (None, 1),
        "its key is there: it may be running"
    );
    // As long as its key is there it is ended under its own volume.
    let known = run(&world, &at_once()).ended;
    keeper(&world).mark(known[0].point, Mark::Abort).expect("a mark");
    unmark(&world, known[0].point, Mark::Dead);
    destroy_first_key(&world);
    let report = run(&world, &CollectOptions { grace: DAY, ..at_once() });
    assert_eq!((report.collection.blocked, report.ended.len()), (None, 1));
    run(&world, &without_grace());
    assert_exact(&world, "after its end");
    world.assert_restores(points[2].0, &points[2].1, "sealed with the new key");
}

#[test]
fn a_point_that_came_too_late_for_its_key_goes() {
    let world = world(12);
    let before = world.domain();
    let slow = Session::open(&before, before.volume_id(VOLUME), Vec::new(), "slow").expect("announced");
    world.rotate_keys();
    let points = three_points(&world);
    let content = read_point(&world.domain(), points[2].0).expect("a point");
    let announced = layout::session_open(before.id(), slow.id());
    destroy_first_key(&world);
    let late = PointId { volume: slow.volume(), session: slow.id() };
    slow.commit(&content).expect("it is valid as long as it is announced");
    let error = collect(&keeper(&world), &without_grace()).expect_err("it is valid by its names, and cannot be read");
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
    world.delete(&announced);
    let pinning = Session::open(&world.domain(), late.volume, vec![late], "somebody").expect("announced");
    assert_eq!(pinning.pins(), [], "it is not valid");
    let report = run(&world, &without_grace());
    assert_eq!(report.collection.dooms.iter().map(|doom| doom.why).collect::<Vec<_>>(), [DoomReason::TooLate]);
    (0..2).for_each(|_| drop(run(&world, &at_once())));
    assert_exact(&world, "when the other is over, too");
    world.assert_restores(points[2].0, &points[2].1, "whose packs it named");
}
