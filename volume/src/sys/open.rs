//! The one safe way to open something below a directory: openat2(2) that follows no link, leaves no mount and never goes up.
//!
//! What a pod owns can be exchanged under us at any moment, so nothing is opened by a name that was checked before. A name is opened with
//! `O_PATH` (which touches nothing), looked at, and reopened through its own descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// Longest path handed to the kernel in one call, in bytes: PATH_MAX is 4096 with the NUL; one name of 255 more must still fit.
const STEP_BYTES_MAX: usize = 3800;

/// Opens one existing path as its operator wrote it (links are followed: it is not from the volume), touching nothing.
pub(crate) fn operator_path(path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    open(path, flags | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path`, relative names below `dir`, without following a link or crossing into another mount. Needs Linux 5.6.
pub(crate) fn beneath(dir: impl AsFd, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    loop {
        match openat2(dir.as_fd(), path, how) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Opens the directory under `names`, in as many steps as the length of the path needs. No names: another descriptor of `root`.
/// The caller has checked the names ([`valid_name`]).
pub(crate) fn directory(root: BorrowedFd<'_>, names: &[&[u8]], flags: OFlag) -> Result<OwnedFd, Errno> {
    let mut held: Option<OwnedFd> = None;
    let mut path = Vec::new();
    for name in names {
        if !path.is_empty() && path.len() + 1 + name.len() > STEP_BYTES_MAX {
            let from = held.as_ref().map_or(root, AsFd::as_fd);
            held = Some(beneath(from, &path, OFlag::O_PATH | OFlag::O_DIRECTORY)?);
            path.clear();
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'.');
    }
    beneath(held.as_ref().map_or(root, AsFd::as_fd), &path, flags | OFlag::O_DIRECTORY)
}

/// True for what can be one entry of a directory.
pub(crate) fn valid_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// `/proc/self/fd`, opened once: the way from an `O_PATH` descriptor to one that can read or write the same inode, whatever its name leads to by now.
#[derive(Debug)]
pub(crate) struct Descriptors(OwnedFd);

impl Descriptors {
    /// `ENOSYS` if `/proc` is not a proc filesystem.
    pub(crate) fn open() -> Result<Descriptors, Errno> {
        let fd = open("/proc/self/fd", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        if fstatfs(&fd)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Errno::ENOSYS);
        }
        Ok(Descriptors(fd))
    }

    /// Opens the inode of `fd` again. The caller has looked at its type.
    pub(crate) fn reopen(&self, fd: impl AsFd, flags: OFlag) -> Result<OwnedFd, Errno> {
        let name = fd.as_fd().as_raw_fd().to_string();
        loop {
            match openat(&self.0, name.as_str(), flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty()) {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }
}

/// The path that names the inode of a descriptor for calls that take only paths.
pub(crate) fn descriptor_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
