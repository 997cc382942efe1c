//! One regular file of the sweep: opened, read, recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::source::{Attributes, Belief, Content, Directory, ReadVerdict, SourceError, Stat};
use crate::tree::{Inode, MissedWhat};

use super::again::{is_expected, is_same_row};
use super::{ALL_BLOCKS, ATTRIBUTES_TOO_LARGE, Old, OpenDirectory, PIECE_BYTES_MAX, Sweep, Unread};
use crate::write::ahead::{Arrived, Group, SmallFile, SmallRead, read_small};
use crate::write::content::{self, INLINE_BYTES_MAX, LargeFile, has_blocks, inline_of, is_same_inline};
use crate::write::frontier::At;
use crate::write::inode::{add_attributes, inode_of};
use crate::write::pipeline::FileSum;

/// A small file that keeps changing under the reader is tried so often.
const ATTEMPTS_MAX: u32 = 3;

/// What is to be recorded of a file that was read.
#[derive(Default)]
struct Captured {
    inode: Inode,
    piece: Vec<u8>,
    sign_bytes: usize,
    torn: bool,
    /// True if its content is known to be another than the parent has.
    differs: bool,
    /// Says later whether a large file's content is another.
    sum: Option<Arc<FileSum>>,
    /// True if the rows of blocks that the parent has must be hidden. Not done before the file is recorded: until then older content may have to stand.
    hides_blocks: bool,
    /// What else is wrong with it.
    flaws: Vec<String>,
}

impl<'s> Sweep<'s, '_, '_, '_> {
    /// A file with several names: its content once, its names each.
    pub(super) fn linked_file(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        child: u64,
        old: Option<Old>,
    ) -> Result<(), Error> {
        let named_already = old.as_ref().is_some_and(|old| old.entry.inode.is_none());
        if self.linked.contains_key(&stat.inode) {
            return if named_already { Ok(()) } else { self.add_name(at, stat, self.linked[&stat.inode]) };
        }
        let old_inode = old.as_ref().and_then(|old| old.inode.as_ref());
        let unchanged = named_already && old_inode.is_some_and(|inode| self.is_unchanged(inode, stat));
        let stays = self.stays(child, old_inode);
        let due = self.due(at, stat, unchanged);
        let is_done = match old {
            _ if unchanged && due.is_empty() && stays => true,
            Some(old) if unchanged && due.is_empty() => self.moved_file(at, directory, stat, (child, old))?,
            old => {
                let old = old.map(|old| Old { due: if stays { due } else { ALL_BLOCKS }, ..old });
                self.file(at, directory, stat, (child, old), None)?
            }
        };
        if is_done {
            self.linked.insert(stat.inode, child);
        }
        Ok(())
    }

    /// A file with one name that is new, or may have changed: read now if it is large, else while the sweep goes on.
    pub(super) fn soon(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        node: (u64, Option<Old>),
    ) -> Result<(), Error> {
        if stat.size > INLINE_BYTES_MAX as u64 {
            return self.file(at, directory, stat, node, None).map(drop);
        }
        let (child, old) = node;
        self.parts.ahead.ask(directory, at, stat, Unread { child, old })?;
        match self.parts.ahead.take_if_full()? {
            Some(arrived) => self.arrived(arrived),
            None => Ok(()),
        }
    }

    /// Waits for every small file that was asked for.
    pub(super) fn read_all(&mut self) -> Result<(), Error> {
        while let Some(arrived) = self.parts.ahead.take()? {
            self.arrived(arrived)?;
            self.after_entry()?;
        }
        Ok(())
    }

    fn arrived(&mut self, arrived: Arrived<'s, Unread>) -> Result<(), Error> {
        let Arrived { group: Group { directory, node, path, files }, reads } = arrived;
        for ((name, stat, Unread { child, old }), read) in files.into_iter().zip(reads) {
            self.file((node, &path, &name), &directory, &stat, (child, old), Some(read))?;
        }
        Ok(())
    }

    /// Records a file that is new, or may have changed; `read`: what reading it gave, if that was done already. False: it is gone or cannot be read, so another name
    /// of it has to be tried.
    pub(super) fn file(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        node: (u64, Option<Old>),
        mut read: Option<SmallRead>,
    ) -> Result<bool, Error> {
        let (child, old) = node;
        let mut stat = stat.clone();
        for attempt in 1.. {
            let is_last = attempt >= ATTEMPTS_MAX;
            let captured = match self.capture(at, &**directory, &stat, (child, old.as_ref()), (read.take(), is_last)) {
                Ok(captured) => captured,
                Err(Error::Source(SourceError::Gone { .. })) => return self.file_is_gone(at, old).map(|()| false),
                Err(Error::Source(error)) => {
                    return self.file_is_unread(at, &stat, (child, old), error).map(|()| false);
                }
                Err(error) => return Err(error),
            };
            // Rows of blocks cannot be taken back, so only what lies in the row of the entry is read again.
            let again = captured.as_ref().is_none_or(|captured| captured.torn && captured.inode.inline.is_some());
            let Some(mut captured) = captured.filter(|_| is_last || !again) else {
                match directory.stat(at.2) {
                    // Where its inode lies was decided by the first look.
                    Ok(Some(now)) if now.inode == stat.inode => {
                        stat = Stat { links: now.links.max(stat.links), ..now };
                    }
                    Ok(_) | Err(SourceError::Gone { .. }) => return self.file_is_gone(at, old).map(|()| false),
                    Err(error) => return self.file_is_unread(at, &stat, (child, old), error).map(|()| false),
                }
                continue;
            };
            if self.belief() != Belief::Names && is_expected(old.as_ref(), &stat) && !captured.torn {
                self.compare_with_expected(at, &mut captured);
            }
            if captured.torn {
                self.miss(at, MissedWhat::Mixed, "it was changing while it was read; what was captured is a mixture");
            }
            for flaw in &captured.flaws {
                self.miss(at, MissedWhat::Mixed, flaw);
            }
            if captured.piece.is_empty() && is_same_row(old.as_ref(), &stat, &captured.inode) {
                return Ok(true);
            }
            if captured.hides_blocks {
                content::forget(self.parts.pipeline, child);
            }
            old.iter().for_each(|old| self.hide(old));
            self.entry((at.0, at.2), &stat, (child, captured.inode), captured.piece, captured.sign_bytes)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// A file whose stamp says that it is what the parent has.
    fn compare_with_expected(&mut self, at: At<'_>, captured: &mut Captured) {
        if captured.differs {
            self.tally.changed_silently(at.1.display(at.2));
        }
        if let Some(sum) = captured.sum.take() {
            self.watched.push(sum, at.1.display(at.2), &mut self.tally);
        }
    }

    /// It went away between listing and reading; if the parent has it under this name, the name has vanished.
    fn file_is_gone(&mut self, at: At<'_>, old: Option<Old>) -> Result<(), Error> {
        match old {
            Some(old) => self.vanish(at.0, at.2, old.entry),
            None => Ok(()),
        }
    }

    /// It is there and cannot be read. What the parent has of it stands, under the name that it has now. If it was to be read although its stamp is the same, that
    /// stamp is not believed until it has been.
    fn file_is_unread(
        &mut self,
        at: At<'_>,
        stat: &Stat,
        (child, old): (u64, Option<Old>),
        error: SourceError,
    ) -> Result<(), Error> {
        self.unread(at, old.is_some(), error)?;
        let Some(old) = old.filter(|old| old.moved || is_expected(Some(old), stat)) else { return Ok(()) };
        self.hide(&old);
        let Some(inode) = old.inode else { return Ok(()) };
        self.entry((at.0, at.2), stat, (child, Inode { settled: false, ..inode }), Vec::new(), 0)
    }

    /// `None`: it has outgrown its stat, and this is not the last attempt.
    fn capture(
        &mut self,
        at: At<'_>,
        directory: &dyn Directory,
        stat: &Stat,
        node: (u64, Option<&Old>),
        (read, is_last): (Option<SmallRead>, bool),
    ) -> Result<Option<Captured>, Error> {
        if stat.size <= INLINE_BYTES_MAX as u64 {
            match read.unwrap_or_else(|| read_small(directory, at.2, stat))? {
                Some(file) => {
                    let old = node.1.and_then(|old| old.inode.as_ref());
                    return Ok(Some(self.capture_small(stat, old, file)));
                }
                None if !is_last => return Ok(None),
                None => {}
            }
        }
        self.capture_large(at, directory, stat, node).map(Some)
    }

    fn capture_small(&mut self, stat: &Stat, old: Option<&Inode>, file: SmallFile) -> Captured {
        let SmallFile { content, attributes, verdict } = file;
        self.tally.bytes_read += content.len() as u64;
        self.parts.progress.bytes_read.store(self.tally.bytes_read, Ordering::Relaxed);
        let mut inode = Inode { size: content.len() as u64, ..inode_of(stat, false) };
        let is_same = old.is_some_and(|old| is_same_inline(self.parts.pipeline, old, &content));
        let is_new = self.small(&mut inode, old.filter(|_| is_same), &content);
        let (piece, sign_bytes) = if is_new { (content, inode.size as usize) } else { (Vec::new(), 0) };
        let hides_blocks = has_blocks(old);
        let captured = Captured { piece, sign_bytes, hides_blocks, differs: !is_same, ..Captured::default() };
        finish(inode, verdict, attributes, captured)
    }

    fn capture_large(
        &mut self,
        at: At<'_>,
        directory: &dyn Directory,
        stat: &Stat,
        node: (u64, Option<&Old>),
    ) -> Result<Captured, Error> {
        let mut open = directory.open(at.2, stat)?;
        // By name and before the content, so that a file that goes away meanwhile leaves no rows behind; `finish` sees a change of either.
        let attributes = match directory.attributes(at.2, stat) {
            Err(error) if !matches!(error, SourceError::Unreadable { .. }) => return Err(error.into()),
            attributes => attributes,
        };
        let mut captured = Captured::default();
        let mut inode = inode_of(stat, false);
        captured.sum = self.large(at, open.as_mut(), stat, node)?;
        inode.mixed = captured.sum.is_none();
        let verdict = match open.finish() {
            _ if inode.mixed => ReadVerdict::Unsettled,
            Ok(verdict) => verdict,
            Err(error) if error.ends_the_run() => return Err(error.into()),
            // Its rows are in: what was read is what is captured.
            Err(error) => {
                captured.flaws.push(error.to_string());
                inode.mixed = true;
                ReadVerdict::Unsettled
            }
        };
        self.parts.progress.bytes_read.store(self.tally.bytes_read, Ordering::Relaxed);
        Ok(finish(inode, verdict, attributes, captured))
    }

    /// Content that goes into the row of its entry; `same`: what the parent has, if that has the same content. True: its bytes have to be stored.
    fn small(&mut self, inode: &mut Inode, same: Option<&Inode>, bytes: &[u8]) -> bool {
        let counters = &self.parts.pipeline.counters;
        match same {
            Some(old) if !self.parts.evacuation.concerns_content(old) => {
                inode.inline = old.inline.clone();
                return false;
            }
            Some(_) => counters.bytes_moved.fetch_add(bytes.len() as u64, Ordering::Relaxed),
            None => counters.bytes_changed.fetch_add(bytes.len() as u64, Ordering::Relaxed),
        };
        let inline = inline_of(bytes);
        let stored = !inline.extents.is_empty();
        inode.inline = Some(inline);
        stored
    }

    /// Reads a large file, as far as it is due; `None`: it could not be read to its end, and what was captured is a mixture.
    fn large(
        &mut self,
        at: At<'_>,
        open: &mut dyn Content,
        stat: &Stat,
        node: (u64, Option<&Old>),
    ) -> Result<Option<Arc<FileSum>>, Error> {
        let (child, due) = (node.0, node.1.map_or(ALL_BLOCKS, |old| old.due.clone()));
        let old = node.1.and_then(|old| old.inode.as_ref());
        let old_size = if has_blocks(old) { old.map(|old| old.size) } else { None };
        // Out of `self` while the file is read: both are needed at once.
        let mut lookup = self.lookup.take();
        let mut compare = lookup.as_mut().filter(|_| old_size.is_some());
        let of = (child, stat.size);
        let mut file = LargeFile::new(self.parts.pipeline, of, due, compare.as_deref_mut(), self.parts.evacuation)?;
        let read = loop {
            match file.step(open, compare.as_deref_mut()) {
                Ok(true) => self.during_large((at, stat, child), &file)?,
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.tally.bytes_read += file.bytes_read;
        let complete = match read {
            Ok(()) => {
                let sum = file.sum().clone();
                file.finish(old.filter(|_| old_size.is_some()), compare).map(|()| Some(sum))
            }
            Err(error) => self.abandon(at, &file, error).map(|()| None),
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
            Error::Source(error @ (SourceError::Unreadable { .. } | SourceError::Gone { .. }))
                if !file.is_untouched() =>
            {
                self.parts.pipeline.drain()?;
                file.sum().emit_interim(file.blocks_done(), self.parts.pipeline.rows);
                self.miss(at, MissedWhat::Mixed, &error.to_string());
                Ok(())
            }
            error => Err(error),
        }
    }
}

/// The verdict and the attributes of a file whose content is in.
fn finish(
    mut inode: Inode,
    verdict: ReadVerdict,
    attributes: Result<Attributes, SourceError>,
    mut captured: Captured,
) -> Captured {
    captured.torn = verdict == ReadVerdict::Torn;
    inode.settled = verdict == ReadVerdict::Settled && attributes.is_ok();
    inode.mixed |= captured.torn;
    let attributes = attributes.unwrap_or_else(|error| {
        captured.flaws.insert(0, error.to_string());
        Attributes::default()
    });
    if !add_attributes(&mut inode, attributes, &mut captured.piece, PIECE_BYTES_MAX) {
        captured.flaws.push(ATTRIBUTES_TOO_LARGE.to_owned());
    }
    debug_assert!(captured.piece.len() <= PIECE_BYTES_MAX);
    Captured { inode, ..captured }
}
