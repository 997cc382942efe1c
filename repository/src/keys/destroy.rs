//! Destroy: the end of a domain. What shreds it is the loss of its random keys; the rest is tidying.
//!
//! In: a store and an open repository. Out: a domain of which nothing is left, or what would go. Never: touches another domain, or stops half-way in a state from which it cannot go on.
//!
//! Order: the sets of keys, the oldest epoch first, so that a writer that begins meanwhile never finds an older one to go back to; then everything else. Killed anywhere, it is done again:
//! a domain with objects and without keys is nobody's to write into ([`super::KeyError::KeysLost`]). The keys that names and hashes come from follow from the repository key and remain: they open nothing.

use model::DomainId;

use super::domain::DomainRoot;
use super::epochs::listed_sets;
use super::{KeyError, OpenedRepository};
use crate::Error;
use crate::layout;
use crate::parallel::{self, each};
use crate::store::Store;

/// A domain before or after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainContent {
    /// Its id.
    pub id: DomainId,
    /// Sets of keys.
    pub keys: u64,
    /// All other objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl OpenedRepository {
    /// What would be destroyed.
    pub fn domain_content(&self, store: &Store, name: &str) -> Result<DomainContent, Error> {
        let id = DomainRoot::new(self, name)?.id();
        let keys = listed_sets(store, id)?.len() as u64;
        let listed = store.list(&layout::domain(id))?;
        if listed.is_empty() {
            return Err(KeyError::NoDomain { name: name.to_owned() }.into());
        }
        let bytes = listed.iter().map(|listed| listed.size).sum();
        Ok(DomainContent { id, keys, objects: (listed.len() as u64).saturating_sub(keys), bytes })
    }

    /// Destroys a domain: first its keys, then everything below it. What it held can be read by nobody any more, as far as no version or copy of the key objects is left elsewhere.
    pub fn destroy_domain(&self, store: &Store, name: &str) -> Result<DomainContent, Error> {
        let content = self.domain_content(store, name)?;
        // Somebody may make a set while others go; a list that shows none has the last word.
        loop {
            let mut sets = listed_sets(store, content.id)?;
            if sets.is_empty() {
                break;
            }
            sets.sort_by_key(|set| (set.epoch, set.id));
            for set in sets {
                store.delete(&layout::domain_key(content.id, set.epoch, set.id))?;
            }
        }
        let mut names = Vec::new();
        store.list_each(&layout::domain(content.id), &mut |listed| names.push(listed.name))?;
        each(store.threads(parallel::REQUESTS), &names, |name| Ok(store.delete(name)?))?;
        Ok(content)
    }
}
