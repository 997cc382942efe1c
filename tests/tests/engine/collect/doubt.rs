//! What a collector cannot judge: it deletes nothing, and says why.

use std::sync::Arc;

use model::ErrorClass;
use repository::generated::{GeneratedSource, Shape, Tree};
use repository::layout::{self, Mark};
use repository::session::{PointId, Session};
use repository::store::{Bytes, Effect, Faults, Operation, Rule};
use repository::tree::PackId;
use repository::upkeep::{CollectOptions, Keeper, collect, retire};

use super::super::world::World;
use super::{assert_exact, at_once, keeper, packs, reference, run, three_points, without_grace, world};

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
