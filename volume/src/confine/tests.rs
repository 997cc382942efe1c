//! What has to hold of the module above, one claim per test.
//!
//! What a thread gives up, it alone lacks: each test confines a thread of its own. Limits count for the whole process; the runner gives each test one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::errno::Errno;
use repository::source::Source;

use super::*;
use crate::testing::{is_root, options, scratch};
use crate::{DirectorySource, SourceOptions};

/// Runs `work` in a thread that may read `volume` and nothing else of the tests; not where the kernel cannot confine it.
fn confined(volume: &Path, capabilities: &[Capability], work: impl FnOnce() + Send) {
    let keep = Confinement {
        readable: vec![volume.to_owned()],
        capabilities: capabilities.to_vec(),
        files_max: 128,
        ..Confinement::default()
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let Confined { missing } = confine(&keep).expect("a confined thread");
            if missing.is_empty() {
                return work();
            }
            assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped: {missing:?}");
            eprintln!("SKIP: {missing:?}");
        });
        thread.join().expect("a thread that ends");
    });
}

fn errno<T>(result: std::io::Result<T>) -> Errno {
    result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw).expect("an error")
}

#[test]
fn whatever_our_code_does_wrong_nothing_outside_the_volume_is_read_and_nothing_is_written() {
    let scratch = scratch();
    let (volume, outside) = (scratch.path().join("volume"), scratch.path().join("outside"));
    fs::create_dir(&volume).unwrap();
    fs::write(&outside, b"a secret").unwrap();
    fs::write(volume.join("file"), b"content").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    symlink("/", volume.join("root")).unwrap();
    confined(&volume, FOR_BACKUP, || {
        assert_eq!(fs::read(volume.join("file")).unwrap(), b"content");
        // As if nobody had thought of links: by path.
        assert_eq!(errno(fs::read(volume.join("link"))), Errno::EACCES);
        assert_eq!(errno(fs::read(volume.join("root/etc/shadow"))), Errno::EACCES);
        assert_eq!(errno(fs::read(&outside)), Errno::EACCES);
        assert_eq!(errno(fs::read_dir("/proc")), Errno::EACCES);
        assert_eq!(errno(fs::write(volume.join("file"), b"x")), Errno::EACCES);
        assert_eq!(errno(fs::write(volume.join("new"), b"x")), Errno::EACCES);
        assert_eq!(errno(fs::remove_file(volume.join("file"))), Errno::EACCES);
        assert_eq!(errno(fs::rename(volume.join("file"), volume.join("other"))), Errno::EACCES);
    });
    assert_eq!(fs::read(&outside).unwrap(), b"a secret", "other threads are free");
}

#[test]
fn a_volume_is_read_as_usual_also_through_a_mount_of_its_own() {
    let scratch = scratch();
    let volume = scratch.path().join("volume");
    fs::create_dir_all(volume.join("a/b")).unwrap();
    fs::write(volume.join("a/b/file"), b"content").unwrap();
    for detached in [false, is_root()] {
        confined(&volume, FOR_BACKUP, || {
            let source = DirectorySource::open(&volume, &SourceOptions { detached, ..options() }).unwrap();
            let directory = source.directory(&[b"a", b"b"]).unwrap();
            let stat = directory.stat(b"file").unwrap().unwrap();
            let mut bytes = [0; 7];
            let mut content = directory.open(b"file", &stat).unwrap();
            assert_eq!(content.read_at(0, &mut bytes).unwrap(), 7);
            assert_eq!(&bytes, b"content");
        });
    }
}

#[test]
fn only_the_capabilities_that_were_named_are_left() {
    if !is_root() {
        return;
    }
    let scratch = scratch();
    let volume = scratch.path();
    let has = |capability: Capability| process::capabilities().unwrap() & (1 << capability as u64) != 0;
    assert!(has(Capability::Chown) && has(Capability::DacOverride));
    confined(volume, &[Capability::DacReadSearch], || {
        assert!(has(Capability::DacReadSearch));
        assert!(!has(Capability::Chown) && !has(Capability::DacOverride) && !has(Capability::SysAdmin));
    });
}

#[test]
fn what_is_to_be_kept_and_is_not_there_is_told_by_name() {
    let scratch = scratch();
    let keep = Confinement { readable: vec![scratch.path().join("nothing")], files_max: 128, ..Confinement::default() };
    let refused = std::thread::spawn(move || confine(&keep)).join().unwrap().unwrap_err();
    assert!(refused.to_string().contains("nothing"), "{refused}");
}
