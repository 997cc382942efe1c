//! Between any two requests: kills, collectors of both places, second replicators, promotions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use model::ErrorClass;
use repository::layout;
use repository::session::{PointId, read_reference};
use repository::store::{Effect, Failure, Faults, MeanwhileHook, Operation, Rule};
use repository::upkeep::{ReplicateReport, plan_replication, promote};

use super::super::world::World;
use super::by_session;
use super::pair::{Actor, Pair, points, world};

/// No run of a tiny tree sends more requests.
const REQUESTS_MAX: u64 = 400;

/// Two points that share packs. The replica has the first, and has forgotten it; the source has lost it. It lacks the second.
struct Shared {
    pair: Pair,
    golden: World,
    second: PointId,
}

/// The second needs some packs of the first and has some of its own; or it has none of its own.
fn shared() -> [Shared; 2] {
    [false, true].map(|all| {
        let pair = Pair::new(world(1));
        let first = points(&pair.source, 1)[0].0;
        pair.replicate();
        let second = if all { pair.actor().undelete_at_source(first) } else { points(&pair.source, 1)[0].0 };
        let golden = pair.source.copy();
        let packs = |point| read_reference(&golden.domain(), point).expect("a reference").packs;
        let (old, new) = (packs(first), packs(second));
        assert!(new.iter().any(|(pack, _)| old.contains(pack)), "the second needs packs of the first");
        assert_eq!(new.iter().all(|(pack, _)| old.contains(pack)), all);
        let actor = pair.actor();
        actor.source_loses(first);
        actor.retire_at_replica(first);
        Shared { pair, golden, second }
    })
}

/// Lets `outer` run once for each of its requests, with `inner` in between; `after` looks at what is left. Returns how often `inner` came.
fn between_all_requests<R>(
    shared: &Shared,
    inner: impl Fn(&Actor, PointId) + Send + Sync + Clone + 'static,
    outer: impl Fn(&Actor) -> R,
    after: impl Fn(&Pair, R, u64),
) -> u64 {
    for k in 0..REQUESTS_MAX {
        let pair = shared.pair.copy();
        let (actor, point, inner) = (pair.actor(), shared.second, inner.clone());
        let hook: MeanwhileHook = Arc::new(move || inner(&actor, point));
        let (disturbed, faults) = pair.disturbed_actor(vec![(k, hook)]);
        let result = outer(&disturbed);
        pair.assert_complete(&shared.golden, &format!("before request {k}"));
        let fired = faults.fired();
        after(&pair, result, k);
        pair.assert_complete(&shared.golden, &format!("before request {k}, in the end"));
        if fired == 0 {
            return k;
        }
    }
    panic!("no run has so many requests");
}

type Replication = Result<ReplicateReport, repository::Error>;

fn reported(result: Replication, k: u64) -> BTreeSet<PointId> {
    let report = result.unwrap_or_else(|error| panic!("before request {k}: {error}"));
    assert_eq!(report.damaged, [], "before request {k}");
    by_session(&report.replicated)
}

/// What was reported as replicated is valid, and another run makes the replica whole.
fn settles(pair: &Pair, result: Replication, k: u64) {
    let replicated = reported(result, k);
    assert!(replicated.is_subset(&pair.valid_at_replica()), "before request {k}: {replicated:?}");
    let actor = pair.actor();
    actor.collect_replica().unwrap_or_else(|error| panic!("before request {k}: {error}"));
    pair.replicate();
    actor.collect_replica().unwrap_or_else(|error| panic!("before request {k}: {error}"));
    let (source, replica) = (pair.valid_at_source(), pair.valid_at_replica());
    assert!(source.is_subset(&replica), "before request {k}: {source:?} and {replica:?}");
}

#[test]
fn a_replicator_stands_whatever_its_source_loses_meanwhile() {
    for shared in shared() {
        let times = [
            between_all_requests(&shared, |actor, point| actor.source_loses(point), Actor::replicate, settles),
            between_all_requests(&shared, |actor, point| actor.source_loses_packs(point), Actor::replicate, settles),
        ];
        assert!(times.iter().all(|times| *times > 20), "{times:?}");
    }
}

#[test]
fn a_replicator_stands_whatever_the_collector_of_the_replica_takes_meanwhile() {
    for shared in shared() {
        let taken = |actor: &Actor, _| drop(actor.collect_replica().expect("a collector run"));
        between_all_requests(&shared, taken, Actor::replicate, |pair, result, k| {
            assert!(
                result.as_ref().is_ok_and(|report| report.not_replicated.is_empty()),
                "before request {k}: {result:?}"
            );
            assert!(pair.valid_at_replica().contains(&shared.second), "before request {k}");
            settles(pair, result, k);
        });
    }
}

#[test]
fn a_replicator_stands_whatever_both_collectors_take_meanwhile() {
    for shared in shared() {
        let all = |actor: &Actor, point| {
            actor.source_loses(point);
            actor.collect_replica().expect("a collector run");
        };
        between_all_requests(&shared, all, Actor::replicate, settles);
        let packs = |actor: &Actor, point| {
            actor.source_loses_packs(point);
            actor.collect_replica().expect("a collector run");
        };
        between_all_requests(&shared, packs, Actor::replicate, settles);
    }
}

#[test]
fn a_replicator_looks_at_marks_before_the_announcement() {
    // One collector of the source is killed when the packs are gone; another ends its work later.
    let [_, shared] = shared();
    let run = |j: u64, k: u64| {
        let pair = shared.pair.copy();
        let (first, second, point) = (pair.actor(), pair.actor(), shared.second);
        let lose: MeanwhileHook = Arc::new(move || {
            first.source_loses_packs(point);
            first.collect_replica().expect("a collector run");
        });
        let end: MeanwhileHook = Arc::new(move || second.collect_source());
        let (disturbed, faults) = pair.disturbed_actor(vec![(j, lose), (k, end)]);
        let report = disturbed.replicate().unwrap_or_else(|error| panic!("before {j} and {k}: {error}"));
        pair.assert_complete(&shared.golden, &format!("before {j} and {k}"));
        assert!(by_session(&report.replicated).is_subset(&pair.valid_at_replica()));
        faults.fired() == 2
    };
    let mut pairs = 0;
    for j in 0.. {
        let both = ((j + 1)..REQUESTS_MAX).take_while(|k| run(j, *k)).count();
        pairs += both;
        if both == 0 {
            break;
        }
    }
    assert!(pairs > 100, "{pairs}");
}

#[test]
fn two_replicators_at_once_are_one_too_many_and_no_harm() {
    for shared in shared() {
        let second = |actor: &Actor, _| drop(actor.replicate().expect("a replication"));
        between_all_requests(&shared, second, Actor::replicate, settles);
        // The same where there is nothing yet.
        let fresh = Shared {
            pair: Pair { replica: shared.pair.source.elsewhere(), source: shared.pair.source.copy() },
            ..shared
        };
        between_all_requests(&fresh, second, Actor::replicate, settles);
    }
}

#[test]
fn what_the_replica_dooms_meanwhile_is_not_reported_as_replicated() {
    for shared in shared() {
        let doom = |actor: &Actor, point| actor.doom_at_replica(point);
        between_all_requests(&shared, doom, Actor::replicate, |pair, result, k| {
            let replicated = reported(result, k);
            assert!(replicated.is_subset(&pair.valid_at_replica()), "before request {k}: {replicated:?}");
        });
    }
}

#[test]
fn a_promotion_ends_replication_and_half_a_copy_goes() {
    for shared in shared() {
        let promote = |actor: &Actor, _| actor.promote_and_collect();
        let stops = AtomicU64::new(0);
        between_all_requests(&shared, promote, Actor::replicate, |pair, result, k| {
            if let Err(error) = result {
                assert!(error.to_string().contains("promoted"), "before request {k}: {error}");
                stops.fetch_add(1, Ordering::Relaxed);
                let actor = pair.actor();
                (0..3).for_each(|_| actor.promote_and_collect());
                let (names, valid) = (pair.replica.names(), pair.valid_at_replica());
                let half = names.iter().filter(|name| name.ends_with(".point")).count() - valid.len();
                assert_eq!(half, 0, "before request {k}: half a copy stays for ever");
            }
        });
        let stops = stops.into_inner();
        assert!(stops > 8, "{stops}");
    }
}

#[test]
fn a_collector_of_a_promoted_replica_stands_when_a_copy_is_finished_meanwhile() {
    let [shared, _] = shared();
    let pair = shared.pair.copy();
    pair.replicate();
    let domain = pair.source.domain();
    let reference = read_reference(&domain, shared.second).expect("a reference");
    let packs = reference.packs.iter().map(|(pack, _)| domain.pack_name(pack));
    let names: Vec<String> = packs.chain([layout::session_open(domain.id(), shared.second.session)]).collect();
    // R3 and R4 of a replicator that had looked before the promotion.
    let rest: Vec<_> = names.iter().map(|name| (name.clone(), pair.replica.object(name))).collect();
    names.iter().for_each(|name| pair.replica.delete(name));
    promote(&pair.replica.store()).expect("promoted");
    for k in 0..REQUESTS_MAX {
        let pair = pair.copy();
        let (rest, replica) = (rest.clone(), pair.replica.store());
        let finish: MeanwhileHook =
            Arc::new(move || rest.iter().for_each(|(name, bytes)| replica.put(name, bytes.clone()).expect("put")));
        let (disturbed, faults) = pair.disturbed_actor(vec![(k, finish)]);
        if let Err(error) = disturbed.collect_promoted() {
            assert_eq!(error.class(), ErrorClass::Busy, "before request {k}: {error}");
        }
        pair.assert_complete(&shared.golden, &format!("before request {k}"));
        if faults.fired() == 0 {
            assert!(k > 10, "{k} requests");
            return;
        }
    }
    panic!("no run has so many requests");
}

#[test]
fn a_collector_of_the_replica_stands_whatever_is_replicated_meanwhile() {
    for shared in shared() {
        let replicated = |actor: &Actor, _| drop(actor.replicate().expect("a replication"));
        let collected = |actor: &Actor| actor.collect_replica();
        let times = between_all_requests(&shared, replicated, collected, |pair, result, k| {
            if let Err(error) = result {
                assert_eq!(error.class(), ErrorClass::Busy, "before request {k}: {error}");
            }
            settles(pair, Ok(pair.replicate()), k);
        });
        assert!(times > 15, "{times}");
    }
}

#[test]
fn a_collector_of_the_replica_stands_when_half_a_copy_becomes_whole_meanwhile() {
    let [shared, _] = shared();
    let faults = Faults::seeded(1);
    let packs = layout::packs(shared.pair.source.domain().id());
    faults.add(Rule::on(Operation::Put, &packs, Effect::Fail(Failure::Denied)));
    shared.pair.faulty_actor(&faults).replicate().expect_err("no pack can be put");
    let replicated = |actor: &Actor, _| drop(actor.replicate().expect("a replication"));
    let collected = |actor: &Actor| actor.collect_replica();
    between_all_requests(&shared, replicated, collected, |pair, result, k| {
        result.unwrap_or_else(|error| panic!("before request {k}: {error}"));
        settles(pair, Ok(pair.replicate()), k);
    });
}

#[test]
fn a_collector_of_the_replica_stands_when_what_was_replicated_goes_at_the_source() {
    for shared in shared() {
        let both = |actor: &Actor, point| {
            actor.replicate().expect("a replication");
            actor.source_loses(point);
        };
        between_all_requests(
            &shared,
            both,
            |actor: &Actor| actor.collect_replica(),
            |pair, _, k| {
                settles(pair, Ok(pair.replicate()), k);
            },
        );
    }
}

#[test]
fn what_the_source_has_is_not_doomed_at_the_replica_though_it_came_and_was_forgotten_meanwhile() {
    for shared in shared() {
        let both = |actor: &Actor, point| {
            actor.replicate().expect("a replication");
            actor.retire_at_replica(point);
        };
        between_all_requests(
            &shared,
            both,
            |actor: &Actor| actor.collect_replica(),
            |pair, _, k| {
                assert!(!pair.replicate().replicated.contains(&shared.second) || k > 0, "it was there");
                assert!(
                    pair.valid_at_replica().contains(&shared.second),
                    "before request {k}: the source still has it"
                );
            },
        );
    }
}

#[test]
fn a_new_point_is_not_gone_because_the_source_was_looked_at_before_it_was_made() {
    let pair = Pair::new(world(1));
    points(&pair.source, 1);
    pair.replicate();
    let golden = pair.source.copy();
    let second = points(&golden, 1)[0].0;
    // Half a copy of it was hidden at the replica before this run.
    pair.actor().retire_at_replica(second);
    let before = pair.source.names();
    let mut new: Vec<String> = golden.names().into_iter().filter(|name| !before.contains(name)).collect();
    new.sort_by_key(|name| (name.ends_with(".point"), !name.ends_with(".open")));
    let shared = Shared { pair, golden: golden.copy(), second };
    let objects: Vec<_> = new.iter().map(|name| (name.clone(), golden.object(name))).collect();
    let come = move |actor: &Actor, _| {
        actor.put_at_source(&objects);
        actor.replicate().expect("a replication");
    };
    let times = between_all_requests(
        &shared,
        come,
        |actor: &Actor| actor.collect_replica(),
        |pair, result, k| {
            if let Err(error) = result {
                assert_eq!(error.class(), ErrorClass::Busy, "before request {k}: {error}");
            }
            if pair.valid_at_source().contains(&second) {
                assert!(pair.valid_at_replica().contains(&second), "before request {k}");
            }
        },
    );
    assert!(times > 10, "{times}");
}

/// A replicator on its thread, and whether it paused.
type Begun = (JoinHandle<Replication>, bool);

#[test]
fn a_replicator_may_be_paused_for_as_long_as_a_collector_runs() {
    for shared in shared() {
        let mut pauses = 0;
        for j in 0..REQUESTS_MAX {
            let both = (0..REQUESTS_MAX).take_while(|k| pause(&shared, j, *k)).count();
            pauses += both;
            if both == 0 {
                break;
            }
        }
        assert!(pauses > 100, "{pauses}");
    }
}

/// Before the collector's j-th request a replicator begins, pauses before its k-th, and goes on when the collector has ended; the source loses the point in between.
/// False: one of them had fewer requests.
fn pause(shared: &Shared, j: u64, k: u64) -> bool {
    let pair = shared.pair.copy();
    let (stops, stopped) = std::sync::mpsc::channel();
    let (goes, going) = std::sync::mpsc::channel::<()>();
    let (ends, stopped, going) = (stops.clone(), Mutex::new(stopped), Mutex::new(going));
    let wait: MeanwhileHook = Arc::new(move || {
        stops.send(true).expect("somebody waits");
        let _ = going.lock().expect("no panic").recv();
    });
    let (replicator, _) = pair.disturbed_actor(vec![(k, wait)]);
    let (actor, point) = (pair.actor(), shared.second);
    let running: Arc<Mutex<Option<Begun>>> = Arc::default();
    let started = running.clone();
    let begin: MeanwhileHook = Arc::new(move || {
        let (replicator, ends) = (replicator.clone(), ends.clone());
        let replication = std::thread::spawn(move || {
            let result = replicator.replicate();
            let _ = ends.send(false);
            result
        });
        let paused = stopped.lock().expect("no panic").recv().expect("it pauses or ends");
        actor.source_loses(point);
        *started.lock().expect("no panic") = Some((replication, paused));
    });
    let (collector, _) = pair.disturbed_actor(vec![(j, begin)]);
    let _ = collector.collect_replica();
    let _ = goes.send(());
    let Some((replication, paused)) = running.lock().expect("no panic").take() else { return false };
    let report = replication.join().expect("no panic").expect("a replication");
    pair.assert_complete(&shared.golden, &format!("begun before request {j}, paused before {k}"));
    assert!(by_session(&report.replicated).is_subset(&pair.valid_at_replica()), "{j}, {k}");
    paused
}

#[test]
fn a_replicator_may_be_killed_at_any_request() {
    let source = world(1);
    let made = points(&source, 3);
    let golden = source.copy();
    let pair = Pair::new(source);
    let both = |k: &u64| kill_replicator(&pair, &golden, *k, false) && kill_replicator(&pair, &golden, *k, true);
    let killed = (0..REQUESTS_MAX).take_while(both).count();
    assert!(
        (30..REQUESTS_MAX as usize).contains(&killed),
        "{killed} requests of a replication of {} points",
        made.len()
    );
}

/// Kills a replicator before or after its k-th request; false: it had fewer.
fn kill_replicator(pair: &Pair, golden: &World, k: u64, applied: bool) -> bool {
    let what = format!("killed {} request {k}", if applied { "after" } else { "before" });
    let pair = pair.copy();
    let faults = Faults::seeded(k);
    faults.add(Rule::any("", Effect::Crash { applied, hook: Arc::new(|| {}) }).after(k).times(1));
    let result = pair.faulty_actor(&faults).replicate();
    pair.assert_complete(golden, &what);
    if !faults.crashed() {
        // A request that fails by itself (a look for what is not there) cannot be followed by the kill.
        let report = result.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(report.not_replicated, []);
        return applied && faults.fired() > 0;
    }
    let actor = pair.actor();
    // Without the keys of the domain it is not a repository that anybody could open.
    let keys = layout::domain_keys(pair.source.domain().id());
    if pair.replica.names().iter().any(|name| name.starts_with(&keys)) {
        actor.collect_replica().unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let planned = plan_replication(&pair.source.structure_domain(), &pair.replica.store(), &Default::default());
    let planned = planned.unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = actor.replicate().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((report.copied.packs, &report.replicated), (planned.copied.packs, &planned.replicated), "{what}");
    assert_eq!(pair.valid_at_replica(), pair.valid_at_source(), "{what}");
    pair.assert_complete(golden, &what);
    true
}

#[test]
fn a_collector_of_the_replica_may_be_killed_at_any_request() {
    for shared in shared() {
        let both = |k: &u64| kill_collector(&shared, *k, false) && (kill_collector(&shared, *k, true) || *k < 100);
        let killed = (0..REQUESTS_MAX).take_while(both).count();
        assert!((20..REQUESTS_MAX as usize).contains(&killed), "{killed} requests");
    }
}

fn kill_collector(shared: &Shared, k: u64, applied: bool) -> bool {
    let what = format!("killed {} request {k}", if applied { "after" } else { "before" });
    let pair = shared.pair.copy();
    pair.actor().source_loses(shared.second);
    let faults = Faults::seeded(k);
    faults.add(Rule::any("", Effect::Crash { applied, hook: Arc::new(|| {}) }).after(k).times(1));
    let result = pair.faulty_actor(&faults).collect_replica();
    pair.assert_complete(&shared.golden, &what);
    if !faults.crashed() {
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
        return false;
    }
    let actor = pair.actor();
    (0..2).for_each(|_| drop(actor.collect_replica().unwrap_or_else(|error| panic!("{what}: {error}"))));
    let rest = |name: &&String| ["/packs/", "/points/", "/sessions/"].iter().any(|part| name.contains(part));
    assert_eq!(pair.replica.names().iter().filter(rest).count(), 0, "{what}: only tombstones are left");
    assert!(pair.replica.names().iter().any(|name| name.contains(".doomed.")), "{what}");
    pair.actor().promote_and_collect();
    assert!(pair.replica.names().iter().any(|name| name.contains(".doomed.")), "{what}: tombstones stay for ever");
    true
}
