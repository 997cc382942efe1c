//! The page cache is left as it was found.
//!
//! In: what was resident before reading. Out: advice to the kernel to drop what the reading brought in. Never: advice on pages that were there before.
//!
//! Small files cost one question and at most one advice. A file of which nothing was resident is dropped behind the reader. One of which a part was resident is
//! asked about piece by piece just before each read, with read-ahead off so that the answer is not about our own pages.

use std::fs::File;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::sys::cache::{CacheStat, cachestat, resident_at};

/// Dropped behind the reader in steps of this.
const DROP_BYTES: u64 = 8 << 20;
/// What is asked about at once where a part was resident.
const PIECE_BYTES: u64 = 64 << 10;
/// Files above this get the hint that they are read in order.
const SEQUENTIAL_BYTES_MIN: u64 = 256 << 10;
const PAGE_BYTES: u64 = 4096;

/// How a file is resident, and how far it was dropped again.
#[derive(Debug)]
pub(crate) enum Footprint {
    /// Nothing was: everything is dropped.
    Cold { dropped: u64 },
    /// Everything was, or it is not known: nothing is dropped.
    Warm,
    /// A part was.
    Mixed,
}

impl Footprint {
    pub(crate) fn new(file: impl std::os::fd::AsFd, size: u64, known: Option<CacheStat>) -> Footprint {
        let footprint = match known {
            _ if size == 0 => Footprint::Warm,
            Some(pages) if pages.cached == 0 => Footprint::Cold { dropped: 0 },
            Some(pages) if pages.cached >= size.div_ceil(PAGE_BYTES) => Footprint::Warm,
            Some(_) => Footprint::Mixed,
            // Without cachestat: if none of three samples is resident, nothing is.
            None => match [0, size / 2, size - 1].iter().all(|at| resident_at(&file, *at) == Ok(false)) {
                true => Footprint::Cold { dropped: 0 },
                false => Footprint::Warm,
            },
        };
        if size >= SEQUENTIAL_BYTES_MIN {
            // Only advice: that it fails changes nothing.
            let _ = match footprint {
                Footprint::Mixed => posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM),
                _ => posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL),
            };
        }
        footprint
    }

    /// The pieces of the range about to be read of which nothing is resident.
    pub(crate) fn before_read(&self, file: &File, offset: u64, length: usize) -> Vec<(u64, u64)> {
        let mut cold: Vec<(u64, u64)> = Vec::new();
        if !matches!(self, Footprint::Mixed) {
            return cold;
        }
        let end = offset.saturating_add(length as u64);
        let mut at = offset - offset % PAGE_BYTES;
        while at < end {
            let piece = PIECE_BYTES.min(end - at);
            if cachestat(file, at, piece).is_ok_and(|pages| pages.cached == 0) {
                match cold.last_mut() {
                    Some((start, length)) if *start + *length == at => *length += piece,
                    _ => cold.push((at, piece)),
                }
            }
            at += piece;
        }
        cold
    }

    /// Drops what the read brought in.
    pub(crate) fn after_read(&mut self, file: &File, offset: u64, got: usize, cold: Vec<(u64, u64)>) {
        for (start, length) in cold {
            // The kernel drops whole pages only; the last one may be cut by the end of the range.
            drop_pages(file, start, length.next_multiple_of(PAGE_BYTES));
        }
        if let Footprint::Cold { dropped } = self {
            let end = offset.saturating_add(got as u64);
            if end >= *dropped + DROP_BYTES {
                drop_pages(file, *dropped, end - *dropped);
                *dropped = end - end % PAGE_BYTES;
            }
        }
    }

    /// Drops the rest, read-ahead included.
    pub(crate) fn end(&self, file: &File) {
        if let Footprint::Cold { dropped } = self {
            drop_pages(file, *dropped, 0);
        }
    }
}

fn drop_pages(file: &File, offset: u64, length: u64) {
    if let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) {
        // Only advice: that it fails changes nothing.
        let _ = posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}
