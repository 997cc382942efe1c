//! Backup: every volume of this node once, as many at a time as there are workers.
//!
//! In: the kubelet's root, a repository and what opens it. Out: a line for each volume, and what became of it. Never: touches a volume; workers do.

mod keys;
mod selection;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use repository::point::Outcome as Captured;
use repository::store;
use volume::Handover;

use super::node::Node;
use super::{Exit, Failure};
use crate::worker::job::{Events, Job, Limits};
use crate::worker::run::MEMORY_BYTES_MIN;
use crate::worker::supervise::{Assignment, Config, News, Outcome, Report, supervise};
use selection::select;

/// What the supervising process itself takes.
const SUPERVISOR_BYTES: u64 = 48 << 20;
const MIB: u64 = 1 << 20;

/// What is backed up, and where to.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    node: Node,
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
    let grant = keys::grant(options, &jobs.settings)?;
    let selection = select(&options.node.look()?, options.opt_in);
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
    for (name, path, is_mount) in &selection.taken {
        // The receiving end lives as long as this function.
        let _ = assign.send(Assignment { job: jobs.job(name, path, *is_mount), grant: grant.clone() });
    }
    drop(assign);
    let mut out = io::stdout().lock();
    for line in &selection.left_out {
        writeln!(out, "{line}")?;
    }
    let mut all_good = selection.problems == 0;
    let printed = std::thread::scope(|scope| {
        let (config, assignments, stopped) = (&config, &assignments, &stopped);
        scope.spawn(move || supervise(config, assignments, &report, stopped));
        reports.iter().try_for_each(|report| {
            all_good &= is_good(&report);
            text::print(&mut out, &report)
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

fn is_good(report: &Report) -> bool {
    match &report.news {
        News::Event(_) => true,
        News::Ended(Outcome::Done(done)) => done.outcome == Captured::Complete,
        News::Ended(_) => false,
    }
}
