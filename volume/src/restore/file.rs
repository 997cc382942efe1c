//! One regular file that is being restored, under a temporary name or in place.
//!
//! In: verified bytes at offsets. Out: a file that appears under its name when it is complete. Never: grows past the size it was begun with.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, ftruncate, unlinkat};
use repository::target::{Metadata, TargetError, TargetFile};

use super::metadata::{self, Subject};
use super::temporary::TemporaryNames;
use super::{Place, allocation};
use crate::error::{errno_of, target_error};
use crate::read::read_full;
use crate::sys::cache;

/// New files up to this size get it at the end, where the last write did not.
const STRETCH_LATER_BYTES_MAX: u64 = 1 << 20;

/// After so many bytes the kernel is told to begin writing them to the disk: at the end of the restore there is less to wait for.
const WRITE_OUT_BYTES: u64 = 32 << 20;

/// An open file of a target.
#[derive(Debug)]
pub(super) struct RestoredFile {
    file: File,
    parent: OwnedFd,
    name: Vec<u8>,
    text: String,
    size: u64,
    /// How long the file is by now, as far as we made it. A new small file that is written whole need not be stretched first.
    length: AtomicU64,
    /// Bytes written so far.
    written: AtomicU64,
    /// False if nobody waits for the disk in the end.
    writes_out: bool,
    /// Until the file has its real name.
    temporary: Option<String>,
}

impl RestoredFile {
    /// Begins a file of zeros under a temporary name.
    pub(super) fn create(place: Place<'_>, names: &TemporaryNames, size: u64) -> Result<RestoredFile, TargetError> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        let opened = names.create(|name| openat(&place.parent, name, flags, mode));
        let (temporary, fd) = opened.map_err(|errno| place.error(errno))?;
        let file = RestoredFile::new(place, fd, size, 0, Some(temporary));
        if size > STRETCH_LATER_BYTES_MAX {
            file.stretch()?;
        }
        Ok(file)
    }

    /// Takes an existing regular file, opened for writing, and gives it its new size.
    pub(super) fn in_place(place: Place<'_>, fd: OwnedFd, now: u64, size: u64) -> Result<RestoredFile, TargetError> {
        let file = RestoredFile::new(place, fd, size, size, None);
        if now != size {
            file.resize(size)?;
        }
        Ok(file)
    }

    fn new(place: Place<'_>, fd: OwnedFd, size: u64, length: u64, temporary: Option<String>) -> RestoredFile {
        let Place { parent, name, text } = place;
        let (file, length) = (File::from(fd), AtomicU64::new(length));
        let (name, written, writes_out) = (name.to_vec(), AtomicU64::new(0), true);
        RestoredFile { file, parent, name, text, size, length, written, writes_out, temporary }
    }

    /// Whether the kernel is told to write it to the disk while it is still growing.
    pub(super) fn writing_out(mut self, writes_out: bool) -> RestoredFile {
        self.writes_out = writes_out;
        self
    }

    fn resize(&self, size: u64) -> Result<(), TargetError> {
        let length = i64::try_from(size).map_err(|_| self.error(Errno::EFBIG))?;
        ftruncate(&self.file, length).map_err(|errno| self.error(errno))
    }

    /// Gives a new file its full size, zeros behind what was written. Never shortens: nothing is written beyond the size.
    fn stretch(&self) -> Result<(), TargetError> {
        if self.length.load(Ordering::Acquire) < self.size {
            self.resize(self.size)?;
            self.length.store(self.size, Ordering::Release);
        }
        Ok(())
    }

    fn error(&self, errno: Errno) -> TargetError {
        target_error(self.text.clone(), errno)
    }

    /// Where a range ends, if it lies inside the file.
    fn end(&self, offset: u64, length: u64) -> Result<u64, TargetError> {
        offset.checked_add(length).filter(|end| *end <= self.size).ok_or_else(|| TargetError::Unwritable {
            what: self.text.clone(),
            why: format!("{length} bytes at {offset} reach beyond its size of {}", self.size),
        })
    }
}

impl TargetFile for RestoredFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError> {
        self.stretch()?;
        read_full(&self.file, offset, buffer).map_err(|errno| self.error(errno))
    }

    fn reserve(&self, offset: u64, length: u64) -> Result<(), TargetError> {
        self.end(offset, length)?;
        match allocation::reserve(&self.file, offset, length) {
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => Err(self.error(errno)),
            // Only a hint: it is written all the same.
            _ => Ok(()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let end = self.end(offset, bytes.len() as u64)?;
        self.file.write_all_at(bytes, offset).map_err(|error| self.error(errno_of(&error)))?;
        self.length.fetch_max(end, Ordering::AcqRel);
        let before = self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.writes_out && before / WRITE_OUT_BYTES != (before + bytes.len() as u64) / WRITE_OUT_BYTES {
            // Only a hint: the restore waits for the disk at its end whatever comes of it.
            let _ = cache::begin_write_out(&self.file);
        }
        Ok(())
    }

    fn zero(&self, offset: u64, length: u64) -> Result<(), TargetError> {
        self.end(offset, length)?;
        self.stretch()?;
        allocation::zero(&self.file, offset, length, false).map_err(|errno| self.error(errno))
    }

    fn commit(mut self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError> {
        self.stretch()?;
        let applied = metadata::apply(Subject::Open(self.file.as_fd()), metadata, &self.text);
        if let Some(temporary) = &self.temporary {
            let put = renameat(&self.parent, temporary.as_str(), &self.parent, self.name.as_slice());
            put.map_err(|errno| self.error(errno))?;
            self.temporary = None;
        }
        applied
    }
}

impl Drop for RestoredFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // If this fails the next restore sweeps it.
            let _ = unlinkat(&self.parent, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}
