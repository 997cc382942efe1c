//! The writer over repositories in memory, seen from inside: what it says of packs against what a scan of all rows finds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use age::x25519::Identity;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use super::parent::Parent;
use super::space::Space;
use super::*;
use crate::domain::Domain;
use crate::generated::{Dice, GeneratedSource, SeededRandom, Shape};
use crate::keys::{OpenedRepository, Random, Recipient, init_repository};
use crate::store::Store;
use crate::tree::{Class, PackId, Run};

const VOLUME: &str = "volume";

/// A repository with one volume, and its source.
pub(super) struct World {
    runtime: Runtime,
    base: Arc<InMemory>,
    repository: OpenedRepository,
    random: Arc<Mutex<dyn Random + Send>>,
    pub(super) source: GeneratedSource,
}

impl World {
    pub(super) fn new(source: GeneratedSource) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let base = Arc::new(InMemory::new());
        let store = Store::new(base.clone(), runtime.handle().clone());
        let mut random = SeededRandom::new(7);
        let recipients = [(Recipient::Age(Identity::generate().to_public()), "test".to_owned())];
        let repository = init_repository(&store, &recipients, source.clock().for_domain()(), &mut random).unwrap();
        World { runtime, base, repository, random: Arc::new(Mutex::new(random)), source }
    }

    pub(super) fn domain(&self) -> Domain {
        let store = Store::new(self.base.clone(), self.runtime.handle().clone());
        let mut random = self.random.lock().unwrap();
        let access = self.repository.domain_or_new(&store, "default", &mut *random).unwrap();
        drop(random);
        let (clock, now) = (self.source.clock(), self.source.clock().for_domain());
        let clock = Arc::new(move || {
            clock.advance(Duration::from_millis(1));
            now()
        });
        Domain::new(store, access, self.repository.manifest.upkeep_public, self.random.clone(), clock)
    }

    pub(super) fn backup(&self) -> Parent {
        self.source.clock().advance(Duration::from_secs(10));
        let options = BackupOptions { memory_budget_bytes: 32 << 20, workers: 2, ..BackupOptions::new(VOLUME, "test") };
        let report = backup(&self.domain(), &self.source, &options).unwrap();
        Parent::open(&self.domain(), report.point.volume, report.point, 1 << 20).unwrap()
    }
}

/// What visible rows of a class name, by pack.
fn named(point: &Parent, class: Class) -> BTreeMap<PackId, i64> {
    let mut named = BTreeMap::new();
    let mut rows = point.read(class);
    while let Some(row) = rows.next().unwrap() {
        row.value.visit_locations(|location, bytes| *named.entry(location.pack).or_default() += i64::from(bytes));
    }
    named
}

/// What hints say of a class, by pack.
fn hinted(space: &Space, class: Class) -> BTreeMap<PackId, i64> {
    let live = space.packs.iter().map(|(pack, held)| (*pack, held.live[class as usize]));
    live.filter(|(_, live)| *live != 0).collect()
}

#[test]
fn footers_alone_say_what_visible_rows_name() {
    for (seed, shape) in
        [(1, Shape::mixed()), (2, Shape::mixed()), (3, Shape::many()), (4, Shape::mixed().without_handles())]
    {
        let world = World::new(GeneratedSource::new(seed, &shape));
        let mut dice = Dice::new(seed);
        for round in 0..14 {
            let point = world.backup();
            let space = Space::survey(&point).unwrap();
            for class in [Class::Tree, Class::Content] {
                assert_eq!(hinted(&space, class), named(&point, class), "seed {seed}, round {round}, {class:?}");
            }
            world.source.operate(&mut dice, &shape, 25);
        }
    }
}
