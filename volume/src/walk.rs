//! Walking: a directory tree as a source.
//!
//! In: the path of a directory, and when the walk starts. Out: names, stats, attributes and open files of what is below it on the same mount.
//! Never: follows a link, enters another mount, opens what is not a regular file, or changes an access time.
//!
//! **What identifies a file.** [`Stat::handle`] is inode number and creation time (to the nanosecond), 20 bytes, taken from the statx that is made anyway, on
//! filesystems where both are stable (ext4, xfs, btrfs, tmpfs). The kernel's own file handles (`name_to_handle_at`) would tell the same - inode and generation -
//! for one more call per entry: measured on ext4, 1.3 to 2.6 µs on top of 1.4 to 2.0 µs for the stat, which nearly doubles a sweep (the ignored test
//! `cost_of_identity`); and the seccomp profile of the agent forbids the call together with its dangerous twin.
//!
//! **Subvolumes.** A btrfs subvolume inside the volume is not a mount: it is walked. Its inode numbers (and, in a snapshot, creation times) repeat those outside,
//! so the subvolume's number is folded into the high bits of the inode.

pub mod directory;
pub mod single;
pub(crate) mod stat;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use repository::source::{
    Attributes, Consistency, Directory, ReadPlan, Record, Source, SourceDescription, SourceError, SourceKind, Stat,
    Time, Walked,
};

use crate::error::{OpenError, kind_text, path_text, source_error};
use crate::extended::extended;
use crate::read::Reading;
use crate::read::settle::WriterProbe;
use crate::sys::stat::{RawStat, statx};
use crate::sys::xattr::Owner;
use crate::sys::{mount, open};
use crate::track::Tracking;
use crate::track::plan::Asked;
use crate::track::scrub::Pace;
use directory::OpenDirectory;
use stat::Filesystem;

/// What the caller of [`open_source`] decides.
#[derive(Clone, Copy, Debug)]
pub struct SourceOptions {
    /// When the walk starts, by the clock that stamps the files. What changed less than two seconds before is never settled.
    pub started: Time,
    /// How the data is held still, if it is.
    pub consistency: Consistency,
    /// Refuse a directory on which nothing is mounted: an unmounted volume looks like an empty one.
    pub must_be_mount_root: bool,
    /// Read through a mount of one's own, on which nothing can be written or followed and which keeps nobody from unmounting the volume. Refused where the kernel or a
    /// missing `CAP_SYS_ADMIN` forbids it.
    pub detached: bool,
    /// Whether to ask the kernel who has a recently changed file open.
    pub writer_probe: WriterProbe,
    /// How long the machine had been running when the walk starts, sleep included, in milliseconds: shows whether the clock was set.
    pub uptime_ms: Option<u64>,
    /// What the caller knows of where the volume was, and wants read.
    pub asked: Asked,
    /// How fast what does not change is read again.
    pub pace: Pace,
}

impl SourceOptions {
    /// A live source that started at `started`, mount point or not.
    pub fn new(started: Time) -> SourceOptions {
        SourceOptions {
            started,
            consistency: Consistency::Live,
            must_be_mount_root: false,
            detached: false,
            writer_probe: WriterProbe::Lease,
            uptime_ms: None,
            asked: Asked::default(),
            pace: Pace::default(),
        }
    }
}

/// Opens what stands at `path`: a directory, a regular file or a block device. A link at `path` itself is followed: the operator wrote it.
pub fn open_source(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>, OpenError> {
    let fd = open::operator_path(path, OFlag::empty()).map_err(|errno| OpenError::from_errno(path, errno))?;
    let raw = statx(&fd, b"").map_err(|errno| OpenError::from_errno(path, errno))?;
    match raw.kind() {
        libc::S_IFDIR => Ok(Box::new(DirectorySource::open(path, options)?)),
        libc::S_IFREG | libc::S_IFBLK => Ok(Box::new(single::SingleSource::open(path, options)?)),
        kind => Err(OpenError::Unsuitable { path: path.to_path_buf(), what: kind_text(kind) }),
    }
}

/// A directory tree on one mount.
#[derive(Debug)]
pub struct DirectorySource {
    root: OwnedFd,
    path: PathBuf,
    location: String,
    identity: RootIdentity,
    filesystem: Filesystem,
    options: SourceOptions,
    reading: Arc<Reading>,
    tracking: Tracking,
}

/// What tells this root from whatever stands under its path later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RootIdentity {
    on: (u32, u32),
    mount: Option<u64>,
    inode: u64,
    btime: Option<Time>,
}

impl RootIdentity {
    fn of(raw: &RawStat) -> RootIdentity {
        RootIdentity { on: raw.on, mount: raw.mount, inode: raw.inode, btime: raw.btime }
    }
}

impl DirectorySource {
    /// Opens a directory.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<DirectorySource, OpenError> {
        let failed = |errno| OpenError::from_errno(path, errno);
        let root = open::operator_path(path, OFlag::O_DIRECTORY).map_err(failed)?;
        let raw = statx(&root, b"").map_err(failed)?;
        match raw.mount_root {
            Some(false) if options.must_be_mount_root => {
                return Err(OpenError::NotMounted { path: path.to_path_buf() });
            }
            None if options.must_be_mount_root => {
                return Err(OpenError::Unsupported { what: "a kernel that tells mount points (5.8)" });
            }
            _ => {}
        }
        require_openat2(&root, path)?;
        let root = if options.detached { detached(&root, path)? } else { root };
        let filesystem = Filesystem::of(&root, &statx(&root, b"").map_err(failed)?).map_err(failed)?;
        let reading = Reading::new(filesystem.settles, options)?;
        // Who may not read it cannot ask for its filesystem's UUID either, and is told so when he tries to list it.
        let tracking = match open::directory(root.as_fd(), &[], OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(opened) => Tracking::of(opened, &raw, options),
            Err(_) => Tracking::of(&root, &raw, options),
        };
        Ok(DirectorySource {
            root,
            path: path.to_path_buf(),
            location: location_text(path),
            identity: RootIdentity::of(&raw),
            filesystem,
            options: *options,
            reading: Arc::new(reading),
            tracking: tracking.map_err(failed)?,
        })
    }

    fn gone(&self, why: &str) -> SourceError {
        SourceError::SourceGone { what: self.location.clone(), why: why.to_owned() }
    }
}

/// A mount of our own, rooted at `root`.
fn detached(root: &OwnedFd, path: &Path) -> Result<OwnedFd, OpenError> {
    mount::detached(root).map_err(|errno| match errno {
        Errno::EPERM | Errno::ENOSYS | Errno::EINVAL => {
            OpenError::Unsupported { what: "a mount of its own (Linux 5.12 and CAP_SYS_ADMIN)" }
        }
        errno => OpenError::from_errno(path, errno),
    })
}

/// A path of the operator as text for messages.
pub(crate) fn location_text(path: &Path) -> String {
    path.as_os_str().to_string_lossy().into_owned()
}

/// Refuses a kernel (or sandbox) without openat2, rather than walking unsafely.
pub(crate) fn require_openat2(root: impl AsFd, path: &Path) -> Result<(), OpenError> {
    match open::beneath(root, b".", OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => Err(OpenError::Unsupported { what: "openat2" }),
        Err(errno) => Err(OpenError::from_errno(path, errno)),
    }
}

impl Source for DirectorySource {
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            kind: SourceKind::Filesystem,
            location: self.location.clone(),
            consistency: self.options.consistency,
        }
    }

    fn root(&self) -> Result<(Stat, Attributes), SourceError> {
        let failed = |errno| match source_error(self.location.clone(), errno) {
            // The root is the source: if it is gone, so is everything.
            SourceError::Gone { what } => SourceError::SourceGone { what, why: errno.desc().to_owned() },
            error => error,
        };
        let raw = statx(&self.root, b"").map_err(failed)?;
        let stat = self.filesystem.stat(&raw).map_err(failed)?;
        let extended = extended(Owner::Path(self.root.as_fd()), &self.location)?;
        Ok((stat, Attributes { link_target: None, extended }))
    }

    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError> {
        let text = path_text(&self.location, path);
        if !path.iter().all(|name| open::valid_name(name)) {
            return Err(SourceError::Unreadable {
                what: text,
                why: "the path holds a name that no entry can have".into(),
            });
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOATIME | OFlag::O_NONBLOCK;
        match open::directory(self.root.as_fd(), path, flags) {
            Ok(fd) => Ok(Box::new(OpenDirectory::new(self, fd, text))),
            Err(errno) if path.is_empty() && errno == Errno::ENOENT => Err(self.gone("its directory was removed")),
            Err(errno) => Err(source_error(text, errno)),
        }
    }

    fn still_there(&self) -> Result<(), SourceError> {
        let now = open::operator_path(&self.path, OFlag::O_DIRECTORY).and_then(|fd| statx(&fd, b""));
        let raw = now.map_err(|errno| self.gone(errno.desc()))?;
        if self.options.must_be_mount_root && raw.mount_root != Some(true) {
            return Err(self.gone("it is not mounted any more"));
        }
        if RootIdentity::of(&raw) != self.identity {
            return Err(self.gone("another directory stands there now: it was unmounted, mounted over or replaced"));
        }
        Ok(())
    }

    fn plan(&self, record: &Record) -> ReadPlan {
        self.tracking.plan(record, &self.reading)
    }

    fn record(&self, record: &Record, walked: &Walked<'_>) -> Record {
        self.tracking.record(record, walked)
    }
}
