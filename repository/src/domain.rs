//! Domain: one domain of one repository, open - what writer and reader share.
//!
//! In: a store, the keys of the domain, a source of randomness and a clock. Out: object names, bindings and keys in one place. Never: holds the repository key.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use model::{DomainId, RepositoryId, SessionId, VolumeId};

use crate::Error;
use crate::hash::HashingKey;
use crate::keys::{
    DomainAccess, KeyError, Random, UnreadableKey, UpkeepPublic, WriterKeys, are_newest, is_newer, random_array,
    was_destroyed,
};
use crate::layout;
use crate::seal::{Binding, ClassKey, KeyRing, ObjectKind};
use crate::store::Store;
use crate::tree::PackId;

/// Tells the time; an input, so that tests and simulations have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One domain, open. Cheap to clone.
#[derive(Clone)]
pub struct Domain {
    store: Store,
    access: Arc<DomainAccess>,
    upkeep: UpkeepPublic,
    random: Arc<Mutex<dyn Random + Send>>,
    clock: Clock,
}

impl Domain {
    /// Puts the parts together.
    pub fn new(
        store: Store,
        access: DomainAccess,
        upkeep: UpkeepPublic,
        random: Arc<Mutex<dyn Random + Send>>,
        clock: Clock,
    ) -> Domain {
        Domain { store, access: Arc::new(access), upkeep, random, clock }
    }

    /// The same domain in another store, which has a copy of it.
    #[must_use]
    pub fn on(&self, store: Store) -> Domain {
        Domain { store, ..self.clone() }
    }

    /// Key objects that gave no keys.
    pub fn unreadable_keys(&self) -> &[UnreadableKey] {
        self.access.unreadable()
    }

    /// Where its objects are.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its repository.
    pub fn repository(&self) -> RepositoryId {
        self.access.repository()
    }

    /// Its id.
    pub fn id(&self) -> DomainId {
        self.access.id()
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        self.access.name()
    }

    /// The key under which its content is named.
    pub fn hashing(&self) -> &HashingKey {
        self.access.hashing()
    }

    /// The keys at hand for opening.
    pub fn ring(&self) -> &KeyRing {
        self.access.ring()
    }

    /// The keys for sealing.
    pub fn writer_keys(&self) -> Result<WriterKeys, Error> {
        self.access.writer_keys()
    }

    /// The key to announce a session with; upkeep has it as well.
    pub fn announcing_key(&self) -> Result<ClassKey, Error> {
        self.access.announcing_key()
    }

    /// False if what is sealed with these keys now might be sealed with keys that are about to be destroyed: a higher epoch replaced them, or they are gone.
    pub fn are_keys_newest(&self) -> Result<bool, Error> {
        are_newest(&self.store, &self.access)
    }

    /// What an error means: a key that is not at hand and stands in the store came after this domain was opened. Then nothing is lost or damaged, and whoever opens it again can go on.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let Error::KeyNotAtHand { key, .. } = &error else { return error };
        match is_newer(&self.store, &self.access, *key) {
            Ok(true) => KeyError::NewerKeys { name: self.name().to_owned() }.into(),
            Ok(false) => error,
            Err(unknown) => unknown,
        }
    }

    /// True if an error means that the key was destroyed: whoever destroys keys has made sure that no running session and no valid point needs them (K4), so what is sealed with one came too late.
    pub(crate) fn is_too_late_for_its_key(&self, error: &Error) -> Result<bool, Error> {
        match error {
            Error::KeyNotAtHand { key, .. } => was_destroyed(&self.store, &self.access, *key),
            _ => Ok(false),
        }
    }

    /// Whose signature makes a mark valid.
    pub fn upkeep(&self) -> &UpkeepPublic {
        &self.upkeep
    }

    /// The id of a volume by its name.
    pub fn volume_id(&self, name: &str) -> VolumeId {
        self.access.volume_id(name)
    }

    /// What an object's blobs are bound to.
    pub fn binding<'a>(&self, kind: ObjectKind, name: &'a str) -> Binding<'a> {
        Binding { repository: self.access.repository(), kind, name }
    }

    /// The name of a pack.
    pub fn pack_name(&self, pack: PackId) -> String {
        layout::pack(self.id(), pack.session, pack.seq)
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(random_array(&mut *random)?)
    }

    /// A fresh session id: a UUIDv7.
    pub fn new_session(&self) -> Result<SessionId, Error> {
        let milliseconds = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.random()?).into_uuid();
        Ok(SessionId(id.into_bytes()))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
