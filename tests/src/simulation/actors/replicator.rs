//! Replicator: copies what the target lacks; several may be at work.

use std::collections::BTreeSet;

use model::ErrorClass;
use repository::domain::Domain;
use repository::layout::Mark;
use repository::session::PointId;
use repository::upkeep::{NotReplicated, ReplicateOptions, ReplicateReport, WhyNot, replicate};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;
use super::super::world::World;

/// Replicates.
pub(crate) struct Replicator;

/// What a replicator may choose.
fn options(process: &mut Process, source: &Domain) -> ReplicateOptions {
    let volumes = match process.dice.one_in(4) {
        true => BTreeSet::from([source.volume_id("volume 0")]),
        false => BTreeSet::new(),
    };
    let memory_budget_bytes = [1, 64 << 10, 64 << 20][process.dice.below(3) as usize];
    ReplicateOptions { volumes, hidden: process.dice.one_in(2), memory_budget_bytes, ..ReplicateOptions::default() }
}

/// When it looked last at the marks that a point has at the target (R5).
fn looked_at(world: &World, point: PointId) -> u64 {
    let listed = world.standings[world.turn].marks_listed.iter();
    let of_volume = listed.filter(|(prefix, _)| prefix.ends_with(&point.volume.to_string()));
    of_volume.map(|(_, step)| *step).max().unwrap_or(0)
}

/// What it was told must be true: what was replicated stays.
pub(crate) fn told(process: &Process, report: &ReplicateReport) {
    let mut world = process.surroundings.gate.world(process.actor);
    world.note(|| format!("replicated {:?}, not {:?}", report.replicated, report.not_replicated));
    world.tally.count("replication");
    world.tally.add("point replicated", report.replicated.len() as u64);
    world.tally.add("pack copied", report.copied.packs);
    for point in &report.replicated {
        let Some(expected) = world.place(Side::Source).truth().expected(*point) else { continue };
        let held = world.place(Side::Target).truth().succeed(*point, &expected);
        world.claim(held);
        let looked = looked_at(&world, *point);
        if world.place(Side::Target).truth().doomed_at(*point).is_some_and(|doomed| doomed < looked) {
            world.fail(format!("A: {} is reported as replicated, and was doomed at the target before", point.session));
        }
    }
    for left_out in &report.not_replicated {
        world.tally.count(match left_out.why {
            WhyNot::DoomedAtTarget => "point not replicated, doomed at the target",
            WhyNot::GoneAtSource => "point not replicated, gone at the source",
            WhyNot::Damaged => "point not replicated, damaged",
        });
    }
}

/// True if a reason for leaving a point out is none.
fn is_false(process: &Process, left_out: &NotReplicated) -> bool {
    let mut world = process.surroundings.gate.world(process.actor);
    match left_out.why {
        WhyNot::GoneAtSource => world.place(Side::Source).truth().is_valid(left_out.point),
        WhyNot::DoomedAtTarget => !world.place(Side::Target).truth().was_marked(left_out.point, Mark::Doomed),
        WhyNot::Damaged => true,
    }
}

impl Actor for Replicator {
    fn act(&mut self, process: &mut Process) {
        let source = match process.domain() {
            Ok(source) => source,
            Err(error) => return process.failed("the domain could not be opened by a replicator", &error),
        };
        let options = options(process, &source);
        match replicate(&source, &process.store(Side::Target), &options) {
            Ok(report) => {
                told(process, &report);
                let wrong = report.not_replicated.iter().find(|left_out| is_false(process, left_out));
                if (wrong.is_some() || !report.damaged.is_empty()) && !process.was_hindered() {
                    process.fail(format!("a replicator finds what is not so: {wrong:?}, {:?}", report.damaged));
                }
            }
            Err(error) if error.class() == ErrorClass::Bug => process.fail(error.to_string()),
            Err(error) if error.class() == ErrorClass::Invalid && process.is_target_promoted() => {
                process.count("replication into a promoted target refused");
            }
            Err(error) => process.failed("replication failed", &error),
        }
    }
}

impl Process {
    fn is_target_promoted(&self) -> bool {
        self.surroundings.gate.world(self.actor).place(Side::Target).is_promoted
    }
}
