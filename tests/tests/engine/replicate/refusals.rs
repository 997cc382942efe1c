//! What is refused: places that are no replica, collectors without a source, writers.

use model::ErrorClass;
use repository::features::Standing;
use repository::layout::NeededBy;
use repository::store::{Bytes, Effect, Failure, Faults, Operation, Rule};
use repository::upkeep::{CollectOptions, Keeper, ReplicateOptions, collect, plan_collection, promote, replicate};
use std::sync::Arc;

use super::super::world::World;
use super::pair::{Pair, at_once, points, world};

fn keeper(world: &World) -> Keeper {
    Keeper::new(world.domain(), Arc::new(world.repository.upkeep().expect("the key"))).expect("a keeper")
}

fn refused(source: &World, target: &World, cause: &str) {
    let before = target.names();
    let error = replicate(&source.structure_domain(), &target.store(), &ReplicateOptions::default());
    let error = error.expect_err(cause);
    assert!(error.to_string().contains(cause), "{cause:?}: {error}");
    assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    assert_eq!(target.names(), before, "{cause}: something was written");
}

#[test]
fn a_place_that_holds_anything_else_is_no_target() {
    let source = world(1);
    points(&source, 1);
    let elsewhere = source.elsewhere();
    elsewhere.put("notes.txt", Bytes::from_static(b"mine"));
    refused(&source, &elsewhere, "is not empty");
    refused(&source, &world(2), "another repository");
    refused(&source, &source, "is no replica");
    refused(&source, &source.copy(), "is no replica");
    let pair = Pair::new(source);
    pair.replicate();
    refused(&pair.replica, &pair.source.elsewhere(), "is a replica itself");
    pair.replica.put("features/erasure.collect", Bytes::new());
    refused(&pair.source, &pair.replica, "erasure");
    pair.replica.delete("features/erasure.collect");
    promote(&pair.replica.store()).expect("promoted");
    refused(&pair.source, &pair.replica, "promoted");
}

#[test]
fn a_collector_of_a_replica_needs_the_right_source() {
    let pair = Pair::new(world(1));
    points(&pair.source, 2);
    pair.replicate();
    let before = pair.replica.names();
    let mut cases: Vec<(Option<repository::store::Store>, &str)> = vec![
        (None, "--source"),
        (Some(world(9).store()), "another repository"),
        (Some(pair.replica.store()), "is a replica itself"),
    ];
    cases.push((Some(pair.source.elsewhere().store()), "no repository at this place"));
    for (source, cause) in cases {
        for dry in [true, false] {
            let options = at_once(source.clone());
            let result = match dry {
                true => plan_collection(&pair.replica.domain(), &options),
                false => collect(&keeper(&pair.replica), &options),
            };
            let error = result.expect_err(cause);
            assert!(error.to_string().contains(cause), "{cause:?}: {error}");
        }
    }
    assert_eq!(pair.replica.names(), before);
    let error = collect(&keeper(&pair.source), &at_once(Some(pair.source.store()))).expect_err("no replica");
    assert!(error.to_string().contains("no replica"), "{error}");
    let error = promote(&pair.source.store()).expect_err("no replica");
    assert!(error.to_string().contains("no replica"), "{error}");
}

#[test]
fn nothing_goes_while_the_source_cannot_be_listed() {
    let pair = Pair::new(world(1));
    let made = points(&pair.source, 2);
    pair.replicate();
    let actor = pair.actor();
    actor.source_loses(made[0].0);
    actor.retire_at_replica(made[0].0);
    let before = pair.replica.names();
    for prefix in ["d/", "features", "repository.json"] {
        let faults = Faults::seeded(1);
        let operation = if prefix.ends_with("json") { Operation::Get } else { Operation::List };
        faults.add(Rule::on(operation, prefix, Effect::Fail(Failure::Denied)));
        let options = CollectOptions { source: Some(pair.source.store().with_faults(faults)), ..at_once(None) };
        collect(&keeper(&pair.replica), &options).expect_err("the source does not answer");
        assert_eq!(pair.replica.names(), before, "{prefix}");
    }
    assert_eq!(actor.collect_replica().expect("a run").collection.dooms.len(), 1);
}

#[test]
fn nobody_writes_into_a_replica_until_it_is_promoted() {
    let pair = Pair::new(world(1));
    let made = points(&pair.source, 1);
    pair.replicate();
    pair.actor().retire_at_replica(made[0].0);
    let error = pair.actor().undelete_at_replica(made[0].0).expect_err("an undelete writes a point");
    assert!(error.to_string().contains("promote"), "{error}");
    let opened = pair.replica.reopen().expect("readers may");
    assert_eq!(opened.features.standing(), Standing::Replica);
    let error = opened.features.check(NeededBy::Write).expect_err("writers may not");
    assert!(error.to_string().contains("promote"), "{error}");
    opened.features.check(NeededBy::Collect).expect("collectors may, with the source");
    promote(&pair.replica.store()).expect("promoted");
    pair.replica.reopen().expect("open").features.check(NeededBy::Write).expect("now they may");
}

#[test]
fn a_collector_refuses_features_that_it_does_not_know() {
    let world = world(1);
    points(&world, 1);
    world.put("features/erasure.collect", Bytes::new());
    let error = collect(&keeper(&world), &at_once(None)).expect_err("unknown");
    assert!(error.to_string().contains("erasure"), "{error}");
}
