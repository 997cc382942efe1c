//! Keys: what is sealed with which key of the domain, and what must hold of that (F, G and H of the protocol).
//!
//! In: the key objects and headers of what is put. Out: a domain that opens everything that was ever put; the first breach. Never: asks what the engine thinks is in use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use model::{KeyId, SessionId};
use object_store::memory::InMemory;
use repository::domain::Domain;
use repository::generated::SeededRandom;
use repository::keys::OpenedRepository;
use repository::layout::{self, Mark, ParsedName};
use repository::point::Reference;
use repository::seal::Header;
use repository::session::PointId;
use repository::store::{Bytes, Store};
use repository::tree::PackId;
use tokio::runtime::Handle;

use super::super::process::DOMAIN;
use super::Truth;

/// Every key of the domain that was ever put anywhere.
pub(crate) struct KeyCopies {
    store: Store,
    repository: OpenedRepository,
}

impl KeyCopies {
    /// Those of a repository whose domain has its first ones: their names and bytes.
    pub(crate) fn new(repository: &OpenedRepository, runtime: &Handle) -> KeyCopies {
        KeyCopies { store: Store::new(Arc::new(InMemory::new()), runtime.clone()), repository: repository.clone() }
    }

    /// Keeps one more. Returns the domain with all of them.
    pub(crate) fn add(&self, name: &str, bytes: &Bytes) -> Result<Domain, String> {
        let put = || self.store.put(name, bytes.clone());
        apart(put).map_err(|error| format!("a copy of a key cannot be kept: {error}"))?;
        Ok(self.domain())
    }

    /// The domain with all of them; never asked for a thing but what they open.
    pub(crate) fn domain(&self) -> Domain {
        let access = apart(|| self.repository.domain(&self.store, DOMAIN)).expect("what was put opens");
        let upkeep = self.repository.manifest.upkeep_public;
        let random = Arc::new(Mutex::new(SeededRandom::new(0)));
        Domain::new(self.store.clone(), access, upkeep, random, Arc::new(|| Timestamp::MAX))
    }
}

/// On a thread of its own: whoever puts is inside a runtime, where nobody may wait for another.
fn apart<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(call).join()).expect("no panic")
}

/// The key of each object that is sealed with one of the domain.
#[derive(Default)]
pub(super) struct Sealed {
    packs: BTreeMap<PackId, KeyId>,
    points: BTreeMap<PointId, KeyId>,
    open: BTreeMap<SessionId, KeyId>,
}

impl Sealed {
    /// Names never recur, so what is deleted need not be forgotten.
    pub(super) fn note(&mut self, name: &str, sent: &Bytes) -> Result<(), String> {
        let key = || -> Result<KeyId, String> {
            let (header, _) = Header::decode(name, sent).map_err(|error| error.to_string())?;
            header.slots.first().map(|slot| slot.id).ok_or(format!("{name} was put and names no key"))
        };
        match ParsedName::parse(name) {
            Ok(ParsedName::Pack { session, sequence, .. }) => {
                self.packs.insert(PackId { session, seq: sequence }, key()?);
            }
            Ok(ParsedName::Point { volume, session, .. }) => {
                self.points.insert(PointId { volume, session }, key()?);
            }
            Ok(ParsedName::SessionOpen { session, .. }) => {
                self.open.insert(session, key()?);
            }
            _ => {}
        }
        Ok(())
    }

    /// The keys of a point, of its announcement and of its packs.
    fn of_point<'a>(&'a self, point: PointId, reference: &'a Reference) -> impl Iterator<Item = KeyId> + 'a {
        let own = [self.points.get(&point), self.open.get(&point.session)];
        let packs = reference.packs.iter().filter_map(|(pack, _)| self.packs.get(&pack));
        own.into_iter().flatten().chain(packs).copied()
    }
}

impl Truth {
    /// F, G and H.
    pub(super) fn check_keys(&mut self) -> Result<(), String> {
        let is_lost = |key: &KeyId| !self.keys.contains(key);
        if self.keys.is_empty() && !self.points.is_empty() {
            return Err("H: no keys are left".to_owned());
        }
        for point in &self.valid {
            if let Some(key) = self.sealed.of_point(*point, &self.points[point]).find(is_lost) {
                return Err(format!("F: {} is valid and key {key} of it is gone", point.session));
            }
        }
        for ((session, pin), reference) in &self.relied_on {
            if let Some(key) = self.sealed.of_point(*pin, reference).find(is_lost) {
                return Err(format!("G: session {session} runs and key {key} of its pin {} is gone", pin.session));
            }
        }
        for session in &self.writing {
            if let Some(key) = self.sealed.open.get(session).filter(|key| is_lost(key))
                && self.is_unfinished(*session)
            {
                return Err(format!("G: session {session} runs and its key {key} is gone"));
            }
        }
        Ok(())
    }

    /// True if nobody has put a key of the domain here.
    pub(crate) fn is_without_keys(&self) -> bool {
        self.keys.is_empty()
    }

    /// What came too late for its key: announcements of sessions that then saw that their keys had been replaced, and points of sessions that had been ended, so that nobody waited for
    /// them with destroying their key. Nobody can read either; a check calls them damaged until a collector has removed them.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let is_lost = |key: Option<&KeyId>| key.is_some_and(|key| !self.keys.contains(key));
        let of_nobody = |session: &&SessionId| !self.writing.contains(*session) || !self.is_unfinished(**session);
        let open = self.open.keys().filter(of_nobody).filter(|session| is_lost(self.sealed.open.get(*session)));
        let points = self.points.keys().filter(|point| is_lost(self.sealed.points.get(*point)));
        let open = open.map(|session| layout::session_open(self.domain.id(), *session));
        let points = points.map(|point| layout::point(self.domain.id(), point.volume, point.session));
        open.chain(points).collect()
    }

    /// True if a session has announced itself, and has neither a point nor an end.
    fn is_unfinished(&self, session: SessionId) -> bool {
        self.open.get(&session).is_some_and(|announcement| {
            let own = PointId { volume: announcement.volume, session };
            !self.ever_marked.contains(&(own, Mark::Dead)) && !self.points.contains_key(&own)
        })
    }
}
