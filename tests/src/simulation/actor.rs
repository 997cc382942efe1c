//! Actor: whoever does one thing after the other, dies, and begins again.
//!
//! In: what one kind of actor does, and its turns. Out: a life: activities with rests between them, until the simulation closes or something breaks. Never: keeps anything in
//! memory across a death but what an actor says is on its machine's disk or in the world outside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use repository::Error;
use repository::keys::KeyError;

use super::gate::Killed;
use super::place::Side;
use super::process::{Process, Surroundings};

/// Rests between two activities are shorter than this, in steps.
const REST_STEPS: u64 = 60;

/// One kind of actor. What survives a death is in its fields: its machine's disk and the world outside.
pub(crate) trait Actor: Send {
    /// Where it is at home.
    fn side(&self) -> Side {
        Side::Source
    }

    /// Does one thing. What is worth knowing goes to the tally; what must not happen breaks a claim.
    fn act(&mut self, process: &mut Process);
}

/// Lives; to be called on a thread of its own.
pub(crate) fn live(surroundings: &Surroundings, index: usize, mut actor: Box<dyn Actor>) {
    let gate = &surroundings.gate;
    gate.begin(index);
    while !gate.world(index).standings[index].doomed {
        let mut process = Process::start(surroundings, index);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while begins_something(&mut process) {
                actor.act(&mut process);
            }
        }));
        match ended {
            Ok(()) => break,
            Err(payload) if payload.is::<Killed>() => {}
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
                gate.world(index).fail(format!("panic: {text}"));
            }
        }
    }
    gate.end(index);
}

/// Rests; false when it is time to end.
fn begins_something(process: &mut Process) -> bool {
    let gate = process.surroundings.gate.clone();
    let rest = process.dice.below(REST_STEPS);
    {
        let mut world = gate.world(process.actor);
        let until = world.step + rest;
        world.standings[process.actor].paused_until = until;
    }
    let mut world = gate.step(process.actor);
    let (key_changes, step) = (world.key_changes(), world.step);
    let standing = &mut world.standings[process.actor];
    standing.troubles = 0;
    standing.session = None;
    standing.backing_up = None;
    standing.key_changes_seen = key_changes;
    standing.begun = step;
    !world.is_closing()
}

impl Process {
    /// Something happened.
    pub(crate) fn count(&self, what: &'static str) {
        let mut world = self.surroundings.gate.world(self.actor);
        world.note(|| what.to_owned());
        world.tally.count(what);
    }

    /// Something must not happen.
    pub(crate) fn fail(&self, what: String) {
        self.surroundings.gate.world(self.actor).fail(what);
    }

    /// True if something went wrong with one of its requests since it began what it does, or stored bytes were damaged at any time since: then it may fail.
    pub(crate) fn was_hindered(&self) -> bool {
        let world = self.surroundings.gate.world(self.actor);
        let standing = &world.standings[self.actor];
        standing.troubles > 0 || world.was_harmed_since(standing.begun)
    }

    /// True if keys of the domain came or went since it began what it does: then it may not have those that it needs.
    pub(crate) fn saw_other_keys(&self) -> bool {
        let world = self.surroundings.gate.world(self.actor);
        world.key_changes() > world.standings[self.actor].key_changes_seen
    }

    /// False where points are only copied to.
    pub(crate) fn may_write(&self) -> bool {
        self.side == Side::Source || self.surroundings.gate.world(self.actor).home().is_promoted
    }

    /// The domain could not be opened. A target has none before the first replicator has come to it.
    pub(crate) fn not_opened(&self, what: &'static str, error: &Error) {
        match error {
            Error::Key(KeyError::NoDomain { .. }) if self.side == Side::Target => {
                self.count("the target is still empty")
            }
            _ => self.failed(what, error),
        }
    }

    /// It failed, as it may; only a broken rule of the program is never excused.
    pub(crate) fn excused(&self, what: &'static str, error: &Error) {
        self.surroundings.gate.world(self.actor).note(|| format!("{what}: {error}"));
        self.count(what);
        if error.class() == model::ErrorClass::Bug {
            self.fail(format!("{what}: {error}"));
        }
    }

    /// It failed, and may have failed only if something hindered it.
    pub(crate) fn failed(&self, what: &'static str, error: &Error) {
        self.surroundings.gate.world(self.actor).note(|| format!("{what}: {error}"));
        self.count(what);
        let replaced = matches!(error, Error::Key(KeyError::KeysReplaced { .. } | KeyError::NewerKeys { .. }));
        let replaced = replaced && self.saw_other_keys();
        if replaced {
            self.count("keys were replaced");
        } else if !self.was_hindered() {
            self.fail(format!("{what}, and nothing hindered it: {error}"));
        }
    }
}
