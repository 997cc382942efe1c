//! Check: whether everything that valid restore points need is there and is what was written.
//!
//! In: a domain and a level. Out: which objects are damaged, which paths of which restore points that affects, which names do not count, and what quarantine should
//! be changed to. Never: changes anything, stops because one object is damaged, calls something damaged after one look, or because it is not needed.
//!
//! - [`CheckLevel::Objects`]: points are opened; everything that they need is listed, and as long as they say. No pack is read.
//! - [`CheckLevel::Structure`]: table footers, indexes and rows are opened and compared with each other; every pack has the blobs that rows name; inodes, sums and
//!   signatures agree. Packs in quarantine, and those in which a table cannot be read, are read whole.
//! - [`CheckLevel::Data`]: every blob of every pack is fetched, and its checksum, tag and segment hashes are tested.

mod findings;
mod packs;
mod report;
mod survey;
mod tables;
mod tree;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Error;
use crate::domain::Domain;
use crate::session::PointId;

use super::listing::valid_points;

pub use report::{
    Affected, CheckOutcome, CheckReport, DamagedObject, DamagedPack, IgnoredObject, Released, Unannounced,
};

use findings::Findings;
use survey::Survey;
use tables::Tables;

/// Paths of one point that are named; all are counted.
pub const AFFECTED_PATHS_MAX: usize = 1000;
/// Names that do not count are listed up to this; all are counted.
const IGNORED_MAX: usize = 1000;

/// How deep a check looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckLevel {
    /// What points need exists. The cheapest: lists, and one request per point.
    Objects,
    /// All metadata is read.
    #[default]
    Structure,
    /// Every stored byte is read.
    Data,
}

/// What to check.
#[derive(Clone)]
pub struct CheckOptions {
    /// How deep.
    pub level: CheckLevel,
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
            level: CheckLevel::Structure,
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

/// Checks a domain, or one volume of it.
pub fn check(domain: &Domain, options: &CheckOptions) -> Result<CheckReport, Error> {
    let (started, before) = (domain.now(), domain.store().requests());
    let mut findings = Findings::default();
    for key in domain.unreadable_keys() {
        findings.add(&key.object, &key.why, []);
    }
    let survey = Survey::of(domain, options, &mut findings)?;
    let tables = match options.level {
        CheckLevel::Objects => Tables::of_points(&survey),
        CheckLevel::Structure | CheckLevel::Data => tables::scan(domain, options, &survey, &mut findings)?,
    };
    let looked = packs::verify(domain, options, &survey, &tables, &mut findings)?;
    let mut affected = match options.level {
        CheckLevel::Objects => tree::affected_by_objects(&survey, &looked.bad),
        _ => tree::affected(domain, options, &survey, (&tables, &looked.bad), &mut findings)?,
    };
    let mut damaged_packs = looked.bad.stored_wrong(&survey, &tables);
    if !findings.is_empty() {
        keep_valid(domain, options, (&mut findings, &mut affected, &mut damaged_packs))?;
    }
    let to_quarantine =
        damaged_packs.iter().map(|damaged| damaged.pack).filter(|pack| !survey.quarantine.contains(*pack)).collect();
    let (quarantined, released) = survey.quarantine_after(&looked);
    let (damaged, transient) = findings.into_lists();
    let requests = domain.store().requests().since(before);
    let ignored_count = survey.ignored.len() as u64;
    Ok(CheckReport {
        outcome: if damaged.is_empty() && affected.is_empty() { CheckOutcome::Ok } else { CheckOutcome::Damaged },
        damaged,
        affected,
        transient,
        ignored_count,
        unannounced: survey.unannounced.clone(),
        sessions_running: survey.sessions_running,
        quarantined,
        damaged_packs,
        to_quarantine,
        released,
        points: survey.points.len() as u64,
        packs: survey.needed.len() as u64,
        tables: tables.tables.len() as u64,
        rows: tables.rows,
        packs_not_needed: survey.packs_not_needed(options.volume.is_some()),
        unknown_objects: survey.unknown_objects,
        ignored: survey.ignored.into_iter().take(IGNORED_MAX).collect(),
        bytes_read: requests.bytes_received,
        seconds: (domain.now() - started).total(jiff::Unit::Second).unwrap_or(0.0),
    })
}

/// What was removed while it was looked at was not damaged.
fn keep_valid(
    domain: &Domain,
    options: &CheckOptions,
    (findings, affected, damaged_packs): (&mut Findings, &mut Vec<Affected>, &mut Vec<DamagedPack>),
) -> Result<(), Error> {
    let volume = options.volume.as_deref().map(|name| domain.volume_id(name));
    let still: BTreeSet<PointId> = valid_points(domain, volume)?.iter().map(|point| point.id).collect();
    findings.keep(|point| still.contains(&point));
    affected.retain(|affected| still.contains(&affected.point));
    damaged_packs.iter_mut().for_each(|pack| pack.points.retain(|point| still.contains(point)));
    damaged_packs.retain(|pack| !pack.points.is_empty());
    Ok(())
}

fn check_cancel(options: &CheckOptions) -> Result<(), Error> {
    if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
