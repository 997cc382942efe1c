//! Drive: the stages of a run are put together, and the source is swept.
//!
//! In: a session with its parent, or none for a dry run. Out: what the run did; with a session, its restore point. Never: leaves a thread behind, however the run ends.

use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::point::{SpaceHint, Statistics, VolumeIdentity, VolumeKind};
use crate::quarantine::Quarantine;
use crate::session::PointId;
use crate::source::{ReadPlan, Record, Source, SourceDescription, SourceKind, Time};

use super::ahead::{self, Ahead, READERS};
use super::begin::Begun;
use super::cost::{Clock, Cost};
use super::dedup::Dedup;
use super::evacuate::Evacuation;
use super::journal::Journal;
use super::packer::{Lane, Packer};
use super::parent::Parent;
use super::pipeline::{self, Job, Pipeline, Worker};
use super::recorder::{self, Limits, Recorder, Report};
use super::rows::Rows;
use super::shares::Shares;
use super::sweep::{self, Sweep, Unread, Vanished};
use super::tally::Tally;
use super::{BackupOptions, LANES, LEVEL_FULL, LEVEL_INCREMENT};

/// What came out of a run.
pub(super) struct Finished {
    pub(super) tally: Tally,
    /// Why everything was read.
    pub(super) full_pass: Option<String>,
    pub(super) parent: Option<SessionId>,
    pub(super) statistics: Statistics,
    pub(super) point: Option<PointId>,
    pub(super) space: Option<SpaceHint>,
}

/// Starts the stages and sweeps the source.
pub(super) fn drive(
    domain: &Domain,
    source: &dyn Source,
    options: &BackupOptions,
    begun: Begun,
    clock: &Clock<'_>,
) -> Result<Finished, Error> {
    let Begun { session, resumed, parent, destination } = begun;
    let shares = Shares::of(options.memory_budget_bytes)?;
    let id = session.as_ref().map_or_else(|| domain.new_session(), |session| Ok(session.id()))?;
    let threads = Threads::of(domain, options);
    let pack_bytes_target = shares.pack_bytes_target.min(options.pack_bytes);
    let (packer, lane) = Packer::new(domain, id, pack_bytes_target, threads.lanes, destination)?;
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
        has_workers: threads.workers > 0,
    });
    let described = source.describe();
    let checkpoint_bytes = session.is_some().then_some(options.checkpoint_bytes);
    let mut recorder = Recorder::new(recorder::Parts {
        domain,
        packer: &packer,
        rows: &rows,
        parent: parent.as_ref(),
        evacuation: &evacuation,
        session,
        consistency: described.consistency,
        identity: identity_of(described, options),
        writer: options.writer(),
        limits: Limits { row_bytes_max: shares.row_bytes_max, checkpoint_bytes, window_bytes: shares.window_bytes },
        cancel: &options.cancel,
    });
    threads.beside((&packer, &lane), (&pipeline, &work), shares.ahead_bytes_max, |ahead| {
        let vanished = Vanished::new(shares.vanished_bytes_max);
        run(source, options, clock, (&pipeline, (parent.as_ref(), &evacuation), &mut recorder, ahead, vanished))
    })
}

fn identity_of(described: SourceDescription, options: &BackupOptions) -> VolumeIdentity {
    let kind = match described.kind {
        SourceKind::Filesystem => VolumeKind::Filesystem,
        SourceKind::File => VolumeKind::File,
        SourceKind::Block => VolumeKind::Block,
    };
    VolumeIdentity { name: options.volume.clone(), kind, source: described.location, host: options.host.clone() }
}

/// How many threads there are beside the sweep's own.
#[derive(Clone, Copy)]
struct Threads {
    lanes: usize,
    workers: usize,
    readers: usize,
}

impl Threads {
    fn of(domain: &Domain, options: &BackupOptions) -> Threads {
        let store = domain.store();
        Threads {
            lanes: store.threads(LANES),
            workers: store.threads(options.workers),
            readers: store.threads(READERS),
        }
    }

    /// Runs `sweep` while the others do what it asks for.
    fn beside<'s, T>(
        self,
        (packer, lane): (&Packer, &Lane),
        (pipeline, work): (&Pipeline<'_>, &Receiver<Job>),
        ahead_bytes_max: u64,
        sweep: impl FnOnce(Ahead<'s, Unread>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Dropping a `stop` ends its threads, also when the run fails. Lanes outlive workers: a worker may be handing over a pack.
        let (stop_lanes, lanes_stopped) = crossbeam_channel::bounded::<()>(0);
        let (stop_workers, workers_stopped) = crossbeam_channel::bounded::<()>(0);
        std::thread::scope(|scope| {
            let _stop_lanes = stop_lanes;
            for _ in 0..self.lanes {
                scope.spawn(|| packer.run_lane(lane, &lanes_stopped));
            }
            std::thread::scope(|scope| {
                let _stop_workers = stop_workers;
                for _ in 0..self.workers {
                    let mut worker = Worker::new(pipeline)?;
                    let stopped = &workers_stopped;
                    scope.spawn(move || worker.run(work, stopped));
                }
                // The sweep holds the other end; readers end with it.
                let (jobs, asked) = crossbeam_channel::unbounded();
                for _ in 0..self.readers {
                    let asked = asked.clone();
                    scope.spawn(move || ahead::run_reader(&asked));
                }
                match sweep(Ahead::new((self.readers > 0).then_some(jobs), ahead_bytes_max)) {
                    Err(Error::Cancelled) => Err(packer.take_failure().unwrap_or(Error::Cancelled)),
                    result => result,
                }
            })
        })
    }
}

fn run<'s>(
    source: &'s dyn Source,
    options: &BackupOptions,
    clock: &Clock<'_>,
    parts: (&Pipeline<'_>, (Option<&Parent>, &Evacuation), &mut Recorder<'_>, Ahead<'s, Unread>, Vanished),
) -> Result<Finished, Error> {
    let (pipeline, (parent, evacuation), recorder, ahead, vanished) = parts;
    // Without a parent of its own everything is new, and is read anyway.
    let own = parent.filter(|parent| !parent.is_foreign());
    let record = own.map(|parent| parent.point().description.trust.clone()).unwrap_or_default();
    let plan = own.map_or_else(ReadPlan::default, |_| source.plan(&record));
    let full_pass = plan.full_pass.clone();
    let mut sweep = Sweep::new(sweep::Parts {
        source,
        pipeline,
        parent,
        evacuation,
        recorder,
        started: Time { seconds: clock.started.as_second(), nanoseconds: 0 },
        record,
        plan,
        cancel: &options.cancel,
        entries_max: options.entries_max,
        progress: &options.progress,
        ahead,
        vanished,
    });
    let next_node = sweep.run()?;
    // Everything is in blobs only now, and only now the counters are final.
    pipeline.drain()?;
    let (tally, record) = sweep.into_tally();
    let report = report_of(&tally, record, pipeline, &clock.cost());
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
        full_pass,
        parent: parent.filter(|parent| !parent.is_foreign()).map(|parent| parent.id().session),
        statistics,
        point,
        space: recorder.space(),
    })
}

pub(super) fn report_of(tally: &Tally, record: Record, pipeline: &Pipeline<'_>, cost: &Cost) -> Report {
    let bytes_moved = pipeline.counters.bytes_moved.load(Ordering::Relaxed);
    let statistics = Statistics {
        entries: tally.entries,
        bytes_scanned: tally.bytes_scanned,
        bytes_read: tally.bytes_read,
        bytes_scrubbed: tally.bytes_scrubbed,
        bytes_changed: pipeline.counters.bytes_changed.load(Ordering::Relaxed),
        // What is moved is put as well, unless it was found elsewhere.
        bytes_new: pipeline.counters.bytes_put.load(Ordering::Relaxed).saturating_sub(bytes_moved),
        bytes_moved,
        seconds: cost.seconds,
        requests: cost.requests,
        ..Statistics::default()
    };
    Report { outcome: tally.outcome(), missed: tally.missed, statistics, record }
}
