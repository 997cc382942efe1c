//! What a restore does with a repository that is damaged.

use super::*;
use crate::compress::Compressed;
use crate::pack::{Directory, DirectoryEntry, FOOTER_BYTES, Footer};
use crate::seal::{BlobKind, Codec, ObjectKind, Opener, Sealer};

/// The pack with the content of the first backup, and a byte of it that lies in its first blob.
fn first_pack(world: &World) -> String {
    world.objects("/packs/").into_iter().next().unwrap()
}

/// In the target stands a file of other content.
fn make_other_pages(target: &MemoryTarget) {
    target.with(|tree| {
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| (0..600).for_each(|page| content.make_page(page, 9))).unwrap();
    });
}

fn large(tree: &Tree) -> Vec<u8> {
    let content = tree.lookup(&[b"large"]).and_then(|inode| tree.node(inode)?.content().cloned()).unwrap();
    let mut bytes = vec![0; content.size() as usize];
    assert_eq!(content.read(0, &mut bytes), bytes.len());
    bytes
}

/// What stands in the target where the source has another page.
fn wrong_pages(world: &World, target: &MemoryTarget) -> Vec<Vec<u8>> {
    let (ours, theirs) = (large(&world.source.snapshot()), large(&target.snapshot()));
    let pages = ours.chunks(4096).zip(theirs.chunks(4096));
    pages.filter(|(one, other)| one != other).map(|(_, other)| other.to_vec()).collect()
}

/// A writer whose memory failed between hashing and sealing: everything is authentic, and one byte of content is another.
fn seal_another_byte(world: &World) {
    let (domain, name) = (world.domain(), first_pack(world));
    let mut bytes = world.store().get(&name).unwrap().to_vec();
    let whole = Bytes::from(bytes.clone());
    let opener = Opener::new(domain.binding(ObjectKind::Pack, &name), &whole, domain.ring()).unwrap();
    let footer = Footer::decode(&whole[whole.len() - FOOTER_BYTES..], whole.len() as u64).unwrap();
    let directory = Directory::open(&opener, &footer, &whole).unwrap();
    let is_large = |entry: &&DirectoryEntry| {
        let label = entry.position.label;
        (label.kind, label.codec) == (BlobKind::Data, Codec::Stored) && label.plaintext_bytes > 100 * 4096
    };
    let position = directory.blobs.iter().find(is_large).expect("content that does not compress").position;
    let range = position.offset as usize..(position.offset + u64::from(position.sealed_bytes)) as usize;
    let mut plain = opener.open(position.label, &whole[range.clone()]).unwrap();
    plain[5000] ^= 1;
    let (keys, salt) = (domain.writer_keys().unwrap(), whole[16..48].try_into().unwrap());
    let mut sealer = Sealer::new(domain.binding(ObjectKind::Pack, &name), &[&keys.data], salt).unwrap();
    let stored = |bytes: Vec<u8>| Compressed { codec: Codec::Stored, plaintext_bytes: bytes.len() as u32, bytes };
    let mut sealed = Vec::new();
    while sealer.next_number() < position.label.number {
        sealer.seal(BlobKind::Data, &stored(Vec::new()), &mut sealed).unwrap();
    }
    sealed.clear();
    sealer.seal(BlobKind::Data, &stored(plain), &mut sealed).unwrap();
    bytes[range].copy_from_slice(&sealed);
    world.store().put(&name, Bytes::from(bytes)).unwrap();
}

/// With content that does not compress.
fn noisy() -> World {
    let world = World::known();
    let (mut noise, mut dice) = (Vec::new(), Dice::new(7));
    noise.resize_with(300 * 4096, || dice.below(256) as u8);
    world.source.with(|tree| {
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| content.write(0, &noise)).unwrap();
    });
    world
}

/// Restores into it; the error must name the pack: its segments were looked at before anything was written.
fn assert_refused_before_it_shows(world: &World, point: PointId, options: &RestoreOptions, target: &MemoryTarget) {
    let error = world.restore_with(point, options, target).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Corrupt);
    assert!(error.to_string().contains(&first_pack(world)), "{error}");
}

#[test]
fn what_was_sealed_but_never_read_shows_in_no_device_and_no_file_without_a_sum() {
    let world = noisy();
    let point = world.backup();
    seal_another_byte(&world);
    let options = RestoreOptions { subpath: vec![b"large".to_vec()], ..world.options() };
    assert_refused_before_it_shows(&world, point, &options, &MemoryTarget::single_file());

    let world = noisy();
    let goes_on = Action::change(|tree| {
        let now = tree.clock().stamp().nanoseconds as u8;
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| content.write(550 * 4096, &[now | 1; 100])).unwrap();
        tree.clock().advance(Duration::from_millis(10));
    });
    world.source.when(Moment::Finish, Some("large"), goes_on, u64::MAX);
    let point = world.backup();
    assert!(world.view(point).lookup(&[b"large"]).unwrap().inode.mixed, "it was changing while it was read");
    seal_another_byte(&world);
    assert_refused_before_it_shows(&world, point, &world.options(), &MemoryTarget::default());
}

#[test]
fn what_was_sealed_but_never_read_is_not_restored() {
    let world = noisy();
    let point = world.backup();
    seal_another_byte(&world);
    let new = MemoryTarget::default();
    let error = world.restore_with(point, &world.options(), &new).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Corrupt);
    assert!(error.to_string().contains("large"), "{error}");
    assert_eq!(new.snapshot().lookup(&[b"large"]), None, "it has no name");

    let stands = MemoryTarget::default();
    make_other_pages(&stands);
    let before = large(&stands.snapshot())[..4096].to_vec();
    let in_place = RestoreOptions { in_place: true, ..world.options() };
    assert_refused_before_it_shows(&world, point, &in_place, &stands);
    assert!(wrong_pages(&world, &stands).iter().all(|page| *page == before || page.len() < 4096), "old or right");

    let skipped = MemoryTarget::default();
    let options = RestoreOptions { skip_damaged: true, ..world.options() };
    let report = world.restore_with(point, &options, &skipped).unwrap();
    assert_eq!((report.failed_count, report.failed[0].path.as_str()), (1, "large"));
    let wrong = wrong_pages(&world, &skipped);
    assert!(!wrong.is_empty() && wrong.iter().flatten().all(|byte| *byte == 0), "what is not right is zeros");
}

#[test]
fn a_flipped_bit_is_an_error_and_nothing_of_it_is_written() {
    let world = World::known();
    let point = world.backup();
    world.flip(&first_pack(&world), 2000);
    let target = MemoryTarget::default();
    let error = world.restore_with(point, &world.options(), &target).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Corrupt);
    assert!(error.to_string().contains(&first_pack(&world)), "{error}");
    assert_eq!(target.snapshot().lookup(&[b"large"]), None, "a file with a part missing has no name");
}

#[test]
fn with_damage_skipped_the_rest_comes_back_and_every_gap_is_named() {
    let world = World::known();
    let point = world.backup();
    world.flip(&first_pack(&world), 2000);
    for in_place in [false, true] {
        let target = MemoryTarget::default();
        if in_place {
            make_other_pages(&target);
        }
        let options = RestoreOptions { skip_damaged: true, in_place, ..world.options() };
        let report = world.restore_with(point, &options, &target).unwrap();
        assert_eq!(report.outcome, crate::point::Outcome::Partial);
        assert_eq!(report.failed_count, 1, "{:?}", report.failed);
        assert_eq!(report.failed[0].path, "large");
        assert!(report.failed[0].bytes_lost > 0 && report.failed[0].ranges_count > 0, "{:?}", report.failed);
        let wrong = wrong_pages(&world, &target);
        let all_zeros = wrong.iter().flatten().all(|byte| *byte == 0);
        assert!(all_zeros && !wrong.is_empty(), "what is not right is zeros (in place: {in_place})");
        assert!(target.snapshot().lookup(&[b"d", b"small"]).is_some());
    }
}

#[test]
fn a_pack_that_is_gone_is_damage_to_a_reader_that_announced_itself() {
    let world = World::known();
    let point = world.backup();
    let view = View::announced(&world.domain(), point, "test").unwrap();
    // Metadata is in memory only as far as it was read: what is gone is noticed wherever it is missed first.
    world.store().delete(&first_pack(&world)).unwrap();
    let error = restore(&world.domain(), &view, &world.options(), &MemoryTarget::default()).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Corrupt, "{error}");
}

#[test]
fn a_cancelled_restore_ends_and_leaves_no_half_file() {
    let world = World::known();
    let point = world.backup();
    let options = world.options();
    options.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let target = MemoryTarget::default();
    let error = world.restore_with(point, &options, &target).unwrap_err();
    assert_eq!(error.class(), model::ErrorClass::Cancelled);
}
