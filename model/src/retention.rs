//! Retention: which restore points of a volume stay.
//!
//! In: a [`Policy`], all valid points of **one** volume that are not retired, as [`Candidate`]s, and `now`. Out: for each of them [`Verdict::Keep`] with every reason, or
//! [`Verdict::Retire`] with one. Never: reads a clock, asks a store, retires everything, or lets one point push out another before it has been there for the minimum age.
//!
//! **The rules that people know** from restic and borg: `last N` keeps the N newest; `hourly N` to `yearly N` keep the newest of each of the N newest hours, days, ISO weeks,
//! months and years *that have a point*, by the calendar of the time zone; where a rule has room left, it keeps the oldest too; `within D` counts back from the newest
//! point, not from now, so that a volume that is backed up no more loses nothing. A point stays if any rule keeps it.
//!
//! **What always stays**: the newest, the newest good, the newest good that was verified; what is held; what is younger than the minimum age. A checkpoint is neither counted
//! nor retired (the collector removes it by a rule of its own), and so is a session with an abort mark, which may still become dead.
//!
//! **Whose clock.** `created` was written by the agent, `arrived` by the store, and either may be wrong.
//! - A point cannot have been made after it arrived: from an hour on, the time of arrival counts ([`SKEW_MS`]). So a clock that is ahead costs nothing.
//! - `created` may lie long before `arrived`: in a repository that was copied, with a writer whose clock is behind, or where somebody antedates. Such a point is [`Class::Late`]:
//!   it fills slots as if those that arrived in time were alone, and pushes none of these out.
//! - A time after `now` (no arrival known, or the collector's clock behind) fills no slot and pushes nobody out; the point stays until its time has come.
//! - Parents say in which order points were made: a child is newer than its parent whatever the times say. That decides who is newest and what `last` counts. It does not
//!   decide the calendar's slots: raised to its parent's time, every point after a single one of next year would fall into one day, and be thinned out with it.
//! - The minimum age counts from the later of both times; slots do not depend on `now` at all, so a collector whose clock jumps ahead loses the minimum age and nothing else.
//!
//! **Against an agent that floods a volume** with formally valid complete points, honestly: what it put within the minimum age pushes nobody out, so whoever looks at least
//! that often is in time. What it antedates never pushes out a point that arrived when it says. After the minimum age its points take the slots of the days on which
//! they were put, and older points go as they would have gone anyway: one slot for each hour, day or week that really passed. `last N` has no such brake: N points
//! of one minute fill it. Use it beside calendar rules, not alone. The last verified good point never goes, whatever comes.
//! There is no cap on how many points one run retires: without knowing how much time passed between two runs it would promise nothing, and adding a rule could make
//! another point go. The collector's share limit and the grace period between retired and doomed are that brake.
//!
//! **A partial point** never counts as good: it fills a slot only where no good point does, and takes no slot from one.

mod order;
mod policy;
mod slots;
mod verdict;

use std::collections::BTreeSet;

use crate::SessionId;

pub use policy::{KeepCount, ParseKeepError, Policy};
pub use verdict::{KeepReason, RetireReason, Rule, Verdict};

/// Clocks may differ by so much before one is not believed. An hour: more than any machine with a time service, less than any slot but the shortest.
pub const SKEW_MS: i64 = 60 * 60 * 1000;

/// A restore point that may stay or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: SessionId,
    /// When its writer says that it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When the store says that it arrived; `None` where nobody knows.
    pub arrived_ms: Option<i64>,
    /// The point that it continued.
    pub parent: Option<SessionId>,
    /// Everything was captured.
    pub complete: bool,
    /// Made on the way of a run.
    pub checkpoint: bool,
    /// Somebody whom the caller believes has read all of it, or restored it.
    pub verified: bool,
    /// Somebody wants it to stay.
    pub held: bool,
    /// It has an abort mark and may still become dead.
    pub aborted: bool,
}

/// What becomes of one candidate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// Which.
    pub id: SessionId,
    /// The time by which it was put into slots, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// Stay or go.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How much a point may push out. A better class fills slots as if the others were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Complete, and it arrived when it says that it was made, as far as anybody knows.
    Good,
    /// Complete; it says that it was made long before it arrived.
    Late,
    /// Something is missing.
    Partial,
}

/// A candidate that fills slots.
#[derive(Clone, Copy, Debug)]
struct Filler {
    /// Its place among the candidates.
    index: usize,
    /// Its place in the true order, the oldest first.
    rank: usize,
    time_ms: i64,
    class: Class,
    verified: bool,
}

/// Decides for every candidate of one volume; oldest first, in the order in which they were made (one whose time has not come stands beside its parent). Every id stands once;
/// of several with one id, one counts.
pub fn decide(policy: &Policy, candidates: &[Candidate], now_ms: i64) -> Vec<Decision> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|point| (point.id, point.created_ms, point.arrived_ms, point.parent));
    sorted.dedup_by_key(|point| point.id);
    let places = order::places(&sorted, now_ms);
    let mut reasons: Vec<BTreeSet<KeepReason>> =
        sorted.iter().zip(&places).map(|(point, place)| unconditional(policy, point, place, now_ms)).collect();
    let fillers: Vec<Filler> = sorted
        .iter()
        .zip(&places)
        .enumerate()
        .filter(|(index, _)| counts(&reasons[*index]) && !reasons[*index].contains(&KeepReason::Young))
        .map(|(index, (point, place))| Filler {
            index,
            rank: place.rank,
            time_ms: place.time_ms,
            class: class(point),
            verified: point.verified,
        })
        .collect();
    for (index, reason) in slots::kept(policy, &fillers) {
        reasons[index].insert(reason);
    }
    anchor(&places, &mut reasons);
    let mut decisions: Vec<(usize, Decision)> = Vec::with_capacity(sorted.len());
    for ((point, place), reasons) in sorted.iter().zip(&places).zip(reasons) {
        let verdict = Verdict::new(reasons, class(point));
        decisions.push((place.rank, Decision { id: point.id, time_ms: place.time_ms, verdict }));
    }
    decisions.sort_by_key(|(rank, _)| *rank);
    decisions.into_iter().map(|(_, decision)| decision).collect()
}

/// Why a point stays whatever the others are.
fn unconditional(policy: &Policy, point: &Candidate, place: &order::Place, now_ms: i64) -> BTreeSet<KeepReason> {
    let known_since = place.time_ms.max(point.arrived_ms.unwrap_or(i64::MIN));
    let reasons = [
        (point.held, KeepReason::Held),
        (point.checkpoint, KeepReason::Checkpoint),
        (point.aborted, KeepReason::Aborted),
        (place.time_ms > now_ms, KeepReason::Future),
        (policy.is_younger_than_minimum(known_since, now_ms), KeepReason::Young),
    ];
    reasons.into_iter().filter(|(applies, _)| *applies).map(|(_, reason)| reason).collect()
}

/// True if the point counts at all: it may fill slots unless it is too young for that, and others may.
fn counts(reasons: &BTreeSet<KeepReason>) -> bool {
    ![KeepReason::Checkpoint, KeepReason::Aborted, KeepReason::Future].iter().any(|reason| reasons.contains(reason))
}

fn class(point: &Candidate) -> Class {
    let late = point.arrived_ms.is_some_and(|arrived| arrived.saturating_sub(point.created_ms) > SKEW_MS);
    match (point.complete, late) {
        (false, _) => Class::Partial,
        (true, true) => Class::Late,
        (true, false) => Class::Good,
    }
}

/// A point whose own time is not later than its parent's is in order only as long as that parent is there: it stays too, or the next run would decide otherwise.
fn anchor(places: &[order::Place], reasons: &mut [BTreeSet<KeepReason>]) {
    let kept = |reasons: &BTreeSet<KeepReason>| !reasons.is_empty() && counts(reasons);
    let kept: Vec<usize> = (0..places.len()).filter(|at| kept(&reasons[*at])).collect();
    for mut at in kept {
        while let Some(parent) = places[at].relies_on {
            if !reasons[parent].insert(KeepReason::Order) {
                break;
            }
            at = parent;
        }
    }
}

#[cfg(test)]
mod tests;
