//! Epochs: which keys of a domain are in use, and the end of those that are not.
//!
//! In: a store and a domain. Out: for each set of keys how many objects name it, or the sets that were destroyed. Never: destroys a set of the newest epoch, one that any object
//! names, or any while an object cannot be read.
//!
//! Why nothing is lost. A set is old once a higher epoch has been acknowledged. A session that announces itself with an old set looks for a higher epoch after the
//! acknowledgement of its announcement and gives up if there is one ([`crate::session`]); so whoever goes on with an old set had announced itself, with the id of the set in the header,
//! before the higher epoch was there, and therefore before the lists that are read here. Objects are looked at whether they are valid or not: what a collector has not removed yet
//! keeps its keys. Nobody's clock matters.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::{DomainId, KeyId};

use super::{DomainAccess, KeyError, KeySet};
use crate::Error;
use crate::features::{Features, Standing};
use crate::layout::{self, FEATURES, ParsedName};
use crate::parallel::{self, each};
use crate::seal::{HEADER_BYTES_MAX, Header};
use crate::store::{Store, StoreError};

/// One set of keys, and who needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Which.
    pub set: KeySet,
    /// Its epoch is the newest: writers use it, or one beside it.
    pub newest: bool,
    /// How many objects name it.
    pub objects: u64,
    /// One of them.
    pub example: Option<String>,
}

/// The sets of keys of a domain, the newest epoch first, and what is sealed with them: one small request for each pack, point and session.
pub fn key_use(store: &Store, access: &DomainAccess) -> Result<Vec<KeyUse>, Error> {
    // The list of keys comes first: a session that begins after it sees at least these epochs.
    let sets = listed_sets(store, access.id())?;
    let named = named_keys(store, access.id())?;
    let newest = sets.iter().map(|set| set.epoch).max();
    let mut uses: Vec<KeyUse> = sets
        .into_iter()
        .map(|set| {
            let (objects, example) = named.get(&set.id).map_or((0, None), |(count, name)| (*count, Some(name.clone())));
            KeyUse { set, newest: Some(set.epoch) == newest, objects, example }
        })
        .collect();
    uses.sort_by_key(|used| (std::cmp::Reverse(used.set.epoch), used.set.id));
    Ok(uses)
}

/// Destroys the sets of older epochs that nothing names any more; says of each set what became of it: the second member is true for those that are gone.
pub fn destroy_unused_keys(store: &Store, access: &DomainAccess) -> Result<Vec<(KeyUse, bool)>, Error> {
    // With a newest epoch that nobody can read, an older one may be the newest that anybody has.
    access.writer_keys()?;
    let listed = store.list(FEATURES)?;
    match Features::from_listing(listed.iter().map(|listed| listed.name.as_str())).standing() {
        Standing::Original => {}
        Standing::Replica => return Err(KeyError::KeysOfAReplica.into()),
        Standing::Promoted => ensure_no_half_copy(store, access.id())?,
    }
    let mut done = Vec::new();
    for used in key_use(store, access)? {
        let unused = !used.newest && used.objects == 0;
        if unused {
            // Before the key goes: what comes too late for it is to be told from what is damaged.
            store.put(&layout::destroyed_key(access.id(), used.set.id), Bytes::new())?;
            store.delete(&layout::domain_key(access.id(), used.set.epoch, used.set.id))?;
        }
        done.push((used, unused));
    }
    Ok(done)
}

/// A replicator that was at work when its target was promoted may still finish: until a collector has removed what it began, nobody can say what the packs are sealed with that it
/// would bring. Before the lists of what is in use: what is complete by now is in them, and what is begun from now on stops at R2.
fn ensure_no_half_copy(store: &Store, domain: DomainId) -> Result<(), Error> {
    let mut points = Vec::new();
    store.list_each(&layout::points(domain), &mut |listed| {
        if let Ok(ParsedName::Point { session, .. }) = ParsedName::parse(&listed.name) {
            points.push((session, listed.name));
        }
    })?;
    let mut announced = BTreeSet::new();
    store.list_each(&layout::sessions(domain), &mut |listed| {
        if let Ok(ParsedName::SessionOpen { session, .. }) = ParsedName::parse(&listed.name) {
            announced.insert(session);
        }
    })?;
    match points.into_iter().find(|(session, _)| !announced.contains(session)) {
        Some((_, name)) => Err(Error::Busy(format!(
            "{name} was being copied when this repository was promoted, or its announcement is lost, so the keys of its packs are not known; no key was destroyed: let `holdfast gc` remove it"
        ))),
        None => Ok(()),
    }
}

/// The sets that are there by their names, whoever can open them.
pub(crate) fn listed_sets(store: &Store, domain: DomainId) -> Result<Vec<KeySet>, Error> {
    let listed = store.list(&layout::domain_keys(domain))?;
    let set = |name: &str| match ParsedName::parse(name) {
        Ok(ParsedName::DomainKey { epoch, key, .. }) => Some(KeySet { epoch, id: key }),
        _ => None,
    };
    Ok(listed.iter().filter_map(|listed| set(&listed.name)).collect())
}

/// True if what a writer with these keys seals is sealed with keys that are still there, and that no higher epoch has replaced.
pub(crate) fn are_newest(store: &Store, access: &DomainAccess) -> Result<bool, Error> {
    let sets = listed_sets(store, access.id())?;
    let newest = sets.iter().map(|set| set.epoch).max();
    Ok(access.sets().first().is_some_and(|own| sets.contains(own) && Some(own.epoch) == newest))
}

/// True if a key that is not at hand stands in the store all the same, and not because it could not be opened: it came after the others were loaded.
pub(crate) fn is_newer(store: &Store, access: &DomainAccess, key: KeyId) -> Result<bool, Error> {
    let was_there = |set: &KeySet| {
        let name = layout::domain_key(access.id(), set.epoch, set.id);
        access.sets().contains(set) || access.unreadable().iter().any(|unreadable| unreadable.object == name)
    };
    Ok(listed_sets(store, access.id())?.iter().any(|set| set.id == key && !was_there(set)))
}

/// True if a key of this id was destroyed because nobody needed it. An id that was misread is that of no key.
pub(crate) fn was_destroyed(store: &Store, access: &DomainAccess, key: KeyId) -> Result<bool, Error> {
    let is_gone = !listed_sets(store, access.id())?.iter().any(|set| set.id == key);
    Ok(is_gone && store.exists(&layout::destroyed_key(access.id(), key))?)
}

/// Every key id that a header names, how often, and where first.
fn named_keys(store: &Store, domain: DomainId) -> Result<BTreeMap<KeyId, (u64, String)>, Error> {
    let mut named: BTreeMap<KeyId, (u64, String)> = BTreeMap::new();
    // Sessions first: what they put later is found in the lists that follow, or their announcement was.
    for folder in [layout::sessions(domain), layout::packs(domain), layout::points(domain)] {
        let mut names = Vec::new();
        store.list_each(&folder, &mut |listed| {
            if is_sealed(&listed.name) {
                names.push(listed.name);
            }
        })?;
        // A list that was begun again shows some twice.
        names.sort_unstable();
        names.dedup();
        let ids = each(store.threads(parallel::REQUESTS), &names, |name| key_of(store, name))?;
        for (name, id) in names.into_iter().zip(ids) {
            if let Some(id) = id {
                named.entry(id).or_insert((0, name)).0 += 1;
            }
        }
    }
    Ok(named)
}

fn is_sealed(name: &str) -> bool {
    use ParsedName::{Pack, Point, SessionOpen};
    matches!(ParsedName::parse(name), Ok(SessionOpen { .. } | Pack { .. } | Point { .. }))
}

/// The id of the keys of one object; `None` if it has gone since it was listed.
fn key_of(store: &Store, name: &str) -> Result<Option<KeyId>, Error> {
    match store.get_front(name, HEADER_BYTES_MAX as u64) {
        Ok(front) => Ok(Header::decode(name, &front)?.0.slots.first().map(|slot| slot.id)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
