//! Collector: runs the collector, at any time and with any margins: none of them is for safety.

use std::time::Duration;

use model::ErrorClass;
use repository::generated::Dice;
use repository::upkeep::{CollectOptions, CollectReport, collect, plan_collection};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;
use crate::folder::Folder;

/// Collects.
pub(crate) struct Collector {
    /// Its machine's disk.
    cache: Option<Folder>,
    /// How it chooses its margins.
    haste: Haste,
    side: Side,
}

const HOUR: Duration = Duration::from_secs(3600);

/// How long collectors wait before they take anything away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Haste {
    /// Each time as the dice say.
    Mixed,
    /// What is retired goes at once.
    Points,
    /// Whoever is not heard of is ended at once, too.
    All,
}

/// Any margins.
fn options(dice: &mut Dice, haste: Haste) -> CollectOptions {
    let mut wait = || [Duration::ZERO, HOUR, 24 * HOUR, 24 * HOUR][dice.below(4) as usize];
    let mixed = (wait(), wait(), 7 * wait());
    let (grace, session_grace, checkpoint_age) = match haste {
        Haste::Mixed => mixed,
        Haste::Points => (Duration::ZERO, 24 * HOUR, Duration::ZERO),
        Haste::All => (Duration::ZERO, Duration::ZERO, Duration::ZERO),
    };
    let share_percent_max = if dice.one_in(4) { CollectOptions::default().share_percent_max } else { 100 };
    CollectOptions { grace, session_grace, checkpoint_age, share_percent_max, ..CollectOptions::default() }
}

/// Counts what a run did.
pub(crate) fn count(process: &Process, report: &CollectReport) {
    let mut world = process.surroundings.gate.world(process.actor);
    world.note(|| format!("collected {:?}", report.deleted));
    let tally = &mut world.tally;
    tally.count("collector run");
    tally.add("point doomed", report.collection.dooms.len() as u64);
    tally.add("pack deleted", report.deleted.packs);
    tally.add("name deleted", report.deleted.names);
    tally.add("session declared dead", report.ended.len() as u64);
}

impl Actor for Collector {
    fn side(&self) -> Side {
        self.side
    }

    fn act(&mut self, process: &mut Process) {
        let keeper = match process.keeper() {
            Ok(keeper) => keeper,
            Err(error) => return process.not_opened("the domain could not be opened by upkeep", &error),
        };
        let cache_directory = self.cache.as_ref().map(|folder| folder.path().to_owned());
        let source = (self.side == Side::Target).then(|| process.store(Side::Source));
        let options = CollectOptions { cache_directory, source, ..options(&mut process.dice, self.haste) };
        if process.dice.one_in(8) {
            match plan_collection(keeper.domain(), &options) {
                Ok(_) => process.count("collection planned"),
                Err(error) => self.ended(process, &error),
            }
            return;
        }
        match collect(&keeper, &options) {
            Ok(report) => count(process, &report),
            Err(error) => self.ended(process, &error),
        }
    }
}

impl Collector {
    /// With a disk for its cache, or without.
    pub(crate) fn new(cache: Option<Folder>, haste: Haste, side: Side) -> Collector {
        Collector { cache, haste, side }
    }

    /// A run may end because another collector is at work, or because too much would go; it may not find damage where nothing was harmed.
    fn ended(&self, process: &Process, error: &repository::Error) {
        match error.class() {
            ErrorClass::Bug => process.fail(error.to_string()),
            ErrorClass::Busy => process.count("collector run ended by another"),
            ErrorClass::Invalid => process.count("collector run would take too much"),
            _ => process.failed("collector run failed", error),
        }
    }
}
