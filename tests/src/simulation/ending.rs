//! Ending: when everybody has stopped, what is left is what was promised (D), and it can be restored.
//!
//! In: the world of actors that are done, in good weather. Out: the first promise that was not kept. Never: changes a thing that an operator would not.

use std::collections::BTreeSet;

use repository::Error;
use repository::domain::Domain;
use repository::layout::{Mark, ParsedName};
use repository::point::Reference;
use repository::read::{self, CheckLevel, CheckOptions, CheckOutcome};
use repository::session::PointId;
use repository::tree::PackId;
use repository::upkeep::{CollectOptions, ReplicateOptions, collect, replicate};

use super::actors::{collector, reader, replicator, rotator};
use super::place::Side;
use super::process::Process;
use super::truth::Truth;
use super::world::DAY_MS;

/// Longer than every margin of a collector.
const LONG_MS: i64 = 9 * DAY_MS;

/// Everything that is checked at the end: at the source, then at the target if there is one.
pub(crate) fn end(process: &Process) -> Result<(), String> {
    {
        let mut world = process.surroundings.gate.world(process.actor);
        world.calm();
        world.land_all();
        if let Some(failure) = world.failure.clone() {
            return Err(failure);
        }
    }
    at_one_place(process)?;
    if !process.surroundings.gate.world(process.actor).has_target {
        return Ok(());
    }
    let process = process.at_target();
    let is_complete = replication(&process)?;
    if !process.has_domain() {
        process.count("the target is empty at the end");
        return Ok(());
    }
    at_one_place(&process)?;
    if is_complete { equality(&process) } else { Ok(()) }
}

fn at_one_place(process: &Process) -> Result<(), String> {
    collections(process)?;
    if process.may_write() {
        match rotator::retire_keys(process) {
            Err(error) if harmed(process).is_empty() => {
                return Err(format!("at the end keys cannot be retired: {error}"));
            }
            _ => {}
        }
    }
    let domain = process.domain().map_err(|error| format!("at the end the domain cannot be opened: {error}"))?;
    restores(process, &domain)?;
    soundness(process, &domain)
}

impl Process {
    /// The next process, at home at the target.
    fn at_target(&self) -> Process {
        let mut world = self.surroundings.gate.world(self.actor);
        let standing = &mut world.standings[self.actor];
        standing.side = Side::Target;
        standing.process += 1;
        drop(world);
        Process::start(&self.surroundings, self.actor)
    }

    fn has_domain(&self) -> bool {
        !self.surroundings.gate.world(self.actor).truth().is_without_keys()
    }
}

/// One replicator more. True if the target has to have everything now.
fn replication(process: &Process) -> Result<bool, String> {
    let opened = process.domain_at(Side::Source);
    let source = opened.map_err(|error| format!("at the end the source cannot be opened: {error}"))?;
    let options = ReplicateOptions { hidden: true, ..ReplicateOptions::default() };
    let replicated = replicate(&source, &process.store(Side::Target), &options);
    let mut world = process.surroundings.gate.world(process.actor);
    let (is_harmed, is_promoted) = (world.is_harmed(), world.home().is_promoted);
    drop(world);
    match replicated {
        Ok(report) => {
            replicator::told(process, &report);
            let is_all = report.damaged.is_empty() && report.not_replicated.is_empty();
            if !is_all && !is_harmed {
                return Err(format!("D: at the end not everything is replicated: {report:?}"));
            }
            Ok(!is_harmed)
        }
        Err(_) if is_promoted || is_harmed => Ok(false),
        Err(error) => Err(format!("D: at the end a replication fails: {error}")),
    }
}

/// D at the target: what is valid at the source is valid there.
fn equality(process: &Process) -> Result<(), String> {
    let mut world = process.surroundings.gate.world(process.actor);
    let points: Vec<PointId> = world.place(Side::Source).truth().valid().map(|(point, _)| point).collect();
    match points.iter().find(|point| !world.truth().is_valid(**point)) {
        Some(point) => Err(format!("D: {} is valid at the source and not at the target", point.session)),
        None => Ok(()),
    }
}

fn harmed(process: &Process) -> BTreeSet<String> {
    process.surroundings.gate.world(process.actor).home().harmed.clone()
}

/// D: two runs leave exactly the valid points and what they need. Where stored bytes are damaged, a run may refuse.
fn collections(process: &Process) -> Result<(), String> {
    let source = (process.side == Side::Target).then(|| process.store(Side::Source));
    let options = CollectOptions { share_percent_max: 100, source, ..CollectOptions::default() };
    let mut refused = false;
    for _ in 0..2 {
        process.surroundings.gate.world(process.actor).now_ms += LONG_MS;
        let keeper = process.keeper().map_err(|error| format!("at the end upkeep cannot open the domain: {error}"))?;
        match collect(&keeper, &options) {
            Ok(report) => {
                if let Some(why) = &report.collection.blocked {
                    if harmed(process).is_empty() {
                        return Err(format!("D: at the end a collector deletes nothing: {why}"));
                    }
                    refused = true;
                }
                collector::count(process, &report);
            }
            Err(error) if harmed(process).is_empty() => {
                return Err(format!("D: at the end a collector run fails: {error}"));
            }
            Err(_) => refused = true,
        }
    }
    if !refused {
        let left = leftovers(process);
        if !left.is_empty() {
            return Err(format!("D: two runs left {left:?}"));
        }
    }
    Ok(())
}

/// Objects that no valid point needs.
fn leftovers(process: &Process) -> Vec<String> {
    let mut world = process.surroundings.gate.world(process.actor);
    let names: Vec<String> = world.home().objects.keys().cloned().collect();
    let needed = |truth: &mut Truth| -> Vec<(PointId, Vec<PackId>)> {
        let packs = |reference: &Reference| reference.packs.iter().map(|(pack, _)| pack).collect();
        truth.valid().map(|(point, reference)| (point, packs(reference))).collect()
    };
    let mut points = needed(world.truth());
    if world.is_harmed() {
        // What cannot be copied, or cannot go at the source, because something is damaged there, waits at the target.
        points.extend(world.place(Side::Source).truth().standing());
    }
    let truth = world.truth();
    let valid: BTreeSet<PointId> = points.iter().map(|(point, _)| *point).collect();
    let packs: BTreeSet<PackId> = points.iter().flat_map(|(_, packs)| packs.iter().copied()).collect();
    let sessions: BTreeSet<_> = valid.iter().map(|point| point.session).collect();
    let is_needed = |name: &String| match ParsedName::parse(name) {
        Ok(ParsedName::Pack { session, sequence, .. }) => packs.contains(&PackId { session, seq: sequence }),
        Ok(ParsedName::Point { volume, session, .. }) => valid.contains(&PointId { volume, session }),
        Ok(ParsedName::SessionOpen { session, .. }) => sessions.contains(&session),
        Ok(ParsedName::SessionBeat { .. }) => false,
        Ok(ref mark @ ParsedName::Mark { volume, session, .. }) => {
            // T3: where a name may be put again, what says that it is over stays.
            let is_tombstone = process.side == Side::Target && is_doomed(mark);
            valid.contains(&PointId { volume, session }) || is_tombstone || !truth.is_signed(mark)
        }
        _ => true,
    };
    names.into_iter().filter(|name| !is_needed(name)).collect()
}

fn is_doomed(name: &ParsedName) -> bool {
    matches!(name, ParsedName::Mark { mark: Mark::Doomed, .. })
}

/// Every valid point restores to what was backed up, byte for byte, unless something that it needs is damaged; then it fails.
fn restores(process: &Process, domain: &Domain) -> Result<(), String> {
    let points: Vec<(PointId, bool)> = {
        let mut world = process.surroundings.gate.world(process.actor);
        world.truth().valid().map(|(point, reference)| (point, reference.checkpoint)).collect()
    };
    let harmed = harmed(process);
    for (point, checkpoint) in points {
        match reader::restored(domain, point) {
            Ok(_) if checkpoint => {}
            Ok(tree) => {
                if let Some(what) = reader::wrong(process, point, &tree) {
                    return Err(format!("at the end {what}"));
                }
                process.count("restore at the end");
            }
            Err(_) if !harmed.is_empty() => process.count("restore at the end of what is damaged"),
            Err(error) => return Err(format!("at the end {} cannot be restored: {error}", point.session)),
        }
    }
    Ok(())
}

/// A check of every byte finds what was damaged, and nothing else.
fn soundness(process: &Process, domain: &Domain) -> Result<(), String> {
    let options = CheckOptions { level: CheckLevel::Data, ..CheckOptions::default() };
    let report = read::check(domain, &options).map_err(|error: Error| format!("at the end a check fails: {error}"))?;
    let found: BTreeSet<String> = report.damaged.iter().map(|damaged| damaged.object.clone()).collect();
    let harmed = harmed(process);
    process.count("check at the end");
    let mut world = process.surroundings.gate.world(process.actor);
    // Where damage stops the collectors, what was committed too late is still there.
    let is_left = |name: &str, truth: &Truth| !harmed.is_empty() && truth.is_left_by_the_dead(name);
    let mut alarms = report.damaged.iter().filter(|damaged| !harmed.contains(&damaged.object));
    if let Some(alarm) = alarms.find(|damaged| !is_left(&damaged.object, world.truth())) {
        return Err(format!("at the end a check finds damage where none is: {alarm:?}; harmed are {harmed:?}"));
    }
    let needed = world.truth().needed_names(&harmed);
    if let Some(missed) = harmed.iter().find(|name| needed.contains(*name) && !found.contains(*name)) {
        return Err(format!("at the end a check does not find that {missed} is damaged; it found {found:?}"));
    }
    if harmed.is_empty() && report.outcome != CheckOutcome::Ok {
        return Err(format!("at the end a check is not content: {report:?}"));
    }
    world.tally.add("damaged object found", found.len() as u64);
    Ok(())
}
