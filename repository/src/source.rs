//! Source: what a backup reads, as the engine sees it.
//!
//! In: directory names and entry names that the sweep asks for. Out: stats, attributes and content. Never: decides what changed, or writes.
//!
//! Implementations: a directory tree and a block device (crate `volume`), and a tree generated from a seed ([`crate::generated`]).

mod plan;

use std::ops::Range;

pub(crate) use plan::Scrub;
pub use plan::{Belief, Place, ReadPlan, Record, ScrubPlan, Walked};

/// Seconds and nanoseconds since 1970-01-01 UTC; `nanoseconds` is below 10^9 also for times before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded towards the past.
    pub seconds: i64,
    /// The rest, 0..10^9.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file (also a block device that is backed up as a file).
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device node: only its numbers are captured.
    CharDevice,
    /// Block device node: only its numbers are captured.
    BlockDevice,
}

/// Everything a stat call tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub file_type: FileType,
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u64,
    /// Size in bytes (0 for what has no content).
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Device numbers, for device nodes.
    pub device: Option<(u32, u32)>,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of anything; set by the kernel alone.
    pub ctime: Time,
    /// Creation, where the filesystem knows it (zero otherwise).
    pub btime: Time,
    /// Inode number.
    pub inode: u64,
    /// What tells this file from every other that ever lived on this filesystem (at most 64 bytes); empty when the filesystem offers nothing stable.
    pub handle: Vec<u8>,
}

/// What a stat does not tell; read only when the stat says that something changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Target of a symbolic link.
    pub link_target: Option<Vec<u8>>,
    /// Extended attributes (ACLs and capabilities among them), sorted by name.
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How the source could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// From a snapshot.
    Snapshot,
    /// While writers were held.
    Frozen,
    /// While writers went on.
    Live,
}

/// Which kind of volume the source is; it decides how a restore lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory tree.
    Filesystem,
    /// One regular file: a root directory with one entry.
    File,
    /// One block device: a root directory with one entry of type regular.
    Block,
}

/// What a source says of itself.
#[derive(Clone, Debug)]
pub struct SourceDescription {
    /// Its kind.
    pub kind: SourceKind,
    /// Where it is, for people (a path).
    pub location: String,
    /// How it is read.
    pub consistency: Consistency,
}

/// The verdict on a file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVerdict {
    /// The stamp before equals the stamp after, and is old enough to be relied on: an equal stamp next time means equal content.
    Settled,
    /// The bytes belong together, but the stamp must not be relied on: read the file again next time.
    Unsettled,
    /// The file changed while it was read.
    Torn,
}

/// Why something could not be read. `Gone` entries are simply not there any more; the rest is reported as not captured.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The entry vanished or was replaced by another between listing and reading.
    #[error("{what} vanished while it was being read")]
    Gone {
        /// Which.
        what: String,
    },
    /// The whole source is gone or is not what it was: unmounted, replaced, unreachable. The run ends; nothing may be concluded from it.
    #[error("the source {what} is gone: {why}")]
    SourceGone {
        /// Which.
        what: String,
        /// How it shows.
        why: String,
    },
    /// This process has run out of descriptors or memory: it says nothing about the entry, so the run ends rather than leave it out.
    #[error("cannot read {what}: {why}; give this process more and run it again")]
    Exhausted {
        /// Which.
        what: String,
        /// What there is too little of.
        why: String,
    },
    /// It exists but cannot be read.
    #[error("cannot read {what}: {why}")]
    Unreadable {
        /// Which.
        what: String,
        /// The operating system's reason.
        why: String,
    },
}

impl SourceError {
    /// True if nothing may be concluded from it about one entry: the run ends.
    pub fn ends_the_run(&self) -> bool {
        matches!(self, SourceError::SourceGone { .. } | SourceError::Exhausted { .. })
    }
}

/// One thing that can be backed up. All names are raw bytes; all directories are swept by one thread, contents may be read by another.
pub trait Source: Send + Sync {
    /// What it is.
    fn describe(&self) -> SourceDescription;
    /// The root directory's own stat and attributes.
    fn root(&self) -> Result<(Stat, Attributes), SourceError>;
    /// Opens a directory by its names from the root (none: the root). Never follows a symbolic link, never leaves the source's filesystem.
    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError>;
    /// True if the source is still what it was when it was opened; asked before the restore point is committed.
    fn still_there(&self) -> Result<(), SourceError>;
    /// What has to be read although its stamp has not changed. `record` is what [`Source::record`] said at the parent restore point; empty if it said nothing.
    fn plan(&self, _record: &Record) -> ReadPlan {
        ReadPlan::default()
    }
    /// What the next run has to know, after this one; `record` as for [`Source::plan`].
    fn record(&self, _record: &Record, _walked: &Walked<'_>) -> Record {
        Record::new()
    }
    /// True if something else than the stamp says that this entry may have changed.
    fn suspects(&self, _stat: &Stat) -> bool {
        false
    }
}

/// One open directory. Its entries may be read by several threads.
pub trait Directory: Send + Sync {
    /// Names of all entries except `.` and `..`, sorted as bytes.
    fn names(&self) -> Result<Names, SourceError>;
    /// Stat of one entry, not following links. `None`: it is gone.
    fn stat(&self, name: &[u8]) -> Result<Option<Stat>, SourceError>;
    /// Link target and extended attributes of one entry, if it is still the one in `stat` (else `Gone`).
    fn attributes(&self, name: &[u8], stat: &Stat) -> Result<Attributes, SourceError>;
    /// Opens a regular file for reading if it is still the one in `stat` (else `Gone`); by the time this returns, what was written before is visible to its stamp (the flush of the settle protocol).
    fn open(&self, name: &[u8], stat: &Stat) -> Result<Box<dyn Content>, SourceError>;
}

/// One open regular file or device.
pub trait Content: Send {
    /// Its extended attributes.
    fn attributes(&mut self) -> Result<Attributes, SourceError>;
    /// The next range that may hold data at or after `offset` (holes are skipped); `None`: only zeros follow, or the end.
    fn next_data(&mut self, offset: u64) -> Result<Option<Range<u64>>, SourceError>;
    /// Fills `buffer` from `offset`; returns how much there was (less than asked only at the end of the file).
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError>;
    /// Ends reading: compares the stamp with the one from before.
    fn finish(&mut self) -> Result<ReadVerdict, SourceError>;
}

/// A sorted list of names in one allocation: a million names take their bytes and four bytes each.
#[derive(Clone, Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Names {
    /// Adds a name; call [`Names::sort`] when all are in. Fails (returns false) past 4 GiB of names.
    #[must_use]
    pub fn push(&mut self, name: &[u8]) -> bool {
        let Ok(start) = u32::try_from(self.bytes.len()) else { return false };
        let Ok(length) = u16::try_from(name.len()) else { return false };
        self.starts.push(start);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(name);
        true
    }

    /// Sorts by bytes.
    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        self.starts.sort_unstable_by(|a, b| name_at(bytes, *a).cmp(name_at(bytes, *b)));
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().map(|start| name_at(&self.bytes, *start))
    }
}

fn name_at(bytes: &[u8], start: u32) -> &[u8] {
    let start = start as usize;
    let length = usize::from(u16::from_le_bytes([bytes[start], bytes[start + 1]]));
    &bytes[start + 2..start + 2 + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_sorted_as_bytes() {
        let mut names = Names::default();
        for name in [&b"b"[..], b"\xff", b"a", b"ab", b""] {
            assert!(names.push(name));
        }
        names.sort();
        assert_eq!(names.iter().collect::<Vec<_>>(), [&b""[..], b"a", b"ab", b"b", b"\xff"]);
    }
}
