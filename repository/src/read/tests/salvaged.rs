//! What a restore that skips damage says of what it could not restore: everything that is missing is listed, everything else is right.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::pack::DirectoryEntry;
use crate::seal::BlobKind;
use crate::tree::PackId;

/// Every blob of every pack that a point needs, with the pack's name.
fn blobs(world: &World, point: PointId) -> Vec<(String, DirectoryEntry)> {
    let view = world.view(point);
    let packs: Vec<PackId> = view.reference().packs.iter().map(|(pack, _)| pack).collect();
    let mut blobs = Vec::new();
    for pack in packs {
        let index = view.packs().index(pack).unwrap();
        blobs.extend(index.directory().blobs.iter().map(|entry| (index.name().to_owned(), *entry)));
    }
    blobs
}

fn paths(tree: &Tree) -> BTreeMap<Vec<Vec<u8>>, u64> {
    let names = tree.names();
    let above: BTreeMap<u64, (u64, Vec<u8>)> =
        names.iter().map(|(directory, name, inode)| (*inode, (*directory, name.clone()))).collect();
    let path = |directory: u64, name: &[u8]| {
        let mut path = vec![name.to_vec()];
        let mut at = directory;
        while let Some((parent, name)) = above.get(&at) {
            path.push(name.clone());
            at = *parent;
        }
        path.reverse();
        path
    };
    names.iter().map(|(directory, name, inode)| (path(*directory, name), *inode)).collect()
}

/// Everything is as it was, or listed: a file with zeros in exactly the listed ranges, an entry that is not there, or one below a directory that is listed.
fn assert_honest(expected: &Tree, restored: &Tree, report: &RestoreReport, what: &str) {
    let listed: BTreeMap<&str, &Failed> = report.failed.iter().map(|failed| (failed.path.as_str(), failed)).collect();
    let (ours, theirs) = (paths(expected), paths(restored));
    for path in theirs.keys() {
        assert!(ours.contains_key(path), "{what}: {path:?} was not in the restore point");
    }
    for (path, inode) in &ours {
        let shown = display_path(path.iter().map(Vec::as_slice));
        let ancestors: BTreeSet<String> =
            (0..path.len()).map(|depth| display_path(path[..depth].iter().map(Vec::as_slice))).collect();
        let told = listed.get(shown.as_str());
        let Some(other) = theirs.get(path) else {
            let known = told.is_some() || ancestors.iter().any(|above| listed.contains_key(above.as_str()));
            assert!(known, "{what}: nobody said that {shown} is missing: {:?}", report.failed);
            continue;
        };
        let (one, other) = (expected.node(*inode).unwrap(), restored.node(*other).unwrap());
        assert_eq!(one.kind.file_type(), other.kind.file_type(), "{what}: {shown}");
        if told.is_none() && one.kind.file_type() != crate::source::FileType::Directory {
            assert_eq!((one.mode, one.uid, one.mtime), (other.mode, other.uid, other.mtime), "{what}: {shown}");
            assert_eq!(one.extended, other.extended, "{what}: {shown}");
        }
        let (Some(one), Some(other)) = (one.content(), other.content()) else { continue };
        assert_eq!(one.size(), other.size(), "{what}: {shown}");
        let (mut good, mut found) = (vec![0; one.size() as usize], vec![0; one.size() as usize]);
        (one.read(0, &mut good), other.read(0, &mut found));
        let mut bytes = 0;
        for range in told.into_iter().flat_map(|failed| &failed.ranges) {
            good[range.offset as usize..(range.offset + range.length) as usize].fill(0);
            bytes += range.length;
        }
        assert!(good == found, "{what}: {shown} differs elsewhere than was said");
        if let Some(told) = told.filter(|failed| failed.ranges.len() as u64 == failed.ranges_count) {
            assert_eq!(told.bytes_lost, bytes, "{what}: {shown}");
        }
    }
    assert_eq!(report.outcome == crate::point::Outcome::Complete, report.failed.is_empty(), "{what}");
}

/// A tree that needs many blocks of metadata, in several runs.
fn large(seed: u64) -> World {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        for directory in 0..12 {
            for file in 0..100u64 {
                // Names that share no beginning take room.
                let inode = tree.file(&format!("directory {directory:02}/{file:03}{}", "n".repeat(240))).unwrap();
                if file % 10 == 3 {
                    tree.edit(inode, |content| content.make_page(file % 7, 1000 * directory + file)).unwrap();
                }
            }
        }
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| (0..700).for_each(|page| content.make_page(page, page + 77))).unwrap();
        tree.link(tree.root(), b"other name of large", large).unwrap();
    });
    let world = World::new(source);
    world.backup();
    let mut dice = Dice::new(seed);
    for step in 0..3 {
        world.source.with(|tree| overwrite(tree, "large", 100 * step + 3, 4_000_000 + step));
        world.source.operate(&mut dice, &Shape::mixed(), 25);
        world.source.with(|tree| {
            let directory = tree.lookup(&[format!("directory {step:02}").as_bytes()]);
            let names: Vec<Vec<u8>> = directory
                .and_then(|at| tree.node(at)?.entries().cloned())
                .map(|all| all.into_keys().collect())
                .unwrap_or_default();
            for name in names.iter().step_by(3) {
                let _ = tree.unlink(directory.unwrap(), name);
            }
        });
        world.backup();
    }
    world
}

#[test]
fn whatever_blob_is_damaged_what_is_missing_is_listed_and_the_rest_is_right() {
    let world = large(5);
    let point = world.backup();
    let expected = world.source.snapshot();
    let (mut salvaged, mut refused, mut tables) = (0, 0, 0);
    for (pack, entry) in blobs(&world, point) {
        let at = entry.position.offset as usize + entry.position.sealed_bytes as usize / 2;
        world.flip(&pack, at);
        let what = format!("blob {} ({:?}) of {pack}", entry.position.label.number, entry.position.label.kind);
        for in_place in [false, true] {
            if in_place && entry.position.label.kind == BlobKind::Data {
                continue;
            }
            let target = MemoryTarget::default();
            if in_place {
                target.with(|tree| {
                    let inode = tree.file("large").unwrap();
                    tree.edit(inode, |content| (0..900).for_each(|page| content.make_page(page, page + 76))).unwrap();
                });
            }
            let options = RestoreOptions { skip_damaged: true, in_place, ..world.options() };
            let report = View::open(&world.domain(), point, 64 << 10)
                .and_then(|view| restore(&world.domain(), &view, &options, &target));
            match report {
                Ok(report) if in_place => assert_eq!(report.failed.is_empty(), report.failed_count == 0),
                Ok(report) => {
                    assert_honest(&expected, &target.snapshot(), &report, &what);
                    salvaged += u64::from(!report.failed.is_empty());
                    tables += u64::from(!report.failed.is_empty() && entry.position.label.kind == BlobKind::TableBlock);
                }
                Err(error) => {
                    assert_eq!(error.class(), model::ErrorClass::Corrupt, "{what}: {error}");
                    refused += 1;
                }
            }
        }
        world.flip(&pack, at);
    }
    assert!(
        salvaged > 10 && tables >= 5,
        "{salvaged} damages were skipped, {tables} of them in rows, {refused} ended the restore"
    );
}

#[test]
fn every_name_of_a_file_has_its_gaps_listed_in_order_and_joined() {
    let world = large(6);
    let point = world.backup();
    let data: Vec<_> =
        blobs(&world, point).into_iter().filter(|(_, entry)| entry.position.label.kind == BlobKind::Data).collect();
    for (pack, entry) in &data {
        world.flip(pack, entry.position.offset as usize);
    }
    let target = MemoryTarget::default();
    let options = RestoreOptions { skip_damaged: true, ..world.options() };
    let report = world.restore_with(point, &options, &target).unwrap();
    assert_honest(&world.source.snapshot(), &target.snapshot(), &report, "all content");
    let of = |path: &str| report.failed.iter().find(|failed| failed.path == path).cloned().unwrap();
    let (one, other) = (of("large"), of("other name of large"));
    assert_eq!((&one.ranges, one.bytes_lost), (&other.ranges, other.bytes_lost));
    assert_eq!(one.ranges, [ByteRange { offset: 0, length: 700 * PAGE }]);
}

#[test]
fn an_attribute_that_is_lost_costs_nothing_else() {
    let world = World::known();
    let value: Vec<u8> = (0..9000u32).flat_map(u32::to_le_bytes).take(30_000).collect();
    world.source.with(|tree| {
        let small = tree.file("d/small").unwrap();
        tree.change(small, |node| {
            node.extended.insert(b"user.large".to_vec(), value.clone());
            node.extended.insert(b"user.tiny".to_vec(), b"1".to_vec());
        })
        .unwrap();
        let directory = tree.lookup(&[b"d"]).unwrap();
        tree.change(directory, |node| {
            drop(node.extended.insert(b"user.large".to_vec(), value.iter().rev().copied().collect()))
        })
        .unwrap();
    });
    let point = world.backup();
    let view = world.view(point);
    let mut places = BTreeSet::new();
    for path in [&[b"d".as_slice()][..], &[b"d", b"small"]] {
        for attribute in view.lookup(path).unwrap().inode.attributes {
            if let crate::tree::AttributeValue::Stored { extents, .. } = attribute.value {
                let at = extents[0].source.unwrap();
                let position = view.packs().index(at.pack).unwrap().data(at.blob).unwrap().position;
                places.insert((world.domain().pack_name(at.pack), position.offset as usize));
            }
        }
    }
    assert!(!places.is_empty());
    for (pack, at) in &places {
        world.flip(pack, *at);
    }
    let target = MemoryTarget::default();
    let options = RestoreOptions { skip_damaged: true, ..world.options() };
    let report = world.restore_with(point, &options, &target).unwrap();
    let told: Vec<&str> = report
        .failed
        .iter()
        .filter(|failed| failed.reason.contains("user.large"))
        .map(|failed| failed.path.as_str())
        .collect();
    assert!(told.contains(&"d") && told.iter().any(|path| ["d/small", "link"].contains(path)), "{:?}", report.failed);
    let restored = target.snapshot();
    let small = restored.node(restored.lookup(&[b"d", b"small"]).unwrap()).unwrap();
    assert_eq!(small.extended.keys().collect::<Vec<_>>(), [&b"user.tiny".to_vec()]);
}
