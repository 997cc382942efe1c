//! What a restore does with a repository that is damaged.

use super::*;

/// The pack with the content of the first backup, and a byte of it that lies in its first blob.
fn first_pack(world: &World) -> String {
    world.objects("/packs/").into_iter().next().unwrap()
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
            target.with(|tree| {
                let large = tree.file("large").unwrap();
                tree.edit(large, |content| (0..600).for_each(|page| content.make_page(page, 9))).unwrap();
            });
        }
        let options = RestoreOptions { skip_damaged: true, in_place, ..world.options() };
        let report = world.restore_with(point, &options, &target).unwrap();
        assert_eq!(report.outcome, crate::point::Outcome::Partial);
        assert_eq!(report.failed_count, 1, "{:?}", report.failed);
        assert_eq!(report.failed[0].path, "large");
        assert!(report.failed[0].bytes_lost > 0 && report.failed[0].ranges_count > 0, "{:?}", report.failed);
        let restored = target.snapshot();
        let expected = world.source.snapshot();
        let content = |tree: &Tree| tree.lookup(&[b"large"]).and_then(|inode| tree.node(inode)?.content().cloned());
        let (ours, theirs) = (content(&expected).unwrap(), content(&restored).unwrap());
        let (mut one, mut other) = (vec![0; ours.size() as usize], vec![0; ours.size() as usize]);
        ours.read(0, &mut one);
        assert_eq!(theirs.read(0, &mut other), other.len());
        let wrong = one.chunks(4096).zip(other.chunks(4096)).filter(|(one, other)| one != other);
        let (wrong, zeros): (Vec<_>, Vec<_>) = wrong.partition(|(_, other)| other.iter().any(|byte| *byte != 0));
        assert!(wrong.is_empty() && !zeros.is_empty(), "what is not right is zeros (in place: {in_place})");
        assert!(restored.lookup(&[b"d", b"small"]).is_some());
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
