//! Several collectors: each is a session that relies on every name of the domain (C0).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{ErrorClass, SessionId, VolumeId};
use repository::layout::{self, Mark, ParsedName};
use repository::session::{PointId, Session};
use repository::store::{Effect, Faults, MeanwhileHook, Operation, Rule};
use repository::upkeep::{CollectOptions, Keeper, collect, retire};

use super::super::world::World;
use super::{DAY, assert_exact, at_once, keeper, packs, run, three_points_apart, without_grace};

/// Sessions that are announced and have no point.
fn running(world: &World) -> BTreeSet<SessionId> {
    let (mut open, mut committed) = (BTreeSet::new(), BTreeSet::new());
    for name in world.names() {
        match ParsedName::parse(&name) {
            Ok(ParsedName::SessionOpen { session, .. }) => open.insert(session),
            Ok(ParsedName::Point { session, .. }) => committed.insert(session),
            _ => continue,
        };
    }
    &open - &committed
}

fn names_of(world: &World, point: PointId) -> usize {
    world.names().iter().filter(|name| name.contains(&point.session.to_string()) && !name.contains("/packs/")).count()
}

/// A keeper for which, just before its first list below a prefix, somebody else does something.
fn keeper_meanwhile(world: &World, prefix: &str, hook: MeanwhileHook) -> Keeper {
    let faults = Faults::seeded(1);
    faults.add(Rule::on(Operation::List, prefix, Effect::Meanwhile(hook)).times(1));
    let upkeep = Arc::new(world.repository.upkeep().expect("the key"));
    Keeper::new(world.faulty_domain(&faults), upkeep).expect("a keeper")
}

#[test]
fn a_run_is_announced_before_it_lists_anything_and_not_after_its_end() {
    let (world, points) = three_points_apart();
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let world = Arc::new(world);
    let domain = world.domain().id();
    let lists = [layout::points(domain), layout::marks(domain), layout::packs(domain), layout::sessions(domain)];
    for below in lists {
        let seen: Arc<Mutex<Option<usize>>> = Arc::default();
        let (looking, says) = (world.clone(), seen.clone());
        let look: MeanwhileHook = Arc::new(move || {
            says.lock().expect("no panic").get_or_insert(running(&looking).len());
        });
        collect(&keeper_meanwhile(&world, &below, look), &without_grace()).expect("a run");
        assert_eq!(*seen.lock().expect("no panic"), Some(1), "announced before {below}");
        assert_eq!(running(&world).len(), 0, "withdrawn");
    }
    assert_exact(&world, "after four runs");
}

#[test]
fn a_run_that_fails_withdraws_its_announcement() {
    let (world, points) = three_points_apart();
    let name = layout::point(world.domain().id(), points[0].0.volume, points[0].0.session);
    world.put(&name, repository::store::Bytes::from_static(b"something else"));
    collect(&keeper(&world), &without_grace()).expect_err("a point that cannot be read");
    let names = world.names();
    let opened = names.iter().filter(|name| name.ends_with(".open")).count();
    assert_eq!(opened, points.len());
}

#[test]
fn beside_another_run_packs_go_and_names_wait() {
    let (world, points) = three_points_apart();
    let other = Session::open(&world.domain(), VolumeId::ALL, Vec::new(), "another run").expect("announced");
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let (before, named) = (packs(&world).len(), names_of(&world, points[0].0));
    let report = run(&world, &without_grace());
    assert_eq!((report.collection.other_runs, report.collection.running), (1, 0));
    assert!(report.deleted.packs > 0);
    assert_eq!(packs(&world).len(), before - report.deleted.packs as usize);
    assert_eq!(names_of(&world, points[0].0), named + 1, "the names, and the mark of the first run");
    assert_eq!(run(&world, &without_grace()).deleted.names, 0, "as long as the other is there");
    world.delete(&layout::session_open(world.domain().id(), other.id()));
    let report = run(&world, &without_grace());
    assert_eq!((report.collection.other_runs, report.deleted.names as usize), (0, named + 1));
    assert_exact(&world, "a run without company");
}

#[test]
fn marks_of_names_that_are_gone_wait_as_well() {
    let (world, points) = three_points_apart();
    let left = PointId { session: world.domain().new_session().expect("an id"), ..points[0].0 };
    keeper(&world).mark(left, Mark::Abort).expect("a mark");
    let other = Session::open(&world.domain(), VolumeId::ALL, Vec::new(), "another run").expect("announced");
    run(&world, &without_grace());
    assert_eq!(names_of(&world, left), 1);
    world.delete(&layout::session_open(world.domain().id(), other.id()));
    run(&world, &without_grace());
    assert_exact(&world, "a run without company");
}

#[test]
fn a_run_that_was_killed_is_ended_and_no_longer_heeded() {
    let (world, points) = three_points_apart();
    Session::open(&world.domain(), VolumeId::ALL, Vec::new(), "killed").expect("announced");
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let ended = run(&world, &at_once()).ended;
    assert_eq!(ended.iter().map(|ended| ended.writer.as_str()).collect::<Vec<_>>(), ["killed"]);
    let live = Session::open(&world.domain(), VolumeId::ALL, Vec::new(), "at work").expect("announced");
    let report = run(&world, &without_grace());
    assert_eq!(report.collection.other_runs, 1, "one was dead when this run began");
    assert_eq!(running(&world), BTreeSet::from([live.id()]), "beside a run, dead ones go");
    world.delete(&layout::session_open(world.domain().id(), live.id()));
    run(&world, &without_grace());
    assert_exact(&world, "alone again");
}

#[test]
fn a_run_that_was_taken_for_dead_deletes_nothing() {
    type End = fn(&World, SessionId);
    let ends: [(&str, End); 2] = [
        ("marked", |world, run| {
            keeper(world).mark(PointId { volume: VolumeId::ALL, session: run }, Mark::Dead).expect("a mark");
        }),
        ("removed, and its mark with it", |world, run| {
            world.delete(&layout::session_open(world.domain().id(), run));
        }),
    ];
    for (what, end) in ends {
        let world = Arc::new(three_points_apart().0);
        retire(&keeper(&world), &[world.points()[0].id]).expect("retired");
        let other = world.clone();
        let hook: MeanwhileHook = Arc::new(move || running(&other).iter().for_each(|run| end(&other, *run)));
        let slow = keeper_meanwhile(&world, &layout::packs(world.domain().id()), hook);
        let before = packs(&world);
        let error = collect(&slow, &without_grace()).expect_err(what);
        assert_eq!(error.class(), ErrorClass::Busy, "{what}: {error}");
        assert!(error.to_string().contains("took this run for dead"), "{what}: {error}");
        assert_eq!(packs(&world), before, "{what}");
        run(&world, &at_once());
        run(&world, &at_once());
        assert_exact(&world, "others go on");
    }
}

#[test]
fn a_long_run_shows_that_it_is_alive() {
    let (world, points) = three_points_apart();
    Session::open(&world.domain(), points[0].0.volume, Vec::new(), "somebody to look at").expect("announced");
    let clock = world.source.clock();
    let wait: MeanwhileHook = Arc::new(move || clock.advance(Duration::from_secs(7 * 3600)));
    let slow = keeper_meanwhile(&world, &layout::packs(world.domain().id()), wait);
    collect(&slow, &without_grace()).expect("a run");
    let beats = |world: &World| world.names().iter().filter(|name| name.contains(".beat.")).count();
    assert_eq!(beats(&world), 1);
    run(&world, &without_grace());
    assert_eq!(beats(&world), 0, "it means nothing without its announcement");
}

#[test]
fn a_pack_that_another_run_has_just_deleted_is_no_damage() {
    let world = Arc::new(three_points_apart().0);
    retire(&keeper(&world), &[world.points()[0].id]).expect("retired");
    let other = world.clone();
    let collected: MeanwhileHook = Arc::new(move || {
        run(&other, &without_grace());
    });
    let patient = keeper_meanwhile(&world, &layout::packs(world.domain().id()), collected);
    let error = collect(&patient, &CollectOptions { grace: DAY, ..without_grace() }).expect_err("a torn view");
    assert_eq!(error.class(), ErrorClass::Busy, "{error}");
    run(&world, &without_grace());
    assert_exact(&world, "run again");
}

#[test]
fn of_a_name_the_announcement_goes_first_and_marks_go_last() {
    let (world, points) = three_points_apart();
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let (domain, point) = (world.domain().id(), points[0].0);
    let names = [
        layout::session_open(domain, point.session),
        layout::point(domain, point.volume, point.session),
        layout::volume_marks(domain, point.volume),
    ];
    let (faults, order) = (Faults::seeded(1), Arc::new(Mutex::new(Vec::new())));
    for (place, name) in names.iter().enumerate() {
        let order = order.clone();
        let hook: MeanwhileHook = Arc::new(move || order.lock().expect("no panic").push(place));
        faults.add(Rule::on(Operation::Delete, name, Effect::Meanwhile(hook)));
    }
    let upkeep = Arc::new(world.repository.upkeep().expect("the key"));
    collect(&Keeper::new(world.faulty_domain(&faults), upkeep).expect("a keeper"), &without_grace()).expect("a run");
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 2], "retired and doomed are two marks");
}
