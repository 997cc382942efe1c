//! Forgetter: retires points that somebody does not want any more.

use repository::layout::Mark;
use repository::read;

use super::super::actor::Actor;
use super::super::process::Process;

/// Retires.
pub(crate) struct Forgetter;

impl Actor for Forgetter {
    fn act(&mut self, process: &mut Process) {
        let keeper = match process.keeper() {
            Ok(keeper) => keeper,
            Err(error) => return process.failed("the domain could not be opened by upkeep", &error),
        };
        let list = match read::points(keeper.domain(), None) {
            Ok(list) => list,
            Err(error) => return process.failed("list of points failed", &error),
        };
        let count = process.dice.below(3) as usize;
        for point in list.points.iter().take(count) {
            match keeper.mark(point.id, Mark::Retired) {
                Ok(()) => process.count("point retired"),
                Err(error) => return process.failed("retiring failed", &error),
            }
        }
    }
}
