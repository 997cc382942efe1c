//! What is backed up comes back: every earlier state, after every later backup.

use repository::generated::{Dice, GeneratedSource, Shape, Tree};
use repository::point::Outcome;
use repository::session::PointId;
use repository::store::{OpenMode, open};
use repository::write::{BackupOptions, backup};
use tests::folder::Folder;

use super::world::{World, seeds};

/// Increments after the first backup.
const INCREMENTS: usize = 5;

/// Backs up, changes, backs up again; after every backup every point so far is restored.
fn every_state_comes_back(world: &World, seed: u64, shape: &Shape) {
    let mut dice = Dice::new(seed ^ 0xdead_beef);
    let mut states: Vec<(PointId, Tree)> = Vec::new();
    let mut done = Vec::new();
    for increment in 0..=INCREMENTS {
        if increment > 0 {
            done = world.source.operate(&mut dice, shape, 12);
        }
        // Sometimes at once: then stamps are too young to be relied on, and the next change may come within the same tick.
        let report = match dice.below(3) {
            0 => backup(&world.domain(), &world.source, &world.options()).expect("a backup at once"),
            _ => world.backup(),
        };
        assert_eq!((report.outcome, report.missed), (Outcome::Complete, 0), "seed {seed}: {:?}", report.not_captured);
        assert_eq!(report.parent, states.last().map(|(point, _)| point.session), "seed {seed}, increment {increment}");
        states.push((report.point, world.source.snapshot()));
        for (number, (point, expected)) in states.iter().enumerate() {
            let what =
                format!("seed {seed}, {shape:?}, point {number} after increment {increment} ({})", done.join("; "));
            world.assert_restores(*point, expected, &what);
        }
    }
    world.assert_sound(&format!("seed {seed}, {shape:?}"));
}

#[test]
fn every_state_of_a_mixed_tree_comes_back_after_every_increment() {
    for seed in seeds(6) {
        let shape = Shape::mixed();
        every_state_comes_back(&World::new(seed, GeneratedSource::new(seed, &shape)), seed, &shape);
    }
}

#[test]
fn every_state_of_a_tree_without_handles_comes_back() {
    for seed in seeds(4) {
        let shape = Shape::mixed().without_handles();
        every_state_comes_back(&World::new(seed, GeneratedSource::new(seed, &shape)), seed, &shape);
    }
}

#[test]
fn every_state_of_a_small_tree_comes_back() {
    for seed in seeds(25) {
        let shape = Shape::tiny();
        every_state_comes_back(&World::new(seed, GeneratedSource::new(seed, &shape)), seed, &shape);
    }
}

#[test]
fn every_state_of_a_tree_of_many_files_comes_back() {
    for seed in seeds(1) {
        let shape = Shape::many();
        every_state_comes_back(&World::new(seed, GeneratedSource::new(seed, &shape)), seed, &shape);
    }
}

#[test]
fn a_repository_in_a_directory_gives_back_every_state() {
    for seed in seeds(1) {
        let (shape, folder) = (Shape::tiny(), Folder::new("engine"));
        let base = open(folder.path().to_str().expect("UTF-8"), &|_| None, OpenMode::Create).expect("a directory");
        every_state_comes_back(&World::on(base, seed, GeneratedSource::new(seed, &shape)), seed, &shape);
    }
}

#[test]
fn a_long_row_of_increments_comes_back_whatever_was_merged() {
    for seed in seeds(1) {
        let shape = Shape::tiny();
        let world = World::new(seed, GeneratedSource::new(seed, &shape));
        let (mut dice, mut states) = (Dice::new(seed), Vec::new());
        for _ in 0..40 {
            world.source.operate(&mut dice, &shape, 4);
            states.push((world.backup().point, world.source.snapshot()));
        }
        for (number, (point, expected)) in states.iter().enumerate() {
            world.assert_restores(*point, expected, &format!("seed {seed}, point {number} of 40"));
        }
        world.assert_sound("40 increments");
    }
}

#[test]
fn two_volumes_of_one_domain_do_not_disturb_each_other() {
    let shape = Shape::tiny();
    let world = World::new(1, GeneratedSource::new(1, &shape));
    let other = GeneratedSource::new(2, &shape);
    let options = BackupOptions { volume: "other".into(), ..world.options() };
    let first = world.backup();
    let second = backup(&world.domain(), &other, &options).expect("the other volume");
    assert_eq!(second.parent, None);
    let again = world.backup();
    assert_eq!(again.parent, Some(first.point.session));
    world.assert_restores(again.point, &world.source.snapshot(), "this volume");
    world.assert_restores(second.point, &other.snapshot(), "the other volume");
}

#[test]
fn an_empty_tree_comes_back() {
    let world = World::new(1, GeneratedSource::empty());
    for what in ["first", "again"] {
        let report = world.backup();
        world.assert_restores(report.point, &world.source.snapshot(), what);
    }
}
