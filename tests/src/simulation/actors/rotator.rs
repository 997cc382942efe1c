//! Rotator: replaces the keys of the domain, and destroys those that nothing needs any more.

use repository::Error;
use repository::keys::{KeyError, destroy_unused_keys};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::{DOMAIN, Process};

/// Rotates, and retires keys.
pub(crate) struct Rotator {
    pub(crate) side: Side,
}

/// Destroys the keys that nothing needs; how many that were.
pub(crate) fn retire_keys(process: &Process) -> Result<u64, Error> {
    let store = process.store(process.side);
    let access = process.surroundings.repository.domain(&store, DOMAIN)?;
    let sets = destroy_unused_keys(&store, &access)?;
    Ok(sets.into_iter().filter(|(_, destroyed)| *destroyed).count() as u64)
}

impl Actor for Rotator {
    fn side(&self) -> Side {
        self.side
    }

    fn act(&mut self, process: &mut Process) {
        if process.dice.one_in(2) && process.may_write() {
            let (store, repository) = (process.store(self.side), process.surroundings.repository.clone());
            return match process.with_random(|random| repository.rotate_domain(&store, DOMAIN, random)) {
                Ok(_) => process.count("keys rotated"),
                Err(error) => process.not_opened("rotation failed", &error),
            };
        }
        match retire_keys(process) {
            Ok(destroyed) => {
                process.count("keys retired");
                process.surroundings.gate.world(process.actor).tally.add("key destroyed", destroyed);
            }
            Err(Error::Key(KeyError::KeysOfAReplica)) if self.side == Side::Target => {
                process.count("retiring the keys of a replica refused");
            }
            Err(Error::Busy(_)) if self.side == Side::Target => process.count("retiring keys waits for half a copy"),
            Err(error) => process.not_opened("retiring keys failed", &error),
        }
    }
}
