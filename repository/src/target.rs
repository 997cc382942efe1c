//! Target: what a restore writes into, as the engine sees it.
//!
//! In: directories, entries and pieces of content that the restore plan names. Out: the same on a disk. Never: decides what is restored, or believes a name.
//!
//! Implementations: a directory and a block device (crate `volume`), and one in memory for tests.
//! All paths are lists of single names; an implementation refuses names that are empty, `.`, `..` or contain `/` or NUL, and never leaves its root.

use crate::source::{Attributes, FileType, Stat, Time};

/// What a restored entry looks like apart from its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub file_type: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content.
    pub mtime: Time,
    /// Device numbers.
    pub device: Option<(u32, u32)>,
    /// Link target and extended attributes.
    pub attributes: Attributes,
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The disk or quota is full.
    #[error("no space left for {what}; free some and run the restore again, it continues where it stopped")]
    Full {
        /// Which.
        what: String,
    },
    /// Something else stands where this should go.
    #[error("{what} is in the way: {why}")]
    Occupied {
        /// Which.
        what: String,
        /// What stands there.
        why: String,
    },
    /// The name cannot be used, or leads out of the target.
    #[error("refused to write {what}: {why}")]
    Unsafe {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot write {what}: {why}")]
    Unwritable {
        /// Which.
        what: String,
        /// The operating system's reason.
        why: String,
    },
}

/// Where a restore goes. Called from several threads.
pub trait Target: Send + Sync {
    /// True if the target is one block device or one file: only single files can be restored into it, under any path.
    fn is_single_file(&self) -> bool;
    /// Makes a directory if there is none (mode 0700 until [`Target::finish_directory`]). Parents exist already. Something else of that name: `Occupied`.
    fn make_directory(&self, path: &[&[u8]]) -> Result<(), TargetError>;
    /// What stands under a path now; `None`: nothing.
    fn stat(&self, path: &[&[u8]]) -> Result<Option<Stat>, TargetError>;
    /// Begins a regular file of `size` bytes, all zeros, under a temporary name in its directory.
    fn create_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError>;
    /// Opens the regular file that stands there, to be changed in place; its size is made `size`. Anything else of that name: `Occupied`.
    fn open_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError>;
    /// Makes a link, FIFO, socket or device node under a temporary name, gives it its metadata and renames it into place.
    fn make_node(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError>;
    /// Makes `path` another name of `original`, which was restored before.
    fn make_hard_link(&self, path: &[&[u8]], original: &[&[u8]]) -> Result<(), TargetError>;
    /// Gives a directory its metadata, after everything below it is done.
    fn finish_directory(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError>;
    /// Gives a file that is complete already its metadata (used when content is equal).
    fn finish_existing(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError>;
    /// Names in a directory of the target, sorted (for an in-place restore that removes what is not in the restore point).
    fn names(&self, path: &[&[u8]]) -> Result<crate::source::Names, TargetError>;
    /// Removes an entry, a directory with everything below it.
    fn remove(&self, path: &[&[u8]]) -> Result<(), TargetError>;
    /// Makes sure that everything is on the disk: called once, when everything else was done.
    fn sync(&self) -> Result<(), TargetError>;
}

/// One regular file (or device) being restored.
pub trait TargetFile: Send + Sync {
    /// Reads what stands there, for comparing in place; short only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError>;
    /// Says of a range of a new file that all of it will be written, piece by piece in any order, so that it can be allocated as one. What can do without does nothing.
    fn reserve(&self, offset: u64, length: u64) -> Result<(), TargetError>;
    /// Writes verified bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError>;
    /// Makes a range zeros, as a hole where possible.
    fn zero(&self, offset: u64, length: u64) -> Result<(), TargetError>;
    /// The file is complete: gives it its metadata and, if it has a temporary name, its real one. Without this call the temporary file is removed on drop.
    fn commit(self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError>;
}
