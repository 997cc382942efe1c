//! Domain: the keys under which one tenant's data is named, hashed and sealed (docs/format.md, sections 4.3 and 4.4).
//!
//! In: the repository key and a domain's name, or the key objects of that domain. Out: [`DomainAccess`], all that a writer or reader of this domain needs. Never: puts
//! the repository key or the wrapping key into a [`DomainAccess`] (an agent holds that and must not be able to open another domain), or uses a key whose object the store
//! has not acknowledged.

mod grant;

use bytes::Bytes;
use model::{DomainId, KeyId, RepositoryId, VolumeId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::epochs::listed_sets;
use super::secret::{Random, Secret, random_array, secret_json};
use super::{KeyError, OpenedRepository};
use crate::Error;
use crate::hash::{HashingKey, derive};
use crate::layout::{self, ParsedName};
use crate::seal::{Binding, BlobKind, ClassKey, KeyClass, KeyRing, ObjectKind, Sealer, SectionReader, SectionWriter};
use crate::store::{Store, StoreError};

pub use grant::DomainGrant;

/// A header, one frame and at most 64 KiB of sealed content.
pub(crate) const KEY_OBJECT_BYTES_MAX: u64 = 66 * 1024;
const DOMAIN_NAME_BYTES_MAX: usize = 1024;
/// The first epoch of a domain.
const FIRST_EPOCH: u64 = 1;

/// Everything about a domain that follows from the repository key and the domain's name.
pub(super) struct DomainRoot {
    repository: RepositoryId,
    id: DomainId,
    name: String,
    naming: Zeroizing<[u8; 32]>,
    hashing: HashingKey,
    wrapping: ClassKey,
}

/// The access of one writer or reader to one domain.
#[derive(Clone)]
pub struct DomainAccess {
    repository: RepositoryId,
    id: DomainId,
    name: String,
    naming: Zeroizing<[u8; 32]>,
    hashing: HashingKey,
    /// The writer's choice first: the highest epoch, in it the lowest id.
    sets: Vec<KeySet>,
    ring: KeyRing,
    unreadable: Vec<UnreadableKey>,
}

/// One set of random keys: structure, metadata and data under one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// Sets of a higher epoch replace those of a lower one for writing.
    pub epoch: u64,
    /// Names the three keys in headers; the class tells them apart.
    pub id: KeyId,
}

/// The keys that a writer seals with.
#[derive(Clone)]
pub struct WriterKeys {
    /// For all that upkeep needs.
    pub structure: ClassKey,
    /// For names, attributes and positions.
    pub metadata: ClassKey,
    /// For content.
    pub data: ClassKey,
}

/// A key object that is there but gives no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableKey {
    /// The object.
    pub object: String,
    /// The epoch in its name.
    pub epoch: u64,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    epoch: u64,
    name: String,
    structure: Secret,
    metadata: Secret,
    data: Secret,
}

impl DomainRoot {
    pub(super) fn new(opened: &OpenedRepository, name: &str) -> Result<DomainRoot, KeyError> {
        if !(1..=DOMAIN_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(KeyError::NotADomainName);
        }
        let id = DomainId(first_half(&opened.key.derive("holdfast v1 domain id", name.as_bytes())));
        Ok(DomainRoot::of_id(opened, id, name))
    }

    /// Of a domain whose name is not known: its key objects say it.
    pub(super) fn of_id(opened: &OpenedRepository, id: DomainId, name: &str) -> DomainRoot {
        let root = opened.key.derive_secret("holdfast v1 domain", &id.0);
        let wrapping = Zeroizing::new(derive(&root, "holdfast v1 wrapping", b""));
        let wrapping_id = KeyId(first_half(&derive(&wrapping, "holdfast v1 key id", b"")));
        DomainRoot {
            repository: opened.manifest.repository,
            id,
            name: name.to_owned(),
            naming: Zeroizing::new(derive(&root, "holdfast v1 naming", b"")),
            hashing: HashingKey::new(derive(&root, "holdfast v1 hashing", b"")),
            wrapping: ClassKey::new(KeyClass::Wrapping, wrapping_id, *wrapping),
        }
    }

    pub(super) fn id(&self) -> DomainId {
        self.id
    }

    /// What a key object of the domain says of the domain's name; nothing of it has been checked but that this repository's key sealed it.
    pub(super) fn name_in(&self, store: &Store, object: &str) -> Result<String, Error> {
        Ok(self.payload(object, &store.get_at_most(object, KEY_OBJECT_BYTES_MAX)?)?.name)
    }

    /// Opens every key object of the domain. One that cannot be opened is remembered, not an error: a restore needs only the keys that its own headers name.
    pub(super) fn load(&self, store: &Store) -> Result<DomainAccess, Error> {
        let mut access = DomainAccess {
            repository: self.repository,
            id: self.id,
            name: self.name.clone(),
            naming: self.naming.clone(),
            hashing: self.hashing.clone(),
            sets: Vec::new(),
            ring: KeyRing::default(),
            unreadable: Vec::new(),
        };
        for listed in store.list(&layout::domain_keys(self.id))? {
            let Ok(ParsedName::DomainKey { epoch, key, .. }) = ParsedName::parse(&listed.name) else { continue };
            match self.open(store, &listed.name, epoch) {
                Ok(payload) => access.add(KeySet { epoch, id: key }, &payload),
                // Deleted since it was listed: destroyed, as if it had never been listed.
                Err(Error::Store(StoreError::NotFound { .. })) => {}
                Err(error) if is_about_the_object(&error) => {
                    access.unreadable.push(UnreadableKey { object: listed.name, epoch, why: error.to_string() })
                }
                Err(error) => return Err(error),
            }
        }
        access.sets.sort_by_key(|set| (std::cmp::Reverse(set.epoch), set.id));
        if access.sets.is_empty() && access.unreadable.is_empty() {
            return self.without_keys(store);
        }
        Ok(access)
    }

    /// No keys were listed: nobody has used the domain, or they are lost, or somebody has just made the first ones. Keys are acknowledged before they are used, so whoever finds objects
    /// and then still no keys knows.
    fn without_keys(&self, store: &Store) -> Result<DomainAccess, Error> {
        let name = self.name.clone();
        if store.list(&layout::domain(self.id))?.is_empty() {
            return Err(KeyError::NoDomain { name }.into());
        }
        if listed_sets(store, self.id)?.is_empty() {
            return Err(KeyError::KeysLost { name }.into());
        }
        self.load(store)
    }

    fn open(&self, store: &Store, name: &str, epoch: u64) -> Result<Payload, Error> {
        self.open_bytes(name, epoch, &store.get_at_most(name, KEY_OBJECT_BYTES_MAX)?)
    }

    /// Proves that these bytes are the key object of this name.
    pub(super) fn prove(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        match ParsedName::parse(name) {
            Ok(ParsedName::DomainKey { domain, epoch, .. }) if domain == self.id => {
                self.open_bytes(name, epoch, bytes).map(drop)
            }
            _ => Err(Error::damaged(name, "it is not the name of a key of this domain")),
        }
    }

    fn open_bytes(&self, name: &str, epoch: u64, bytes: &[u8]) -> Result<Payload, Error> {
        let payload = self.payload(name, bytes)?;
        if payload.epoch != epoch || payload.name != self.name {
            return Err(Error::damaged(name, "the epoch or domain inside is not that of its name"));
        }
        Ok(payload)
    }

    fn payload(&self, name: &str, bytes: &[u8]) -> Result<Payload, Error> {
        let mut ring = KeyRing::default();
        ring.add(self.wrapping.clone());
        let sections = SectionReader::new(self.object(name), bytes, &ring, &[BlobKind::DomainKey])?;
        let plaintext = Zeroizing::new(sections.open(0)?);
        serde_json::from_slice(&plaintext)
            .map_err(|_| Error::damaged(name, "what it holds is not a set of domain keys"))
    }

    /// Writes a new set of keys. When this returns, the store has acknowledged it.
    pub(super) fn create_set(&self, store: &Store, epoch: u64, random: &mut dyn Random) -> Result<KeySet, Error> {
        let set = KeySet { epoch, id: KeyId(random_array(random)?) };
        let payload = Payload {
            epoch,
            name: self.name.clone(),
            structure: Secret::random(random)?,
            metadata: Secret::random(random)?,
            data: Secret::random(random)?,
        };
        let name = layout::domain_key(self.id, epoch, set.id);
        let sealer = Sealer::new(self.object(&name), &[&self.wrapping], random_array(random)?)?;
        let mut writer = SectionWriter::new(sealer);
        writer.add(BlobKind::DomainKey, &secret_json(&payload)?)?;
        store.put(&name, Bytes::from(writer.finish()))?;
        Ok(set)
    }

    /// Loads the domain; makes its first keys if it has none.
    pub(super) fn load_or_create(&self, store: &Store, random: &mut dyn Random) -> Result<DomainAccess, Error> {
        match self.load(store) {
            Err(Error::Key(KeyError::NoDomain { .. })) => {
                self.create_set(store, FIRST_EPOCH, random)?;
                // Listed again, so that two writers that meet for the first time agree on the lower id.
                self.load(store)
            }
            loaded => loaded,
        }
    }

    /// Makes a set in a new epoch, which writers use from now on.
    pub(super) fn rotate(&self, store: &Store, random: &mut dyn Random) -> Result<DomainAccess, Error> {
        let access = self.load(store)?;
        let epochs = access.sets.iter().map(|set| set.epoch).chain(access.unreadable.iter().map(|key| key.epoch));
        let next = epochs.max().unwrap_or(0).checked_add(1);
        self.create_set(
            store,
            next.ok_or_else(|| Error::Invalid(format!("domain {:?} has no epochs left", self.name)))?,
            random,
        )?;
        self.load(store)
    }

    fn object<'a>(&self, name: &'a str) -> Binding<'a> {
        Binding { repository: self.repository, kind: ObjectKind::DomainKey, name }
    }
}

impl DomainAccess {
    fn add(&mut self, set: KeySet, payload: &Payload) {
        let classes = [
            (KeyClass::Structure, &payload.structure),
            (KeyClass::Metadata, &payload.metadata),
            (KeyClass::Data, &payload.data),
        ];
        for (class, key) in classes {
            self.ring.add(ClassKey::new(class, set.id, *key.bytes()));
        }
        self.sets.push(set);
    }

    /// The repository that the domain belongs to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The domain's id, as it stands in names.
    pub fn id(&self) -> DomainId {
        self.id
    }

    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names content.
    pub fn hashing(&self) -> &HashingKey {
        &self.hashing
    }

    /// All keys at hand: what a reader opens objects with.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// The same without the keys of names and content: enough for collecting, scrubbing ciphertext and replicating.
    #[must_use]
    pub fn structure_only(&self) -> DomainAccess {
        let mut ring = KeyRing::default();
        let keys = self.sets.iter().filter_map(|set| self.ring.find(KeyClass::Structure, set.id));
        keys.for_each(|key| ring.add(key.clone()));
        DomainAccess { ring, ..self.clone() }
    }

    /// The sets at hand, the writer's choice first.
    pub fn sets(&self) -> &[KeySet] {
        &self.sets
    }

    /// Key objects that gave no keys, to be reported.
    pub fn unreadable(&self) -> &[UnreadableKey] {
        &self.unreadable
    }

    /// The id of a volume by its name.
    pub fn volume_id(&self, name: &str) -> VolumeId {
        VolumeId(first_half(&derive(&self.naming, "holdfast v1 volume id", name.as_bytes())))
    }

    /// The keys to write with: highest epoch, in it the lowest id. Refused when a higher epoch exists that cannot be read: to go on with keys that were replaced would
    /// undo a rotation.
    pub fn writer_keys(&self) -> Result<WriterKeys, Error> {
        let newest = self.newest()?;
        Ok(WriterKeys {
            structure: self.key(KeyClass::Structure, newest)?,
            metadata: self.key(KeyClass::Metadata, newest)?,
            data: self.key(KeyClass::Data, newest)?,
        })
    }

    /// The key to announce with: the structure key of [`DomainAccess::writer_keys`], which upkeep has as well.
    pub fn announcing_key(&self) -> Result<ClassKey, Error> {
        self.key(KeyClass::Structure, self.newest()?)
    }

    fn key(&self, class: KeyClass, set: &KeySet) -> Result<ClassKey, Error> {
        Ok(self.ring.find(class, set.id).cloned().ok_or(KeyError::Bug("a set of domain keys lacks one class"))?)
    }

    fn newest(&self) -> Result<&KeySet, Error> {
        let best = self.sets.first();
        let newer = self.unreadable.iter().find(|key| best.is_none_or(|best| key.epoch > best.epoch));
        if let Some(key) = newer {
            return Err(Error::damaged(
                &key.object,
                format!("it should hold the newest keys of domain {:?}, but {}", self.name, key.why),
            ));
        }
        Ok(best.ok_or_else(|| KeyError::NoDomain { name: self.name.clone() })?)
    }
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// True if the store gave what it has, and that is no set of keys.
fn is_about_the_object(error: &Error) -> bool {
    matches!(
        error,
        Error::WrongKey { .. }
            | Error::KeyNotAtHand { .. }
            | Error::Newer { .. }
            | Error::Damaged { .. }
            | Error::Store(StoreError::TooLarge { .. })
    )
}

#[cfg(test)]
mod tests;
