//! What cannot be read: the run goes on, says so, and what was captured before stands.

use std::time::Duration;

use repository::Error;
use repository::generated::{Action, GeneratedSource, Moment, Tree, assert_same_tree, difference};
use repository::point::Outcome;
use repository::read::View;
use repository::write::{BackupReport, backup};

use super::world::World;

const PAGE: u64 = 4096;

/// A small file, a large one, a directory with files, a link.
fn world() -> World {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        for (path, pages) in [("small", 1), ("large", 600), ("d/inner", 2), ("d/big", 300), ("other", 3)] {
            let inode = tree.file(path).expect("a file");
            tree.edit(inode, |content| (0..pages).for_each(|page| content.make_page(page, 3 * (pages * 1000 + page))))
                .expect("pages");
        }
    });
    let world = World::new(1, source);
    world.source.clock().advance(Duration::from_secs(10));
    world
}

fn overwrite(tree: &mut Tree, path: &str, page: u64, id: u64) {
    let inode = tree.file(path).expect("a file");
    tree.edit(inode, |content| content.make_page(page, id)).expect("a page");
}

fn shrink(tree: &mut Tree, path: &str, bytes: u64) {
    let inode = tree.file(path).expect("a file");
    tree.edit(inode, |content| content.set_size(bytes)).expect("a cut");
}

/// The run, and what it gives back.
fn run(world: &World) -> (BackupReport, Tree) {
    world.source.clock().advance(Duration::from_secs(10));
    let report = backup(&world.domain(), &world.source, &world.options()).expect("the run goes on");
    let target = world.restore(report.point).expect("what was captured can be restored");
    world.assert_sound("after trouble with the source");
    (report, target.snapshot())
}

/// After the trouble the next run captures everything.
fn assert_recovers(world: &World) {
    world.source.calm();
    let (report, restored) = run(world);
    assert_eq!((report.outcome, report.missed), (Outcome::Complete, 0), "{:?}", report.not_captured);
    assert_same_tree(&world.source.snapshot(), &restored, "when all can be read again");
    // And it is forgotten: the run after it may tidy up, the one after that has nothing to do.
    let report = world.backup();
    assert_eq!((report.missed, report.statistics.bytes_new), (0, 0));
    let (report, requests) = world.measured_backup();
    assert_eq!(report.missed, 0);
    assert!(requests.bytes_sent < PAGE, "{requests:?}");
}

fn assert_listed(report: &BackupReport, paths: &[&str]) {
    assert_eq!(report.outcome, Outcome::Partial);
    let listed: Vec<&str> = report.not_captured.iter().map(|missed| missed.path.as_str()).collect();
    assert_eq!(listed, paths, "{:?}", report.not_captured);
    assert_eq!(report.missed, paths.len() as u64);
    assert!(report.not_captured.iter().all(|missed| !missed.reason.is_empty()));
}

#[test]
fn a_new_file_that_cannot_be_read_is_absent_and_listed() {
    for moment in [Moment::Stat, Moment::Open, Moment::Read(0)] {
        for path in ["small", "large", "d/inner", "d/big"] {
            let world = world();
            world.source.when(moment, Some(path), Action::Unreadable, u64::MAX);
            let (report, restored) = run(&world);
            assert_listed(&report, &[path]);
            let mut expected = world.source.snapshot();
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let directory = expected.directory(above).expect("it");
            let mtime = expected.node(directory).expect("it").mtime;
            expected.unlink(directory, name.as_bytes()).expect("it");
            expected.change(directory, |node| node.mtime = mtime).expect("it");
            assert_same_tree(&expected, &restored, &format!("{moment:?} {path}"));
            assert_recovers(&world);
        }
    }
}

#[test]
fn older_content_stands_where_a_file_cannot_be_read() {
    for moment in [Moment::Stat, Moment::Open, Moment::Read(0), Moment::Finish] {
        for path in ["small", "large", "d/inner"] {
            for change in ["overwrite", "shrink"] {
                let world = world();
                world.backup();
                let before = world.source.snapshot();
                world.source.with(|tree| match change {
                    "overwrite" => overwrite(tree, path, 0, 77_777),
                    _ => shrink(tree, path, 100),
                });
                let after = world.source.snapshot();
                world.source.when(moment, Some(path), Action::Unreadable, u64::MAX);
                let (report, restored) = run(&world);
                assert_listed(&report, &[path]);
                // A whole state of the file, the older one or - when all of it was read - the newer one; never a mixture.
                let is = |expected: &Tree| difference(expected, &restored).is_none();
                assert!(
                    is(&before) || is(&after),
                    "{moment:?} {path} {change}: {:?}; {:?}",
                    difference(&before, &restored),
                    report.not_captured
                );
                assert_recovers(&world);
            }
        }
    }
}

#[test]
fn a_file_that_was_renamed_and_cannot_be_read_has_its_older_content_under_the_new_name() {
    for moment in [Moment::Open, Moment::Read(0)] {
        for path in ["small", "large"] {
            let world = world();
            world.backup();
            world.source.with(|tree| {
                let root = tree.root();
                tree.rename((root, path.as_bytes()), (root, b"renamed")).expect("a new name");
            });
            world.source.when(moment, Some("renamed"), Action::Unreadable, u64::MAX);
            let (report, restored) = run(&world);
            assert_listed(&report, &["renamed"]);
            let what = format!("{moment:?} {path}: nothing else was changed");
            assert_same_tree(&world.source.snapshot(), &restored, &what);
            assert_recovers(&world);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_a_mixture_and_says_so() {
    for with_parent in [false, true] {
        let world = world();
        if with_parent {
            world.backup();
            world.source.with(|tree| (0..600).for_each(|page| overwrite(tree, "large", page, 90_000 + 3 * page)));
        }
        world.source.when(Moment::Read(1 << 20), Some("large"), Action::Unreadable, u64::MAX);
        let (report, restored) = run(&world);
        assert_listed(&report, &["large"]);
        let other = |tree: &Tree, path: &[&[u8]]| {
            tree.lookup(path).and_then(|inode| tree.node(inode)).and_then(|node| node.content()).cloned()
        };
        for path in [&[b"small".as_slice()][..], &[b"d", b"big"], &[b"other"]] {
            let (ours, theirs) = (other(&world.source.snapshot(), path), other(&restored, path));
            assert_eq!(ours.expect("it").first_difference(&theirs.expect("it")), None);
        }
        // The first block is what the file has now.
        let (mut now, mut captured) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        other(&world.source.snapshot(), &[b"large"]).expect("it").read(0, &mut now);
        other(&restored, &[b"large"]).expect("it").read(0, &mut captured);
        assert!(now == captured, "the block that was read");
        assert_recovers(&world);
    }
}

#[test]
fn a_file_that_shrank_and_cannot_be_read_to_its_end_can_still_be_restored() {
    let world = world();
    world.backup();
    world.source.with(|tree| {
        shrink(tree, "large", 500 * PAGE + 17);
        overwrite(tree, "large", 3, 99_999);
    });
    world.source.when(Moment::Read(1 << 20), Some("large"), Action::Unreadable, u64::MAX);
    let (report, _) = run(&world);
    assert_listed(&report, &["large"]);
    assert_recovers(&world);
    world.source.with(|tree| {
        let inode = tree.file("large").expect("it");
        tree.edit(inode, |content| content.set_size(700 * PAGE)).expect("growth");
    });
    assert_recovers(&world);
}

#[test]
fn attributes_that_cannot_be_read_are_listed() {
    let world = world();
    world.source.when(Moment::Attributes, Some("small"), Action::Unreadable, u64::MAX);
    let (report, _) = run(&world);
    assert_listed(&report, &["small"]);
    assert_recovers(&world);
}

#[test]
fn attributes_beyond_the_format_are_listed_and_the_rest_is_kept() {
    for path in ["small", "d", ""] {
        let world = world();
        world.source.with(|tree| {
            let names: Vec<&[u8]> = path.split('/').filter(|name| !name.is_empty()).map(str::as_bytes).collect();
            let inode = tree.lookup(&names).expect("it");
            let set = |node: &mut repository::generated::Node| {
                for number in 0..20u8 {
                    node.extended.insert(format!("user.{number}").into_bytes(), vec![number; 64 << 10]);
                }
            };
            tree.change(inode, set).expect("attributes");
        });
        let (report, _) = run(&world);
        assert_eq!((report.outcome, report.missed), (Outcome::Partial, 1), "{path:?}: {:?}", report.not_captured);
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_listed_as_missed() {
    for known in [false, true] {
        let world = world();
        if known {
            world.backup();
            world.source.with(|tree| overwrite(tree, "d/inner", 0, 1));
        }
        world.source.when(Moment::List, Some("d"), Action::Unreadable, u64::MAX);
        let (report, restored) = run(&world);
        assert_listed(&report, &["d"]);
        assert!(restored.lookup(&[b"d"]).is_some(), "the directory itself was seen");
        assert_eq!(restored.lookup(&[b"d", b"inner"]).is_some(), known, "older content stands");
        assert_recovers(&world);
    }
}

#[test]
fn what_vanishes_on_the_way_is_simply_not_there() {
    for moment in [Moment::Stat, Moment::Open, Moment::Attributes] {
        for path in ["small", "large", "d/inner", "d/big"] {
            for known in [false, true] {
                let world = world();
                if known {
                    world.backup();
                    world.source.with(|tree| overwrite(tree, path, 0, 1));
                }
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                let (above, name) = (above.to_owned(), name.to_owned());
                let vanish = Action::change(move |tree| {
                    let directory = tree.directory(&above).expect("it");
                    tree.unlink(directory, name.as_bytes()).expect("it");
                });
                world.source.when(moment, Some(path), vanish, 1);
                let (report, restored) = run(&world);
                assert_eq!((report.outcome, report.missed), (Outcome::Complete, 0), "{:?}", report.not_captured);
                let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
                assert!(restored.lookup(&names).is_none(), "{moment:?} {path} {known}");
                assert_recovers(&world);
            }
        }
    }
}

/// Small files are read after the sweep has gone on: what vanishes only then leaves no rows of blocks behind, whatever its name was.
#[test]
fn the_blocks_of_a_file_that_shrank_moved_and_vanished_are_hidden() {
    for name in ["large", "moved"] {
        let world = world();
        let before = View::open(&world.domain(), world.backup().point, 64 << 10).expect("a view");
        let large = before.lookup(&[b"large"]).expect("the file");
        assert!(before.extents_of(&large).expect("its blocks").next().is_some());
        world.source.with(|tree| {
            shrink(tree, "large", 100);
            let root = tree.root();
            if name != "large" {
                tree.rename((root, b"large"), (root, name.as_bytes())).expect("a new name");
            }
        });
        let vanish = Action::change(move |tree| tree.unlink(tree.root(), name.as_bytes()).expect("it"));
        world.source.when(Moment::Open, Some(name), vanish, 1);
        let (report, _) = run(&world);
        let after = View::open(&world.domain(), report.point, 64 << 10).expect("a view");
        assert!(after.extents_of(&large).expect("its rows").next().is_none(), "{name}: its blocks are still there");
    }
}

#[test]
fn a_directory_that_vanishes_on_the_way_is_simply_not_there() {
    for known in [false, true] {
        let world = world();
        if known {
            world.backup();
        }
        world.source.when(
            Moment::Stat,
            Some("other"),
            Action::change(|tree| tree.remove(tree.root(), b"d").expect("it")),
            1,
        );
        let (report, restored) = run(&world);
        assert_eq!(report.missed, 0, "{:?}", report.not_captured);
        assert!(restored.lookup(&[b"d"]).is_none());
        assert_recovers(&world);
    }
}

#[test]
fn a_file_that_is_renamed_while_it_is_read_is_captured_under_one_of_its_names_by_the_next_run() {
    for moment in [Moment::Open, Moment::Attributes, Moment::Finish] {
        for path in ["small", "large"] {
            let world = world();
            world.backup();
            world.source.with(|tree| overwrite(tree, path, 0, 1));
            let rename = Action::change(move |tree| {
                tree.rename((tree.root(), path.as_bytes()), (tree.root(), b"renamed")).expect("a rename");
                overwrite(tree, "renamed", 0, 5);
            });
            world.source.when(moment, Some(path), rename, 1);
            run(&world);
            assert_recovers(&world);
        }
    }
}

#[test]
fn a_file_that_goes_on_changing_while_it_is_read_is_a_mixture_and_says_so() {
    for path in ["small", "large"] {
        let world = world();
        let change = Action::change(move |tree| {
            let id = tree.clock().stamp();
            tree.clock().advance(Duration::from_millis(10));
            overwrite(tree, path, 0, 1 + u64::from(id.nanoseconds));
        });
        world.source.when(Moment::Finish, Some(path), change, u64::MAX);
        let (report, _) = run(&world);
        assert_listed(&report, &[path]);
        assert_recovers(&world);
    }
}

#[test]
fn a_small_file_that_changes_once_while_it_is_read_is_read_again() {
    let world = world();
    world.source.when(Moment::Finish, Some("small"), Action::change(|tree| overwrite(tree, "small", 0, 5)), 1);
    let (report, restored) = run(&world);
    assert_eq!((report.outcome, report.missed), (Outcome::Complete, 0), "{:?}", report.not_captured);
    assert_same_tree(&world.source.snapshot(), &restored, "read again");
}

#[test]
fn a_small_file_that_grows_large_while_it_is_read_comes_back_as_it_is() {
    for pages in [20, 300, 700] {
        for known in [false, true] {
            let world = world();
            if known {
                world.backup();
                world.source.with(|tree| overwrite(tree, "small", 0, 9));
            }
            let grow = Action::change(move |tree| {
                (0..pages).for_each(|page| overwrite(tree, "small", page, 3 * (page + 1)));
            });
            world.source.when(Moment::Open, Some("small"), grow, 1);
            // And another change while the second reading is under way.
            let again = Action::change(move |tree| {
                shrink(tree, "small", 18 * PAGE + 100);
                overwrite(tree, "small", 17, 42);
            });
            world.source.when(Moment::Finish, Some("small"), again, 1);
            let (report, restored) = run(&world);
            if report.missed == 0 {
                assert_same_tree(&world.source.snapshot(), &restored, &format!("{pages} pages, known {known}"));
            }
            assert_recovers(&world);
        }
    }
}

#[test]
fn a_source_that_is_gone_and_a_process_without_descriptors_make_no_point() {
    for (moment, path) in [
        (Moment::Root, None),
        (Moment::List, Some("d")),
        (Moment::Stat, Some("small")),
        (Moment::Open, Some("large")),
        (Moment::Read(1 << 20), Some("large")),
        (Moment::Attributes, Some("other")),
        (Moment::Finish, Some("d/big")),
        (Moment::StillThere, None),
    ] {
        assert_makes_no_point(moment, path, Action::SourceGone);
        assert_makes_no_point(moment, path, Action::Exhausted);
    }
}

fn assert_makes_no_point(moment: Moment, path: Option<&str>, action: Action) {
    let world = world();
    let before = world.source.snapshot();
    let first = world.backup();
    world.source.with(|tree| {
        overwrite(tree, "small", 0, 1);
        overwrite(tree, "large", 0, 1);
        overwrite(tree, "other", 0, 1);
        overwrite(tree, "d/big", 0, 1);
    });
    world.source.when(moment, path, action.clone(), u64::MAX);
    let failed = backup(&world.domain(), &world.source, &world.options());
    let ends = matches!(&failed, Err(Error::Source(error)) if error.ends_the_run());
    assert!(ends, "{moment:?} {path:?} {action:?}: {failed:?}");
    assert_eq!(world.points().len(), 1);
    world.assert_restores(first.point, &before, "the point before");
    assert_recovers(&world);
}

#[test]
fn a_root_that_cannot_be_listed_ends_the_run() {
    let world = world();
    world.source.when(Moment::List, Some(""), Action::Unreadable, u64::MAX);
    let failed = backup(&world.domain(), &world.source, &world.options());
    assert!(failed.is_err(), "an empty volume was made of one that cannot be read");
    assert_eq!(world.points(), []);
}

/// A file with three names, in two directories.
fn linked() -> World {
    let world = world();
    world.source.with(|tree| {
        let inode = tree.file("a").expect("a file");
        tree.edit(inode, |content| (0..300).for_each(|page| content.make_page(page, 3 * (page + 1)))).expect("pages");
        let (root, below) = (tree.root(), tree.directory("links").expect("a directory"));
        tree.link(root, b"b", inode).expect("a link");
        tree.link(below, b"c", inode).expect("a link");
    });
    world
}

#[test]
fn the_first_name_of_a_linked_file_may_vanish_on_the_way() {
    for moment in [Moment::Stat, Moment::Open, Moment::Attributes] {
        for known in [false, true] {
            let world = linked();
            if known {
                world.backup();
                world.source.with(|tree| overwrite(tree, "a", 7, 5));
            }
            let vanish = Action::change(|tree| tree.unlink(tree.root(), b"a").expect("it"));
            world.source.when(moment, Some("a"), vanish, 1);
            let (report, restored) = run(&world);
            assert_eq!(report.missed, 0, "{:?}", report.not_captured);
            let mut expected = world.source.snapshot();
            // The root was looked at before the name vanished.
            let seen = restored.node(restored.root()).expect("a root").mtime;
            expected.change(expected.root(), |node| node.mtime = seen).expect("a root");
            assert_same_tree(&expected, &restored, &format!("{moment:?}, known {known}"));
            assert_recovers(&world);
        }
    }
}

#[test]
fn a_linked_file_that_cannot_be_read_by_one_name_is_read_by_another() {
    for known in [false, true] {
        let world = linked();
        if known {
            world.backup();
            world.source.with(|tree| overwrite(tree, "a", 7, 5));
        }
        world.source.when(Moment::Open, Some("a"), Action::Unreadable, u64::MAX);
        let (report, restored) = run(&world);
        assert_listed(&report, &["a"]);
        assert!(restored.lookup(&[b"b"]).is_some() && restored.lookup(&[b"links", b"c"]).is_some());
        assert_recovers(&world);
    }
}

#[test]
fn a_linked_file_keeps_its_content_while_the_directory_of_its_last_name_cannot_be_listed() {
    let world = linked();
    world.backup();
    let before = world.source.snapshot();
    world.source.with(|tree| {
        tree.unlink(tree.root(), b"a").expect("a");
        tree.unlink(tree.root(), b"b").expect("b");
    });
    world.source.when(Moment::List, Some("links"), Action::Unreadable, u64::MAX);
    let (report, restored) = run(&world);
    assert_listed(&report, &["links"]);
    let content = |tree: &Tree| {
        tree.lookup(&[b"links", b"c"]).and_then(|inode| tree.node(inode)).and_then(|node| node.content()).cloned()
    };
    let (expected, found) = (content(&before).expect("it"), content(&restored).expect("older content stands"));
    assert_eq!(expected.first_difference(&found), None);
    assert_recovers(&world);
}
