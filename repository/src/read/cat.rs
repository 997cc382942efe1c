//! Cat: one file, from its first byte to its last.
//!
//! In: a path. Out: its bytes, in order. Never: more than one block and a few blobs in memory, or success for a file that is not what was backed up.

use std::io::Write;

use crate::Error;
use crate::hash::{BLOCK_BYTES, BLOCK_PAGES, PAGE_BYTES, PageSum, is_zero, signature_of};
use crate::source::FileType;
use crate::tree::Sum;

use super::content::ContentReader;
use super::path::display_path;
use super::view::{BlockRows, Found, View};

/// Writes the content of a regular file to `out`; returns how many bytes.
pub fn cat(view: &View, path: &[&[u8]], out: &mut dyn Write) -> Result<u64, CatError> {
    let found = view.lookup(path)?;
    let shown = display_path(path.iter().copied());
    if found.file_type != FileType::Regular {
        return Err(Error::Invalid(format!("{shown} is not a regular file")).into());
    }
    write_content(view, &found, &shown, out)
}

/// Why a file could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum CatError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// Whoever listens does not take it.
    #[error("cannot write the content: {0}")]
    Output(#[from] std::io::Error),
}

impl CatError {
    /// The next move.
    pub fn class(&self) -> model::ErrorClass {
        match self {
            CatError::Read(error) => error.class(),
            CatError::Output(_) => model::ErrorClass::Retry,
        }
    }
}

fn write_content(view: &View, found: &Found, shown: &str, out: &mut dyn Write) -> Result<u64, CatError> {
    let size = found.inode.size;
    let mut reader = ContentReader::new(view);
    if let Some(inline) = &found.inode.inline {
        let bytes = reader.assemble(&inline.extents, inline_bytes(view, found, shown)?)?;
        check_inline(view, found, shown, &bytes)?;
        out.write_all(&bytes)?;
        return Ok(size);
    }
    let mut rows = BlockRows::new(view);
    rows.go(found)?;
    let (mut written, mut sum) = (0u64, PageSum::default());
    while let Some((block, extents)) = rows.next()? {
        let start = block.saturating_mul(BLOCK_BYTES as u64);
        if start >= size {
            continue;
        }
        write_zeros(out, start - written)?;
        let bytes = reader.assemble(&extents, (size - start).min(BLOCK_BYTES as u64) as usize)?;
        add_pages(view, block, &bytes, &mut sum);
        out.write_all(&bytes)?;
        written = start + bytes.len() as u64;
    }
    write_zeros(out, size - written)?;
    check_sum(view, found, shown, (sum, rows.sum()))?;
    Ok(size)
}

/// The size of inline content, which the format bounds.
pub(super) fn inline_bytes(view: &View, found: &Found, shown: &str) -> Result<usize, Error> {
    let size = found.inode.size;
    if size > BLOCK_BYTES as u64 {
        return Err(view.damaged(format!("{shown} has {size} bytes in its row, which is more than a row can have")));
    }
    Ok(size as usize)
}

/// Compares small content with its signature.
pub(super) fn check_inline(view: &View, found: &Found, shown: &str, bytes: &[u8]) -> Result<(), Error> {
    let expected = found.inode.inline.as_ref().map_or(0, |inline| inline.signature);
    if expected == inline_signature(view, bytes) {
        return Ok(());
    }
    Err(view.damaged(format!("the content of {shown} is not what its signature says")))
}

/// The whole-content signature of small content.
pub(super) fn inline_signature(view: &View, bytes: &[u8]) -> u64 {
    if is_zero(bytes) { 0 } else { signature_of(&view.domain().hashing().segment(bytes)) }
}

fn add_pages(view: &View, block: u64, bytes: &[u8], sum: &mut PageSum) {
    let hashing = view.domain().hashing();
    for (page, content) in bytes.chunks(PAGE_BYTES).enumerate() {
        sum.add(hashing, block * BLOCK_PAGES as u64 + page as u64, hashing.signature(content));
    }
}

/// Compares the pages of a large file with its Sum. A file that was changing while it was read has rows of several states, which its size does not describe.
pub(super) fn check_sum(view: &View, found: &Found, shown: &str, sums: (PageSum, Option<Sum>)) -> Result<(), Error> {
    let (found_sum, expected) = sums;
    if found.inode.mixed || (found.inode.size == 0 && expected.is_none()) {
        return Ok(());
    }
    let expected = expected.ok_or_else(|| view.damaged(format!("the sum of {shown} is missing")))?;
    if (expected.pages, expected.sum) == (found_sum.pages, found_sum.sum) {
        return Ok(());
    }
    Err(view
        .damaged(format!("the content of {shown} is not what its sum says: rows of its metadata are missing or wrong")))
}

fn write_zeros(out: &mut dyn Write, mut count: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while count > 0 {
        let some = count.min(ZEROS.len() as u64);
        out.write_all(&ZEROS[..some as usize])?;
        count -= some;
    }
    Ok(())
}
