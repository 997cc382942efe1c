//! Replicate: a domain's restore points are copied into another store, byte for byte, as docs/protocol.md has it; the steps keep their names, R0 to R5.
//!
//! In: a domain at its source, and a store. Out: a repository there that has copies of the source's valid points, and what was not copied and why. Never: needs a key of
//! names or content, writes at the source, puts a pack that it has not proven, replaces a pack that stands at the target, or copies marks or reports of damage.
//!
//! The stages: [`place`] makes the target a replica, [`look`] decides what is missing there (R0), [`copy`] copies it in batches of points (R1 to R5), each pack once and
//! only after [`proof`]. A run that is killed anywhere leaves nothing that the next one would have to undo: a point counts when its `.open` is there, which comes last.

mod copy;
mod look;
mod place;
mod proof;
mod report;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::VolumeId;

use crate::Error;
use crate::domain::Domain;
use crate::store::Store;

pub use report::{Copied, CopySide, DamagedCopy, NotReplicated, ReplicateReport, WhyNot};

/// Memory for objects on their way, unless told otherwise.
const MEMORY_BUDGET_BYTES_DEFAULT: u64 = 128 << 20;

/// What to replicate, and how.
#[derive(Clone, Debug)]
pub struct ReplicateOptions {
    /// Only points of these volumes; none: of all.
    pub volumes: BTreeSet<VolumeId>,
    /// Also points that were retired at the source; at the target they are shown.
    pub hidden: bool,
    /// So many bytes of objects are in memory at the same time, or one object that is larger.
    pub memory_budget_bytes: u64,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
    /// Shows how far it is.
    pub progress: Arc<ReplicateProgress>,
}

/// How far a replication is; read it from another thread.
#[derive(Debug, Default)]
pub struct ReplicateProgress {
    /// Points that are done, one way or the other.
    pub points: AtomicU64,
    /// Points that the target lacked.
    pub points_total: AtomicU64,
    /// Packs that were put.
    pub packs: AtomicU64,
    /// Bytes of these.
    pub bytes: AtomicU64,
}

impl Default for ReplicateOptions {
    fn default() -> ReplicateOptions {
        ReplicateOptions {
            volumes: BTreeSet::new(),
            hidden: false,
            memory_budget_bytes: MEMORY_BUDGET_BYTES_DEFAULT,
            cancel: Arc::default(),
            progress: Arc::default(),
        }
    }
}

impl ReplicateOptions {
    fn check_cancel(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The two places of one domain.
struct Places {
    source: Domain,
    target: Domain,
}

/// Copies what the target lacks.
pub fn replicate(source: &Domain, target: &Store, options: &ReplicateOptions) -> Result<ReplicateReport, Error> {
    let (started, places) = begin(source, target);
    let sent = (source.store().requests(), target.requests());
    let mut report = ReplicateReport::default();
    let found = place::inspect(&places)?;
    place::prepare(&places, &found, &mut report)?;
    let looked = look::look(&places, options, &mut report)?; // R0
    // After the list of points: what these need was there before them.
    place::copy_domain_keys(&places, &mut report)?;
    options.progress.points_total.fetch_add(looked.lacking.len() as u64, Ordering::Relaxed);
    copy::copy(&places, &looked, options, &mut report)?; // R1 to R5
    report.source_requests = source.store().requests().since(sent.0);
    report.target_requests = target.requests().since(sent.1);
    report.seconds = (source.now() - started).total(jiff::Unit::Second).unwrap_or(0.0);
    Ok(report)
}

/// What [`replicate`] would copy now; nothing is written, and no pack is read.
pub fn plan_replication(source: &Domain, target: &Store, options: &ReplicateOptions) -> Result<ReplicateReport, Error> {
    let (started, places) = begin(source, target);
    let sent = (source.store().requests(), target.requests());
    let mut report = ReplicateReport::default();
    place::inspect(&places)?;
    let looked = look::look(&places, options, &mut report)?;
    copy::plan(&places, &looked, options, &mut report)?;
    report.source_requests = source.store().requests().since(sent.0);
    report.target_requests = target.requests().since(sent.1);
    report.seconds = (source.now() - started).total(jiff::Unit::Second).unwrap_or(0.0);
    Ok(report)
}

fn begin(source: &Domain, target: &Store) -> (jiff::Timestamp, Places) {
    (source.now(), Places { source: source.clone(), target: source.on(target.clone()) })
}
