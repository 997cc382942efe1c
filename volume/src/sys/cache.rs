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

/// Lets the kernel begin to write dirty pages of the whole file to the disk, without waiting for it.
pub(crate) fn begin_write_out(fd: impl AsFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::sync_file_range(fd.as_fd().as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use repository::source::{Content, ReadVerdict, Source, Stat};

    use crate::sys::silent::Mapping;
    use crate::testing::{after, now, options, scratch};
    use crate::{DirectorySource, SourceOptions};

    fn stat(source: &DirectorySource) -> Stat {
        source.directory(&[]).unwrap().stat(b"file").unwrap().unwrap()
    }

    fn open(source: &DirectorySource, stat: &Stat) -> Box<dyn Content> {
        source.directory(&[]).unwrap().open(b"file", stat).unwrap()
    }

    /// The heart of the settle protocol: a store through a mapping that was dirty before never goes unseen.
    #[test]
    fn every_store_through_a_mapping_after_the_opening_moves_the_stamp() {
        let scratch = scratch();
        let path = scratch.path().join("file");
        std::fs::write(&path, vec![0; 4096]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mapping = Mapping::of(&file);
        drop(file);
        for round in 1..=20 {
            // Dirties the page: until it is written out, further stores fault no more and leave no trace.
            mapping.store(round);
            let before = stat(&DirectorySource::open(scratch.path(), &options()).unwrap());
            let options = SourceOptions { started: after(now(), 3), ..options() };
            let source = DirectorySource::open(scratch.path(), &options).unwrap();
            let mut content = open(&source, &before);
            let mut byte = [0];
            content.read_at(0, &mut byte).unwrap();
            assert_eq!(byte, [round]);
            mapping.store(round + 100);
            assert_ne!(stat(&source).ctime, before.ctime, "round {round}: the store left no trace");
            assert_eq!(content.finish().unwrap(), ReadVerdict::Torn);
        }
    }

    #[test]
    fn a_mapping_counts_as_a_writer_until_it_is_gone() {
        let scratch = scratch();
        let path = scratch.path().join("file");
        std::fs::write(&path, vec![0; 4096]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mapping = Mapping::of(&file);
        drop(file);
        let reader = File::open(&path).unwrap();
        assert_eq!(crate::sys::lease::no_writer(&reader), Ok(false));
        drop(mapping);
        assert_eq!(crate::sys::lease::no_writer(&reader), Ok(true));
    }
}
