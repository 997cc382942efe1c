//! A folder with a repository, and assignments for workers that write into it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::worker::job::{Events, Job, Limits};
use agent::worker::supervise::{Assignment, Config, News, Outcome, Report, supervise};
use nix::time::{ClockId, clock_gettime};
use repository::domain::Domain;
use repository::keys::{DomainGrant, Recipient, SystemRandom, init_repository};
use repository::read;
use repository::store::{self, OpenMode, Store};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Opens the repository.
pub(crate) const PASSPHRASE: &str = "a passphrase of the tests\n";

/// A repository in a folder.
pub(crate) struct Place {
    folder: TempDir,
    grant: Zeroizing<Vec<u8>>,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    pub(crate) fn new() -> Place {
        // Beside the build, where stamps can be relied on; the usual place may be a tmpfs.
        let near = std::env::current_exe().expect("this program");
        let folder = TempDir::new_in(near.parent().expect("its folder")).expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let url = folder.path().join("repository");
        std::fs::create_dir(&url).expect("a folder");
        let opened = store::open(url.to_str().expect("text"), &|_| None, OpenMode::Create).expect("a store");
        let store = Store::new(opened, runtime.handle().clone());
        let recipient = Recipient::from_passphrase_file(PASSPHRASE.as_bytes()).expect("a passphrase");
        let recipients = [(recipient, "test".to_owned())];
        let repository = init_repository(&store, &recipients, now(), &mut SystemRandom).expect("a repository");
        let access = repository.domain_or_new(&store, "default", &mut SystemRandom).expect("a domain");
        let upkeep = repository.manifest.upkeep_public;
        let grant = DomainGrant { access, upkeep }.to_bytes().expect("keys");
        Place { folder, grant, runtime }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    pub(crate) fn assignment(&self, volume: &str, path: &Path) -> Assignment {
        let job = Job {
            volume: volume.to_owned(),
            path: path.to_owned(),
            is_mount: false,
            handover: None,
            read_all: false,
            events: Events::Unheard,
            repository: self.path("repository").to_str().expect("text").to_owned(),
            settings: BTreeMap::new(),
            host: "test".to_owned(),
            journals: None,
            memory_bytes: 104 << 20,
            limits: Limits::default(),
            entries_max: 1_000_000,
            beat_ms: 100,
        };
        Assignment { job, grant: self.grant.clone() }
    }

    /// The volumes that have a restore point.
    pub(crate) fn protected(&self) -> Vec<String> {
        let opened = store::open(self.path("repository").to_str().expect("text"), &|_| None, OpenMode::Existing);
        let store = Store::new(opened.expect("a store"), self.runtime.handle().clone());
        let DomainGrant { access, upkeep } = DomainGrant::from_bytes(&self.grant).expect("keys");
        let domain = Domain::new(store, access, upkeep, Arc::new(Mutex::new(SystemRandom)), Arc::new(now));
        let points = read::points(&domain, None).expect("a list").points;
        points.into_iter().map(|point| point.description.volume.name).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "real processes live by the real clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The program as it is installed, with little patience.
pub(crate) fn config(workers: usize) -> Config {
    Config {
        program: env!("CARGO_BIN_EXE_holdfast-agent").into(),
        arguments: vec!["worker".to_owned()],
        workers,
        patience: Duration::from_secs(2),
        grace: Duration::from_secs(5),
        monotonic: Box::new(monotonic),
    }
}

pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).expect("a clock")
}

/// Runs all of them; returns how each ended, in the order in which they ended.
pub(crate) fn run(config: &Config, assignments: Vec<Assignment>) -> Vec<(String, Outcome)> {
    let (assign, assignments_end) = crossbeam_channel::unbounded();
    let (report, reports) = crossbeam_channel::unbounded();
    let (_stop, stopped) = crossbeam_channel::bounded(0);
    assignments.into_iter().for_each(|assignment| assign.send(assignment).expect("the other end is here"));
    drop(assign);
    supervise(config, &assignments_end, &report, &stopped);
    drop(report);
    let ended = |report: Report| match report.news {
        News::Ended(outcome) => Some((report.volume, outcome)),
        News::Event(_) => None,
    };
    reports.iter().filter_map(ended).collect()
}
