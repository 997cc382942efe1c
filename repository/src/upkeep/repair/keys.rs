//! Keys: key objects of a domain that cannot be opened any more.
//!
//! Destroying keys is how a domain is shredded. A key object that is damaged is put back; one that is missing only when the caller says that it was not destroyed on
//! purpose.

use bytes::Bytes;

use crate::Error;
use crate::keys::{KEY_OBJECT_BYTES_MAX, KeyError, OpenedRepository};
use crate::layout::{self, ParsedName};
use crate::read::{DamagedObject, concerns_one_object};
use crate::store::Store;

use super::NotRepaired;

/// Which key objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysToRepair {
    /// Also those that are missing here.
    pub missing: bool,
    /// Reads and proves, but puts nothing.
    pub dry_run: bool,
}

/// Brings back key objects of a domain from another copy of the repository. What was put back is proven to be made by a holder of the repository key.
pub fn repair_keys(
    repository: &OpenedRepository,
    domain: &str,
    (store, other): (&Store, &Store),
    which: KeysToRepair,
) -> Result<(Vec<DamagedObject>, Vec<NotRepaired>), Error> {
    let unreadable: Vec<(String, String)> = match repository.domain(store, domain) {
        Ok(access) => access.unreadable().iter().map(|key| (key.object.clone(), key.why.clone())).collect(),
        Err(Error::Key(KeyError::NoDomain { .. })) => Vec::new(),
        Err(error) => return Err(error),
    };
    let folder = layout::domain_keys(repository.domain_id(domain)?);
    let mut wanted = unreadable;
    if which.missing {
        let here: Vec<String> = store.list(&folder)?.into_iter().map(|listed| listed.name).collect();
        let there = other.list(&folder)?.into_iter().map(|listed| listed.name);
        let is_key = |name: &String| matches!(ParsedName::parse(name), Ok(ParsedName::DomainKey { .. }));
        let missing = there.filter(|name| is_key(name) && !here.contains(name));
        wanted.extend(missing.map(|name| (name, "it was missing".to_owned())));
    }
    let (mut repaired, mut not_repaired) = (Vec::new(), Vec::new());
    for (object, what) in wanted {
        match proven(repository, domain, &object, other)? {
            Ok(bytes) => {
                if !which.dry_run {
                    store.put(&object, bytes)?;
                }
                repaired.push(DamagedObject { object, what });
            }
            Err(why) => not_repaired.push(NotRepaired { object, why }),
        }
    }
    Ok((repaired, not_repaired))
}

fn proven(
    repository: &OpenedRepository,
    domain: &str,
    name: &str,
    other: &Store,
) -> Result<Result<Bytes, String>, Error> {
    let bytes = match other.get_at_most(name, KEY_OBJECT_BYTES_MAX) {
        Err(error) if error.is_not_found() => return Ok(Err("the other copy does not have it".into())),
        bytes => bytes.map_err(Error::from),
    };
    match bytes.and_then(|bytes| repository.prove_domain_key(domain, name, &bytes).map(|()| bytes)) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) if concerns_one_object(&error) => Ok(Err(format!("the other copy's cannot be used: {error}"))),
        Err(error) => Err(error),
    }
}
