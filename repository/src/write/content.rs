//! Content: one regular file read and handed to the pipeline.
//!
//! In: an open file and what the parent has of it. Out: blocks and pieces for the pipeline, and what its inode must say. Never: holds more of a file than
//! its small content or one block.

use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::hash::{BLOCK_BYTES, BLOCK_PAGES, PAGE_BYTES, PageSum, is_zero, signature_of};
use crate::source::Content;
use crate::tree::{Class, Extent, Head, Inline, Inode, Location, Value, key};

use super::block::{Before, PENDING, spread};
use super::evacuate::Evacuation;
use super::parent::Lookup;
use super::pipeline::{BlockJob, FileSum, Pipeline};

/// Content up to this size lies in the row of its entry; more is blocks, so that a change costs pages.
pub(super) const INLINE_BYTES_MAX: usize = 64 << 10;

/// What the inode of a small file says of its content, with places pending; `piece` is what has to be stored.
pub(super) fn inline_of(content: &[u8]) -> Inline {
    if is_zero(content) {
        return Inline { signature: 0, extents: Vec::new() };
    }
    let source = Some(Location { pack: PENDING, blob: 0, offset: 0 });
    Inline { signature: 0, extents: vec![Extent { first_page: 0, length: content.len() as u32, source }] }
}

/// True if small content is what the parent has.
pub(super) fn is_same_inline(pipeline: &Pipeline<'_>, old: &Inode, content: &[u8]) -> bool {
    let signature =
        |content: &[u8]| if is_zero(content) { 0 } else { signature_of(&pipeline.hashing.segment(content)) };
    old.size == content.len() as u64 && old.inline.as_ref().is_some_and(|inline| inline.signature == signature(content))
}

/// True if the parent has rows of blocks for this node.
pub(super) fn has_blocks(old: Option<&Inode>) -> bool {
    old.is_some_and(|old| old.inline.is_none() && old.size > 0)
}

/// Hides what older runs say about a node's content from a page on.
fn cut(pipeline: &Pipeline<'_>, node: u64, first_page: u64) {
    for class in [Class::Content, Class::Sign] {
        pipeline.rows.add(class, key::head(node), Value::Head(Head { gone: false, cut: Some(first_page) }));
    }
}

/// Hides everything that older runs say about a node's content.
pub(super) fn forget(pipeline: &Pipeline<'_>, node: u64) {
    for class in [Class::Content, Class::Sign] {
        pipeline.rows.add(class, key::head(node), Value::Head(Head { gone: true, cut: None }));
    }
}

/// One large file on its way.
pub(super) struct LargeFile<'a, 'p> {
    pipeline: &'a Pipeline<'p>,
    node: u64,
    size: u64,
    /// Blocks that may differ; the others are believed to be what the parent has.
    due: Range<u64>,
    /// The next block to look at.
    block: u64,
    sum: Arc<FileSum>,
    /// Signatures of the next block that the parent has, if any.
    old: Option<(u64, crate::tree::Signs)>,
    compares: bool,
    /// If some of its pages may have to be stored again.
    evacuation: Option<&'a Evacuation>,
    pub(super) bytes_read: u64,
}

impl<'a, 'p> LargeFile<'a, 'p> {
    /// `lookup`: the parent, if it has blocks of this node.
    pub(super) fn new(
        pipeline: &'a Pipeline<'p>,
        (node, size): (u64, u64),
        due: Range<u64>,
        lookup: Option<&mut Lookup>,
        evacuation: &'a Evacuation,
    ) -> Result<LargeFile<'a, 'p>, Error> {
        let (mut sum, mut old) = (PageSum::default(), None);
        let compares = lookup.is_some();
        if let Some(lookup) = lookup {
            if let Some(row) = lookup.sum(node)? {
                sum = PageSum { pages: row.pages, sum: row.sum };
            }
            lookup.go_to_signs(node, due.start)?;
            old = lookup.next_signs(node)?;
        }
        let evacuation = Some(evacuation).filter(|evacuation| compares && evacuation.may_concern(node));
        let sum = FileSum::new(node, sum);
        let block = due.start;
        Ok(LargeFile { pipeline, node, size, due, block, sum, old, compares, evacuation, bytes_read: 0 })
    }

    /// The sum, for a checkpoint in between.
    pub(super) fn sum(&self) -> &Arc<FileSum> {
        &self.sum
    }

    /// The block up to which it was read.
    pub(super) fn blocks_done(&self) -> u64 {
        self.block
    }

    /// True if nothing of it was handed over yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.block == self.due.start
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK_BYTES as u64)
    }

    /// The end of the blocks to look at.
    fn end(&self) -> u64 {
        self.blocks().min(self.due.end)
    }

    /// Hands over the next block that may differ; false: there is none.
    pub(super) fn step(&mut self, content: &mut dyn Content, lookup: Option<&mut Lookup>) -> Result<bool, Error> {
        let start = self.block * BLOCK_BYTES as u64;
        if self.block >= self.end() {
            return Ok(false);
        }
        let data = content.next_data(start)?.map(|data| data.start.max(start) / BLOCK_BYTES as u64);
        let data_block = data.filter(|block| *block < self.end());
        let old_block = self.old.as_ref().map(|(block, _)| *block).filter(|block| *block < self.end());
        let block = match (data_block, old_block) {
            (None, None) => return Ok(false),
            (Some(data), Some(old)) => data.min(old),
            (Some(block), None) | (None, Some(block)) => block,
        };
        let bytes = (self.size - block * BLOCK_BYTES as u64).min(BLOCK_BYTES as u64) as usize;
        let mut buffer = self.pipeline.take_buffer()?;
        let read = if data_block == Some(block) { self.read(content, block, &mut buffer[..bytes]) } else { Ok(0) };
        let filled = match read {
            Ok(filled) => filled,
            Err(error) => {
                self.pipeline.return_buffer(buffer);
                return Err(error);
            }
        };
        buffer.truncate(filled);
        let mut before = Box::<Before>::default();
        if let (Some((_, signs)), Some(lookup)) = (self.old.take_if(|(at, _)| *at == block), lookup) {
            before.signatures = spread(&signs);
            self.leave_out(block, bytes.div_ceil(PAGE_BYTES), &mut before.signatures);
            self.old = lookup.next_signs(self.node)?;
            if let Some(evacuation) = self.evacuation {
                let here = lookup.next_block(self.node, block)?.filter(|(found, _)| *found == block);
                before.moved = here.map(|(_, extents)| evacuation.pages(extents)).unwrap_or_default();
            }
        }
        self.pipeline.submit(BlockJob { file: self.sum.clone(), block, data: buffer, bytes, before })?;
        self.block = block + 1;
        Ok(true)
    }

    fn read(&mut self, content: &mut dyn Content, block: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match content.read_at(block * BLOCK_BYTES as u64 + filled as u64, &mut buffer[filled..])? {
                // Shorter than its size said: zeros here, and the stamp will say that it was torn.
                0 => break,
                read => filled += read,
            }
        }
        self.bytes_read += filled as u64;
        Ok(filled)
    }

    /// Pages from `pages` on are beyond the end of the file now: a Head hides them, the sum forgets them.
    fn leave_out(&self, block: u64, pages: usize, old: &mut [u64; BLOCK_PAGES]) {
        let mut change = PageSum::default();
        for (page, signature) in old.iter_mut().enumerate().skip(pages) {
            change.remove(&self.pipeline.hashing, block * BLOCK_PAGES as u64 + page as u64, *signature);
            *signature = 0;
        }
        if change != PageSum::default() {
            self.sum.add(change);
        }
    }

    /// Ends the file: what the parent has beyond its end goes. A mixture may have rows beyond its own end.
    pub(super) fn finish(mut self, old: Option<&Inode>, lookup: Option<&mut Lookup>) -> Result<(), Error> {
        let old_size = old.map(|old| old.size);
        if old.is_some_and(|old| old.size > self.size || old.mixed) {
            cut(self.pipeline, self.node, self.size.div_ceil(PAGE_BYTES as u64));
            if let Some(lookup) = lookup {
                while let Some((block, signs)) = self.old.take() {
                    self.leave_out(block, 0, &mut spread(&signs));
                    self.old = lookup.next_signs(self.node)?;
                }
            }
        }
        if old_size != Some(self.size) || !self.compares {
            self.sum.mark_changed();
        }
        self.sum.finish(self.blocks(), self.pipeline.rows);
        Ok(())
    }
}
