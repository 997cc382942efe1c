//! Race: a pod that exchanges a directory with a link that leads outside, as fast as it can, while its volume is read or restored into.
//!
//! In: a volume under such an attack, and a canary outside. Out: restore points without the canary, and a canary that is what it was. Never: a single escape, however
//! long it goes on: `HOLDFAST_RACE_SECONDS` says how long.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use repository::write::BackupReport;
use tests::folder::Folder;

use crate::compare::account;
use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
use crate::protected::Protected;

const SECONDS: u64 = 3;
const CANARY: &[u8] = b"canary: what nobody may read or write";
const INSIDE: &[u8] = b"inside";
const RESTORED: &[u8] = b"restored, and not as long";
/// Below both the directory and the canary.
const FILES: [&str; 3] = ["file", "deep/file", "deep/er/file"];
/// Those below the directory, and the one beside it.
const ALL_FILES: u64 = FILES.len() as u64 + 1;
/// A directory and the link to the canary's.
const PAIR: [&str; 2] = ["pod/swapped", "pod/link"];
/// A file and the link to the canary's.
const FILE_PAIR: [&str; 2] = ["pod/name", "pod/alias"];
/// A repository in memory is begun anew after so many backups: their list would grow without end.
const BACKUPS_MAX: u64 = 200;

fn race_seconds() -> u64 {
    std::env::var("HOLDFAST_RACE_SECONDS").ok().map_or(SECONDS, |text| text.parse().expect("a number of seconds"))
}

/// The files below a folder, all with the same content.
fn plant(folder: &Path, content: &[u8]) {
    std::fs::create_dir_all(folder.join("deep/er")).expect("folders");
    FILES.into_iter().for_each(|name| std::fs::write(folder.join(name), content).expect("a file"));
}

/// A volume with both pairs, and the canary outside that the links lead to.
fn attacked(kind: Kind) -> (Volume, Folder) {
    let (volume, outside) = (Volume::new(kind), Folder::new("outside"));
    plant(&volume.at(PAIR[0]), INSIDE);
    plant(outside.path(), CANARY);
    symlink(outside.path(), volume.at(PAIR[1])).expect("a link");
    std::fs::write(volume.at(FILE_PAIR[0]), INSIDE).expect("a file");
    symlink(outside.path().join(FILES[0]), volume.at(FILE_PAIR[1])).expect("a link");
    (volume, outside)
}

/// Runs `work` over and over while another thread exchanges the pairs. How often each was done.
#[expect(clippy::disallowed_methods, reason = "a race runs by the real clock")]
fn while_exchanging(volume: &Volume, mut work: impl FnMut()) -> (u64, u64) {
    let (is_over, exchanges) = (AtomicBool::new(false), AtomicU64::new(0));
    let pairs = [PAIR, FILE_PAIR].map(|pair| pair.map(|name| volume.at(name)));
    std::thread::scope(|scope| {
        // Set also when `work` panics: the other thread must end.
        let _over = Finally(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for [one, other] in &pairs {
                    // It fails for the moment in which a restore has removed one of the two.
                    match renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE) {
                        Ok(()) => drop(exchanges.fetch_add(1, Ordering::Relaxed)),
                        Err(_) => std::thread::yield_now(),
                    }
                }
            }
        });
        let (begun, mut rounds) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(race_seconds()) || rounds == 0 {
            work();
            rounds += 1;
        }
        (rounds, exchanges.load(Ordering::Relaxed))
    })
}

struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many of the files a restore point has, under either name. None of them is the canary.
fn captured(protected: &Protected, report: &BackupReport) -> u64 {
    let mut found = 0;
    let below = PAIR.iter().flat_map(|place| FILES.map(|name| format!("{place}/{name}")));
    for path in below.chain(FILE_PAIR.map(str::to_owned)) {
        match protected.content(report, &path) {
            None => {}
            Some(content) => {
                assert_eq!(content.escape_ascii().to_string(), "inside", "{path}: the canary was read");
                found += 1;
            }
        }
    }
    found
}

fn read_under_attack(kind: Kind) {
    if !can_mount() {
        return;
    }
    let (volume, outside) = attacked(kind);
    let (mut protected, before) = (Protected::new(), account(outside.path()));
    let (mut whole, mut lost) = (0, 0);
    let (rounds, exchanges) = while_exchanging(&volume, || {
        if (whole + lost) % BACKUPS_MAX == BACKUPS_MAX - 1 {
            protected = Protected::new();
        }
        let report = protected.try_back_up(&volume.root(), &protected.read_all()).expect("a backup");
        match captured(&protected, &report) {
            ALL_FILES => whole += 1,
            _ => lost += 1,
        }
    });
    println!("{kind:?}: {rounds} backups, {exchanges} exchanges, {whole} saw every file and {lost} not");
    assert!(exchanges > rounds, "{kind:?}: nothing was exchanged");
    before.assert_same(outside.path(), "the canary");
    // When the attack is over, everything is there.
    let report = protected.back_up(&volume.root());
    assert_eq!(captured(&protected, &report), ALL_FILES, "{kind:?}");
}

fn restored_under_attack(kind: Kind) {
    if !can_mount() {
        return;
    }
    let (volume, outside) = attacked(kind);
    let (protected, before) = (Protected::new(), account(outside.path()));
    // Two points that differ everywhere, so that there is something to write each time; one has both names as directories.
    let first = protected.back_up(&volume.root());
    let other = Volume::new(kind);
    PAIR.iter().for_each(|place| plant(&other.at(place), RESTORED));
    FILE_PAIR.iter().for_each(|name| std::fs::write(other.at(name), RESTORED).expect("a file"));
    shell(
        &other.root(),
        "chmod -R 777 pod && setfattr -n user.restored -v x pod/swapped/file && ln pod/link/file pod/link/hard",
    );
    let second = protected.back_up(&other.root());
    let (mut complete, mut hindered, mut turn) = (0, 0, 0);
    let (rounds, exchanges) = while_exchanging(&volume, || {
        turn += 1;
        let point = if turn % 2 == 0 { &first } else { &second };
        match protected.restore(point, &volume.root(), true) {
            Ok(report) if report.failed_count == 0 => complete += 1,
            _ => hindered += 1,
        }
    });
    println!("{kind:?}: {rounds} restores, {exchanges} exchanges, {complete} complete and {hindered} hindered");
    assert!(exchanges > rounds, "{kind:?}: nothing was exchanged");
    before.assert_same(outside.path(), "the canary");
    // When the attack is over, a restore is what it should be.
    let restored = protected.restore(&second, &volume.root(), true).expect("a restore");
    assert_eq!(restored.failed, [], "{kind:?}");
    account(&other.root()).assert_same(&volume.root(), &format!("{kind:?}, after the attack"));
}

#[test]
fn no_exchange_of_a_directory_with_a_link_makes_a_backup_read_outside() {
    read_under_attack(Kind::Ext4);
}

#[test]
fn no_exchange_of_a_directory_with_a_link_makes_a_restore_write_outside() {
    restored_under_attack(Kind::Xfs);
}
