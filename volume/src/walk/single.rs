//! One regular file or one block device as a source: a root directory with one entry.
//!
//! In: its path. Out: a tree of two rows. The entry has the path's last name; a device appears as a regular file of the device's size.
//! Never: reads anything beside it. The root directory is made up: mode 0755, owner 0:0, the times of the file.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use repository::source::{
    Attributes, Consistency, Content, Directory, FileType, Names, ReadPlan, Record, Source, SourceDescription,
    SourceError, SourceKind, Stat, Walked,
};

use super::stat::{Filesystem, plain_stat};
use super::{SourceOptions, location_text};
use crate::error::{OpenError, kind_text, push_name, source_error};
use crate::extended::extended;
use crate::read::{self, Reading, device};
use crate::sys::open;
use crate::sys::stat::{RawStat, statx};
use crate::sys::xattr::Owner;
use crate::track::Tracking;

/// One file or device.
#[derive(Debug)]
pub struct SingleSource {
    file: OwnedFd,
    path: PathBuf,
    location: String,
    name: Vec<u8>,
    raw: RawStat,
    filesystem: Filesystem,
    consistency: Consistency,
    reading: Arc<Reading>,
    /// `None`: a device, of which everything is read every time.
    tracking: Option<Tracking>,
}

impl SingleSource {
    /// Opens a regular file or a block device.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<SingleSource, OpenError> {
        let failed = |errno| OpenError::from_errno(path, errno);
        let unsuitable = |what| OpenError::Unsuitable { path: path.to_path_buf(), what };
        let file = open::operator_path(path, OFlag::empty()).map_err(failed)?;
        let raw = statx(&file, b"").map_err(failed)?;
        if !matches!(raw.kind(), libc::S_IFREG | libc::S_IFBLK) {
            return Err(unsuitable(kind_text(raw.kind())));
        }
        let name = path.file_name().ok_or_else(|| unsuitable("without a name of its own"))?;
        let filesystem = Filesystem::of(&file, &raw).map_err(failed)?;
        let is_file = raw.kind() == libc::S_IFREG;
        let reading = Reading::new(is_file && filesystem.settles, options)?;
        let tracking = match is_file {
            // Who may not read it, or has to wait for somebody's lease, cannot ask for its filesystem's UUID either.
            true => Some(match reading.look(&file) {
                Ok(opened) => Tracking::of(opened, &raw, options).map_err(failed)?,
                Err(_) => Tracking::of(&file, &raw, options).map_err(failed)?,
            }),
            false => None,
        };
        Ok(SingleSource {
            file,
            path: path.to_path_buf(),
            location: location_text(path),
            name: name.as_bytes().to_vec(),
            raw,
            filesystem,
            consistency: options.consistency,
            reading: Arc::new(reading),
            tracking,
        })
    }

    fn is_device(&self) -> bool {
        self.raw.kind() == libc::S_IFBLK
    }

    fn gone(&self, why: &str) -> SourceError {
        SourceError::SourceGone { what: self.location.clone(), why: why.to_owned() }
    }

    fn entry(&self) -> Result<Stat, SourceError> {
        let failed = |errno| source_error(self.location.clone(), errno);
        let raw = statx(&self.file, b"").map_err(failed)?;
        if self.is_device() {
            let size = device::open(&self.file, &self.reading, &self.location)?.size();
            let node = plain_stat(&raw).map_err(failed)?;
            return Ok(Stat {
                file_type: FileType::Regular,
                size,
                links: 1,
                blocks: size.div_ceil(512),
                device: None,
                ..node
            });
        }
        // Links outside of the source are nobody's business: the entry is the only name.
        Ok(Stat { links: 1, ..self.filesystem.stat(&raw).map_err(failed)? })
    }
}

impl Source for SingleSource {
    fn describe(&self) -> SourceDescription {
        let kind = if self.is_device() { SourceKind::Block } else { SourceKind::File };
        SourceDescription { kind, location: self.location.clone(), consistency: self.consistency }
    }

    fn root(&self) -> Result<(Stat, Attributes), SourceError> {
        let raw = statx(&self.file, b"").map_err(|errno| source_error(self.location.clone(), errno))?;
        let stat = Stat {
            file_type: FileType::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            links: 1,
            size: 0,
            blocks: 0,
            device: None,
            mtime: raw.mtime,
            ctime: raw.ctime,
            btime: raw.btime.unwrap_or_default(),
            inode: 0,
            handle: Vec::new(),
        };
        Ok((stat, Attributes::default()))
    }

    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError> {
        match path {
            [] => Ok(Box::new(OneEntry { source: self })),
            [first, ..] => {
                let mut what = self.location.clone();
                push_name(&mut what, first);
                Err(SourceError::Gone { what })
            }
        }
    }

    fn still_there(&self) -> Result<(), SourceError> {
        let now = open::operator_path(&self.path, OFlag::empty()).and_then(|fd| statx(&fd, b""));
        let now = now.map_err(|errno| self.gone(errno.desc()))?;
        let same = if self.is_device() {
            now.kind() == libc::S_IFBLK && now.device == self.raw.device
        } else {
            (now.kind(), now.on, now.inode, now.btime) == (self.raw.kind(), self.raw.on, self.raw.inode, self.raw.btime)
        };
        if same { Ok(()) } else { Err(self.gone("something else stands there now")) }
    }

    fn plan(&self, record: &Record) -> ReadPlan {
        self.tracking.as_ref().map_or_else(ReadPlan::default, |tracking| tracking.plan(record, &self.reading))
    }

    fn record(&self, record: &Record, walked: &Walked<'_>) -> Record {
        self.tracking.as_ref().map_or_else(Record::new, |tracking| tracking.record(record, walked))
    }
}

/// The made-up root directory.
struct OneEntry<'a> {
    source: &'a SingleSource,
}

impl OneEntry<'_> {
    fn check(&self, name: &[u8]) -> Result<(), SourceError> {
        if name == self.source.name {
            return Ok(());
        }
        let mut what = self.source.location.clone();
        push_name(&mut what, name);
        Err(SourceError::Gone { what })
    }
}

impl Directory for OneEntry<'_> {
    fn names(&self) -> Result<Names, SourceError> {
        let mut names = Names::default();
        if !names.push(&self.source.name) {
            return Err(source_error(self.source.location.clone(), Errno::ENAMETOOLONG));
        }
        Ok(names)
    }

    fn stat(&self, name: &[u8]) -> Result<Option<Stat>, SourceError> {
        if name != self.source.name {
            return Ok(None);
        }
        self.source.entry().map(Some)
    }

    fn attributes(&self, name: &[u8], _stat: &Stat) -> Result<Attributes, SourceError> {
        self.check(name)?;
        if self.source.is_device() {
            return Ok(Attributes::default());
        }
        let extended = extended(Owner::Path(self.source.file.as_fd()), &self.source.location)?;
        Ok(Attributes { link_target: None, extended })
    }

    fn open(&self, name: &[u8], stat: &Stat) -> Result<Box<dyn Content>, SourceError> {
        self.check(name)?;
        let (file, location) = (self.source.file.as_fd(), self.source.location.clone());
        if self.source.is_device() {
            return Ok(Box::new(device::open(file, &self.source.reading, &location)?));
        }
        Ok(Box::new(read::open_file(file, stat, location, &self.source.reading)?))
    }
}
