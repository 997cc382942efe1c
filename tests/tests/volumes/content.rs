//! Content: changes that leave a file as large and as old as it was.
//!
//! In: overwriting, cutting, punching and shifting, with the time of the change set back. Out: the next restore point has the bytes that a reader sees. Never: a change
//! that size and time of modification would show.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use repository::point::Outcome;

use crate::compare::account;
use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
use crate::protected::Protected;
use crate::stamp::stamp;

/// Larger than what is read without asking for holes.
const FILE_BYTES: usize = 4 << 20;

fn numbered(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 4096 % 251) as u8 + 1).collect()
}

/// Does something to `file`, sets its time back, and expects the next restore point to have what a reader sees.
fn is_seen(volume: &Volume, protected: &Protected, script: &str) {
    let (file, kind) = (volume.at("file"), volume.kind);
    protected.back_up(&volume.root());
    let (before, old) = (stamp(&file), std::fs::read(&file).expect("the file"));
    shell(&volume.root(), &format!("touch -r file ../reference; {script}; touch -r ../reference file"));
    let (after, new) = (stamp(&file), std::fs::read(&file).expect("the file"));
    assert_eq!(before.size_and_mtime(), after.size_and_mtime(), "{kind:?}, {script}: that is no trick");
    assert!(old != new, "{kind:?}, {script}: nothing was changed");
    let report = protected.back_up(&volume.root());
    assert!(protected.content(&report, "file") == Some(new), "{kind:?}, {script}: the change was missed");
    assert_eq!(report.proof.silent_changes, 0, "{kind:?}, {script}: the stamp tells");
}

#[test]
fn a_file_that_is_as_large_and_as_old_as_before_is_seen_to_have_changed() {
    if !can_mount() {
        return;
    }
    let everywhere = [
        "printf X | dd of=file bs=1 seek=2000000 conv=notrunc status=none",
        "size=$(stat -c %s file); : > file; head -c $size /dev/urandom > file",
        "size=$(stat -c %s file); truncate -s 1000000 file; truncate -s $size file",
        "fallocate --punch-hole -o 1M -l 64K file",
        "fallocate -l 1M file && fallocate --punch-hole -o 500000 -l 5000 file",
        "head -c 4194304 /dev/urandom > other; cp -p --attributes-only file other; cp -p other file",
    ];
    let shifting = [
        "size=$(stat -c %s file); fallocate --collapse-range -o 0 -l 64K file; truncate -s $size file",
        "size=$(stat -c %s file); fallocate --insert-range -o 64K -l 64K file; truncate -s $size file",
    ];
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let mut scripts = everywhere.to_vec();
        if kind != Kind::Tmpfs {
            scripts.push("fallocate --zero-range -o 3M -l 100K file");
        }
        if matches!(kind, Kind::Ext4 | Kind::Xfs) {
            scripts.extend(shifting);
        }
        for script in scripts {
            std::fs::write(volume.at("file"), numbered(FILE_BYTES)).expect("a file");
            is_seen(&volume, &protected, script);
        }
        // Small enough to lie in the row of its entry.
        std::fs::write(volume.at("file"), numbered(5000)).expect("a file");
        is_seen(&volume, &protected, "printf X | dd of=file bs=1 seek=4999 conv=notrunc status=none");
    }
}

/// Two writes of the same length can have the same stamp where the clock ticks in milliseconds.
#[test]
fn two_writes_within_one_tick_with_a_backup_between_them_are_both_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        for ahead_seconds in [0, 3600] {
            let (volume, protected) = (Volume::new(kind), Protected::ahead(ahead_seconds));
            for round in 0..10_u8 {
                for byte in [2 * round, 2 * round + 1] {
                    std::fs::write(volume.at("file"), vec![byte; 70_000]).expect("a file");
                    let report = protected.back_up(&volume.root());
                    let content = protected.content(&report, "file");
                    assert!(content == Some(vec![byte; 70_000]), "{kind:?}, {ahead_seconds} s, round {round}");
                }
            }
        }
    }
}

#[test]
fn a_page_that_was_written_into_reserved_space_and_not_yet_to_the_disk_is_no_hole() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        shell(&volume.root(), &format!("fallocate -l {FILE_BYTES} file && sync -f ."));
        protected.back_up(&volume.root());
        let file = File::options().write(true).open(volume.at("file")).expect("the file");
        file.write_all_at(b"written", 2_000_000).expect("a write");
        if matches!(kind, Kind::Ext4 | Kind::Xfs) {
            // Who asks for extents is told that all of them were reserved and never written.
            let extents = shell(&volume.root(), "filefrag -v file | grep -E '^ *[0-9]+:'");
            assert!(extents.lines().all(|line| line.contains("unwritten")), "{kind:?}: on the disk already: {extents}");
        }
        let report = protected.back_up(&volume.root());
        let content = protected.content(&report, "file").expect("the file");
        assert_eq!(&content[2_000_000..2_000_007], b"written", "{kind:?}");
        assert_eq!(content.iter().filter(|byte| **byte != 0).count(), 7, "{kind:?}");
    }
}

#[test]
fn metadata_alone_is_seen_and_no_content_is_stored_again() {
    if !can_mount() {
        return;
    }
    let changes = [
        "setfattr -n user.key -v value file",
        "setfattr -x user.key file",
        "setfattr -n trusted.key -v value folder",
        "setfacl -m u:77:rw file",
        "setfacl -d -m g:88:r folder",
        "setfacl -b file folder",
        "chown 12:34 file folder",
        "chown -h 12:34 link",
        "chmod 4711 file",
        "touch -d @12345.678901234 file",
        "setfattr -n security.selinux -v some_u:label file",
    ];
    for kind in [Kind::Ext4, Kind::Btrfs] {
        let (volume, target, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
        let prepare = "head -c 3000000 /dev/urandom > file && ln file 'other name' && mkdir folder && ln -s file link";
        shell(&volume.root(), prepare);
        protected.back_up(&volume.root());
        for change in changes {
            shell(&volume.root(), change);
            let report = protected.back_up(&volume.root());
            assert_eq!(report.statistics.bytes_new, 0, "{kind:?}, {change}");
            let restored = protected.restore(&report, &target.root(), true).expect("a restore");
            assert_eq!(restored.outcome, Outcome::Complete, "{kind:?}, {change}: {:?}", restored.failed);
            account(&volume.root()).assert_same(&target.root(), &format!("{kind:?}, {change}"));
        }
    }
}

/// Flags of the filesystem are not kept, as with `cp -a`; a file that may not be changed is read all the same, and one in the way of a restore is named.
#[test]
fn what_may_not_be_changed_is_read_and_named_when_it_is_in_the_way() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        std::fs::write(volume.at("file"), "old").expect("a file");
        protected.back_up(&volume.root());
        std::fs::write(volume.at("file"), "new").expect("a file");
        shell(&volume.root(), "chattr +i file");
        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file").as_deref(), Some(&b"new"[..]), "{kind:?}");
        shell(&volume.root(), "chattr -i file && echo other > file && chattr +i file");
        let restored = protected.restore(&report, &volume.root(), true).expect("a restore");
        let named: Vec<&str> = restored.failed.iter().map(|failed| failed.path.as_str()).collect();
        assert_eq!((restored.outcome, named), (Outcome::Partial, vec!["file"]), "{kind:?}");
        shell(&volume.root(), "chattr -i file");
        let restored = protected.restore(&report, &volume.root(), true).expect("a restore");
        assert_eq!(restored.outcome, Outcome::Complete, "{kind:?}: {:?}", restored.failed);
        assert_eq!(read(&volume.at("file")), "new", "{kind:?}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file")
}
