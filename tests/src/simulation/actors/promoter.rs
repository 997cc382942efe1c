//! Promoter: makes the target a repository of its own, once, when a simulation is nearly over.

use repository::upkeep::promote;

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;

/// Waits, and promotes.
#[derive(Default)]
pub(crate) struct Promoter {
    is_done: bool,
}

impl Actor for Promoter {
    fn side(&self) -> Side {
        Side::Target
    }

    fn act(&mut self, process: &mut Process) {
        let (step, steps) = {
            let world = process.surroundings.gate.world(process.actor);
            (world.step, world.steps)
        };
        if self.is_done || step < steps / 2 || !process.dice.one_in(2) {
            return;
        }
        match promote(&process.store(Side::Target)) {
            Ok(true) => process.count("target promoted"),
            Ok(false) => self.is_done = true,
            Err(error) if error.class() == model::ErrorClass::Invalid => process.count("nothing to promote yet"),
            Err(error) => process.failed("promotion failed", &error),
        }
    }
}
