//! Copies: which repository a place holds, and what it is to its copies (docs/protocol.md, Replication).
//!
//! In: stores. Out: leave to go on, or why these two are not copies of one repository. Never: believes a place that says less than the keys at hand prove.

use bytes::Bytes;

use crate::Error;
use crate::domain::Domain;
use crate::features::{Features, PROMOTED, Standing};
use crate::keys::{KeyError, MANIFEST_BYTES_MAX, RepositoryManifest};
use crate::layout::{self, FEATURES, NeededBy, REPOSITORY};
use crate::store::Store;

/// The features of the repository in a store, as they are now.
pub(super) fn features_of(store: &Store) -> Result<Features, Error> {
    let listed = store.list(FEATURES)?;
    Ok(Features::from_listing(listed.iter().map(|listed| listed.name.as_str())))
}

/// The bytes of `repository.json`, if there is one; it must be that of the domain's repository.
pub(super) fn manifest_of(domain: &Domain, store: &Store) -> Result<Option<Bytes>, Error> {
    let bytes = match store.get_at_most(REPOSITORY, MANIFEST_BYTES_MAX) {
        Err(error) if error.is_not_found() => return Ok(None),
        bytes => bytes?,
    };
    let manifest = RepositoryManifest::parse(&bytes)?;
    // The id commits to the repository key and to the upkeep key.
    if manifest.repository != domain.repository() || manifest.upkeep_public != *domain.upkeep() {
        return Err(Error::Invalid(format!(
            "{store:?} holds another repository ({}) than the one that was opened ({}); check the two addresses",
            manifest.repository,
            domain.repository()
        )));
    }
    Ok(Some(bytes))
}

/// A place whose lists say what is gone, and from which points are copied: where names never recur.
pub(super) fn ensure_source(domain: &Domain, source: &Store) -> Result<(Bytes, Features), Error> {
    let Some(bytes) = manifest_of(domain, source)? else { return Err(KeyError::NoRepository.into()) };
    let features = features_of(source)?;
    features.check(NeededBy::Collect)?;
    match features.standing() {
        Standing::Original | Standing::Promoted => Ok((bytes, features)),
        Standing::Replica => Err(Error::Invalid(format!(
            "{source:?} is a replica itself; name the repository that it was copied from, or promote it first"
        ))),
    }
}

/// Makes a replica a repository of its own, for good: nothing is replicated into it any more, it is collected like any other, and writers may start when this returns.
/// False: it was promoted before.
pub fn promote(store: &Store) -> Result<bool, Error> {
    let features = features_of(store)?;
    features.check(NeededBy::Collect)?;
    match features.standing() {
        Standing::Promoted => Ok(false),
        Standing::Original => {
            Err(Error::Invalid("this repository is no replica: there is nothing to promote".to_owned()))
        }
        Standing::Replica => {
            store.put(&layout::feature(PROMOTED, NeededBy::Collect), Bytes::new())?;
            Ok(true)
        }
    }
}
