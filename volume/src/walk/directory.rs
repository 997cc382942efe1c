//! One open directory of a source.
//!
//! In: names from its listing. Out: stats, attributes, open files. Never: opens an entry that it has not looked at through an `O_PATH` descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use repository::source::{Attributes, Content, Directory, FileType, Names, SourceError, Stat};

use super::DirectorySource;
use crate::error::{errno_of, push_name, source_error};
use crate::listing;
use crate::read;
use crate::sys::open;
use crate::sys::stat::statx;
use crate::sys::xattr::{Owner, XATTR_BYTES_MAX};

/// Names and values of one entry's extended attributes together; 64 KiB of names times 64 KiB of value would be a way to fill our memory.
const EXTENDED_BYTES_MAX: usize = 1 << 20;

/// An open directory.
pub(crate) struct OpenDirectory<'a> {
    source: &'a DirectorySource,
    fd: OwnedFd,
    path: String,
}

/// What must not differ between the stat that the engine has and the inode that is opened.
#[derive(Clone, PartialEq, Eq)]
struct Identity {
    file_type: FileType,
    inode: u64,
    handle: Vec<u8>,
}

impl Identity {
    fn of(stat: &Stat) -> Identity {
        Identity { file_type: stat.file_type, inode: stat.inode, handle: stat.handle.clone() }
    }
}

impl<'a> OpenDirectory<'a> {
    pub(crate) fn new(source: &'a DirectorySource, fd: OwnedFd, path: String) -> OpenDirectory<'a> {
        OpenDirectory { source, fd, path }
    }

    fn text(&self, name: &[u8]) -> String {
        let mut text = self.path.clone();
        push_name(&mut text, name);
        text
    }

    /// An `O_PATH` descriptor of the entry that `stat` describes; `Gone` if another stands there.
    fn look(&self, name: &[u8], stat: &Stat) -> Result<OwnedFd, SourceError> {
        let failed = |errno| source_error(self.text(name), errno);
        if !open::valid_name(name) {
            return Err(failed(Errno::EINVAL));
        }
        let fd = open::beneath(&self.fd, name, OFlag::O_PATH).map_err(failed)?;
        let raw = statx(&fd, b"").map_err(failed)?;
        let now = self.source.filesystem.stat(&raw).map_err(failed)?;
        if Identity::of(&now) != Identity::of(stat) {
            return Err(SourceError::Gone { what: self.text(name) });
        }
        Ok(fd)
    }
}

impl Directory for OpenDirectory<'_> {
    fn names(&self) -> Result<Names, SourceError> {
        let listed = self.fd.try_clone().map_err(|error| errno_of(&error)).and_then(Dir::from_fd);
        let names = listed.and_then(|mut directory| listing::names(&mut directory));
        names.map_err(|errno| source_error(self.path.clone(), errno))
    }

    fn stat(&self, name: &[u8]) -> Result<Option<Stat>, SourceError> {
        if !open::valid_name(name) {
            return Err(source_error(self.text(name), Errno::EINVAL));
        }
        match statx(&self.fd, name).and_then(|raw| self.source.filesystem.stat(&raw)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ESTALE) => Ok(None),
            Err(errno) => Err(source_error(self.text(name), errno)),
        }
    }

    fn attributes(&self, name: &[u8], stat: &Stat) -> Result<Attributes, SourceError> {
        let (fd, text) = (self.look(name, stat)?, self.text(name));
        let link_target = match stat.file_type {
            FileType::Symlink => {
                Some(readlinkat(&fd, "").map_err(|errno| source_error(text.clone(), errno))?.into_vec())
            }
            _ => None,
        };
        Ok(Attributes { link_target, extended: extended(Owner::Path(fd.as_fd()), &text)? })
    }

    fn open(&self, name: &[u8], stat: &Stat) -> Result<Box<dyn Content>, SourceError> {
        let text = self.text(name);
        if stat.file_type != FileType::Regular {
            return Err(SourceError::Unreadable { what: text, why: "it is not a regular file".into() });
        }
        let fd = self.look(name, stat)?;
        Ok(Box::new(read::open_file(fd, stat, text, &self.source.reading)?))
    }
}

/// Extended attributes: names and values.
pub(crate) type Extended = Vec<(Vec<u8>, Vec<u8>)>;

/// All extended attributes of a descriptor, sorted by name.
pub(crate) fn extended(owner: Owner<'_>, text: &str) -> Result<Extended, SourceError> {
    let unreadable = |why: &str| SourceError::Unreadable { what: text.to_owned(), why: why.to_owned() };
    // Most entries have none: the first question must not cost 64 KiB of zeroed memory.
    let mut few = [0_u8; 256];
    let mut buffer = Vec::new();
    let listed = match owner.list(&mut few) {
        Err(Errno::ERANGE) => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            owner.list(&mut buffer)
        }
        Ok(length) if length > 0 => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            buffer[..length].copy_from_slice(&few[..length]);
            Ok(length)
        }
        other => other,
    };
    let length = match listed {
        Ok(0) | Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        Ok(length) => length,
        Err(Errno::E2BIG | Errno::ERANGE) => {
            return Err(unreadable("it has more extended attributes than the kernel lists"));
        }
        Err(errno) => return Err(source_error(text.to_owned(), errno)),
    };
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    let mut out = Vec::with_capacity(names.len());
    let mut total = 0;
    for name in names {
        match owner.get(&name, &mut buffer) {
            Ok(size) => {
                total += name.len() + size;
                out.push((name, buffer[..size].to_vec()));
            }
            // Removed since it was listed.
            Err(Errno::ENODATA) => {}
            Err(errno) => {
                return Err(unreadable(&format!("extended attribute {}: {}", name.escape_ascii(), errno.desc())));
            }
        }
        if total > EXTENDED_BYTES_MAX {
            return Err(unreadable("its extended attributes exceed 1 MiB"));
        }
    }
    out.sort();
    Ok(out)
}
