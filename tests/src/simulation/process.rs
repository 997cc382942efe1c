//! Process: an actor between two deaths, with what the engine asks of its surroundings.
//!
//! In: the gate, an actor, and the repository. Out: a domain opened through the simulated store, with a clock, randomness and pauses of the actor's own. Never: real time,
//! the system's randomness, or anything kept from the process before.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use repository::Error;
use repository::domain::{Clock, Domain};
use repository::generated::{Dice, SeededRandom};
use repository::keys::{OpenedRepository, Random};
use repository::store::{RetryPolicy, Store};
use repository::upkeep::Keeper;
use tokio::runtime::Handle;

use super::gate::Gate;
use super::place::Side;
use super::store::ActorStore;

/// What all processes share: the way to the store and the keys.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) gate: Arc<Gate>,
    pub(crate) runtime: Handle,
    pub(crate) repository: OpenedRepository,
    pub(crate) seed: u64,
}

/// An actor between two deaths.
pub(crate) struct Process {
    pub(crate) surroundings: Surroundings,
    pub(crate) actor: usize,
    /// Where it is at home.
    pub(crate) side: Side,
    pub(crate) dice: Dice,
    random: Arc<Mutex<SeededRandom>>,
}

/// Bits that differ for every seed, actor and process.
fn mixed(seed: u64, actor: usize, process: u64) -> u64 {
    let dice = |seed| Dice::new(seed).number();
    dice(dice(dice(seed) ^ actor as u64) ^ process)
}

impl Process {
    /// A new one.
    pub(crate) fn start(surroundings: &Surroundings, actor: usize) -> Process {
        let standing = surroundings.gate.world(actor).standings[actor].clone();
        let seed = mixed(surroundings.seed, actor, standing.process);
        Process {
            surroundings: surroundings.clone(),
            actor,
            side: standing.side,
            dice: Dice::new(seed),
            random: Arc::new(Mutex::new(SeededRandom::new(!seed))),
        }
    }

    /// One of the stores, with the engine's own way of asking again: what it waits passes by the world's clock.
    pub(crate) fn store(&self, side: Side) -> Store {
        store(&self.surroundings.gate, &self.surroundings.runtime, self.actor, side)
    }

    /// The time, as this machine has it.
    pub(crate) fn clock(&self) -> Clock {
        clock(&self.surroundings.gate, self.actor)
    }

    /// The domain where it is at home.
    pub(crate) fn domain(&self) -> Result<Domain, Error> {
        self.domain_at(self.side)
    }

    /// The domain, opened as a program opens it. Only where points are made is it ever a new one.
    pub(crate) fn domain_at(&self, side: Side) -> Result<Domain, Error> {
        let store = self.store(side);
        let repository = &self.surroundings.repository;
        let access = match side {
            Side::Source => self.with_random(|random| repository.domain_or_new(&store, DOMAIN, random)),
            Side::Target => repository.domain(&store, DOMAIN),
        };
        let random: Arc<Mutex<dyn Random + Send>> = self.random.clone();
        Ok(Domain::new(store, access?, repository.manifest.upkeep_public, random, self.clock()))
    }

    /// Does something that needs randomness.
    pub(crate) fn with_random<T>(&self, call: impl FnOnce(&mut dyn Random) -> T) -> T {
        call(&mut *self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The domain in the hands of upkeep.
    pub(crate) fn keeper(&self) -> Result<Keeper, Error> {
        Keeper::new(self.domain()?, Arc::new(self.surroundings.repository.upkeep()?))
    }
}

/// The only domain.
pub(crate) const DOMAIN: &str = "default";

/// A store as an actor sees it.
pub(crate) fn store(gate: &Arc<Gate>, runtime: &Handle, actor: usize, side: Side) -> Store {
    let waiting = gate.clone();
    let pause = move |delay: std::time::Duration| {
        let mut world = waiting.world(actor);
        world.now_ms += delay.as_millis() as i64;
    };
    let policy = RetryPolicy { jitter_seed: Some(actor as u64), ..RetryPolicy::default() };
    Store::new(Arc::new(ActorStore::new(gate.clone(), actor, side)), runtime.clone())
        .with_one_connection()
        .with_pause(Arc::new(pause))
        .with_retry(policy)
}

/// The clock of an actor.
pub(crate) fn clock(gate: &Arc<Gate>, actor: usize) -> Clock {
    let gate = gate.clone();
    Arc::new(move || Timestamp::from_millisecond(gate.world(actor).clock_ms(actor)).unwrap_or(Timestamp::MAX))
}
