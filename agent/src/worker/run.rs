//! Run: inside a worker, from its job to its end.
//!
//! In: a job and keys on standard input, which stays open as long as the work is wanted. Out: events on standard output. Never: starts a thread or opens a volume before
//! the process is confined.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use model::ErrorClass;
use repository::domain::{Clock, Domain};
use repository::keys::{DomainGrant, Random};
use repository::source::{Source, Time};
use repository::store::{Location, Store};
use repository::write::{BackupOptions, BackupReport, MEMORY_BUDGET_BYTES_MIN, Progress, backup};
use volume::confine::{Confinement, FOR_BACKUP, confine, step_back};
use volume::{Asked, OpenError, SourceOptions, Watching, open_source};

use super::inflight::{InFlight, Looks};
use super::job::{self, Beat, Done, Event, Failed, Job};
use super::manners::{self, Manners, Monotonic, Sleep};
use super::watched::Watched;

/// What a worker takes beside the engine's budget: the program, stacks of its threads, buffers of its connections. Limits count what is mapped, not what is used.
const BESIDE_BYTES: u64 = 40 << 20;
const MAPPED_BYTES: u64 = 192 << 20;
/// Directories under way, files being read, connections to the store, and room.
const FILES_MAX: u64 = 512;
/// The least that a worker can be given.
pub const MEMORY_BYTES_MIN: u64 = MEMORY_BUDGET_BYTES_MIN as u64 + BESIDE_BYTES;

/// Opens a store with the settings of a job.
pub type OpenStore<'a> = dyn FnOnce(&Job) -> Result<Store, Failed> + 'a;

/// What the program gives to a worker.
pub struct Parts<'a> {
    /// Called when the process is confined.
    pub open_store: Box<OpenStore<'a>>,
    /// The clock that stamps files.
    pub clock: Clock,
    /// How long the machine has been running, sleep included.
    pub uptime: Box<dyn Fn() -> Option<Duration>>,
    /// For keys, names and salts.
    pub random: Arc<Mutex<dyn Random + Send>>,
    /// Time that only goes forward, and the way to let it pass.
    pub monotonic: Monotonic,
    /// See `monotonic`.
    pub sleep: Sleep,
}

/// Works on one job. True: there is a restore point.
pub fn run(parts: Parts<'_>) -> bool {
    let events = Events::default();
    match work(parts, &events) {
        Ok(done) => events.send(&Event::Done(Box::new(done))),
        Err(failed) => {
            events.send(&Event::Failed(failed));
            return false;
        }
    }
    true
}

/// Standard output, one event per line.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<()>>);

impl Events {
    fn send(&self, event: &Event) {
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let mut out = std::io::stdout();
            // Without a supervisor nobody reads it, and this process ends with it.
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }
    }
}

fn work(parts: Parts<'_>, events: &Events) -> Result<Done, Failed> {
    step_back().map_err(|error| Failed::new(error.class(), error))?;
    let (job, grant) = job::receive(&mut std::io::stdin())
        .map_err(|error| Failed::new(ErrorClass::Bug, format!("no job came from the supervisor: {error}")))?;
    let confined = confine(&confinement(&job)?).map_err(|error| Failed::new(error.class(), error))?;
    let mut missing = confined.missing;
    let Parts { open_store, clock, uptime, random, monotonic, sleep } = parts;
    let store = open_store(&job)?.with_bandwidth_limit(job.limits.send_bytes_per_second);
    let grant = DomainGrant::from_bytes(&grant).map_err(|error| Failed::new(error.class(), error))?;
    let started = clock();
    let domain = Domain::new(store, grant.access, grant.upkeep, random, clock);
    let calls = Arc::<InFlight>::default();
    let manners = Arc::new(Manners::new(job.limits, monotonic, sleep));
    let progress = Arc::<Progress>::default();
    let cancel = Arc::<AtomicBool>::default();
    end_with_the_pipe(cancel.clone());
    let beats =
        Beats { events: events.clone(), calls: calls.clone(), manners: manners.clone(), progress: progress.clone() };
    let _beating = beats.start(Duration::from_millis(job.beat_ms.max(1)));
    let options = SourceOptions {
        must_be_mount_root: job.is_mount,
        detached: true,
        uptime_ms: uptime().map(|uptime| u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)),
        asked: Asked { handover: job.handover, read_all: job.read_all, watching: watching(&job.events) },
        ..SourceOptions::new(Time {
            seconds: started.as_second(),
            nanoseconds: u32::try_from(started.subsec_nanosecond()).unwrap_or(0),
        })
    };
    let source = open(&job, options, &calls, &mut missing)?;
    events.send(&Event::Ready { missing });
    let engine = BackupOptions {
        memory_budget_bytes: usize::try_from(job.memory_bytes.saturating_sub(BESIDE_BYTES)).unwrap_or(usize::MAX),
        journal_directory: job.journals.clone(),
        entries_max: job.entries_max,
        cancel,
        progress,
        ..BackupOptions::new(&job.volume, &job.host)
    };
    let heard = match job.events {
        job::Events::Heard(inodes) => inodes,
        job::Events::Unheard | job::Events::Broken(_) => Vec::new(),
    };
    let watched = Watched::new(&*source, heard, calls, manners);
    backup(&domain, &watched, &engine).map(done).map_err(|error| Failed::new(error.class(), error))
}

fn watching(events: &job::Events) -> Watching {
    match events {
        job::Events::Unheard => Watching::Nobody,
        job::Events::Broken(_) => Watching::Broken,
        job::Events::Heard(_) => Watching::Unbroken,
    }
}

/// What this job needs, and nothing else.
fn confinement(job: &Job) -> Result<Confinement, Failed> {
    let mut writable: Vec<PathBuf> = job.journals.iter().cloned().collect();
    if let Location::Directory(path) =
        job.repository.parse().map_err(|error: repository::store::OpenError| Failed::new(error.class(), error))?
    {
        writable.push(path);
    }
    Ok(Confinement {
        readable: [vec![job.path.clone()], files_of_settings(job)].concat(),
        writable,
        capabilities: FOR_BACKUP.to_vec(),
        memory_bytes_max: Some(job.memory_bytes.saturating_add(MAPPED_BYTES)),
        files_max: FILES_MAX,
    })
}

/// Files that settings of the store name: credentials, tokens, certificates.
fn files_of_settings(job: &Job) -> Vec<PathBuf> {
    let home = job.settings.get("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let named = job.settings.values().map(PathBuf::from).filter(|path| path.is_absolute() && path.is_file());
    named.chain(home.filter(|folder| folder.is_dir())).collect()
}

/// Through a mount of its own if that can be had. Opening may hang as any call into the volume.
fn open(
    job: &Job,
    options: SourceOptions,
    calls: &InFlight,
    missing: &mut Vec<String>,
) -> Result<Box<dyn Source>, Failed> {
    let opened = calls.during(|| match open_source(&job.path, &options) {
        Err(error @ OpenError::Unsupported { .. }) => {
            let attached = open_source(&job.path, &SourceOptions { detached: false, ..options });
            missing.extend(attached.is_ok().then(|| error.to_string()));
            attached
        }
        opened => opened,
    });
    opened.map_err(|error| Failed::new(error.class(), error))
}

/// Standard input ends when the work is not wanted any more: then the run ends in order, and the next one goes on where it was.
fn end_with_the_pipe(cancel: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        cancel.store(true, Ordering::Relaxed);
    });
}

/// Shows that the worker is alive, and feels how the node is.
struct Beats {
    events: Events,
    calls: Arc<InFlight>,
    manners: Arc<Manners>,
    progress: Arc<Progress>,
}

impl Beats {
    /// Until what is returned is dropped.
    fn start(self, every: Duration) -> mpsc::Sender<()> {
        let (stop, stopped) = mpsc::channel();
        std::thread::spawn(move || {
            let mut looks = Looks::default();
            while stopped.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                self.manners.feel(manners::pressure(|of| std::fs::read_to_string(format!("/proc/pressure/{of}")).ok()));
                let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                self.events.send(&Event::Beat(Beat {
                    entries: of(&self.progress.entries),
                    bytes_scanned: of(&self.progress.bytes_scanned),
                    bytes_read: of(&self.progress.bytes_read),
                    stuck_beats: looks.look(&self.calls),
                }));
            }
        });
        stop
    }
}

fn done(report: BackupReport) -> Done {
    Done {
        point: report.point.session.to_string(),
        parent: report.parent.map(|parent| parent.to_string()),
        outcome: report.outcome,
        missed: report.missed,
        not_captured: report.not_captured,
        proof: report.proof,
        statistics: report.statistics,
    }
}
