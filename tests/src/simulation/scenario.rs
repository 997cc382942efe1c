//! Scenario: who takes part in the simulation of a seed, and under which weather.
//!
//! In: a seed. Out: volumes, actors, weather and length. Never: two scenarios for one seed.

use std::sync::Arc;

use repository::generated::Dice;

use super::actor::Actor;
use super::actors::collector::{Collector, Haste};
use super::actors::forgetter::Forgetter;
use super::actors::reader::Reader;
use super::actors::stranger::Stranger;
use super::actors::verifier::Verifier;
use super::actors::volume::Volume;
use super::actors::writer::Writer;
use super::weather::Weather;
use super::world::World;
use crate::folder::Folder;

/// What a seed stands for.
pub(crate) struct Scenario {
    pub(crate) actors: Vec<Box<dyn Actor>>,
    pub(crate) weather: Weather,
    /// After so many steps nobody begins anything new.
    steps: u64,
    patience: u64,
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
        (0..dice.below(3)).for_each(|_| actors.push(Box::new(Reader)));
        let haste = [Haste::Mixed, Haste::Mixed, Haste::Points, Haste::All][dice.below(4) as usize];
        for _ in 0..1 + dice.below(3) {
            let cache = dice.one_in(3).then(|| Folder::new("simulated-cache"));
            actors.push(Box::new(Collector::new(cache, haste)));
        }
        (0..dice.below(3)).for_each(|_| actors.push(Box::new(Forgetter)));
        (0..dice.below(2)).for_each(|_| actors.push(Box::new(Stranger)));
        (0..dice.below(2)).for_each(|_| actors.push(Box::new(Verifier::default())));
        let weather = Weather::of(&mut dice);
        let steps = 200 + dice.below(800);
        let patience = [1, 2, 4, 16][dice.below(4) as usize];
        Scenario { actors, weather, steps, patience, dice }
    }

    /// The weather begins, and the clocks are what they are.
    pub(crate) fn begin(&mut self, world: &mut World) {
        world.weather = self.weather;
        world.steps = world.step + self.steps;
        world.patience = self.patience;
        let count = self.actors.len();
        for standing in &mut world.standings[..count] {
            let hours = |dice: &mut Dice, most: u64| dice.below(2 * most + 1) as i64 - most as i64;
            standing.clock_offset_ms =
                if self.dice.one_in(2) { 0 } else { hours(&mut self.dice, 48) * super::world::HOUR_MS };
            standing.clock_drift = if self.dice.one_in(2) { 0 } else { hours(&mut self.dice, 2_000) };
            standing.done = false;
            standing.dies_at_the_end = self.dice.one_in(2);
        }
    }
}
