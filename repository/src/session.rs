//! Session: announce, then look (design: the protocol; the names W0..W5 are its steps).
//!
//! In: a volume and the points that a writer or reader is about to rely on. Out: a session whose remaining pins keep their packs, and the verdict on its
//! commit. Never: deletes, locks, or lets a clock decide about safety. The order of requests here was model-checked: change none of it alone.

mod life;

use bytes::Bytes;
use model::{SessionId, VolumeId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::domain::Domain;
use crate::keys::KeyError;
use crate::layout::{self, ParsedName};
use crate::marks::{MarkSet, MarkVerifier};
use crate::point::{Point, Reference};
use crate::seal::{BlobKind, HEADER_BYTES_MAX, Header, KeyClass, ObjectKind, Sealer, SectionReader, SectionWriter};
use crate::store::StoreError;

use life::Life;

/// No point object is larger: three sections at their maxima.
pub(crate) const POINT_BYTES_MAX: u64 = 160 << 20;
/// Nearly every reference part is smaller, so that one request reads it.
const REFERENCE_BYTES_GUESS: u64 = 64 << 10;
/// No announcement is larger.
pub(crate) const OPEN_BYTES_MAX: u64 = 2 << 20;
/// An announcement whose acknowledgement is lost costs its session id; so many are tried.
const ANNOUNCEMENTS_MAX: u32 = 5;

/// A point by volume and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PointId {
    /// Whose state.
    pub volume: VolumeId,
    /// Who wrote it.
    pub session: SessionId,
}

/// The content of `.open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// What it is about; [`VolumeId::ALL`]: a collector's run, which relies on every name.
    pub volume: VolumeId,
    /// What it may refer to.
    pub pins: Vec<PointId>,
    /// Who, for people.
    pub writer: String,
    /// When, RFC 3339, for people.
    pub started: String,
}

/// An announced session.
pub struct Session {
    domain: Domain,
    id: SessionId,
    announcement: Announcement,
    pins: Vec<PointId>,
    /// Length of the announcement that it put.
    announced_bytes: u64,
    life: Life,
}

impl Session {
    /// W0: the points of a volume, as a list shows them, oldest session id first. Whether they are valid is for W2 to say.
    pub fn candidates(domain: &Domain, volume: VolumeId) -> Result<Vec<PointId>, Error> {
        let listed = domain.store().list(&layout::volume_points(domain.id(), volume))?;
        let point = |name: &str| match ParsedName::parse(name) {
            Ok(ParsedName::Point { domain: of, volume, session }) if of == domain.id() => {
                Some(PointId { volume, session })
            }
            _ => None,
        };
        Ok(listed.iter().filter_map(|listed| point(&listed.name)).collect())
    }

    /// W1 and W2: announces a session with pins, then drops those that somebody else has ended meanwhile.
    pub fn open(domain: &Domain, volume: VolumeId, pins: Vec<PointId>, writer: &str) -> Result<Session, Error> {
        let announcement = Announcement { volume, pins, writer: writer.to_owned(), started: domain.now().to_string() };
        let (id, announced_bytes) = announce(domain, &announcement)?;
        Ok(Session { announced_bytes, ..Session::look_at_pins(domain, id, announcement)? })
    }

    /// W2 again, for a session that this machine announced before it was killed (its journal says so). `None`: it has been ended meanwhile, or has committed.
    pub fn resume(domain: &Domain, id: SessionId, announcement: &Announcement) -> Result<Option<Session>, Error> {
        if domain.store().exists(&layout::point(domain.id(), announcement.volume, id))? {
            return Ok(None);
        }
        let session = Session::look_at_pins(domain, id, announcement.clone())?;
        match session.look() {
            Ok(()) => Ok(Some(session)),
            Err(Error::Aborted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn look_at_pins(domain: &Domain, id: SessionId, announcement: Announcement) -> Result<Session, Error> {
        let life = Life::begin(domain.now());
        let mut session =
            Session { domain: domain.clone(), id, announcement, pins: Vec::new(), announced_bytes: 0, life };
        for pin in session.announcement.pins.clone() {
            if session.may_rely_on(pin)? {
                session.pins.push(pin);
            }
        }
        Ok(session)
    }

    /// K1 for a session that is gone on with: it goes on only with the keys that it announced itself with, because whoever destroys keys looks at its announcement and knows no others
    /// of it.
    pub(crate) fn seals_as_announced(&self) -> Result<bool, Error> {
        let name = layout::session_open(self.domain.id(), self.id);
        let front = match self.domain.store().get_front(&name, HEADER_BYTES_MAX as u64) {
            Err(error) if error.is_not_found() => return Ok(false),
            front => front?,
        };
        let own = self.domain.announcing_key()?.id;
        Ok(Header::decode(&name, &front).is_ok_and(|(header, _)| header.slots.iter().any(|slot| slot.id == own)))
    }

    fn may_rely_on(&self, pin: PointId) -> Result<bool, Error> {
        let marks = marks_of(&self.domain, pin.volume)?;
        if marks.of(pin.volume, pin.session).invalidates() {
            return Ok(false);
        }
        Ok(self.domain.store().exists(&layout::session_open(self.domain.id(), pin.session))?)
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What it is about.
    pub fn volume(&self) -> VolumeId {
        self.announcement.volume
    }

    /// What it announced.
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// The points that keep their packs for it.
    pub fn pins(&self) -> &[PointId] {
        &self.pins
    }

    /// Shows that it is alive, if nothing else has for long enough; cheap, so call it wherever work goes on. `put` is anything that grows with every pack put.
    pub fn show_life(&self, put: u64) {
        self.life.show(&self.domain, self.id, put);
    }

    /// W4 and W5: puts the restore point, then looks whether the session counts. Returns how many bytes the session's own objects have.
    pub fn commit(self, point: &Point) -> Result<(PointId, u64), Error> {
        let sealed = self.seal(point)?;
        self.commit_sealed(sealed)
    }

    /// The object of its restore point. No two that differ may be put.
    pub fn seal(&self, point: &Point) -> Result<Bytes, Error> {
        let domain = &self.domain;
        let name = layout::point(domain.id(), self.volume(), self.id);
        let keys = domain.writer_keys()?;
        let binding = domain.binding(ObjectKind::Point, &name);
        Ok(point.seal(binding, &keys.structure, &keys.metadata, domain.random()?)?.into())
    }

    /// [`Session::commit`] of a point that [`Session::seal`] gave, in this process or in one that was killed.
    pub fn commit_sealed(self, sealed: Bytes) -> Result<(PointId, u64), Error> {
        let stored_bytes = self.announced_bytes + sealed.len() as u64;
        let name = layout::point(self.domain.id(), self.volume(), self.id);
        self.domain.store().put(&name, sealed)?;
        self.look()?;
        Ok((PointId { volume: self.volume(), session: self.id }, stored_bytes))
    }

    /// W5: own marks first, then the own `.open`.
    pub(crate) fn look(&self) -> Result<(), Error> {
        let marks = marks_of(&self.domain, self.volume())?;
        let aborted = |why: &str| Err(Error::Aborted { session: self.id, why: why.to_owned() });
        if marks.of(self.volume(), self.id).ends_session() {
            return aborted("a collector took it for dead");
        }
        if !self.domain.store().exists(&layout::session_open(self.domain.id(), self.id))? {
            return aborted("its announcement was removed");
        }
        Ok(())
    }
}

fn announce(domain: &Domain, announcement: &Announcement) -> Result<(SessionId, u64), Error> {
    let plaintext = serde_json::to_vec(announcement)
        .map_err(|error| Error::Bug(format!("an announcement is not JSON: {error}")))?;
    let structure = domain.announcing_key()?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let id = domain.new_session()?;
        let name = layout::session_open(domain.id(), id);
        let mut writer = SectionWriter::new(Sealer::new(
            domain.binding(ObjectKind::Session, &name),
            &[&structure],
            domain.random()?,
        )?);
        writer.add(BlobKind::Session, &plaintext)?;
        // Sent once: an announcement that lands late, after its session was cleaned away, would bring it back to life.
        let bytes = Bytes::from(writer.finish());
        let announced_bytes = bytes.len() as u64;
        match domain.store().put_once(&name, bytes) {
            // Whoever destroys replaced keys has seen their successors, then the announcements: who announces second sees the other.
            Ok(()) if !domain.are_keys_newest()? => {
                return Err(KeyError::KeysReplaced { name: domain.name().to_owned() }.into());
            }
            Ok(()) => return Ok((id, announced_bytes)),
            Err(error) if error.class() == model::ErrorClass::Retry && attempt < ANNOUNCEMENTS_MAX => {
                tracing::info!(%error, "an announcement was not acknowledged; taking a new session id");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a session's announcement.
pub fn read_announcement(domain: &Domain, id: SessionId) -> Result<Announcement, Error> {
    let name = layout::session_open(domain.id(), id);
    open_announcement(domain, &name, &domain.store().get_at_most(&name, OPEN_BYTES_MAX)?)
        .map_err(|error| domain.explained(error))
}

/// Opens the bytes of an announcement.
pub(crate) fn open_announcement(domain: &Domain, name: &str, bytes: &[u8]) -> Result<Announcement, Error> {
    let reader =
        SectionReader::new(domain.binding(ObjectKind::Session, name), bytes, domain.ring(), &[BlobKind::Session])?;
    serde_json::from_slice(&reader.open(0)?)
        .map_err(|error| Error::damaged(name, format!("its announcement cannot be read: {error}")))
}

/// The marks of a volume; those that are not signed by upkeep are reported and otherwise ignored.
pub fn marks_of(domain: &Domain, volume: VolumeId) -> Result<MarkSet, Error> {
    let listed = domain.store().list(&layout::volume_marks(domain.id(), volume))?;
    let names = listed.iter().map(|listed| listed.name.as_str());
    let set = MarkSet::from_listing(
        names,
        &MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() },
        domain.id(),
        Some(volume),
    );
    for invalid in set.invalid() {
        tracing::warn!(mark = %invalid.name.escape_default(), why = %invalid.why, "a mark does not count");
    }
    Ok(set)
}

/// Reads a point whole.
pub fn read_point(domain: &Domain, point: PointId) -> Result<Point, Error> {
    let name = layout::point(domain.id(), point.volume, point.session);
    let bytes = fetch_point(domain, &name)?;
    Point::open(domain.binding(ObjectKind::Point, &name), &bytes, domain.ring())
        .map_err(|error| domain.explained(error))
}

/// Reads a point's reference part, and not much more than that.
pub fn read_reference(domain: &Domain, point: PointId) -> Result<Reference, Error> {
    let name = layout::point(domain.id(), point.volume, point.session);
    let front = read_reference_front(domain, point)?;
    Point::open_reference(domain.binding(ObjectKind::Point, &name), &front, domain.ring())
        .map_err(|error| domain.explained(error))
}

/// The bytes of a point up to the end of its reference part, still sealed.
pub(crate) fn read_reference_front(domain: &Domain, point: PointId) -> Result<Bytes, Error> {
    let name = layout::point(domain.id(), point.volume, point.session);
    let front = |bytes: u64| domain.store().get_front(&name, bytes).map_err(|error| gone(&name, error));
    let bytes = front(REFERENCE_BYTES_GUESS)?;
    ensure_openable(domain, &name, &bytes).map_err(|error| domain.explained(error))?;
    let needed = SectionReader::first_needs(domain.binding(ObjectKind::Point, &name), &bytes, domain.ring())?;
    match needed {
        _ if needed > POINT_BYTES_MAX => Err(Error::damaged(&name, "its reference part is longer than any can be")),
        _ if needed > REFERENCE_BYTES_GUESS => front(needed),
        // What follows belongs to others; a copy of it would be dead weight.
        _ => Ok(bytes.slice(..bytes.len().min(needed as usize))),
    }
}

/// The front of a point is opened elsewhere, where nobody could tell a key that came since from one that is lost.
fn ensure_openable(domain: &Domain, name: &str, front: &[u8]) -> Result<(), Error> {
    let mut slots = Header::decode(name, front)?.0.slots.into_iter().filter(|slot| slot.class == KeyClass::Structure);
    match slots.find(|slot| domain.ring().find(slot.class, slot.id).is_none()) {
        Some(slot) => Err(Error::KeyNotAtHand { object: name.to_owned(), class: slot.class.name(), key: slot.id }),
        None => Ok(()),
    }
}

fn fetch_point(domain: &Domain, name: &str) -> Result<Bytes, Error> {
    domain.store().get_at_most(name, POINT_BYTES_MAX).map_err(|error| gone(name, error))
}

fn gone(name: &str, error: StoreError) -> Error {
    match error {
        StoreError::NotFound { .. } => {
            Error::Missing(format!("{name} does not exist: the restore point was removed meanwhile"))
        }
        other => other.into(),
    }
}
