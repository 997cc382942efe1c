//! Extended attributes of a descriptor, real or `O_PATH`.
//!
//! Calls on an `O_PATH` descriptor go through its path in `/proc/self/fd`; that path ends at the inode itself, so a symbolic link's own attributes are meant.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::NixPath;
use nix::errno::Errno;

use super::checked;
use super::open::descriptor_path;

/// The kernel's own limit for the list of names and for one value, in bytes.
pub(crate) const XATTR_BYTES_MAX: usize = 65536;

/// Whose attributes are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    /// A descriptor that was opened for reading or writing.
    Open(BorrowedFd<'a>),
    /// A descriptor that was opened with `O_PATH`.
    Path(BorrowedFd<'a>),
}

impl Owner<'_> {
    fn path(fd: BorrowedFd<'_>) -> Result<CString, Errno> {
        CString::new(descriptor_path(fd)).map_err(|_| Errno::EINVAL)
    }

    /// All names, each ended by NUL, into `buffer`; how many bytes. `buffer` has [`XATTR_BYTES_MAX`] bytes: if that is too small, `E2BIG`.
    pub(crate) fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (at, size) = (buffer.as_mut_ptr().cast(), buffer.len());
        let got = match self {
            // SAFETY: the kernel writes at most `size` bytes at `at`, which is a buffer of that length.
            Owner::Open(fd) => unsafe { libc::flistxattr(fd.as_raw_fd(), at, size) },
            Owner::Path(fd) => {
                let path = Self::path(fd)?;
                // SAFETY: as above, and `path` ends in NUL and lives through the call.
                unsafe { libc::listxattr(path.as_ptr(), at, size) }
            }
        };
        checked(got as libc::c_long)
    }

    /// The value of one attribute into `buffer`; how many bytes.
    pub(crate) fn get(self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        let (at, size) = (buffer.as_mut_ptr().cast(), buffer.len());
        name.with_nix_path(|name| {
            let got = match self {
                // SAFETY: `name` ends in NUL; the kernel writes at most `size` bytes at `at`, which is a buffer of that length.
                Owner::Open(fd) => unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), at, size) },
                Owner::Path(fd) => {
                    let path = Self::path(fd)?;
                    // SAFETY: as above, and `path` ends in NUL and lives through the call.
                    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), at, size) }
                }
            };
            checked(got as libc::c_long)
        })?
    }

    /// Sets one attribute.
    pub(crate) fn set(self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let (at, size) = (value.as_ptr().cast(), value.len());
        name.with_nix_path(|name| {
            let result = match self {
                // SAFETY: `name` ends in NUL; the kernel reads `size` bytes at `at`, which is a slice of that length.
                Owner::Open(fd) => unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), at, size, 0) },
                Owner::Path(fd) => {
                    let path = Self::path(fd)?;
                    // SAFETY: as above, and `path` ends in NUL and lives through the call.
                    unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), at, size, 0) }
                }
            };
            Errno::result(result).map(drop)
        })?
    }

    /// Removes one attribute.
    pub(crate) fn remove(self, name: &[u8]) -> Result<(), Errno> {
        name.with_nix_path(|name| {
            let result = match self {
                // SAFETY: `name` ends in NUL and lives through the call.
                Owner::Open(fd) => unsafe { libc::fremovexattr(fd.as_raw_fd(), name.as_ptr()) },
                Owner::Path(fd) => {
                    let path = Self::path(fd)?;
                    // SAFETY: both strings end in NUL and live through the call.
                    unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }
                }
            };
            Errno::result(result).map(drop)
        })?
    }
}
