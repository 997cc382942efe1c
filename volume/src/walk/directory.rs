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
use crate::extended::extended;
use crate::listing;
use crate::read;
use crate::sys::open;
use crate::sys::stat::statx;
use crate::sys::xattr::Owner;

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
