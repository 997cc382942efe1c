//! Checkpoints go when they were continued, or when nobody continued them for long enough.

use std::time::Duration;

use repository::generated::GeneratedSource;
use repository::upkeep::{CollectOptions, DoomReason};
use repository::write::{BackupOptions, backup};

use super::super::world::World;
use super::{run, without_grace};

#[test]
fn a_checkpoint_goes_when_it_was_continued_and_stays_until_then() {
    let world = World::new(1, GeneratedSource::empty());
    world.add_large_file("large", 3);
    let options = BackupOptions { checkpoint_bytes: 8 << 20, ..world.options() };
    world.backup_cut_off(&options, 1);
    let [checkpoint] = world.points()[..].to_vec().try_into().expect("one checkpoint");
    assert!(checkpoint.checkpoint);
    run(&world, &without_grace());
    assert_eq!(world.points().len(), 1, "a checkpoint stays until it is continued");
    let report = backup(&world.domain(), &world.source, &options).expect("it goes on");
    let collected = run(&world, &without_grace());
    let why: Vec<_> = collected.collection.dooms.iter().map(|doom| doom.why).collect();
    assert_eq!(why, vec![DoomReason::CheckpointContinued; why.len()]);
    assert!(!why.is_empty());
    assert_eq!(world.points().iter().map(|point| point.id).collect::<Vec<_>>(), [report.point]);
    world.assert_restores(report.point, &world.source.snapshot(), "the point that continued it");
    world.assert_sound("without checkpoints");
    // Nobody continued this one for longer than it may stay.
    world.add_large_file("larger", 7);
    world.backup_cut_off(&options, 1);
    let expired = run(&world, &CollectOptions { checkpoint_age: Duration::ZERO, ..without_grace() });
    assert_eq!(
        expired.collection.dooms.iter().map(|doom| doom.why).collect::<Vec<_>>(),
        [DoomReason::CheckpointExpired]
    );
}
