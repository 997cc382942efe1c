//! Scrub: how much of what nothing says has changed is read again, and where; pure.
//!
//! In: what was read when, and now. Out: what this run reads, so that nothing goes unread for longer than [`Pace::round_ms`] however often runs come; and the same after it.
//! Never: relies on the next run coming sooner than this one did.
//!
//! The tree is read in the order in which it is swept, round and round, from where the last run ended. Each run reads the share of the time that has passed since the
//! last one, in pieces worth the requests; and whatever would be too old by the time of the run after the next interval.

use repository::source::{Place, ScrubPlan, Walked};
use serde::{Deserialize, Serialize};

/// So many times are remembered per round.
const VISITS_MAX: usize = 16;
/// A run reads at least so much, or a 64th of everything, or nothing: each piece costs requests for metadata.
const PIECE_BYTES: u64 = 16 << 20;
const PIECE_SHARE: u64 = 64;
/// The usual share is a little larger than time asks for, so that hardly anything ever has to be read because it is too old.
const LEAD: (i128, i128) = (8, 7);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Nothing goes unread for longer than this, in milliseconds; `None`: nothing is scrubbed.
    pub round_ms: Option<i64>,
}

impl Default for Pace {
    /// Seven days.
    fn default() -> Self {
        Pace { round_ms: Some(7 * DAY_MS) }
    }
}

/// What was read when. The oldest visit comes first; places follow each other round the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Visits {
    /// What lies from here to the first visit's end was read first.
    pub from: Position,
    /// Ends of what was read, and when.
    pub visits: Vec<Visit>,
    /// When the last run was.
    pub run_ms: i64,
    /// Bytes that are due and were not worth the requests, or (negative) were read too early.
    pub credit_bytes: i64,
    /// What everything comes to.
    pub content_bytes: u64,
}

/// What was read in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Up to here, from where the one before ended.
    pub to: Position,
    /// When; the start of the run.
    pub at_ms: i64,
}

/// A place, as a record has it: the name in hex, because it need not be text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(u64, String, u64);

impl Position {
    /// As the engine has it. A name that cannot be read stands for the beginning of its directory.
    fn place(&self) -> Place {
        let digits = self.1.as_bytes();
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let name: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        match name {
            Some(name) => Place { directory: self.0, name, block: self.2 },
            None => Place { directory: self.0, name: Vec::new(), block: 0 },
        }
    }

    fn of(place: &Place) -> Position {
        let name = place.name.iter().map(|byte| format!("{byte:02x}")).collect();
        Position(place.directory, name, place.block)
    }
}

impl Visits {
    /// Everything was read just now.
    pub fn all(now_ms: i64, content_bytes: u64) -> Visits {
        let to = Position::of(&Place::END);
        Visits {
            from: Position::of(&Place::START),
            visits: vec![Visit { to, at_ms: now_ms }],
            run_ms: now_ms,
            credit_bytes: 0,
            content_bytes,
        }
    }

    /// What this run has to read.
    pub fn plan(&self, pace: &Pace, now_ms: i64) -> ScrubPlan {
        let Some(round_ms) = pace.round_ms else { return ScrubPlan::default() };
        let from = self.from.place();
        let interval_ms = now_ms.saturating_sub(self.run_ms).max(0);
        // The next run is expected after as long as this one; by then this old is too old.
        let too_old_ms = now_ms.saturating_add(interval_ms).saturating_sub(round_ms);
        let due = self.visits.iter().take_while(|visit| visit.at_ms <= too_old_ms).last().map(|visit| visit.to.place());
        let (until, again_until) = match due {
            None => (Place::START, Place::START),
            // Round the end of the tree.
            Some(to) if to <= from => (Place::END, to),
            Some(to) => (to, Place::START),
        };
        let credit = self.credit(round_ms, interval_ms);
        let piece = PIECE_BYTES.min(self.content_bytes / PIECE_SHARE);
        let bytes = u64::try_from(credit).unwrap_or(0);
        ScrubPlan { from, until, again_until, bytes: if bytes >= piece { bytes } else { 0 } }
    }

    /// The share of the time that has passed, and what was left of the last.
    fn credit(&self, round_ms: i64, interval_ms: i64) -> i64 {
        let share = i128::from(self.content_bytes) * i128::from(interval_ms.min(round_ms)) * LEAD.0
            / LEAD.1
            / i128::from(round_ms.max(1));
        let most = i128::from(self.content_bytes);
        i64::try_from((share + i128::from(self.credit_bytes)).clamp(-most, most)).unwrap_or(i64::MAX)
    }

    /// After a run that read up to `reached` what was planned.
    pub fn after(&self, pace: &Pace, now_ms: i64, reached: &Place, walked: &Walked<'_>) -> Visits {
        let content_bytes = walked.content_bytes;
        let Some(round_ms) = pace.round_ms else {
            return Visits { run_ms: now_ms, content_bytes, ..self.clone() };
        };
        let plan = self.plan(pace, now_ms);
        let interval_ms = now_ms.saturating_sub(self.run_ms).max(0);
        let scrubbed = i64::try_from(walked.scrubbed_bytes).unwrap_or(i64::MAX);
        let credit_bytes = self.credit(round_ms, interval_ms).saturating_sub(scrubbed);
        // The end of the tree is its beginning; what was due beyond was read as well.
        let (end, is_round) = match reached == &Place::END {
            true => (plan.again_until.clone(), true),
            false => (reached.clone(), false),
        };
        let from = plan.from;
        let is_read = |place: &Place| match is_round {
            true => *place > from || *place <= end,
            false => *place > from && *place <= end,
        };
        let mut visits: Vec<Visit> =
            self.visits.iter().skip_while(|visit| is_read(&visit.to.place())).cloned().collect();
        let stop = if is_round && end == Place::START { Place::END } else { end.clone() };
        if stop != from || is_round {
            visits.push(Visit { to: Position::of(&stop), at_ms: now_ms });
        }
        forget(&mut visits);
        Visits { from: Position::of(&end), visits, run_ms: now_ms, credit_bytes, content_bytes }
    }
}

/// Keeps the list short: of two neighbours that are close in time the older time stands for both.
fn forget(visits: &mut Vec<Visit>) {
    while visits.len() > VISITS_MAX {
        let apart = |at: &usize| visits[at + 1].at_ms.saturating_sub(visits[*at].at_ms);
        let Some(closest) = (0..visits.len() - 1).min_by_key(apart) else { return };
        let older = visits[closest].at_ms.min(visits[closest + 1].at_ms);
        visits.remove(closest);
        visits[closest].at_ms = older;
    }
}

#[cfg(test)]
mod tests;
