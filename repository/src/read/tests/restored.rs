//! What a restore makes.

use super::*;

#[test]
fn a_new_file_of_many_pieces_is_reserved_and_no_other() {
    const PAGES: u64 = 1024;
    let world = World::known();
    world.source.with(|tree| {
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| {
            content.set_size(PAGES * PAGE);
            (0..PAGES).for_each(|page| content.make_page(page, page + 1));
        })
        .unwrap();
    });
    let whole = world.backup();
    world.source.with(|tree| {
        let large = tree.file("large").unwrap();
        let some = (0..PAGES).step_by(7);
        tree.edit(large, |content| some.for_each(|page| content.make_page(page, page + 100_000))).unwrap();
    });
    let scattered = world.backup();
    let reserved = |point, in_place| {
        let target = MemoryTarget::default();
        if in_place {
            target.with(|tree| tree.file("large").unwrap());
        }
        world.restore_with(point, &RestoreOptions { in_place, ..world.options() }, &target).unwrap();
        target.written().reserved
    };
    assert_eq!(reserved(whole, false), 0, "it comes block by block");
    assert_eq!(reserved(scattered, false), PAGES * PAGE);
    assert_eq!(reserved(scattered, true), 0, "what stands there is not allocated again");
}
use crate::read::content::ContentReader;
use crate::read::restore::tests_only;

#[test]
fn every_kind_of_tree_comes_back() {
    for seed in 1..6 {
        let world = World::new(GeneratedSource::new(seed, &Shape::mixed()));
        world.assert_restores(world.backup(), &world.source.snapshot());
    }
}

#[test]
fn a_restored_tree_is_restored_again_in_place_for_nothing() {
    let world = World::known();
    let point = world.backup();
    let target = MemoryTarget::default();
    world.restore_with(point, &world.options(), &target).unwrap();
    let before = target.written();
    let options = RestoreOptions { in_place: true, remove_extra: true, ..world.options() };
    let report = world.restore_with(point, &options, &target).unwrap();
    assert_eq!((report.bytes_fetched, report.bytes_restored, report.failed_count), (0, 0, 0));
    assert_eq!(report.files_skipped_equal, 3);
    assert_eq!(target.written().bytes, before.bytes);
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "again");
}

#[test]
fn files_that_share_an_inode_by_mistake_are_parted_in_place() {
    let world = World::known();
    let point = world.backup();
    let target = MemoryTarget::default();
    world.restore_with(point, &world.options(), &target).unwrap();
    // In the target, `d/other` and `large` are one file now.
    target.with(|tree| {
        let directory = tree.lookup(&[b"d"]).unwrap();
        tree.unlink(directory, b"other").unwrap();
        let large = tree.lookup(&[b"large"]).unwrap();
        tree.link(directory, b"other", large).unwrap();
    });
    let options = RestoreOptions { in_place: true, ..world.options() };
    assert_eq!(world.restore_with(point, &options, &target).unwrap().failed_count, 0);
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "parted");
}

#[test]
fn what_could_not_be_captured_is_not_removed() {
    let world = World::known();
    world.source.when(Moment::Open, Some("d/other"), Action::Unreadable, u64::MAX);
    let point = world.backup();
    let target = MemoryTarget::default();
    target.with(|tree| {
        let other = tree.file("d/other").unwrap();
        tree.edit(other, |content| content.write(0, b"the only copy")).unwrap();
        tree.file("d/extra").unwrap();
    });
    let options = RestoreOptions { in_place: true, remove_extra: true, ..world.options() };
    world.restore_with(point, &options, &target).unwrap();
    let restored = target.snapshot();
    assert!(restored.lookup(&[b"d", b"other"]).is_some());
    assert_eq!(restored.lookup(&[b"d", b"extra"]), None);
}

#[test]
fn one_file_goes_where_one_file_fits() {
    let world = World::known();
    let point = world.backup();
    let target = MemoryTarget::default();
    let options = RestoreOptions { subpath: vec![b"d".to_vec(), b"small".to_vec()], ..world.options() };
    let report = world.restore_with(point, &options, &target).unwrap();
    assert_eq!((report.entries, report.bytes_restored), (1, 13));
    let names: Vec<Vec<u8>> = target.snapshot().names().into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, [b"small".to_vec()]);
}

#[test]
fn directories_that_do_not_fit_into_memory_get_their_metadata_all_the_same() {
    let source = GeneratedSource::new(3, &Shape::many());
    source.with(|tree| {
        let deep = tree.directory("a/b/c/d/e/f").unwrap();
        tree.change(deep, |node| node.mode = 0o500).unwrap();
        let middle = tree.directory("a/b/c").unwrap();
        tree.change(middle, |node| node.mode = 0o511).unwrap();
    });
    let world = World::new(source);
    let view = world.view(world.backup());
    for bytes_max in [0, 5000, 1 << 20] {
        let target = MemoryTarget::default();
        tests_only::restore_with_spool(&view, &world.options(), &target, bytes_max).unwrap();
        assert_same_tree(&world.source.snapshot(), &target.snapshot(), &format!("a spool of {bytes_max} bytes"));
    }
}

#[test]
fn a_reader_of_many_pieces_gives_what_one_of_few_gives() {
    let world = World::known();
    world.backup();
    world.source.with(|tree| (0..40).for_each(|page| overwrite(tree, "large", page * 7, 100_000 + page)));
    let view = world.view(world.backup());
    let large = view.lookup(&[b"large"]).unwrap();
    let mut reader = ContentReader::new(&view);
    let tree = world.source.snapshot();
    let content = tree.lookup(&[b"large"]).and_then(|inode| tree.node(inode)?.content().cloned()).unwrap();
    for (block, extents) in view.extents_of(&large).unwrap().map(Result::unwrap) {
        assert!(block > 0 || extents.len() > 20);
        let mut expected = vec![0; 1 << 20];
        let length = content.read(block << 20, &mut expected);
        assert!(reader.assemble(&extents, length).unwrap() == expected[..length], "block {block}");
    }
}
