//! Restoring: a directory as a target.
//!
//! In: names, pieces of content and metadata that the restore plan gives. Out: the same below one directory of this machine.
//! Never: follows a link, enters another mount, or shows a half-written entry under its real name.
//!
//! A file is written under a temporary name (`.holdfast-` and 16 hexadecimal digits) in its own directory, gets its metadata through its descriptor, and is renamed
//! over what stood there. A killed restore leaves such names behind; the next one removes them when it enters the directory.
//! If content could be restored but not all of its metadata, the entry is put in place for its owner alone and the error says what is missing.

mod allocation;
mod device;
mod file;
mod metadata;
mod remove;
pub mod single;
mod temporary;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, renameat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, syncfs, unlinkat};
use repository::source::{FileType, Names, Stat};
use repository::target::{Metadata, Target, TargetError, TargetFile};

use crate::error::{OpenError, kind_text, path_text, target_error};
use crate::listing;
use crate::sys::open::{self, Descriptors};
use crate::sys::stat::{RawStat, statx};
use crate::walk::stat::{Filesystem, file_type, plain_stat};
use crate::walk::{location_text, require_openat2};
use metadata::Subject;
use temporary::TemporaryNames;

/// Opens what stands at `path` to restore into it: a directory, a regular file or a block device. A link at `path` itself is followed.
pub fn open_target(path: &Path) -> Result<Box<dyn Target>, OpenError> {
    let fd = open::operator_path(path, OFlag::empty()).map_err(|errno| OpenError::from_errno(path, errno))?;
    let raw = statx(&fd, b"").map_err(|errno| OpenError::from_errno(path, errno))?;
    match raw.kind() {
        libc::S_IFDIR => Ok(Box::new(DirectoryTarget::open(path)?)),
        libc::S_IFREG => Ok(Box::new(single::FileTarget::open(path)?)),
        libc::S_IFBLK => Ok(Box::new(single::BlockTarget::open(path)?)),
        kind => Err(OpenError::Unsuitable { path: path.to_path_buf(), what: kind_text(kind) }),
    }
}

/// A directory that is restored into.
#[derive(Debug)]
pub struct DirectoryTarget {
    root: OwnedFd,
    location: String,
    filesystem: Filesystem,
    descriptors: Descriptors,
    names: TemporaryNames,
    durable: bool,
}

/// A name in an open directory, and both as text.
struct Place<'a> {
    parent: OwnedFd,
    name: &'a [u8],
    text: String,
}

impl Place<'_> {
    fn error(&self, errno: Errno) -> TargetError {
        target_error(self.text.clone(), errno)
    }

    fn occupied(&self, kind: u32) -> TargetError {
        TargetError::Occupied { what: self.text.clone(), why: format!("{} stands there", kind_text(kind)) }
    }
}

impl DirectoryTarget {
    /// Opens an existing directory and removes what a killed restore left in it.
    pub fn open(path: &Path) -> Result<DirectoryTarget, OpenError> {
        let target = DirectoryTarget::open_as_it_is(path)?;
        let swept = target.root_for_reading().and_then(|fd| target.names.sweep(fd));
        swept.map_err(|errno| OpenError::from_errno(path, errno))?;
        Ok(target)
    }

    /// Makes the directory and those above it where they are missing, then opens it.
    pub fn create(path: &Path) -> Result<DirectoryTarget, OpenError> {
        std::fs::create_dir_all(path).map_err(|error| OpenError::from_errno(path, crate::error::errno_of(&error)))?;
        DirectoryTarget::open(path)
    }

    /// Opens an existing directory and leaves everything in it as it is: to look, or because another restore may be writing beside this one.
    pub fn open_as_it_is(path: &Path) -> Result<DirectoryTarget, OpenError> {
        let failed = |errno| OpenError::from_errno(path, errno);
        let root = open::operator_path(path, OFlag::O_DIRECTORY).map_err(failed)?;
        require_openat2(&root, path)?;
        let raw = statx(&root, b"").map_err(failed)?;
        Ok(DirectoryTarget {
            filesystem: Filesystem::of(&root, &raw).map_err(failed)?,
            root,
            location: location_text(path),
            descriptors: Descriptors::open().map_err(|_| OpenError::Unsupported { what: "/proc" })?,
            names: TemporaryNames::new().map_err(failed)?,
            durable: true,
        })
    }

    /// Leaves it to the kernel when what is restored gets to the disk, as `cp` does: faster, and a power cut within the next half minute may undo it.
    pub fn without_sync(self) -> DirectoryTarget {
        DirectoryTarget { durable: false, ..self }
    }

    fn root_for_reading(&self) -> Result<OwnedFd, Errno> {
        open::directory(self.root.as_fd(), &[], OFlag::O_RDONLY)
    }

    fn text(&self, path: &[&[u8]]) -> String {
        path_text(&self.location, path)
    }

    fn check(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        if path.iter().all(|name| open::valid_name(name)) {
            return Ok(());
        }
        Err(TargetError::Unsafe { what: self.text(path), why: "it holds a name that no entry can have".into() })
    }

    /// The directory at `path`, opened with `flags`.
    fn directory(&self, path: &[&[u8]], flags: OFlag) -> Result<OwnedFd, TargetError> {
        self.check(path)?;
        open::directory(self.root.as_fd(), path, flags).map_err(|errno| match errno {
            Errno::ENOENT => {
                TargetError::Unwritable { what: self.text(path), why: "this directory does not exist".into() }
            }
            errno => target_error(self.text(path), errno),
        })
    }

    fn place<'a>(&self, path: &[&'a [u8]]) -> Result<Place<'a>, TargetError> {
        self.check(path)?;
        let Some((name, parents)) = path.split_last() else {
            return Err(TargetError::Unsafe {
                what: self.location.clone(),
                why: "the target itself cannot be replaced".into(),
            });
        };
        let parent = self.directory(parents, OFlag::O_PATH)?;
        Ok(Place { parent, name, text: self.text(path) })
    }

    /// An `O_PATH` descriptor of what stands at a place, and its stat.
    fn look(&self, place: &Place<'_>) -> Result<(OwnedFd, RawStat), TargetError> {
        let fd = open::beneath(&place.parent, place.name, OFlag::O_PATH).map_err(|errno| place.error(errno))?;
        let raw = statx(&fd, b"").map_err(|errno| place.error(errno))?;
        Ok((fd, raw))
    }

    /// Puts a finished temporary entry in place; removes it if that cannot be.
    fn put(&self, place: &Place<'_>, temporary: &str) -> Result<(), TargetError> {
        let put = renameat(&place.parent, temporary, &place.parent, place.name);
        if put.is_err() {
            // What remains is swept by the next restore; the error that is reported is the first one.
            let _ = unlinkat(&place.parent, temporary, UnlinkatFlags::NoRemoveDir);
        }
        put.map_err(|errno| place.error(errno))
    }

    fn finish(&self, place: &Place<'_>, metadata: &Metadata) -> Result<(), TargetError> {
        let (fd, raw) = self.look(place)?;
        if file_type(raw.kind()) != Some(metadata.file_type) {
            return Err(place.occupied(raw.kind()));
        }
        metadata::apply(Subject::Path(fd.as_fd()), metadata, &place.text)
    }

    /// Makes a node of the given kind under a temporary name.
    fn new_node(&self, parent: BorrowedFd<'_>, metadata: &Metadata) -> Result<String, Errno> {
        let mode = Mode::from_bits_truncate(0o600);
        let device = metadata.device.map(|(major, minor)| makedev(u64::from(major), u64::from(minor)));
        self.names
            .create(|name| match metadata.file_type {
                FileType::Symlink => {
                    let link = metadata.attributes.link_target.as_deref().ok_or(Errno::EINVAL)?;
                    symlinkat(link, parent, name)
                }
                FileType::Fifo => mknodat(parent, name, SFlag::S_IFIFO, mode, 0),
                FileType::Socket => mknodat(parent, name, SFlag::S_IFSOCK, mode, 0),
                FileType::CharDevice => mknodat(parent, name, SFlag::S_IFCHR, mode, device.ok_or(Errno::EINVAL)?),
                FileType::BlockDevice => mknodat(parent, name, SFlag::S_IFBLK, mode, device.ok_or(Errno::EINVAL)?),
                FileType::Regular | FileType::Directory => Err(Errno::EINVAL),
            })
            .map(|(name, ())| name)
    }
}

impl Target for DirectoryTarget {
    fn is_single_file(&self) -> bool {
        false
    }

    fn make_directory(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        if path.is_empty() {
            return Ok(());
        }
        let place = self.place(path)?;
        match mkdirat(&place.parent, place.name, Mode::from_bits_truncate(0o700)) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(place.error(errno)),
        }
        let (fd, raw) = self.look(&place)?;
        if raw.kind() != libc::S_IFDIR {
            return Err(place.occupied(raw.kind()));
        }
        let error = |errno| place.error(errno);
        metadata::make_enterable(fd.as_fd(), &raw).map_err(error)?;
        let listed = open::beneath(&fd, b".", OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(error)?;
        self.names.sweep(listed).map_err(error)
    }

    fn stat(&self, path: &[&[u8]]) -> Result<Option<Stat>, TargetError> {
        let found = match path.split_last() {
            None => statx(&self.root, b""),
            Some((name, parents)) => {
                self.check(path)?;
                open::directory(self.root.as_fd(), parents, OFlag::O_PATH).and_then(|parent| statx(&parent, name))
            }
        };
        match found {
            Ok(raw) if self.filesystem.foreign(&raw) => Err(target_error(self.text(path), Errno::EXDEV)),
            Ok(raw) => plain_stat(&raw).map(Some).map_err(|errno| target_error(self.text(path), errno)),
            // Below what is no directory stands nothing.
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(target_error(self.text(path), errno)),
        }
    }

    fn create_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        let place = self.place(path)?;
        Ok(Box::new(file::RestoredFile::create(place, &self.names, size)?.writing_out(self.durable)))
    }

    fn open_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        let place = self.place(path)?;
        let (fd, raw) = self.look(&place)?;
        if raw.kind() != libc::S_IFREG {
            return Err(place.occupied(raw.kind()));
        }
        let opened = self.descriptors.reopen(&fd, OFlag::O_RDWR | OFlag::O_NONBLOCK);
        let opened = opened.map_err(|errno| place.error(errno))?;
        Ok(Box::new(file::RestoredFile::in_place(place, opened, raw.size, size)?.writing_out(self.durable)))
    }

    fn make_node(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        let place = self.place(path)?;
        let error = |errno| place.error(errno);
        let temporary = self.new_node(place.parent.as_fd(), metadata).map_err(error)?;
        let node = open::beneath(&place.parent, temporary.as_bytes(), OFlag::O_PATH).map_err(error)?;
        // Whoever owns the directory could have exchanged the name; only what we made gets an owner and a mode.
        let raw = statx(&node, b"").map_err(error)?;
        if file_type(raw.kind()) != Some(metadata.file_type) || raw.links != 1 {
            return Err(TargetError::Unsafe {
                what: place.text,
                why: "another process replaced it while it was made".into(),
            });
        }
        let applied = metadata::apply(Subject::Path(node.as_fd()), metadata, &place.text);
        self.put(&place, &temporary)?;
        applied
    }

    fn make_hard_link(&self, path: &[&[u8]], original: &[&[u8]]) -> Result<(), TargetError> {
        let (first, raw) = self.look(&self.place(original)?)?;
        let place = self.place(path)?;
        if raw.kind() == libc::S_IFDIR {
            return Err(TargetError::Unsafe { what: place.text, why: "a directory cannot have two names".into() });
        }
        // A rename of one name of an inode over another does nothing and leaves both: what is a link already is done.
        if statx(&place.parent, place.name).is_ok_and(|now| (now.on, now.inode) == (raw.on, raw.inode)) {
            return Ok(());
        }
        let from = open::descriptor_path(&first);
        let linked =
            self.names.create(|name| linkat(AT_FDCWD, from.as_str(), &place.parent, name, AtFlags::AT_SYMLINK_FOLLOW));
        let (temporary, ()) = linked.map_err(|errno| place.error(errno))?;
        self.put(&place, &temporary)
    }

    fn finish_directory(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        if path.is_empty() {
            return metadata::apply(Subject::Path(self.root.as_fd()), metadata, &self.location);
        }
        self.finish(&self.place(path)?, metadata)
    }

    fn finish_existing(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        self.finish(&self.place(path)?, metadata)
    }

    fn names(&self, path: &[&[u8]]) -> Result<Names, TargetError> {
        let fd = self.directory(path, OFlag::O_RDONLY)?;
        let listed = Dir::from_fd(fd).and_then(|mut directory| listing::names(&mut directory));
        let listed = listed.and_then(|names| self.names.without_own(names));
        listed.map_err(|errno| target_error(self.text(path), errno))
    }

    fn remove(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        let place = self.place(path)?;
        remove::remove(place.parent.as_fd(), place.name).map_err(|errno| place.error(errno))
    }

    fn sync(&self) -> Result<(), TargetError> {
        if !self.durable {
            return Ok(());
        }
        let synced = self.root_for_reading().and_then(syncfs);
        synced.map_err(|errno| target_error(self.location.clone(), errno))
    }
}
