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
use crate::codec::Encoder;
use crate::domain::Domain;
use crate::generated::{Dice, GeneratedSource, Kind, SeededRandom, Shape};
use crate::keys::{OpenedRepository, Random, Recipient, init_repository};
use crate::point::{PackSet, Reference};
use crate::session::Session;
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

    fn try_backup(&self) -> Result<BackupReport, Error> {
        self.source.clock().advance(Duration::from_secs(10));
        let options = BackupOptions { memory_budget_bytes: 32 << 20, workers: 2, ..BackupOptions::new(VOLUME, "test") };
        backup(&self.domain(), &self.source, &options)
    }

    pub(super) fn backup(&self) -> Parent {
        let report = self.try_backup().unwrap();
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

/// What footers alone say is what a scan of all rows finds.
fn assert_hints(point: &Parent, what: &str) {
    let space = Space::survey(point).unwrap();
    for class in [Class::Tree, Class::Content] {
        assert_eq!(hinted(&space, class), named(point, class), "{what}, {class:?}");
    }
}

/// Packs that nobody has, as many as asked for.
fn claimed(packs: u64) -> PackSet {
    let mut encoder = Encoder::new();
    encoder.u8(0).svarint(0).u8(0).varint(1).raw(&[9; 16]).varint(1).varint(0).varint(packs).u8(1);
    Reference::decode(&encoder.finish()).unwrap().packs
}

#[test]
fn a_point_that_no_reader_would_take_is_not_committed() {
    let shape = Shape::mixed();
    let world = World::new(GeneratedSource::new(1, &shape));
    let first = world.backup();
    let (domain, volume) = (world.domain(), first.id().volume);
    // The next point continues one that needs as many packs as any may.
    let mut full = first.point().clone();
    full.reference.packs.add_all(&claimed((4 << 20) - full.reference.packs.len() as u64));
    full.reference.created_ms += 5_000;
    let session = Session::open(&domain, volume, vec![first.id()], "test").unwrap();
    let (full, _) = session.commit(&full).unwrap();
    let points = Session::candidates(&domain, volume).unwrap();
    assert!(points.contains(&full));
    world.source.operate(&mut Dice::new(1), &shape, 2);
    let error = world.try_backup().unwrap_err();
    assert!(matches!(&error, Error::Invalid(why) if why.contains("no reader takes more")), "{error}");
    assert_eq!(Session::candidates(&domain, volume).unwrap(), points);
}

#[test]
fn footers_alone_say_what_visible_rows_name() {
    let shapes = [Shape::mixed(), Shape::mixed(), Shape::many(), Shape::mixed().without_handles()];
    for (seed, shape) in (1..).zip(shapes) {
        let world = World::new(GeneratedSource::new(seed, &shape));
        let mut dice = Dice::new(seed);
        for round in 0..14 {
            assert_hints(&world.backup(), &format!("seed {seed}, round {round}"));
            world.source.operate(&mut dice, &shape, 25);
        }
    }
}

#[test]
fn merges_above_the_lowest_run_pass_on_what_they_hide_below() {
    let world = World::new(GeneratedSource::empty());
    let write = |number: u64, round: u64| {
        world.source.with(|tree| {
            let inode = tree.file(&format!("{:02}/{number:04}", number / 50)).unwrap();
            tree.edit(inode, |content| content.write(0, &[round as u8 + 1; 3_000])).unwrap();
        });
    };
    (0..1_500).for_each(|number| write(number, 0));
    world.backup();
    let mut fewest = usize::MAX;
    for round in 1..10 {
        (0..4).for_each(|nth| write((round * 97 + nth * 331) % 1_500, round));
        let point = world.backup();
        assert_hints(&point, &format!("round {round}"));
        fewest = fewest.min(point.tree().of(Class::Tree).len());
    }
    assert!(fewest > 1, "the lowest run was merged: this proves nothing");
}

#[test]
fn an_inode_that_several_names_share_is_hidden_once() {
    let world = World::new(GeneratedSource::empty());
    let inode = world.source.with(|tree| {
        let root = tree.root();
        let inode = tree.create(root, b"one", Kind::Symlink(b"somewhere".to_vec()), 0o777).unwrap();
        tree.change(inode, |node| drop(node.extended.insert(b"user.large".to_vec(), vec![7; 9_000]))).unwrap();
        tree.link(root, b"two", inode).unwrap();
        // Enough beside it that the lowest run is not merged at once, which would put every hint right.
        for number in 0..300 {
            tree.file(&format!("other/{number}")).unwrap();
        }
        inode
    });
    assert_hints(&world.backup(), "new");
    world.source.with(|tree| tree.change(inode, |node| node.uid = 4711)).unwrap();
    let point = world.backup();
    assert_eq!(point.tree().of(Class::Tree).len(), 2);
    assert_hints(&point, "changed");
}
