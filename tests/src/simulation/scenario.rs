//! Scenario: who takes part in the simulation of a seed, and under which weather.
//!
//! In: a seed. Out: volumes, actors, weather and length. Never: two scenarios for one seed.

use std::sync::Arc;

use repository::generated::Dice;

use super::actor::Actor;
use super::actors::collector::{Collector, Haste};
use super::actors::forgetter::Forgetter;
use super::actors::promoter::Promoter;
use super::actors::reader::Reader;
use super::actors::replicator::Replicator;
use super::actors::rotator::Rotator;
use super::actors::stranger::Stranger;
use super::actors::verifier::Verifier;
use super::actors::volume::Volume;
use super::actors::writer::Writer;
use super::place::Side;
use super::weather::Weather;
use super::world::World;
use crate::folder::Folder;

/// Every which seed has a target.
const TARGET_ONE_IN: u64 = 4;
/// Every which seed without a target has keys that are replaced; of those with one, half.
const ROTATION_ONE_IN: u64 = 4;

/// What a seed stands for.
pub(crate) struct Scenario {
    pub(crate) actors: Vec<Box<dyn Actor>>,
    weather: Weather,
    /// Of the target, in the seeds that have one.
    target: Option<Weather>,
    /// After so many steps nobody begins anything new.
    steps: u64,
    patience: u64,
    /// How often the actors that copy or rotate are held up, in ten thousand requests, and all others where they do.
    dawdles: u64,
    dice: Dice,
}

impl Scenario {
    /// The only one of this seed.
    pub(crate) fn of(seed: u64) -> Scenario {
        let mut dice = Dice::new(Dice::new(seed).number());
        let volumes: Vec<Volume> =
            (0..1 + dice.below(2)).map(|number| Volume::new(number as usize, dice.number())).collect();
        let mut actors: Vec<Box<dyn Actor>> = Vec::new();
        let pack_bytes = [8 << 10, 48 << 10, 1 << 20][dice.below(3) as usize];
        for number in 0..volumes.len() + dice.below(2) as usize {
            let journal = dice.one_in(2).then(|| Arc::new(Folder::new("simulated-journal")));
            let checkpoint_bytes = if dice.one_in(3) { 1 + dice.below(64 << 10) } else { 1 << 30 };
            let volume = volumes[number % volumes.len()].clone();
            actors.push(Box::new(Writer::new(volume, journal, pack_bytes, checkpoint_bytes)));
        }
        (0..dice.below(3)).for_each(|_| actors.push(Box::new(Reader { side: Side::Source })));
        let haste = haste(&mut dice);
        for _ in 0..1 + dice.below(3) {
            let cache = dice.one_in(3).then(|| Folder::new("simulated-cache"));
            actors.push(Box::new(Collector::new(cache, haste, Side::Source)));
        }
        (0..dice.below(3)).for_each(|_| actors.push(Box::new(Forgetter { side: Side::Source })));
        (0..dice.below(2)).for_each(|_| actors.push(Box::new(Stranger)));
        (0..dice.below(2)).for_each(|_| actors.push(Box::new(Verifier::default())));
        let weather = Weather::of(&mut dice);
        let mut steps = 200 + dice.below(800);
        let patience = [1, 2, 4, 16][dice.below(4) as usize];
        // From other dice, so that seeds in which nobody replicates or rotates are what they were before anybody did.
        let mut more = Dice::new(!dice.clone().number());
        let has_target = more.one_in(TARGET_ONE_IN);
        let rotates = more.one_in(if has_target { 2 } else { ROTATION_ONE_IN });
        let target = has_target.then(|| at_target(&mut more, rotates, &volumes, &mut actors));
        if rotates {
            (0..1 + more.below(3)).for_each(|_| actors.push(Box::new(Rotator { side: Side::Source })));
        }
        let mut dawdles = 0;
        if has_target || rotates {
            // Much has to happen between two requests of somebody for what is copied or sealed meanwhile to be wrong.
            dawdles = [0, 100, 300, 600][more.below(4) as usize];
            steps += 400;
            (0..1 + more.below(2)).for_each(|_| actors.push(Box::new(Forgetter { side: Side::Source })));
            let haste = [Haste::Points, Haste::All][more.below(2) as usize];
            actors.push(Box::new(Collector::new(None, haste, Side::Source)));
        }
        Scenario { actors, weather, target, steps, patience, dawdles, dice }
    }

    /// The weather begins, and the clocks are what they are.
    pub(crate) fn begin(&mut self, world: &mut World) {
        world.place(Side::Source).weather = self.weather;
        world.has_target = self.target.is_some();
        world.place(Side::Target).weather = self.target.unwrap_or_default();
        world.steps = world.step + self.steps;
        world.patience = self.patience;
        let count = self.actors.len();
        for (standing, actor) in world.standings[..count].iter_mut().zip(&self.actors) {
            standing.side = actor.side();
            standing.dawdles = self.dawdles;
            let hours = |dice: &mut Dice, most: u64| dice.below(2 * most + 1) as i64 - most as i64;
            standing.clock_offset_ms =
                if self.dice.one_in(2) { 0 } else { hours(&mut self.dice, 48) * super::world::HOUR_MS };
            standing.clock_drift = if self.dice.one_in(2) { 0 } else { hours(&mut self.dice, 2_000) };
            standing.done = false;
            standing.dies_at_the_end = self.dice.one_in(2);
        }
    }
}

fn haste(dice: &mut Dice) -> Haste {
    [Haste::Mixed, Haste::Mixed, Haste::Points, Haste::All][dice.below(4) as usize]
}

/// Whoever is at work at the target or copies to it, and the weather there.
fn at_target(dice: &mut Dice, rotates: bool, volumes: &[Volume], actors: &mut Vec<Box<dyn Actor>>) -> Weather {
    (0..1 + dice.below(3)).for_each(|_| actors.push(Box::new(Replicator)));
    let haste = haste(dice);
    for _ in 0..1 + dice.below(2) {
        let cache = dice.one_in(3).then(|| Folder::new("simulated-cache"));
        actors.push(Box::new(Collector::new(cache, haste, Side::Target)));
    }
    (0..dice.below(2)).for_each(|_| actors.push(Box::new(Reader { side: Side::Target })));
    (0..dice.below(2)).for_each(|_| actors.push(Box::new(Forgetter { side: Side::Target })));
    if rotates && dice.one_in(2) {
        actors.push(Box::new(Rotator { side: Side::Target }));
    }
    if dice.one_in(3) {
        actors.push(Box::new(Promoter::default()));
        let volume = volumes[0].clone();
        actors.push(Box::new(Writer::new(volume, None, 48 << 10, 1 << 30).at_target()));
    }
    Weather::of(dice)
}
