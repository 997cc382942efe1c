//! Replication: whatever is valid at the replica is complete, at every instant, whoever stops where; and it costs what the replica lacks.

#[path = "replicate/damage.rs"]
mod damage;
#[path = "replicate/pair.rs"]
mod pair;
#[path = "replicate/refusals.rs"]
mod refusals;
#[path = "replicate/steps.rs"]
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use repository::layout::{self, Mark, ParsedName};
use repository::read::{self, CheckOutcome};
use repository::session::{PointId, read_reference};
use repository::store::{Effect, Failure, Faults, Operation, Rule};
use repository::upkeep::{ReplicateOptions, WhyNot, plan_replication, promote, replicate, retire};
use repository::write::{BackupOptions, backup};

use super::world::seeds;
use pair::{Pair, at_once, points, world};

#[test]
fn every_point_restores_at_the_replica_and_nothing_else_was_copied() {
    for seed in seeds(3) {
        let pair = Pair::new(world(seed));
        let made = points(&pair.source, 3);
        let report = pair.replicate();
        assert_eq!(report.replicated, made.iter().map(|(point, _)| *point).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((report.damaged.len(), report.not_replicated.len()), (0, 0), "{report:?}");
        let mut expected: BTreeSet<String> = pair.source.names().into_iter().collect();
        expected.insert("features/replica.collect".to_owned());
        assert_eq!(pair.replica.names().into_iter().collect::<BTreeSet<_>>(), expected);
        for name in pair.source.names() {
            assert!(pair.source.object(&name) == pair.replica.object(&name), "{name} has other bytes");
        }
        let opened = pair.replica.reopen().expect("the replica opens with the same identity");
        opened.domain(&pair.replica.store(), "default").expect("so does its domain");
        for (point, tree) in &made {
            pair.replica.assert_restores(*point, tree, "a replicated point");
        }
        pair.replica.assert_sound("a replica");
    }
}

#[test]
fn an_increment_costs_what_the_replica_lacks() {
    let pair = Pair::new(world(1));
    points(&pair.source, 2);
    pair.replicate();
    let again = pair.replicate();
    assert_eq!((again.present, again.replicated.len(), again.copied), (2, 0, Default::default()));
    // repository.json; then features twice, keys, points, marks, sessions, keys of the domain.
    assert_eq!((again.source_requests.get, again.source_requests.list), (1, 7), "{:?}", again.source_requests);
    assert_eq!((again.target_requests.get, again.target_requests.list), (1, 7), "{:?}", again.target_requests);
    assert_eq!((again.source_requests.put, again.target_requests.put), (0, 0));

    let before: BTreeSet<String> = pair.source.names().into_iter().collect();
    let (point, tree) = points(&pair.source, 1).remove(0);
    let new: Vec<String> = pair.source.names().into_iter().filter(|name| !before.contains(name)).collect();
    let size = |name: &String| pair.source.object(name).len() as u64;
    let pack_names: Vec<&String> = new.iter().filter(|name| name.contains("/packs/")).collect();
    let packs = pack_names.len() as u64;
    let planned =
        plan_replication(&pair.source.structure_domain(), &pair.replica.store(), &ReplicateOptions::default());
    let planned = planned.expect("a plan");
    assert_eq!((planned.source_requests.put, planned.target_requests.put), (0, 0));
    let report = pair.replicate();
    assert_eq!((&report.replicated, report.copied), (&vec![point], planned.copied));
    assert_eq!(planned.replicated, report.replicated);
    assert_eq!(report.copied.packs, packs);
    assert_eq!(report.copied.bytes, pack_names.into_iter().map(size).sum::<u64>());
    // Besides: the list of packs, `.point` (twice, because the metadata key is not at hand), a list of marks, `.open`, packs.
    assert_eq!((report.source_requests.get, report.source_requests.list), (1 + 3 + packs, 7 + 2));
    // Besides: the list of packs, the look for a promotion, a list of marks; put: `.point`, packs, `.open`.
    assert_eq!((report.target_requests.get, report.target_requests.list), (1 + 1, 7 + 2));
    assert_eq!(report.target_requests.put, 2 + packs);
    assert_eq!(report.target_requests.bytes_sent, new.iter().map(size).sum::<u64>());
    assert_eq!((report.source_requests.put, report.source_requests.delete, report.target_requests.delete), (0, 0, 0));
    pair.replica.assert_restores(point, &tree, "the increment");
}

#[test]
fn volumes_can_be_chosen_and_hidden_points_are_left_out() {
    let pair = Pair::new(world(2));
    let made = points(&pair.source, 2);
    let options = BackupOptions { volume: "other".to_owned(), ..pair.source.options() };
    let other = backup(&pair.source.domain(), &pair.source.source, &options).expect("a backup").point;
    let only = ReplicateOptions { volumes: [other.volume].into(), ..ReplicateOptions::default() };
    let report = replicate(&pair.source.structure_domain(), &pair.replica.store(), &only).expect("a replication");
    assert_eq!(report.replicated, [other]);
    pair.actor().source_loses_nothing_but_hides(made[0].0);
    let report = pair.replicate();
    assert_eq!((report.replicated, report.present, report.hidden), (vec![made[1].0], 1, 1));
    let all = ReplicateOptions { hidden: true, ..ReplicateOptions::default() };
    let report = replicate(&pair.source.structure_domain(), &pair.replica.store(), &all).expect("a replication");
    assert_eq!(report.replicated, [made[0].0]);
    pair.replica.assert_restores(made[0].0, &made[0].1, "hidden at the source");
    assert_eq!(pair.valid_at_replica().len(), 3);
}

#[test]
fn a_replica_keeps_what_its_source_forgets_until_it_forgets_it_too() {
    let pair = Pair::new(world(3));
    let made = points(&pair.source, 3);
    pair.replicate();
    let actor = pair.actor();
    actor.source_loses(made[0].0);
    actor.retire_at_replica(made[1].0);
    let report = actor.collect_replica().expect("a collector run");
    assert_eq!((report.collection.dooms.len(), report.deleted.packs), (0, 0), "{report:?}");
    assert_eq!(pair.valid_at_replica().len(), 3, "one that the source forgot, one that it still has");
    for (point, tree) in &made {
        pair.replica.assert_restores(*point, tree, "the replica has more than its source");
    }
    actor.source_loses(made[1].0);
    let report = actor.collect_replica().expect("a collector run");
    assert_eq!(report.collection.dooms.iter().map(|doom| doom.point).collect::<Vec<_>>(), [made[1].0]);
    assert_eq!(pair.valid_at_replica().len(), 2);
    let domain = pair.source.domain().id();
    let left = |name: &&String| name.contains(&made[1].0.session.to_string());
    let left: Vec<ParsedName> =
        pair.replica.names().iter().filter(left).map(|name| ParsedName::parse(name).expect("a name")).collect();
    let needed: BTreeSet<String> = [made[0].0, made[2].0]
        .iter()
        .flat_map(|point| {
            read_reference(&pair.replica.domain(), *point)
                .expect("a reference")
                .packs
                .iter()
                .map(|(pack, _)| layout::pack(domain, pack.session, pack.seq))
                .collect::<Vec<_>>()
        })
        .collect();
    for name in left {
        match name {
            ParsedName::Mark { mark: Mark::Doomed, .. } => {}
            ParsedName::Pack { .. } => assert!(needed.contains(&name.to_string()), "{name}"),
            other => panic!("{other} is left of a point that was removed"),
        }
    }
    pair.replica.assert_restores(made[0].0, &made[0].1, "forgotten at the source only");
    pair.replica.assert_restores(made[2].0, &made[2].1, "forgotten nowhere");
    pair.replica.assert_sound("after both have forgotten");
    assert_eq!(pair.replicate().replicated, []);
}

#[test]
fn what_lands_late_does_not_come_back_to_life() {
    let pair = Pair::new(world(4));
    let made = points(&pair.source, 2);
    let domain = pair.source.domain().id();
    let faults = Faults::seeded(1);
    for prefix in [layout::points(domain), layout::sessions(domain)] {
        faults.add(Rule::on(Operation::Put, &prefix, Effect::LandLate).times(1));
    }
    let report = pair.faulty_actor(&faults).replicate().expect("it sends them again");
    assert_eq!((report.replicated.len(), faults.fired()), (2, 2));
    let (late, _) = made[0].clone();
    let actor = pair.actor();
    actor.source_loses(late);
    actor.retire_at_replica(late);
    actor.collect_replica().expect("a collector run");
    let held = pair.replica.names();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    assert_eq!(faults.land_late(runtime.handle()).expect("landed"), 2);
    let landed = pair.replica.names().len() - held.len();
    assert_eq!(landed, 2, "`.point` and `.open` are there again");
    assert_eq!(pair.valid_at_replica(), [made[1].0].into(), "the tombstone says that it is over");
    actor.collect_replica().expect("a collector run");
    assert_eq!(pair.replica.names(), held, "and they go again");
    pair.replica.assert_restores(made[1].0, &made[1].1, "the other");
    pair.replica.assert_sound("after late landings");
}

#[test]
fn a_point_that_the_replica_doomed_is_not_copied_again() {
    let pair = Pair::new(world(5));
    let made = points(&pair.source, 2);
    pair.replicate();
    let actor = pair.actor();
    actor.doom_at_replica(made[0].0);
    actor.collect_replica().expect("a collector run");
    let report = pair.replicate();
    assert_eq!(
        report.not_replicated.iter().map(|left| (left.point, left.why)).collect::<Vec<_>>(),
        [(made[0].0, WhyNot::DoomedAtTarget)]
    );
    assert_eq!(pair.valid_at_replica(), [made[1].0].into());
}

#[test]
fn half_a_copy_waits_for_its_replicator() {
    let pair = Pair::new(world(6));
    let made = points(&pair.source, 2);
    let faults = Faults::seeded(1);
    let sessions = layout::sessions(pair.source.domain().id());
    faults.add(Rule::on(Operation::Put, &sessions, Effect::Fail(Failure::Denied)));
    pair.faulty_actor(&faults).replicate().expect_err("no announcement can be put");
    assert_eq!(pair.valid_at_replica(), BTreeSet::new());
    let checked = pair.replica.check(true).expect("a check");
    assert_eq!((checked.outcome, checked.unannounced.len()), (CheckOutcome::Ok, 2), "{:?}", checked.damaged);
    let actor = pair.actor();
    for _ in 0..2 {
        let report = actor.collect_replica().expect("a collector run");
        assert_eq!((report.deleted.packs, report.collection.lost_announcements.len()), (0, 0), "{report:?}");
    }
    assert_eq!(pair.replicate().copied.packs, 0, "the packs are there");
    let shown = read::points(&pair.replica.domain(), None).expect("a list").points.len();
    assert_eq!(shown, made.len(), "nobody has hidden them meanwhile");
}

#[test]
fn half_a_copy_whose_source_is_gone_ends_like_any_other_point() {
    let pair = Pair::new(world(6));
    let made = points(&pair.source, 2);
    let faults = Faults::seeded(1);
    let sessions = layout::sessions(pair.source.domain().id());
    faults.add(Rule::on(Operation::Put, &sessions, Effect::Fail(Failure::Denied)));
    pair.faulty_actor(&faults).replicate().expect_err("no announcement can be put");
    let actor = pair.actor();
    made.iter().for_each(|(point, _)| actor.source_loses(*point));
    for _ in 0..3 {
        actor.collect_replica().expect("a collector run");
    }
    let left = |name: &&String| name.contains("/packs/") || name.contains("/points/");
    assert_eq!(pair.replica.names().iter().filter(left).count(), 0);
}

#[test]
fn a_promoted_replica_is_a_repository_of_its_own() {
    let pair = Pair::new(world(7));
    let made = points(&pair.source, 2);
    pair.replicate();
    let actor = pair.actor();
    assert!(promote(&pair.replica.store()).expect("promoted"));
    assert!(!promote(&pair.replica.store()).expect("promoted before"));
    let error = actor.replicate().expect_err("it takes no more copies");
    assert!(error.to_string().contains("promoted"), "{error}");
    let written = pair.replica.backup();
    let upkeep = Arc::new(pair.replica.repository.upkeep().expect("the key"));
    let keeper = repository::upkeep::Keeper::new(pair.replica.domain(), upkeep).expect("a keeper");
    retire(&keeper, &[made[0].0]).expect("retired");
    let report = repository::upkeep::collect(&keeper, &at_once(None)).expect("a collector run");
    assert_eq!(report.collection.dooms.len(), 1, "although the old source still has it");
    assert_eq!(pair.valid_at_replica(), [made[1].0, written.point].into());
    pair.replica.assert_restores(written.point, &pair.replica.source.snapshot(), "written into the promoted replica");
    pair.replica.assert_restores(made[1].0, &made[1].1, "copied into it");
    // And it can be replicated in its turn.
    let next = Pair::new(pair.replica.copy());
    assert_eq!(next.replicate().replicated.len(), 2);
    assert_eq!(next.valid_at_replica(), [made[1].0, written.point].into());
    assert!(!next.replica.names().contains(&"features/promoted.collect".to_owned()));
}

fn by_session(points: &[PointId]) -> BTreeSet<PointId> {
    points.iter().copied().collect()
}
