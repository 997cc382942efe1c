//! A raw copy of a repository, made object by object while others were at work, becomes one that is consistent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use repository::generated::{Dice, GeneratedSource, Shape};
use repository::layout;
use repository::read;
use repository::session::{PointId, Session, read_reference};
use repository::store::Bytes;
use repository::tree::PackId;
use repository::upkeep::{CollectOptions, Keeper, adopt, collect, plan_adoption, retire};
use repository::write::{BackupOptions, backup};

use super::world::{VOLUME, World};

fn world() -> World {
    let world = World::new(1, GeneratedSource::new(1, &Shape::tiny()));
    world.source.clock().advance(Duration::from_secs(10));
    world
}

fn keeper(world: &World) -> Keeper {
    Keeper::new(world.domain(), Arc::new(world.repository.upkeep().expect("the key"))).expect("a keeper")
}

fn backup_of(world: &World, volume: &str) -> PointId {
    let options = BackupOptions { volume: volume.to_owned(), ..world.options() };
    backup(&world.domain(), &world.source, &options).expect("a backup").point
}

fn collect_at_once(world: &World) {
    let options = CollectOptions {
        grace: Duration::ZERO,
        session_grace: Duration::ZERO,
        share_percent_max: 100,
        ..CollectOptions::default()
    };
    collect(&keeper(world), &options).expect("a collector run");
}

fn valid(world: &World) -> BTreeSet<PointId> {
    let list = read::points_with_hidden(&world.domain(), None).expect("a list");
    list.points.iter().map(|point| point.id).collect()
}

fn packs(world: &World, point: PointId) -> Vec<PackId> {
    read_reference(&world.domain(), point).expect("a reference").packs.iter().map(|(pack, _)| pack).collect()
}

#[test]
fn what_a_copy_has_not_whole_is_taken_out_and_the_rest_is_sound() {
    let world = world();
    let made = ["first", "second", VOLUME].map(|volume| backup_of(&world, volume));
    // A session that was at work, a point whose announcement was not copied.
    Session::open(&world.domain(), made[2].volume, Vec::new(), "at work").expect("a session");
    let lost = backup_of(&world, "lost");
    world.delete(&layout::session_open(world.domain().id(), lost.session));
    let whole = world.copy();
    let torn = world.domain().pack_name(packs(&world, made[0])[0]);
    let table = *packs(&world, made[1]).last().expect("a pack");
    type Harm = fn(&World, &str);
    let harms: [(&str, Harm); 3] = [
        ("missing", |world, name| world.delete(name)),
        ("empty", |world, name| world.put(name, Bytes::new())),
        ("cut off", |world, name| world.put(name, world.object(name).slice(..100))),
    ];
    for (what, harm) in harms {
        // Where tables lie, sizes are known; elsewhere only what is missing or empty shows.
        let name = if what == "cut off" { world.domain().pack_name(table) } else { torn.clone() };
        let (bad, copy) = (if what == "cut off" { made[1] } else { made[0] }, whole.copy());
        harm(&copy, &name);
        let before = copy.names();
        let planned = plan_adoption(&copy.domain()).expect("a plan");
        assert_eq!(copy.names(), before, "{what}: a plan writes nothing");
        let report = adopt(&keeper(&copy)).expect("adopted");
        assert_eq!(report, planned);
        assert_eq!(report.incomplete.iter().map(|found| found.point).collect::<Vec<_>>(), [bad], "{what}");
        assert!(report.incomplete[0].what.contains(&name), "{what}: {:?}", report.incomplete);
        assert_eq!((report.complete, report.unannounced, report.running), (2, 1, 1), "{what}");
        assert_eq!(valid(&copy), made.into_iter().filter(|point| *point != bad).collect(), "{what}");
        copy.assert_restores(made[2], &copy.source.snapshot(), what);
        (0..3).for_each(|_| collect_at_once(&copy));
        copy.assert_sound(what);
        assert_eq!(adopt(&keeper(&copy)).expect("again").incomplete, []);
    }
    assert_eq!(adopt(&keeper(&whole)).expect("adopted").incomplete, [], "nothing is missing, nothing goes");
}

#[test]
fn a_copy_made_while_writers_and_collectors_were_at_work_can_be_adopted() {
    let pristine = world();
    let (mut dice, shape) = (Dice::new(9), Shape::tiny());
    let first = pristine.backup().point;
    pristine.source.operate(&mut dice, &shape, 5);
    pristine.backup();
    let names = pristine.names();
    let mut incomplete = 0;
    for k in 0..=names.len() {
        let world = pristine.copy();
        let copy = world.elsewhere();
        let mut copied = BTreeSet::new();
        let mut copy_all = |names: &[String]| {
            for name in names {
                if let Ok(bytes) = world.store().get(name) {
                    copy.put(name, bytes);
                    copied.insert(name.clone());
                }
            }
        };
        copy_all(&names[..k]);
        // As `cp -r` would, names that came later are found where the copy has not been yet.
        retire(&keeper(&world), &[first]).expect("retired");
        collect_at_once(&world);
        world.source.operate(&mut dice, &shape, 5);
        world.backup();
        let reached = names.get(k).cloned().unwrap_or_else(|| "~".to_owned());
        copy_all(&world.names().into_iter().filter(|name| *name >= reached).collect::<Vec<_>>());
        let what = format!("before object {k}");
        if !copy.names().iter().any(|name| name.contains("/keys/")) {
            continue;
        }
        let report = adopt(&keeper(&copy)).unwrap_or_else(|error| panic!("{what}: {error}"));
        incomplete += report.incomplete.len();
        for point in valid(&copy) {
            let there = copy.names();
            assert!(packs(&copy, point).iter().all(|pack| there.contains(&copy.domain().pack_name(*pack))), "{what}");
        }
        (0..3).for_each(|_| collect_at_once(&copy));
        copy.assert_sound(&what);
    }
    assert!(incomplete > 0, "no copy was torn");
}

#[test]
fn a_replica_is_not_adopted() {
    let world = world();
    backup_of(&world, VOLUME);
    world.put("features/replica.collect", Bytes::new());
    let error = adopt(&keeper(&world)).expect_err("a replica");
    assert!(error.to_string().contains("replica"), "{error}");
}
