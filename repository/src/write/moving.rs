//! Moving: a large file that has not changed, of which some pages lie in packs that are emptied.
//!
//! In: an open file, what the parent has of it, and which packs these are. Out: blocks of those pages for the pipeline. Never: reads any other page, or hands over one
//! that is not what the parent's signature says: then the file has changed after all, and is read as such.

use std::sync::Arc;

use crate::Error;
use crate::hash::{BLOCK_BYTES, HashingKey, PAGE_BYTES, PageSum};
use crate::source::Content;
use crate::tree::overlay::PageSet;

use super::block::{Before, spread};
use super::evacuate::Evacuation;
use super::parent::Lookup;
use super::pipeline::{BlockJob, FileSum, Pipeline};

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A block was handed over.
    Moved,
    /// There is no other.
    Done,
    /// A page is not what it was.
    Differs,
}

/// One file on its way.
pub(super) struct Moving<'a, 'p> {
    pipeline: &'a Pipeline<'p>,
    evacuation: &'a Evacuation,
    node: u64,
    size: u64,
    /// Nothing is added to it: no page changes.
    sum: Arc<FileSum>,
    next_block: u64,
    pub(super) bytes_read: u64,
}

impl<'a, 'p> Moving<'a, 'p> {
    pub(super) fn new(pipeline: &'a Pipeline<'p>, evacuation: &'a Evacuation, node: u64, size: u64) -> Self {
        let sum = FileSum::new(node, PageSum::default());
        Moving { pipeline, evacuation, node, size, sum, next_block: 0, bytes_read: 0 }
    }

    /// Hands over the next block with pages in packs that are emptied.
    pub(super) fn step(&mut self, content: &mut dyn Content, lookup: &mut Lookup) -> Result<Step, Error> {
        let (block, moved) = loop {
            let Some((block, extents)) = lookup.next_block(self.node, self.next_block)? else { return Ok(Step::Done) };
            self.next_block = block + 1;
            let moved = self.evacuation.pages(extents);
            if !moved.is_empty() {
                break (block, moved);
            }
        };
        let start = block.saturating_mul(BLOCK_BYTES as u64);
        let bytes = self.size.saturating_sub(start).min(BLOCK_BYTES as u64) as usize;
        let signs = lookup.signs_of(self.node, block)?.unwrap_or_default();
        let before = Box::new(Before { signatures: spread(&signs), moved, only_moved: true });
        let mut data = self.pipeline.take_buffer()?;
        data.truncate(bytes);
        let is_same = read_pages(content, start, &moved, &mut data)
            .map(|read| is_same(&self.pipeline.hashing, &data, &before, read));
        match is_same {
            Ok(true) => {}
            other => {
                self.pipeline.return_buffer(data);
                return other.map(|_| Step::Differs);
            }
        }
        self.bytes_read += moved.iter().count() as u64 * PAGE_BYTES as u64;
        self.pipeline.submit(BlockJob { file: self.sum.clone(), block, data, bytes, before })?;
        Ok(Step::Moved)
    }
}

/// Reads pages of a block, neighbours with one call; false: the file ends before.
fn read_pages(content: &mut dyn Content, start: u64, pages: &PageSet, data: &mut [u8]) -> Result<bool, Error> {
    let pages: Vec<u16> = pages.iter().collect();
    for run in pages.chunk_by(|one, next| one + 1 == *next) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let mut at = usize::from(*first) * PAGE_BYTES;
        let end = ((usize::from(*last) + 1) * PAGE_BYTES).min(data.len());
        if at >= end {
            return Ok(false);
        }
        while at < end {
            match content.read_at(start + at as u64, &mut data[at..end])? {
                0 => return Ok(false),
                read => at += read,
            }
        }
    }
    Ok(true)
}

/// True if every page that was read is what its signature says.
fn is_same(key: &HashingKey, data: &[u8], before: &Before, read: bool) -> bool {
    let same = |page: u16| {
        let start = usize::from(page) * PAGE_BYTES;
        let content = data.get(start..(start + PAGE_BYTES).min(data.len())).unwrap_or_default();
        before.signatures.get(usize::from(page)).is_some_and(|signature| key.signature(content) == *signature)
    };
    read && before.moved.iter().all(same)
}
