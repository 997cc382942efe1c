//! Epochs, bounds, and the life of a mark, on filesystems that are made for it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};

use super::*;
use crate::sys::open::operator_path;
use crate::sys::passing;
use crate::testing::{Formatted, Mounted, instant, scratch};

fn marked_with(volume: &Formatted, limits: Limits) -> Events {
    Events::mark(operator_path(&volume.path, OFlag::O_DIRECTORY).unwrap(), limits).unwrap()
}

fn marked(volume: &Formatted) -> Events {
    marked_with(volume, Limits::default())
}

fn created(path: &Path) -> (File, u64) {
    let file = File::create(path).unwrap();
    let inode = file.metadata().unwrap().ino();
    (file, inode)
}

#[test]
fn an_epoch_holds_what_changed_in_it_and_nothing_of_the_one_before() {
    let Some(volume) = Formatted::of("ext4") else { return };
    let root = fs::metadata(&volume.path).unwrap().ino();
    let (file, inode) = created(&volume.path.join("file"));
    let mut events = marked(&volume);
    assert_eq!(events.detail(), Detail::Targets, "on the kernels that CI has");
    assert_eq!(events.take(), Ok(DirtySet::default()), "what was before the mark");
    file.write_all_at(b"x", 0).unwrap();
    let (_other, other) = created(&volume.path.join("other"));
    let set = events.take().unwrap();
    let mut expected = [root, inode, other];
    expected.sort();
    assert_eq!(set.iter().collect::<Vec<_>>(), expected, "the directory, the file written, the file created");
    assert_eq!(events.take(), Ok(DirtySet::default()));
}

#[test]
fn a_rename_makes_both_directories_worth_looking_at() {
    let Some(volume) = Formatted::of("tmpfs") else { return };
    let (from, to) = (volume.path.join("from"), volume.path.join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let (_, inode) = created(&from.join("file"));
    let mut events = marked(&volume);
    fs::rename(from.join("file"), to.join("file")).unwrap();
    let set = events.take().unwrap();
    let mut expected = [fs::metadata(&from).unwrap().ino(), fs::metadata(&to).unwrap().ino(), inode];
    expected.sort();
    assert_eq!(set.iter().collect::<Vec<_>>(), expected);
}

/// A pod writes through a mount of its own, which a mark of ours on the mount would not see.
#[test]
fn a_writer_behind_another_mount_of_the_volume_is_seen() {
    let Some(volume) = Formatted::of("ext4") else { return };
    let place = scratch();
    let nothing = None::<&str>;
    mount(Some(&volume.path), place.path(), nothing, MsFlags::MS_BIND, nothing).unwrap();
    let _unmounted = Mounted(place.path().to_path_buf());
    let mut events = marked(&volume);
    let (_, inode) = created(&place.path().join("file"));
    assert!(events.take().unwrap().contains(inode));
}

#[test]
fn a_queue_that_overflowed_breaks_one_epoch() {
    let Some(volume) = Formatted::of("tmpfs") else { return };
    // As the kernel's own limit does it, for a group that has one.
    let group = Group::with(Detail::Targets, 0).unwrap();
    group.mark_filesystem(File::open(&volume.path).unwrap()).unwrap();
    let mut events = Events::from_owned_fd(group.into_owned_fd(), Limits::default()).unwrap();
    let queued_max: u64 =
        fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap().trim().parse().unwrap();
    for number in 0..=queued_max {
        created(&volume.path.join(number.to_string()));
    }
    assert_eq!(events.drain().events, queued_max + 1, "the last one says that there were more");
    let (_, late) = created(&volume.path.join("late"));
    assert_eq!(events.take(), Err(Broken::Overflow));
    assert_eq!(events.take(), Ok(DirtySet::default()), "{late} was in the epoch that broke");
    let (_, next) = created(&volume.path.join("next"));
    assert!(events.take().unwrap().contains(next));
}

#[test]
fn more_than_may_wait_is_thrown_away_and_said() {
    let Some(volume) = Formatted::of("tmpfs") else { return };
    let mut events = marked_with(&volume, Limits { queued_max: 50, ..Limits::default() });
    for number in 0..60 {
        created(&volume.path.join(number.to_string()));
    }
    assert_eq!(events.group.queued().unwrap(), 60, "creating and closing a file are merged");
    assert_eq!(events.drain().events, 60);
    assert_eq!(events.group.queued().unwrap(), 0, "what is thrown away is read all the same");
    assert_eq!(events.take(), Err(Broken::Overflow));
}

#[test]
fn more_files_than_are_remembered_are_forgotten_and_said() {
    let Some(volume) = Formatted::of("tmpfs") else { return };
    let mut events = marked_with(&volume, Limits { inodes_max: 10, ..Limits::default() });
    for number in 0..10 {
        created(&volume.path.join(number.to_string()));
    }
    assert_eq!(events.take(), Err(Broken::TooMany), "ten files and their directory");
}

/// The kubelet must be able to unmount while we watch; and a filesystem that is mounted again is not watched.
#[test]
fn a_mark_neither_holds_a_volume_nor_outlives_it() {
    for kind in Formatted::KINDS {
        let Some(volume) = Formatted::of(kind) else { continue };
        let mut events = marked(&volume);
        assert!(events.still_marked(), "{kind}");
        created(&volume.path.join("file"));
        volume.unmount().unwrap();
        assert!(!events.still_marked(), "{kind}");
        volume.mount();
        assert!(!events.still_marked(), "{kind}: mounted again");
        created(&volume.path.join("other"));
        assert_eq!(events.take(), Err(Broken::MarkGone), "{kind}");
        assert_eq!(events.take(), Err(Broken::MarkGone), "{kind}: no epoch mends it");
    }
}

/// What hangs on a dead volume is the worker that marks it. `SCM_RIGHTS` over its standard input, as the supervisor will have it.
#[test]
fn a_group_works_on_when_the_process_that_marked_is_gone() {
    let Some(volume) = Formatted::of("ext4") else { return };
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker.args(["--exact", "track::events::tests::worker_that_marks", "--ignored"]).current_dir(&volume.path);
    worker.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    let mut worker = worker.spawn().unwrap();
    let group = passing::receive(&ours).unwrap();
    assert!(worker.wait().unwrap().success());
    let mut events = Events::from_owned_fd(group, Limits::default()).unwrap();
    assert_eq!(events.detail(), Detail::Targets);
    assert!(events.still_marked());
    let (_, inode) = created(&volume.path.join("file"));
    assert!(events.take().unwrap().contains(inode));
    volume.unmount().unwrap();
    assert_eq!(events.take(), Err(Broken::MarkGone));
}

/// Not a test: the other process of the test above. Its working directory is the volume.
#[test]
#[ignore = "a part of another test"]
fn worker_that_marks() {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let volume = operator_path(Path::new("."), OFlag::O_DIRECTORY).unwrap();
    let events = Events::mark(volume, Limits::default()).unwrap();
    passing::send(&socket, events.into_owned_fd()).unwrap();
}

#[test]
fn what_is_no_group_is_refused() {
    let file = File::open("/dev/null").unwrap();
    assert_eq!(Events::from_owned_fd(file.into(), Limits::default()).unwrap_err(), Refused::NotAGroup);
}

#[test]
fn filesystems_that_cannot_be_watched_are_refused_by_name() {
    let Some(volume) = Formatted::of("btrfs") else { return };
    let refusal = |path: &Path| Events::mark(File::open(path).unwrap(), Limits::default()).unwrap_err();
    let subvolume = volume.path.join("subvolume");
    let made = Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(&subvolume).status().unwrap();
    assert!(made.success());
    assert_eq!(refusal(&subvolume), Refused::Subvolume);
    assert_eq!(refusal(Path::new("/proc")), Refused::Unsupported);
    let text = Refused::Subvolume.to_string();
    assert!(text.contains("btrfs subvolume") && text.contains("sweep"), "{text}");
}

#[test]
fn an_error_of_the_filesystem_is_counted() {
    let Some(volume) = Formatted::of("ext4") else { return };
    let mut events = marked(&volume);
    let device = volume.device_name().unwrap();
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test").unwrap();
    assert!(events.take().is_ok());
    assert_eq!(
        events.drain(),
        Drained { events: 1, filesystem_errors: 1 },
        "also if it was the end of an epoch that read it"
    );
    assert_eq!(events.drain(), Drained::default());
}

/// Not a test: what draining costs, for the module's documentation.
#[test]
#[ignore = "a measurement"]
fn cost_of_draining() {
    let Some(volume) = Formatted::of("tmpfs") else { return };
    let mut events = marked(&volume);
    for number in 0..120_000 {
        created(&volume.path.join(number.to_string()));
    }
    let start = instant();
    let queued = events.group.queued().unwrap();
    let asked = start.elapsed();
    let start = instant();
    let drained = events.drain();
    let took = start.elapsed();
    eprintln!("{queued} queued: asking took {asked:?}, draining {took:?}, {:?} each", took / drained.events as u32);
    let start = instant();
    let files = events.take().unwrap().len();
    eprintln!("the set of {files} took {:?}", start.elapsed());
}
