//! Silent: content that changed and left no trace in any stamp.
//!
//! In: an image whose blocks are changed behind the filesystem's back. Out: found by who reads what nothing says has changed: the scrub, or a pass that was asked for.
//! Never: found by stamps; the first backup after the change proves that they say nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;

use repository::write::BackupReport;

use crate::mounted::{Kind, Volume, can_mount, text};
use crate::program::{run, shell};
use crate::protected::Protected;
use crate::stamp::stamp;

const BLOCK_BYTES: u64 = 4096;
/// Within this everything is read again.
const EIGHT_DAYS: i64 = 8 * 24 * 3600;

/// A volume whose files `small` and `large` are in a restore point, and were then changed on the disk.
fn changed_on_the_disk() -> (Volume, Protected) {
    let (volume, protected) = (Volume::new(Kind::Ext4), Protected::new());
    std::fs::write(volume.at("small"), vec![b'a'; 5000]).expect("a file");
    std::fs::write(volume.at("large"), vec![b'a'; 3 << 20]).expect("a file");
    std::fs::write(volume.at("other"), vec![b'a'; 2 << 20]).expect("a file");
    shell(&volume.root(), "sync -f .");
    protected.back_up(&volume.root());
    let names = ["small", "large"];
    let before = names.map(|name| stamp(&volume.at(name)));
    volume.unmount();
    let image = File::options().write(true).open(volume.image()).expect("the image");
    for name in names {
        let block = run("debugfs", &["-R", &format!("bmap {name} 1"), text(&volume.image())]);
        let block: u64 = block.trim().parse().expect("the number of a block");
        image.write_all_at(b"b", block * BLOCK_BYTES).expect("a byte");
    }
    volume.mount();
    assert_eq!(names.map(|name| stamp(&volume.at(name))), before);
    (volume, protected)
}

fn byte(protected: &Protected, report: &BackupReport, name: &str) -> u8 {
    protected.content(report, name).expect("the file")[BLOCK_BYTES as usize]
}

/// Both files have their new content, and it is said that nothing had announced it.
fn assert_found(protected: &Protected, report: &BackupReport) {
    assert_eq!([byte(protected, report, "small"), byte(protected, report, "large")], [b'b', b'b']);
    let mut found = report.proof.silently_changed.clone();
    found.sort();
    assert_eq!((report.proof.silent_changes, found), (2, vec!["large".to_owned(), "small".to_owned()]));
}

#[test]
fn the_scrub_finds_what_no_stamp_shows_and_the_next_run_reads_everything() {
    if !can_mount() {
        return;
    }
    let (volume, mut protected) = changed_on_the_disk();
    let report = protected.try_back_up(&volume.root(), &protected.clean()).expect("a backup");
    assert_eq!([byte(&protected, &report, "small"), byte(&protected, &report, "large")], [b'a', b'a']);
    assert_eq!((report.proof.silent_changes, report.statistics.bytes_read), (0, 0), "stamps say nothing");
    protected.wait(EIGHT_DAYS);
    let report = protected.try_back_up(&volume.root(), &protected.clean()).expect("a backup");
    assert_eq!(report.proof.full_pass, None);
    assert_found(&protected, &report);
    let next = protected.try_back_up(&volume.root(), &protected.clean()).expect("a backup");
    let why = next.proof.full_pass.unwrap_or_default();
    assert!(why.contains("2 files changed without a sign"), "{why:?}");
    assert_eq!((next.proof.silent_changes, next.statistics.bytes_new), (0, 0));
    let last = protected.try_back_up(&volume.root(), &protected.clean()).expect("a backup");
    assert_eq!((last.proof.full_pass, last.statistics.bytes_read), (None, 0), "all is well again");
}

#[test]
fn a_backup_that_reads_everything_finds_what_no_stamp_shows() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = changed_on_the_disk();
    let report = protected.try_back_up(&volume.root(), &protected.read_all()).expect("a backup");
    assert!(report.proof.full_pass.is_some());
    assert_found(&protected, &report);
}
