//! Every kind of object, damaged in every way: check finds it, a restore never writes a wrong byte.

use std::time::Duration;

use repository::generated::{Dice, GeneratedSource, MemoryTarget, Shape, Tree, difference};
use repository::keys::{Unlock, open_repository};
use repository::layout::REPOSITORY;
use repository::read::CheckOutcome;
use repository::session::PointId;
use repository::store::Bytes;

use super::world::{World, seeds};

/// What is done to an object.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Missing,
    Empty,
    /// Cut to this many hundredths of its length.
    Cut(usize),
    /// One byte more at its end.
    Longer,
    /// One bit, at this many thousandths of its length.
    Flip(usize),
    /// One bit of the last byte.
    FlipLast,
    /// The bytes of another object of its kind, by its distance in the list.
    Other(usize),
}

fn all_damages(flips: usize) -> Vec<Damage> {
    let mut all = vec![
        Damage::Missing,
        Damage::Empty,
        Damage::Cut(50),
        Damage::Cut(99),
        Damage::Longer,
        Damage::FlipLast,
        Damage::Other(1),
        Damage::Other(2),
    ];
    all.extend((0..flips).map(|flip| Damage::Flip(flip * 1000 / flips)));
    all
}

/// Damages an object of a copy; `None`: there is nothing to damage in this way.
fn damaged(world: &World, names: &[String], index: usize, damage: Damage) -> Option<World> {
    let name = names.get(index)?;
    let bytes = world.object(name).to_vec();
    let mut changed = bytes.clone();
    match damage {
        Damage::Missing => {
            let copy = world.copy();
            copy.delete(name);
            return Some(copy);
        }
        Damage::Empty => changed.clear(),
        Damage::Cut(hundredths) => changed.truncate(bytes.len() * hundredths / 100),
        Damage::Longer => changed.push(0),
        Damage::Flip(thousandths) => *changed.get_mut(bytes.len() * thousandths / 1000)? ^= 1 << (thousandths % 8),
        Damage::FlipLast => *changed.last_mut()? ^= 0x80,
        Damage::Other(distance) => {
            let other = &names[(index + distance) % names.len()];
            changed = world.object(other).to_vec();
        }
    }
    if changed == bytes {
        return None;
    }
    let copy = world.copy();
    copy.put(name, Bytes::from(changed));
    Some(copy)
}

/// Three states of a small tree, all of it in several packs.
fn prepared(seed: u64) -> (World, Vec<(PointId, Tree)>) {
    let shape = Shape::tiny();
    let world = World::new(seed, GeneratedSource::new(seed, &shape));
    let (mut dice, mut states) = (Dice::new(seed), Vec::new());
    for state in 0..3 {
        world.source.with(|tree| {
            // A name of its own: the operations may have put anything under an earlier one.
            let inode = tree.file(&format!("large {state}")).expect("a file");
            let first = dice.below(1000);
            tree.edit(inode, |content| {
                (first % 50..60).for_each(|page| content.make_page(page, 3 * (first + page + 1)))
            })
            .expect("pages");
        });
        states.push((world.backup().point, world.source.snapshot()));
        world.source.operate(&mut dice, &shape, 10);
    }
    world.source.clock().advance(Duration::from_secs(10));
    (world, states)
}

fn of_kind(world: &World, is: impl Fn(&str) -> bool) -> Vec<String> {
    world.names().into_iter().filter(|name| is(name)).collect()
}

/// Whatever was written is right, or it was not written: every file that is there is the one of the restore point.
fn assert_nothing_wrong(expected: &Tree, target: &MemoryTarget, what: &str) {
    let restored = target.snapshot();
    for (directory, name, inode) in restored.names() {
        let path = path_of(&restored, directory);
        let mut names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        names.push(&name);
        let Some(original) = expected.lookup(&names).and_then(|inode| expected.node(inode)) else {
            panic!("{what}: {} was never there", name.escape_ascii());
        };
        if let (Some(ours), Some(theirs)) = (original.content(), restored.node(inode).and_then(|node| node.content())) {
            let at = ours.first_difference(theirs);
            assert_eq!(at, None, "{what}: wrong bytes in {}", name.escape_ascii());
        }
    }
}

fn path_of(tree: &Tree, directory: u64) -> Vec<Vec<u8>> {
    let names = tree.names();
    let (mut at, mut path) = (directory, Vec::new());
    while let Some((above, name, _)) = names.iter().find(|(_, _, inode)| *inode == at) {
        path.push(name.clone());
        at = *above;
    }
    path.reverse();
    path
}

/// Restores every point of a damaged repository; returns whether any of them was refused.
fn restore_all(copy: &World, states: &[(PointId, Tree)], what: &str) -> bool {
    let mut refused = false;
    for (point, expected) in states {
        let target = MemoryTarget::default();
        match copy.restore_into(*point, &target, false) {
            Ok(report) if report.failed_count == 0 => {
                assert_eq!(difference(expected, &target.snapshot()), None, "{what}: {point:?} came back changed");
            }
            Ok(_) | Err(_) => refused = true,
        }
        assert_nothing_wrong(expected, &target, what);
    }
    refused
}

fn every_damage_is_noticed(seed: u64, flips: usize, is: impl Fn(&str) -> bool) {
    let (world, states) = prepared(seed);
    world.assert_sound("before any damage");
    let names = of_kind(&world, is);
    assert!(names.len() >= 2, "{names:?}");
    let newest = states.last().map(|(point, _)| format!("{}.point", point.session)).expect("a point");
    let (mut damages, mut unnoticed) = (0, Vec::new());
    for index in 0..names.len() {
        for damage in all_damages(flips) {
            let Some(copy) = damaged(&world, &names, index, damage) else { continue };
            damages += 1;
            let what = format!("seed {seed}, {damage:?} of {}", names[index]);
            restore_all(&copy, &states, &what);
            // The newest point is named by nobody: without it, its session is one that has not committed.
            if matches!(damage, Damage::Missing) && names[index].ends_with(&newest) {
                assert_eq!(copy.points().len(), states.len() - 1, "{what}");
                continue;
            }
            if copy.check(true).is_ok_and(|report| report.outcome == CheckOutcome::Ok) {
                unnoticed.push(what);
            }
        }
    }
    assert!(unnoticed.is_empty(), "check did not notice {} of {damages}: {unnoticed:#?}", unnoticed.len());
}

#[test]
fn every_damage_of_a_pack_is_noticed() {
    for seed in seeds(1) {
        every_damage_is_noticed(seed, 40, |name| name.contains("/packs/"));
    }
}

#[test]
fn every_damage_of_a_point_is_noticed() {
    for seed in seeds(1) {
        every_damage_is_noticed(seed, 40, |name| name.ends_with(".point"));
    }
}

#[test]
fn every_damage_of_an_announcement_is_noticed() {
    let (world, states) = prepared(1);
    let names = of_kind(&world, |name| name.ends_with(".open"));
    for index in 0..names.len() {
        for damage in all_damages(10) {
            let Some(copy) = damaged(&world, &names, index, damage) else { continue };
            let what = format!("{damage:?} of {}", names[index]);
            restore_all(&copy, &states, &what);
            // Without its announcement a point does not count. A collector says by marks that it took it.
            if matches!(damage, Damage::Missing) {
                assert_eq!(copy.points().len(), states.len() - 1, "{what}");
            }
            let report = copy.check(true).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(report.outcome, CheckOutcome::Damaged, "{what}");
        }
    }
}

#[test]
fn a_pack_that_is_gone_names_the_points_and_paths_that_need_it() {
    let (world, states) = prepared(1);
    let first_pack = |name: &str| name.contains("/packs/") && name.contains(&states[0].0.session.to_string());
    for name in of_kind(&world, first_pack) {
        world.delete(&name);
    }
    let report = world.check(false).expect("one lost object does not stop a check");
    assert_eq!(report.outcome, CheckOutcome::Damaged);
    assert!(
        report.damaged.iter().all(|damaged| damaged.object.contains(&states[0].0.session.to_string())),
        "{:?}",
        report.damaged
    );
    let affected: Vec<_> = report.affected.iter().map(|affected| affected.point).collect();
    assert!(affected.contains(&states[0].0), "{affected:?}");
}

#[test]
fn a_damaged_domain_key_is_never_taken_for_another() {
    let (world, _) = prepared(1);
    let names = of_kind(&world, |name| name.ends_with(".key"));
    assert_eq!(names.len(), 1);
    for damage in all_damages(60) {
        let Some(copy) = damaged(&world, &names, 0, damage) else { continue };
        let opened = copy.repository.domain(&copy.store(), "default");
        let usable = opened.is_ok_and(|access| access.writer_keys().is_ok());
        assert!(!usable, "{damage:?}: the keys of the domain were opened");
    }
}

#[test]
fn a_damaged_description_or_key_file_never_opens_another_repository() {
    let (world, _) = prepared(1);
    let is = |name: &str| name == REPOSITORY || name.starts_with("keys/");
    for (index, name) in of_kind(&world, is).iter().enumerate() {
        for damage in all_damages(100) {
            let Some(copy) = damaged(&world, &of_kind(&world, is), index, damage) else { continue };
            // A client that never saw the repository: nothing is pinned.
            let unlock = Unlock::Identities(vec![world.identity.clone()]);
            let Ok(opened) = open_repository(&copy.store(), &unlock, None) else { continue };
            assert_eq!(opened.id(), world.repository.id(), "{damage:?} of {name}");
            assert_eq!(opened.manifest.upkeep_public, world.repository.manifest.upkeep_public, "{damage:?} of {name}");
            assert!(opened.domain(&copy.store(), "default").is_ok(), "{damage:?} of {name}");
        }
    }
}
