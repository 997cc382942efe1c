//! Pair: a repository and its replica, and everybody who works on either.
//!
//! In: a world. Out: replications, collector runs, removals, each with faults if wanted. Never: the source's content keys in the hands of the replicator.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use repository::Error;
use repository::domain::Domain;
use repository::generated::{Dice, GeneratedSource, Shape, Tree};
use repository::layout::{self, Mark};
use repository::read;
use repository::session::{PointId, read_reference};
use repository::store::{Bytes, Effect, Faults, MeanwhileHook, Operation, Rule, Store};
use repository::upkeep::{CollectOptions, CollectReport, Keeper, ReplicateOptions, ReplicateReport};
use repository::upkeep::{Undeleted, collect, promote, replicate, retire, undelete};

use super::super::world::World;

pub(super) struct Pair {
    pub(super) source: World,
    pub(super) replica: World,
}

/// Nothing is waited for, everything may go.
pub(super) fn at_once(source: Option<Store>) -> CollectOptions {
    CollectOptions {
        grace: Duration::ZERO,
        session_grace: Duration::ZERO,
        share_percent_max: 100,
        source,
        ..CollectOptions::default()
    }
}

/// One who works on stores of his own, so that he may work between two requests of another.
#[derive(Clone)]
pub(super) struct Actor {
    source: Domain,
    structure: Domain,
    source_keeper: Keeper,
    replica_keeper: Keeper,
}

impl Actor {
    pub(super) fn replicate(&self) -> Result<ReplicateReport, Error> {
        replicate(&self.structure, self.replica_keeper.domain().store(), &ReplicateOptions::default())
    }

    pub(super) fn collect_replica(&self) -> Result<CollectReport, Error> {
        collect(&self.replica_keeper, &at_once(Some(self.source.store().clone())))
    }

    pub(super) fn collect_promoted(&self) -> Result<CollectReport, Error> {
        collect(&self.replica_keeper, &at_once(None))
    }

    pub(super) fn promote_and_collect(&self) {
        promote(self.replica_keeper.domain().store()).expect("promoted");
        self.collect_promoted().expect("a collector run");
    }

    pub(super) fn retire_at_replica(&self, point: PointId) {
        retire(&self.replica_keeper, &[point]).expect("retired");
    }

    pub(super) fn doom_at_replica(&self, point: PointId) {
        self.replica_keeper.mark(point, Mark::Doomed).expect("doomed");
    }

    pub(super) fn source_loses_nothing_but_hides(&self, point: PointId) {
        retire(&self.source_keeper, &[point]).expect("retired");
    }

    /// The source's retention removes a point.
    pub(super) fn source_loses(&self, point: PointId) {
        retire(&self.source_keeper, &[point]).expect("retired");
        collect(&self.source_keeper, &at_once(None)).expect("a collector run");
    }

    /// What a writer puts.
    pub(super) fn put_at_source(&self, objects: &[(String, Bytes)]) {
        for (name, bytes) in objects {
            self.source.store().put(name, bytes.clone()).expect("put");
        }
    }

    /// Until names go as well: beside a run that was killed they wait until it was ended.
    pub(super) fn collect_source(&self) {
        (0..2).for_each(|_| {
            collect(&self.source_keeper, &at_once(None)).expect("a collector run");
        });
    }

    /// Another point of the same content, which a collector that has decided about the first leaves alone.
    pub(super) fn undelete_at_source(&self, point: PointId) -> PointId {
        retire(&self.source_keeper, &[point]).expect("retired");
        undelete(&self.source_keeper, point, "test").expect("undeleted").point
    }

    pub(super) fn undelete_at_replica(&self, point: PointId) -> Result<Undeleted, Error> {
        undelete(&self.replica_keeper, point, "test")
    }

    /// The same by a collector that is killed when the packs are gone, so that the announcement stands.
    pub(super) fn source_loses_packs(&self, point: PointId) {
        retire(&self.source_keeper, &[point]).expect("retired");
        let faults = Faults::seeded(1);
        let sessions = layout::sessions(self.source.id());
        let die = Effect::Crash { applied: false, hook: Arc::new(|| {}) };
        faults.add(Rule::on(Operation::Delete, &sessions, die));
        let keeper = self.source_keeper.clone();
        let _ = collect(&keeper.on(self.source.store().clone().with_faults(faults.clone())), &at_once(None));
    }
}

impl Pair {
    pub(super) fn new(source: World) -> Pair {
        Pair { replica: source.elsewhere(), source }
    }

    pub(super) fn copy(&self) -> Pair {
        Pair { source: self.source.copy(), replica: self.replica.copy() }
    }

    pub(super) fn actor(&self) -> Actor {
        let upkeep = Arc::new(self.source.repository.upkeep().expect("the upkeep key"));
        let source = self.source.domain();
        let keeper = |domain: Domain| Keeper::new(domain, upkeep.clone()).expect("a keeper");
        Actor {
            structure: self.source.structure_domain(),
            source_keeper: keeper(source.clone()),
            replica_keeper: keeper(source.on(self.replica.store())),
            source,
        }
    }

    /// An actor whose requests, to either place and one after the other, meet faults.
    pub(super) fn faulty_actor(&self, faults: &Arc<Faults>) -> Actor {
        let store = |world: &World| world.store().with_faults(faults.clone()).with_one_connection();
        let Actor { source, structure, source_keeper, replica_keeper } = self.actor();
        Actor {
            source: source.on(store(&self.source)),
            structure: structure.on(store(&self.source)),
            source_keeper: source_keeper.on(store(&self.source)),
            replica_keeper: replica_keeper.on(store(&self.replica)),
        }
    }

    /// An actor between whose requests, before the k-th, somebody else does something.
    pub(super) fn disturbed_actor(&self, hooks: Vec<(u64, MeanwhileHook)>) -> (Actor, Arc<Faults>) {
        let faults = Faults::seeded(1);
        for (k, hook) in hooks {
            faults.add(Rule::any("", Effect::Meanwhile(hook)).after(k).times(1));
        }
        (self.faulty_actor(&faults), faults)
    }

    pub(super) fn replicate(&self) -> ReplicateReport {
        self.actor().replicate().unwrap_or_else(|error| panic!("a replication: {error}"))
    }

    /// What a reader of the replica sees, hidden points included.
    pub(super) fn valid_at_replica(&self) -> BTreeSet<PointId> {
        let domain = self.source.domain().on(self.replica.store());
        let list = read::points_with_hidden(&domain, None).expect("a list");
        assert_eq!(list.unreadable, []);
        list.points.iter().map(|point| point.id).collect()
    }

    pub(super) fn valid_at_source(&self) -> BTreeSet<PointId> {
        let list = read::points_with_hidden(&self.source.domain(), None).expect("a list");
        list.points.iter().map(|point| point.id).collect()
    }

    /// Whatever is valid at the replica has all that it needs, byte for byte as it was made.
    pub(super) fn assert_complete(&self, golden: &World, what: &str) {
        let domain = self.source.domain().on(self.replica.store());
        for point in self.valid_at_replica() {
            let reference = read_reference(&domain, point).unwrap_or_else(|error| panic!("{what}: {error}"));
            let packs = reference.packs.iter().map(|(pack, _)| domain.pack_name(pack));
            let own = [
                layout::point(domain.id(), point.volume, point.session),
                layout::session_open(domain.id(), point.session),
            ];
            for name in packs.chain(own) {
                let there = self.replica.store().get(&name);
                let there = there.unwrap_or_else(|error| panic!("{what}: {} is incomplete: {error}", point.session));
                if let Ok(golden) = golden.store().get(&name) {
                    assert!(golden == there, "{what}: {name} has other bytes");
                }
            }
        }
    }
}

/// A world whose stamps have settled.
pub(super) fn world(seed: u64) -> World {
    let world = World::new(seed, GeneratedSource::new(seed, &Shape::tiny()));
    world.source.clock().advance(Duration::from_secs(10));
    world
}

/// Points of one volume, a few changes apart, with the states they hold.
pub(super) fn points(world: &World, count: usize) -> Vec<(PointId, Tree)> {
    let (mut dice, shape) = (Dice::new(9), Shape::tiny());
    (0..count)
        .map(|_| {
            world.source.operate(&mut dice, &shape, 5);
            (world.backup().point, world.source.snapshot())
        })
        .collect()
}
