//! A backup killed at any request: the old state or the whole new one, and the next run succeeds.

use std::sync::Arc;
use std::time::Duration;

use model::SessionId;
use repository::generated::{Dice, GeneratedSource, Shape, Tree, assert_same_tree};
use repository::store::{Effect, Faults, MeanwhileHook, Rule};
use repository::upkeep::{CollectOptions, Keeper, collect};
use repository::write::{BackupOptions, backup};
use tests::folder::Folder;

use super::world::{World, seeds};

/// No run of a tiny tree sends more requests.
const REQUESTS_MAX: u64 = 400;

/// What must hold after a run was killed: every complete point is a state that was, every checkpoint can be read, nothing is damaged.
fn assert_valid(world: &World, states: &[(SessionId, Tree)], what: &str) {
    world.assert_sound(what);
    for point in world.points() {
        let target = world.restore(point.id).unwrap_or_else(|error| panic!("{what}: {:?}: {error}", point.id));
        if point.checkpoint {
            continue;
        }
        // A point that nobody heard of was committed by the run that died: it is the state of the source.
        let known = states.iter().find(|(session, _)| *session == point.id.session);
        let expected = known.map_or_else(|| world.source.snapshot(), |(_, tree)| tree.clone());
        assert_same_tree(&expected, &target.snapshot(), what);
    }
}

/// Kills a run before or after its k-th request, for every k of `those`, and runs again. Returns a number of requests that a run does not have.
fn kill_at(
    those: impl Iterator<Item = u64>,
    world: &World,
    states: &[(SessionId, Tree)],
    options: &BackupOptions,
) -> u64 {
    for k in those {
        for applied in [false, true] {
            let what = format!("killed {} request {k}", if applied { "after" } else { "before" });
            let copy = world.copy();
            let faults = Faults::seeded(k);
            faults.add(Rule::any("", Effect::Crash { applied, hook: Arc::new(|| {}) }).after(k).times(1));
            let journal = Folder::new("journal");
            let options = BackupOptions {
                journal_directory: options.journal_directory.as_ref().map(|_| journal.path().to_owned()),
                ..options.clone()
            };
            let domain = match options.checkpoint_bytes {
                1 => copy.faulty_domain_alone(&faults),
                _ => copy.faulty_domain(&faults),
            };
            let killed = backup(&domain, &copy.source, &options);
            if !faults.crashed() {
                killed.expect("a run that nobody killed");
                return k;
            }
            assert!(killed.is_err(), "{what}: a dead process reported success");
            assert_valid(&copy, states, &what);
            let again =
                backup(&copy.domain(), &copy.source, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
            copy.assert_restores(again.point, &copy.source.snapshot(), &format!("{what}, run again"));
            assert_valid(&copy, states, &format!("{what}, run again"));
        }
    }
    panic!("more than {REQUESTS_MAX} requests")
}

fn kill_everywhere(world: &World, states: &[(SessionId, Tree)], options: &BackupOptions) -> u64 {
    kill_at(0..REQUESTS_MAX, world, states, options)
}

/// Two states and a change that has not been backed up.
fn prepared(seed: u64) -> (World, Vec<(SessionId, Tree)>) {
    let shape = Shape::tiny();
    let world = World::new(seed, GeneratedSource::new(seed, &shape));
    let (mut dice, mut states) = (Dice::new(seed), Vec::new());
    for _ in 0..2 {
        states.push((world.backup().point.session, world.source.snapshot()));
        world.source.operate(&mut dice, &shape, 10);
    }
    world.source.clock().advance(Duration::from_secs(10));
    (world, states)
}

#[test]
fn a_first_backup_may_be_killed_at_any_request() {
    for seed in seeds(1) {
        let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
        let requests = kill_everywhere(&world, &[], &world.options());
        assert!(requests >= 5, "{requests} requests: the loop has not seen much");
    }
}

#[test]
fn an_increment_may_be_killed_at_any_request() {
    for seed in seeds(2) {
        let (world, states) = prepared(seed);
        let requests = kill_everywhere(&world, &states, &world.options());
        assert!(requests >= 8, "{requests} requests: the loop has not seen much");
    }
}

/// Whole packs are needed for a checkpoint, so a run takes its time: one seed tries every seventh request, seven seeds try all.
const STEP: usize = 7;

#[test]
fn a_run_with_checkpoints_may_be_killed_at_any_request() {
    for seed in seeds(1) {
        let (world, states) = prepared(seed);
        let options = BackupOptions { checkpoint_bytes: 1, ..world.options() };
        world.source.with(|tree| {
            let inode = tree.file("new/large").expect("a file");
            let pages = 4_096..8_192;
            tree.edit(inode, |content| pages.for_each(|page| content.make_page(page, 3 * (page + 1)))).expect("pages");
        });
        world.source.clock().advance(Duration::from_secs(10));
        let requests = kill_at((seed % STEP as u64..REQUESTS_MAX).step_by(STEP), &world, &states, &options);
        assert!(requests > 20, "{requests} requests: there was no checkpoint");
    }
}

#[test]
fn a_run_with_a_journal_may_be_killed_at_any_request() {
    for seed in seeds(1) {
        let (world, states) = prepared(seed);
        let options = BackupOptions { journal_directory: Some("of each run".into()), ..world.options() };
        kill_everywhere(&world, &states, &options);
    }
}

#[test]
fn checkpoints_are_never_the_latest_and_a_large_file_goes_on_from_one() {
    let world = World::new(1, GeneratedSource::empty());
    world.add_large_file("large", 3);
    let options = BackupOptions { checkpoint_bytes: 8 << 20, ..world.options() };
    world.backup_cut_off(&options, 2);
    let made = world.points();
    assert_eq!((made.len(), made.iter().all(|point| point.checkpoint)), (2, true), "{made:?}");
    let latest = repository::read::resolve(&world.domain(), None, "latest");
    assert!(latest.is_err(), "a checkpoint was taken for the latest");
    world.assert_sound("two checkpoints");
    let report = backup(&world.domain(), &world.source, &options).expect("it goes on");
    assert_eq!(report.parent, made.last().map(|point| point.id.session));
    // At least what the two checkpoints hold is not sent again.
    assert!(report.statistics.bytes_new <= (40 - 14) << 20, "{:?}", report.statistics);
    world.assert_restores(report.point, &world.source.snapshot(), "after two checkpoints");
    world.assert_sound("finished");
}

#[test]
fn what_a_killed_run_has_sent_is_not_relied_on_after_a_checkpoint_that_does_not_name_it() {
    let world = Arc::new(World::new(1, GeneratedSource::empty()));
    world.add_large_file("z-old", 3);
    let journal = Folder::new("journal");
    let options = BackupOptions { journal_directory: Some(journal.path().to_owned()), ..world.options() };
    let faults = Faults::seeded(1);
    let die = Effect::Crash { applied: false, hook: Arc::new(|| {}) };
    let packs = repository::layout::packs(world.domain().id());
    faults.add(Rule::on(repository::store::Operation::Put, &packs, die).after(3).times(1));
    assert!(backup(&world.faulty_domain_alone(&faults), &world.source, &options).is_err());
    // What comes first is new, so that checkpoints stand before anything that was sent is found again.
    world.add_large_file("a-new", 7);
    let faults = Faults::seeded(1);
    let other = world.clone();
    let collected: MeanwhileHook = Arc::new(move || {
        let keeper = Keeper::new(other.domain(), Arc::new(other.repository.upkeep().expect("the key")));
        let options = CollectOptions { share_percent_max: 100, ..CollectOptions::default() };
        collect(&keeper.expect("a keeper"), &options).expect("a collector run");
    });
    let sessions = repository::layout::sessions(world.domain().id());
    faults.add(Rule::on(repository::store::Operation::Put, &sessions, Effect::Meanwhile(collected)).times(1));
    let options = BackupOptions { checkpoint_bytes: 8 << 20, ..options };
    let report = backup(&world.faulty_domain_alone(&faults), &world.source, &options).expect("it goes on");
    assert_eq!(faults.fired(), 1, "there was a checkpoint");
    world.assert_restores(report.point, &world.source.snapshot(), "after a checkpoint and a collection");
    world.assert_sound("after a checkpoint and a collection");
}
