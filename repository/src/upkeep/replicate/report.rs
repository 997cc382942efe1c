//! Report: what a replication did, and what it did not and why.

use serde::Serialize;

use crate::session::PointId;
use crate::store::Requests;

/// What was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Packs.
    pub packs: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Key files and keys of the domain.
    pub keys: u64,
}

/// Why a point of the source is not valid at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// The target has removed it by its own retention, for good.
    DoomedAtTarget,
    /// The source removed it while it was copied.
    GoneAtSource,
    /// Something that it needs is damaged, and is named in the report.
    Damaged,
}

/// A point that is valid at the source and not at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotReplicated {
    /// Which.
    pub point: PointId,
    /// Why.
    pub why: WhyNot,
}

/// One of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopySide {
    /// Where points come from.
    Source,
    /// Where they go.
    Target,
}

/// An object that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DamagedCopy {
    /// Where.
    pub at: CopySide,
    /// Its name in the store.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What a replication did; of a plan, what it would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicateReport {
    /// Points that were copied and are valid at the target now, the oldest first.
    pub replicated: Vec<PointId>,
    /// Points that were there.
    pub present: u64,
    /// Points that were left out because the source hides them.
    pub hidden: u64,
    /// Points that the target should have and has not.
    pub not_replicated: Vec<NotReplicated>,
    /// What is damaged at either place.
    pub damaged: Vec<DamagedCopy>,
    /// Keys at the target that the source has no more: whoever holds them opens the target still.
    pub keys_left: Vec<String>,
    /// What was put.
    pub copied: Copied,
    /// What was sent to the source.
    pub source_requests: Requests,
    /// What was sent to the target.
    pub target_requests: Requests,
    /// Duration in seconds.
    pub seconds: f64,
}

impl ReplicateReport {
    /// Adds what was done for another domain of the same repository; what all of them share is told once.
    pub fn add(&mut self, other: ReplicateReport) {
        self.replicated.extend(other.replicated);
        self.replicated.sort_by_key(|point| point.session);
        self.present += other.present;
        self.hidden += other.hidden;
        self.not_replicated.extend(other.not_replicated);
        let damaged = other.damaged.into_iter().filter(|damaged| !self.damaged.contains(damaged)).collect::<Vec<_>>();
        self.damaged.extend(damaged);
        let left = other.keys_left.into_iter().filter(|key| !self.keys_left.contains(key)).collect::<Vec<_>>();
        self.keys_left.extend(left);
        self.copied.packs += other.copied.packs;
        self.copied.bytes += other.copied.bytes;
        self.copied.keys += other.copied.keys;
        self.source_requests = self.source_requests + other.source_requests;
        self.target_requests = self.target_requests + other.target_requests;
        self.seconds += other.seconds;
    }

    pub(super) fn damage(&mut self, at: CopySide, object: &str, what: impl Into<String>) {
        self.damaged.push(DamagedCopy { at, object: object.to_owned(), what: what.into() });
    }

    pub(super) fn leave_out(&mut self, point: PointId, why: WhyNot) {
        self.not_replicated.push(NotReplicated { point, why });
    }
}
