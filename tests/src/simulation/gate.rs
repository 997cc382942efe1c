//! Gate: one actor at a time.
//!
//! In: the threads of all actors, each of which asks before every request. Out: the world, for whoever's turn it is; all others sleep. Never: lets two threads be awake,
//! or the operating system decide who is next.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use super::world::World;

/// What a thread that dies unwinds with.
pub(crate) struct Killed;

/// Where every actor waits for its turn.
pub(crate) struct Gate {
    world: Mutex<World>,
    wakes: Vec<Condvar>,
    /// The only thread of each actor, once it has begun.
    threads: Mutex<Vec<Option<ThreadId>>>,
}

impl Gate {
    /// For the actors of this world.
    pub(crate) fn new(world: World) -> Gate {
        let actors = world.standings.len();
        let wakes = (0..actors).map(|_| Condvar::new()).collect();
        Gate { world: Mutex::new(world), wakes, threads: Mutex::new(vec![None; actors]) }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, for an actor that has the turn and keeps it.
    pub(crate) fn world(&self, actor: usize) -> MutexGuard<'_, World> {
        let world = self.lock();
        assert_eq!(world.turn, actor, "actor {actor} looks at the world, and it is not its turn");
        world
    }

    /// This thread is the actor from now on. Waits for its first turn.
    pub(crate) fn begin(&self, actor: usize) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)[actor] = Some(std::thread::current().id());
        drop(self.wait(self.lock(), actor));
    }

    /// One step: time passes, somebody is chosen, and this returns when it is this actor's turn again. Unwinds if the actor has died meanwhile.
    pub(crate) fn step(&self, actor: usize) -> MutexGuard<'_, World> {
        self.assert_own_thread(actor);
        let mut world = self.lock();
        world.tick();
        let next = world.choose();
        let mut world = self.pass(world, next);
        if next != actor {
            world = self.wait(world, actor);
        }
        if world.standings[actor].doomed {
            self.die(world, actor);
        }
        world
    }

    fn pass<'a>(&'a self, mut world: MutexGuard<'a, World>, next: usize) -> MutexGuard<'a, World> {
        if world.turn != next {
            world.turn = next;
            self.wakes[next].notify_all();
        }
        world
    }

    fn wait<'a>(&'a self, mut world: MutexGuard<'a, World>, actor: usize) -> MutexGuard<'a, World> {
        while world.turn != actor {
            world = self.wakes[actor].wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        world
    }

    /// Everything follows from the seed only if the engine asks from the thread that it was called on.
    fn assert_own_thread(&self, actor: usize) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(threads[actor], Some(std::thread::current().id()), "actor {actor} asks from a thread of its own");
    }

    /// The actor dies here: its thread unwinds, and nothing of what it had in memory is left.
    pub(crate) fn die(&self, mut world: MutexGuard<'_, World>, actor: usize) -> ! {
        world.note(|| "dies".to_owned());
        world.standings[actor].process += 1;
        world.tally.count("death");
        drop(world);
        std::panic::resume_unwind(Box::new(Killed))
    }

    /// The actor will not ask again: the turn passes to another.
    pub(crate) fn end(&self, actor: usize) {
        let mut world = self.lock();
        world.standings[actor].done = true;
        let next = world.choose();
        drop(self.pass(world, next));
    }

    /// The world, when all is over.
    pub(crate) fn world_at_the_end(&self) -> MutexGuard<'_, World> {
        self.lock()
    }
}
