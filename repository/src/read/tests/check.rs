//! What a check finds, and what it does not take for damage.

use super::*;

pub(super) fn checked_at(world: &World, level: CheckLevel) -> CheckReport {
    let options = CheckOptions { level, workers: 2, ..CheckOptions::default() };
    check(&world.domain(), &options).unwrap()
}

pub(super) fn checked(world: &World, read_data: bool) -> CheckReport {
    checked_at(world, if read_data { CheckLevel::Data } else { CheckLevel::Structure })
}

fn assert_sound(world: &World) {
    for read_data in [false, true] {
        let report = checked(world, read_data);
        assert_eq!((report.damaged, report.affected), (vec![], vec![]));
        assert_eq!(report.outcome, CheckOutcome::Ok);
    }
}

#[test]
fn a_repository_that_was_only_written_is_sound() {
    for seed in 1..4 {
        let world = World::new(GeneratedSource::new(seed, &Shape::mixed()));
        for step in 0..4 {
            world.backup();
            world.source.operate(&mut Dice::new(seed * 10 + step), &Shape::mixed(), 5);
        }
        assert_sound(&world);
        let report = checked(&world, false);
        assert_eq!((report.points, report.packs_not_needed, report.unknown_objects), (4, 0, 0));
    }
}

#[test]
fn a_damaged_blob_is_found_by_reading_and_names_the_paths_in_it_and_no_others() {
    let world = World::known();
    let first = world.backup();
    world.source.with(|tree| {
        let large = tree.lookup(&[b"large"]).unwrap();
        tree.edit(large, |content| content.set_size(10)).unwrap();
    });
    let second = world.backup();
    let session = first.session.to_string();
    let pack = world.objects("/packs/").into_iter().find(|name| name.contains(&session)).unwrap();
    world.flip(&pack, 2000);
    assert_eq!(checked(&world, false).outcome, CheckOutcome::Ok, "the structure is as it was");
    let report = checked(&world, true);
    assert_eq!(report.damaged.iter().map(|damaged| &damaged.object).collect::<Vec<_>>(), [&pack]);
    let affected: Vec<_> = report.affected.iter().map(|affected| (affected.point, affected.paths.clone())).collect();
    assert_eq!(affected, [(first, vec!["large".to_owned()])], "the second point {second:?} does not need it any more");
}

#[test]
fn a_missing_pack_affects_every_point_that_needs_it() {
    let world = World::known();
    let made = [world.backup(), world.backup()];
    let packs = world.objects("/packs/");
    world.store().delete(&packs[0]).unwrap();
    let report = checked(&world, false);
    assert_eq!(report.outcome, CheckOutcome::Damaged);
    assert!(report.damaged.iter().any(|damaged| damaged.object == packs[0] && damaged.what.contains("missing")));
    let affected: Vec<PointId> = report.affected.iter().map(|affected| affected.point).collect();
    assert_eq!(affected, made);
    assert!(report.affected.iter().all(|affected| affected.volume == "volume" && affected.paths_count > 0));
}

#[test]
fn damaged_points_and_announcements_are_named_and_the_others_are_checked() {
    let world = World::known();
    let made = [world.backup(), world.backup(), world.backup()];
    let domain = world.domain();
    let point = layout::point(domain.id(), made[0].volume, made[0].session);
    world.flip(&point, 500);
    let open = layout::session_open(domain.id(), made[1].session);
    world.flip(&open, 250);
    let report = checked(&world, false);
    assert_eq!(report.damaged.iter().map(|damaged| damaged.object.as_str()).collect::<Vec<_>>(), [&*point, &*open]);
    assert_eq!(report.affected.len(), 1);
    assert_eq!((report.affected[0].point, report.affected[0].paths.as_slice()), (made[0], &[".".to_owned()][..]));
    assert_eq!(report.points, 3);
}

#[test]
fn a_point_that_another_continued_and_that_is_gone_is_missed() {
    let world = World::known();
    let first = world.backup();
    world.backup();
    let domain = world.domain();
    let point = layout::point(domain.id(), first.volume, first.session);
    world.store().delete(&point).unwrap();
    let report = checked(&world, false);
    assert_eq!(report.damaged.iter().map(|damaged| damaged.object.as_str()).collect::<Vec<_>>(), [&*point]);
    // A collector takes the announcement first: then it was meant.
    world.store().delete(&layout::session_open(domain.id(), first.session)).unwrap();
    assert_eq!(checked(&world, false).outcome, CheckOutcome::Ok);
}

#[test]
fn what_nobody_needs_is_counted_and_not_damage() {
    let world = World::known();
    world.backup();
    let domain = world.domain();
    let session = domain.new_session().unwrap();
    world.store().put(&layout::pack(domain.id(), session, 0), Bytes::from_static(b"not a pack")).unwrap();
    world.store().put(&format!("{}/strange", layout::packs(domain.id())), Bytes::from_static(b"?")).unwrap();
    let report = checked(&world, true);
    assert_eq!((report.outcome, report.packs_not_needed, report.unknown_objects), (CheckOutcome::Ok, 1, 1));
}

#[test]
fn one_volume_can_be_checked_alone() {
    let world = World::known();
    let other = world.backup_as("other");
    world.backup();
    world.flip(&layout::point(world.domain().id(), other.volume, other.session), 500);
    let only = |volume: &str| {
        let options = CheckOptions { volume: Some(volume.to_owned()), ..CheckOptions::default() };
        check(&world.domain(), &options).unwrap().outcome
    };
    assert_eq!((only("volume"), only("other")), (CheckOutcome::Ok, CheckOutcome::Damaged));
}
