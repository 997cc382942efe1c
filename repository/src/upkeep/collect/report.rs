//! Report: what a run would do, and what it did.

use crate::marks::InvalidMark;
use crate::session::PointId;

use super::plan::{Doom, Ended, GoneNames, GonePack};

/// What a run has decided, to be looked at before it is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collection {
    /// Restore points that are over from this run on.
    pub dooms: Vec<Doom>,
    /// Packs to delete.
    pub packs: Vec<GonePack>,
    /// Announcements, points and marks to delete.
    pub(super) names: Vec<GoneNames>,
    /// T3: marks `doomed` are not deleted.
    pub(super) tombstones_stay: bool,
    /// What means nothing any more.
    pub(super) debris: Vec<String>,
    /// Sessions to end.
    pub silent: Vec<Ended>,
    /// Restore points whose announcement is gone: no reader believes them. They are retired.
    pub lost_announcements: Vec<PointId>,
    /// Why nothing is deleted, if so.
    pub blocked: Option<String>,
    /// Restore points that keep their packs.
    pub roots: u64,
    /// Sessions that keep their packs and those of their pins.
    pub running: u64,
    /// Other collector runs that are announced: names of restore points that are over wait for a run without company.
    pub other_runs: u64,
    /// Bytes of packs that stay.
    pub kept_bytes: u64,
    /// What lies among the marks and does not count.
    pub ignored: Vec<InvalidMark>,
}

impl Collection {
    /// Stored bytes of the packs to delete.
    pub fn gone_bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.bytes).sum()
    }
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Packs.
    pub packs: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Announcements, points, marks and what else was left of names.
    pub names: u64,
}

/// What a run decided and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectReport {
    /// What was decided.
    pub collection: Collection,
    /// What was deleted; nothing if it was only planned.
    pub deleted: Deleted,
    /// Sessions that were ended; one that committed at the last moment is not among them.
    pub ended: Vec<Ended>,
}

impl CollectReport {
    pub(super) fn planned(collection: Collection) -> CollectReport {
        CollectReport { collection, ..CollectReport::default() }
    }
}
