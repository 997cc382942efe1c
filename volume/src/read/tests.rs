//! What has to hold of the module above, one claim per test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use repository::source::{Content, ReadVerdict, Source, Stat, Time};

use super::*;
use crate::testing::{Mounted, after, instant, is_root, now, options, scratch};
use crate::{DirectorySource, SourceOptions};

/// Opens `file` in a directory as a walk that starts `seconds` after the file's last change would.
fn open_after(directory: &Path, seconds: i64, probe: WriterProbe) -> Box<dyn Content> {
    let ctime = stat(&source(directory, now(), probe)).ctime;
    let source = source(directory, after(ctime, seconds), probe);
    let stat = stat(&source);
    source.directory(&[]).unwrap().open(b"file", &stat).unwrap()
}

fn source(directory: &Path, started: Time, writer_probe: WriterProbe) -> DirectorySource {
    DirectorySource::open(directory, &SourceOptions { started, writer_probe, ..options() }).unwrap()
}

fn stat(source: &DirectorySource) -> Stat {
    source.directory(&[]).unwrap().stat(b"file").unwrap().unwrap()
}

fn verdict(directory: &Path, seconds: i64, probe: WriterProbe) -> ReadVerdict {
    let mut content = open_after(directory, seconds, probe);
    let mut buffer = vec![0; 4096];
    content.read_at(0, &mut buffer).unwrap();
    content.finish().unwrap()
}

/// False, with a word, where the build lies on a filesystem whose stamps are never trusted.
fn stamps_are_trusted(directory: &Path) -> bool {
    let root = crate::sys::open::operator_path(directory, OFlag::O_DIRECTORY).unwrap();
    let raw = statx(&root, b"").unwrap();
    let settles = crate::walk::stat::Filesystem::of(&root, &raw).unwrap().settles;
    if !settles {
        eprintln!("SKIP: the build is not on ext4, xfs or btrfs");
    }
    settles
}

#[test]
fn a_file_is_settled_when_it_is_quiet_and_nobody_writes() {
    let scratch = scratch();
    if !stamps_are_trusted(scratch.path()) {
        return;
    }
    let path = scratch.path().join("file");
    fs::write(&path, b"content").unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    for (seconds, probe, expected) in [
        (1, WriterProbe::Lease, ReadVerdict::Unsettled),
        (3, WriterProbe::Lease, ReadVerdict::Unsettled),
        (3, WriterProbe::Off, ReadVerdict::Unsettled),
        (601, WriterProbe::Lease, ReadVerdict::Settled),
    ] {
        assert_eq!(verdict(scratch.path(), seconds, probe), expected, "{seconds} s, {probe:?}, with a writer");
    }
    drop(writer);
    for (seconds, probe, expected) in [
        (1, WriterProbe::Lease, ReadVerdict::Unsettled),
        (3, WriterProbe::Lease, ReadVerdict::Settled),
        (3, WriterProbe::Off, ReadVerdict::Unsettled),
        (601, WriterProbe::Off, ReadVerdict::Settled),
    ] {
        assert_eq!(verdict(scratch.path(), seconds, probe), expected, "{seconds} s, {probe:?}, without a writer");
    }
}

#[test]
fn the_probe_leaves_no_lease_behind() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, b"content").unwrap();
    let _content = open_after(scratch.path(), 3, WriterProbe::Lease);
    // A lease would make this wait for 45 seconds.
    let start = instant();
    File::options().write(true).open(&path).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn nothing_on_a_tmpfs_is_ever_settled() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let _mounted = Mounted::tmpfs(scratch.path(), "1m");
    fs::write(scratch.path().join("file"), b"content").unwrap();
    assert_eq!(verdict(scratch.path(), 10_000, WriterProbe::Lease), ReadVerdict::Unsettled);
}

type Change<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn a_file_that_changed_while_it_was_read_is_torn() {
    let changes: [Change; 4] = [
        ("overwritten", &|path| File::options().write(true).open(path).unwrap().write_all_at(b"C", 0).unwrap()),
        ("appended", &|path| File::options().write(true).open(path).unwrap().write_all_at(b"more", 7).unwrap()),
        ("truncated", &|path| File::options().write(true).open(path).unwrap().set_len(2).unwrap()),
        ("removed", &|path| fs::remove_file(path).unwrap()),
    ];
    for (name, change) in changes {
        let scratch = scratch();
        let path = scratch.path().join("file");
        fs::write(&path, b"content").unwrap();
        let mut content = open_after(scratch.path(), 601, WriterProbe::Lease);
        change(&path);
        let mut buffer = [0; 64];
        content.read_at(0, &mut buffer).unwrap();
        assert_eq!(content.finish().unwrap(), ReadVerdict::Torn, "{name}");
    }
}

#[test]
fn holes_are_skipped_and_no_byte_is_missed() {
    let scratch = scratch();
    let file = File::create(scratch.path().join("file")).unwrap();
    let size = 1_u64 << 40;
    file.set_len(size).unwrap();
    let places = [0, 5 << 20, (1 << 39) + 12345, size - 3];
    for at in places {
        file.write_all_at(b"abc", at).unwrap();
    }
    let mut content = open_after(scratch.path(), 3, WriterProbe::Lease);
    let (mut at, mut ranges, mut bytes) = (0, Vec::new(), 0);
    while let Some(range) = content.next_data(at).unwrap() {
        assert!(range.start >= at && range.end > range.start && range.end <= size);
        at = range.end;
        bytes += range.end - range.start;
        ranges.push(range);
    }
    assert!(bytes < 1 << 20, "{bytes} bytes of a nearly empty file would be read");
    for place in places {
        assert!(ranges.iter().any(|range| range.start <= place && place + 3 <= range.end), "{place}");
        let mut buffer = [0; 3];
        assert_eq!(content.read_at(place, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer, b"abc");
    }
    assert_eq!(content.read_at(size - 1, &mut [0; 10]).unwrap(), 1, "short only at the end");
    assert_eq!(content.next_data(size).unwrap(), None);
}

fn cached(file: &File) -> Option<u64> {
    let pages = cache::cachestat(file, 0, 0).map(|pages| pages.cached).ok();
    if pages.is_none() {
        eprintln!("SKIP: no cachestat on this kernel");
    }
    pages
}

/// A written-out file of `size` bytes of which nothing is in the cache.
fn cold_file(path: &Path, size: usize) -> File {
    fs::write(path, vec![7; size]).unwrap();
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    file
}

fn read_all(directory: &Path) {
    let mut content = open_after(directory, 3, WriterProbe::Lease);
    let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
    loop {
        match content.read_at(at, &mut buffer).unwrap() {
            0 => break,
            got => at += got as u64,
        }
    }
    content.finish().unwrap();
}

#[test]
fn the_page_cache_is_left_as_it_was_found() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    for size in [100, 4096, 300_000, 20 << 20] {
        let file = cold_file(&path, size);
        let Some(before) = cached(&file) else { return };
        assert_eq!(before, 0);
        read_all(scratch.path());
        assert_eq!(cached(&file), Some(0), "{size} bytes, cold before");

        fs::read(&path).unwrap();
        let all = (size as u64).div_ceil(4096);
        assert_eq!(cached(&file), Some(all));
        read_all(scratch.path());
        assert_eq!(cached(&file), Some(all), "{size} bytes, warm before");
    }
}

#[test]
fn a_part_that_was_in_the_cache_stays_and_the_rest_goes() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    let file = cold_file(&path, 20 << 20);
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    let mut page = [0; 4096];
    for at in [0, 5_000_000, 12 << 20] {
        file.read_exact_at(&mut page, at).unwrap();
    }
    let Some(before) = cached(&file) else { return };
    assert!((3..=40).contains(&before), "{before}");
    read_all(scratch.path());
    for at in [0, 5_000_000, 12 << 20] {
        assert_eq!(cache::cachestat(&file, at, 1).unwrap().cached, 1, "the page at {at} was dropped");
    }
    let after = cached(&file).unwrap();
    assert!(after <= before + 3 * 16, "{after} pages are in the cache, {before} were");
}
