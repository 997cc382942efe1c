//! Again: content whose stamp has not changed and that is read all the same.
//!
//! In: what the source's plan says is due. Out: blocks to read, and which files differ although nothing said so. Never: a row for what turned out to be the same.

use std::ops::Range;
use std::sync::Arc;

use crate::source::{Belief, Place, Record, Stat, Walked};
use crate::tree::Inode;

use super::{ALL_BLOCKS, Old, Sweep};
use crate::write::frontier::At;
use crate::write::inode::{has_own_row, is_unchanged};
use crate::write::pipeline::FileSum;
use crate::write::tally::Tally;

/// So many large files are remembered before those that are done are looked at.
const WATCHED_MAX: usize = 64;

/// Large files on their way that nothing but their content can convict: their stamps are what they were.
#[derive(Default)]
pub(super) struct Watched(Vec<(Arc<FileSum>, String)>);

impl Watched {
    pub(super) fn push(&mut self, sum: Arc<FileSum>, path: String, tally: &mut Tally) {
        self.0.push((sum, path));
        if self.0.len() > WATCHED_MAX {
            self.look(tally);
        }
    }

    /// Takes those of which everything is known.
    fn look(&mut self, tally: &mut Tally) {
        self.0.retain_mut(|(sum, path)| match sum.has_changed() {
            None => true,
            Some(changed) => {
                if changed {
                    tally.changed_silently(std::mem::take(path));
                }
                false
            }
        });
    }
}

/// What reading all of a file's data costs.
pub(super) fn content_bytes(stat: &Stat) -> u64 {
    stat.size.min(stat.blocks.saturating_mul(512))
}

/// True if the parent's stamp of a file may be relied on and is the one that it has now: then only its content can show that it has changed.
pub(super) fn is_expected(old: Option<&Old>, stat: &Stat) -> bool {
    old.and_then(|old| old.inode.as_ref()).is_some_and(|inode| is_unchanged(inode, stat))
}

/// True if what a row would say is what the parent's row says.
pub(super) fn is_same_row(old: Option<&Old>, stat: &Stat, inode: &Inode) -> bool {
    old.is_some_and(|old| {
        !old.moved && old.entry.inode.is_some() != has_own_row(stat) && old.inode.as_ref() == Some(inode)
    })
}

impl Sweep<'_, '_, '_, '_> {
    /// What may be taken for granted of the parent. Of another volume, names alone.
    pub(super) fn belief(&self) -> Belief {
        match self.parts.parent.is_some_and(|parent| parent.is_foreign()) {
            true => Belief::Names,
            false => self.parts.plan.belief,
        }
    }

    /// Which blocks of a regular file have to be read: all if it may have changed, else what the scrub wants of it.
    pub(super) fn due(&mut self, at: At<'_>, stat: &Stat, unchanged: bool) -> Range<u64> {
        if !unchanged {
            return ALL_BLOCKS;
        }
        self.scrub.take(at.0, at.2, (stat.size, content_bytes(stat)))
    }

    /// What the next run has to know. Of what was read, nothing is under way any more.
    pub(super) fn record(&mut self, is_over: bool) -> Record {
        self.watched.look(&mut self.tally);
        self.tally.bytes_scrubbed = self.scrub.bytes;
        let reached: Place = self.scrub.reached();
        let walked = Walked {
            full_pass: self.parts.plan.full_pass.as_deref(),
            is_over: is_over && !self.unseen,
            scrubbed_to: is_over.then_some(&reached),
            scrubbed_bytes: self.scrub.bytes,
            content_bytes: self.tally.bytes_content,
            silent_changes: self.tally.silent,
        };
        self.parts.source.record(&self.parts.record, &walked)
    }
}
