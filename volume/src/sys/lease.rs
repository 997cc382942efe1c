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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use repository::source::{Source, SourceError};

    use super::F_SETSIG;
    use crate::testing::{instant, scratch, source};

    /// A pod can hold a lease on its own file: a plain open would wait 45 seconds for it.
    #[test]
    fn a_file_under_somebody_elses_lease_is_given_up_within_two_seconds() {
        let scratch = scratch();
        let path = scratch.path().join("file");
        std::fs::write(&path, b"content").unwrap();
        let source = source(scratch.path());
        let directory = source.directory(&[]).unwrap();
        let stat = directory.stat(b"file").unwrap().unwrap();
        let holder = File::open(&path).unwrap();
        // SAFETY: these calls take numbers only.
        unsafe {
            assert_eq!(libc::fcntl(holder.as_raw_fd(), F_SETSIG, libc::SIGURG), 0);
            assert_eq!(libc::fcntl(holder.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK), 0);
        }
        let start = instant();
        let Err(SourceError::Unreadable { why, .. }) = directory.open(b"file", &stat) else {
            panic!("it could be opened")
        };
        assert!(why.contains("lease"), "{why}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        drop(holder);
        assert!(directory.open(b"file", &stat).is_ok());
    }
}
