//! File: one regular file on its way into the target.
//!
//! In: verified pieces of its content, in any order, from several threads. Out: the file under its name when all of them are there and match its signature or sum.
//! Never: a file under its name that does not.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::Error;
use crate::hash::{HashingKey, PAGE_BYTES, PageSum, is_zero, signature_of};
use crate::read::packs::OpenBlob;
use crate::read::path::PathBytes;
use crate::target::{Metadata, Target, TargetError, TargetFile};
use crate::tree::Sum;

use super::batch::Piece;
use super::lost::LostRanges;

/// Where the content comes from.
enum Content {
    /// Small: collected in memory, checked, written at once.
    Inline { signature: u64, buffer: Mutex<Vec<u8>> },
    /// Large: written page by page, checked by its sum.
    Blocks {
        handle: RwLock<Option<Box<dyn TargetFile>>>,
        sum: Mutex<PageSum>,
        /// `None` until the planner has seen all rows, or if it found none.
        expected: Mutex<Option<Sum>>,
        /// It was changing while it was read, so that its size does not describe its rows and no sum can.
        mixed: bool,
        in_place: bool,
        /// Held by who writes: an inode takes one writer at a time, and the kernel lets the others spin.
        writing: Mutex<()>,
    },
}

/// A file that is being restored.
pub(super) struct FileJob {
    pub(super) path: PathBytes,
    /// Its node, if it may have other names.
    pub(super) shared: Option<u64>,
    metadata: Metadata,
    content: Content,
    /// Pieces that are still to come, and one for the planner while it has not seen all rows.
    remaining: AtomicU32,
    /// What could not be read and was left as zeros.
    lost: Mutex<LostRanges>,
    failed: AtomicBool,
}

/// Why a piece or a file could not be finished.
pub(super) enum FileError {
    /// The target did not take it.
    Target(TargetError),
    /// The restore point is not what it should be.
    Damaged(String),
}

impl From<TargetError> for FileError {
    fn from(error: TargetError) -> FileError {
        FileError::Target(error)
    }
}

impl FileJob {
    /// A small file with so many pieces.
    pub(super) fn inline(path: PathBytes, metadata: Metadata, signature: u64) -> FileJob {
        FileJob::new(path, metadata, Content::Inline { signature, buffer: Mutex::default() })
    }

    /// A large file: a new one, or one that is changed in place. `mixed`: it was changing while it was read.
    pub(super) fn blocks(
        path: PathBytes,
        metadata: Metadata,
        existing: Option<Box<dyn TargetFile>>,
        mixed: bool,
    ) -> FileJob {
        let content = Content::Blocks {
            in_place: existing.is_some(),
            handle: RwLock::new(existing),
            sum: Mutex::default(),
            expected: Mutex::default(),
            mixed,
            writing: Mutex::default(),
        };
        FileJob::new(path, metadata, content)
    }

    fn new(path: PathBytes, metadata: Metadata, content: Content) -> FileJob {
        FileJob {
            path,
            shared: None,
            metadata,
            content,
            remaining: AtomicU32::new(1),
            lost: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// The same, of a node that may have other names.
    pub(super) fn of_shared(self, node: Option<u64>) -> FileJob {
        FileJob { shared: node, ..self }
    }

    /// True if nobody sees any of it before a sum or signature has proven all of it.
    pub(super) fn appears_proven(&self) -> bool {
        match &self.content {
            Content::Inline { .. } => true,
            Content::Blocks { in_place, mixed, .. } => !in_place && !mixed,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.metadata.size
    }

    /// One more piece is to come.
    pub(super) fn expect_piece(&self) {
        self.remaining.fetch_add(1, Ordering::Relaxed);
    }

    /// A piece has come, or the planner has seen all rows; true: it was the last, and the file can be finished.
    pub(super) fn piece_done(&self) -> bool {
        self.remaining.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// All rows were seen, and what the sum must be.
    pub(super) fn expect_sum(&self, what: Option<Sum>) {
        if let Content::Blocks { expected, .. } = &self.content {
            *expected.lock().unwrap_or_else(PoisonError::into_inner) = what;
        }
    }

    /// Counts pages in that the target has already.
    pub(super) fn add_sum(&self, pages: PageSum) {
        if let Content::Blocks { sum, .. } = &self.content {
            sum.lock().unwrap_or_else(PoisonError::into_inner).merge(pages);
        }
    }

    /// The file will not be finished: true for whoever says so first.
    pub(super) fn fail(&self) -> bool {
        let first = !self.failed.swap(true, Ordering::AcqRel);
        if let Content::Blocks { handle, .. } = &self.content {
            // A temporary file goes away with its handle.
            *handle.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        first
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Does something with the open file, which is made if it is not.
    pub(super) fn with_handle<T>(
        &self,
        target: &dyn Target,
        act: impl FnOnce(&dyn TargetFile) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let Content::Blocks { handle, .. } = &self.content else {
            return Err(TargetError::Unwritable {
                what: self.path.display(),
                why: "a small file has no handle".into(),
            });
        };
        {
            let open = handle.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = open.as_deref() {
                return act(file);
            }
        }
        let mut open = handle.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(target.create_file(&self.path.names(), self.metadata.size)?);
        }
        match open.as_deref() {
            Some(file) => act(file),
            None => Err(TargetError::Unwritable { what: self.path.display(), why: "it was closed too early".into() }),
        }
    }

    /// Takes pieces of a blob as its content. Returns how many bytes were written.
    pub(super) fn put(
        &self,
        target: &dyn Target,
        hashing: &HashingKey,
        blob: &OpenBlob,
        pieces: &[Piece],
    ) -> Result<u64, FileError> {
        let parts: Vec<_> =
            pieces.iter().map(|piece| self.part(blob, piece).map(|bytes| (piece, bytes))).collect::<Result<_, _>>()?;
        match &self.content {
            Content::Inline { buffer, .. } => {
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                // The planner has checked the size.
                buffer.resize(self.metadata.size as usize, 0);
                for (piece, bytes) in parts {
                    let start = piece.at as usize;
                    if let Some(place) = buffer.get_mut(start..start + bytes.len()) {
                        place.copy_from_slice(bytes);
                    }
                }
                Ok(0)
            }
            Content::Blocks { sum, in_place, writing, .. } => {
                let mut pages = PageSum::default();
                for (piece, bytes) in &parts {
                    self.add_pages(&mut pages, hashing, piece.at, bytes, (blob, piece.offset as usize));
                }
                let written = self.with_handle(target, |file| {
                    let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
                    parts.iter().try_fold(0, |written, (piece, bytes)| {
                        write_pages(file, piece.at, bytes, *in_place).map(|more| written + more)
                    })
                })?;
                sum.lock().unwrap_or_else(PoisonError::into_inner).merge(pages);
                Ok(written)
            }
        }
    }

    /// The bytes of a piece. Those beyond the end of the file are not part of it.
    fn part<'b>(&self, blob: &'b OpenBlob, piece: &Piece) -> Result<&'b [u8], FileError> {
        let bytes = blob
            .part(piece.offset, piece.length)
            .ok_or_else(|| FileError::Damaged("its rows refer to bytes beyond the end of a blob".into()))?;
        let room = usize::try_from(self.metadata.size.saturating_sub(piece.at)).unwrap_or(usize::MAX);
        Ok(&bytes[..bytes.len().min(room)])
    }

    fn add_pages(&self, sum: &mut PageSum, hashing: &HashingKey, at: u64, bytes: &[u8], from: (&OpenBlob, usize)) {
        let (blob, offset) = from;
        for (n, content) in bytes.chunks(PAGE_BYTES).enumerate() {
            if is_zero(content) {
                continue;
            }
            let start = at + (n * PAGE_BYTES) as u64;
            let page_bytes = (self.metadata.size - start).min(PAGE_BYTES as u64) as usize;
            let signature = if content.len() == page_bytes {
                match blob.page_hash(offset + n * PAGE_BYTES, content.len()) {
                    Some(hash) => signature_of(hash),
                    None => hashing.signature(content),
                }
            } else {
                // What the extent does not have of its last page is zeros.
                let mut page = content.to_vec();
                page.resize(page_bytes, 0);
                hashing.signature(&page)
            };
            sum.add(hashing, start / PAGE_BYTES as u64, signature);
        }
    }

    /// A range cannot be read: it becomes zeros.
    pub(super) fn leave_zeros(
        &self,
        target: &dyn Target,
        (at, length): (u64, u32),
        why: &str,
    ) -> Result<(), TargetError> {
        let length = u64::from(length).min(self.metadata.size.saturating_sub(at));
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).add(at, length, why);
        match &self.content {
            Content::Blocks { in_place: true, .. } if length > 0 => {
                self.with_handle(target, |file| file.zero(at, length))
            }
            _ => Ok(()),
        }
    }

    /// What was lost of it; asked once, when it is finished.
    pub(super) fn take_lost(&self) -> Option<LostRanges> {
        let lost = std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner));
        (!lost.is_empty()).then_some(lost)
    }

    fn has_lost(&self) -> bool {
        !self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// All pieces are there: checks the whole and puts it under its name. Returns how many bytes were written.
    pub(super) fn finish(&self, target: &dyn Target, hashing: &HashingKey) -> Result<u64, FileError> {
        match &self.content {
            Content::Inline { signature, buffer } => {
                let mut content = std::mem::take(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner));
                content.resize(self.metadata.size as usize, 0);
                let found = if is_zero(&content) { 0 } else { signature_of(&hashing.segment(&content)) };
                if found != *signature && !self.has_lost() {
                    return Err(FileError::Damaged("its content is not what its signature says".into()));
                }
                let file = target.create_file(&self.path.names(), self.metadata.size)?;
                let written = write_pages(file.as_ref(), 0, &content, false)?;
                file.commit(&self.metadata)?;
                Ok(written)
            }
            Content::Blocks { handle, sum, expected, mixed, .. } => {
                if !mixed && !self.has_lost() {
                    let expected = *expected.lock().unwrap_or_else(PoisonError::into_inner);
                    check_sum(*sum.lock().unwrap_or_else(PoisonError::into_inner), expected)?;
                }
                self.with_handle(target, |_| Ok(()))?;
                let open = handle.write().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(file) = open {
                    file.commit(&self.metadata)?;
                }
                Ok(0)
            }
        }
    }
}

fn check_sum(found: PageSum, expected: Option<Sum>) -> Result<(), FileError> {
    match expected {
        Some(sum) if (sum.pages, sum.sum) == (found.pages, found.sum) => Ok(()),
        Some(_) => Err(FileError::Damaged(
            "its content is not what its sum says: rows of its metadata are missing, or a blob is not what was read; `holdfast check --level data` tells which".into(),
        )),
        None => Err(FileError::Damaged("its sum is missing".into())),
    }
}

/// Writes what is not zeros. In place, zeros are written too; a new file has them already.
fn write_pages(file: &dyn TargetFile, at: u64, bytes: &[u8], in_place: bool) -> Result<u64, TargetError> {
    let mut written = 0;
    let mut start = 0;
    while start < bytes.len() {
        let zeros = is_zero(&bytes[start..(start + PAGE_BYTES).min(bytes.len())]);
        let mut end = (start + PAGE_BYTES).min(bytes.len());
        while end < bytes.len() && is_zero(&bytes[end..(end + PAGE_BYTES).min(bytes.len())]) == zeros {
            end = (end + PAGE_BYTES).min(bytes.len());
        }
        if !zeros {
            file.write_at(at + start as u64, &bytes[start..end])?;
            written += (end - start) as u64;
        } else if in_place {
            file.zero(at + start as u64, (end - start) as u64)?;
        }
        start = end;
    }
    Ok(written)
}

impl FileError {
    /// As an error of the engine; `object` is the restore point.
    pub(super) fn into_error(self, object: &str, path: &str) -> Error {
        match self {
            FileError::Target(error) => error.into(),
            FileError::Damaged(what) => Error::damaged(object, format!("{path}: {what}")),
        }
    }
}
