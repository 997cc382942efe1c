//! The reader over repositories that the writer made in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use age::x25519::Identity;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use super::*;
use crate::domain::Domain;
use crate::generated::{
    Action, Dice, GeneratedSource, Kind, MemoryTarget, Moment, SeededRandom, Shape, Tree, assert_same_tree,
};
use crate::keys::{OpenedRepository, Random, Recipient, UpkeepKey, init_repository};
use crate::layout::{self, Mark, MarkRun};
use crate::session::PointId;
use crate::store::{Bytes, Store};
use crate::upkeep::Keeper;
use crate::write::{BackupOptions, backup};

mod check;
mod damaged;
mod differences;
mod levels;
mod quarantined;
mod restored;
mod salvaged;

const PAGE: u64 = 4096;

/// A repository with one volume, and what its source has.
pub(crate) struct World {
    runtime: Runtime,
    base: Arc<InMemory>,
    pub(crate) repository: OpenedRepository,
    random: Arc<Mutex<dyn Random + Send>>,
    pub(crate) source: GeneratedSource,
}

impl World {
    pub(crate) fn new(source: GeneratedSource) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let base = Arc::new(InMemory::new());
        let store = Store::new(base.clone(), runtime.handle().clone());
        let mut random = SeededRandom::new(7);
        let recipients = [(Recipient::Age(Identity::generate().to_public()), "test".to_owned())];
        let repository = init_repository(&store, &recipients, source.clock().for_domain()(), &mut random).unwrap();
        World { runtime, base, repository, random: Arc::new(Mutex::new(random)), source }
    }

    /// Files of which the tests know where they are: `large` of three blocks, `small`, a directory with a hard link.
    pub(crate) fn known() -> World {
        let source = GeneratedSource::empty();
        source.with(|tree| {
            let large = tree.file("large").unwrap();
            tree.edit(large, |content| {
                content.set_size(600 * PAGE + 100);
                (0..500)
                    .filter(|page| !(200..300).contains(page))
                    .for_each(|page| content.make_page(page, page * 3 + 1));
            })
            .unwrap();
            let small = tree.file("d/small").unwrap();
            tree.edit(small, |content| content.write(0, b"small content")).unwrap();
            let other = tree.file("d/other").unwrap();
            tree.edit(other, |content| content.write(0, b"other content")).unwrap();
            tree.link(tree.root(), b"link", small).unwrap();
            tree.create(tree.root(), b"to", Kind::Symlink(b"d/small".to_vec()), 0o777).unwrap();
        });
        World::new(source)
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.base.clone(), self.runtime.handle().clone())
    }

    /// A raw copy of everything that is stored.
    pub(crate) fn copied(&self) -> Store {
        let copy = Store::new(Arc::new(InMemory::new()), self.runtime.handle().clone());
        self.objects("").iter().for_each(|name| copy.put(name, self.store().get(name).unwrap()).unwrap());
        copy
    }

    pub(crate) fn domain(&self) -> Domain {
        self.domain_on(self.store())
    }

    /// The domain for who has the structure key alone.
    pub(crate) fn structure_domain(&self) -> Domain {
        let store = self.store();
        let access = self.repository.domain(&store, "default").unwrap().structure_only();
        let now = self.source.clock().for_domain();
        Domain::new(store, access, self.repository.manifest.upkeep_public, self.random.clone(), now)
    }

    /// The domain on a store, opened with the keys that lie on the base.
    pub(crate) fn domain_on(&self, store: Store) -> Domain {
        let mut random = self.random.lock().unwrap();
        let access = self.repository.domain_or_new(&self.store(), "default", &mut *random).unwrap();
        drop(random);
        let (clock, now) = (self.source.clock(), self.source.clock().for_domain());
        let clock = Arc::new(move || {
            clock.advance(Duration::from_millis(1));
            now()
        });
        Domain::new(store, access, self.repository.manifest.upkeep_public, self.random.clone(), clock)
    }

    pub(crate) fn backup_as(&self, volume: &str) -> PointId {
        self.source.clock().advance(Duration::from_secs(10));
        let options = BackupOptions { memory_budget_bytes: 32 << 20, workers: 2, ..BackupOptions::new(volume, "test") };
        backup(&self.domain(), &self.source, &options).unwrap().point
    }

    pub(crate) fn backup(&self) -> PointId {
        self.backup_as("volume")
    }

    pub(crate) fn view(&self, point: PointId) -> View {
        View::open(&self.domain(), point, 64 << 10).unwrap()
    }

    pub(crate) fn options(&self) -> RestoreOptions {
        RestoreOptions { memory_budget_bytes: 32 << 20, workers: 2, ..RestoreOptions::default() }
    }

    pub(crate) fn restore_with(
        &self,
        point: PointId,
        options: &RestoreOptions,
        target: &MemoryTarget,
    ) -> Result<RestoreReport, crate::Error> {
        let report = restore(&self.domain(), &self.view(point), options, target);
        assert_eq!(target.breaches(), Vec::<String>::new());
        report
    }

    /// A restore of everything gives this tree.
    pub(crate) fn assert_restores(&self, point: PointId, expected: &Tree) {
        let target = MemoryTarget::default();
        let report = self.restore_with(point, &self.options(), &target).unwrap();
        assert_eq!((report.failed_count, report.outcome), (0, crate::point::Outcome::Complete));
        assert_same_tree(expected, &target.snapshot(), "restored");
    }

    pub(crate) fn objects(&self, part: &str) -> Vec<String> {
        let listed = self.store().list("").unwrap();
        listed.into_iter().map(|listed| listed.name).filter(|name| name.contains(part)).collect()
    }

    /// Flips a bit of an object.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let mut bytes = self.store().get(name).unwrap().to_vec();
        bytes[at] ^= 4;
        self.store().put(name, Bytes::from(bytes)).unwrap();
    }

    /// A run of upkeep.
    pub(crate) fn keeper(&self) -> Keeper {
        self.keeper_of(self.domain())
    }

    /// A run of upkeep in a domain.
    pub(crate) fn keeper_of(&self, domain: Domain) -> Keeper {
        Keeper::new(domain, Arc::new(self.repository.upkeep().unwrap())).unwrap()
    }

    pub(crate) fn mark(&self, point: PointId, mark: Mark) {
        let upkeep: UpkeepKey = self.repository.upkeep().unwrap();
        let domain = self.domain();
        let name = crate::marks::mark_name(
            (&upkeep, domain.repository()),
            domain.id(),
            (point.volume, point.session),
            mark,
            MarkRun([1; 16]),
        );
        self.store().put(&name.unwrap(), Bytes::new()).unwrap();
    }
}

pub(crate) fn overwrite(tree: &mut Tree, path: &str, page: u64, id: u64) {
    let inode = tree.file(path).unwrap();
    tree.edit(inode, |content| content.make_page(page, id)).unwrap();
}

#[test]
fn points_are_listed_oldest_first_and_marks_and_announcements_decide_which() {
    let world = World::known();
    let domain = world.domain();
    let made = [world.backup(), world.backup(), world.backup_as("other"), world.backup()];
    let ids = |volume: Option<&str>| {
        let list = points(&domain, volume).unwrap();
        assert!(list.unreadable.is_empty());
        list.points.iter().map(|point| point.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None), made);
    assert_eq!(ids(Some("volume")), [made[0], made[1], made[3]]);
    assert_eq!(ids(Some("nobody")), []);
    world.mark(made[0], Mark::Retired);
    world.mark(made[1], Mark::Doomed);
    assert_eq!(ids(None), [made[2], made[3]]);
    let all = points_with_hidden(&domain, None).unwrap().points;
    assert_eq!(
        all.iter().map(|point| (point.id, point.hidden)).collect::<Vec<_>>(),
        [(made[0], true), (made[2], false), (made[3], false)]
    );
    assert_eq!(resolve(&domain, None, "latest").unwrap(), made[3]);
    world.store().delete(&layout::session_open(domain.id(), made[3].session)).unwrap();
    assert_eq!(resolve(&domain, None, "latest").unwrap(), made[2]);
    assert_eq!(resolve(&domain, Some("volume"), "latest").unwrap_err().class(), model::ErrorClass::Missing);
}

#[test]
fn a_prefix_names_a_point_if_it_is_the_beginning_of_one_only() {
    let world = World::known();
    let domain = world.domain();
    let made = [world.backup(), world.backup()];
    let text = made[0].session.to_string();
    assert_eq!(resolve(&domain, None, &text).unwrap(), made[0]);
    assert_eq!(resolve(&domain, None, &text[..24]).unwrap(), made[0]);
    let ambiguous = resolve(&domain, None, &text[..2]).unwrap_err();
    assert_eq!(ambiguous.class(), model::ErrorClass::Invalid);
    assert!(ambiguous.to_string().contains(&text) && ambiguous.to_string().contains(&made[1].session.to_string()));
    assert_eq!(resolve(&domain, None, "ffff").unwrap_err().class(), model::ErrorClass::Missing);
    for nothing in ["", "x", "../..", "latest "] {
        assert_eq!(resolve(&domain, None, nothing).unwrap_err().class(), model::ErrorClass::Invalid, "{nothing:?}");
    }
}

#[test]
fn a_point_that_cannot_be_opened_is_listed_apart() {
    let world = World::known();
    let made = [world.backup(), world.backup()];
    let name = layout::point(world.domain().id(), made[1].volume, made[1].session);
    world.flip(&name, 400);
    let list = points(&world.domain(), None).unwrap();
    assert_eq!(list.points.iter().map(|point| point.id).collect::<Vec<_>>(), [made[0]]);
    assert_eq!(list.unreadable.len(), 1);
    assert_eq!(list.unreadable[0].0, name);
    // Nobody who asks for the latest gets an older one without a word.
    let latest = resolve(&world.domain(), None, "latest").unwrap_err();
    assert_eq!(latest.class(), model::ErrorClass::Corrupt);
    assert!(latest.to_string().contains(&made[0].session.to_string()), "{latest}");
    let newer = world.backup();
    assert_eq!(resolve(&world.domain(), None, "latest").unwrap(), newer);
}

#[test]
fn entries_are_found_by_path_and_listed_by_name() {
    let world = World::known();
    let view = world.view(world.backup());
    let small = view.lookup(&[b"d", b"small"]).unwrap();
    assert_eq!((small.file_type, small.inode.size, small.inode.links), (crate::source::FileType::Regular, 13, 2));
    assert_eq!(view.lookup(&[b"link"]).unwrap(), small);
    assert_eq!(view.lookup(&[]).unwrap(), view.root().unwrap());
    for absent in [&[b"no".as_slice()][..], &[b"d", b".."], &[b"large", b"x"], &[b"d", b""], &[b"d/small"]] {
        assert_eq!(view.lookup(absent).unwrap_err().class(), model::ErrorClass::Missing, "{absent:?}");
    }
    let names: Vec<Vec<u8>> = view.entries(1).unwrap().map(|child| child.unwrap().name).collect();
    assert_eq!(names, [b"d".to_vec(), b"large".to_vec(), b"link".to_vec(), b"to".to_vec()]);
    let mut found = Vec::new();
    find(&view, &|path| path.ends_with(b"r") || path == b"link", &mut |visited| {
        found.push(visited.display());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, ["link", "d/other"]);
}

#[test]
fn a_file_is_shown_as_it_was_with_its_holes() {
    let world = World::known();
    let view = world.view(world.backup());
    let large = world.source.snapshot();
    let content = large.lookup(&[b"large"]).and_then(|inode| large.node(inode)?.content().cloned()).unwrap();
    let mut expected = vec![1; content.size() as usize];
    assert_eq!(content.read(0, &mut expected), expected.len());
    let mut shown = Vec::new();
    assert_eq!(cat(&view, &[b"large"], &mut shown).unwrap(), expected.len() as u64);
    assert!(shown == expected);
    shown.clear();
    cat(&view, &[b"link"], &mut shown).unwrap();
    assert_eq!(shown, b"small content");
    assert_eq!(cat(&view, &[b"d"], &mut shown).unwrap_err().class(), model::ErrorClass::Invalid);
}

#[test]
fn an_announced_reader_keeps_its_point() {
    let world = World::known();
    let point = world.backup();
    let view = View::announced(&world.domain(), point, "test").unwrap();
    let announced = crate::session::read_announcement(&world.domain(), view.session().unwrap().id()).unwrap();
    assert_eq!(announced.pins, [point]);
    world.mark(point, Mark::Doomed);
    let late = View::announced(&world.domain(), point, "test").err().unwrap();
    assert_eq!(late.class(), model::ErrorClass::Missing);
}
