//! The collector: what nobody needs goes, what anybody needs stays, whoever stops where.

#[path = "collect/checkpoints.rs"]
mod checkpoints;
#[path = "collect/company.rs"]
mod company;
#[path = "collect/doubt.rs"]
mod doubt;
#[path = "collect/interleaved.rs"]
mod interleaved;
#[path = "collect/killed.rs"]
mod killed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorClass;
use repository::generated::{Dice, GeneratedSource, Shape, Tree};
use repository::layout::{self, Mark, ParsedName};
use repository::point::{PackSet, Reference};
use repository::read;
use repository::session::{PointId, Session, read_reference};
use repository::store::Bytes;
use repository::tree::PackId;
use repository::upkeep::{
    CollectOptions, CollectReport, DoomReason, Keeper, collect, plan_collection, retire, undelete,
};
use repository::write::{BackupOptions, backup};
use tests::folder::Folder;

use super::world::{VOLUME, World, seeds};

const DAY: Duration = Duration::from_secs(86_400);

fn world(seed: u64) -> World {
    let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
    world.source.clock().advance(Duration::from_secs(10));
    world
}

fn keeper(world: &World) -> Keeper {
    Keeper::new(world.domain(), Arc::new(world.repository.upkeep().expect("the upkeep key"))).expect("a keeper")
}

/// Nothing is waited for, everything may go: the strictest collector there is.
fn at_once() -> CollectOptions {
    CollectOptions {
        grace: Duration::ZERO,
        session_grace: Duration::ZERO,
        share_percent_max: 100,
        ..CollectOptions::default()
    }
}

/// Retired points go, sessions are left alone.
fn without_grace() -> CollectOptions {
    CollectOptions { session_grace: DAY, ..at_once() }
}

fn run(world: &World, options: &CollectOptions) -> CollectReport {
    collect(&keeper(world), options).unwrap_or_else(|error| panic!("a collector run: {error}"))
}

fn reference(world: &World, point: PointId) -> Reference {
    read_reference(&world.domain(), point).expect("a reference part")
}

fn packs(world: &World) -> BTreeSet<PackId> {
    let pack = |name: &String| match ParsedName::parse(name) {
        Ok(ParsedName::Pack { session, sequence, .. }) => Some(PackId { session, seq: sequence }),
        _ => None,
    };
    world.names().iter().filter_map(pack).collect()
}

fn stored_bytes(world: &World) -> u64 {
    world.store().list("").expect("a list").iter().map(|listed| listed.size).sum()
}

/// Exactly the valid points, their announcements and what they need are there, besides keys.
fn assert_exact(world: &World, what: &str) {
    let points = read::points_with_hidden(&world.domain(), None).expect("a list").points;
    let mut needed = PackSet::default();
    points.iter().for_each(|point| needed.add_all(&reference(world, point.id).packs));
    let domain = world.domain().id();
    let mut expected: BTreeSet<String> = needed.iter().map(|(pack, _)| world.domain().pack_name(pack)).collect();
    for point in &points {
        expected.insert(layout::point(domain, point.id.volume, point.id.session));
        expected.insert(layout::session_open(domain, point.id.session));
    }
    let of_interest = |name: &String| {
        let below = [layout::packs(domain), layout::points(domain), layout::sessions(domain), layout::marks(domain)];
        below.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    // `abort` on a point that came in time means nothing, and stays as long as the point.
    let means_nothing = |name: &String| match ParsedName::parse(name) {
        Ok(ParsedName::Mark { session, mark: Mark::Abort, .. }) => {
            points.iter().any(|point| point.id.session == session)
        }
        _ => false,
    };
    let names = world.names().into_iter().filter(of_interest);
    let found: BTreeSet<String> = names.filter(|name| !means_nothing(name)).collect();
    assert_eq!(found, expected, "{what}");
}

/// Three points of a tree that changes; returns them with the states they hold.
fn three_points(world: &World) -> Vec<(PointId, Tree)> {
    let (mut dice, shape) = (Dice::new(9), Shape::tiny());
    let mut points = Vec::new();
    for _ in 0..3 {
        world.source.operate(&mut dice, &shape, 20);
        points.push((world.backup().point, world.source.snapshot()));
    }
    points
}

/// Points of three volumes: none needs a pack of another.
fn three_points_apart() -> (World, Vec<(PointId, Tree)>) {
    let world = world(1);
    let one = |volume: &str| {
        let options = BackupOptions { volume: volume.to_owned(), ..world.options() };
        let report = backup(&world.domain(), &world.source, &options).expect("a backup");
        (report.point, world.source.snapshot())
    };
    let points = ["first", "second", VOLUME].map(one).to_vec();
    (world, points)
}

#[test]
fn what_no_restore_point_needs_goes_and_the_rest_stays_whole() {
    for seed in seeds(3) {
        let world = world(seed);
        let points = three_points(&world);
        retire(&keeper(&world), &[points[0].0, points[1].0]).expect("retired");
        let before = packs(&world);
        let report = run(&world, &without_grace());
        assert_eq!(report.collection.dooms.len(), 2);
        assert!(report.collection.dooms.iter().all(|doom| doom.why == DoomReason::Retired));
        let (kept, needed) = (packs(&world), reference(&world, points[2].0).packs);
        assert_eq!(kept, needed.iter().map(|(pack, _)| pack).collect(), "seed {seed}");
        assert_eq!(report.deleted.packs as usize, before.len() - kept.len());
        assert_exact(&world, "after one run");
        world.assert_restores(points[2].0, &points[2].1, "the point that stayed");
        world.assert_sound("after a run");
        let again = run(&world, &without_grace());
        assert_eq!(
            (again.deleted.packs, again.deleted.names, again.collection.dooms.len()),
            (0, 0, 0),
            "nothing is left"
        );
    }
}

#[test]
fn what_a_volume_had_goes_with_its_points() {
    let (world, points) = three_points_apart();
    let before = stored_bytes(&world);
    retire(&keeper(&world), &[points[0].0, points[1].0]).expect("retired");
    let report = run(&world, &without_grace());
    assert!(report.collection.packs.iter().all(|gone| gone.accounted), "{:?}", report.collection.packs);
    assert!(stored_bytes(&world) < before / 2, "{before} bytes became {}", stored_bytes(&world));
    assert_exact(&world, "one of three");
    world.assert_restores(points[2].0, &points[2].1, "one of three");
    world.assert_sound("one of three");
}

#[test]
fn the_grace_period_counts_from_the_retirement_and_by_the_store() {
    let world = world(1);
    let points = three_points(&world);
    let before = world.names();
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    // Years pass on this machine, and the mark is a moment old by the store.
    world.source.clock().advance(1000 * DAY);
    let report = run(&world, &CollectOptions { share_percent_max: 100, ..CollectOptions::default() });
    assert_eq!((report.collection.dooms.len(), report.deleted.packs), (0, 0));
    assert_eq!(world.names().len(), before.len() + 1, "only the mark came");
    assert_eq!(world.points().len(), 2, "it is hidden");
    world.assert_sound("hidden");
}

#[test]
fn a_hidden_point_is_shown_again_as_a_new_one_and_outlives_the_old() {
    let world = world(2);
    let points = three_points(&world);
    retire(&keeper(&world), &[points[0].0, points[1].0, points[2].0]).expect("retired");
    assert_eq!(world.points(), []);
    let shown = undelete(&keeper(&world), points[1].0, "test").expect("within the grace period");
    assert_eq!(shown.hidden, points[1].0);
    run(&world, &without_grace());
    assert_eq!(world.points().iter().map(|point| point.id).collect::<Vec<_>>(), [shown.point]);
    world.assert_restores(shown.point, &points[1].1, "what was undeleted");
    world.assert_sound("after an undelete");
    let error = undelete(&keeper(&world), points[0].0, "test").expect_err("it is gone");
    assert_eq!(error.class(), ErrorClass::Missing, "{error}");
    run(&world, &at_once());
    run(&world, &at_once());
    assert_exact(&world, "the session of the failed undelete went as well");
}

#[test]
fn a_running_session_keeps_its_packs_and_those_of_its_pins() {
    let world = world(3);
    let points = three_points(&world);
    let domain = world.domain();
    let session = Session::open(&domain, points[0].0.volume, vec![points[0].0], "test").expect("a session");
    let own = domain.pack_name(PackId { session: session.id(), seq: 0 });
    world.put(&own, Bytes::from_static(b"on its way"));
    retire(&keeper(&world), &[points[0].0, points[1].0]).expect("retired");
    let report = run(&world, &without_grace());
    assert_eq!((report.collection.running, report.ended.len()), (1, 0));
    assert!(world.names().contains(&own), "a pack of a running session was deleted");
    let pinned = reference(&world, points[0].0).packs;
    assert!(pinned.iter().all(|(pack, _)| packs(&world).contains(&pack)), "a pin lost a pack");
    // Silent for longer than the grace: ended, and gone with the next run.
    let report = run(&world, &at_once());
    assert_eq!(report.ended.len(), 1);
    assert_eq!(report.ended[0].writer, "test");
    assert!(world.names().contains(&own), "an end takes effect from the next run on");
    run(&world, &at_once());
    assert_exact(&world, "after its end");
    world.assert_restores(points[2].0, &points[2].1, "the point that stayed");
}

#[test]
fn a_session_that_was_ended_fails_and_its_packs_go() {
    let world = world(4);
    let points = three_points(&world);
    world.source.operate(&mut Dice::new(5), &Shape::tiny(), 20);
    world.source.clock().advance(Duration::from_secs(10));
    let other = keeper(&world);
    world.source.when(
        repository::generated::Moment::StillThere,
        None,
        repository::generated::Action::change(move |_| {
            collect(&other, &at_once()).expect("a collector run");
        }),
        1,
    );
    let error = backup(&world.domain(), &world.source, &world.options()).expect_err("it was ended");
    assert_eq!(error.class(), ErrorClass::Busy, "{error}");
    run(&world, &at_once());
    run(&world, &at_once());
    assert_exact(&world, "two runs after everybody stopped");
    for (point, tree) in &points {
        world.assert_restores(*point, tree, "what was there before");
    }
}

#[test]
fn a_plan_writes_nothing_and_says_what_the_run_does() {
    let (world, points) = three_points_apart();
    retire(&keeper(&world), &[points[0].0, points[1].0]).expect("retired");
    // A plan goes by this machine's clock; here that of the source.
    world.source.clock().advance(10_000 * DAY);
    let domain = world.domain();
    let before = domain.store().requests();
    let planned = plan_collection(&domain, &without_grace()).expect("a plan");
    let sent = domain.store().requests().since(before);
    assert_eq!((sent.put, sent.delete), (0, 0));
    assert_eq!(planned.deleted, Default::default());
    let done = run(&world, &without_grace());
    assert_eq!(done.collection, planned.collection);
    assert_eq!(done.deleted.bytes, planned.collection.gone_bytes());
    assert!(done.deleted.bytes > 0);
}

#[test]
fn a_point_whose_announcement_is_lost_keeps_its_packs_until_it_was_retired_for_long_enough() {
    let world = world(9);
    let points = three_points(&world);
    let open = layout::session_open(world.domain().id(), points[1].0.session);
    let announcement = world.object(&open);
    world.delete(&open);
    let report = run(&world, &CollectOptions { grace: DAY, ..at_once() });
    assert_eq!(report.collection.lost_announcements, [points[1].0]);
    assert!(reference(&world, points[1].0).packs.iter().all(|(pack, _)| packs(&world).contains(&pack)));
    // A replica gives it back: hidden, but whole.
    world.put(&open, announcement);
    world.assert_restores(points[1].0, &points[1].1, "given back");
    world.delete(&open);
    run(&world, &at_once());
    assert_exact(&world, "gone");
}

#[test]
fn what_was_read_of_a_point_once_is_not_asked_for_again() {
    let world = world(1);
    let points = three_points(&world);
    let folder = Folder::new("references");
    let options = CollectOptions { cache_directory: Some(folder.path().to_owned()), ..without_grace() };
    let gets = |options: &CollectOptions| {
        let keeper = keeper(&world);
        let before = keeper.domain().store().requests();
        let report = collect(&keeper, options).expect("a run");
        (keeper.domain().store().requests().since(before).get, report)
    };
    // One asks for the time, one whether the run still counts.
    assert_eq!([gets(&options).0, gets(&options).0], [5, 2]);
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert_eq!(files.len(), 3);
    // What rots is asked for again, and what it said is not believed.
    std::fs::write(&files[0], b"not what was there").expect("a file");
    std::fs::write(&files[1], std::fs::read(&files[2]).expect("a file")).expect("a file");
    assert_eq!([gets(&options).0, gets(&options).0], [4, 2]);
    retire(&keeper(&world), &[points[0].0]).expect("retired");
    let (asked, report) = gets(&options);
    assert_eq!((asked, report.collection.dooms.len()), (2, 1));
    gets(&options);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "those that are gone are forgotten");
    world.assert_sound("with a cache");
}
