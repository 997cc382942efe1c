//! Check: whether everything that valid restore points need is there and is what was written.
//!
//! In: a domain. Out: which objects are damaged, and which paths of which restore points that affects. Never: changes anything, stops because one object is damaged,
//! or calls something damaged because it is not needed.
//!
//! Structure, always: points, announcements, table footers, indexes and rows are opened and compared with each other; every pack is there, as long as it was, and
//! has the blobs that rows name; inodes, sums and signatures agree. Data, on request: every blob of every pack is fetched and its checksum, tag and segment hashes
//! are tested.

mod findings;
mod packs;
mod survey;
mod tables;
mod tree;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Error;
use crate::domain::Domain;
use crate::session::PointId;

use super::points::valid_points;

use findings::Findings;
use survey::Survey;

/// Paths of one point that are named; all are counted.
pub const AFFECTED_PATHS_MAX: usize = 1000;

/// What to check.
#[derive(Clone)]
pub struct CheckOptions {
    /// Fetches every pack that is needed and tests every blob.
    pub read_data: bool,
    /// Only the restore points of this volume.
    pub volume: Option<String>,
    /// Threads.
    pub workers: usize,
    /// For packs that are held in memory, in bytes; at least one pack is.
    pub memory_budget_bytes: usize,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
    /// Shows how far the check is.
    pub progress: Arc<CheckProgress>,
}

impl Default for CheckOptions {
    /// The structure of everything.
    fn default() -> CheckOptions {
        CheckOptions {
            read_data: false,
            volume: None,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            memory_budget_bytes: 128 << 20,
            cancel: Arc::default(),
            progress: Arc::default(),
        }
    }
}

/// How far a check is; read it from another thread.
#[derive(Debug, Default)]
pub struct CheckProgress {
    /// Tables whose rows were read.
    pub tables: AtomicU64,
    /// Packs that were looked at.
    pub packs: AtomicU64,
    /// Points whose tree was walked.
    pub points: AtomicU64,
    /// Bytes of packs that were read, without those of tables.
    pub bytes_read: AtomicU64,
}

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

/// A restore point that cannot be restored completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Which.
    pub point: PointId,
    /// The volume's name; its id where the name cannot be read.
    pub volume: String,
    /// What cannot be restored, at most [`AFFECTED_PATHS_MAX`]; `.`: metadata is missing, so anything may be affected.
    pub paths: Vec<String>,
    /// How many paths there are.
    pub paths_count: u64,
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
    /// Names in the domain that mean nothing to this program.
    pub unknown_objects: u64,
    /// Bytes fetched from the store.
    pub bytes_read: u64,
    /// Duration in seconds.
    pub seconds: f64,
}

/// Checks a domain, or one volume of it.
pub fn check(domain: &Domain, options: &CheckOptions) -> Result<CheckReport, Error> {
    let (started, before) = (domain.now(), domain.store().requests());
    let mut findings = Findings::default();
    let mut survey = Survey::of(domain, options, &mut findings)?;
    let tables = tables::scan(domain, options, &mut survey, &mut findings)?;
    let bad = packs::verify(domain, options, &survey, &tables, &mut findings)?;
    let mut affected = tree::affected(domain, options, &survey, (&tables, &bad), &mut findings)?;
    if !findings.is_empty() {
        // What was removed while it was looked at was not damaged.
        let volume = options.volume.as_deref().map(|name| domain.volume_id(name));
        let still: BTreeSet<_> =
            valid_points(domain, volume)?.iter().map(|point| (point.id.volume, point.id.session)).collect();
        findings.keep(|point| still.contains(&(point.volume, point.session)));
        affected.retain(|affected| still.contains(&(affected.point.volume, affected.point.session)));
    }
    let damaged = findings.into_damaged();
    let requests = domain.store().requests().since(before);
    Ok(CheckReport {
        outcome: if damaged.is_empty() && affected.is_empty() { CheckOutcome::Ok } else { CheckOutcome::Damaged },
        damaged,
        affected,
        points: survey.points.len() as u64,
        packs: survey.needed.len() as u64,
        tables: tables.tables.len() as u64,
        rows: tables.rows,
        packs_not_needed: survey.packs_not_needed(options.volume.is_some()),
        unknown_objects: survey.unknown_objects,
        bytes_read: requests.bytes_received,
        seconds: (domain.now() - started).total(jiff::Unit::Second).unwrap_or(0.0),
    })
}

fn check_cancel(options: &CheckOptions) -> Result<(), Error> {
    if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}
