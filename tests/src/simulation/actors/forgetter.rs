//! Forgetter: retires points that somebody does not want any more, and now and then wants one back.

use repository::read;
use repository::upkeep::{Keeper, retire, undelete};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;

/// Retires, and undeletes.
pub(crate) struct Forgetter {
    pub(crate) side: Side,
}

impl Actor for Forgetter {
    fn side(&self) -> Side {
        self.side
    }

    fn act(&mut self, process: &mut Process) {
        let keeper = match process.keeper() {
            Ok(keeper) => keeper,
            Err(error) => return process.not_opened("the domain could not be opened by upkeep", &error),
        };
        let list = match read::points_with_hidden(keeper.domain(), None) {
            Ok(list) => list,
            Err(error) => return process.failed("list of points failed", &error),
        };
        if process.dice.one_in(3) && process.may_write() {
            let hidden: Vec<_> = list.points.iter().filter(|point| point.hidden && !point.checkpoint).collect();
            let Some(index) = process.dice.index(hidden.len()) else { return process.count("nothing to undelete") };
            return self.undelete(process, &keeper, hidden[index].id);
        }
        let count = process.dice.below(3) as usize;
        let shown = list.points.iter().filter(|point| !point.hidden);
        let points: Vec<_> = shown.map(|point| point.id).take(count).collect();
        match retire(&keeper, &points) {
            Ok(()) => process.surroundings.gate.world(process.actor).tally.add("point retired", points.len() as u64),
            Err(error) => process.failed("retiring failed", &error),
        }
    }
}

impl Forgetter {
    fn undelete(&self, process: &Process, keeper: &Keeper, hidden: repository::session::PointId) {
        let expected = process.surroundings.gate.world(process.actor).expected(hidden);
        process.surroundings.gate.world(process.actor).standings[process.actor].backing_up = expected.clone();
        match undelete(keeper, hidden, "forgetter") {
            Ok(undeleted) => {
                process.count("point undeleted");
                if let Some(expected) = expected {
                    let mut world = process.surroundings.gate.world(process.actor);
                    let held = world.truth().succeed(undeleted.point, &expected);
                    world.claim(held);
                }
            }
            Err(error) => process.excused("undelete failed", &error),
        }
    }
}
