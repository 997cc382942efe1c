//! Truth: what the store really holds, and what must hold of it at every moment.
//!
//! In: every put and delete as it takes effect, and what actors were told. Out: the first breach of a claim (A, B, C, E, F, G and H of the protocol, and that objects are
//! immutable).
//! Never: asks the engine: it reads names and two kinds of objects by itself, and knows no rule of the protocol, only its claims.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{KeyId, SessionId};
use repository::domain::Domain;
use repository::generated::Tree;
use repository::layout::{self, Mark, ParsedName};
use repository::marks::MarkVerifier;
use repository::point::{Point, Reference};
use repository::seal::{BlobKind, ObjectKind, SectionReader};
use repository::session::{Announcement, PointId};
use repository::store::Bytes;
use repository::tree::PackId;

pub(crate) use keys::KeyCopies;

/// A restore point that was reported as successful.
#[derive(Clone, Debug)]
pub(crate) struct Success {
    /// What it must restore to.
    pub(crate) tree: Arc<Tree>,
}

/// What the store holds, understood.
pub(crate) struct Truth {
    domain: Domain,
    copies: Arc<KeyCopies>,
    /// Keys of the domain that are here, and with which of them each object is sealed.
    keys: BTreeSet<KeyId>,
    sealed: keys::Sealed,
    packs: BTreeSet<PackId>,
    points: BTreeMap<PointId, Arc<Reference>>,
    open: BTreeMap<SessionId, Announcement>,
    /// Sessions that have put something after their announcement.
    writing: BTreeSet<SessionId>,
    /// Marks that upkeep signed, by name.
    marks: BTreeMap<PointId, BTreeMap<String, Mark>>,
    /// Every name that anybody ever wanted to put, with its bytes.
    ever: BTreeMap<String, Bytes>,
    /// Marks that were ever put.
    ever_marked: BTreeSet<(PointId, Mark)>,
    doomed_at: BTreeMap<PointId, u64>,
    /// Points that once stood there with their announcement and without an abort mark.
    committed: BTreeSet<PointId>,
    /// Points that were ever put as checkpoints: a late mark may name one that is gone.
    checkpoints: BTreeSet<PointId>,
    /// What is valid, and since which step what was is not.
    valid: BTreeSet<PointId>,
    ended: BTreeMap<PointId, u64>,
    /// The step that is being looked at.
    pub(crate) step: u64,
    /// Sessions that rely on a pin, and what that pin needs.
    relied_on: BTreeMap<(SessionId, PointId), Arc<Reference>>,
    /// What was reported as successful.
    successes: BTreeMap<PointId, Success>,
    /// What the sessions backed up that came to their point: one that nobody reported may be valid all the same.
    attempts: BTreeMap<SessionId, Success>,
}

impl Truth {
    /// Of an empty place.
    pub(crate) fn new(copies: Arc<KeyCopies>) -> Truth {
        Truth {
            domain: copies.domain(),
            copies,
            keys: BTreeSet::new(),
            sealed: keys::Sealed::default(),
            packs: BTreeSet::new(),
            points: BTreeMap::new(),
            open: BTreeMap::new(),
            writing: BTreeSet::new(),
            marks: BTreeMap::new(),
            ever: BTreeMap::new(),
            ever_marked: BTreeSet::new(),
            doomed_at: BTreeMap::new(),
            committed: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
            valid: BTreeSet::new(),
            ended: BTreeMap::new(),
            step: 0,
            relied_on: BTreeMap::new(),
            successes: BTreeMap::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Somebody is about to put an object, whatever becomes of it. `attempt`: what he backs up.
    pub(crate) fn send(&mut self, name: &str, bytes: &Bytes, attempt: Option<&Success>) -> Result<(), String> {
        let first = self.ever.entry(name.to_owned()).or_insert_with(|| bytes.clone());
        if first != bytes {
            return Err(format!("immutable: {name} is put with other bytes than the first time"));
        }
        match ParsedName::parse(name) {
            Ok(ParsedName::Point { session, .. }) => {
                if let Some(attempt) = attempt {
                    self.attempts.entry(session).or_insert_with(|| attempt.clone());
                }
                self.writing.insert(session);
            }
            Ok(ParsedName::Pack { session, .. }) => {
                self.writing.insert(session);
            }
            _ => {}
        }
        self.check_keys()
    }

    /// The bytes that were the first to be sent under a name.
    pub(crate) fn first_sent(&self, name: &str) -> Option<&Bytes> {
        self.ever.get(name)
    }

    /// An object was put; `sent` are its bytes before anything happened to them.
    pub(crate) fn put(&mut self, name: &str, sent: &Bytes) -> Result<(), String> {
        self.sealed.note(name, sent)?;
        match ParsedName::parse(name) {
            Ok(ParsedName::Pack { session, sequence, .. }) => {
                self.packs.insert(PackId { session, seq: sequence });
                return Ok(());
            }
            Ok(ParsedName::DomainKey { key, .. }) => {
                self.domain = self.copies.add(name, sent)?;
                self.keys.insert(key);
                return Ok(());
            }
            Ok(ParsedName::Point { volume, session, .. }) => {
                let binding = self.domain.binding(ObjectKind::Point, name);
                let reference = Point::open_reference(binding, sent, self.domain.ring());
                let reference = reference.map_err(|error| format!("a point that was put cannot be read: {error}"))?;
                let point = PointId { volume, session };
                if reference.checkpoint {
                    self.checkpoints.insert(point);
                }
                self.points.insert(point, Arc::new(reference));
            }
            Ok(ParsedName::SessionOpen { session, .. }) => {
                let announcement = self.announcement(name, sent)?;
                self.open.insert(session, announcement);
            }
            Ok(parsed @ ParsedName::Mark { volume, session, mark, .. }) if self.is_signed(&parsed) => {
                self.mark(PointId { volume, session }, mark, name)?;
            }
            _ => return Ok(()),
        }
        self.check()
    }

    /// An object was deleted.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), String> {
        match ParsedName::parse(name) {
            Ok(ParsedName::DomainKey { key, .. }) => {
                self.keys.remove(&key);
            }
            Ok(ParsedName::Pack { session, sequence, .. }) => {
                self.packs.remove(&PackId { session, seq: sequence });
            }
            Ok(ParsedName::Point { volume, session, .. }) => {
                self.points.remove(&PointId { volume, session });
            }
            Ok(ParsedName::SessionOpen { session, .. }) => {
                self.open.remove(&session);
            }
            Ok(ParsedName::Mark { volume, session, mark, .. }) => {
                let point = PointId { volume, session };
                if mark == Mark::Retired && self.is_valid(point) && self.has(point, mark) {
                    return Err(format!("retired: {session} is valid and its mark is deleted"));
                }
                if let Some(marks) = self.marks.get_mut(&point) {
                    marks.remove(name);
                }
            }
            _ => return Ok(()),
        }
        self.check()
    }

    fn announcement(&self, name: &str, sent: &Bytes) -> Result<Announcement, String> {
        let unreadable =
            |error: &dyn std::fmt::Display| format!("an announcement that was put cannot be read: {error}");
        let binding = self.domain.binding(ObjectKind::Session, name);
        let reader = SectionReader::new(binding, sent, self.domain.ring(), &[BlobKind::Session]);
        let plaintext = reader.and_then(|reader| reader.open(0)).map_err(|error| unreadable(&error))?;
        serde_json::from_slice(&plaintext).map_err(|error| unreadable(&error))
    }

    pub(crate) fn is_signed(&self, name: &ParsedName) -> bool {
        MarkVerifier { repository: self.domain.repository(), upkeep: *self.domain.upkeep() }.verifies(name)
    }

    fn mark(&mut self, point: PointId, mark: Mark, name: &str) -> Result<(), String> {
        self.ever_marked.insert((point, mark));
        if mark == Mark::Doomed {
            self.doomed_at.entry(point).or_insert(self.step);
        }
        self.marks.entry(point).or_default().insert(name.to_owned(), mark);
        // One that was forgotten and has been removed may be called dead as well, by a collector that looked before and marks after.
        let forgotten = self.ever_marked.contains(&(point, Mark::Doomed));
        if mark == Mark::Dead && self.committed.contains(&point) && !forgotten {
            return Err(format!("E: {} was committed without an abort mark and is declared dead", point.session));
        }
        let retired = self.ever_marked.contains(&(point, Mark::Retired));
        if mark == Mark::Doomed && self.successes.contains_key(&point) && !self.checkpoints.contains(&point) && !retired
        {
            return Err(format!("A: {} is doomed, and nobody has retired it", point.session));
        }
        Ok(())
    }

    fn has(&self, point: PointId, mark: Mark) -> bool {
        self.marks.get(&point).is_some_and(|marks| marks.values().any(|put| *put == mark))
    }

    /// True if readers take it for valid.
    pub(crate) fn is_valid(&self, point: PointId) -> bool {
        self.points.contains_key(&point)
            && self.open.contains_key(&point.session)
            && !self.has(point, Mark::Dead)
            && !self.has(point, Mark::Doomed)
    }

    /// True if readers took it for valid at this step or any later one.
    pub(crate) fn was_valid_since(&self, point: PointId, step: u64) -> bool {
        self.valid.contains(&point) || self.ended.get(&point).is_some_and(|ended| *ended >= step)
    }

    fn missing_pack(&self, reference: &Reference) -> Option<PackId> {
        reference.packs.iter().map(|(pack, _)| pack).find(|pack| !self.packs.contains(pack))
    }

    /// Everything that must hold at every moment.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let valid: BTreeSet<PointId> = self.points.keys().filter(|point| self.is_valid(**point)).copied().collect();
        for ended in self.valid.difference(&valid) {
            self.ended.insert(*ended, self.step);
        }
        self.valid = valid;
        for point in &self.valid {
            if let Some(pack) = self.missing_pack(&self.points[point]) {
                return Err(format!(
                    "B: {} is valid and its pack {} {} is missing",
                    point.session, pack.session, pack.seq
                ));
            }
        }
        for point in self.successes.keys() {
            if !self.ever_marked.contains(&(*point, Mark::Doomed)) && !self.is_valid(*point) {
                return Err(format!("A: {} was a success and is not valid any more", point.session));
            }
        }
        let committed: Vec<PointId> =
            self.valid.iter().filter(|point| !self.has(**point, Mark::Abort)).copied().collect();
        self.committed.extend(committed);
        self.check_keys()?;
        self.check_pins()
    }

    fn check_pins(&mut self) -> Result<(), String> {
        let Truth { relied_on, open, ever_marked, points, .. } = self;
        let ended = |session: SessionId| {
            let Some(announcement) = open.get(&session) else { return true };
            let own = PointId { volume: announcement.volume, session };
            ever_marked.contains(&(own, Mark::Dead)) || points.contains_key(&own)
        };
        relied_on.retain(|(session, _), _| !ended(*session));
        for ((session, pin), reference) in &self.relied_on {
            if !self.points.contains_key(pin) {
                return Err(format!("C: session {session} runs and its pin {} is gone", pin.session));
            }
            if let Some(pack) = self.missing_pack(reference) {
                return Err(format!(
                    "C: session {session} runs and pack {} {} of its pin {} is missing",
                    pack.session, pack.seq, pin.session
                ));
            }
        }
        Ok(())
    }

    /// A session has read one of its pins: from now on it relies on it.
    pub(crate) fn rely(&mut self, session: SessionId, pin: PointId) -> Result<(), String> {
        let announced = self.open.get(&session).is_some_and(|announcement| announcement.pins.contains(&pin));
        if announced && let Some(reference) = self.points.get(&pin) {
            self.relied_on.insert((session, pin), reference.clone());
        }
        self.check_pins()
    }

    /// A backup was reported as successful.
    pub(crate) fn succeed(&mut self, point: PointId, what: &Success) -> Result<(), String> {
        self.successes.insert(point, what.clone());
        self.check()
    }

    /// What a point must restore to.
    pub(crate) fn expected(&self, point: PointId) -> Option<Success> {
        self.successes.get(&point).or_else(|| self.attempts.get(&point.session)).cloned()
    }

    /// True for the announcement of a session that was declared dead and committed all the same, too late: by its names alone nobody can tell that from one that was lost.
    pub(crate) fn is_left_by_the_dead(&self, name: &str) -> bool {
        let Ok(ParsedName::SessionOpen { session: left, .. }) = ParsedName::parse(name) else { return false };
        self.ever_marked.iter().any(|(point, mark)| point.session == left && *mark == Mark::Dead)
    }

    /// True if a session has announced itself and nobody has declared it dead.
    pub(crate) fn is_running(&self, session: SessionId) -> bool {
        let dead = |announcement: &Announcement| {
            self.ever_marked.contains(&(PointId { volume: announcement.volume, session }, Mark::Dead))
        };
        self.open.get(&session).is_some_and(|announcement| !dead(announcement))
    }

    /// Valid points with what they need.
    pub(crate) fn valid(&self) -> impl Iterator<Item = (PointId, &Reference)> {
        self.points.iter().filter(|(point, _)| self.is_valid(**point)).map(|(point, reference)| (*point, &**reference))
    }

    /// All points that are there, with their packs.
    pub(crate) fn standing(&self) -> Vec<(PointId, Vec<PackId>)> {
        let packs = |reference: &Reference| reference.packs.iter().map(|(pack, _)| pack).collect();
        self.points.iter().map(|(point, reference)| (*point, packs(reference))).collect()
    }

    /// The step at which a point was doomed for the first time.
    pub(crate) fn doomed_at(&self, point: PointId) -> Option<u64> {
        self.doomed_at.get(&point).copied()
    }

    /// The names of all objects that valid points need, as far as a reader can know: what a point needs stands in the point, which may be among the `harmed`.
    pub(crate) fn needed_names(&self, harmed: &BTreeSet<String>) -> BTreeSet<String> {
        let domain = self.domain.id();
        let mut names = BTreeSet::new();
        for (point, reference) in self.valid() {
            let own = layout::point(domain, point.volume, point.session);
            let is_readable = !harmed.contains(&own);
            names.extend([own, layout::session_open(domain, point.session)]);
            if !is_readable {
                continue;
            }
            names.extend(reference.packs.iter().map(|(pack, _)| layout::pack(domain, pack.session, pack.seq)));
        }
        names
    }

    /// True if such a mark was ever put.
    pub(crate) fn was_marked(&self, point: PointId, mark: Mark) -> bool {
        self.ever_marked.contains(&(point, mark))
    }
}
