//! Subvolumes: what only btrfs does to files.
//!
//! In: content in place of copy-on-write, blocks shared with older content, snapshots that come, go and take the place of what they were made of. Out: the next restore
//! point has what a reader sees. Never: relies on the generation of a block, which shared and overwritten blocks do not show.

use std::path::Path;

use crate::compare::account;
use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
use crate::protected::Protected;
use crate::stamp::stamp;

/// Does something to `file`, sets its time back, and expects the next restore point to have what a reader sees.
fn is_seen(volume: &Volume, protected: &Protected, name: &str, script: &str) {
    protected.back_up(&volume.root());
    let file = volume.at(name);
    let before = stamp(&file);
    shell(&volume.root(), &format!("touch -r {name} ../reference; {script}; sync -f .; touch -r ../reference {name}"));
    assert_eq!(stamp(&file).size_and_mtime(), before.size_and_mtime(), "{script}: that is no trick");
    let report = protected.back_up(&volume.root());
    let new = std::fs::read(&file).expect("the file");
    assert!(protected.content(&report, name) == Some(new), "{script}: the change was missed");
    assert_eq!(report.proof.silent_changes, 0, "{script}");
}

#[test]
fn content_that_a_generation_does_not_show_is_seen() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = (Volume::new(Kind::Btrfs), Protected::new());
    let make = "touch nocow && chattr +C nocow && head -c 4M /dev/urandom > nocow && head -c 4M /dev/urandom > older \
                && sync -f . && head -c 4M /dev/urandom > file && sync -f .";
    shell(&volume.root(), make);
    is_seen(&volume, &protected, "nocow", "printf X | dd of=nocow bs=1 seek=2000000 conv=notrunc status=none");
    is_seen(&volume, &protected, "file", "xfs_io -c 'reflink older 1048576 1048576 1048576' file");
    is_seen(&volume, &protected, "file", "fallocate --punch-hole -o 2M -l 64K file");
    is_seen(&volume, &protected, "file", "cp --reflink=always older new; touch -r file new; mv new file");
}

#[test]
fn moving_blocks_about_changes_no_content_and_is_no_alarm() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = (Volume::new(Kind::Btrfs), Protected::new());
    shell(&volume.root(), "for n in $(seq 20); do head -c 1M /dev/urandom > file-$n; done; sync -f .");
    protected.back_up(&volume.root());
    for script in ["btrfs -q balance start --full-balance .", "btrfs -q filesystem defragment -r -f ."] {
        shell(&volume.root(), script);
        let report = protected.back_up(&volume.root());
        assert_eq!((report.statistics.bytes_new, report.proof.silent_changes), (0, 0), "{script}");
    }
}

/// Files in a snapshot have the inode numbers, the times and even the time of creation of those that they were made of.
#[test]
fn a_snapshot_inside_of_the_volume_never_passes_for_what_it_was_made_of() {
    if !can_mount() {
        return;
    }
    let (volume, target, protected) = (Volume::new(Kind::Btrfs), Volume::new(Kind::Btrfs), Protected::new());
    let root = volume.root();
    let same = |what: &str| {
        let report = protected.back_up(&root);
        assert_eq!(report.proof.silent_changes, 0, "{what}");
        protected.restore(&report, &target.root(), true).expect("a restore");
        account(&root).assert_same(&target.root(), what);
    };
    shell(&root, "btrfs -q subvolume create data && head -c 2M /dev/urandom > data/file && ln data/file data/link");
    same("a subvolume");
    shell(&root, "btrfs -q subvolume snapshot data snapshot && btrfs -q subvolume snapshot -r data fixed");
    same("snapshots beside it");
    overwrite(&root, "data/file");
    same("the subvolume changed, the snapshots not");
    overwrite(&root, "snapshot/file");
    same("a snapshot changed");
}

fn overwrite(root: &Path, name: &str) {
    shell(
        root,
        &format!("printf X | dd of={name} bs=1 seek=1500000 conv=notrunc status=none; touch -r fixed/file {name}"),
    );
}

/// The volume is a subvolume that is set back to a snapshot of itself: older content, older stamps, under the same names and inode numbers.
#[test]
fn a_volume_that_was_set_back_to_a_snapshot_is_read_as_it_is_now() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = (Volume::new(Kind::Btrfs), Protected::new());
    let root = volume.at("data");
    shell(
        &volume.root(),
        "btrfs -q subvolume create data && head -c 2M /dev/zero | tr '\\0' a > data/file && sync -f .",
    );
    protected.back_up(&root);
    let before = stamp(&root.join("file"));
    let set_back = "btrfs -q subvolume snapshot data snapshot; \
                    printf b | dd of=data/file bs=1 seek=1500000 conv=notrunc status=none; touch -r snapshot/file data/file";
    shell(&volume.root(), set_back);
    let byte = || protected.content(&protected.back_up(&root), "file").expect("the file")[1_500_000];
    assert_eq!(byte(), b'b');
    shell(&volume.root(), "btrfs -q subvolume delete data; btrfs -q subvolume snapshot snapshot data");
    assert_eq!(stamp(&root.join("file")), before, "the older stamp is back");
    assert_eq!(byte(), b'a');
    // Changed in the snapshot before it takes the place of the subvolume that is in the restore point, with every time set back.
    shell(&volume.root(), "mv data old; btrfs -q subvolume snapshot old data");
    shell(
        &volume.root(),
        "printf c | dd of=data/file bs=1 seek=1500000 conv=notrunc status=none; touch -r old/file data/file",
    );
    assert_eq!(byte(), b'c');
}
