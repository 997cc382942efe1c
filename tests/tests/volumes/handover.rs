//! Handover: a volume that was somewhere else meanwhile, or is not as large as it was.
//!
//! In: the same filesystem, mounted anew, elsewhere, grown. Out: everything is read unless somebody says that the handover was clean, and then stamps tell. Never: a
//! change of the time between two mounts missed.

use std::fs::OpenOptions;

use repository::write::BackupReport;
use volume::Handover;

use crate::mounted::{IMAGE_BYTES, Kind, Volume, can_mount, text};
use crate::program::{run, shell};
use crate::protected::Protected;

const FILE_BYTES: usize = 2 << 20;

/// A volume with a file that changes and one that does not, in a restore point.
fn protected_volume(kind: Kind) -> (Volume, Protected) {
    let (volume, protected) = (Volume::new(kind), Protected::new());
    ["file", "rest"].into_iter().for_each(|name| std::fs::write(volume.at(name), vec![b'a'; FILE_BYTES]).expect(name));
    shell(&volume.root(), "sync -f .");
    protected.back_up(&volume.root());
    (volume, protected)
}

const OVERWRITE: &str = "printf b | dd of=file bs=1 seek=1500000 conv=notrunc status=none && touch -d @0 file";

#[track_caller]
fn assert_seen(protected: &Protected, report: &BackupReport, why: Option<&str>) {
    let content = protected.content(report, "file").expect("the file");
    assert_eq!(content[1_500_000], b'b');
    match (why, &report.proof.full_pass) {
        (None, None) => assert!(report.statistics.bytes_read <= FILE_BYTES as u64, "the other file was read too"),
        (Some(why), Some(said)) => {
            assert!(said.contains(why), "{said}");
            assert!(report.statistics.bytes_read >= 2 * FILE_BYTES as u64, "not everything was read");
        }
        (expected, found) => panic!("everything was read because of {found:?}, not {expected:?}"),
    }
    assert_eq!(report.proof.silent_changes, 0);
}

#[test]
fn a_volume_that_was_mounted_anew_is_read_whole_unless_the_handover_was_clean() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        for (handover, why) in [
            (None, Some("mounted anew")),
            (Some(Handover::Unknown), Some("nobody knows")),
            (Some(Handover::Unclean), Some("was not unmounted")),
            (Some(Handover::Clean), None),
        ] {
            let (volume, protected) = protected_volume(kind);
            shell(&volume.root(), OVERWRITE);
            volume.remount();
            let report = protected.try_back_up(&volume.root(), &protected.asked(handover)).expect("a backup");
            assert_seen(&protected, &report, why);
            let next = protected.back_up(&volume.root());
            assert_eq!((next.proof.full_pass, next.statistics.bytes_read), (None, 0), "{kind:?}: trust is back");
        }
    }
}

#[test]
fn what_was_written_while_it_was_mounted_elsewhere_is_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        for (handover, why) in [(None, Some("mounted anew")), (Some(Handover::Clean), None)] {
            let (volume, protected) = protected_volume(kind);
            volume.unmount();
            let elsewhere = tests::folder::Folder::new("elsewhere");
            run("mount", &["-o", "loop", text(&volume.image()), text(elsewhere.path())]);
            shell(elsewhere.path(), OVERWRITE);
            run("umount", &[text(elsewhere.path())]);
            volume.mount();
            let report = protected.try_back_up(&volume.root(), &protected.asked(handover)).expect("a backup");
            assert_seen(&protected, &report, why);
        }
    }
}

/// Another filesystem under the same path has files of the same names, inodes and perhaps stamps; none of them is what was backed up.
#[test]
fn another_filesystem_under_the_same_path_is_read_whole_whatever_is_said_of_the_handover() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        let (volume, protected) = protected_volume(kind);
        let other = Volume::new(kind);
        let copy = format!("cp -a '{}'/. .", volume.root().display());
        shell(&other.root(), &copy);
        shell(&other.root(), OVERWRITE);
        let report = protected.try_back_up(&other.root(), &protected.clean()).expect("a backup");
        assert_seen(&protected, &report, Some("not the filesystem"));
    }
}

#[test]
fn a_volume_that_was_grown_is_read_whole() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        let (volume, protected) = protected_volume(kind);
        let (root, device) = (volume.root(), volume.device());
        let image = OpenOptions::new().write(true).open(volume.image()).expect("the image");
        image.set_len(IMAGE_BYTES + (128 << 20)).expect("a larger image");
        run("losetup", &["-c", &device]);
        match kind {
            // Mounted it grows only for who has CAP_SYS_RESOURCE, which a container's root may lack; the next mount shows the same.
            Kind::Ext4 => {
                volume.unmount();
                run("e2fsck", &["-fp", text(&volume.image())]);
                run("resize2fs", &[text(&volume.image())]);
                volume.mount();
                String::new()
            }
            Kind::Xfs => run("xfs_growfs", &[text(&root)]),
            _ => run("btrfs", &["filesystem", "resize", "max", text(&root)]),
        };
        shell(&root, OVERWRITE);
        let report = protected.try_back_up(&root, &protected.clean()).expect("a backup");
        assert_seen(&protected, &report, Some("resized"));
    }
}
