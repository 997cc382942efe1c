//! Keys: who may open a repository, and what follows from its key (docs/format.md, sections 2 and 4).
//!
//! In: a store, and a passphrase or identity. Out: an [`OpenedRepository`] that is proven to be the one its id names, and from it [`DomainAccess`], marks' [`UpkeepKey`]
//! and key files for others. Never: shows a key, writes one down unsealed, or trusts `repository.json` before the key has confirmed its id.

use bytes::Bytes;
use jiff::Timestamp;
use model::{DomainId, RepositoryId};

use crate::Error;
use crate::features::Features;
use crate::layout::{self, NeededBy, REPOSITORY};
use crate::store::{Store, StoreError};

mod age_file;
mod destroy;
mod domain;
mod epochs;
mod error;
mod escrow;
mod manifest;
mod recipients;
mod replace;
mod repository_key;
mod secret;
mod upkeep;

pub use age_file::{KEY_FILE_BYTES_MAX, Recipient, Unlock, WrapKind};
pub use destroy::DomainContent;
pub(crate) use domain::KEY_OBJECT_BYTES_MAX;
pub use domain::{DomainAccess, DomainGrant, KeySet, UnreadableKey, WriterKeys};
pub use epochs::{KeyUse, destroy_unused_keys, key_use};
pub(crate) use epochs::{are_newest, is_newer, was_destroyed};
pub use error::KeyError;
pub use escrow::{FoundDomain, ProvenDomain, prove_domain};
pub use manifest::{MANIFEST_BYTES_MAX, REPOSITORY_VERSION, RepositoryManifest};
pub use recipients::{RecipientEntry, add_recipient, export_key, list_recipients, remove_recipient};
pub use replace::{Replaced, replace_recipient};
pub use repository_key::RepositoryKey;
pub use secret::{Random, SystemRandom, random_array};
pub use upkeep::{SealedUpkeep, UpkeepKey, UpkeepPublic};

/// A repository whose key is at hand and whose id that key has confirmed.
#[derive(Clone)]
pub struct OpenedRepository {
    /// What `repository.json` says.
    pub manifest: RepositoryManifest,
    /// What must be known beyond version 1. Whoever writes or collects asks [`Features::check`] first; reading has been checked.
    pub features: Features,
    /// The label of the key file that opened it.
    pub label: String,
    key: RepositoryKey,
}

impl OpenedRepository {
    /// Its id, to be pinned by clients.
    pub fn id(&self) -> RepositoryId {
        self.manifest.repository
    }

    /// The access to a domain that exists.
    pub fn domain(&self, store: &Store, name: &str) -> Result<DomainAccess, Error> {
        domain::DomainRoot::new(self, name)?.load(store)
    }

    /// The access to a domain, made with its first keys if nobody has used it yet.
    pub fn domain_or_new(&self, store: &Store, name: &str, random: &mut dyn Random) -> Result<DomainAccess, Error> {
        domain::DomainRoot::new(self, name)?.load_or_create(store, random)
    }

    /// The id of a domain, whether it exists or not.
    pub fn domain_id(&self, name: &str) -> Result<DomainId, Error> {
        Ok(domain::DomainRoot::new(self, name)?.id())
    }

    /// Proves that bytes are a key object of a domain under this name: whoever made it held the repository key.
    pub fn prove_domain_key(&self, domain: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        domain::DomainRoot::new(self, domain)?.prove(name, bytes)
    }

    /// Gives a domain new keys, with which everything will be sealed from now on. What is stored stays under its old keys.
    pub fn rotate_domain(&self, store: &Store, name: &str, random: &mut dyn Random) -> Result<DomainAccess, Error> {
        domain::DomainRoot::new(self, name)?.rotate(store, random)
    }

    /// The key that signs marks.
    pub fn upkeep(&self) -> Result<UpkeepKey, Error> {
        self.manifest.open_upkeep(&self.key)
    }
}

/// Opens a repository. `pinned` is the id that this client remembers, if it has seen the repository before: another one is refused.
pub fn open_repository(
    store: &Store,
    unlock: &Unlock,
    pinned: Option<RepositoryId>,
) -> Result<OpenedRepository, Error> {
    let (manifest, features) = read_manifest(store, pinned)?;
    let file = recipients::open_any(store, &manifest, unlock)?;
    Ok(OpenedRepository { manifest, features, label: file.label, key: file.key })
}

/// Opens a repository with a key file that was exported ([`export_key`]) and kept elsewhere, when those below `keys/` are lost.
pub fn open_repository_with_export(
    store: &Store,
    export: &[u8],
    unlock: &Unlock,
    pinned: Option<RepositoryId>,
) -> Result<OpenedRepository, Error> {
    let (manifest, features) = read_manifest(store, pinned)?;
    let file = recipients::open_export(export, &manifest, unlock)?;
    Ok(OpenedRepository { manifest, features, label: file.label, key: file.key })
}

/// What can be known without a key, and is worth nothing until a key has confirmed it.
fn read_manifest(store: &Store, pinned: Option<RepositoryId>) -> Result<(RepositoryManifest, Features), Error> {
    let bytes = store.get_at_most(REPOSITORY, MANIFEST_BYTES_MAX).map_err(|error| match error {
        StoreError::NotFound { .. } => Error::from(KeyError::NoRepository),
        other => other.into(),
    })?;
    let manifest = RepositoryManifest::parse(&bytes)?;
    if let Some(pinned) = pinned.filter(|pinned| *pinned != manifest.repository) {
        return Err(KeyError::NotThePinned { pinned, found: manifest.repository }.into());
    }
    let listed = store.list(layout::FEATURES)?;
    let features = Features::from_listing(listed.iter().map(|listed| listed.name.as_str()));
    features.check(NeededBy::Read)?;
    Ok((manifest, features))
}

/// Makes a repository at an empty place: key files first, `repository.json` last. A crash in between leaves key files of a key that seals nothing; a second attempt is not
/// hindered by them, and nobody who opens the repository later takes them for its own.
///
/// Two that make a repository at one place at the same time: no store can be relied on to refuse the second. Each reads back what stands there after its own put, and who
/// finds the other's id has made nothing.
pub fn init_repository(
    store: &Store,
    recipients: &[(Recipient, String)],
    created: Timestamp,
    random: &mut dyn Random,
) -> Result<OpenedRepository, Error> {
    if recipients.is_empty() {
        return Err(KeyError::NoRecipient.into());
    }
    if store.exists(REPOSITORY)? {
        return Err(KeyError::AlreadyARepository.into());
    }
    let key = RepositoryKey::generate(random)?;
    let (upkeep, repository, upkeep_private) = UpkeepKey::generate(&key, random)?;
    let manifest =
        RepositoryManifest { repository, created: created.to_string(), upkeep_public: upkeep.public(), upkeep_private };
    let label = recipients.first().map(|(_, label)| label.clone()).unwrap_or_default();
    let opened = OpenedRepository { manifest, features: Features::default(), label, key };
    for (recipient, label) in recipients {
        add_recipient(store, &opened, recipient, label, random)?;
    }
    store.put(REPOSITORY, Bytes::from(opened.manifest.to_json()?))?;
    confirm(store, opened)
}

/// What stands there now is what was made.
fn confirm(store: &Store, opened: OpenedRepository) -> Result<OpenedRepository, Error> {
    let (found, features) = read_manifest(store, None)?;
    if found != opened.manifest {
        return Err(KeyError::AlreadyARepository.into());
    }
    Ok(OpenedRepository { features, ..opened })
}

#[cfg(test)]
mod tests;
