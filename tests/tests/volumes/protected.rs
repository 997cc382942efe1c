//! Protected: a repository in memory, and what is backed up into it.
//!
//! In: the root of a volume, and what is known of where it was. Out: reports, content, restored trees. Never: sleeps until a stamp has aged: runs start later by
//! the clock that they are given.

use std::path::Path;
use std::sync::{Arc, Mutex};

use object_store::memory::InMemory;
use repository::Error;
use repository::domain::{Clock, Domain};
use repository::keys::{OpenedRepository, Recipient, SystemRandom, init_repository};
use repository::point::Outcome;
use repository::read::{RestoreOptions, RestoreReport, View, WINDOW_BYTES_DEFAULT, cat, points, restore};
use repository::source::{FileType, Time};
use repository::store::Store;
use repository::write::{BackupOptions, BackupReport, backup};
use tokio::runtime::Runtime;
use volume::{Asked, DirectoryTarget, Handover, SourceOptions, open_source};

/// So much later than the real time every run starts: whatever was changed before is older than any write can take.
const HOUR: i64 = 3600;

/// A repository, and one volume in it.
pub(crate) struct Protected {
    runtime: Runtime,
    base: Arc<InMemory>,
    opened: OpenedRepository,
    ahead_seconds: i64,
}

#[expect(clippy::disallowed_methods, reason = "the kernel stamps files by this clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The clock of the machine, so many seconds ahead.
fn clock(ahead_seconds: i64) -> Clock {
    Arc::new(move || now() + jiff::SignedDuration::from_secs(ahead_seconds))
}

impl Protected {
    /// A new repository. Every stamp is old when a run starts.
    pub(crate) fn new() -> Protected {
        Protected::ahead(HOUR)
    }

    /// A new repository whose runs start so many seconds later than they do: 0 where it matters how young a stamp is.
    pub(crate) fn ahead(ahead_seconds: i64) -> Protected {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, base) = (runtime.expect("a runtime"), Arc::new(InMemory::new()));
        let store = Store::new(base.clone(), runtime.handle().clone());
        let identity = age::x25519::Identity::generate();
        let recipients = [(Recipient::Age(identity.to_public()), "test".to_owned())];
        let opened = init_repository(&store, &recipients, now(), &mut SystemRandom).expect("a new repository");
        Protected { runtime, base, opened, ahead_seconds }
    }

    /// From now on runs start so many seconds later still.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.ahead_seconds += seconds;
    }

    fn domain(&self) -> Domain {
        let store = Store::new(self.base.clone(), self.runtime.handle().clone());
        let access = self.opened.domain_or_new(&store, "default", &mut SystemRandom).expect("the domain");
        let random = Arc::new(Mutex::new(SystemRandom));
        Domain::new(store, access, self.opened.manifest.upkeep_public, random, clock(self.ahead_seconds))
    }

    /// A run that starts now, by the clock of this repository.
    pub(crate) fn options(&self) -> SourceOptions {
        let started = clock(self.ahead_seconds)();
        let nanoseconds = u32::try_from(started.subsec_nanosecond()).expect("after 1970");
        SourceOptions::new(Time { seconds: started.as_second(), nanoseconds })
    }

    /// A run that everybody lets believe its stamps.
    pub(crate) fn clean(&self) -> SourceOptions {
        self.asked(Some(Handover::Clean))
    }

    /// A run after a handover.
    pub(crate) fn asked(&self, handover: Option<Handover>) -> SourceOptions {
        SourceOptions { asked: Asked { handover, ..Asked::default() }, ..self.options() }
    }

    /// A run that reads everything.
    pub(crate) fn read_all(&self) -> SourceOptions {
        SourceOptions { asked: Asked { read_all: true, ..Asked::default() }, ..self.options() }
    }

    /// Backs a volume up that must be captured whole.
    #[track_caller]
    pub(crate) fn back_up(&self, root: &Path) -> BackupReport {
        let report = self.try_back_up(root, &self.options()).expect("a backup");
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.not_captured);
        report
    }

    /// Backs a volume up.
    pub(crate) fn try_back_up(&self, root: &Path, options: &SourceOptions) -> Result<BackupReport, Error> {
        self.back_up_with(root, options, |_| {})
    }

    /// Backs a volume up with options of the engine's own.
    pub(crate) fn back_up_with(
        &self,
        root: &Path,
        options: &SourceOptions,
        adjust: impl FnOnce(&mut BackupOptions),
    ) -> Result<BackupReport, Error> {
        let source = open_source(root, options).unwrap_or_else(|error| panic!("{} opens: {error}", root.display()));
        let mut engine =
            BackupOptions { memory_budget_bytes: 64 << 20, workers: 2, ..BackupOptions::new("volume", "test") };
        adjust(&mut engine);
        backup(&self.domain(), source.as_ref(), &engine)
    }

    /// How many restore points there are, checkpoints not counted.
    pub(crate) fn points(&self) -> usize {
        points(&self.domain(), Some("volume")).expect("the list of points").points.len()
    }

    /// A restore point.
    fn view(&self, report: &BackupReport) -> View {
        View::open(&self.domain(), report.point, WINDOW_BYTES_DEFAULT).expect("the restore point opens")
    }

    /// The content of a file in a restore point; `None`: it has no file of that name.
    pub(crate) fn content(&self, report: &BackupReport, path: &str) -> Option<Vec<u8>> {
        let (view, mut out) = (self.view(report), Vec::new());
        let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        match view.lookup(&names) {
            Ok(found) if found.file_type == FileType::Regular => {}
            Ok(_) | Err(Error::Missing(_)) => return None,
            Err(error) => panic!("{path}: {error}"),
        }
        cat(&view, &names, &mut out).expect("the file is whole");
        Some(out)
    }

    /// Restores a point into a directory; with `in_place` what is there is made what it was, and what is too much goes.
    pub(crate) fn restore(&self, report: &BackupReport, root: &Path, in_place: bool) -> Result<RestoreReport, Error> {
        let target = DirectoryTarget::open(root).expect("the target opens");
        let options = RestoreOptions { in_place, remove_extra: in_place, workers: 2, ..RestoreOptions::default() };
        restore(&self.domain(), &self.view(report), &options, &target)
    }
}
