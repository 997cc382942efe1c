//! What has not changed and lies in packs that are emptied: written again.

use std::sync::atomic::Ordering;

use crate::Error;
use crate::source::{Content, FileType, Stat};
use crate::tree::Inode;

use super::{Old, OpenDirectory, Sweep};
use crate::write::content::has_blocks;
use crate::write::frontier::At;
use crate::write::moving::{Moving, Step};

impl<'s> Sweep<'s, '_, '_, '_> {
    /// True if nothing of an unchanged entry has to be written again.
    pub(super) fn stays(&self, child: u64, inode: Option<&Inode>) -> bool {
        let evacuation = self.parts.evacuation;
        let leaves =
            |inode: &Inode| evacuation.concerns(inode) || (has_blocks(Some(inode)) && evacuation.may_concern(child));
        !inode.is_some_and(leaves)
    }

    /// A regular file that has not changed, but does not stay. False: it is gone or cannot be read.
    pub(super) fn moved_file(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        (child, old): (u64, Old),
    ) -> Result<bool, Error> {
        debug_assert_eq!(stat.file_type, FileType::Regular);
        let Some(inode) = old.inode.as_ref().filter(|inode| has_blocks(Some(inode))) else {
            // Its content lies in its row, or it has none.
            return self.file(at, directory, stat, (child, Some(old)), None);
        };
        if self.parts.evacuation.concerns(inode) {
            // Of a large file these are its attributes.
            self.other(at, directory, stat, child, Some(&old))?;
        }
        if !self.parts.evacuation.may_concern(child) {
            return Ok(true);
        }
        // What cannot be opened is dealt with as any file that has to be read.
        let is_moved = match directory.open(at.2, stat) {
            Ok(mut content) => self.move_blocks(child, stat.size, content.as_mut())?,
            Err(error) if error.ends_the_run() => return Err(error.into()),
            Err(_) => false,
        };
        if is_moved {
            return Ok(true);
        }
        // Rows of the same blocks must not overtake each other.
        self.parts.pipeline.drain()?;
        self.file(at, directory, stat, (child, Some(old)), None)
    }

    /// Stores pages again; false: the file is not what it was, or cannot be read.
    fn move_blocks(&mut self, child: u64, size: u64, content: &mut dyn Content) -> Result<bool, Error> {
        // Out of `self` while the file is read: both are needed at once.
        let Some(mut lookup) = self.lookup.take() else { return Ok(true) };
        let mut moving = Moving::new(self.parts.pipeline, self.parts.evacuation, child, size);
        let moved = loop {
            match moving.step(content, &mut lookup) {
                Ok(Step::Moved) => {}
                Ok(Step::Done) => break Ok(true),
                Ok(Step::Differs) => break Ok(false),
                Err(Error::Source(error)) if !error.ends_the_run() => break Ok(false),
                Err(error) => break Err(error),
            }
            let done = self.check().and_then(|()| self.parts.recorder.flush_if_full(self.parts.pipeline));
            if let Err(error) = done {
                break Err(error);
            }
        };
        self.lookup = Some(lookup);
        self.tally.bytes_read += moving.bytes_read;
        self.parts.progress.bytes_read.store(self.tally.bytes_read, Ordering::Relaxed);
        moved
    }
}
