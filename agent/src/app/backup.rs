//! Backup: every volume of this node once, as many at a time as there are workers.
//!
//! In: the kubelet's root, a repository and what opens it. Out: a line for each volume, and what became of it. Never: touches a volume; workers do.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use repository::keys::{DomainGrant, SystemRandom, Unlock, open_repository};
use repository::layout::NeededBy;
use repository::point::Outcome as Captured;
use repository::store::{self, OpenMode, RetryPolicy, Store};
use volume::Handover;
use zeroize::Zeroizing;

use super::{Exit, Failure};
use crate::discovery::allowed::Prefixes;
use crate::discovery::layout::Taking;
use crate::discovery::listing::Limits as ListingLimits;
use crate::discovery::snapshot::{Outside, State, Volume};
use crate::discovery::watch::look_once;
use crate::text::escape;
use crate::worker::job::{Events, Job, Limits};
use crate::worker::run::MEMORY_BYTES_MIN;
use crate::worker::supervise::{Assignment, Config, News, Outcome, Report, supervise};

/// What the supervising process itself takes.
const SUPERVISOR_BYTES: u64 = 48 << 20;
const MIB: u64 = 1 << 20;
/// A passphrase or a few identities are shorter.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// So many of the things that a volume did not give are shown.
const SHOWN_MAX: usize = 20;

/// What is backed up, and where to.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The kubelet's root directory, as its --root-dir says
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    kubelet_root: PathBuf,
    /// What may be taken outside it, once per directory
    #[arg(long, value_name = "PREFIX")]
    allow: Vec<PathBuf>,
    /// A host path to be backed up; it must be below an allowed prefix
    #[arg(long, value_name = "PATH")]
    host_path: Vec<PathBuf>,
    /// This agent may open raw block devices
    #[arg(long)]
    raw_block: bool,
    /// Also what is only taken when somebody asks for it, such as emptyDir volumes
    #[arg(long)]
    opt_in: bool,
    /// Where the repository is
    #[arg(short, long, value_name = "URL", env = "HOLDFAST_REPOSITORY")]
    repository: String,
    /// A file whose only line is the passphrase
    #[arg(long, value_name = "FILE", env = "HOLDFAST_PASSPHRASE_FILE", conflicts_with = "identity_file")]
    passphrase_file: Option<PathBuf>,
    /// A file with an age identity
    #[arg(long, value_name = "FILE", env = "HOLDFAST_IDENTITY_FILE", required_unless_present = "passphrase_file")]
    identity_file: Option<PathBuf>,
    /// The domain
    #[arg(long, value_name = "NAME", default_value = "default")]
    domain: String,
    /// Where it is noted what was sent, so that a run that is killed need not send it again
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Volumes that are worked on at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Memory for this process and all workers together, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory_mib: u64,
    /// Bytes per second that each worker reads at most; 0: no limit
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    read_bytes_per_second: u64,
    /// Reads per second that each worker makes at most; 0: no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    reads_per_second: u64,
    /// Bytes per second that each worker sends at most; 0: no limit
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    send_bytes_per_second: u64,
    /// A volume with more entries is given up: a tree that grows in front of its reader has no end
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000_000)]
    entries_max: u64,
    /// Seconds after which a volume that does not answer is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience_seconds: u64,
    /// How the volumes came to this node; unclean and unknown read everything
    #[arg(long, value_name = "HOW", value_parser = handover)]
    handover: Option<Handover>,
    /// Read every file, whatever its stamp says
    #[arg(long)]
    read_all: bool,
}

fn handover(text: &str) -> Result<Handover, String> {
    match text {
        "clean" => Ok(Handover::Clean),
        "unclean" => Ok(Handover::Unclean),
        "unknown" => Ok(Handover::Unknown),
        _ => Err("give clean, unclean or unknown".to_owned()),
    }
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let jobs = Jobs::new(options)?;
    let grant = grant(options, &jobs.settings)?;
    let volumes = volumes(options)?;
    let patience = Duration::from_secs(options.patience_seconds);
    let config = Config {
        program: std::env::current_exe()?,
        arguments: vec!["worker".to_owned()],
        workers: usize::from(options.workers),
        patience,
        grace: patience,
        monotonic: Box::new(super::monotonic),
    };
    let (assign, assignments) = crossbeam_channel::unbounded();
    let (report, reports) = crossbeam_channel::bounded(64);
    let (_stop, stopped) = crossbeam_channel::bounded::<()>(0);
    for (name, path, is_mount) in &volumes.taken {
        // The receiving end lives as long as this function.
        let _ = assign.send(Assignment { job: jobs.job(name, path, *is_mount), grant: grant.clone() });
    }
    drop(assign);
    let mut out = io::stdout().lock();
    for line in &volumes.left_out {
        writeln!(out, "{line}")?;
    }
    let mut all_good = volumes.problems == 0;
    let printed = std::thread::scope(|scope| {
        let (config, assignments, stopped) = (&config, &assignments, &stopped);
        scope.spawn(move || supervise(config, assignments, &report, stopped));
        reports.iter().try_for_each(|report| {
            all_good &= is_good(&report);
            print(&mut out, &report)
        })
    });
    printed?;
    Ok(if all_good { Exit::Done } else { Exit::Partial })
}

/// What all jobs have in common.
struct Jobs<'a> {
    options: &'a Options,
    settings: BTreeMap<String, String>,
    host: String,
    memory_bytes: u64,
}

impl Jobs<'_> {
    fn new(options: &Options) -> Result<Jobs<'_>, Failure> {
        let all = options.memory_mib.saturating_mul(MIB);
        let memory_bytes = all.saturating_sub(SUPERVISOR_BYTES) / u64::from(options.workers);
        if memory_bytes < MEMORY_BYTES_MIN {
            let least = (SUPERVISOR_BYTES + MEMORY_BYTES_MIN * u64::from(options.workers)).div_ceil(MIB);
            return Err(Failure::Usage(format!(
                "{} workers need at least {least} MiB: raise --memory-mib or lower --workers",
                options.workers
            )));
        }
        let host =
            nix::unistd::gethostname().map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned());
        Ok(Jobs {
            options,
            settings: std::env::vars().filter(|(name, _)| store::is_setting(name)).collect(),
            host,
            memory_bytes,
        })
    }

    fn job(&self, volume: &str, path: &Path, is_mount: bool) -> Job {
        let options = self.options;
        let patience_ms = options.patience_seconds.saturating_mul(1000);
        Job {
            volume: volume.to_owned(),
            path: path.to_owned(),
            is_mount,
            handover: options.handover,
            read_all: options.read_all,
            events: Events::Unheard,
            repository: options.repository.clone(),
            settings: self.settings.clone(),
            host: self.host.clone(),
            journals: options.state_dir.as_ref().map(|folder| folder.join("journals")),
            memory_bytes: self.memory_bytes,
            limits: Limits {
                read_bytes_per_second: options.read_bytes_per_second,
                reads_per_second: options.reads_per_second,
                send_bytes_per_second: options.send_bytes_per_second,
            },
            entries_max: options.entries_max,
            beat_ms: (patience_ms / 12).clamp(100, 5_000),
        }
    }
}

/// The keys of the domain, which is made if nobody has used it yet.
fn grant(options: &Options, settings: &BTreeMap<String, String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(folder) = &options.state_dir {
        std::fs::create_dir_all(folder.join("journals"))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let setting = |name: &str| settings.get(name).cloned();
    let opened = store::open(&options.repository, &setting, OpenMode::Existing)?;
    let store = Store::new(opened, runtime.handle().clone());
    let unlock = match (&options.passphrase_file, &options.identity_file) {
        (Some(file), _) => Unlock::from_passphrase_file(&secret(file)?).map_err(repository::Error::from)?,
        (None, Some(file)) => {
            let bytes = secret(file)?;
            let text = std::str::from_utf8(&bytes);
            let text = text.map_err(|_| Failure::Usage(format!("{} is not text", file.display())))?;
            Unlock::from_identity_file(text).map_err(repository::Error::from)?
        }
        (None, None) => return Err(Failure::Usage("give --passphrase-file or --identity-file".to_owned())),
    };
    let repository = open_repository(&store.clone().with_retry(RetryPolicy::first_contact()), &unlock, None)?;
    repository.features.check(NeededBy::Write).map_err(repository::Error::from)?;
    let access = repository.domain_or_new(&store, &options.domain, &mut SystemRandom)?;
    let bytes = DomainGrant { access, upkeep: repository.manifest.upkeep_public }.to_bytes();
    runtime.shutdown_background();
    Ok(bytes?)
}

fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    use std::io::Read;
    let failed = |error| Failure::File { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    // The buffer never moves, so no copy of the secret is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 2));
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > SECRET_BYTES_MAX {
        true => Err(Failure::Usage(format!("{} is longer than 64 KiB: it is not what holds a secret", path.display()))),
        false => Ok(bytes),
    }
}

/// The volumes of this node.
struct Volumes {
    /// Name, place, and whether something has to be mounted there.
    taken: Vec<(String, PathBuf, bool)>,
    left_out: Vec<String>,
    problems: usize,
}

fn volumes(options: &Options) -> Result<Volumes, Failure> {
    let prefixes = Prefixes::new(&std::path::absolute(&options.kubelet_root)?, &options.allow)?;
    let paths = options.host_path.iter().map(|path| prefixes.admit(path)).collect::<Result<Vec<_>, _>>()?;
    let outside = Outside { paths, raw_block: options.raw_block, ..Outside::default() };
    let snapshot = look_once(&options.kubelet_root, &ListingLimits::default(), &outside);
    let mut volumes = Volumes { taken: Vec::new(), left_out: Vec::new(), problems: snapshot.problems.len() };
    volumes
        .left_out
        .extend(snapshot.problems.iter().map(|problem| format!("problem: {}", escape(problem.to_string().as_bytes()))));
    for volume in snapshot.volumes.values() {
        let name = volume.key.identity.to_string();
        match place_of(volume, options.opt_in) {
            Ok((path, is_mount)) => volumes.taken.push((name, path, is_mount)),
            Err((why, is_problem)) => {
                volumes.problems += usize::from(is_problem);
                volumes.left_out.push(format!("{}: not taken: {}", escape(name.as_bytes()), escape(why.as_bytes())));
            }
        }
    }
    Ok(volumes)
}

/// Where to read a volume, or why it is not read, and whether that is as it should be.
fn place_of(volume: &Volume, opt_in: bool) -> Result<(PathBuf, bool), (String, bool)> {
    match volume.taking {
        Taking::Never(why) => return Err((why.to_owned(), false)),
        Taking::OptIn(why) if !opt_in => return Err((format!("{why} (--opt-in takes it)"), false)),
        Taking::OptIn(_) | Taking::Taken => {}
    }
    if let Some(problem) = &volume.problem {
        return Err((problem.to_string(), true));
    }
    match volume.place() {
        None => Err(("it has no place".to_owned(), true)),
        Some(place) => match &place.state {
            State::Mounted(_) => {
                Ok((place.path.clone(), volume.key.kind == crate::discovery::listing::Kind::Filesystem))
            }
            State::Directory => Ok((place.path.clone(), false)),
            State::Unmounted => Err(("it is not mounted".to_owned(), true)),
            State::Unknown => Err(("whether it is mounted could not be found out".to_owned(), true)),
        },
    }
}

fn is_good(report: &Report) -> bool {
    match &report.news {
        News::Event(_) => true,
        News::Ended(Outcome::Done(done)) => done.outcome == Captured::Complete,
        News::Ended(_) => false,
    }
}

fn print(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    use crate::worker::job::Event;
    let name = escape(report.volume.as_bytes());
    match &report.news {
        News::Event(Event::Ready { missing }) => {
            missing.iter().try_for_each(|missing| writeln!(out, "{name}: without {}", escape(missing.as_bytes())))
        }
        News::Event(_) => Ok(()),
        News::Ended(Outcome::Done(done)) => {
            let statistics = &done.statistics;
            writeln!(
                out,
                "{name}: restore point {}: {} entries, {} bytes read, {} changed, {} stored in {:.1} s",
                done.point,
                statistics.entries,
                statistics.bytes_read,
                statistics.bytes_changed,
                statistics.bytes_stored,
                statistics.seconds
            )?;
            if let Some(why) = &done.proof.full_pass {
                writeln!(out, "  everything was read: {}", escape(why.as_bytes()))?;
            }
            if done.proof.silent_changes > 0 {
                writeln!(
                    out,
                    "  ALARM: {} files changed although their stamps say nothing did",
                    done.proof.silent_changes
                )?;
            }
            if done.outcome == Captured::Partial {
                writeln!(out, "  PARTIAL: {} not captured:", done.missed)?;
            }
            done.not_captured.iter().take(SHOWN_MAX).try_for_each(|missed| {
                writeln!(out, "    {}: {}", escape(missed.path.as_bytes()), escape(missed.reason.as_bytes()))
            })
        }
        News::Ended(outcome) => writeln!(out, "{name}: {}", escape(outcome_text(outcome).as_bytes())),
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(failed) => format!("FAILED: {}", failed.why),
        Outcome::Hung { silent } => {
            format!("HUNG: it did not answer for {} s; its worker was killed", silent.as_secs())
        }
        Outcome::Died { how } => format!("FAILED: its worker died: {how}"),
        Outcome::Stopped => "stopped before its end; the next run goes on where it was".to_owned(),
        Outcome::TooSoon { wait } => format!("did not answer before; it is tried again in {} s", wait.as_secs()),
    }
}
