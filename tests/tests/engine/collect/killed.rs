//! A collector that is killed anywhere: nothing is lost, and the next runs leave exactly what is needed.

use std::sync::Arc;

use repository::generated::Tree;
use repository::read;
use repository::session::{PointId, Session};
use repository::store::{Effect, Faults, Rule};
use repository::upkeep::{Keeper, collect, retire};

use super::super::world::World;
use super::{assert_exact, at_once, keeper, run, three_points_apart};

/// No collector run of a tiny tree sends more requests.
const REQUESTS_MAX: u64 = 400;

#[test]
fn a_collector_may_be_killed_at_any_request() {
    let (world, points) = three_points_apart();
    retire(&keeper(&world), &[points[0].0, points[1].0]).expect("retired");
    Session::open(&world.domain(), points[2].0.volume, Vec::new(), "silent").expect("a session");
    // A request that fails by itself (a look for what is not there) cannot be followed by the kill.
    let both = |k: &u64| kill(&world, &points, *k, false) && (kill(&world, &points, *k, true) || *k < REQUESTS_MAX);
    let killed = (0..REQUESTS_MAX).take_while(both).count();
    assert!(
        (20..REQUESTS_MAX as usize).contains(&killed),
        "{killed} requests: the loop has not seen much, or has no end"
    );
}

/// Kills a collector before or after its k-th request; false: it had fewer.
fn kill(world: &World, points: &[(PointId, Tree)], k: u64, applied: bool) -> bool {
    let what = format!("killed {} request {k}", if applied { "after" } else { "before" });
    let copy = world.copy();
    let faults = Faults::seeded(k);
    faults.add(Rule::any("", Effect::Crash { applied, hook: Arc::new(|| {}) }).after(k).times(1));
    let upkeep = Arc::new(world.repository.upkeep().expect("the key"));
    let keeper = Keeper::new(copy.faulty_domain(&faults), upkeep).expect("a keeper");
    let result = collect(&keeper, &at_once());
    if !faults.crashed() {
        result.expect("a run that nobody killed");
        return false;
    }
    for point in read::points_with_hidden(&copy.domain(), None).expect("a list").points {
        let (_, tree) = points.iter().find(|(id, _)| *id == point.id).expect("a point that was made");
        copy.assert_restores(point.id, tree, &what);
    }
    // The first may find a session to end, which takes effect in the second.
    run(&copy, &at_once());
    run(&copy, &at_once());
    assert_exact(&copy, &what);
    copy.assert_restores(points[2].0, &points[2].1, &what);
    true
}
