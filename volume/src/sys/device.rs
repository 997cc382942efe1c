//! Block devices: their size.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

mod request {
    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
}

/// Size of an open block device in bytes.
pub(crate) fn size(fd: impl AsFd) -> Result<u64, Errno> {
    let mut bytes = 0_u64;
    // SAFETY: BLKGETSIZE64 writes one u64 (its number is declared with the size of a size_t, which the kernel keeps for compatibility).
    unsafe { request::blkgetsize64(fd.as_fd().as_raw_fd(), (&raw mut bytes).cast()) }?;
    Ok(bytes)
}
