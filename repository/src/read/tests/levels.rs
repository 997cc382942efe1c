//! How deep a check looks, what it does not count, and how exactly it names what is affected.

use super::check::{checked, checked_at};
use super::*;

/// Every pack of a session.
fn packs_of(world: &World, point: PointId) -> Vec<String> {
    world.objects("/packs/").into_iter().filter(|name| name.contains(&point.session.to_string())).collect()
}

/// The objects that a report calls damaged.
fn damaged(report: &CheckReport) -> Vec<&str> {
    report.damaged.iter().map(|damaged| damaged.object.as_str()).collect()
}

#[test]
fn lists_alone_tell_what_is_missing_or_too_short_and_no_pack_is_read() {
    let world = World::known();
    let made = [world.backup(), world.backup_as("other")];
    let packs = packs_of(&world, made[0]);
    let before = world.store().requests();
    assert_eq!(checked_at(&world, CheckLevel::Objects).outcome, CheckOutcome::Ok);
    assert_eq!(before, world.store().requests(), "another store's counter");
    for (name, bytes) in packs.iter().map(|name| (name, world.store().get(name).unwrap())) {
        world.store().delete(name).unwrap();
        let report = checked_at(&world, CheckLevel::Objects);
        assert_eq!((report.outcome, damaged(&report)), (CheckOutcome::Damaged, vec![name.as_str()]));
        let affected: Vec<_> = report.affected.iter().map(|one| (one.point, one.paths.as_slice())).collect();
        assert_eq!(affected, [(made[0], &[".".to_owned()][..])], "paths were not read");
        assert!(report.bytes_read < 20_000, "{} bytes are more than the points have", report.bytes_read);
        world.store().put(name, bytes.slice(..10)).unwrap();
        assert_eq!(damaged(&checked_at(&world, CheckLevel::Objects)), [name.as_str()]);
        world.store().put(name, bytes).unwrap();
    }
    world.flip(&packs[0], 2000);
    assert_eq!(checked_at(&world, CheckLevel::Objects).outcome, CheckOutcome::Ok, "content is for the other levels");
}

#[test]
fn names_that_do_not_count_are_reported_and_are_no_damage() {
    let world = World::known();
    let point = world.backup();
    let domain = world.domain();
    let (zeros, run) = ("00".repeat(64), MarkRun([7; 16]));
    let unsigned_mark = layout::unsigned_mark(domain.id(), point.volume, point.session, Mark::Doomed, run);
    let unsigned_report = layout::unsigned_damage(domain.id(), point.session, 0, run);
    // A good signature, for another mark.
    let upkeep = world.repository.upkeep().unwrap();
    let signed = crate::marks::mark_name(
        (&upkeep, domain.repository()),
        domain.id(),
        (point.volume, point.session),
        Mark::Abort,
        run,
    );
    let signature = signed.unwrap().rsplit_once('.').unwrap().1.to_owned();
    let planted = [
        format!("{unsigned_mark}.{zeros}"),
        format!("{unsigned_mark}.{signature}"),
        format!("{unsigned_report}.{signature}"),
        format!("{}/nonsense", layout::damage(domain.id())),
        format!("{}/{}.POINT", layout::volume_points(domain.id(), point.volume), point.session),
        format!("{}/{}.opened", layout::sessions(domain.id()), point.session),
    ];
    for name in &planted {
        world.store().put(name, Bytes::new()).unwrap();
    }
    for level in [CheckLevel::Objects, CheckLevel::Structure, CheckLevel::Data] {
        let report = checked_at(&world, level);
        let mut ignored: Vec<&str> = report.ignored.iter().map(|one| one.object.as_str()).collect();
        let mut expected: Vec<&str> = planted.iter().map(String::as_str).collect();
        (ignored.sort_unstable(), expected.sort_unstable());
        assert_eq!(ignored, expected);
        assert_eq!((report.outcome, report.ignored_count, report.unknown_objects), (CheckOutcome::Ok, 6, 2));
        assert_eq!((report.points, report.quarantined.len()), (1, 0));
    }
}

#[test]
fn a_lost_announcement_is_damage_unless_the_point_is_a_remnant() {
    let world = World::known();
    let first = world.backup();
    world.source.with(|tree| overwrite(tree, "large", 7, 9999));
    let made = [first, world.backup()];
    let open = layout::session_open(world.domain().id(), made[1].session);
    world.store().delete(&open).unwrap();
    for level in [CheckLevel::Objects, CheckLevel::Structure] {
        let report = checked_at(&world, level);
        assert_eq!((damaged(&report), report.points), (vec![open.as_str()], 1));
        assert_eq!(report.unannounced.iter().map(|one| one.point).collect::<Vec<_>>(), [made[1]]);
        assert_eq!(report.unannounced[0].volume, "volume");
    }
    // Its own pack is gone: what a collector left of a session that had ended.
    let own = packs_of(&world, made[1]);
    let bytes = world.store().get(&own[0]).unwrap();
    world.store().delete(&own[0]).unwrap();
    let report = checked(&world, false);
    assert_eq!((report.outcome, report.unannounced.len()), (CheckOutcome::Ok, 1));
    world.store().put(&own[0], bytes).unwrap();
    // Nonsense that nobody announced is not damage either.
    let bogus = PointId { session: world.domain().new_session().unwrap(), ..made[0] };
    let name = layout::point(world.domain().id(), bogus.volume, bogus.session);
    world.store().put(&name, Bytes::from_static(b"?")).unwrap();
    let report = checked(&world, false);
    assert_eq!((damaged(&report), report.unannounced.len()), (vec![open.as_str()], 2));
    world.store().delete(&name).unwrap();
    // A collector is at work on it.
    world.mark(made[1], Mark::Doomed);
    let report = checked(&world, false);
    assert_eq!((report.outcome, report.unannounced.len()), (CheckOutcome::Ok, 0));
}

#[test]
fn sessions_that_run_are_counted() {
    let world = World::known();
    let point = world.backup();
    assert_eq!(checked(&world, false).sessions_running, 0);
    let _reader = View::announced(&world.domain(), point, "test").unwrap();
    assert_eq!(checked(&world, false).sessions_running, 1);
}

/// The blob in which a file's first stored page lies: the pack's name, and a byte of the blob.
fn place_of(world: &World, point: PointId, path: &[&[u8]]) -> (String, usize) {
    let view = world.view(point);
    let found = view.lookup(path).unwrap();
    let (_, extents) = view.extents_of(&found).unwrap().next().unwrap().unwrap();
    place_of_extents(&view, &extents)
}

fn place_of_extents(view: &View, extents: &[crate::tree::Extent]) -> (String, usize) {
    let at = extents.iter().find_map(|extent| extent.source).unwrap();
    let position = view.packs().index(at.pack).unwrap().data(at.blob).unwrap().position;
    (view.domain().pack_name(at.pack), position.offset as usize)
}

#[test]
fn exactly_the_files_of_a_damaged_blob_are_named_with_every_name_and_attribute_they_have() {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        // Two megabytes of small files are two bundles at least.
        for number in 0..40u64 {
            let inode = tree.file(&format!("d/{number:02}")).unwrap();
            tree.edit(inode, |content| (0..13).for_each(|page| content.make_page(page, 100 * number + page + 1)))
                .unwrap();
        }
        let first = tree.lookup(&[b"d", b"00"]).unwrap();
        tree.link(tree.root(), b"another name", first).unwrap();
        let with_attribute = tree.file("attribute").unwrap();
        tree.change(with_attribute, |node| {
            node.extended
                .insert(b"user.large".to_vec(), (0..9000u32).flat_map(u32::to_le_bytes).take(30_000).collect());
        })
        .unwrap();
    });
    let world = World::new(source);
    let point = world.backup();
    let view = world.view(point);
    let of_file = |path: &[&[u8]]| {
        let found = view.lookup(path).unwrap();
        found.inode.inline.unwrap().extents.iter().find_map(|extent| extent.source).map(|at| (at.pack, at.blob))
    };
    let of_attribute = |path: &[&[u8]]| {
        let found = view.lookup(path).unwrap();
        found.inode.attributes.iter().find_map(|attribute| match &attribute.value {
            crate::tree::AttributeValue::Stored { extents, .. } => extents[0].source.map(|at| (at.pack, at.blob)),
            crate::tree::AttributeValue::Inline(_) => None,
        })
    };
    let blobs: Vec<_> = [of_file(&[b"d", b"00"]), of_file(&[b"d", b"30"]), of_attribute(&[b"attribute"])].into();
    assert!(blobs.iter().all(Option::is_some) && blobs[0] != blobs[1], "{blobs:?}");
    let places = [place_of(&world, point, &[b"d", b"00"]), place_of(&world, point, &[b"d", b"30"]), {
        let found = view.lookup(&[b"attribute"]).unwrap();
        let crate::tree::AttributeValue::Stored { extents, .. } = &found.inode.attributes[0].value else { panic!() };
        place_of_extents(&view, extents)
    }];
    for ((pack, at), blob) in places.iter().zip(&blobs) {
        let mut expected: Vec<String> = Vec::new();
        for visited in view.walk(&view.root().unwrap()).unwrap().map(Result::unwrap) {
            let path: Vec<&[u8]> = visited.path.iter().map(Vec::as_slice).collect();
            let is_file = visited.found.inode.inline.as_ref().is_some_and(|inline| !inline.extents.is_empty());
            if (is_file && of_file(&path) == *blob) || of_attribute(&path).is_some_and(|at| Some(at) == *blob) {
                expected.push(visited.display());
            }
        }
        world.flip(pack, at + 100);
        let report = checked(&world, true);
        world.flip(pack, at + 100);
        assert_eq!(report.affected.len(), 1);
        let mut paths = report.affected[0].paths.clone();
        (paths.sort(), expected.sort());
        assert_eq!(paths, expected);
        assert_eq!(report.affected[0].paths_count, expected.len() as u64);
    }
    let names = |paths: &[&str], report: &CheckReport| {
        paths.iter().all(|path| report.affected[0].paths.contains(&(*path).to_owned()))
    };
    world.flip(&places[0].0, places[0].1 + 100);
    let report = checked(&world, true);
    assert!(names(&["d/00", "another name"], &report) && !names(&["d/30"], &report), "{:?}", report.affected);
}

/// The table of a class, in the last point: its pack's name and a byte of its first block.
fn table_of(world: &World, point: PointId, class: crate::tree::Class) -> (String, usize) {
    let view = world.view(point);
    let table = &view.runs().of(class)[0][0];
    (view.domain().pack_name(table.pack), table.offset as usize + 5)
}

#[test]
fn a_table_that_no_restore_needs_is_damage_that_affects_no_path() {
    use crate::tree::Class;
    let world = World::known();
    let point = world.backup();
    for (class, affected) in
        [(Class::Tree, 1), (Class::Content, 1), (Class::Sign, 0), (Class::Handle, 0), (Class::Segment, 0)]
    {
        if world.view(point).runs().of(class).is_empty() {
            continue;
        }
        let (pack, at) = table_of(&world, point, class);
        world.flip(&pack, at);
        let report = checked(&world, false);
        assert_eq!((report.outcome, report.affected.len()), (CheckOutcome::Damaged, affected), "{class:?}");
        assert_eq!(damaged(&report), [pack.as_str()]);
        if affected == 0 {
            world.assert_restores(point, &world.source.snapshot());
        }
        world.flip(&pack, at);
    }
}
