//! A block device that is being restored.
//!
//! In: verified bytes at offsets. Out: the device holds them, and zeros wherever nothing was written (unless it is changed in place).
//! Never: leaves old content between what was written, or writes beyond the restored size.
//!
//! A fresh file is zeros by itself, a device is not. To clear it first would write everything twice, so pieces of 1 MiB are remembered that nothing has touched:
//! one bit each, 128 KiB of memory per TiB. A piece is cleared when a write covers it only in part, and the untouched rest at the end.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::fsync;
use repository::target::{Metadata, TargetError, TargetFile};

use super::allocation::zero;
use crate::error::{errno_of, target_error};
use crate::read::read_full;

const PIECE_BYTES: u64 = 1 << 20;

/// An open device.
#[derive(Debug)]
pub(super) struct RestoredDevice {
    file: File,
    size: u64,
    text: String,
    untouched: Mutex<Pieces>,
}

/// One bit per piece: nothing has been written there yet.
#[derive(Debug)]
struct Pieces {
    words: Vec<u64>,
}

impl Pieces {
    fn new(count: u64, untouched: bool) -> Pieces {
        let words = if untouched { count.div_ceil(64) as usize } else { 0 };
        Pieces { words: vec![u64::MAX; words] }
    }

    /// Whether the piece was untouched; from now on it is not.
    fn touch(&mut self, piece: u64) -> bool {
        let bit = 1 << (piece % 64);
        self.words.get_mut((piece / 64) as usize).is_some_and(|word| {
            let was = *word & bit != 0;
            *word &= !bit;
            was
        })
    }
}

impl RestoredDevice {
    /// `keep`: what stands there is compared and changed in place.
    pub(super) fn new(opened: OwnedFd, size: u64, keep: bool, text: String) -> RestoredDevice {
        let untouched = Mutex::new(Pieces::new(size.div_ceil(PIECE_BYTES), !keep));
        RestoredDevice { file: File::from(opened), size, text, untouched }
    }

    fn error(&self, errno: Errno) -> TargetError {
        target_error(self.text.clone(), errno)
    }

    fn end(&self, offset: u64, length: u64) -> Result<u64, TargetError> {
        offset.checked_add(length).filter(|end| *end <= self.size).ok_or_else(|| TargetError::Unwritable {
            what: self.text.clone(),
            why: format!("{length} bytes at {offset} reach beyond the size of {}", self.size),
        })
    }

    /// Clears the pieces that a write of this range does not cover, and takes note of all it touches.
    fn prepare(&self, offset: u64, end: u64) -> Result<(), TargetError> {
        let mut pieces = self.untouched.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in offset / PIECE_BYTES..end.div_ceil(PIECE_BYTES) {
            let (first, last) = self.piece(piece);
            if pieces.touch(piece) && (offset > first || end < last) {
                zero(&self.file, first, last - first, true).map_err(|errno| self.error(errno))?;
            }
        }
        Ok(())
    }

    fn piece(&self, piece: u64) -> (u64, u64) {
        (piece * PIECE_BYTES, ((piece + 1) * PIECE_BYTES).min(self.size))
    }

    /// Clears everything that nothing was written to, in runs as long as possible.
    fn clear_rest(&self) -> Result<(), TargetError> {
        let mut pieces = self.untouched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut run: Option<(u64, u64)> = None;
        for piece in 0..self.size.div_ceil(PIECE_BYTES) {
            if pieces.touch(piece) {
                let (first, last) = self.piece(piece);
                run = Some((run.map_or(first, |(start, _)| start), last));
            } else if let Some((first, last)) = run.take() {
                zero(&self.file, first, last - first, true).map_err(|errno| self.error(errno))?;
            }
        }
        match run {
            Some((first, last)) => zero(&self.file, first, last - first, true).map_err(|errno| self.error(errno)),
            None => Ok(()),
        }
    }
}

impl TargetFile for RestoredDevice {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        read_full(&self.file, offset, &mut buffer[..wanted]).map_err(|errno| self.error(errno))
    }

    fn reserve(&self, _: u64, _: u64) -> Result<(), TargetError> {
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let end = self.end(offset, bytes.len() as u64)?;
        self.prepare(offset, end)?;
        self.file.write_all_at(bytes, offset).map_err(|error| self.error(errno_of(&error)))
    }

    fn zero(&self, offset: u64, length: u64) -> Result<(), TargetError> {
        let end = self.end(offset, length)?;
        self.prepare(offset, end)?;
        zero(&self.file, offset, length, true).map_err(|errno| self.error(errno))
    }

    fn commit(self: Box<Self>, _metadata: &Metadata) -> Result<(), TargetError> {
        self.clear_rest()?;
        fsync(&self.file).map_err(|errno| self.error(errno))?;
        // Only advice: the cache is left as it was.
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        Ok(())
    }
}
