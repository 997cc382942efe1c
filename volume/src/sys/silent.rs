//! Tests only: writes of which no event tells, because they need unsafe code - stores through a mapping, and `io_submit` (libaio).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::checked;

/// One page of a file, mapped shared and writable.
pub(crate) struct Mapping(*mut u8);

impl Mapping {
    pub(crate) fn of(file: &File) -> Mapping {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: maps one page of a file that is at least that long, at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Mapping(at.cast())
    }

    pub(crate) fn store(&self, byte: u8) {
        // SAFETY: the page is mapped and writable until the drop.
        unsafe { self.0.write_volatile(byte) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `of` mapped.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// `struct iocb` of linux/aio_abi.h; the two words that change places on big-endian machines are both 0.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key_and_flags: u64,
    operation: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    result_fd: u32,
}

/// `struct io_event` of linux/aio_abi.h.
#[repr(C)]
#[derive(Default)]
struct Completion {
    data: u64,
    request: u64,
    result: i64,
    result2: i64,
}

/// `IOCB_CMD_PWRITE`.
const WRITE: u16 = 1;

/// Writes as databases with native AIO do: `io_submit`, then `io_getevents`.
pub(crate) fn aio_write(fd: impl AsFd, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
    let mut context: libc::c_ulong = 0;
    // SAFETY: the kernel writes one word, the context.
    checked(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })?;
    let request = Request {
        operation: WRITE,
        fd: fd.as_fd().as_raw_fd().cast_unsigned(),
        buffer: bytes.as_ptr() as u64,
        bytes: bytes.len() as u64,
        offset,
        ..Request::default()
    };
    let requests = [&raw const request];
    let mut done = Completion::default();
    let no_deadline = std::ptr::null::<libc::timespec>();
    // SAFETY: one request, which lives with its bytes until `io_getevents` has returned it, below.
    let submitted = checked(unsafe { libc::syscall(libc::SYS_io_submit, context, 1, requests.as_ptr()) });
    let result = submitted.and_then(|_| {
        // SAFETY: the kernel writes at most one completion.
        checked(unsafe { libc::syscall(libc::SYS_io_getevents, context, 1, 1, &raw mut done, no_deadline) })
    });
    // SAFETY: takes a number; waits for what is in flight.
    unsafe { libc::syscall(libc::SYS_io_destroy, context) };
    result?;
    usize::try_from(done.result).map_err(|_| Errno::from_raw(-done.result as i32))
}
