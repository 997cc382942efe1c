//! The page cache of one file: what is resident and dirty, writing it out, and letting go of it.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::checked;

/// The same number on every architecture but alpha; `libc` does not name it everywhere (linux/arch/*/syscall.tbl).
const SYS_CACHESTAT: libc::c_long = 451;

/// What cachestat(2) tells, in pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheStat {
    pub(crate) cached: u64,
    pub(crate) dirty: u64,
    pub(crate) writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// struct cachestat_range of linux/mman.h.
#[repr(C)]
struct CacheRange {
    offset: u64,
    length: u64,
}

/// How many pages of a range are in memory (`length` 0: to the end). Linux 6.5; needs to own the file or be able to write it.
pub(crate) fn cachestat(fd: impl AsFd, offset: u64, length: u64) -> Result<CacheStat, Errno> {
    let range = CacheRange { offset, length };
    let mut out = CacheStat::default();
    // SAFETY: both structs have the layout that the kernel documents and live through the call.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd.as_fd().as_raw_fd(), &raw const range, &raw mut out, 0) };
    checked(result)?;
    Ok(out)
}

/// True if the byte at `offset` is in memory; reads it without waiting. For kernels without cachestat.
pub(crate) fn resident_at(fd: impl AsFd, offset: u64) -> Result<bool, Errno> {
    let mut byte = 0_u8;
    let vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the vector names one byte that lives through the call.
    let got = unsafe { libc::preadv2(fd.as_fd().as_raw_fd(), &raw const vector, 1, offset, libc::RWF_NOWAIT) };
    match checked(got as libc::c_long) {
        Ok(count) => Ok(count == 1),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Writes dirty pages of the whole file to the disk and waits. No journal commit; works on a descriptor for reading on a read-only mount.
/// Afterwards every store through a mapping faults again and moves the file's ctime.
pub(crate) fn write_out(fd: impl AsFd) -> Result<(), Errno> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::sync_file_range(fd.as_fd().as_raw_fd(), 0, 0, flags) }).map(drop)
}
