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
mod dedup;
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
mod space;
mod sweep;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::point::{Outcome, Requests, SpaceHint, Statistics, VolumeIdentity, VolumeKind};
use crate::quarantine::Quarantine;
use crate::session::PointId;
use crate::source::{Source, SourceKind, Time};
use crate::store;

use ahead::{Ahead, READERS};
use begin::{Begun, ContinueFrom, begin, parent_to_look_at};
use dedup::Dedup;
use evacuate::Evacuation;
use journal::Journal;
use packer::{Destination, Packer};
use parent::Parent;
use pipeline::{Pipeline, Worker};
use recorder::{Limits, Recorder, Report};
use rows::Rows;
use sweep::{Sweep, Vanished};
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
    /// What it would cost; stored bytes without the merges of older metadata that may be due, requests those of looking.
    pub statistics: Statistics,
}

/// What a run has cost so far, apart from what the tally counts.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    seconds: f64,
    requests: Requests,
}

/// What a run has cost since it was started.
struct Clock<'a> {
    domain: &'a Domain,
    started: jiff::Timestamp,
    requests_before: store::Requests,
}

impl Clock<'_> {
    fn start(domain: &Domain) -> Clock<'_> {
        Clock { domain, started: domain.now(), requests_before: domain.store().requests() }
    }

    fn cost(&self) -> Cost {
        let store::Requests { put, get, list, delete, .. } = self.domain.store().requests().since(self.requests_before);
        Cost {
            seconds: (self.domain.now() - self.started).total(jiff::Unit::Second).unwrap_or(0.0),
            requests: Requests { put, get, list, delete },
        }
    }

    fn add_to(&self, statistics: Statistics) -> Statistics {
        let Cost { seconds, requests } = self.cost();
        Statistics { seconds, requests, ..statistics }
    }
}

/// How the memory budget is shared out.
struct Shares {
    pack_bytes_target: usize,
    buffers: usize,
    row_bytes_max: usize,
    dedup_bytes_max: usize,
    window_bytes: u64,
    ahead_bytes_max: u64,
    vanished_bytes_max: usize,
    moved_nodes_max: usize,
}

impl Shares {
    /// Three quarters for packs: one being filled, one per lane. The rest for blocks on their way, rows, hints and what is read of the parent.
    fn of(budget_bytes: usize) -> Result<Shares, Error> {
        if budget_bytes < MEMORY_BUDGET_BYTES_MIN {
            let (given, least) = (budget_bytes / MIB, MEMORY_BUDGET_BYTES_MIN / MIB);
            return Err(Error::Invalid(format!(
                "a memory budget of {given} MiB is too small; give at least {least} MiB"
            )));
        }
        Ok(Shares {
            pack_bytes_target: (budget_bytes / (LANES + 2) - MIB).min(PACK_BYTES_TARGET - MIB),
            buffers: (budget_bytes / 16 / MIB).clamp(2, 64),
            row_bytes_max: budget_bytes / 16,
            dedup_bytes_max: budget_bytes / 32,
            window_bytes: (budget_bytes / 16) as u64,
            ahead_bytes_max: (budget_bytes / 64) as u64,
            vanished_bytes_max: budget_bytes / 8,
            moved_nodes_max: budget_bytes / 64 / size_of::<u64>(),
        })
    }
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
    let Finished { tally, parent, statistics, .. } = drive(domain, source, options, begun, &clock)?;
    Ok(Preview {
        parent,
        outcome: tally.outcome(),
        missed: tally.missed,
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
    let Finished { tally, parent, statistics, point, space } = drive(domain, source, options, begun, &clock)?;
    Ok(BackupReport {
        space,
        point: point.ok_or_else(|| Error::Bug("a backup ended without a restore point".into()))?,
        parent,
        outcome: tally.outcome(),
        missed: tally.missed,
        not_captured: tally.listed,
        statistics: clock.add_to(statistics),
    })
}

/// What came out of a run.
struct Finished {
    tally: Tally,
    parent: Option<SessionId>,
    statistics: Statistics,
    point: Option<PointId>,
    space: Option<SpaceHint>,
}

/// Starts the stages and sweeps the source.
fn drive(
    domain: &Domain,
    source: &dyn Source,
    options: &BackupOptions,
    begun: Begun,
    clock: &Clock<'_>,
) -> Result<Finished, Error> {
    let Begun { session, resumed, parent, destination } = begun;
    let shares = Shares::of(options.memory_budget_bytes)?;
    let described = source.describe();
    let id = session.as_ref().map_or_else(|| domain.new_session(), |session| Ok(session.id()))?;
    let lanes = domain.store().threads(LANES);
    let workers = domain.store().threads(options.workers);
    let pack_bytes_target = shares.pack_bytes_target.min(options.pack_bytes);
    let (packer, lane) = Packer::new(domain, id, pack_bytes_target, lanes, destination)?;
    let rows = Rows::default();
    // Asked once, and only if there is something that could be damaged.
    let quarantine = parent.as_ref().map_or(Ok(Quarantine::default()), |_| Quarantine::list(domain))?;
    let evacuation = Evacuation::begin(parent.as_ref(), &quarantine, shares.moved_nodes_max)?;
    let dedup = Dedup::new(shares.dedup_bytes_max, evacuation.packs());
    if let Some(resumed) = &resumed {
        packer.begin_at(resumed.next_seq);
        dedup.resume(&resumed.segments);
    }
    let (pipeline, work) = Pipeline::new(pipeline::Parts {
        hashing: domain.hashing().clone(),
        level: options.level.unwrap_or(if parent.is_some() { LEVEL_INCREMENT } else { LEVEL_FULL }),
        packer: &packer,
        rows: &rows,
        parent: parent.as_ref(),
        dedup,
        buffers: shares.buffers,
        has_workers: workers > 0,
    });
    let kind = match described.kind {
        SourceKind::Filesystem => VolumeKind::Filesystem,
        SourceKind::File => VolumeKind::File,
        SourceKind::Block => VolumeKind::Block,
    };
    let checkpoint_bytes = session.is_some().then_some(options.checkpoint_bytes);
    let mut recorder = Recorder::new(recorder::Parts {
        domain,
        packer: &packer,
        rows: &rows,
        parent: parent.as_ref(),
        evacuation: &evacuation,
        session,
        identity: VolumeIdentity {
            name: options.volume.clone(),
            kind,
            source: described.location,
            host: options.host.clone(),
        },
        consistency: described.consistency,
        writer: options.writer(),
        limits: Limits { row_bytes_max: shares.row_bytes_max, checkpoint_bytes, window_bytes: shares.window_bytes },
        cancel: &options.cancel,
    });
    // Dropping a `stop` ends its threads, also when the run fails. Lanes outlive workers: a worker may be handing over a pack.
    let (stop_lanes, lanes_stopped) = crossbeam_channel::bounded::<()>(0);
    let (stop_workers, workers_stopped) = crossbeam_channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        let _stop_lanes = stop_lanes;
        for _ in 0..lanes {
            scope.spawn(|| packer.run_lane(&lane, &lanes_stopped));
        }
        std::thread::scope(|scope| {
            let _stop_workers = stop_workers;
            for _ in 0..workers {
                let mut worker = Worker::new(&pipeline)?;
                let (work, stopped) = (&work, &workers_stopped);
                scope.spawn(move || worker.run(work, stopped));
            }
            // The sweep holds the other end; readers end with it.
            let (jobs, asked) = crossbeam_channel::unbounded();
            let readers = domain.store().threads(READERS);
            for _ in 0..readers {
                let asked = asked.clone();
                scope.spawn(move || ahead::run_reader(&asked));
            }
            let ahead = Ahead::new((readers > 0).then_some(jobs), shares.ahead_bytes_max);
            let vanished = Vanished::new(shares.vanished_bytes_max);
            match run(
                source,
                options,
                clock,
                (&pipeline, (parent.as_ref(), &evacuation), &mut recorder, ahead, vanished),
            ) {
                Err(Error::Cancelled) => Err(packer.take_failure().unwrap_or(Error::Cancelled)),
                result => result,
            }
        })
    })
}

fn run<'s>(
    source: &'s dyn Source,
    options: &BackupOptions,
    clock: &Clock<'_>,
    parts: (&Pipeline<'_>, (Option<&Parent>, &Evacuation), &mut Recorder<'_>, Ahead<'s, sweep::Unread>, Vanished),
) -> Result<Finished, Error> {
    let (pipeline, (parent, evacuation), recorder, ahead, vanished) = parts;
    let mut sweep = Sweep::new(sweep::Parts {
        source,
        pipeline,
        parent,
        evacuation,
        recorder,
        started: Time { seconds: clock.started.as_second(), nanoseconds: 0 },
        cancel: &options.cancel,
        progress: &options.progress,
        ahead,
        vanished,
    });
    let next_node = sweep.run()?;
    let tally = sweep.into_tally();
    // Everything is in blobs only now, and only now the counters are final.
    pipeline.drain()?;
    let report = report_of(&tally, pipeline, &clock.cost());
    let (point, statistics) = match recorder.is_dry() {
        true => (None, recorder.finish_dry(report.statistics)?),
        false => {
            let (point, statistics) = recorder.finish(pipeline, next_node, report)?;
            (Some(point), statistics)
        }
    };
    if let Some(Err(error)) = pipeline.packer.journal().map(Journal::finish) {
        tracing::warn!(%error, "the journal of a finished backup could not be removed");
    }
    Ok(Finished {
        tally,
        parent: parent.filter(|parent| !parent.is_foreign()).map(|parent| parent.id().session),
        statistics,
        point,
        space: recorder.space(),
    })
}

fn report_of(tally: &Tally, pipeline: &Pipeline<'_>, cost: &Cost) -> Report {
    let bytes_moved = pipeline.counters.bytes_moved.load(Ordering::Relaxed);
    let statistics = Statistics {
        entries: tally.entries,
        bytes_scanned: tally.bytes_scanned,
        bytes_read: tally.bytes_read,
        bytes_changed: pipeline.counters.bytes_changed.load(Ordering::Relaxed),
        // What is moved is put as well, unless it was found elsewhere.
        bytes_new: pipeline.counters.bytes_put.load(Ordering::Relaxed).saturating_sub(bytes_moved),
        bytes_moved,
        seconds: cost.seconds,
        requests: cost.requests,
        ..Statistics::default()
    };
    Report { outcome: tally.outcome(), missed: tally.missed, statistics }
}

#[cfg(test)]
mod tests;
