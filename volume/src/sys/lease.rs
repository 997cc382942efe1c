//! Who else has a file open: asked with a read lease that is given back at once.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// asm-generic/fcntl.h; `libc` does not name it for glibc.
const F_SETSIG: libc::c_int = 10;

/// True if nobody has the file open for writing or mapped shared and writable at this moment (a read lease could be had).
/// `fd` is open for reading only. A writer that opens the file in between waits for microseconds.
pub(crate) fn no_writer(fd: impl AsFd) -> Result<bool, Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // The kernel tells the holder of a lease that somebody wants it by SIGIO, which would end the process; SIGURG is ignored by default.
    // SAFETY: these calls take numbers only.
    Errno::result(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) })?;
    // SAFETY: as above.
    match Errno::result(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) }) {
        Ok(_) => {
            // SAFETY: as above.
            Errno::result(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) })?;
            Ok(true)
        }
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}
