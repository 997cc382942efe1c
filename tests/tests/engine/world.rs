//! World: one repository, one source, one clock.
//!
//! In: a seed and a source. Out: backups, restores, checks, and the store's objects for whoever wants to damage them. Never: two worlds share anything.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use age::x25519::Identity;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::Error;
use repository::domain::Domain;
use repository::generated::{GeneratedSource, MemoryTarget, SeededRandom, Tree, assert_same_tree};
use repository::keys::{DomainAccess, OpenedRepository, Random, Recipient, Unlock, init_repository, open_repository};
use repository::layout;
use repository::read::{
    self, CheckLevel, CheckOptions, CheckOutcome, CheckReport, RestoreOptions, RestoreReport, View,
};
use repository::session::PointId;
use repository::store::{Bytes, Effect, Faults, Operation, Requests, RetryPolicy, Rule, Store};
use repository::write::{BackupOptions, BackupReport, backup};
use tokio::runtime::Runtime;

/// The volume that every test protects.
pub(crate) const VOLUME: &str = "volume";
const MIB: usize = 1 << 20;
/// How much of a table a view reads at once: little, so that more than one window occurs.
const WINDOW_BYTES: u64 = 64 << 10;

/// The seeds of this run: `count` of them unless the environment says otherwise.
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("HOLDFAST_SEED").unwrap_or(1);
    first..first + number("HOLDFAST_SEEDS").unwrap_or(count)
}

/// One repository and one source.
pub(crate) struct World {
    runtime: Runtime,
    pub(crate) base: Arc<dyn ObjectStore>,
    pub(crate) identity: Identity,
    pub(crate) repository: OpenedRepository,
    random: Arc<Mutex<dyn Random + Send>>,
    pub(crate) source: GeneratedSource,
}

impl World {
    /// A new repository in memory.
    pub(crate) fn new(seed: u64, source: GeneratedSource) -> World {
        World::on(Arc::new(InMemory::new()), seed, source)
    }

    /// A new repository on a store.
    pub(crate) fn on(base: Arc<dyn ObjectStore>, seed: u64, source: GeneratedSource) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let identity = Identity::generate();
        let mut random = SeededRandom::new(seed);
        let store = Store::new(base.clone(), runtime.handle().clone());
        let recipients = [(Recipient::Age(identity.to_public()), "test".to_owned())];
        let created = source.clock().for_domain()();
        let repository = init_repository(&store, &recipients, created, &mut random).expect("a new repository");
        World { runtime, base, identity, repository, random: Arc::new(Mutex::new(random)), source }
    }

    /// The store as it is.
    pub(crate) fn store(&self) -> Store {
        let patience = RetryPolicy {
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(2),
            budget: Duration::from_millis(20),
            jitter_seed: Some(1),
        };
        Store::new(self.base.clone(), self.runtime.handle().clone()).with_retry(patience)
    }

    /// The domain, as the next process would open it.
    pub(crate) fn domain(&self) -> Domain {
        self.domain_on(self.store())
    }

    /// The domain for a process whose requests meet faults. Opening it meets none.
    pub(crate) fn faulty_domain(&self, faults: &Arc<Faults>) -> Domain {
        self.domain();
        self.domain_on(self.store().with_faults(faults.clone()))
    }

    /// The same over one connection: nothing depends on when threads get their turn, so checkpoints are made where they are due.
    pub(crate) fn faulty_domain_alone(&self, faults: &Arc<Faults>) -> Domain {
        self.domain();
        self.domain_on(self.store().with_one_connection().with_faults(faults.clone()))
    }

    /// The domain on a store, opened with the keys that lie on the base.
    fn domain_on(&self, store: Store) -> Domain {
        let mut random = self.random.lock().expect("no test panics with it");
        let access = self.repository.domain_or_new(&self.store(), "default", &mut *random).expect("the domain");
        drop(random);
        let (clock, now) = (self.source.clock(), self.source.clock().for_domain());
        // A millisecond passes between two looks: session ids follow each other as they would.
        let clock = Arc::new(move || {
            clock.advance(Duration::from_millis(1));
            now()
        });
        Domain::new(store, access, self.repository.manifest.upkeep_public, self.random.clone(), clock)
    }

    /// The domain gets new keys, as if somebody else had seen to it.
    pub(crate) fn rotate_keys(&self) -> DomainAccess {
        let mut random = self.random.lock().expect("no test panics with it");
        self.repository.rotate_domain(&self.store(), "default", &mut *random).expect("new keys")
    }

    /// Opened again with the identity, from nothing but the store.
    pub(crate) fn reopen(&self) -> Result<OpenedRepository, Error> {
        open_repository(&self.store(), &Unlock::Identities(vec![self.identity.clone()]), Some(self.repository.id()))
    }

    /// As little memory as is permitted, two workers.
    pub(crate) fn options(&self) -> BackupOptions {
        BackupOptions { memory_budget_bytes: 32 * MIB, workers: 2, ..BackupOptions::new(VOLUME, "test") }
    }

    /// 40 MiB that `factor` makes different from others of the kind: several packs, so that checkpoints can be made.
    pub(crate) fn add_large_file(&self, name: &str, factor: u64) {
        self.source.with(|tree| {
            let inode = tree.file(name).expect("a file");
            let pages = 0..10_240;
            tree.edit(inode, |content| pages.for_each(|page| content.make_page(page, factor * (page + 1))))
                .expect("pages");
        });
        self.source.clock().advance(Duration::from_secs(10));
    }

    /// A backup that dies when it has put so many restore points: these are checkpoints.
    pub(crate) fn backup_cut_off(&self, options: &BackupOptions, points: u64) {
        let die = Effect::Crash { applied: false, hook: Arc::new(|| {}) };
        let faults = Faults::seeded(1);
        let below = layout::points(self.domain().id());
        faults.add(Rule::on(Operation::Put, &below, die).after(points).times(1));
        assert!(backup(&self.faulty_domain_alone(&faults), &self.source, options).is_err());
    }

    /// Time passes, so that every stamp settles; then a backup that must succeed.
    pub(crate) fn backup(&self) -> BackupReport {
        self.source.clock().advance(Duration::from_secs(10));
        backup(&self.domain(), &self.source, &self.options()).expect("a backup")
    }

    /// A backup, and what it sent.
    pub(crate) fn measured_backup(&self) -> (BackupReport, Requests) {
        self.measured_backup_in(self.options().memory_budget_bytes)
    }

    /// The same in a memory budget of one's own: packs are as large as it permits.
    pub(crate) fn measured_backup_in(&self, memory_budget_bytes: usize) -> (BackupReport, Requests) {
        self.source.clock().advance(Duration::from_secs(10));
        let domain = self.domain();
        let before = domain.store().requests();
        let options = BackupOptions { memory_budget_bytes, ..self.options() };
        let report = backup(&domain, &self.source, &options).expect("a backup");
        (report, domain.store().requests().since(before))
    }

    /// A point restored into a target.
    pub(crate) fn restore_into(
        &self,
        point: PointId,
        target: &MemoryTarget,
        in_place: bool,
    ) -> Result<RestoreReport, Error> {
        let domain = self.domain();
        let view = View::open(&domain, point, WINDOW_BYTES)?;
        let options = RestoreOptions {
            in_place,
            remove_extra: in_place,
            memory_budget_bytes: 32 * MIB,
            workers: 2,
            ..RestoreOptions::default()
        };
        let report = read::restore(&domain, &view, &options, target);
        let breaches = target.breaches();
        assert!(breaches.is_empty(), "the restore broke the contract of its target: {breaches:?}");
        report
    }

    /// A point restored into nothing.
    pub(crate) fn restore(&self, point: PointId) -> Result<MemoryTarget, Error> {
        let target = MemoryTarget::default();
        self.restore_into(point, &target, false)?;
        Ok(target)
    }

    /// A restore must give this tree.
    pub(crate) fn assert_restores(&self, point: PointId, expected: &Tree, what: &str) {
        let target = MemoryTarget::default();
        let report = self.restore_into(point, &target, false).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.failed_count, 0, "{what}: {:?}", report.failed);
        assert_same_tree(expected, &target.snapshot(), what);
    }

    /// A check of everything.
    pub(crate) fn check(&self, read_data: bool) -> Result<CheckReport, Error> {
        let level = if read_data { CheckLevel::Data } else { CheckLevel::Structure };
        read::check(&self.domain(), &CheckOptions { level, ..CheckOptions::default() })
    }

    /// A check must find nothing.
    pub(crate) fn assert_sound(&self, what: &str) {
        let report = self.check(true).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.outcome, CheckOutcome::Ok, "{what}: {:?}", report.damaged);
    }

    /// The valid points, oldest first.
    pub(crate) fn points(&self) -> Vec<read::PointInfo> {
        let list = read::points(&self.domain(), Some(VOLUME)).expect("a list of points");
        assert!(list.unreadable.is_empty(), "{:?}", list.unreadable);
        list.points
    }

    /// Every object's name.
    pub(crate) fn names(&self) -> Vec<String> {
        self.store().list("").expect("a list").into_iter().map(|listed| listed.name).collect()
    }

    /// An object's bytes.
    pub(crate) fn object(&self, name: &str) -> Bytes {
        self.store().get(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Puts an object, whatever was there.
    pub(crate) fn put(&self, name: &str, bytes: Bytes) {
        self.store().put(name, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Removes an object.
    pub(crate) fn delete(&self, name: &str) {
        self.store().delete(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// The domain without the keys of names and content.
    pub(crate) fn structure_domain(&self) -> Domain {
        let access = self.repository.domain(&self.store(), "default").expect("the domain").structure_only();
        let upkeep = self.repository.manifest.upkeep_public;
        Domain::new(self.store(), access, upkeep, self.random.clone(), self.source.clock().for_domain())
    }

    /// The same repository, the same source, in a place where nothing is yet.
    pub(crate) fn elsewhere(&self) -> World {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        World {
            runtime: runtime.expect("a runtime"),
            base: Arc::new(InMemory::new()),
            identity: self.identity.clone(),
            repository: self.repository.clone(),
            random: Arc::new(Mutex::new(SeededRandom::new(
                0xc0ffee + u64::from(COPIES.fetch_add(1, Ordering::Relaxed)),
            ))),
            source: self.source.clone(),
        }
    }

    /// A copy of everything that is stored, to be damaged: the same repository, the same source.
    pub(crate) fn copy(&self) -> World {
        let copied = self.elsewhere();
        for name in self.names() {
            copied.put(&name, self.object(&name));
        }
        copied
    }
}
