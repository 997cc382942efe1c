//! Allocation: ranges of a file or device that are zeros and take no space, or are zeros and have their space already.
//!
//! In: an open file or device and a range inside it. Out: zeros there. Never: changes the size, or bytes outside the range.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::error::errno_of;

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// Filesystems and devices make holes of whole blocks; the edges of a range are written.
const ALIGNMENT: u64 = 4096;

/// Makes `length` bytes at `offset` zeros.
pub(super) fn zero(file: &File, offset: u64, length: u64, is_device: bool) -> Result<(), Errno> {
    let end = offset.checked_add(length).ok_or(Errno::EOVERFLOW)?;
    if !is_device {
        return match punch(file, offset, length) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => write_zeros(file, offset, end),
            result => result,
        };
    }
    let (first, last) = (offset.next_multiple_of(ALIGNMENT), end - end % ALIGNMENT);
    if first >= last {
        return write_zeros(file, offset, end);
    }
    write_zeros(file, offset, first)?;
    match punch(file, first, last - first).or_else(|_| zero_range(file, first, last - first)) {
        Ok(()) => {}
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => write_zeros(file, first, last)?,
        Err(errno) => return Err(errno),
    }
    write_zeros(file, last, end)
}

/// Allocates what is still a hole, where the filesystem can.
pub(super) fn reserve(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
    allocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, length)
}

fn punch(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
    allocate(file, FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, length)
}

fn zero_range(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
    allocate(file, FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, length)
}

fn allocate(file: &File, flags: FallocateFlags, offset: u64, length: u64) -> Result<(), Errno> {
    if length == 0 {
        return Ok(());
    }
    let offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    let length = i64::try_from(length).map_err(|_| Errno::EFBIG)?;
    loop {
        match fallocate(file, flags, offset, length) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn write_zeros(file: &File, from: u64, to: u64) -> Result<(), Errno> {
    let mut at = from;
    while at < to {
        let step = (to - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..step as usize], at).map_err(|error| errno_of(&error))?;
        at += step;
    }
    Ok(())
}
