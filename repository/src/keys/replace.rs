//! Replace: one secret takes the place of another, without touching data.
//!
//! In: a store, an open repository, the secret that opens it now and the one that shall. Out: key files that only the new one opens. Never: touches anything but `keys/`, or
//! removes a key file before the new secret has opened one that was read back from the store.
//!
//! Killed between any two requests, the old secret opens, or the new one, or both; done again with one that opens, it ends where it would have ended.

use model::KeyId;

use super::age_file;
use super::recipients::{add_recipient, key_file, key_ids, remove_recipient};
use super::secret::Random;
use super::{KeyError, OpenedRepository, Unlock};
use crate::Error;
use crate::store::Store;

/// What took whose place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Key files that the new secret opens; of them, those that were there before are the work of a run that was killed.
    pub added: Vec<KeyId>,
    /// Key files that the old secret opened.
    pub removed: Vec<KeyId>,
}

/// Lets `new` open the repository, proves that it does, and removes every key file that `old` opens.
pub fn replace_recipient(
    store: &Store,
    opened: &OpenedRepository,
    (old, new): (&Unlock, &Unlock),
    label: &str,
    random: &mut dyn Random,
) -> Result<Replaced, Error> {
    let mut added = those_that_open(store, opened, new)?;
    let removed: Vec<KeyId> =
        those_that_open(store, opened, old)?.into_iter().filter(|id| !added.contains(id)).collect();
    if removed.is_empty() {
        return Err(KeyError::NothingToReplace.into());
    }
    for one in new.each() {
        if those_that_open(store, opened, &one)?.is_empty() {
            for recipient in one.recipients() {
                added.push(add_recipient(store, opened, &recipient, label, random)?);
            }
        }
        if those_that_open(store, opened, &one)?.is_empty() {
            return Err(KeyError::NotProven.into());
        }
    }
    for id in &removed {
        remove_recipient(store, opened, *id, new)?;
    }
    Ok(Replaced { added, removed })
}

/// The key files that a secret opens, and that hold the key of this repository.
fn those_that_open(store: &Store, opened: &OpenedRepository, unlock: &Unlock) -> Result<Vec<KeyId>, Error> {
    let mut opening = Vec::new();
    for id in key_ids(store)? {
        let Some(Ok(bytes)) = key_file(store, id)? else { continue };
        if age_file::open(&bytes, unlock).is_ok_and(|file| opened.manifest.belongs_to(&file.key)) {
            opening.push(id);
        }
    }
    Ok(opening)
}

#[cfg(test)]
mod tests;
