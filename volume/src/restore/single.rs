//! One regular file or one block device as a target: whatever path is restored, it is this.
//!
//! In: a file's content. Out: the same in the file or on the device. Never: writes beyond the restored size; what a larger device holds behind it stays.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use repository::source::{FileType, Names, Stat};
use repository::target::{Metadata, Target, TargetError, TargetFile};

use super::DirectoryTarget;
use super::device::RestoredDevice;
use crate::error::{OpenError, kind_text, target_error};
use crate::sys::device;
use crate::sys::open::{self, Descriptors};
use crate::sys::stat::statx;
use crate::walk::location_text;
use crate::walk::stat::plain_stat;

fn only_one_file(location: &str) -> TargetError {
    TargetError::Unsafe {
        what: location.to_owned(),
        why: "the target is a single file or device; restore one file into it".into(),
    }
}

/// The root of a single file has no row of its own: making and finishing it do nothing.
fn root_only(path: &[&[u8]], location: &str) -> Result<(), TargetError> {
    if path.is_empty() { Ok(()) } else { Err(only_one_file(location)) }
}

/// One regular file, which need not exist yet.
#[derive(Debug)]
pub struct FileTarget {
    directory: DirectoryTarget,
    name: Vec<u8>,
    location: String,
}

impl FileTarget {
    /// The file at `path`; its directory exists. Something else than a regular file there is refused.
    pub fn open(path: &Path) -> Result<FileTarget, OpenError> {
        let unsuitable = |what| OpenError::Unsuitable { path: path.to_path_buf(), what };
        let name = path.file_name().ok_or_else(|| unsuitable("without a name of its own"))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let target = FileTarget {
            directory: DirectoryTarget::open_as_it_is(parent)?,
            name: name.as_bytes().to_vec(),
            location: location_text(path),
        };
        match statx(&target.directory.root, &target.name) {
            Ok(raw) if raw.kind() != libc::S_IFREG => Err(unsuitable(kind_text(raw.kind()))),
            Ok(_) | Err(Errno::ENOENT) => Ok(target),
            Err(errno) => Err(OpenError::from_errno(path, errno)),
        }
    }

    /// See [`DirectoryTarget::without_sync`].
    pub fn without_sync(self) -> FileTarget {
        FileTarget { directory: self.directory.without_sync(), ..self }
    }

    fn path(&self) -> [&[u8]; 1] {
        [&self.name]
    }
}

impl Target for FileTarget {
    fn is_single_file(&self) -> bool {
        true
    }

    fn make_directory(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        root_only(path, &self.location)
    }

    fn stat(&self, _path: &[&[u8]]) -> Result<Option<Stat>, TargetError> {
        self.directory.stat(&self.path())
    }

    fn create_file(&self, _path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        self.directory.create_file(&self.path(), size)
    }

    fn open_file(&self, _path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        self.directory.open_file(&self.path(), size)
    }

    fn make_node(&self, _path: &[&[u8]], _metadata: &Metadata) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    fn make_hard_link(&self, _path: &[&[u8]], _original: &[&[u8]]) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    fn finish_directory(&self, path: &[&[u8]], _metadata: &Metadata) -> Result<(), TargetError> {
        root_only(path, &self.location)
    }

    fn finish_existing(&self, _path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        self.directory.finish_existing(&self.path(), metadata)
    }

    fn names(&self, _path: &[&[u8]]) -> Result<Names, TargetError> {
        Err(only_one_file(&self.location))
    }

    fn remove(&self, _path: &[&[u8]]) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    fn sync(&self) -> Result<(), TargetError> {
        self.directory.sync()
    }
}

/// One block device. It is opened exclusively: one that is mounted is refused.
#[derive(Debug)]
pub struct BlockTarget {
    node: OwnedFd,
    descriptors: Descriptors,
    location: String,
    size: u64,
}

impl BlockTarget {
    /// The device at `path`.
    pub fn open(path: &Path) -> Result<BlockTarget, OpenError> {
        let failed = |errno| OpenError::from_errno(path, errno);
        let node = open::operator_path(path, OFlag::empty()).map_err(failed)?;
        let kind = statx(&node, b"").map_err(failed)?.kind();
        if kind != libc::S_IFBLK {
            return Err(OpenError::Unsuitable { path: path.to_path_buf(), what: kind_text(kind) });
        }
        let descriptors = Descriptors::open().map_err(|_| OpenError::Unsupported { what: "/proc" })?;
        let opened = descriptors.reopen(&node, OFlag::O_RDWR | OFlag::O_EXCL | OFlag::O_NONBLOCK).map_err(failed)?;
        let size = device::size(&opened).map_err(failed)?;
        Ok(BlockTarget { node, descriptors, location: location_text(path), size })
    }

    /// Size of the device in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn begin(&self, size: u64, keep: bool) -> Result<Box<dyn TargetFile>, TargetError> {
        let error = |errno| target_error(self.location.clone(), errno);
        let flags = OFlag::O_RDWR | OFlag::O_EXCL | OFlag::O_NONBLOCK;
        let opened = self.descriptors.reopen(self.node.as_fd(), flags).map_err(error)?;
        let room = device::size(&opened).map_err(error)?;
        if size > room {
            let what = format!("{} of {room} bytes, {size} of which are needed", self.location);
            return Err(TargetError::Full { what });
        }
        Ok(Box::new(RestoredDevice::new(opened, size, keep, self.location.clone())))
    }
}

impl Target for BlockTarget {
    fn is_single_file(&self) -> bool {
        true
    }

    fn make_directory(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        root_only(path, &self.location)
    }

    fn stat(&self, _path: &[&[u8]]) -> Result<Option<Stat>, TargetError> {
        let error = |errno| target_error(self.location.clone(), errno);
        let node = statx(&self.node, b"").and_then(|raw| plain_stat(&raw)).map_err(error)?;
        Ok(Some(Stat { file_type: FileType::Regular, size: self.size, device: None, ..node }))
    }

    fn create_file(&self, _path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        self.begin(size, false)
    }

    fn open_file(&self, _path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        self.begin(size, true)
    }

    fn make_node(&self, _path: &[&[u8]], _metadata: &Metadata) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    fn make_hard_link(&self, _path: &[&[u8]], _original: &[&[u8]]) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    fn finish_directory(&self, path: &[&[u8]], _metadata: &Metadata) -> Result<(), TargetError> {
        root_only(path, &self.location)
    }

    /// A device node keeps the owner and mode that the system gave it.
    fn finish_existing(&self, _path: &[&[u8]], _metadata: &Metadata) -> Result<(), TargetError> {
        Ok(())
    }

    fn names(&self, _path: &[&[u8]]) -> Result<Names, TargetError> {
        Err(only_one_file(&self.location))
    }

    fn remove(&self, _path: &[&[u8]]) -> Result<(), TargetError> {
        Err(only_one_file(&self.location))
    }

    /// It was written past all caches, and its own was flushed with the file.
    fn sync(&self) -> Result<(), TargetError> {
        Ok(())
    }
}
