//! Reading the content of one regular file.
//!
//! In: an `O_PATH` descriptor that was looked at, and the stat S0 from before. Out: ranges that may hold data, bytes, and a verdict.
//! Never: changes the access time, waits on a lease for more than a second, or leaves pages in the cache that were not there.
//!
//! The order is the settle protocol (`docs/format.md` calls its outcome *settled*): S0 → open → write out what is dirty → read → compare with S0.

pub(crate) mod device;
mod footprint;
pub mod settle;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Whence, lseek64};
use repository::source::{Attributes, Content, ReadVerdict, SourceError, Stat, Time};

use crate::error::{OpenError, errno_of, source_error};
use crate::extended::extended;
use crate::sys::cache;
use crate::sys::open::Descriptors;
use crate::sys::stat::statx;
use crate::sys::xattr::Owner;
use crate::walk::SourceOptions;
use footprint::Footprint;
use settle::{Age, WriterProbe, Writers};

/// Waits for a lease that a pod holds on its own file: 20 + 40 + 80 + 160 + 320 ms.
const LEASE_WAITS: u32 = 5;
/// How many files of one source may make us wait; a pod with a lease on every file must not hold the backup for hours.
const LEASE_WAITING_FILES_MAX: u32 = 30;
/// Below this size a file without missing blocks is read whole, without asking for holes.
const DENSE_BYTES_MAX: u64 = 1 << 20;

/// What all reads of one source share.
#[derive(Debug)]
pub(crate) struct Reading {
    descriptors: Descriptors,
    started: Time,
    settles: bool,
    probe: WriterProbe,
    lease_waiting: AtomicU32,
    /// Stamps are judged as if the walk had started so many seconds earlier.
    settle_earlier_seconds: AtomicI64,
}

impl Reading {
    pub(crate) fn new(settles: bool, options: &SourceOptions) -> Result<Reading, OpenError> {
        let descriptors = Descriptors::open().map_err(|_| OpenError::Unsupported { what: "/proc" })?;
        Ok(Reading {
            descriptors,
            started: options.started,
            settles,
            probe: options.writer_probe,
            lease_waiting: AtomicU32::new(0),
            settle_earlier_seconds: AtomicI64::new(0),
        })
    }

    /// Stamps younger than so many seconds before the start of the walk may be older than they look: the clock was set.
    pub(crate) fn settle_earlier(&self, seconds: i64) {
        self.settle_earlier_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Opens a regular file without reading it.
    pub(crate) fn look(&self, fd: impl AsFd) -> Result<OwnedFd, Errno> {
        self.reopen(fd, OFlag::O_RDONLY)
    }

    fn age_of(&self, stat: &Stat) -> Age {
        let earlier = self.settle_earlier_seconds.load(Ordering::Relaxed);
        Age::of(stat.ctime, Time { seconds: self.started.seconds.saturating_sub(earlier), ..self.started })
    }

    /// Opens the inode of `fd` for reading. Somebody else's lease answers at once, because of `O_NONBLOCK`, and is asked again a few times.
    fn reopen(&self, fd: impl AsFd, flags: OFlag) -> Result<OwnedFd, Errno> {
        let mut tries = 0;
        loop {
            let opened = self.descriptors.reopen(&fd, flags | OFlag::O_NONBLOCK | OFlag::O_NOATIME);
            if !matches!(opened, Err(Errno::EWOULDBLOCK)) || tries == LEASE_WAITS {
                return opened;
            }
            if tries == 0 && self.lease_waiting.fetch_add(1, Ordering::Relaxed) >= LEASE_WAITING_FILES_MAX {
                return opened;
            }
            std::thread::sleep(Duration::from_millis(20 << tries));
            tries += 1;
        }
    }
}

/// Opens a regular file for reading. `fd` is an `O_PATH` descriptor of the inode that `stat` describes.
pub(crate) fn open_file(
    fd: impl AsFd,
    stat: &Stat,
    text: String,
    reading: &Reading,
) -> Result<FileContent, SourceError> {
    let opened = reading.reopen(fd, OFlag::O_RDONLY).map_err(|errno| match errno {
        Errno::EWOULDBLOCK => {
            SourceError::Unreadable { what: text.clone(), why: "another process holds a lease on it".into() }
        }
        errno => source_error(text.clone(), errno),
    })?;
    let in_cache = cache::cachestat(&opened, 0, 0).ok();
    let dirty = in_cache.is_none_or(|pages| pages.dirty + pages.writeback > 0);
    let settled = flush(&opened, stat, dirty, reading);
    let footprint = Footprint::new(&opened, stat.size, in_cache);
    Ok(FileContent { file: File::from(opened), before: stat.clone(), text, settled, footprint })
}

/// Makes what was written before visible to the stamp, as far as it may not be. Returns whether an unchanged stamp may be relied on next time.
fn flush(fd: &OwnedFd, stat: &Stat, dirty: bool, reading: &Reading) -> bool {
    let age = reading.age_of(stat);
    let writers = match settle::must_probe(age, dirty) {
        true => reading.probe.ask(fd),
        false => Writers::Unknown,
    };
    // Without a writer there is no mapping through which a store could go unseen: later ones must open the file, and then fault.
    let flushed = !dirty || writers == Writers::None || cache::write_out(fd).is_ok();
    reading.settles && flushed && settle::settled(age, writers)
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct FileContent {
    file: File,
    before: Stat,
    text: String,
    settled: bool,
    footprint: Footprint,
}

impl FileContent {
    fn seek(&self, offset: u64, whence: Whence) -> Result<Option<u64>, Errno> {
        let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        match lseek64(&self.file, offset, whence) {
            Ok(at) => Ok(u64::try_from(at).ok()),
            Err(Errno::ENXIO) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The whole rest, where the filesystem does not know its holes.
    fn rest(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.before.size).then_some(offset..self.before.size)
    }

    fn error(&self, errno: Errno) -> SourceError {
        source_error(self.text.clone(), errno)
    }
}

impl Content for FileContent {
    fn attributes(&mut self) -> Result<Attributes, SourceError> {
        Ok(Attributes { link_target: None, extended: extended(Owner::Open(self.file.as_fd()), &self.text)? })
    }

    fn next_data(&mut self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        let size = self.before.size;
        let dense = size <= DENSE_BYTES_MAX && self.before.blocks.saturating_mul(512) >= size;
        if offset >= size || dense {
            return Ok(self.rest(offset));
        }
        let start = match self.seek(offset, Whence::SeekData) {
            Ok(Some(start)) if start < size => start,
            Ok(_) => return Ok(None),
            Err(Errno::EINVAL | Errno::ESPIPE | Errno::EOPNOTSUPP) => return Ok(self.rest(offset)),
            Err(errno) => return Err(self.error(errno)),
        };
        let end = match self.seek(start, Whence::SeekHole) {
            Ok(end) => end.unwrap_or(size).min(size),
            Err(errno) => return Err(self.error(errno)),
        };
        // A file that shrinks meanwhile could answer with nothing; that must not become an endless loop in the caller.
        Ok(Some(start..end.max(start + 1)))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let before = self.footprint.before_read(&self.file, offset, buffer.len());
        let got = read_full(&self.file, offset, buffer).map_err(|errno| self.error(errno))?;
        self.footprint.after_read(&self.file, offset, got, before);
        Ok(got)
    }

    fn finish(&mut self) -> Result<ReadVerdict, SourceError> {
        let now = statx(&self.file, b"").map_err(|errno| self.error(errno))?;
        let before = &self.before;
        let same = (now.size, now.mtime, now.ctime) == (before.size, before.mtime, before.ctime);
        Ok(match (same, self.settled) {
            (false, _) => ReadVerdict::Torn,
            (true, true) => ReadVerdict::Settled,
            (true, false) => ReadVerdict::Unsettled,
        })
    }
}

impl Drop for FileContent {
    fn drop(&mut self) {
        self.footprint.end(&self.file);
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno_of(&error)),
        }
    }
    Ok(filled)
}
