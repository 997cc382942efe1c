//! Plan: what of a source is read although its stamps say that nothing changed.
//!
//! In: what a source makes of the record in the parent restore point. Out: what the sweep has to do, and what it did. Never: decides how much is due; that is the
//! source's business, because only it knows what may have happened to it.

use std::cmp::Ordering;
use std::ops::Range;

use crate::hash::BLOCK_BYTES;

/// What a source wants the next run to know; sealed in the description of a restore point. Empty: nothing may be relied on but stamps.
pub type Record = serde_json::Map<String, serde_json::Value>;

/// What may be taken for granted of the parent restore point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Belief {
    /// A settled stamp that is equal means equal content.
    #[default]
    Stamps,
    /// A handle means the same file, but any content may have changed unseen: all of it is read, and what differs is stored.
    Handles,
    /// It was another filesystem: names alone say what to compare with.
    Names,
}

/// A place in the order in which a tree is swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The directory's node.
    pub directory: u64,
    /// The name in it.
    pub name: Vec<u8>,
    /// The block of the file.
    pub block: u64,
}

impl Place {
    /// The beginning of everything.
    pub const START: Place = Place { directory: 0, name: Vec::new(), block: 0 };
    /// Beyond everything.
    pub const END: Place = Place { directory: u64::MAX, name: Vec::new(), block: 0 };
}

/// Which unchanged content is read again, to prove that it is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubPlan {
    /// Where the last one ended.
    pub from: Place,
    /// Everything up to here is read whatever it costs.
    pub until: Place,
    /// Everything before this as well, because what is due reaches over the end of the tree.
    pub again_until: Place,
    /// So many bytes from `from` on are read in any case.
    pub bytes: u64,
}

impl Default for ScrubPlan {
    /// Nothing is due.
    fn default() -> Self {
        ScrubPlan { from: Place::START, until: Place::START, again_until: Place::START, bytes: 0 }
    }
}

/// What is read although its stamp has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// What may be taken for granted.
    pub belief: Belief,
    /// Why everything is read, for people; `None` if it is not.
    pub full_pass: Option<String>,
    /// What is read again.
    pub scrub: ScrubPlan,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked<'a> {
    /// What was planned.
    pub full_pass: Option<&'a str>,
    /// False at a checkpoint, where the sweep is not over, and if something that the parent has could not even be looked at.
    pub is_over: bool,
    /// Everything from the plan's `from` up to here has been read again.
    pub scrubbed_to: Option<&'a Place>,
    /// Bytes read for that.
    pub scrubbed_bytes: u64,
    /// Allocated bytes of all regular files.
    pub content_bytes: u64,
    /// Files whose content differed although their stamps said that it had not changed.
    pub silent_changes: u64,
}

/// How far a scrub is.
#[derive(Clone, Debug)]
pub(crate) struct Scrub {
    plan: ScrubPlan,
    left_bytes: u64,
    /// Bytes taken so far.
    pub(crate) bytes: u64,
    /// The first place that was left out.
    stopped: Option<Place>,
}

impl Scrub {
    pub(crate) fn new(plan: ScrubPlan) -> Scrub {
        Scrub { left_bytes: plan.bytes, plan, bytes: 0, stopped: None }
    }

    /// Which blocks of an unchanged file are read again; empty: none. Of `size` bytes `content_bytes` have to be read.
    ///
    /// Directories come in the order of their nodes, but one that was moved may come late: what lies before the place where the scrub stopped is read whenever it comes.
    pub(crate) fn take(&mut self, directory: u64, name: &[u8], (size, content_bytes): (u64, u64)) -> Range<u64> {
        let blocks = size.div_ceil(BLOCK_BYTES as u64).max(1);
        let before = |place: &Place| match (directory, name).cmp(&(place.directory, &place.name)) {
            Ordering::Less => blocks,
            Ordering::Equal => place.block.min(blocks),
            Ordering::Greater => 0,
        };
        let begin = before(&self.plan.from);
        let mut end = before(&self.plan.until).max(begin);
        match &self.stopped {
            Some(stopped) => end = end.max(before(stopped)),
            None if end < blocks => {
                end = end.max(begin + self.affordable(blocks, content_bytes)).min(blocks);
                if end < blocks {
                    self.stopped = Some(Place { directory, name: name.to_vec(), block: end });
                }
            }
            None => {}
        }
        let again = before(&self.plan.again_until);
        let range = match (again, begin..end) {
            (0, range) => range,
            // What is due lies on both sides of what is not: a block too many does no harm.
            (again, range) if range.is_empty() => 0..again,
            (again, range) => 0..range.end.max(again),
        };
        let share = u128::from(range.end - range.start) * u128::from(content_bytes) / u128::from(blocks);
        let cost = u64::try_from(share).unwrap_or(u64::MAX);
        self.left_bytes = self.left_bytes.saturating_sub(cost);
        self.bytes = self.bytes.saturating_add(cost);
        range
    }

    /// Blocks of a file that what is left of the budget reaches for, the last one whole.
    fn affordable(&self, blocks: u64, content_bytes: u64) -> u64 {
        let share = u128::from(self.left_bytes) * u128::from(blocks);
        u64::try_from(share.div_ceil(u128::from(content_bytes.max(1)))).unwrap_or(u64::MAX).min(blocks)
    }

    /// Where the next one begins; [`Place::END`]: everything was read to the end of the tree.
    pub(crate) fn reached(&self) -> Place {
        self.stopped.clone().unwrap_or(Place::END)
    }
}

#[cfg(test)]
mod tests;
