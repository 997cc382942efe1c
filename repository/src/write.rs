//! Write: a source becomes a restore point.
//!
//! In: a source, a domain, and options. Out: one restore point that is complete or says what is missing, and a report. Never: changes the source, waits for
//! another writer, or needs more memory than its budget, whatever the source.
//!
//! The stages, in the order in which data meets them: [`sweep`] finds what differs, [`ahead`] and [`content`] read it, [`pipeline`] hashes, compares, deduplicates and
//! compresses it on all cores, [`packer`] seals it into packs and puts them, [`rows`] and [`recorder`] write the metadata and the restore point.

mod ahead;
mod ascending;
mod balance;
mod begin;
mod block;
mod content;
mod cost;
mod dedup;
mod drive;
mod evacuate;
mod frontier;
mod inode;
mod journal;
mod losses;
mod moving;
mod packer;
mod parent;
mod path;
mod pipeline;
mod recorder;
mod rows;
mod shares;
mod space;
mod sweep;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::point::{Outcome, SpaceHint, Statistics};
use crate::session::PointId;
use crate::source::Source;

use begin::{Begun, ContinueFrom, begin, parent_to_look_at};
use cost::Clock;
use drive::{Finished, drive};
use packer::Destination;

use tally::Tally;

pub use tally::NotCaptured;

/// zstd level of a first backup: twice as fast as level 1 for two points of ratio (research, "CPU budget").
const LEVEL_FULL: i32 = -1;
/// zstd level of an increment, which is small.
const LEVEL_INCREMENT: i32 = 1;
const MIB: usize = 1 << 20;
/// The least memory with which a backup works.
pub const MEMORY_BUDGET_BYTES_MIN: usize = 32 * MIB;
/// The memory budget unless told otherwise.
pub const MEMORY_BUDGET_BYTES_DEFAULT: usize = 128 * MIB;
/// Packs are cut here unless memory is short.
const PACK_BYTES_TARGET: usize = 32 * MIB;
/// Packs being put at the same time.
const LANES: usize = 2;

/// How to back up.
#[derive(Clone)]
pub struct BackupOptions {
    /// The name under which the volume is protected.
    pub volume: String,
    /// This machine, for people.
    pub host: String,
    /// This process, for people.
    pub process: u32,
    /// For everything that is held in memory, in bytes; at least [`MEMORY_BUDGET_BYTES_MIN`].
    pub memory_budget_bytes: usize,
    /// Packs are cut here, unless memory is short: what is sent with one request, and again if it fails. At most 32 MiB.
    pub pack_bytes: usize,
    /// Threads that hash and compress.
    pub workers: usize,
    /// zstd level; `None`: fast for a first backup, a little better for an increment.
    pub level: Option<i32>,
    /// A checkpoint after so many stored bytes.
    pub checkpoint_bytes: u64,
    /// Where a journal is kept, so that a killed run goes on where it was; `None`: from its last checkpoint.
    pub journal_directory: Option<PathBuf>,
    /// The name of a volume that this one is much like, as a clone is: its newest restore point is what a first backup is compared with. Everything is read, and what
    /// differs is stored.
    pub like: Option<String>,
    /// A source with more entries is refused on the way: a directory that somebody extends in front of the sweep, or a filesystem that makes up its names, has no end.
    pub entries_max: u64,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
    /// Shows how far the run is.
    pub progress: Arc<Progress>,
}

impl BackupOptions {
    /// The usual: all cores, 128 MiB, a checkpoint per GiB.
    pub fn new(volume: &str, host: &str) -> BackupOptions {
        BackupOptions {
            volume: volume.to_owned(),
            host: host.to_owned(),
            process: std::process::id(),
            memory_budget_bytes: MEMORY_BUDGET_BYTES_DEFAULT,
            pack_bytes: PACK_BYTES_TARGET,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            level: None,
            checkpoint_bytes: 1 << 30,
            journal_directory: None,
            like: None,
            entries_max: u64::MAX,
            cancel: Arc::default(),
            progress: Arc::default(),
        }
    }
}

impl BackupOptions {
    /// Who writes, for people.
    fn writer(&self) -> String {
        format!("{} (pid {})", self.host, self.process)
    }
}

/// How far a run is; read it from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries seen.
    pub entries: AtomicU64,
    /// Logical bytes of them.
    pub bytes_scanned: AtomicU64,
    /// Bytes read.
    pub bytes_read: AtomicU64,
}

/// How far stamps were relied on, and whether they deserved it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proof {
    /// Why everything was read; `None` if it was not.
    pub full_pass: Option<String>,
    /// How many files had another content than the restore point before says, although their stamps said that it had not changed.
    pub silent_changes: u64,
    /// The first of them, by path.
    pub silently_changed: Vec<String>,
}

impl Proof {
    fn of(full_pass: Option<String>, tally: &Tally) -> Proof {
        Proof { full_pass, silent_changes: tally.silent, silently_changed: tally.silent_listed.clone() }
    }
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct BackupReport {
    /// The restore point.
    pub point: PointId,
    /// The one that it continued.
    pub parent: Option<SessionId>,
    /// Whether everything was captured.
    pub outcome: Outcome,
    /// How many things were not captured.
    pub missed: u64,
    /// The first of them.
    pub not_captured: Vec<NotCaptured>,
    /// How it was decided what to read.
    pub proof: Proof,
    /// What it cost.
    pub statistics: Statistics,
    /// How much of the restore point's packs is needed, as far as it is known; without what merges let go of since it was last counted.
    pub space: Option<SpaceHint>,
}

/// What a backup would do.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The restore point that it would continue.
    pub parent: Option<SessionId>,
    /// Whether everything could be captured.
    pub outcome: Outcome,
    /// How many things could not.
    pub missed: u64,
    /// The first of them.
    pub not_captured: Vec<NotCaptured>,
    /// How it was decided what to read.
    pub proof: Proof,
    /// What it would cost; stored bytes without the merges of older metadata that may be due, requests those of looking.
    pub statistics: Statistics,
}

/// Backs up a source as a volume of a domain.
///
/// If the metadata of the restore point that it continues turns out to be damaged, everything is read and stored again: damage costs space, never the next backup.
pub fn backup(domain: &Domain, source: &dyn Source, options: &BackupOptions) -> Result<BackupReport, Error> {
    match attempt(domain, source, options, ContinueFrom::Newest) {
        Err(error) if error.class() == model::ErrorClass::Corrupt => {
            tracing::warn!(%error, "the restore point to continue from is damaged; everything is read and stored again");
            attempt(domain, source, options, ContinueFrom::Nothing)
        }
        result => result,
    }
}

/// Does everything that a backup does, except that nothing is stored, announced or remembered.
pub fn preview(domain: &Domain, source: &dyn Source, options: &BackupOptions) -> Result<Preview, Error> {
    let clock = Clock::start(domain);
    let parent = parent_to_look_at(domain, options)?;
    let begun = Begun { session: None, resumed: None, parent, destination: Destination::Nowhere };
    let Finished { tally, full_pass, parent, statistics, .. } = drive(domain, source, options, begun, &clock)?;
    Ok(Preview {
        parent,
        outcome: tally.outcome(),
        missed: tally.missed,
        proof: Proof::of(full_pass, &tally),
        not_captured: tally.listed,
        statistics: clock.add_to(statistics),
    })
}

fn attempt(
    domain: &Domain,
    source: &dyn Source,
    options: &BackupOptions,
    from: ContinueFrom,
) -> Result<BackupReport, Error> {
    let clock = Clock::start(domain);
    let begun = begin(domain, options, from)?;
    let Finished { tally, full_pass, parent, statistics, point, space } =
        drive(domain, source, options, begun, &clock)?;
    Ok(BackupReport {
        space,
        point: point.ok_or_else(|| Error::Bug("a backup ended without a restore point".into()))?,
        parent,
        outcome: tally.outcome(),
        missed: tally.missed,
        proof: Proof::of(full_pass, &tally),
        not_captured: tally.listed,
        statistics: clock.add_to(statistics),
    })
}

#[cfg(test)]
mod tests;
