//! What a check found.

use crate::session::PointId;
use crate::tree::PackId;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// Nothing is wrong.
    Ok,
    /// Something is.
    Damaged,
}

/// An object that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DamagedObject {
    /// Its name in the store.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// An object whose name does not count.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IgnoredObject {
    /// Its name in the store, at most 400 characters of it.
    pub object: String,
    /// Why.
    pub why: String,
}

/// A restore point that is there but not announced, so that it does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unannounced {
    /// Which.
    pub point: PointId,
    /// The volume's name; its id where the name cannot be read.
    pub volume: String,
    /// What is left of it, and what that means.
    pub what: String,
}

/// A restore point that cannot be restored completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Which.
    pub point: PointId,
    /// The volume's name; its id where the name cannot be read.
    pub volume: String,
    /// What cannot be restored, at most [`super::AFFECTED_PATHS_MAX`]; `.`: metadata is missing, or was not read, so anything may be affected.
    pub paths: Vec<String>,
    /// How many paths there are.
    pub paths_count: u64,
}

/// A pack in quarantine that is good again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Which.
    pub pack: PackId,
    /// The reports that were listed before the pack was read: those that may be removed.
    pub reports: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    /// The verdict.
    pub outcome: CheckOutcome,
    /// What is damaged, by name.
    pub damaged: Vec<DamagedObject>,
    /// Which restore points that affects.
    pub affected: Vec<Affected>,
    /// What was bad once and good when it was read again: the way to the store is bad, not the object.
    pub transient: Vec<DamagedObject>,
    /// Names that do not count, the first of them: marks and damage reports that upkeep did not sign, and what is spelled like nothing.
    pub ignored: Vec<IgnoredObject>,
    /// How many there are.
    pub ignored_count: u64,
    /// Restore points without an announcement. Those that are whole are damage, the others remnants.
    pub unannounced: Vec<Unannounced>,
    /// Announced sessions that have not committed and are not called dead (not counted for one volume alone).
    pub sessions_running: u64,
    /// Packs in quarantine that are not known to be good again.
    pub quarantined: Vec<PackId>,
    /// Packs whose stored bytes are wrong and that are not in quarantine yet.
    pub to_quarantine: Vec<PackId>,
    /// Packs in quarantine that are good again.
    pub released: Vec<Released>,
    /// Valid restore points that were checked.
    pub points: u64,
    /// Packs that they need.
    pub packs: u64,
    /// Tables that they list.
    pub tables: u64,
    /// Rows in these.
    pub rows: u64,
    /// Packs that no valid restore point needs (not counted for one volume alone): of runs under way, or for the collector.
    pub packs_not_needed: u64,
    /// Names among packs, points and sessions that mean nothing to this program.
    pub unknown_objects: u64,
    /// Bytes fetched from the store.
    pub bytes_read: u64,
    /// Duration in seconds.
    pub seconds: f64,
}
