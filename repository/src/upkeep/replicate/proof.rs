//! Proof: what was read at the source is what was written, so that damage does not spread.
//!
//! In: a name, and the keys at hand. Out: bytes that passed, or why they did not at two looks. Never: needs more than the structure key, or leaves a check out whose key
//! is at hand.

use bytes::Bytes;

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::pack::PackSummary;
use crate::point::{Point, Reference};
use crate::read::concerns_one_object;
use crate::seal::ObjectKind;
use crate::session::{OPEN_BYTES_MAX, POINT_BYTES_MAX, PointId, open_announcement};
use crate::tree::PackId;

use super::super::whole::read_whole;

/// What was to be read.
pub(super) enum Read<T> {
    /// It is good.
    Good(T),
    /// It is not there.
    Missing,
    /// It is not what was written.
    Damaged(String),
}

/// A `.point` and what it needs. With the metadata key at hand all of it is opened; otherwise the reference part, and it must read the same twice, so that at least
/// nothing is lost on the way.
pub(super) fn read_point(source: &Domain, point: PointId) -> Result<Read<(Bytes, Reference)>, Error> {
    let name = layout::point(source.id(), point.volume, point.session);
    twice(source, || {
        let bytes = source.store().get_at_most(&name, POINT_BYTES_MAX)?;
        let binding = source.binding(ObjectKind::Point, &name);
        let reference = match Point::open(binding, &bytes, source.ring()) {
            Ok(point) => point.reference,
            Err(Error::KeyNotAtHand { .. }) if source.store().get_at_most(&name, POINT_BYTES_MAX)? != bytes => {
                return Err(Error::damaged(&name, "it does not read the same twice"));
            }
            Err(Error::KeyNotAtHand { .. }) => Point::open_reference(binding, &bytes, source.ring())?,
            Err(error) => return Err(error),
        };
        Ok((bytes, reference))
    })
}

/// A `.open`.
pub(super) fn read_open(source: &Domain, point: PointId) -> Result<Read<Bytes>, Error> {
    let name = layout::session_open(source.id(), point.session);
    twice(source, || {
        let bytes = source.store().get_at_most(&name, OPEN_BYTES_MAX)?;
        match open_announcement(source, &name, &bytes)?.volume == point.volume {
            true => Ok(bytes),
            false => {
                Err(Error::damaged(&name, "it announces a session of another volume than its restore point is of"))
            }
        }
    })
}

/// A pack, whole.
pub(super) fn read_pack(source: &Domain, pack: PackId) -> Result<Read<Bytes>, Error> {
    let name = source.pack_name(pack);
    twice(source, || {
        // A pack that is missing is no damage: its point may have gone.
        let (verdict, whole) = read_whole(source.store(), source, pack, &PackSummary::default())?;
        match verdict.is_good() {
            true => Ok(whole),
            false if whole.is_empty() && !source.store().exists(&name)? => {
                Err(Error::Missing(format!("{name} is not there")))
            }
            false => Err(Error::damaged(&name, verdict.what())),
        }
    })
}

/// What is bad once and good when it is read again was not damaged, and what is sealed with keys that came since is neither.
fn twice<T>(source: &Domain, read: impl Fn() -> Result<T, Error>) -> Result<Read<T>, Error> {
    let read = || read().map_err(|error| source.explained(error));
    match read() {
        Err(error) if concerns_one_object(&error) => {}
        first => return settled(first),
    }
    settled(read())
}

fn settled<T>(read: Result<T, Error>) -> Result<Read<T>, Error> {
    match read {
        Ok(good) => Ok(Read::Good(good)),
        Err(Error::Missing(_)) => Ok(Read::Missing),
        Err(Error::Store(error)) if error.is_not_found() => Ok(Read::Missing),
        Err(Error::Damaged { what, .. }) => Ok(Read::Damaged(what)),
        Err(error) if concerns_one_object(&error) => Ok(Read::Damaged(error.to_string())),
        Err(error) => Err(error),
    }
}
