//! What has to hold of the module above, one claim per test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::{RenameFlags, renameat2};
use nix::unistd::mkfifo;
use repository::source::{Attributes, Source, Time};

use super::single::{BlockTarget, FileTarget};
use super::*;
use crate::testing::{
    Loop, Mounted, Row, acl_for_user, capability, copy, instant, is_root, plain, rows, scratch, set_attribute, source,
};

fn target(path: &Path) -> DirectoryTarget {
    DirectoryTarget::open(path).unwrap()
}

fn write(target: &dyn Target, path: &[&[u8]], bytes: &[u8]) -> Result<(), TargetError> {
    let file = target.create_file(path, bytes.len() as u64)?;
    file.write_at(0, bytes)?;
    file.commit(&plain(bytes.len() as u64))
}

fn link_to(target: &[u8]) -> Metadata {
    let attributes = Attributes { link_target: Some(target.to_vec()), extended: Vec::new() };
    Metadata { file_type: FileType::Symlink, mode: 0o777, attributes, ..plain(0) }
}

fn listing(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything that can be in a volume, as far as we may make it.
fn build_everything(at: &Path) {
    let path = |name: &str| at.join(name);
    fs::create_dir_all(path("deep/er")).unwrap();
    fs::write(path("deep/er/file"), vec![3; 100_000]).unwrap();
    fs::write(path("empty"), b"").unwrap();
    fs::write(at.join(OsStr::from_bytes(b"\xff\n\x1b[1m")), b"name").unwrap();
    fs::write(at.join(OsStr::from_bytes(&[b'n'; 255])), b"long").unwrap();
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"far", 40 << 20).unwrap();
    fs::write(path("set-id"), b"#!").unwrap();
    symlink(OsStr::from_bytes(b"../\xfe/nowhere"), path("link")).unwrap();
    fs::hard_link(path("empty"), path("deep/empty-again")).unwrap();
    fs::hard_link(path("link"), path("link-again")).unwrap();
    mkfifo(&path("pipe"), Mode::from_bits_truncate(0o640)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(path("socket")).unwrap());
    set_attribute(&path("empty"), b"user.note", &[0, 1, 255]);
    set_attribute(&path("deep"), b"system.posix_acl_default", &acl_for_user(77));
    set_attribute(&path("deep/er/file"), b"system.posix_acl_access", &acl_for_user(4242));
    if is_root() {
        use nix::unistd::{Gid, Uid, fchownat};
        let owner = |name: &str, uid, gid| {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            fchownat(AT_FDCWD, &path(name), uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).unwrap();
        };
        for name in ["set-id", "link", "deep", "pipe", "sparse"] {
            owner(name, 1234, 5678);
        }
        let mode = Mode::from_bits_truncate(0o600);
        mknod_at(&path("character"), SFlag::S_IFCHR, mode, makedev(250, 77));
        mknod_at(&path("block"), SFlag::S_IFBLK, mode, makedev(251, 300));
        set_attribute(&path("set-id"), b"security.capability", &capability());
        set_attribute(&path("link"), b"trusted.link", b"x");
    }
    fs::set_permissions(path("set-id"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(path("deep/er"), fs::Permissions::from_mode(0o1500)).unwrap();
    for (index, name) in ["empty", "sparse", "deep/er/file", "deep/er", "deep"].iter().enumerate() {
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_000_000 + index as u64, 123_456_789);
        File::open(path(name)).unwrap().set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    }
}

fn mknod_at(path: &Path, kind: SFlag, mode: Mode, device: u64) {
    nix::sys::stat::mknod(path, kind, mode, device).unwrap();
}

/// What must be equal: everything but what the kernel alone decides.
fn comparable(rows: &[Row], index: usize) -> (Vec<Vec<u8>>, Metadata, u64, Option<usize>, Vec<u8>) {
    let (path, stat, attributes, content) = &rows[index];
    let is_linked = stat.links > 1 && stat.file_type != FileType::Directory;
    let group = is_linked.then(|| rows.iter().position(|row| row.1.inode == stat.inode)).flatten();
    let links = if stat.file_type == FileType::Directory { 0 } else { stat.links };
    (path.clone(), crate::testing::metadata(stat, attributes.clone()), links, group, content.clone())
}

fn assert_equal(a: &Path, b: &Path) {
    let (a, b) = (rows(&source(a)), rows(&source(b)));
    assert_eq!(a.len(), b.len());
    for index in 0..a.len() {
        let (left, right) = (comparable(&a, index), comparable(&b, index));
        assert_eq!((&left.0, &left.1, left.2, left.3), (&right.0, &right.1, right.2, right.3));
        assert!(left.4 == right.4, "the content of {:?} differs", left.0);
    }
}

#[test]
fn a_restored_tree_equals_its_source() {
    let (from, to) = (scratch(), scratch());
    build_everything(from.path());
    copy(&source(from.path()), &target(to.path())).unwrap();
    assert_equal(from.path(), to.path());
    let sparse = fs::metadata(to.path().join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "the sparse file takes {} bytes", sparse.blocks() * 512);

    // The same again, over itself: nothing is in the way, nothing is left behind.
    copy(&source(from.path()), &target(to.path())).unwrap();
    assert_equal(from.path(), to.path());
    target(to.path()).sync().unwrap();
}

#[test]
fn metadata_that_strayed_is_set_right_and_what_is_right_is_not_touched() {
    let (from, to) = (scratch(), scratch());
    build_everything(from.path());
    let target = target(to.path());
    copy(&source(from.path()), &target).unwrap();
    let stray = to.path().join("empty");
    set_attribute(&stray, b"user.stray", b"x");
    set_attribute(&stray, b"system.posix_acl_access", &acl_for_user(1));
    fs::set_permissions(to.path().join("deep"), fs::Permissions::from_mode(0o777)).unwrap();
    File::options().write(true).open(to.path().join("set-id")).unwrap().write_all_at(b"#!", 0).unwrap();
    let all = rows(&source(from.path()));
    let finish = || {
        for (path, stat, attributes, _) in all.iter().rev() {
            let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let wanted = crate::testing::metadata(stat, attributes.clone());
            match stat.file_type {
                FileType::Directory => target.finish_directory(&names, &wanted).unwrap(),
                _ => target.finish_existing(&names, &wanted).unwrap(),
            }
        }
    };
    finish();
    assert_equal(from.path(), to.path());
    let stamps = || rows(&source(to.path())).into_iter().map(|row| row.1.ctime).collect::<Vec<_>>();
    let before = stamps();
    finish();
    assert_eq!(stamps(), before, "something was touched that was right already");
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let scratch = scratch();
    fs::write(scratch.path().join("file"), b"old").unwrap();
    let target = target(scratch.path());
    let file = target.create_file(&[b"file"], 10).unwrap();
    file.write_at(0, b"half").unwrap();
    assert_eq!(fs::read(scratch.path().join("file")).unwrap(), b"old");
    assert!(target.names(&[]).unwrap().iter().eq([b"file"]), "what is being written is hidden");
    assert_eq!(listing(scratch.path()).len(), 2);
    drop(file);
    assert_eq!(listing(scratch.path()), ["file"]);
    write(&target, &[b"file"], b"new").unwrap();
    assert_eq!(fs::read(scratch.path().join("file")).unwrap(), b"new");
    assert_eq!(listing(scratch.path()), ["file"]);
}

#[test]
fn a_new_file_is_zeros_of_its_size_wherever_nothing_was_written() {
    let scratch = scratch();
    let target = target(scratch.path());
    for size in [0_u64, 1, 5000, 3 << 20] {
        let file = target.create_file(&[b"file"], size).unwrap();
        let mut page = vec![1; 6000];
        let got = file.read_at(0, &mut page).unwrap();
        assert_eq!((got as u64, page[..got].iter().max().copied().unwrap_or(0)), (size.min(6000), 0));
        drop(file);
        let file = target.create_file(&[b"file"], size).unwrap();
        if size > 1000 {
            file.write_at(1000, b"x").unwrap();
        }
        file.commit(&plain(size)).unwrap();
        let now = fs::read(scratch.path().join("file")).unwrap();
        assert_eq!(now.len() as u64, size);
        assert_eq!(now.iter().filter(|byte| **byte != 0).count(), usize::from(size > 1000));
    }
}

#[test]
fn what_a_killed_restore_left_is_swept_on_entering() {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("inside")).unwrap();
    for at in ["", "inside"] {
        fs::write(scratch.path().join(at).join(".holdfast-00112233445566ff"), b"half").unwrap();
        fs::write(scratch.path().join(at).join(".holdfast-mine"), b"a name of the user").unwrap();
    }
    let target = target(scratch.path());
    assert_eq!(listing(scratch.path()), [".holdfast-mine", "inside"]);
    target.make_directory(&[b"inside"]).unwrap();
    assert_eq!(listing(&scratch.path().join("inside")), [".holdfast-mine"]);
    // Entered again while it is being restored into: what is being written stays.
    let file = target.create_file(&[b"inside", b"file"], 3).unwrap();
    target.make_directory(&[b"inside"]).unwrap();
    file.write_at(0, b"abc").unwrap();
    file.commit(&plain(3)).unwrap();
    assert_eq!(fs::read(scratch.path().join("inside/file")).unwrap(), b"abc");
}

#[test]
fn a_reserved_range_is_zeros_until_it_is_written_and_lies_within_the_file() {
    let scratch = scratch();
    let target = target(scratch.path());
    let file = target.create_file(&[b"file"], 4 << 20).unwrap();
    file.reserve(1 << 20, 2 << 20).unwrap();
    let temporary = listing(scratch.path()).into_iter().find(|name| name != "file").unwrap();
    let allocated = fs::metadata(scratch.path().join(temporary)).unwrap().blocks() * 512;
    assert!((2 << 20..3 << 20).contains(&allocated), "{allocated} bytes have space");
    assert!(file.reserve(3 << 20, (1 << 20) + 1).is_err() && file.reserve(u64::MAX, 1).is_err());
    file.write_at(2 << 20, &[7; 4096]).unwrap();
    file.commit(&plain(4 << 20)).unwrap();
    let mut expected = vec![0; 4 << 20];
    expected[2 << 20..(2 << 20) + 4096].fill(7);
    assert!(fs::read(scratch.path().join("file")).unwrap() == expected);
}

#[test]
fn a_file_is_changed_in_place_grown_shrunk_and_punched() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    fs::hard_link(&path, scratch.path().join("other-name")).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let target = target(scratch.path());
    let file = target.open_file(&[b"file"], 900_000).unwrap();
    let mut page = [0; 4096];
    assert_eq!(file.read_at(4096, &mut page).unwrap(), 4096);
    assert_eq!(page, [1; 4096]);
    file.write_at(4096, &[2; 4096]).unwrap();
    file.zero(8192, 500_000).unwrap();
    assert_eq!(file.read_at(899_990, &mut page).unwrap(), 10, "short only at the end");
    assert!(file.write_at(899_999, b"ab").is_err(), "beyond its size");
    assert!(file.zero(899_999, 2).is_err() && file.write_at(u64::MAX, b"a").is_err());
    file.commit(&plain(900_000)).unwrap();
    let mut expected = vec![1; 900_000];
    expected[4096..8192].fill(2);
    expected[8192..508_192].fill(0);
    let now = fs::metadata(&path).unwrap();
    assert!(fs::read(&path).unwrap() == expected);
    assert_eq!((now.ino(), now.nlink(), now.mtime(), now.atime()), (inode, 2, 1_000_000_000, 1_000_000_000));
    assert!(now.blocks() * 512 < 500_000, "the hole was not punched");
    target.open_file(&[b"file"], 2 << 20).unwrap().commit(&plain(2 << 20)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 << 20);
}

#[test]
fn what_stands_in_the_way_is_named() {
    let scratch = scratch();
    fs::create_dir_all(scratch.path().join("directory/below")).unwrap();
    mkfifo(&scratch.path().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    symlink("directory", scratch.path().join("link")).unwrap();
    fs::write(scratch.path().join("file"), b"").unwrap();
    let target = target(scratch.path());
    let occupied = |result: Result<(), TargetError>| matches!(result, Err(TargetError::Occupied { .. }));
    assert!(occupied(write(&target, &[b"directory"], b"x")));
    assert!(occupied(target.make_node(&[b"directory"], &link_to(b"x"))));
    assert!(occupied(target.make_hard_link(&[b"directory"], &[b"file"])));
    for name in [&b"file"[..], b"pipe", b"link"] {
        assert!(occupied(target.make_directory(&[name])));
        assert!(occupied(target.finish_directory(&[name], &Metadata { file_type: FileType::Directory, ..plain(0) })));
    }
    for name in [&b"directory"[..], b"pipe"] {
        assert!(occupied(target.open_file(&[name], 1).map(drop)));
        assert!(occupied(target.finish_existing(&[name], &plain(0))));
    }
    assert_eq!(listing(scratch.path()), ["directory", "file", "link", "pipe"], "nothing temporary is left");
    // A file takes the place of a link, and does not go where the link leads.
    write(&target, &[b"link"], b"x").unwrap();
    assert!(fs::symlink_metadata(scratch.path().join("link")).unwrap().is_file());
    assert_eq!(listing(&scratch.path().join("directory")), ["below"]);
    assert_eq!(target.stat(&[b"nothing", b"below"]).unwrap(), None);
    assert_eq!(target.stat(&[b"pipe"]).unwrap().unwrap().file_type, FileType::Fifo);
}

#[test]
fn no_name_and_no_link_leads_out_of_the_target() {
    let (scratch, outside) = (scratch(), scratch());
    fs::create_dir(scratch.path().join("real")).unwrap();
    symlink(outside.path(), scratch.path().join("link")).unwrap();
    fs::write(outside.path().join("canary"), b"alive").unwrap();
    let target = target(scratch.path());
    for path in [&[&b".."[..], b"x"][..], &[b"link", b"x"], &[b"real/../../x"], &[b"", b"x"], &[b"."], &[b"a\0"], &[]] {
        let refused = |result: Result<(), TargetError>| matches!(result, Err(TargetError::Unsafe { .. }));
        assert!(refused(write(&target, path, b"x")), "{path:?}");
        assert!(refused(target.open_file(path, 1).map(drop)));
        assert!(refused(target.make_node(path, &link_to(b"x"))));
        assert!(refused(target.make_hard_link(path, &[b"real"])));
        assert!(refused(target.make_hard_link(&[b"new"], path)));
        assert!(refused(target.remove(path)));
        assert!(path.is_empty() || refused(target.make_directory(path)));
        assert!(path.is_empty() || path == [b"."] || refused(target.names(path).map(drop)) || path.len() == 1);
    }
    // Removing a link removes the link.
    target.remove(&[b"link"]).unwrap();
    target.remove(&[b"real"]).unwrap();
    assert_eq!(listing(outside.path()), ["canary"]);
    assert_eq!(listing(scratch.path()), [""; 0]);
}

#[test]
fn a_tree_is_removed_whole_and_a_mount_in_it_is_not_entered() {
    let scratch = scratch();
    let target = target(scratch.path());
    build_everything(&scratch.path().join("tree"));
    target.remove(&[b"tree"]).unwrap();
    assert_eq!(target.stat(&[b"tree"]).unwrap(), None);
    target.remove(&[b"tree"]).unwrap();
    if !is_root() {
        return;
    }
    let inside = scratch.path().join("tree/inside");
    fs::create_dir_all(&inside).unwrap();
    let _mounted = Mounted::tmpfs(&inside, "1m");
    fs::write(inside.join("not ours"), b"").unwrap();
    assert!(matches!(target.remove(&[b"tree"]), Err(TargetError::Unsafe { .. })));
    assert!(matches!(write(&target, &[b"tree", b"inside", b"x"], b""), Err(TargetError::Unsafe { .. })));
    assert!(target.stat(&[b"tree", b"inside"]).is_err());
    assert_eq!(listing(&inside), ["not ours"]);
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let _mounted = Mounted::tmpfs(scratch.path(), "1m");
    let target = target(scratch.path());
    let error = write(&target, &[b"file"], &vec![1; 2 << 20]).unwrap_err();
    assert!(matches!(error, TargetError::Full { .. }), "{error}");
    assert_eq!(listing(scratch.path()), [""; 0]);
}

#[test]
fn content_is_restored_even_if_its_metadata_cannot_be_and_is_closed_to_others() {
    let scratch = scratch();
    let target = target(scratch.path());
    let commit = |name: &[u8], metadata: &Metadata| {
        let file = target.create_file(&[name], 3).unwrap();
        file.write_at(0, b"abc").unwrap();
        let error = file.commit(metadata).unwrap_err();
        let mode = fs::metadata(scratch.path().join(OsStr::from_bytes(name))).unwrap().mode() & 0o7777;
        assert_eq!(fs::read(scratch.path().join(OsStr::from_bytes(name))).unwrap(), b"abc");
        (error.to_string(), mode)
    };
    let with = |name: &[u8], value: &[u8]| {
        let attributes = Attributes { link_target: None, extended: vec![(name.to_vec(), value.to_vec())] };
        Metadata { attributes, mode: 0o6755, ..plain(3) }
    };
    let (error, mode) = commit(b"attribute", &with(b"nonsense.name", b"x"));
    assert!(error.contains("nonsense.name") && mode == 0o6755, "{error} {mode:o}");
    let (error, mode) = commit(b"acl", &with(b"system.posix_acl_access", b"not an ACL"));
    assert!(
        error.contains("posix_acl_access") && error.contains("only its owner") && mode == 0o700,
        "{error} {mode:o}"
    );
    // -1 means "leave it" to the system call: an owner that nobody can be.
    let (error, mode) = commit(b"owner", &Metadata { uid: u32::MAX, mode: 0o4755, ..plain(3) });
    assert!(error.contains("owner") && mode == 0o700, "{error} {mode:o}");
    let time = Time { seconds: 5, nanoseconds: libc::UTIME_OMIT as u32 };
    assert!(commit(b"time", &Metadata { mtime: time, ..plain(3) }).0.contains("time"));
}

/// Root may do everything, so this test runs itself again as somebody else.
#[test]
fn who_is_not_root_keeps_what_is_his_and_is_told_what_is_not() {
    if !is_root() {
        return not_root();
    }
    let scratch = TempDirFor::nobody();
    let name = "restore::tests::who_is_not_root_keeps_what_is_his_and_is_told_what_is_not";
    use std::os::unix::process::CommandExt;
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("TMPDIR", scratch.0.path())
        .uid(65534)
        .gid(65534)
        .output();
    match ran {
        Err(error) => eprintln!("SKIP: the test cannot be run as another user: {error}"),
        Ok(ran) => assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr)),
    }
}

struct TempDirFor(tempfile::TempDir);

impl TempDirFor {
    fn nobody() -> TempDirFor {
        let scratch = tempfile::TempDir::new().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        TempDirFor(scratch)
    }
}

fn not_root() {
    let scratch = tempfile::TempDir::new().unwrap();
    let target = target(scratch.path());
    write(&target, &[b"mine"], b"abc").unwrap();
    assert_eq!(fs::metadata(scratch.path().join("mine")).unwrap().mode() & 0o7777, 0o640);
    let file = target.create_file(&[b"foreign"], 3).unwrap();
    let error = file.commit(&Metadata { uid: 0, gid: 0, mode: 0o4755, ..plain(3) }).unwrap_err().to_string();
    assert!(error.contains("owner 0:0"), "{error}");
    assert_eq!(fs::metadata(scratch.path().join("foreign")).unwrap().mode() & 0o7777, 0o700);
    // A directory that its owner closed is entered, and closed again at the end.
    fs::create_dir(scratch.path().join("closed")).unwrap();
    fs::set_permissions(scratch.path().join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    target.make_directory(&[b"closed"]).unwrap();
    write(&target, &[b"closed", b"file"], b"x").unwrap();
    let closed = Metadata { file_type: FileType::Directory, mode: 0o500, ..plain(0) };
    target.finish_directory(&[b"closed"], &closed).unwrap();
    assert_eq!(fs::metadata(scratch.path().join("closed")).unwrap().mode() & 0o7777, 0o500);
    // Files of others cannot be read without touching their access time.
    let etc = source(Path::new("/etc"));
    let error = etc.root().and_then(|_| etc.directory(&[]).map(drop)).unwrap_err().to_string();
    assert!(error.contains("access time"), "{error}");
    fs::set_permissions(scratch.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Another process exchanges a directory of the target with a link to the outside, as fast as it can.
#[test]
fn no_exchange_of_names_makes_us_write_outside() {
    let (scratch, outside) = (scratch(), scratch());
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    fs::write(outside.path().join("canary"), b"alive").unwrap();
    symlink(outside.path(), at("link")).unwrap();
    let target = target(scratch.path());
    let stop = AtomicBool::new(false);
    let before = rows(&source(outside.path())).len();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (at("directory"), at("link"));
                renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        let until = instant() + Duration::from_secs(2);
        let mut done = 0;
        while instant() < until {
            done += u32::from(write(&target, &[b"directory", b"canary"], b"overwritten").is_ok());
            done += u32::from(target.make_node(&[b"directory", b"node"], &link_to(b"x")).is_ok());
            done += u32::from(target.make_directory(&[b"directory", b"sub"]).is_ok());
            let _ = target.make_hard_link(&[b"directory", b"again"], &[b"directory", b"canary"]);
            let _ = target.remove(&[b"directory", b"sub"]);
        }
        stop.store(true, Ordering::Relaxed);
        done
    });
    assert!(done > 100, "only {done} writes got through: the race was not run");
    assert_eq!(fs::read(outside.path().join("canary")).unwrap(), b"alive");
    assert_eq!(rows(&source(outside.path())).len(), before, "something was written or removed outside");
}

#[test]
fn a_single_file_is_written_beside_and_put_in_place() {
    let scratch = scratch();
    let path = scratch.path().join("image");
    let target = FileTarget::open(&path).unwrap();
    assert!(target.is_single_file() && target.stat(&[]).unwrap().is_none());
    write(&target, &[b"any", b"path"], b"content").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    let target = open_target(&path).unwrap();
    target.make_directory(&[]).unwrap();
    assert!(target.make_directory(&[b"x"]).is_err() && target.remove(&[b"image"]).is_err());
    let file = target.open_file(&[b"x"], 7).unwrap();
    file.write_at(0, b"C").unwrap();
    file.commit(&plain(7)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"Content");
    assert!(FileTarget::open(scratch.path()).is_err(), "a directory is not a file");
}

fn full_of(device: &Loop, byte: u8, size: u64) {
    fs::write(&device.backing, vec![byte; size as usize]).unwrap();
}

#[test]
fn a_device_holds_zeros_where_nothing_was_written_and_keeps_what_lies_behind() {
    let size = 8 << 20;
    let Some(device) = is_root().then(|| Loop::of(size)).flatten() else { return };
    full_of(&device, 0xee, size);
    let target = open_target(&device.path).unwrap();
    assert!(target.is_single_file());
    assert_eq!(target.stat(&[]).unwrap().unwrap().size, size);
    let restored = (5 << 20) + 12_345_u64;
    let file = target.create_file(&[b"disk"], restored).unwrap();
    assert!(target.create_file(&[b"disk"], 1).is_err(), "one writer at a time");
    let mut expected = vec![0; restored as usize];
    for (offset, length) in [(4096_usize, 8192_usize), (1 << 20, 1 << 20), (3_500_000, 100), (5 << 20, 12_345)] {
        file.write_at(offset as u64, &vec![9; length]).unwrap();
        expected[offset..offset + length].fill(9);
    }
    file.zero(1_100_000, 50_001).unwrap();
    expected[1_100_000..1_150_001].fill(0);
    assert!(file.write_at(restored - 1, b"xx").is_err());
    file.commit(&plain(restored)).unwrap();
    let now = fs::read(&device.path).unwrap();
    assert!(now[..restored as usize] == expected);
    assert!(now[restored as usize..].iter().all(|byte| *byte == 0xee), "what lies behind was touched");
    // In place: what is not written stays.
    let file = target.open_file(&[b"disk"], restored).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(4096, &mut byte).unwrap(), 1);
    file.write_at(10, b"z").unwrap();
    file.commit(&plain(restored)).unwrap();
    expected[10] = b'z';
    assert!(fs::read(&device.path).unwrap()[..restored as usize] == expected);
}

#[test]
fn a_device_that_is_too_small_or_in_use_is_refused() {
    let Some(device) = is_root().then(|| Loop::of(1 << 20)).flatten() else { return };
    let target = BlockTarget::open(&device.path).unwrap();
    let error = target.create_file(&[b"disk"], (1 << 20) + 1).map(drop).unwrap_err();
    assert!(matches!(error, TargetError::Full { .. }));
    assert!(error.to_string().contains("1048576") && error.to_string().contains("1048577"), "{error}");
    let _user = File::options().read(true).custom_flags(libc::O_EXCL).open(&device.path).unwrap();
    assert!(matches!(BlockTarget::open(&device.path), Err(OpenError::InUse { .. })));
    assert!(matches!(target.create_file(&[b"disk"], 1).map(drop), Err(TargetError::Occupied { .. })));
}
