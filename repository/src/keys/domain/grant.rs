//! Grant: the keys of one domain, for a process that is trusted with that domain alone.
//!
//! In: a domain that was opened with the repository key, or the bytes of a grant. Out: bytes for a pipe, or the domain. Never: the repository key, what wraps the keys of
//! later epochs, or anything of another domain: whoever has a grant reads what was sealed with the sets in it, and nothing that is sealed with later ones.

use model::{DomainId, KeyId, RepositoryId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{DomainAccess, KeySet};
use crate::Error;
use crate::hash::HashingKey;
use crate::keys::secret::{Secret, secret_json};
use crate::keys::{KeyError, UpkeepPublic};
use crate::layout::{Hex, hex};
use crate::seal::{ClassKey, KeyClass, KeyRing};

const VERSION: u32 = 1;

/// What one process needs to work on one domain.
pub struct DomainGrant {
    /// The domain's keys.
    pub access: DomainAccess,
    /// Whose marks are valid.
    pub upkeep: UpkeepPublic,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    repository: String,
    domain: String,
    name: String,
    upkeep: String,
    naming: Secret,
    hashing: Secret,
    sets: Vec<Set>,
}

#[derive(Serialize, Deserialize)]
struct Set {
    epoch: u64,
    id: String,
    structure: Secret,
    metadata: Secret,
    data: Secret,
}

impl DomainGrant {
    /// As bytes that are as secret as the keys. Refused where the newest keys cannot be read: nobody could write with the grant.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let access = &self.access;
        access.newest()?;
        let secret = |class, set: &KeySet| access.key(class, set).map(|key| Secret::new(*key.bytes()));
        let sets = access.sets.iter().map(|set| {
            Ok(Set {
                epoch: set.epoch,
                id: Hex(&set.id.0).to_string(),
                structure: secret(KeyClass::Structure, set)?,
                metadata: secret(KeyClass::Metadata, set)?,
                data: secret(KeyClass::Data, set)?,
            })
        });
        let payload = Payload {
            version: VERSION,
            repository: Hex(&access.repository.0).to_string(),
            domain: Hex(&access.id.0).to_string(),
            name: access.name.clone(),
            upkeep: Hex(&self.upkeep.0).to_string(),
            naming: Secret::new(*access.naming),
            hashing: Secret::new(*access.hashing.0),
            sets: sets.collect::<Result<_, Error>>()?,
        };
        Ok(secret_json(&payload)?)
    }

    /// From the bytes of [`DomainGrant::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<DomainGrant, Error> {
        let unreadable = || Error::from(KeyError::NotAGrant);
        // What the parser says may repeat a part of a key.
        let payload: Payload = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        if payload.version != VERSION {
            return Err(unreadable());
        }
        let mut ring = KeyRing::default();
        let mut sets = Vec::new();
        for set in &payload.sets {
            let id = KeyId(hex(&set.id).ok_or_else(unreadable)?);
            let classes = [
                (KeyClass::Structure, &set.structure),
                (KeyClass::Metadata, &set.metadata),
                (KeyClass::Data, &set.data),
            ];
            classes.into_iter().for_each(|(class, key)| ring.add(ClassKey::new(class, id, *key.bytes())));
            sets.push(KeySet { epoch: set.epoch, id });
        }
        let access = DomainAccess {
            repository: RepositoryId(hex(&payload.repository).ok_or_else(unreadable)?),
            id: DomainId(hex(&payload.domain).ok_or_else(unreadable)?),
            name: payload.name,
            naming: Zeroizing::new(*payload.naming.bytes()),
            hashing: HashingKey::new(*payload.hashing.bytes()),
            sets,
            ring,
            unreadable: Vec::new(),
        };
        Ok(DomainGrant { access, upkeep: UpkeepPublic(hex(&payload.upkeep).ok_or_else(unreadable)?) })
    }
}

impl std::fmt::Debug for DomainGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DomainGrant({})", self.access.name)
    }
}
