//! Simulation: many writers, readers, collectors and replicators over stores in which everything goes wrong, in one process, replayed by one number.
//!
//! In: a seed. Out: a tally of what happened, or the first promise that was not kept and the line that replays it. Never: real time, a real clock, or a thread that runs while
//! another does.
//!
//! The actors run the engine itself. Each lives on a thread of its own and asks the *gate* before every request to the store; the gate lets one go at a time, drawn by dice.
//! The *weather* says what becomes of a request. The *truth* looks at every put and delete and knows what must hold: claims A, B, C, E, F, G, H and K of the protocol at every
//! step, D and every byte at the *ending*. A quarter of the seeds has a second *place*, into which replicators copy. To read: [`scenario`] (who takes part), [`gate`], [`world`],
//! [`place`], [`store`], [`truth`], [`ending`].

mod actor;
mod actors;
mod ending;
mod gate;
mod place;
mod process;
mod scenario;
mod store;
mod tally;
mod truth;
mod weather;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use repository::generated::{Dice, SeededRandom};
use repository::keys::{OpenedRepository, Recipient, init_repository};
use tokio::runtime::{Handle, Runtime};

pub use tally::Tally;

use gate::Gate;
use place::Side;
use process::{DOMAIN, Process, Surroundings, clock, store};
use scenario::Scenario;
use truth::{KeyCopies, Truth};
use world::World;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub tally: Tally,
    /// The first promise that was not kept.
    pub failure: Option<String>,
    /// Every request and what it came to, if that was wanted.
    pub trace: Vec<String>,
    /// Every object's name and bytes at the end, keys aside: they are wrapped with the system's randomness.
    pub content: Vec<(String, Vec<u8>)>,
    /// The same of the target.
    pub target: Vec<(String, Vec<u8>)>,
}

/// Runs simulations one after the other.
pub struct Simulator {
    runtime: Runtime,
}

impl Default for Simulator {
    /// # Panics
    /// When the machine has no threads left.
    fn default() -> Simulator {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Simulator { runtime: runtime.expect("a runtime") }
    }
}

impl Simulator {
    /// The simulation of a seed.
    pub fn run(&self, seed: u64, traced: bool) -> Outcome {
        let mut scenario = Scenario::of(seed);
        let director = scenario.actors.len();
        let gate = Arc::new(Gate::new(World::new(Dice::new(seed), director + 1, traced)));
        gate.begin(director);
        let surroundings = self.found(&gate, director, seed);
        scenario.begin(&mut gate.world(director));
        std::thread::scope(|scope| {
            for (index, actor) in scenario.actors.into_iter().enumerate() {
                let surroundings = &surroundings;
                scope.spawn(move || actor::live(surroundings, index, actor));
            }
            gate.end(director);
            gate.begin(director);
        });
        // A claim that is broken at the end kills the director too.
        let ended = catch_unwind(AssertUnwindSafe(|| ending::end(&Process::start(&surroundings, director))));
        if let Ok(Err(what)) = ended {
            gate.world(director).fail(what);
        }
        drop(surroundings);
        outcome(gate)
    }

    /// A new repository, made in good weather, whose keys follow from the seed.
    fn found(&self, gate: &Arc<Gate>, director: usize, seed: u64) -> Surroundings {
        let runtime: Handle = self.runtime.handle().clone();
        let repository = found_repository(gate, &runtime, director, seed);
        let surroundings = Surroundings { gate: gate.clone(), runtime, repository, seed };
        let store = store(gate, &surroundings.runtime, director, Side::Source);
        surroundings.repository.domain_or_new(&store, DOMAIN, &mut SeededRandom::new(seed ^ 1)).expect("a new domain");
        tell_truth(&mut gate.world(director), &surroundings);
        surroundings
    }
}

fn found_repository(gate: &Arc<Gate>, runtime: &Handle, director: usize, seed: u64) -> OpenedRepository {
    let identity = age::x25519::Identity::generate();
    let recipients = [(Recipient::Age(identity.to_public()), "simulation".to_owned())];
    let created = clock(gate, director)();
    let store = store(gate, runtime, director, Side::Source);
    init_repository(&store, &recipients, created, &mut SeededRandom::new(seed)).expect("a new repository")
}

/// From now on every claim is checked.
fn tell_truth(world: &mut World, surroundings: &Surroundings) {
    let copies = Arc::new(KeyCopies::new(&surroundings.repository, &surroundings.runtime));
    let objects = world.place(Side::Source).objects.clone();
    for (name, object) in objects.iter().filter(|(name, _)| name.ends_with(".key")) {
        world.claim(copies.add(name, &object.bytes).map(drop));
    }
    for side in [Side::Source, Side::Target] {
        world.place(side).truth = Some(Truth::new(copies.clone()));
    }
    for (name, object) in &objects {
        let truth = world.place(Side::Source).truth();
        let held = truth.send(name, &object.bytes, None).and_then(|()| truth.put(name, &object.bytes));
        world.claim(held);
    }
}

fn content(world: &mut World, side: Side) -> Vec<(String, Vec<u8>)> {
    let is_key = |name: &str| name.starts_with("keys/");
    let content = world.place(side).objects.iter().filter(|(name, _)| !is_key(name));
    content.map(|(name, object)| (name.clone(), object.bytes.to_vec())).collect()
}

fn outcome(gate: Arc<Gate>) -> Outcome {
    let mut world = gate.world_at_the_end();
    let (content, target) = (content(&mut world, Side::Source), content(&mut world, Side::Target));
    world.tally.count("seed");
    let steps = world.step;
    world.tally.add("step", steps);
    Outcome {
        tally: world.tally.clone(),
        failure: world.failure.take(),
        trace: world.trace.take().unwrap_or_default(),
        content,
        target,
    }
}
