//! What is read although its stamp says that nothing changed, and what is made of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use repository::generated::{Action, FileContent, GeneratedSource, Moment};
use repository::source::{
    Attributes, Belief, Directory, Place, ReadPlan, Record, ScrubPlan, Source, SourceDescription, SourceError, Stat,
    Walked,
};
use repository::store::Faults;
use repository::write::{BackupOptions, BackupReport, backup};

use super::world::World;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// A source with a plan, which remembers what it was told.
struct Planned<'a> {
    source: &'a GeneratedSource,
    plan: ReadPlan,
    suspected: Option<u64>,
    told: Mutex<Vec<Told>>,
}

/// What a source is told of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    record: Record,
    is_over: bool,
    scrubbed_to: Option<Place>,
    scrubbed_bytes: u64,
    silent_changes: u64,
}

impl Source for Planned<'_> {
    fn describe(&self) -> SourceDescription {
        self.source.describe()
    }

    fn root(&self) -> Result<(Stat, Attributes), SourceError> {
        self.source.root()
    }

    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError> {
        self.source.directory(path)
    }

    fn still_there(&self) -> Result<(), SourceError> {
        self.source.still_there()
    }

    fn plan(&self, _record: &Record) -> ReadPlan {
        self.plan.clone()
    }

    fn record(&self, record: &Record, walked: &Walked<'_>) -> Record {
        self.told.lock().expect("nobody panics with it").push(Told {
            record: record.clone(),
            is_over: walked.is_over,
            scrubbed_to: walked.scrubbed_to.cloned(),
            scrubbed_bytes: walked.scrubbed_bytes,
            silent_changes: walked.silent_changes,
        });
        let mut record = Record::new();
        record.insert("over".to_owned(), walked.is_over.into());
        record
    }

    fn suspects(&self, stat: &Stat) -> bool {
        self.suspected == Some(stat.inode)
    }
}

fn run(world: &World, plan: ReadPlan, suspected: Option<u64>) -> (BackupReport, Told) {
    world.source.clock().advance(Duration::from_secs(10));
    let source = Planned { source: &world.source, plan, suspected, told: Mutex::default() };
    let report = backup(&world.domain(), &source, &world.options()).expect("a backup");
    let told = source.told.lock().expect("nobody panics with it").last().cloned().expect("it is always told");
    world.assert_restores(report.point, &world.source.snapshot(), "after a run with a plan");
    world.assert_sound("after a run with a plan");
    (report, told)
}

fn everything(belief: Belief) -> ReadPlan {
    ReadPlan { belief, full_pass: Some("a test".to_owned()), ..ReadPlan::default() }
}

fn scrub(from: Place, bytes: u64) -> ReadPlan {
    ReadPlan { scrub: ScrubPlan { from, bytes, ..ScrubPlan::default() }, ..ReadPlan::default() }
}

/// A large file, a small one, an empty one and one with two names, at rest.
fn world() -> World {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let large = tree.file("large").expect("a file");
        let fill = |pages: u64, first: u64| {
            move |content: &mut FileContent| {
                (0..pages).for_each(|page| content.make_page(page, 3 * (first + page)));
            }
        };
        tree.edit(large, fill(8 * MIB / PAGE, 1)).expect("pages");
        let small = tree.file("small").expect("a file");
        tree.edit(small, fill(2, 90_001)).expect("pages");
        tree.file("empty").expect("a file");
        let linked = tree.file("linked").expect("a file");
        tree.edit(linked, fill(MIB / PAGE, 80_001)).expect("pages");
        let root = tree.root();
        tree.link(root, b"other name", linked).expect("a link");
    });
    let world = World::new(1, source);
    world.backup();
    world.backup();
    world
}

fn change_unseen(world: &World, path: &str, page: u64) {
    world.source.with(|tree| {
        let inode = tree.file(path).expect("the file");
        tree.edit_unseen(inode, |content| content.make_page(page, 777_777_777 + page)).expect("a page");
    });
}

#[test]
fn reading_everything_again_costs_reading_and_no_row() {
    for belief in [Belief::Handles, Belief::Names] {
        let world = world();
        let idle = world.backup().statistics;
        let (report, told) = run(&world, everything(belief), None);
        assert_eq!(report.statistics.bytes_read, 9 * MIB + 2 * PAGE);
        assert_eq!((report.statistics.bytes_changed, report.statistics.bytes_new), (0, 0));
        assert_eq!(report.proof.silent_changes, 0);
        assert_eq!(report.proof.full_pass.as_deref(), Some("a test"));
        assert_eq!(told.scrubbed_bytes, 0, "a full pass is not a scrub");
        if belief == Belief::Handles {
            let more = report.statistics.bytes_stored - idle.bytes_stored;
            assert!(more < 64, "{more} bytes more than an idle run");
        }
    }
}

#[test]
fn what_changed_without_a_sign_is_found_by_reading_everything() {
    let world = world();
    change_unseen(&world, "large", 700);
    change_unseen(&world, "small", 1);
    change_unseen(&world, "linked", 3);
    let missed = world.backup();
    assert_eq!(missed.statistics.bytes_changed, 0, "stamps alone do not show it");
    let (report, told) = run(&world, everything(Belief::Handles), None);
    let mut found = report.proof.silently_changed.clone();
    found.sort();
    assert_eq!(found, ["large", "linked", "small"]);
    assert_eq!(told.silent_changes, 3);
    assert_eq!(report.statistics.bytes_new, 2 * PAGE + 2 * PAGE, "pages of large files, small ones whole");
    assert_eq!(run(&world, everything(Belief::Handles), None).0.proof.silent_changes, 0, "it is found once");
}

/// Otherwise a lease or a bad moment of the disk during the one pass after a crash would be believed for ever.
#[test]
fn what_could_not_be_read_when_everything_was_to_be_is_read_by_the_next_run() {
    for moment in [Moment::Open, Moment::Read(0)] {
        for (path, page, names) in
            [("large", 700, &["large"][..]), ("small", 1, &["small"]), ("linked", 3, &["linked", "other name"])]
        {
            let world = world();
            change_unseen(&world, path, page);
            names.iter().for_each(|name| world.source.when(moment, Some(name), Action::Unreadable, u64::MAX));
            let (report, told) = run_unchecked(&world, everything(Belief::Handles));
            let missed = names.len() as u64;
            assert_eq!((report.missed, told.silent_changes, told.is_over), (missed, 0, true), "{moment:?} {path}");
            world.source.calm();
            // This one believes stamps, and restores what the source has.
            let (report, _) = run(&world, ReadPlan::default(), None);
            assert_eq!(report.missed, 0, "{moment:?} {path}");
            let (report, _) = run(&world, ReadPlan::default(), None);
            assert_eq!(report.statistics.bytes_read, 0, "{moment:?} {path}: it is believed again");
        }
    }
}

#[test]
fn a_pass_that_could_not_look_at_what_is_known_is_not_over() {
    let world = world();
    for (moment, expected) in [(Moment::Stat, false), (Moment::Open, true)] {
        world.source.when(moment, Some("small"), Action::Unreadable, u64::MAX);
        let (_, told) = run_unchecked(&world, everything(Belief::Handles));
        assert_eq!(told.is_over, expected, "{moment:?}");
        assert!(told.scrubbed_to.is_some(), "{moment:?}: it came to the end of the tree");
        world.source.calm();
    }
}

#[test]
fn a_suspected_file_is_read_whatever_its_stamp_says() {
    let world = world();
    change_unseen(&world, "large", 5);
    let inode = world.source.with(|tree| tree.file("large")).expect("the file");
    let (report, told) = run(&world, ReadPlan::default(), Some(inode));
    assert_eq!((report.statistics.bytes_read, report.statistics.bytes_new), (8 * MIB, PAGE));
    assert_eq!(told.silent_changes, 1);
}

#[test]
fn a_scrub_reads_its_share_and_goes_on_where_it_ended() {
    let world = world();
    let (mut from, mut read, mut runs) = (Place::START, 0, 0);
    loop {
        let (report, told) = run(&world, scrub(from.clone(), 3 * MIB), None);
        assert_eq!(report.statistics.bytes_scrubbed, told.scrubbed_bytes);
        assert_eq!(report.statistics.bytes_read, told.scrubbed_bytes);
        assert!(told.scrubbed_bytes <= 3 * MIB + MIB);
        assert_eq!(report.statistics.bytes_changed, 0);
        (read, runs) = (read + told.scrubbed_bytes, runs + 1);
        from = told.scrubbed_to.expect("a run that is over says how far it came");
        if from == Place::END {
            break;
        }
    }
    assert_eq!(read, 9 * MIB + 2 * PAGE, "everything once");
    assert!(runs >= 3);
}

#[test]
fn a_scrub_finds_a_silent_change_where_it_reads_and_nowhere_else() {
    let world = world();
    // In the sixth of eight blocks.
    change_unseen(&world, "large", 5 * MIB / PAGE + 9);
    let large = |block| {
        let (report, told) = run_unchecked(&world, scrub(Place { directory: 1, name: b"large".to_vec(), block }, MIB));
        assert_eq!(told.scrubbed_bytes, MIB);
        report
    };
    assert_eq!(large(4).proof.silent_changes, 0);
    let found = large(5);
    assert_eq!(found.proof.silently_changed, ["large"]);
    assert_eq!((found.statistics.bytes_read, found.statistics.bytes_new), (MIB, PAGE));
    world.assert_restores(found.point, &world.source.snapshot(), "after the block was read");
    world.assert_sound("after the block was read");
}

/// Where the source is known to differ from the restore point.
fn run_unchecked(world: &World, plan: ReadPlan) -> (BackupReport, Told) {
    world.source.clock().advance(Duration::from_secs(10));
    let source = Planned { source: &world.source, plan, suspected: None, told: Mutex::default() };
    let report = backup(&world.domain(), &source, &world.options()).expect("a backup");
    let told = source.told.lock().expect("nobody panics with it").last().cloned().expect("it is always told");
    (report, told)
}

#[test]
fn what_a_file_changes_while_it_is_read_again_is_no_alarm() {
    let world = world();
    let change = Action::change(|tree| {
        let inode = tree.file("large").expect("the file");
        tree.edit(inode, |content| content.make_page(0, 888_888)).expect("a page");
    });
    world.source.when(Moment::Read(0), Some("large"), change, 1);
    let (report, told) = run_unchecked(&world, scrub(Place::START, 100 * MIB));
    assert_eq!(told.silent_changes, 0, "{:?}", report.proof);
}

#[test]
fn the_record_of_the_parent_comes_back_and_a_checkpoint_says_that_it_is_none() {
    let world = world();
    let (_, first) = run(&world, ReadPlan::default(), None);
    assert!(first.record.is_empty(), "the backups before recorded nothing");
    let (_, second) = run(&world, ReadPlan::default(), None);
    assert_eq!(second.record.get("over"), Some(&true.into()));
    assert!(second.is_over);
    world.add_large_file("more", 3);
    let source = Planned { source: &world.source, plan: ReadPlan::default(), suspected: None, told: Mutex::default() };
    let options = BackupOptions { checkpoint_bytes: 8 * MIB, ..world.options() };
    // Over one connection checkpoints are made where they are due.
    let alone = world.faulty_domain_alone(&Faults::seeded(1));
    backup(&alone, &source, &options).expect("a backup");
    let told = source.told.lock().expect("nobody panics with it");
    assert!(told.len() > 2, "checkpoints were made");
    assert!(told.iter().rev().skip(1).all(|told| !told.is_over && told.scrubbed_to.is_none()));
}

/// Somebody goes on making directories in front of the sweep: without a bound it would never end.
#[test]
fn a_tree_that_grows_in_front_of_the_sweep_is_given_up_and_leaves_no_point() {
    let world = World::new(1, GeneratedSource::empty());
    let depth = AtomicUsize::new(0);
    let more = Action::change(move |tree| {
        tree.directory(&["d"; 10_000][..=depth.fetch_add(1, Ordering::Relaxed)].join("/")).expect("a directory");
    });
    world.source.when(Moment::List, None, more, u64::MAX);
    let options = BackupOptions { entries_max: 1000, ..world.options() };
    let refused = backup(&world.domain(), &world.source, &options).expect_err("it has no end");
    assert!(refused.to_string().contains("more than 1000 entries"), "{refused}");
    world.source.calm();
    assert!(world.points().is_empty());
}
