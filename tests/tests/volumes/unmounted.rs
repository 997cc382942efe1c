//! Unmounted: a volume that is not there, goes away while it is read, or cannot be read everywhere.
//!
//! In: paths without a mount, unmounts in the middle of a run, disks that end early. Out: no restore point, or one that says what is missing. Never: an empty volume
//! where there is none, or an unmount that has to wait for us.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::ErrorClass;
use repository::Error;
use repository::point::Outcome;
use repository::source::SourceError;
use repository::write::{BackupOptions, BackupReport};
use volume::{OpenError, SourceOptions, open_source};

use crate::mounted::{Kind, Volume, can_mount, text};
use crate::program::{run, shell};
use crate::protected::Protected;

/// How long a pod that ends may be held up by us.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(5);

fn mounted_only(protected: &Protected) -> SourceOptions {
    SourceOptions { must_be_mount_root: true, ..protected.options() }
}

#[test]
fn the_empty_folder_under_a_volume_is_refused_and_nothing_is_taken_for_removed() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        std::fs::write(volume.at("file"), "content").expect("a file");
        protected.try_back_up(&volume.root(), &mounted_only(&protected)).expect("a backup");
        volume.unmount();
        let refused = open_source(&volume.root(), &mounted_only(&protected)).err();
        assert!(matches!(refused, Some(OpenError::NotMounted { .. })), "{kind:?}: {refused:?}");
    }
}

const FILES: u64 = 60;
const FILE_BYTES: u64 = 4_000_000;

/// Files that take a while to read.
fn with_much_to_read(kind: Kind) -> Volume {
    let volume = Volume::new(kind);
    let fill = format!("head -c {FILE_BYTES} /dev/zero | tr '\\0' $((n % 10)) > file-$n");
    shell(&volume.root(), &format!("for n in $(seq {FILES}); do {fill}; done && sync -f ."));
    volume
}

/// Backs up on another thread, and does something once the backup has read a little. What came of both.
fn during_a_backup<T: Send>(
    volume: &Volume,
    protected: &Protected,
    act: impl FnOnce(&BackupOptions) -> T + Send,
) -> (Result<BackupReport, Error>, T) {
    let shown = BackupOptions::new("volume", "test");
    let given = shown.clone();
    std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            protected.back_up_with(&volume.root(), &mounted_only(protected), |options| {
                options.cancel = given.cancel.clone();
                options.progress = given.progress.clone();
            })
        });
        while shown.progress.bytes_read.load(Ordering::Relaxed) == 0 && !running.is_finished() {
            std::thread::yield_now();
        }
        assert!(!running.is_finished(), "there is too little to read");
        let acted = act(&shown);
        (running.join().expect("the backup does not panic"), acted)
    })
}

#[test]
fn a_volume_that_is_detached_while_it_is_read_ends_the_run_without_a_restore_point() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (with_much_to_read(kind), Protected::new());
        let (ended, ()) = during_a_backup(&volume, &protected, |_| {
            run("umount", &["-l", text(&volume.root())]);
        });
        let gone = matches!(ended, Err(Error::Source(SourceError::SourceGone { .. })));
        assert!(gone, "{kind:?}: {:?}", ended.map(|report| report.outcome));
        assert_eq!(protected.points(), 0, "{kind:?}");
    }
}

/// Another volume of the same names under the same path is not the one that is being read.
#[test]
fn another_volume_that_is_mounted_over_one_that_is_read_ends_the_run() {
    if !can_mount() {
        return;
    }
    let (volume, other, protected) = (with_much_to_read(Kind::Ext4), Volume::new(Kind::Ext4), Protected::new());
    let (ended, ()) = during_a_backup(&volume, &protected, |_| {
        run("mount", &["--bind", text(&other.root()), text(&volume.root())]);
    });
    run("umount", &[text(&volume.root())]);
    assert!(matches!(ended, Err(Error::Source(SourceError::SourceGone { .. }))));
    assert_eq!(protected.points(), 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is promised is a time")]
fn a_backup_that_is_cancelled_lets_go_of_the_volume_within_seconds() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        let (volume, protected) = (with_much_to_read(kind), Protected::new());
        let (ended, waited) = during_a_backup(&volume, &protected, |running| {
            let cancelled = Instant::now();
            running.cancel.store(true, Ordering::Relaxed);
            let unmount = || std::process::Command::new("umount").arg(volume.root()).output();
            while !unmount().is_ok_and(|output| output.status.success()) {
                assert!(cancelled.elapsed() < UNMOUNT_WITHIN, "{kind:?}: still in use");
                std::thread::yield_now();
            }
            let read = running.progress.bytes_read.load(Ordering::Relaxed);
            assert!(read < FILES * FILE_BYTES, "{kind:?}: everything was read all the same");
            cancelled.elapsed()
        });
        println!("{kind:?}: unmounted after {} ms", waited.as_millis());
        assert_eq!(ended.err().map(|error| error.class()), Some(ErrorClass::Cancelled), "{kind:?}");
        assert_eq!(protected.points(), 0, "{kind:?}");
    }
}

/// The disk ends in the middle of a file: that file is named, older content stays, everything else is captured.
#[test]
fn a_file_on_bad_blocks_is_named_and_the_rest_is_captured() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = (Volume::new(Kind::Ext4), Protected::new());
    shell(&volume.root(), "head -c 3000000 /dev/zero | tr '\\0' a > early && fallocate -l 300M room");
    shell(&volume.root(), "for n in 1 2; do head -c 3000000 /dev/zero | tr '\\0' l > late-$n; done && sync -f .");
    let blocks: Vec<u64> = ["late-1", "late-2"]
        .map(|name| run("debugfs", &["-R", &format!("bmap {name} 0"), text(&volume.image())]))
        .iter()
        .map(|block| block.trim().parse().expect("the number of a block"))
        .collect();
    let first = protected.back_up(&volume.root());
    let image = std::fs::OpenOptions::new().write(true).open(volume.image()).expect("the image");
    let end = blocks.iter().min().expect("two blocks") * 4096;
    // Nothing else lies behind it that is not in memory.
    shell(
        &volume.root(),
        "dd if=early iflag=nocache count=0 status=none; for n in 1 2; do dd if=late-$n iflag=nocache count=0 status=none; done",
    );
    image.set_len(end).expect("a shorter disk");
    shell(&volume.root(), "! cat late-1 > /dev/null 2>&1 && cat early > /dev/null");

    let report = protected.try_back_up(&volume.root(), &protected.read_all()).expect("a backup");
    assert_eq!(report.outcome, Outcome::Partial);
    let mut named: Vec<_> = report.not_captured.iter().map(|missed| missed.path.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["late-1", "late-2"], "{:?}", report.not_captured);
    assert!(report.not_captured.iter().all(|missed| missed.reason.contains("I/O error")), "{:?}", report.not_captured);
    for name in ["early", "late-1", "late-2"] {
        assert_eq!(protected.content(&report, name), protected.content(&first, name), "{name}: older content stays");
    }
    // What could not be read is tried again, whatever its stamp says.
    let again = protected.try_back_up(&volume.root(), &protected.options()).expect("a backup");
    assert_eq!((again.outcome, again.missed), (Outcome::Partial, 2));
}

#[test]
fn what_is_mounted_inside_is_named_and_not_entered() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, other, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
        std::fs::write(other.at("secret"), "of another volume").expect("a file");
        std::fs::create_dir(volume.at("inside")).expect("a folder");
        run("mount", &["--bind", text(&other.root()), text(&volume.at("inside"))]);
        let report = protected.try_back_up(&volume.root(), &protected.options()).expect("a backup");
        run("umount", &[text(&volume.at("inside"))]);
        let named: Vec<_> = report.not_captured.iter().map(|missed| missed.path.as_str()).collect();
        assert_eq!((report.outcome, named), (Outcome::Partial, vec!["inside"]), "{kind:?}");
        assert_eq!(protected.content(&report, "inside/secret"), None, "{kind:?}");
    }
}
