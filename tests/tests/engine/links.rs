//! Links: names of one file that go while it is backed up.
//!
//! In: a file with two names, one of which is removed between the looks at the two. Out: a restore point that can be restored, and the next one as it should be. Never: a
//! name without a file.

use repository::generated::{Action, GeneratedSource, Moment, Tree, assert_same_tree};
use repository::point::Outcome;

use super::world::World;

const NAMES: [&str; 2] = ["a", "d/z"];

/// A file of so many pages under both names, backed up.
fn world(pages: u64) -> World {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let inode = tree.file(NAMES[0]).expect("a file");
        change(tree, inode, pages);
        let directory = tree.directory("d").expect("a directory");
        tree.link(directory, b"z", inode).expect("a second name");
    });
    let world = World::new(1, source);
    world.backup();
    world
}

fn change(tree: &mut Tree, inode: u64, pages: u64) {
    tree.edit(inode, |content| (0..pages).for_each(|page| content.make_page(page, 3 * page + content.size())))
        .expect("pages");
}

#[test]
fn a_name_that_was_seen_and_removed_before_the_last_one_is_seen_still_has_its_file() {
    for (pages, changes) in [(1, false), (1, true), (300, false), (300, true)] {
        let world = world(pages);
        let what = format!("{pages} pages, changed: {changes}");
        if changes {
            world.source.with(|tree| {
                let inode = tree.file(NAMES[0]).expect("the file");
                change(tree, inode, pages);
            });
        }
        let remove = Action::change(|tree| tree.unlink(tree.root(), b"a").expect("the name goes"));
        world.source.when(Moment::Stat, Some(NAMES[1]), remove, 1);
        let report = world.backup();
        assert_eq!((report.outcome, report.missed), (Outcome::Complete, 0), "{what}: {:?}", report.not_captured);
        let restored = world.restore(report.point).unwrap_or_else(|error| panic!("{what}: {error}")).snapshot();
        let inodes = NAMES.map(|name| {
            let path: Vec<&[u8]> = name.split('/').map(str::as_bytes).collect();
            restored.lookup(&path).unwrap_or_else(|| panic!("{what}: {name} is not there"))
        });
        assert_eq!(inodes[0], inodes[1], "{what}: both names mean one file");
        world.assert_sound(&what);

        let report = world.backup();
        let restored = world.restore(report.point).expect("the next one").snapshot();
        assert_same_tree(&world.source.snapshot(), &restored, &what);
        world.assert_sound(&what);
    }
}
