//! Verifier: checks and scrubs while others write and collect, and puts into quarantine what it finds damaged.

use repository::read::{CheckLevel, CheckOptions, CheckOutcome, CheckReport, DamagedObject, check};
use repository::upkeep::{Keeper, ScrubCursor, ScrubOptions, ScrubReport, scrub};

use super::super::actor::Actor;
use super::super::process::Process;

/// Verifies.
#[derive(Default)]
pub(crate) struct Verifier {
    /// Its machine's disk: where the last scrub ended.
    cursor: Option<ScrubCursor>,
}

impl Actor for Verifier {
    fn act(&mut self, process: &mut Process) {
        let keeper = match process.keeper() {
            Ok(keeper) => keeper,
            Err(error) => return process.not_opened("the domain could not be opened by upkeep", &error),
        };
        if process.dice.one_in(2) {
            let options = ScrubOptions { bytes_max: 1 << 16, cursor: self.cursor, ..ScrubOptions::default() };
            match scrub(&keeper, &options) {
                Ok(report) => self.scrubbed(process, &report),
                Err(error) => process.failed("scrub failed", &error),
            }
            return;
        }
        let levels = [CheckLevel::Objects, CheckLevel::Structure, CheckLevel::Data];
        let level = levels[process.dice.below(3) as usize];
        match check(keeper.domain(), &CheckOptions { level, ..CheckOptions::default() }) {
            Ok(report) => self.checked(process, &keeper, &report),
            Err(error) => process.failed("check failed", &error),
        }
    }
}

impl Verifier {
    fn scrubbed(&mut self, process: &Process, report: &ScrubReport) {
        self.cursor = report.cursor;
        process.count("scrub");
        false_alarm(process, "a scrub", report.outcome, &report.damaged);
    }

    fn checked(&self, process: &Process, keeper: &Keeper, report: &CheckReport) {
        process.count("check");
        false_alarm(process, "a check", report.outcome, &report.damaged);
        if let Err(error) = keeper.settle(report) {
            process.failed("quarantine failed", &error);
        }
    }
}

/// Whatever others do meanwhile, what is not harmed is not called damaged.
fn false_alarm(process: &Process, who: &str, outcome: CheckOutcome, damaged: &[DamagedObject]) {
    if outcome == CheckOutcome::Damaged {
        process.count("damage found");
        let is_false = |damaged: &DamagedObject| {
            let mut world = process.surroundings.gate.world(process.actor);
            let truth = world.truth();
            !truth.is_left_by_the_dead(&damaged.object) && !truth.orphans().contains(&damaged.object)
        };
        if !process.was_hindered() && damaged.iter().any(is_false) {
            process.fail(format!("{who} finds damage where none is: {damaged:?}"));
        }
    }
}
