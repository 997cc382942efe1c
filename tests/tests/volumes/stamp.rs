//! Stamp: what stat(2) says of a file.
//!
//! In: a path. Out: everything that a backup can compare without reading. Never: follows a link.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Times are seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
}

/// The stamp of a file.
pub(crate) fn stamp(path: &Path) -> Stamp {
    let found = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Stamp {
        inode: found.ino(),
        size: found.size(),
        mtime: (found.mtime(), found.mtime_nsec()),
        ctime: (found.ctime(), found.ctime_nsec()),
    }
}

impl Stamp {
    /// Without what only the kernel sets: what many tools compare.
    pub(crate) fn size_and_mtime(self) -> (u64, (i64, i64)) {
        (self.size, self.mtime)
    }
}
