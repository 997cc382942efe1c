//! A source that is read through a mount of its own.

use std::fs;

use nix::mount::{MntFlags, umount2};
use repository::source::{Source, SourceError};

use crate::testing::{Mounted, is_root, options, scratch};
use crate::{DirectorySource, SourceOptions};

fn detached() -> SourceOptions {
    SourceOptions { must_be_mount_root: true, detached: true, ..options() }
}

#[test]
fn whoever_unmounts_the_volume_does_not_wait_for_its_reader_and_the_reader_notices() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let _mounted = Mounted::tmpfs(scratch.path(), "1m");
    fs::write(scratch.path().join("file"), b"content").unwrap();
    let attached = DirectorySource::open(scratch.path(), &SourceOptions { detached: false, ..detached() }).unwrap();
    let held = attached.directory(&[]).unwrap();
    assert!(
        umount2(scratch.path(), MntFlags::empty()).is_err(),
        "an open descriptor of the mount itself keeps it busy"
    );
    drop(held);
    drop(attached);

    let source = DirectorySource::open(scratch.path(), &detached()).unwrap();
    let directory = source.directory(&[]).unwrap();
    let stat = directory.stat(b"file").unwrap().unwrap();
    let mut content = directory.open(b"file", &stat).unwrap();
    assert!(source.still_there().is_ok());
    umount2(scratch.path(), MntFlags::empty()).expect("the volume is unmounted beside its reader");
    let mut bytes = [0; 7];
    assert_eq!(content.read_at(0, &mut bytes).unwrap(), 7);
    assert_eq!(&bytes, b"content", "what is open can be read to its end");
    assert!(matches!(source.still_there(), Err(SourceError::SourceGone { .. })), "and no restore point follows");
}

#[test]
fn nothing_can_be_written_through_it_and_no_link_followed() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let _mounted = Mounted::tmpfs(scratch.path(), "1m");
    std::os::unix::fs::symlink("/etc", scratch.path().join("link")).unwrap();
    let source = DirectorySource::open(scratch.path(), &detached()).unwrap();
    // As a bug of ours would do it: by path, without any of the usual care.
    let through = crate::sys::open::descriptor_path(&source.root);
    let written = fs::write(format!("{through}/new"), b"x").unwrap_err();
    assert_eq!(written.raw_os_error(), Some(libc::EROFS));
    let followed = fs::read(format!("{through}/link/passwd")).unwrap_err();
    assert_eq!(followed.raw_os_error(), Some(libc::ELOOP));
}

#[test]
fn what_is_mounted_over_a_directory_of_the_volume_does_not_hide_it() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let _mounted = Mounted::tmpfs(scratch.path(), "1m");
    fs::create_dir(scratch.path().join("covered")).unwrap();
    fs::write(scratch.path().join("covered/below"), b"x").unwrap();
    let _over = Mounted::tmpfs(&scratch.path().join("covered"), "1m");
    let source = DirectorySource::open(scratch.path(), &detached()).unwrap();
    let names = source.directory(&[b"covered"]).unwrap().names().unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), [b"below"]);
}
