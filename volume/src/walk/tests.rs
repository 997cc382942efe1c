//! What has to hold of the module above, one claim per test.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknod};
use nix::unistd::mkfifo;
use repository::source::{FileType, ReadVerdict, Source, SourceError, SourceKind, Stat};

mod detached;

use super::*;
use crate::testing::{
    Loop, Mounted, acl_for_user, capability, instant, is_root, now, options, scratch, set_attribute, source,
};

fn entry(source: &DirectorySource, name: &[u8]) -> Stat {
    source.directory(&[]).unwrap().stat(name).unwrap().unwrap()
}

fn why(error: SourceError) -> String {
    match error {
        SourceError::Unreadable { why, .. } => why,
        error => panic!("not unreadable: {error}"),
    }
}

#[test]
fn names_of_every_byte_and_of_full_length_are_listed_in_order() {
    let scratch = scratch();
    let mut expected = BTreeSet::new();
    for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
        expected.insert(if byte == b'.' { b".x".to_vec() } else { vec![byte] });
    }
    expected.insert(vec![0xfe; 255]);
    for name in &expected {
        File::create(scratch.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    let names = directory.names().unwrap();
    assert!(names.iter().eq(expected.iter().map(Vec::as_slice)));
    for name in names.iter() {
        assert_eq!(directory.stat(name).unwrap().unwrap().file_type, FileType::Regular);
    }
    assert_eq!(directory.names().unwrap().len(), names.len(), "a directory can be listed again");
}

#[test]
fn every_type_is_told_and_none_but_files_can_be_opened() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    File::create(at("file")).unwrap().write_all_at(b"abc", 0).unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("file", at("link")).unwrap();
    mkfifo(&at("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let mut expected = vec![
        ("directory", FileType::Directory),
        ("file", FileType::Regular),
        ("link", FileType::Symlink),
        ("pipe", FileType::Fifo),
        ("socket", FileType::Socket),
    ];
    if is_root() {
        mknod(&at("character"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(250, 77)).unwrap();
        mknod(&at("block"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(251, 300)).unwrap();
        expected.extend([("character", FileType::CharDevice), ("block", FileType::BlockDevice)]);
    }
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    for (name, file_type) in expected {
        let stat = directory.stat(name.as_bytes()).unwrap().unwrap();
        let meta = fs::symlink_metadata(at(name)).unwrap();
        assert_eq!(stat.file_type, file_type);
        assert_eq!((stat.inode, stat.links, stat.uid, stat.gid), (meta.ino(), meta.nlink(), meta.uid(), meta.gid()));
        assert_eq!((stat.mtime.seconds, i64::from(stat.mtime.nanoseconds)), (meta.mtime(), meta.mtime_nsec()));
        assert_eq!(directory.open(name.as_bytes(), &stat).is_ok(), file_type == FileType::Regular, "{name}");
        let link = directory.attributes(name.as_bytes(), &stat).unwrap().link_target;
        assert_eq!(link.as_deref(), (name == "link").then_some(&b"file"[..]));
        let device = [("character", (250, 77)), ("block", (251, 300))].into_iter().find(|known| known.0 == name);
        assert_eq!(stat.device, device.map(|known| known.1));
        assert_eq!(stat.size, if name == "file" { 3 } else { 0 });
    }
    assert_eq!(directory.stat(b"nothing").unwrap(), None);
}

#[test]
fn extended_attributes_come_whole_and_sorted() {
    let scratch = scratch();
    let file = scratch.path().join("file");
    File::create(&file).unwrap();
    symlink("nowhere", scratch.path().join("link")).unwrap();
    let large = vec![7; 3000];
    let mut expected = vec![(b"user.b".to_vec(), b"".to_vec()), (b"user.a".to_vec(), large)];
    expected.push((b"system.posix_acl_access".to_vec(), acl_for_user(4242)));
    if is_root() {
        expected.push((b"trusted.t".to_vec(), vec![0, 255]));
        expected.push((b"security.capability".to_vec(), capability()));
        set_attribute(&scratch.path().join("link"), b"trusted.of-the-link", b"x");
    }
    for (name, value) in &expected {
        set_attribute(&file, name, value);
    }
    expected.sort();
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    let stat = directory.stat(b"file").unwrap().unwrap();
    assert_eq!(directory.attributes(b"file", &stat).unwrap().extended, expected);
    let stat = directory.stat(b"link").unwrap().unwrap();
    let of_link = directory.attributes(b"link", &stat).unwrap();
    assert_eq!(of_link.extended.len(), usize::from(nix::unistd::geteuid().is_root()));
    assert_eq!(of_link.link_target.as_deref(), Some(&b"nowhere"[..]));
}

#[test]
fn a_list_of_attributes_longer_than_the_first_guess_is_complete() {
    let scratch = scratch();
    let file = scratch.path().join("file");
    File::create(&file).unwrap();
    let expected: Vec<_> = (100..140).map(|n| (format!("user.attribute-{n}").into_bytes(), vec![1])).collect();
    for (name, value) in &expected {
        set_attribute(&file, name, value);
    }
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    let stat = directory.stat(b"file").unwrap().unwrap();
    assert_eq!(directory.attributes(b"file", &stat).unwrap().extended, expected);
}

#[test]
fn a_tree_deeper_than_a_path_can_say_is_walked() {
    let scratch = scratch();
    let name = [b'd'; 100];
    let mut fd = open::operator_path(scratch.path(), OFlag::O_DIRECTORY).unwrap();
    const DEPTH: usize = 2500;
    for _ in 0..DEPTH {
        mkdirat(&fd, &name[..], Mode::from_bits_truncate(0o755)).unwrap();
        fd = open::beneath(&fd, &name, OFlag::O_PATH | OFlag::O_DIRECTORY).unwrap();
    }
    let source = source(scratch.path());
    let path = vec![&name[..]; DEPTH];
    assert!(source.directory(&path).unwrap().names().unwrap().is_empty());
    assert_eq!(source.directory(&path[1..]).unwrap().names().unwrap().len(), 1);
    // The standard library would run out of descriptors here.
    let target = crate::DirectoryTarget::open(scratch.path()).unwrap();
    repository::target::Target::remove(&target, &[&name]).unwrap();
    assert!(source.directory(&[]).unwrap().names().unwrap().is_empty());
}

#[test]
fn a_link_is_never_followed_on_the_way() {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("real")).unwrap();
    symlink("real", scratch.path().join("inside")).unwrap();
    symlink("/etc", scratch.path().join("outside")).unwrap();
    let source = source(scratch.path());
    for name in ["inside", "outside"] {
        assert!(matches!(source.directory(&[name.as_bytes()]), Err(SourceError::Gone { .. })), "{name}");
    }
    for bad in [&b".."[..], b".", b"", b"real/..", b"a\0b"] {
        assert!(matches!(source.directory(&[bad]), Err(SourceError::Unreadable { .. })));
        assert!(source.directory(&[]).unwrap().stat(bad).is_err());
    }
}

type Replacement<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn what_took_the_place_of_an_entry_is_not_opened() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    let source = source(scratch.path());
    let replacements: [Replacement; 4] = [
        ("pipe", &|path| mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap()),
        ("link", &|path| symlink("/etc/shadow", path).unwrap()),
        ("directory", &|path| fs::create_dir(path).unwrap()),
        ("other file", &|path| drop(File::create(path).unwrap())),
    ];
    for (name, replace) in replacements {
        File::create(at(name)).unwrap();
        let stat = entry(&source, name.as_bytes());
        // Keeps the inode number from being used again.
        fs::rename(at(name), at("aside")).unwrap();
        replace(&at(name));
        let directory = source.directory(&[]).unwrap();
        assert!(matches!(directory.open(name.as_bytes(), &stat), Err(SourceError::Gone { .. })), "{name}");
        assert!(matches!(directory.attributes(name.as_bytes(), &stat), Err(SourceError::Gone { .. })), "{name}");
    }
}

#[test]
fn what_is_mounted_inside_is_reported_and_not_entered() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let inside = scratch.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let _mounted = Mounted::tmpfs(&inside, "1m");
    File::create(inside.join("not ours")).unwrap();
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    assert_eq!(directory.names().unwrap().len(), 1);
    assert_eq!(why(directory.stat(b"inside").unwrap_err()), "another filesystem is mounted there");
    let error = source.directory(&[b"inside"]).err().unwrap();
    assert_eq!(why(error), "another filesystem is mounted there");
}

#[test]
fn a_volume_that_was_unmounted_is_gone_and_not_empty() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let mounted = Mounted::tmpfs(scratch.path(), "1m");
    File::create(scratch.path().join("file")).unwrap();
    let options = SourceOptions { must_be_mount_root: true, ..options() };
    let source = DirectorySource::open(scratch.path(), &options).unwrap();
    source.still_there().unwrap();
    umount2(&mounted.0, MntFlags::MNT_DETACH).unwrap();
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })));
    assert!(matches!(DirectorySource::open(scratch.path(), &options), Err(OpenError::NotMounted { .. })));
    // Another volume at the same place is not the one that was opened.
    let _other = Mounted::tmpfs(scratch.path(), "1m");
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })));
}

#[test]
fn a_directory_that_was_replaced_or_mounted_over_is_gone() {
    let scratch = scratch();
    let (here, away) = (scratch.path().join("here"), scratch.path().join("away"));
    fs::create_dir(&here).unwrap();
    let source = source(&here);
    source.still_there().unwrap();
    fs::rename(&here, &away).unwrap();
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })));
    fs::create_dir(&here).unwrap();
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })));
    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    source.still_there().unwrap();
}

#[test]
fn reading_changes_no_access_time() {
    let scratch = scratch();
    let (directory, file) = (scratch.path().join("directory"), scratch.path().join("directory/file"));
    fs::create_dir(&directory).unwrap();
    fs::write(&file, b"content").unwrap();
    // Older than mtime: relatime would move it at the next reading.
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for path in [&file, &directory] {
        File::open(path).unwrap().set_times(fs::FileTimes::new().set_accessed(old)).unwrap();
    }
    assert_eq!(crate::testing::rows(&source(scratch.path())).len(), 3);
    for path in [&file, &directory] {
        assert_eq!(fs::metadata(path).unwrap().accessed().unwrap(), old, "{}", path.display());
    }
}

#[test]
fn a_file_is_a_tree_of_one_entry() {
    let scratch = scratch();
    let path = scratch.path().join("dump.sql");
    fs::write(&path, b"select 1;").unwrap();
    let source = open_source(&path, &options()).unwrap();
    assert_eq!(source.describe().kind, SourceKind::File);
    let rows = crate::testing::rows(source.as_ref());
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].1.file_type, rows[0].1.mode, rows[0].1.uid), (FileType::Directory, 0o755, 0));
    assert_eq!((&rows[1].0, &rows[1].3), (&vec![b"dump.sql".to_vec()], &b"select 1;".to_vec()));
    source.still_there().unwrap();
    fs::write(scratch.path().join("new"), b"select 2;").unwrap();
    fs::rename(scratch.path().join("new"), &path).unwrap();
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })));
}

#[test]
fn a_device_is_read_past_the_cache_at_any_offset_and_never_settled() {
    // Not a multiple of a page: the last transfer is short.
    let size = 3 * (1 << 20) + 512;
    let Some(device) = is_root().then(|| Loop::of(size)).flatten() else { return };
    let bytes: Vec<u8> = (0..size as usize).map(|at| (at / 7 % 251) as u8).collect();
    fs::write(&device.backing, &bytes).unwrap();
    let options = SourceOptions { started: crate::testing::after(now(), 10_000), ..options() };
    let source = open_source(&device.path, &options).unwrap();
    assert_eq!(source.describe().kind, SourceKind::Block);
    let directory = source.directory(&[]).unwrap();
    let name = device.path.file_name().unwrap().as_bytes();
    let stat = directory.stat(name).unwrap().unwrap();
    assert_eq!((stat.file_type, stat.size, stat.device), (FileType::Regular, size, None));
    let mut content = directory.open(name, &stat).unwrap();
    assert_eq!(content.next_data(5).unwrap(), Some(5..size));
    assert_eq!(content.next_data(size).unwrap(), None);
    for (offset, length) in [(0, 4096), (0, size), (1, 4095), (4095, 2), (777, 2_500_000), (size - 5, 100), (size, 1)] {
        let mut buffer = vec![0xaa; length as usize + 3];
        let got = content.read_at(offset, &mut buffer[3..]).unwrap();
        let expected = &bytes[offset as usize..(offset + length).min(size) as usize];
        assert_eq!(&buffer[3..3 + got], expected, "{length} at {offset}");
    }
    assert_eq!(content.finish().unwrap(), ReadVerdict::Unsettled);
    let cached = crate::sys::cache::cachestat(File::open(&device.path).unwrap(), 0, 0).map(|pages| pages.cached);
    assert!(cached.is_err() || cached == Ok(0), "{cached:?} pages of the device are in the cache");
    source.still_there().unwrap();
}

#[test]
fn what_cannot_be_backed_up_is_refused_by_name() {
    let scratch = scratch();
    let pipe = scratch.path().join("pipe");
    mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    let error = open_source(&pipe, &options()).err().unwrap();
    assert!(error.to_string().contains("a named pipe"), "{error}");
    assert_eq!(error.class(), model::ErrorClass::Invalid);
    let error = open_source(&scratch.path().join("nothing"), &options()).err().unwrap();
    assert_eq!(error.class(), model::ErrorClass::Missing);
}

/// The pod exchanges a directory, and a file, with links to what it must not see, as fast as it can.
#[test]
fn no_exchange_of_names_makes_us_read_outside() {
    let (scratch, secret) = (scratch(), scratch());
    let at = |name: &str| scratch.path().join(name);
    fs::write(secret.path().join("file"), b"SECRET").unwrap();
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("directory/file"), b"public").unwrap();
    fs::write(at("file"), b"public").unwrap();
    symlink(secret.path(), at("directory-link")).unwrap();
    symlink(secret.path().join("file"), at("file-link")).unwrap();
    let stop = AtomicBool::new(false);
    let source = source(scratch.path());
    let reads = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["directory", "file"] {
                    let (a, b) = (at(name), at(&format!("{name}-link")));
                    renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).unwrap();
                }
            }
        });
        let until = instant() + Duration::from_secs(2);
        let mut reads = 0;
        while instant() < until {
            for path in [&[&b"directory"[..]][..], &[]] {
                reads += u32::from(read_one(&source, path));
            }
        }
        stop.store(true, Ordering::Relaxed);
        reads
    });
    assert!(reads > 100, "only {reads} reads got through: the race was not run");
}

/// Reads `file` in a directory if it is there; panics on a byte from outside.
fn read_one(source: &DirectorySource, path: &[&[u8]]) -> bool {
    let Ok(directory) = source.directory(path) else { return false };
    let Ok(Some(stat)) = directory.stat(b"file") else { return false };
    let attributes = directory.attributes(b"file", &stat);
    let Ok(mut content) = directory.open(b"file", &stat) else { return false };
    let mut buffer = [0; 16];
    let got = content.read_at(0, &mut buffer).unwrap();
    assert_eq!(&buffer[..got], b"public");
    drop(attributes);
    true
}

/// The measurement behind the choice of `Stat::handle`; run by hand.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_identity() {
    let scratch = scratch();
    for n in 0..20_000 {
        fs::write(scratch.path().join(format!("f{n:06}")), b"").unwrap();
    }
    let source = source(scratch.path());
    let directory = source.directory(&[]).unwrap();
    let names = directory.names().unwrap();
    let fd = open::operator_path(scratch.path(), OFlag::O_DIRECTORY).unwrap();
    for round in 0..3 {
        let start = instant();
        for name in names.iter() {
            directory.stat(name).unwrap();
        }
        let stats = start.elapsed();
        let start = instant();
        for name in names.iter() {
            crate::sys::stat::file_handle(&fd, name).unwrap();
        }
        println!("round {round}: 20,000 stats {stats:?}, 20,000 handles on top {:?}", start.elapsed());
    }
}

/// What a first full backup of small files costs here, and its restore; run by hand.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_small_files() {
    const COUNT: u32 = 20_000;
    let (from, to) = (scratch(), scratch());
    for n in 0..COUNT {
        fs::write(from.path().join(format!("f{n:06}")), vec![7; 4096]).unwrap();
    }
    for (age, what) in [(3, "just written, asked who writes"), (1, "just written, fresh"), (601, "old")] {
        let options = SourceOptions { started: crate::testing::after(now(), age), ..options() };
        let source = DirectorySource::open(from.path(), &options).unwrap();
        let directory = source.directory(&[]).unwrap();
        let (start, mut buffer) = (instant(), vec![0; 8192]);
        for name in directory.names().unwrap().iter() {
            let stat = directory.stat(name).unwrap().unwrap();
            directory.attributes(name, &stat).unwrap();
            let mut content = directory.open(name, &stat).unwrap();
            let range = content.next_data(0).unwrap().unwrap();
            content.read_at(range.start, &mut buffer[..4096]).unwrap();
            content.finish().unwrap();
        }
        println!("{what}: {:?} per file", start.elapsed() / COUNT);
    }
    let target = crate::DirectoryTarget::open(to.path()).unwrap();
    let start = instant();
    for n in 0..COUNT {
        let name = format!("f{n:06}");
        let file = repository::target::Target::create_file(&target, &[name.as_bytes()], 4096).unwrap();
        file.write_at(0, &[7; 4096]).unwrap();
        file.commit(&crate::testing::plain(4096)).unwrap();
    }
    println!("restored: {:?} per file", start.elapsed() / COUNT);
}
