//! Destination: what `--to` means.
//!
//! In: a path, what stands there, and what is to be restored. Out: a target. Never: makes anything on a dry run, or takes a device or a file for a directory.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use repository::source::{Names, Stat};
use repository::target::{self, Target, TargetError, TargetFile};
use volume::{BlockTarget, DirectoryTarget, FileTarget, open_target};

use crate::failure::Failure;

/// What is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restored {
    /// A directory: its content appears directly under the target.
    Directory,
    /// One regular file, or the one entry of a volume that is a file or a device.
    File,
    /// A link, pipe, socket or device node.
    Node,
}

/// Where it goes.
pub(super) enum Destination {
    /// Into a directory.
    Directory(DirectoryTarget),
    /// It becomes this file.
    File(FileTarget),
    /// Onto this device.
    Device(BlockTarget),
    /// Nowhere yet: a dry run, and nothing is there.
    Nothing(Nothing),
    /// Something else that the volume crate knows, or refuses.
    Other(Box<dyn Target>),
}

impl Destination {
    /// Decides, and makes the directory if there is none.
    pub(super) fn choose(to: &Path, restored: Restored, dry_run: bool) -> Result<Destination, Failure> {
        let ends_with_slash = to.as_os_str().as_bytes().ends_with(b"/");
        match std::fs::metadata(to) {
            Ok(stands) => Destination::existing(to, &stands, dry_run),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::File { what: "restore to", path: to.to_owned(), source: error })
            }
            Err(_) if dry_run => Ok(Destination::Nothing(Nothing)),
            Err(_) if restored == Restored::Directory || ends_with_slash => {
                Ok(Destination::Directory(DirectoryTarget::create(to)?))
            }
            Err(_) if restored == Restored::File => Ok(Destination::File(FileTarget::open(to)?)),
            Err(_) => Err(Failure::Usage(format!(
                "a link or special file is restored into a directory: let --to name one that exists, or end it with a slash ({}/)",
                to.display()
            ))),
        }
    }

    fn existing(to: &Path, stands: &Metadata, dry_run: bool) -> Result<Destination, Failure> {
        let kind = stands.file_type();
        Ok(if kind.is_dir() {
            Destination::Directory(match dry_run {
                true => DirectoryTarget::open_as_it_is(to)?,
                false => DirectoryTarget::open(to)?,
            })
        } else if kind.is_file() {
            Destination::File(FileTarget::open(to)?)
        } else if kind.is_block_device() {
            Destination::Device(BlockTarget::open(to)?)
        } else {
            Destination::Other(open_target(to)?)
        })
    }

    /// Where there is a page cache, what is restored may stay there for a while. A device has none.
    pub(super) fn without_sync(self) -> Destination {
        match self {
            Destination::Directory(target) => Destination::Directory(target.without_sync()),
            Destination::File(target) => Destination::File(target.without_sync()),
            other => other,
        }
    }

    /// For the engine.
    pub(super) fn target(&self) -> &dyn Target {
        match self {
            Destination::Directory(target) => target,
            Destination::File(target) => target,
            Destination::Device(target) => target,
            Destination::Nothing(target) => target,
            Destination::Other(target) => &**target,
        }
    }
}

/// A place where nothing stands and nothing will.
pub(super) struct Nothing;

fn dry_run<T>() -> Result<T, TargetError> {
    Err(TargetError::Unsafe { what: "the target".to_owned(), why: "this is a dry run".to_owned() })
}

impl Target for Nothing {
    fn is_single_file(&self) -> bool {
        false
    }

    fn make_directory(&self, _path: &[&[u8]]) -> Result<(), TargetError> {
        dry_run()
    }

    fn stat(&self, _path: &[&[u8]]) -> Result<Option<Stat>, TargetError> {
        Ok(None)
    }

    fn create_file(&self, _path: &[&[u8]], _size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        dry_run()
    }

    fn open_file(&self, _path: &[&[u8]], _size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        dry_run()
    }

    fn make_node(&self, _path: &[&[u8]], _metadata: &target::Metadata) -> Result<(), TargetError> {
        dry_run()
    }

    fn make_hard_link(&self, _path: &[&[u8]], _original: &[&[u8]]) -> Result<(), TargetError> {
        dry_run()
    }

    fn finish_directory(&self, _path: &[&[u8]], _metadata: &target::Metadata) -> Result<(), TargetError> {
        dry_run()
    }

    fn finish_existing(&self, _path: &[&[u8]], _metadata: &target::Metadata) -> Result<(), TargetError> {
        dry_run()
    }

    fn names(&self, _path: &[&[u8]]) -> Result<Names, TargetError> {
        Ok(Names::default())
    }

    fn remove(&self, _path: &[&[u8]]) -> Result<(), TargetError> {
        dry_run()
    }

    fn sync(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_and_what_is_restored_decide_together() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"x").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        for (name, restored, expected) in [
            ("directory", Restored::Directory, "directory"),
            ("directory", Restored::File, "directory"),
            ("file", Restored::File, "file"),
            ("new", Restored::File, "file"),
            ("new slash/", Restored::File, "directory"),
            ("new/deep", Restored::Directory, "directory"),
            ("link", Restored::Node, "refused"),
            ("link/", Restored::Node, "directory"),
        ] {
            let chosen = match Destination::choose(&at(name), restored, false) {
                Ok(Destination::Directory(_)) => "directory",
                Ok(Destination::File(_)) => "file",
                Ok(_) => "other",
                Err(_) => "refused",
            };
            assert_eq!(chosen, expected, "{name} {restored:?}");
        }
    }

    #[test]
    fn a_dry_run_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("new/deep");
        assert!(matches!(Destination::choose(&to, Restored::Directory, true), Ok(Destination::Nothing(_))));
        assert!(!folder.path().join("new").exists());
    }
}
