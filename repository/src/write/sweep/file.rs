//! One regular file of the sweep: opened, read, recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::source::{Content, Directory, ReadVerdict, SourceError, Stat};
use crate::tree::{Inode, MissedWhat};

use super::{DirectoryPath, Old, PIECE_BYTES_MAX, Sweep};
use crate::write::content::{self, INLINE_BYTES_MAX, LargeFile, has_blocks, inline_of, is_same_inline, read_small};
use crate::write::inode::{inode_of, is_unchanged};

/// A small file that keeps changing under the reader is tried so often.
const ATTEMPTS_MAX: u32 = 3;

type At<'a> = (u64, &'a Arc<DirectoryPath>, &'a [u8]);

/// What is to be recorded of a file that was read.
struct Captured {
    inode: Inode,
    piece: Vec<u8>,
    sign_bytes: usize,
    torn: bool,
}

impl Sweep<'_, '_, '_> {
    /// A file with several names: its content once, its names each.
    pub(super) fn linked_file(
        &mut self,
        at: At<'_>,
        directory: &mut dyn Directory,
        stat: &Stat,
        child: u64,
        old: Option<Old>,
    ) -> Result<(), Error> {
        let named_already = old.as_ref().is_some_and(|old| old.entry.inode.is_none());
        if self.linked.contains_key(&stat.inode) {
            return if named_already { Ok(()) } else { self.add_name(at, stat, self.linked[&stat.inode]) };
        }
        self.linked.insert(stat.inode, child);
        let unchanged = old.as_ref().and_then(|old| old.inode.as_ref()).is_some_and(|inode| is_unchanged(inode, stat));
        if unchanged && named_already {
            return Ok(());
        }
        self.file(at, directory, stat, (child, old))
    }

    /// Reads a file that is new, or may have changed.
    pub(super) fn file(
        &mut self,
        at: At<'_>,
        directory: &mut dyn Directory,
        stat: &Stat,
        node: (u64, Option<Old>),
    ) -> Result<(), Error> {
        let (child, old) = node;
        let old_inode = old.as_ref().and_then(|old| old.inode.as_ref());
        let mut stat = stat.clone();
        for attempt in 1.. {
            let captured = match self.capture(at, directory, &stat, (child, old_inode)) {
                Ok(captured) => captured,
                Err(Error::Source(SourceError::Gone { .. })) => return self.file_is_gone(at, old),
                Err(Error::Source(error)) => return self.unread(at, old.is_some(), error),
                Err(error) => return Err(error),
            };
            if captured.torn && attempt < ATTEMPTS_MAX && stat.size <= INLINE_BYTES_MAX as u64 {
                match directory.stat(at.2) {
                    Ok(Some(again)) if again.inode == stat.inode => stat = again,
                    Ok(_) | Err(SourceError::Gone { .. }) => return self.file_is_gone(at, old),
                    Err(error) => return self.unread(at, old.is_some(), error),
                }
                continue;
            }
            if captured.torn {
                self.miss(at, MissedWhat::Mixed, "it was changing while it was read; what was captured is a mixture");
            }
            return self.entry((at.0, at.2), &stat, (child, captured.inode), captured.piece, captured.sign_bytes);
        }
        Ok(())
    }

    /// It went away between listing and reading; if the parent has it under this name, the name has vanished.
    fn file_is_gone(&mut self, at: At<'_>, old: Option<Old>) -> Result<(), Error> {
        match old {
            Some(old) => self.vanish(at.0, at.2, old.entry),
            None => Ok(()),
        }
    }

    fn capture(
        &mut self,
        at: At<'_>,
        directory: &mut dyn Directory,
        stat: &Stat,
        node: (u64, Option<&Inode>),
    ) -> Result<Captured, Error> {
        let (child, old) = node;
        let mut open = directory.open(at.2, stat)?;
        let small = if stat.size <= INLINE_BYTES_MAX as u64 { read_small(open.as_mut(), stat.size)? } else { None };
        let mut inode = inode_of(stat, false);
        let (mut piece, mut sign_bytes, mut complete) = (Vec::new(), 0, true);
        match small {
            Some(bytes) => {
                self.tally.bytes_read += bytes.len() as u64;
                inode.size = bytes.len() as u64;
                let same = old.filter(|old| is_same_inline(self.parts.pipeline, old, &bytes));
                inode.inline = match same {
                    Some(old) => old.inline.clone(),
                    None => Some(inline_of(&bytes)),
                };
                if has_blocks(old) {
                    content::forget(self.parts.pipeline, child);
                }
                if same.is_none() {
                    self.parts.pipeline.counters.bytes_changed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    if inode.inline.as_ref().is_some_and(|inline| !inline.extents.is_empty()) {
                        sign_bytes = bytes.len();
                        piece = bytes;
                    }
                }
            }
            None => complete = self.large(at, open.as_mut(), stat, (child, old))?,
        }
        let verdict = if complete { open.finish()? } else { ReadVerdict::Unsettled };
        drop(open);
        self.parts.progress.bytes_read.store(self.tally.bytes_read, Ordering::Relaxed);
        inode.settled = verdict == ReadVerdict::Settled;
        let torn = verdict == ReadVerdict::Torn;
        inode.mixed = torn || !complete;
        if !self.attributes(at, directory, stat, (&mut inode, &mut piece))? {
            return Err(SourceError::Gone { what: at.1.display(at.2) }.into());
        }
        debug_assert!(piece.len() <= PIECE_BYTES_MAX);
        Ok(Captured { torn, inode, piece, sign_bytes })
    }

    /// Reads a large file; false: it could not be read to its end, and what was captured is a mixture.
    fn large(
        &mut self,
        at: At<'_>,
        open: &mut dyn Content,
        stat: &Stat,
        node: (u64, Option<&Inode>),
    ) -> Result<bool, Error> {
        let (child, old) = node;
        let old_size = if has_blocks(old) { old.map(|old| old.size) } else { None };
        // Out of `self` while the file is read: both are needed at once.
        let mut lookup = self.lookup.take();
        let mut compare = lookup.as_mut().filter(|_| old_size.is_some());
        let mut file = LargeFile::new(self.parts.pipeline, child, stat.size, compare.as_deref_mut())?;
        let read = loop {
            match file.step(open, compare.as_deref_mut()) {
                Ok(true) => self.during_large((at, stat, child), &file)?,
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.tally.bytes_read += file.bytes_read;
        let complete = match read {
            Ok(()) => file.finish(old_size, compare).map(|()| true),
            Err(error) => self.abandon(at, &file, error).map(|()| false),
        };
        self.lookup = lookup;
        complete
    }

    /// Between two blocks of a large file.
    fn during_large(&mut self, at: (At<'_>, &Stat, u64), file: &LargeFile<'_, '_>) -> Result<(), Error> {
        self.check()?;
        self.parts.progress.bytes_read.store(self.tally.bytes_read + file.bytes_read, Ordering::Relaxed);
        self.parts.recorder.flush_if_full(self.parts.pipeline)?;
        if self.parts.recorder.checkpoint_is_due() {
            let ((directory, _, name), stat, child) = at;
            self.parts.pipeline.drain()?;
            file.sum().emit_interim(file.blocks_done(), self.parts.pipeline.rows);
            // The file as far as it was read: the next run reads it again and stores only what differs.
            let inode = Inode { mixed: true, ..inode_of(stat, false) };
            self.entry((directory, name), stat, (child, inode), Vec::new(), 0)?;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// The file cannot be read to its end. What was captured so far is recorded as a mixture.
    fn abandon(&mut self, at: At<'_>, file: &LargeFile<'_, '_>, error: Error) -> Result<(), Error> {
        match error {
            Error::Source(error @ SourceError::Unreadable { .. }) if file.blocks_done() > 0 => {
                self.parts.pipeline.drain()?;
                file.sum().emit_interim(file.blocks_done(), self.parts.pipeline.rows);
                self.miss(at, MissedWhat::Mixed, &error.to_string());
                Ok(())
            }
            error => Err(error),
        }
    }
}
