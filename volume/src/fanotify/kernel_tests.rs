//! What this kernel reports, operation by operation, on each filesystem that volumes are made of. The design stands on these tables: in particular on what is *not*
//! reported, which is why events never let a file be skipped. A kernel that behaves otherwise fails here.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate};
use nix::sys::stat::Mode;

use super::*;
use crate::sys::fanotify::{Detail, Group};
use crate::sys::silent::{Mapping, aio_write};
use crate::testing::{Formatted, Loop, set_attribute};
use crate::walk::stat::Filesystem;

/// A marked volume.
struct Watch {
    volume: Formatted,
    group: Group,
    buffer: Vec<u8>,
}

impl Watch {
    fn of(kind: &'static str) -> Option<Watch> {
        Watch::by(Group::new, kind)
    }

    fn by(group: impl Fn() -> Result<Group, Errno>, kind: &'static str) -> Option<Watch> {
        let volume = Formatted::of(kind)?;
        let group = group().unwrap();
        group.mark_filesystem(File::open(&volume.path).unwrap()).unwrap();
        Some(Watch { volume, group, buffer: vec![0; 1 << 20] })
    }

    /// What was reported of an inode since the last call. No waiting: an event is queued before the operation returns.
    fn reported(&mut self, inode: u64) -> u64 {
        let mut mask = 0;
        loop {
            let read = self.group.read(&mut self.buffer).unwrap();
            if read == 0 {
                return mask;
            }
            let records = records(&self.buffer[..read]).map(Result::unwrap);
            let of_inode = records.filter(|record| record.subject().and_then(|subject| subject.inode()) == Some(inode));
            mask = of_inode.fold(mask, |mask, record| mask | record.mask);
        }
    }

    /// A file of four pages, open for reading and writing, on the disk, and nothing queued.
    fn file(&mut self, name: &str) -> (PathBuf, File, u64) {
        let path = self.volume.path.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(&[1; 16384], 0).unwrap();
        file.sync_all().unwrap();
        let inode = file.metadata().unwrap().ino();
        self.reported(inode);
        (path, file, inode)
    }
}

fn text(mask: u64) -> String {
    let names = [
        (libc::FAN_MODIFY, "MODIFY"),
        (libc::FAN_ATTRIB, "ATTRIB"),
        (libc::FAN_CLOSE_WRITE, "CLOSE_WRITE"),
        (libc::FAN_CREATE, "CREATE"),
        (libc::FAN_DELETE, "DELETE"),
        (libc::FAN_DELETE_SELF, "DELETE_SELF"),
        (libc::FAN_MOVE_SELF, "MOVE_SELF"),
        (libc::FAN_RENAME, "RENAME"),
        (libc::FAN_ONDIR, "ONDIR"),
    ];
    let known = names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join("|");
    if known.is_empty() { format!("{mask:#x}") } else { known }
}

/// An operation on a file that stays open.
type Act = fn(&File, &Path);

/// Operations on a file of four pages, and what is reported of it: neither more nor less.
const LOUD: [(&str, Act, u64); 13] = [
    ("pwrite", |file, _| file.write_all_at(b"x", 5).unwrap(), libc::FAN_MODIFY),
    ("ftruncate", |file, _| file.set_len(100).unwrap(), libc::FAN_MODIFY),
    ("truncate by opening", |_, path| drop(File::create(path).unwrap()), libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE),
    ("fallocate", |file, _| fallocate(file, FallocateFlags::empty(), 0, 40000).unwrap(), libc::FAN_MODIFY),
    ("punched hole", |file, _| fallocate(file, punch(), 0, 4096).unwrap(), libc::FAN_MODIFY),
    ("copy_file_range", copy_page, libc::FAN_MODIFY),
    ("close", |_, path| drop(File::options().write(true).open(path).unwrap()), libc::FAN_CLOSE_WRITE),
    ("chmod", |_, path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap(), libc::FAN_ATTRIB),
    ("chown", |_, path| std::os::unix::fs::chown(path, Some(7), None).unwrap(), libc::FAN_ATTRIB),
    ("utimensat", |file, _| file.set_times(old().set_modified(UNIX_EPOCH)).unwrap(), libc::FAN_ATTRIB),
    ("utimensat of mtime", |file, _| file.set_modified(UNIX_EPOCH).unwrap(), libc::FAN_MODIFY),
    ("setxattr", |_, path| set_attribute(path, b"user.a", b"b"), libc::FAN_ATTRIB),
    ("rename", |_, path| rename(path), libc::FAN_RENAME | libc::FAN_MOVE_SELF),
];

/// Operations of which nothing is reported, although they change the file.
const SILENT: [(&str, Act); 4] = [
    ("store through a mapping", |file, _| Mapping::of(file).store(7)),
    ("libaio", |file, _| assert_eq!(aio_write(file, b"changed", 0), Ok(7))),
    ("utimensat of atime", |file, _| file.set_times(old()).unwrap()),
    ("chattr", |_, path| assert!(Command::new("chattr").arg("+d").arg(path).status().unwrap().success())),
];

fn old() -> FileTimes {
    FileTimes::new().set_accessed(UNIX_EPOCH)
}

fn punch() -> FallocateFlags {
    FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE
}

/// The standard library copies from file to file by copy_file_range(2).
fn copy_page(mut file: &File, path: &Path) {
    file.seek(SeekFrom::Start(8192)).unwrap();
    assert_eq!(std::io::copy(&mut File::open(path).unwrap().take(4096), &mut file).unwrap(), 4096);
}

fn rename(path: &Path) {
    fs::rename(path, path.with_extension("renamed")).unwrap();
}

fn for_each_filesystem(claim: impl Fn(&mut Watch, &str)) {
    for kind in Formatted::KINDS {
        if let Some(mut watch) = Watch::of(kind) {
            claim(&mut watch, kind);
        }
    }
}

#[test]
fn operations_on_a_file_are_reported() {
    for_each_filesystem(|watch, kind| {
        for (what, act, expected) in LOUD {
            let (path, file, inode) = watch.file(what);
            act(&file, &path);
            let reported = watch.reported(inode);
            assert_eq!(reported, expected, "{kind}: {what} reports {}, not {}", text(reported), text(expected));
        }
    });
}

#[test]
fn stores_through_mappings_and_libaio_are_not_reported() {
    for_each_filesystem(|watch, kind| {
        for (what, act) in SILENT {
            let (path, file, inode) = watch.file(what);
            act(&file, &path);
            let reported = watch.reported(inode);
            assert_eq!(reported, 0, "{kind}: {what} reports {} on this kernel: tell the documentation", text(reported));
        }
    });
}

#[test]
fn the_end_of_a_mapping_is_reported_as_closing() {
    for_each_filesystem(|watch, kind| {
        let (_, file, inode) = watch.file("mapped");
        let mapping = Mapping::of(&file);
        drop(file);
        mapping.store(9);
        assert_eq!(watch.reported(inode), 0, "{kind}");
        drop(mapping);
        assert_eq!(watch.reported(inode), libc::FAN_CLOSE_WRITE, "{kind}");
    });
}

/// The disk of a virtual machine, in a file of the volume.
#[test]
fn writes_through_a_loop_device_are_not_reported() {
    for_each_filesystem(|watch, kind| {
        let (path, file, inode) = watch.file("disk");
        let Some(device) = Loop::over(path) else { return };
        let disk = File::options().write(true).open(&device.path).unwrap();
        watch.reported(inode);
        disk.write_all_at(b"changed", 0).unwrap();
        disk.sync_all().unwrap();
        let mut changed = [0; 7];
        file.read_exact_at(&mut changed, 0).unwrap();
        assert_eq!(&changed, b"changed", "{kind}");
        assert_eq!(watch.reported(inode), 0, "{kind}: this kernel reports them: tell the documentation");
    });
}

#[test]
fn names_that_come_and_go_are_reported() {
    for_each_filesystem(|watch, kind| {
        let at = |name: &str| watch.volume.path.join(name);
        let (one, other, directory, link) = (at("one"), at("other"), at("directory"), at("link"));
        let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
        let mut expect = |inode: u64, expected: u64, what: &str| {
            let reported = watch.reported(inode);
            assert_eq!(reported, expected, "{kind}: {what} reports {}, not {}", text(reported), text(expected));
        };
        drop(File::create(&one).unwrap());
        let file = inode(&one);
        expect(file, libc::FAN_CREATE | libc::FAN_CLOSE_WRITE, "creat");
        fs::hard_link(&one, &other).unwrap();
        expect(file, libc::FAN_CREATE | libc::FAN_ATTRIB, "link");
        fs::remove_file(&other).unwrap();
        expect(file, libc::FAN_DELETE | libc::FAN_ATTRIB, "unlink of one of two names");
        drop(File::create(&other).unwrap());
        expect(inode(&other), libc::FAN_CREATE | libc::FAN_CLOSE_WRITE, "creat");
        // Held open, so that its number is not used again.
        let victim = File::open(&other).unwrap();
        fs::rename(&one, &other).unwrap();
        expect(victim.metadata().unwrap().ino(), libc::FAN_ATTRIB, "being replaced by a rename");
        fs::remove_file(&other).unwrap();
        expect(file, libc::FAN_DELETE | libc::FAN_DELETE_SELF | libc::FAN_ATTRIB, "unlink of the last name");
        fs::create_dir(&directory).unwrap();
        let made = inode(&directory);
        expect(made, libc::FAN_CREATE | libc::FAN_ONDIR, "mkdir");
        fs::remove_dir(&directory).unwrap();
        expect(made, libc::FAN_DELETE | libc::FAN_DELETE_SELF | libc::FAN_ONDIR, "rmdir");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        expect(inode(&link), libc::FAN_CREATE, "symlink");
    });
}

#[test]
fn a_file_that_gets_its_name_later_is_reported() {
    for_each_filesystem(|watch, kind| {
        let path = watch.volume.path.join("linked");
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR;
        let fd = nix::fcntl::open(&watch.volume.path, flags, Mode::from_bits_truncate(0o600)).unwrap();
        let file = File::from(fd);
        let inode = file.metadata().unwrap().ino();
        watch.reported(inode);
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(watch.reported(inode), libc::FAN_MODIFY, "{kind}");
        let descriptor = crate::sys::open::descriptor_path(file.as_fd());
        let nowhere = nix::fcntl::AT_FDCWD;
        nix::unistd::linkat(nowhere, descriptor.as_str(), nowhere, &path, AtFlags::AT_SYMLINK_FOLLOW).unwrap();
        assert_eq!(watch.reported(inode) & libc::FAN_CREATE, libc::FAN_CREATE, "{kind}");
    });
}

/// The set of an epoch is asked with the number of the walk. On btrfs that has the subvolume folded in.
#[test]
fn the_inode_of_an_event_is_the_inode_of_the_walk() {
    for_each_filesystem(|watch, kind| {
        let mut directories = vec![watch.volume.path.clone()];
        if kind == "btrfs" {
            let subvolume = watch.volume.path.join("subvolume");
            let made = Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(&subvolume).status().unwrap();
            assert!(made.success());
            directories.push(subvolume);
        }
        let root = File::open(&watch.volume.path).unwrap();
        let filesystem = Filesystem::of(&root, &crate::sys::stat::statx(&root, b"").unwrap()).unwrap();
        for directory in directories {
            let file = File::create(directory.join("file")).unwrap();
            let raw = crate::sys::stat::statx(&file, b"").unwrap();
            let inode = filesystem.stat(&raw).unwrap().inode;
            assert_ne!(watch.reported(inode), 0, "{kind}: events name {} by another number", directory.display());
        }
    });
}

#[test]
fn older_kernels_tell_of_the_object_all_the_same() {
    for detail in [Detail::Names, Detail::Objects] {
        let Some(mut watch) = Watch::by(|| Group::with(detail, 0), "ext4") else { return };
        let (_, file, inode) = watch.file("file");
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(watch.reported(inode), libc::FAN_MODIFY, "{detail:?}");
    }
}
