//! Plan: which runs of a class are worth merging (design, "Metadata is a small log-structured merge tree").
//!
//! In: the sizes of the runs, newest first, and how much dead space only hidden rows keep alive. Out: at most one range of adjacent runs. Never: reads a run, or
//! asks for a merge that leaves as many runs as there were.

use std::ops::Range;

/// Runs that are merged at once, at least.
pub const MERGE_RUNS_MIN: usize = 4;
/// Runs within this factor of each other count as alike.
pub const ALIKE_FACTOR: u64 = 4;
/// Runs below this count as this: a request and an object's frame cost as much, whatever is in them.
pub const RUN_BYTES_FLOOR: u64 = 4 * 1024;
/// More runs than this are merged even where no four are alike: every reader holds a block of each.
pub const RUNS_MAX: usize = 24;

/// How large a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSize {
    /// Stored bytes of its tables.
    pub stored_bytes: u64,
}

/// What hidden rows keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadSpace {
    /// Bytes of packs that only hidden rows name.
    pub hidden_bytes: u64,
    /// How many packs these are.
    pub hidden_packs: u64,
    /// Bytes that visible rows name.
    pub live_bytes: u64,
}

/// A merge of everything may write one byte to let go of so many.
pub const DEAD_BYTES_PER_MERGED: u64 = 16;
/// More packs than this are let go of however small they are: every list, plan and collector looks at each.
pub const DEAD_PACKS_MAX: u64 = 64;

impl DeadSpace {
    /// A quarter of what lives is worth a merge of everything (design). So is less, where the merge costs next to nothing beside it: measured on 400 runs that
    /// overwrite 1 % each, waiting for a quarter lets the packs grow to 2.2 times what lives, and a sixteenth of what is let go of is what metadata may cost.
    pub fn is_too_much(&self, runs_bytes: u64) -> bool {
        let cheap = runs_bytes.max(RUN_BYTES_FLOOR).saturating_mul(DEAD_BYTES_PER_MERGED);
        self.hidden_bytes > (self.live_bytes / 4).min(cheap) || self.hidden_packs > DEAD_PACKS_MAX
    }
}

/// The runs to merge now, as a range of indices; call again with the result until nothing is left to do.
///
/// - Everything, when what lies above the lowest run exceeds half of it, or when hidden rows keep too much dead space.
/// - Else the newest four or more adjacent runs that are alike.
/// - Else, when there are more than [`RUNS_MAX`], the four adjacent ones that are cheapest to merge.
pub fn plan_merges(runs: &[RunSize], dead: DeadSpace) -> Option<Range<usize>> {
    let (lowest, above) = runs.split_last()?;
    if above.is_empty() {
        return None;
    }
    if bytes(above) > lowest.stored_bytes / 2 || dead.is_too_much(bytes(runs)) {
        return Some(0..runs.len());
    }
    let mut alike = (0..runs.len()).map(|first| first..first + count_alike(&runs[first..]));
    if let Some(range) = alike.find(|range| range.len() >= MERGE_RUNS_MIN) {
        return Some(range);
    }
    if runs.len() <= RUNS_MAX {
        return None;
    }
    let fours = (0..=runs.len() - MERGE_RUNS_MIN).map(|first| first..first + MERGE_RUNS_MIN);
    fours.min_by_key(|range| bytes(&runs[range.clone()]))
}

fn bytes(runs: &[RunSize]) -> u64 {
    runs.iter().fold(0, |sum, run| sum.saturating_add(run.stored_bytes))
}

/// How many runs from the first on are alike, all with all.
fn count_alike(runs: &[RunSize]) -> usize {
    let (mut least, mut most) = (u64::MAX, 0);
    let is_alike = |run: &&RunSize| {
        let size = run.stored_bytes.max(RUN_BYTES_FLOOR);
        (least, most) = (least.min(size), most.max(size));
        most <= least.saturating_mul(ALIKE_FACTOR)
    };
    runs.iter().take_while(is_alike).count()
}

#[cfg(test)]
mod tests;
