//! Content of regular files, as the planner hands it to the engine.
//!
//! In: a file of the restore point, and what stands where it goes. Out: pieces in the batch; nothing for what is equal already. Never: changes a file that has
//! names which are not this file's.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::hash::{BLOCK_BYTES, PAGE_BYTES};
use crate::read::cat::{inline_bytes, inline_signature};
use crate::read::path::PathBytes;
use crate::read::restore::delta::SignRows;
use crate::read::view::{BlockRows, Child, Found};
use crate::source::{FileType, Stat};
use crate::target::{Metadata, TargetError};
use crate::tree::{Extent, Inline, Sum};

use super::Planner;
use super::stretch::Stretch;
use crate::read::restore::delta::{Patch, compare, patches};
use crate::read::restore::file::{FileError, FileJob};

impl Planner<'_, '_> {
    /// One regular file. With damage skipped, one whose rows cannot be read is left out, or left as it stands.
    pub(super) fn file(
        &mut self,
        path: PathBytes,
        child: &Child,
        metadata: Metadata,
        existing: Option<Stat>,
    ) -> Result<(), Error> {
        let shown = path.display();
        match self.planned_file(path, child, metadata, existing) {
            Err(error) if self.engine.skips(&error) => {
                // What failed half-way is not asked again.
                (self.blocks, self.signs) = (BlockRows::new(self.engine.view), SignRows::new(self.engine.view));
                let why = "where its content is cannot be read; it was left out, or in place not finished";
                self.engine.record(shown, format!("{why}: {error}"));
                Ok(())
            }
            planned => planned,
        }
    }

    /// What is right already stays, the rest joins the batch.
    fn planned_file(
        &mut self,
        path: PathBytes,
        child: &Child,
        metadata: Metadata,
        existing: Option<Stat>,
    ) -> Result<(), Error> {
        let shared = child.shared.then_some(child.found.node);
        let stands = existing.filter(|stat| stat.file_type == FileType::Regular);
        let usable = stands.filter(|stat| self.may_be_changed(stat, child));
        match &child.found.inode.inline {
            Some(inline) => {
                inline_bytes(self.engine.view, &child.found, &path.display())?;
                if usable.is_some_and(|stat| stat.size == metadata.size)
                    && self.inline_is_equal(&path, &metadata, inline.signature)?
                {
                    return Ok(());
                }
                self.inline(FileJob::inline(path, metadata, inline.signature).of_shared(shared), inline)
            }
            None => match usable {
                Some(stat) => self.blocks_in_place(path, child, metadata, &stat),
                None => {
                    let file = FileJob::blocks(path, metadata, None, child.found.inode.mixed);
                    self.blocks(file.of_shared(shared), &child.found)
                }
            },
        }
    }

    /// A file with other names may be changed only if those names are this file's as well: else the change would show under names of another file.
    fn may_be_changed(&mut self, stat: &Stat, child: &Child) -> bool {
        stat.links <= 1 || (child.shared && child.found.inode.links == stat.links && self.claimed.insert(stat.inode))
    }

    /// True if small content is right already; then only its metadata was set.
    fn inline_is_equal(&mut self, path: &PathBytes, metadata: &Metadata, signature: u64) -> Result<bool, Error> {
        let target = self.engine.target;
        let content = &mut self.buffer[..metadata.size as usize];
        let mut filled = 0;
        let read = target.open_file(&path.names(), metadata.size).and_then(|file| {
            while filled < content.len() {
                match file.read_at(filled as u64, &mut content[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            Ok(())
        });
        // What cannot be opened or read is replaced.
        if read.is_err() || filled < content.len() || inline_signature(self.engine.view, content) != signature {
            return Ok(false);
        }
        let progress = &self.engine.options.progress;
        progress.bytes_compared_equal.fetch_add(metadata.size, Ordering::Relaxed);
        progress.files_skipped_equal.fetch_add(1, Ordering::Relaxed);
        self.finish_existing(path, metadata)?;
        Ok(true)
    }

    fn finish_existing(&self, path: &PathBytes, metadata: &Metadata) -> Result<(), Error> {
        if self.engine.options.dry_run {
            return Ok(());
        }
        match self.engine.target.finish_existing(&path.names(), metadata) {
            Ok(()) => Ok(()),
            Err(error) => self.engine.refused(path.display(), error),
        }
    }

    /// Counts what a dry run would write; true: it is one.
    fn only_counted(&self, bytes: u64) -> bool {
        let options = self.engine.options;
        if options.dry_run {
            options.progress.bytes_restored.fetch_add(bytes, Ordering::Relaxed);
        }
        options.dry_run
    }

    fn inline(&mut self, file: FileJob, inline: &Inline) -> Result<(), Error> {
        if self.only_counted(stored_bytes(&inline.extents)) {
            return Ok(());
        }
        let (size, file) = (file.size(), Arc::new(file));
        let sources = inline.extents.iter().filter_map(|extent| extent.source.map(|from| (extent, from)));
        let pieces: Vec<_> = sources.filter(|(extent, _)| position(0, extent) < size).collect();
        if pieces.is_empty() {
            self.batch.add_empty(file);
            return self.flush_if_full();
        }
        let number = self.batch.add_file(file.clone());
        for (extent, from) in pieces {
            self.batch.add_piece(number, position(0, extent), from, extent.length);
        }
        // Its pieces are all known; the engine has not begun with the batch, so this is never the last.
        file.piece_done();
        self.flush_if_full()
    }

    /// A large file that is made new.
    fn blocks(&mut self, file: FileJob, found: &Found) -> Result<(), Error> {
        let file = Arc::new(file);
        let planned = self.planned_blocks(&file, found);
        if planned.is_err() {
            // Pieces of it may be under way.
            file.fail();
        }
        planned
    }

    fn planned_blocks(&mut self, file: &Arc<FileJob>, found: &Found) -> Result<(), Error> {
        let size = file.size();
        let mut number = self.batch.add_file(file.clone());
        let (mut pieces, mut stretch) = (0u64, Stretch::default());
        self.blocks.go(found)?;
        while let Some((block, extents)) = self.blocks.next()? {
            for extent in &extents {
                let at = position(block, extent);
                let Some(from) = extent.source.filter(|_| at < size) else { continue };
                if self.only_counted(u64::from(extent.length)) {
                    continue;
                }
                self.reserve(file, stretch.add(at, u64::from(extent.length).min(size - at)));
                self.batch.add_piece(number, at, from, extent.length);
                pieces += 1;
            }
            if pieces > 1 && self.batch.bytes() > self.batch_bytes_max {
                self.reserve(file, stretch.end());
                self.flush()?;
                number = self.batch.add_file(file.clone());
            }
        }
        self.reserve(file, stretch.end());
        self.open_files += usize::from(pieces > 1);
        self.all_rows_seen(file, found);
        self.flush_if_full()
    }

    /// A part of a new file will be written in pieces that come in any order: it is allocated as one before the first.
    fn reserve(&self, file: &FileJob, part: Option<Range<u64>>) {
        let Some(part) = part.filter(|_| !file.has_failed()) else { return };
        let reserved = file.with_handle(self.engine.target, |open| open.reserve(part.start, part.end - part.start));
        if let Err(error) = reserved {
            self.engine.file_failed(file, FileError::Target(error));
        }
    }

    /// The planner has seen all rows of a large file.
    fn all_rows_seen(&self, file: &FileJob, found: &Found) {
        file.expect_sum(self.blocks.sum().or_else(|| (found.inode.size == 0).then(Sum::default)));
        if !self.engine.options.dry_run {
            self.engine.piece_done(file);
        }
    }

    /// A large file that stands there: its pages are compared, and only what differs is fetched.
    fn blocks_in_place(
        &mut self,
        path: PathBytes,
        child: &Child,
        metadata: Metadata,
        stat: &Stat,
    ) -> Result<(), Error> {
        let (target, options) = (self.engine.target, self.engine.options);
        let (found, shared) = (&child.found, child.shared.then_some(child.found.node));
        let size = metadata.size;
        if options.dry_run && stat.size != size {
            // Opening it would already change its size.
            return self.blocks(FileJob::blocks(path, metadata, None, found.inode.mixed), found);
        }
        let handle = match target.open_file(&path.names(), size) {
            Ok(handle) => handle,
            Err(error @ TargetError::Full { .. }) => return Err(error.into()),
            Err(error) => return self.engine.refused(path.display(), error),
        };
        let file = FileJob::blocks(path, metadata, Some(handle), found.inode.mixed);
        let file = Arc::new(file.of_shared(shared));
        self.open_files += 1;
        let differs = match self.compare_blocks(&file, found) {
            Err(error) => {
                file.fail();
                return Err(error);
            }
            Ok(differs) => differs,
        };
        if !differs && !file.has_failed() {
            options.progress.files_skipped_equal.fetch_add(1, Ordering::Relaxed);
        }
        self.all_rows_seen(&file, found);
        self.flush_if_full()
    }

    /// Compares all blocks of a file in place; true: something differs.
    fn compare_blocks(&mut self, file: &Arc<FileJob>, found: &Found) -> Result<bool, Error> {
        let size = file.size();
        let mut number = self.batch.add_file(file.clone());
        self.blocks.go(found)?;
        self.signs.go(found.node)?;
        let mut next = self.blocks.next()?;
        let (mut any, mut block, blocks) = (false, 0, size.div_ceil(BLOCK_BYTES as u64));
        while block < blocks {
            self.engine.check()?;
            let named = [self.signs.peek(), next.as_ref().map(|(at, _)| *at)].into_iter().flatten().min();
            let named = named.unwrap_or(blocks).clamp(block, blocks);
            let extents = next.take_if(|(at, _)| *at == block).map(|(_, extents)| extents);
            if extents.is_some() {
                next = self.blocks.next()?;
            }
            let (compared, until) = match named > block {
                // Reading what should be a hole costs more than making it one.
                true => (self.empty(file, block..named).map(|()| false), named),
                false => (self.compare_block(file, number, block, &extents.unwrap_or_default()), block + 1),
            };
            match compared {
                Ok(differs) => any |= differs,
                Err(error @ Error::Target(TargetError::Full { .. })) => return Err(error),
                Err(Error::Target(error)) => {
                    self.engine.file_failed(file, FileError::Target(error));
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
            block = until;
            if self.batch.bytes() > self.batch_bytes_max {
                self.flush()?;
                number = self.batch.add_file(file.clone());
            }
        }
        // Rows beyond the end, of a file that was changing while it was read; the last one is the sum.
        while next.is_some() {
            next = self.blocks.next()?;
        }
        Ok(any)
    }

    /// Blocks of a file in place of which the restore point has nothing but zeros.
    fn empty(&self, file: &FileJob, blocks: Range<u64>) -> Result<(), Error> {
        if self.engine.options.dry_run {
            return Ok(());
        }
        let start = blocks.start * BLOCK_BYTES as u64;
        let end = (blocks.end * BLOCK_BYTES as u64).min(file.size());
        Ok(file.with_handle(self.engine.target, |open| open.zero(start, end - start))?)
    }

    fn compare_block(&mut self, file: &FileJob, number: u32, block: u64, extents: &[Extent]) -> Result<bool, Error> {
        let (target, options, view) = (self.engine.target, self.engine.options, self.engine.view);
        let start = block * BLOCK_BYTES as u64;
        let length = (file.size() - start).min(BLOCK_BYTES as u64) as usize;
        let signatures = self.signs.of(block)?;
        let buffer = &mut self.buffer;
        let compared = file
            .with_handle(target, |open| compare(view.domain().hashing(), open, (block, length), &signatures, buffer))?;
        options.progress.bytes_compared_equal.fetch_add(compared.bytes_equal, Ordering::Relaxed);
        file.add_sum(compared.equal);
        for patch in patches(extents, &compared.differs) {
            match patch {
                Patch::Fetch { length, .. } if self.only_counted(u64::from(length)) => {}
                Patch::Fetch { first_page, from, length } => {
                    self.batch.add_piece(number, start + (first_page * PAGE_BYTES) as u64, from, length);
                }
                Patch::Zero { .. } if options.dry_run => {}
                Patch::Zero { first_page, pages } => {
                    let at = start + (first_page * PAGE_BYTES) as u64;
                    let length = ((pages * PAGE_BYTES) as u64).min(file.size() - at);
                    file.with_handle(target, |open| open.zero(at, length))?;
                }
            }
        }
        Ok(compared.any_differs())
    }
}

/// Where the first byte of an extent belongs in its file.
fn position(block: u64, extent: &Extent) -> u64 {
    block.saturating_mul(BLOCK_BYTES as u64).saturating_add(u64::from(extent.first_page) * PAGE_BYTES as u64)
}

fn stored_bytes(extents: &[Extent]) -> u64 {
    extents.iter().filter(|extent| extent.source.is_some()).map(|extent| u64::from(extent.length)).sum()
}
