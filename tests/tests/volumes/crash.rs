//! Crash: what fdatasync promised is on the disk, and its stamp is not.
//!
//! In: the image as it is the moment after fdatasync returned: what the next node finds. Out: a restore point with what was promised. Never: a clean unmount in between.

use repository::write::BackupReport;

use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
use crate::protected::Protected;
use crate::stamp::stamp;
use volume::Handover;

/// A volume in use, the image as a crash leaves it, mounted, and the repository with a point from before.
fn crashed(kind: Kind) -> (Volume, Protected) {
    let (volume, protected) = (Volume::new(kind), Protected::new());
    volume.unmount();
    // The journal is not written by itself while the test runs, which is what a slow disk or a fast crash comes to.
    volume.mount_with(if kind == Kind::Xfs { "relatime" } else { "commit=300" });
    std::fs::write(volume.at("file"), vec![b'a'; 1 << 20]).expect("a file");
    shell(&volume.root(), "sync -f .");
    protected.back_up(&volume.root());
    let before = stamp(&volume.at("file"));
    shell(&volume.root(), "printf b | dd of=file bs=1 seek=500000 conv=notrunc,fdatasync status=none");
    assert_ne!(stamp(&volume.at("file")).ctime, before.ctime);
    let copy = Volume::copy_of(&volume);
    volume.unmount();
    copy.mount();
    assert_eq!(std::fs::read(copy.at("file")).expect("the file")[500_000], b'b', "{kind:?}: the promise was broken");
    assert_eq!(stamp(&copy.at("file")) == before, kind != Kind::Btrfs, "{kind:?}: whether the stamp is the old one");
    (copy, protected)
}

fn byte(protected: &Protected, report: &BackupReport) -> u8 {
    protected.content(report, "file").expect("the file")[500_000]
}

#[test]
fn after_a_crash_content_that_is_newer_than_its_stamp_is_found() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        for handover in [None, Some(Handover::Unknown), Some(Handover::Unclean)] {
            let (copy, protected) = crashed(kind);
            let report = protected.try_back_up(&copy.root(), &protected.asked(handover)).expect("a backup");
            assert_eq!(byte(&protected, &report), b'b', "{kind:?}, {handover:?}");
            assert!(report.proof.full_pass.is_some(), "{kind:?}, {handover:?}");
        }
    }
}

/// Why a handover is clean only when somebody saw it: whoever says so wrongly gets older content, until the scrub finds it.
#[test]
fn a_crash_that_is_called_clean_is_found_by_the_scrub_at_last() {
    if !can_mount() {
        return;
    }
    for kind in [Kind::Ext4, Kind::Xfs] {
        let (copy, mut protected) = crashed(kind);
        let report = protected.try_back_up(&copy.root(), &protected.clean()).expect("a backup");
        assert_eq!(byte(&protected, &report), b'a', "{kind:?}: the stamp told after all, and the test shows nothing");
        protected.wait(8 * 24 * 3600);
        let report = protected.try_back_up(&copy.root(), &protected.clean()).expect("a backup");
        assert_eq!((byte(&protected, &report), report.proof.silent_changes), (b'b', 1), "{kind:?}");
    }
}
