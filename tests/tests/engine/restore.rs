//! Restoring: into nothing, over what is there, a part, one file; and what goes wrong on the target's side.

use model::ErrorClass;
use repository::Error;
use repository::generated::{Dice, GeneratedSource, Kind, MemoryTarget, Shape, Tree, assert_same_tree};
use repository::read::{self, RestoreOptions, View};
use repository::session::PointId;
use repository::store::{Effect, Faults, Operation, Rule};
use repository::target::TargetError;

use super::world::{World, seeds};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

fn one_file(bytes: u64) -> World {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let inode = tree.file("d/f").expect("a file");
        tree.edit(inode, |content| (0..bytes / PAGE).for_each(|page| content.make_page(page, 3 * (page + 1))))
            .expect("pages");
        tree.file("other").expect("a file");
    });
    World::new(1, source)
}

#[test]
fn an_in_place_restore_makes_any_tree_the_restore_point() {
    for seed in seeds(12) {
        let shape = Shape::mixed();
        let world = World::new(seed, GeneratedSource::new(seed, &shape));
        let first = world.backup().point;
        let earlier = world.source.snapshot();
        let mut dice = Dice::new(seed);
        world.source.operate(&mut dice, &shape, 30);
        let second = world.backup().point;
        let later = world.source.snapshot();
        for (point, from, to) in [(first, &later, &earlier), (second, &earlier, &later), (first, &earlier, &earlier)] {
            let target = MemoryTarget::of(from.clone());
            let report =
                world.restore_into(point, &target, true).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_same_tree(to, &target.snapshot(), &format!("seed {seed}, in place, {report:?}"));
        }
    }
}

#[test]
fn an_in_place_restore_over_something_else_entirely_works() {
    for seed in seeds(6) {
        let shape = Shape::mixed();
        let world = World::new(seed, GeneratedSource::new(seed, &shape));
        let point = world.backup().point;
        let target = MemoryTarget::of(GeneratedSource::new(seed + 1_000, &shape).snapshot());
        world.restore_into(point, &target, true).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_same_tree(&world.source.snapshot(), &target.snapshot(), &format!("seed {seed}"));
    }
}

#[test]
fn an_in_place_restore_fetches_and_writes_what_differs() {
    let world = one_file(64 * MIB);
    let point = world.backup().point;
    let target = MemoryTarget::of(world.source.snapshot());
    let report = world.restore_into(point, &target, true).expect("nothing to do");
    assert_eq!((target.written().bytes, report.bytes_restored), (0, 0), "an equal target is not written");
    assert!(report.bytes_fetched < MIB, "{report:?}");
    target.with(|tree| {
        let inode = tree.file("d/f").expect("it");
        tree.edit(inode, |content| {
            content.make_page(5_000, 7);
            content.punch(9_000 * PAGE, PAGE);
        })
        .expect("two pages");
    });
    let report = world.restore_into(point, &target, true).expect("two pages");
    assert_eq!(target.written().bytes, 2 * PAGE, "{report:?}");
    assert!(report.bytes_fetched < 4 * MIB, "{report:?}");
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "two pages");
    // What the point has as zeros becomes zeros.
    let database = world.source.with(|tree| tree.file("d/f").expect("it"));
    world.source.with(|tree| tree.edit(database, |content| content.punch(100 * PAGE, 50 * PAGE))).expect("a hole");
    let holes = world.backup().point;
    let report = world.restore_into(holes, &target, true).expect("a hole");
    assert_eq!((target.written().bytes, target.written().zeroed), (2 * PAGE, 50 * PAGE), "{report:?}");
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "a hole");
}

#[test]
fn a_restore_over_existing_files_is_refused_before_anything_is_written() {
    let world = one_file(MIB);
    let point = world.backup().point;
    let target = MemoryTarget::default();
    target.with(|tree| {
        let inode = tree.file("d/f").expect("a file");
        tree.edit(inode, |content| content.write(0, b"precious")).expect("content");
    });
    let before = target.snapshot();
    let error = world.restore_into(point, &target, false).expect_err("it is in the way");
    assert!(error.to_string().contains("d"), "{error}");
    assert_same_tree(&before, &target.snapshot(), "refused");
}

fn restore_part(
    world: &World,
    point: PointId,
    path: &[&[u8]],
    options: RestoreOptions,
) -> (Result<read::RestoreReport, Error>, Tree) {
    let domain = world.domain();
    let view = View::open(&domain, point, MIB).expect("a view");
    let target = MemoryTarget::default();
    let subpath = path.iter().map(|name| name.to_vec()).collect();
    let report = read::restore(&domain, &view, &RestoreOptions { subpath, ..options }, &target);
    assert_eq!(target.breaches(), Vec::<String>::new());
    (report, target.snapshot())
}

#[test]
fn a_directory_of_the_point_appears_directly_under_the_target() {
    let world = one_file(MIB);
    let point = world.backup().point;
    let (report, restored) = restore_part(&world, point, &[b"d"], RestoreOptions::default());
    report.expect("a part");
    let expected = world.source.snapshot();
    let content = |tree: &Tree, path: &[&[u8]]| {
        tree.node(tree.lookup(path).expect("it")).and_then(|node| node.content()).cloned().expect("content")
    };
    assert_eq!(content(&expected, &[b"d", b"f"]).first_difference(&content(&restored, &[b"f"])), None);
    assert!(restored.lookup(&[b"other"]).is_none());
}

#[test]
fn a_path_that_is_not_in_the_point_is_missing() {
    let world = one_file(MIB);
    let point = world.backup().point;
    let (report, _) = restore_part(&world, point, &[b"d", b"nothing"], RestoreOptions::default());
    assert_eq!(report.expect_err("it is not there").class(), ErrorClass::Missing);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = one_file(MIB);
    let point = world.backup().point;
    let (report, restored) =
        restore_part(&world, point, &[], RestoreOptions { dry_run: true, ..RestoreOptions::default() });
    report.expect("a dry run");
    assert_eq!(restored.names(), []);
}

#[test]
fn a_full_target_is_an_error_and_the_restore_goes_on_when_there_is_space() {
    let world = one_file(8 * MIB);
    let point = world.backup().point;
    let target = MemoryTarget::default();
    target.limit(3 * MIB);
    let error = world.restore_into(point, &target, false).expect_err("no space");
    assert!(matches!(error, Error::Target(TargetError::Full { .. })), "{error}");
    target.limit(u64::MAX);
    world.restore_into(point, &target, true).expect("there is space now");
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "after a full disk");
}

#[test]
fn a_restore_survives_a_store_that_fails_now_and_then() {
    for seed in seeds(3) {
        let world = World::new(seed, GeneratedSource::new(seed, &Shape::mixed()));
        let point = world.backup().point;
        let faults = Faults::seeded(seed);
        faults.add(Rule::on(Operation::Get, "", Effect::LoseAcknowledgement).one_in(3).times(20));
        faults.add(Rule::on(Operation::Get, "", Effect::Truncate).one_in(5).times(20));
        let domain = world.faulty_domain(&faults);
        let target = MemoryTarget::default();
        let restored = View::open(&domain, point, MIB)
            .and_then(|view| read::restore(&domain, &view, &RestoreOptions::default(), &target));
        match restored {
            Ok(_) => assert_same_tree(&world.source.snapshot(), &target.snapshot(), &format!("seed {seed}")),
            Err(error) => assert_eq!(error.class(), ErrorClass::Retry, "seed {seed}: {error}"),
        }
    }
}

#[test]
fn flipped_bits_on_the_way_are_never_written() {
    for seed in seeds(8) {
        let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
        let point = world.backup().point;
        let faults = Faults::seeded(seed);
        faults.add(Rule::on(Operation::Get, "", Effect::FlipBit).after(seed % 4).times(1));
        let domain = world.faulty_domain(&faults);
        let target = MemoryTarget::default();
        let restored = View::open(&domain, point, MIB)
            .and_then(|view| read::restore(&domain, &view, &RestoreOptions::default(), &target));
        if faults.fired() == 0 || restored.is_ok() {
            assert_same_tree(&world.source.snapshot(), &target.snapshot(), &format!("seed {seed}"));
        }
    }
}

#[test]
fn names_in_the_target_that_the_point_does_not_have_stay_unless_they_shall_go() {
    let world = one_file(MIB);
    let point = world.backup().point;
    for remove_extra in [false, true] {
        let target = MemoryTarget::of(world.source.snapshot());
        target.with(|tree| {
            tree.file("extra/file").expect("a file");
            tree.create(tree.root(), b"fifo", Kind::Fifo, 0o600).expect("a FIFO");
        });
        let domain = world.domain();
        let view = View::open(&domain, point, MIB).expect("a view");
        let options = |dry_run| RestoreOptions { in_place: true, remove_extra, dry_run, ..RestoreOptions::default() };
        let would = read::restore(&domain, &view, &options(true), &target).expect("a dry run");
        assert_eq!(would.entries_removed, if remove_extra { 2 } else { 0 });
        assert!(target.snapshot().lookup(&[b"fifo"]).is_some(), "a dry run removes nothing");
        let done = read::restore(&domain, &view, &options(false), &target).expect("a restore");
        assert_eq!(done.entries_removed, would.entries_removed);
        assert_eq!(target.written().syncs, 1, "the target is asked once to write everything to the disk");
        assert_eq!(target.snapshot().lookup(&[b"extra", b"file"]).is_none(), remove_extra);
        assert_eq!(target.snapshot().lookup(&[b"fifo"]).is_none(), remove_extra);
    }
}

#[test]
fn a_directory_where_the_second_name_of_a_file_goes_is_removed_only_if_extra_entries_are() {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let inode = tree.file("first").expect("a file");
        tree.edit(inode, |content| content.write(0, b"content")).expect("content");
        tree.link(tree.root(), b"second", inode).expect("another name");
    });
    let world = World::new(1, source);
    let point = world.backup().point;
    for remove_extra in [false, true] {
        let target = MemoryTarget::default();
        target.with(|tree| tree.file("second/precious").expect("a file"));
        let domain = world.domain();
        let view = View::open(&domain, point, MIB).expect("a view");
        let options = RestoreOptions { in_place: true, remove_extra, ..RestoreOptions::default() };
        let report = read::restore(&domain, &view, &options, &target).expect("a restore");
        assert_eq!(target.breaches(), Vec::<String>::new());
        if remove_extra {
            assert_same_tree(&world.source.snapshot(), &target.snapshot(), "the directory went");
        } else {
            assert_eq!(report.failed.iter().map(|failed| failed.path.as_str()).collect::<Vec<_>>(), ["second"]);
            assert!(target.snapshot().lookup(&[b"second", b"precious"]).is_some());
        }
    }
}

#[test]
fn a_file_is_shown_byte_for_byte() {
    for seed in seeds(3) {
        let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
        let point = world.backup().point;
        let domain = world.domain();
        let view = View::open(&domain, point, MIB).expect("a view");
        let tree = world.source.snapshot();
        for (directory, name, inode) in tree.names().into_iter().filter(|(directory, _, _)| *directory == tree.root()) {
            let Some(content) = tree.node(inode).and_then(|node| node.content()) else { continue };
            let (mut expected, mut shown) = (vec![0; content.size() as usize], Vec::new());
            content.read(0, &mut expected);
            read::cat(&view, &[&name], &mut shown).expect("it is shown");
            assert!(expected == shown, "seed {seed}: {} in {directory}", name.escape_ascii());
        }
    }
}
