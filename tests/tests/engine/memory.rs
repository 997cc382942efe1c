//! Memory: the budget holds however many names there are.
//!
//! Counted by the allocator, so exact; only the process of this test may be in it, as it is under nextest.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use peak_alloc::PeakAlloc;
use repository::generated::{FileContent, GeneratedSource, Kind, LogicalClock, Tree};

use crate::world::World;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// The most that is in use while this runs, beyond what was before, in bytes.
fn peak(run: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    run();
    HEAP.peak_usage() - before
}

/// 80,000 directories on one level, and as many empty files.
fn wide() -> Tree {
    let mut tree = Tree::new(LogicalClock::default(), true);
    for upper in 0..100 {
        let directory = Kind::Directory(Default::default());
        let upper = tree.create(tree.root(), format!("{upper:03}").as_bytes(), directory, 0o755).unwrap();
        for lower in 0..800 {
            let directory = Kind::Directory(Default::default());
            let lower = tree.create(upper, format!("directory-{lower:05}").as_bytes(), directory, 0o755).unwrap();
            tree.create(lower, b"file", Kind::Regular(Arc::new(FileContent::default())), 0o644).unwrap();
        }
    }
    tree
}

#[test]
fn many_names_fit_into_the_least_budget() {
    if std::env::var_os("NEXTEST").is_none() {
        eprintln!("SKIP: other tests share this process; run it with cargo nextest");
        return;
    }
    let store = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(store.path()).unwrap());
    let world = World::on(store, 1, GeneratedSource::of(wide(), "wide".to_owned()));
    let full = peak(|| drop(world.backup()));
    let unchanged = peak(|| drop(world.backup()));
    world.source.with(|tree| {
        let root = tree.root();
        let all: Vec<Vec<u8>> = tree.node(root).unwrap().entries().unwrap().keys().cloned().collect();
        all.iter().for_each(|name| tree.remove(root, name).unwrap());
    });
    let emptied = peak(|| drop(world.backup()));
    let found = format!("full {full}, unchanged {unchanged}, emptied {emptied} bytes");
    assert!(full < 12 * MIB && unchanged < 4 * MIB && emptied < 12 * MIB, "{found}");
}
