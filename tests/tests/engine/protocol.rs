//! Announce, then look: what others have said about a session counts, if upkeep signed it; what a store forgets to say does not.

use std::time::Duration;

use model::ErrorClass;
use repository::Error;
use repository::generated::{Action, GeneratedSource, Moment, Shape};
use repository::keys::{SystemRandom, UpkeepKey};
use repository::layout::{self, Mark, MarkRun, ParsedName};
use repository::marks::mark_name;
use repository::session::PointId;
use repository::store::{Bytes, Effect, Failure, Faults, Operation, Rule, Store};
use repository::write::backup;

use super::world::{VOLUME, World};

fn world() -> World {
    let world = World::new(1, GeneratedSource::new(1, &Shape::tiny()));
    world.source.clock().advance(Duration::from_secs(10));
    world
}

fn put_mark(world: &World, point: PointId, mark: Mark) -> String {
    let upkeep = world.repository.upkeep().expect("the upkeep key");
    let name = mark_name(
        (&upkeep, world.repository.id()),
        world.domain().id(),
        (point.volume, point.session),
        mark,
        MarkRun([7; 16]),
    );
    let name = name.expect("a signature");
    world.put(&name, Bytes::new());
    name
}

#[test]
fn packs_and_points_whose_acknowledgement_is_lost_are_sent_again() {
    let world = world();
    let domain = world.domain().id();
    for prefix in [layout::packs(domain), layout::points(domain)] {
        for effect in [Effect::LoseAcknowledgement, Effect::LandLate, Effect::Fail(Failure::Throttled)] {
            let faults = Faults::seeded(1);
            faults.add(Rule::on(Operation::Put, &prefix, effect.clone()).times(2));
            world
                .source
                .with(|tree| {
                    tree.file("touched")
                        .and_then(|inode| tree.edit(inode, |content| content.write(content.size(), b"more")))
                })
                .expect("an edit");
            world.source.clock().advance(Duration::from_secs(10));
            let report = backup(&world.faulty_domain(&faults), &world.source, &world.options());
            let report = report.unwrap_or_else(|error| panic!("{prefix}, {effect:?}: {error}"));
            assert_eq!(faults.fired(), 2);
            world.assert_restores(report.point, &world.source.snapshot(), &format!("{prefix}, {effect:?}"));
        }
    }
    world.assert_sound("after lost acknowledgements");
}

#[test]
fn an_announcement_that_is_not_acknowledged_costs_its_session_id() {
    for effect in [Effect::LoseAcknowledgement, Effect::LandLate, Effect::Fail(Failure::Unavailable)] {
        let world = world();
        let sessions = layout::sessions(world.domain().id());
        let faults = Faults::seeded(1);
        faults.add(Rule::on(Operation::Put, &sessions, effect.clone()).times(1));
        let domain = world.faulty_domain(&faults);
        let report = backup(&domain, &world.source, &world.options()).expect("a backup under another id");
        let announced: Vec<_> = world.names().into_iter().filter(|name| name.starts_with(&sessions)).collect();
        let expected = if matches!(effect, Effect::LoseAcknowledgement) { 2 } else { 1 };
        assert_eq!(announced.len(), expected, "{announced:?}");
        assert!(announced.contains(&layout::session_open(domain.id(), report.point.session)));
        let used: Vec<_> =
            world.names().into_iter().filter(|name| name.starts_with(&layout::packs(domain.id()))).collect();
        assert!(used.iter().all(|name| name.contains(&report.point.session.to_string())), "{used:?}");
        world.assert_restores(report.point, &world.source.snapshot(), "under another id");
    }
}

/// Something happens to the session that is about to commit.
fn before_commit(world: &World, what: impl Fn(&Store, layout_session::Running) + Send + Sync + 'static) {
    let (store, domain) = (world.store(), world.domain().id());
    let volume = world.domain().volume_id(VOLUME);
    let change = Action::change(move |_| {
        let listed = store.list(&layout::sessions(domain)).expect("a list");
        let newest = listed.iter().filter_map(|listed| match ParsedName::parse(&listed.name) {
            Ok(ParsedName::SessionOpen { session, .. }) => Some(session),
            _ => None,
        });
        let session = newest.max().expect("a running session");
        what(&store, layout_session::Running { domain, volume, session });
    });
    world.source.when(Moment::StillThere, None, change, 1);
}

mod layout_session {
    /// A session under way.
    pub(super) struct Running {
        pub(super) domain: model::DomainId,
        pub(super) volume: model::VolumeId,
        pub(super) session: model::SessionId,
    }
}

#[test]
fn a_session_that_upkeep_has_ended_reports_that_it_failed() {
    for mark in [Mark::Abort, Mark::Dead] {
        let world = world();
        let (upkeep, repository) = (world.repository.upkeep().expect("the key"), world.repository.id());
        before_commit(&world, move |store, at| {
            let name = mark_name((&upkeep, repository), at.domain, (at.volume, at.session), mark, MarkRun([1; 16]));
            store.put(&name.expect("a signature"), Bytes::new()).expect("a mark");
        });
        let error = backup(&world.domain(), &world.source, &world.options()).expect_err("it was ended");
        assert!(matches!(error, Error::Aborted { .. }), "{mark:?}: {error}");
        assert_eq!(error.class(), ErrorClass::Busy);
        if mark == Mark::Dead {
            assert_eq!(world.points(), [], "a dead session's point is not valid");
        }
        let report = world.backup();
        world.assert_restores(report.point, &world.source.snapshot(), "the run after it");
    }
}

#[test]
fn a_session_whose_announcement_was_removed_reports_that_it_failed() {
    let world = world();
    before_commit(&world, |store, at| store.delete(&layout::session_open(at.domain, at.session)).expect("a delete"));
    let error = backup(&world.domain(), &world.source, &world.options()).expect_err("it was ended");
    assert!(matches!(error, Error::Aborted { .. }), "{error}");
    assert_eq!(world.points(), []);
}

#[test]
fn marks_that_upkeep_did_not_sign_are_ignored() {
    let world = world();
    let other = World::new(2, GeneratedSource::empty());
    let foreign: UpkeepKey = other.repository.upkeep().expect("the key");
    let repository = world.repository.id();
    before_commit(&world, move |store, at| {
        let name = mark_name((&foreign, repository), at.domain, (at.volume, at.session), Mark::Dead, MarkRun([1; 16]));
        store.put(&name.expect("a signature"), Bytes::new()).expect("a mark");
        let unsigned = layout::unsigned_mark(at.domain, at.volume, at.session, Mark::Abort, MarkRun([2; 16]));
        store.put(&format!("{unsigned}.{}", "ab".repeat(64)), Bytes::new()).expect("a mark");
    });
    let report = backup(&world.domain(), &world.source, &world.options()).expect("nobody who may has ended it");
    assert_eq!(world.points().len(), 1);
    world.assert_restores(report.point, &world.source.snapshot(), "unsigned marks");
}

#[test]
fn a_point_that_is_doomed_or_dead_is_neither_shown_nor_continued() {
    for mark in [Mark::Doomed, Mark::Dead] {
        let world = world();
        let first = world.backup();
        let second = world.backup();
        put_mark(&world, second.point, mark);
        assert_eq!(world.points().iter().map(|point| point.id).collect::<Vec<_>>(), [first.point]);
        let third = world.backup();
        assert_ne!(third.parent, Some(second.point.session), "{mark:?}");
        world.assert_restores(third.point, &world.source.snapshot(), "beside a point that goes");
    }
}

#[test]
fn a_retired_point_is_hidden_and_comes_back_with_its_mark() {
    let world = world();
    let (first, second) = (world.backup(), world.backup());
    let mark = put_mark(&world, second.point, Mark::Retired);
    let latest = |world: &World| repository::read::resolve(&world.domain(), Some(VOLUME), "latest").expect("a latest");
    assert_eq!(latest(&world), first.point);
    assert_eq!(world.points().len(), 1);
    world.delete(&mark);
    assert_eq!(latest(&world), second.point);
    world.assert_restores(second.point, &world.source.snapshot(), "not hidden any more");
}

#[test]
fn a_parent_that_cannot_be_opened_costs_space_not_the_backup() {
    let world = world();
    let first = world.backup();
    let name = layout::point(world.domain().id(), first.point.volume, first.point.session);
    let mut bytes = world.object(&name).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.put(&name, bytes.into());
    let second = world.backup();
    assert_eq!(second.parent, None);
    world.assert_restores(second.point, &world.source.snapshot(), "on its own");
}

#[test]
fn a_parent_without_its_tables_never_makes_a_wrong_point() {
    let world = world();
    world.backup();
    for name in world.names().into_iter().filter(|name| name.contains("/packs/")) {
        world.delete(&name);
    }
    world.source.clock().advance(Duration::from_secs(10));
    match backup(&world.domain(), &world.source, &world.options()) {
        Ok(report) => world.assert_restores(report.point, &world.source.snapshot(), "without its parent's tables"),
        Err(error) => assert!(matches!(error.class(), ErrorClass::Missing | ErrorClass::Corrupt), "{error}"),
    }
}

#[test]
fn a_full_store_ends_the_run_and_leaves_what_was() {
    let world = world();
    let first = world.backup();
    let before = world.source.snapshot();
    world
        .source
        .with(|tree| tree.file("more").and_then(|inode| tree.edit(inode, |content| content.write(0, &[1; 100_000]))))
        .expect("an edit");
    let domain = world.domain().id();
    for prefix in [layout::packs(domain), layout::points(domain), layout::sessions(domain)] {
        let faults = Faults::seeded(1);
        faults.add(Rule::on(Operation::Put, &prefix, Effect::Fail(Failure::Full)));
        world.source.clock().advance(Duration::from_secs(10));
        let error = backup(&world.faulty_domain(&faults), &world.source, &world.options()).expect_err("no space");
        assert!(error.to_string().contains("full"), "{error}");
        assert_eq!(world.points().len(), 1, "{prefix}");
        world.assert_restores(first.point, &before, "what was");
        world.assert_sound("after a full store");
    }
    let report = world.backup();
    world.assert_restores(report.point, &world.source.snapshot(), "when there is space again");
}

#[test]
fn a_run_that_is_stopped_commits_nothing() {
    let world = world();
    let options = world.options();
    options.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = backup(&world.domain(), &world.source, &options).expect_err("stopped");
    assert_eq!(error.class(), ErrorClass::Cancelled, "{error}");
    assert_eq!(world.points(), []);
}

#[test]
fn keys_of_a_domain_may_be_rotated_between_backups() {
    let world = world();
    let first = world.backup();
    let before = world.source.snapshot();
    world.repository.rotate_domain(&world.store(), "default", &mut SystemRandom).expect("new keys");
    world
        .source
        .with(|tree| tree.file("more").and_then(|inode| tree.edit(inode, |content| content.write(0, &[1; 100_000]))))
        .expect("an edit");
    let second = world.backup();
    assert_eq!(second.parent, Some(first.point.session));
    world.assert_restores(first.point, &before, "under the old keys");
    world.assert_restores(second.point, &world.source.snapshot(), "under both");
    world.assert_sound("two epochs");
}

#[test]
fn a_session_at_work_shows_life_once_in_a_while_and_not_more() {
    let world = world();
    let hours = Duration::from_secs(3_600);
    let clock = world.source.clock();
    world.source.when(Moment::Stat, None, Action::change(move |_| clock.advance(7 * hours)), 4);
    let report = backup(&world.domain(), &world.source, &world.options()).expect("a long backup");
    let beats = |session: model::SessionId| {
        let own = |name: &String| matches!(ParsedName::parse(name), Ok(ParsedName::SessionBeat { session: of, .. }) if of == session);
        world.names().iter().filter(|name| own(name)).count()
    };
    // Four times seven hours in which no pack was put.
    assert_eq!(beats(report.point.session), 4);
    let again = world.backup();
    assert_eq!(beats(again.point.session), 0, "a short one needs none");
}
