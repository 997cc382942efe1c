//! Points: which restore points there are, and which one a text means.
//!
//! In: a domain, perhaps a volume, perhaps a text. Out: valid restore points, oldest first, and those that cannot be opened. Never: calls a point valid before
//! its marks and its announcement were looked at, in this order.

use std::collections::HashSet;

use model::{ErrorClass, SessionId, VolumeId};

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, ParsedName};
use crate::marks::{MarkSet, MarkVerifier};
use crate::parallel::{self, each};
use crate::point::{Description, Point};
use crate::session::{PointId, read_point};

/// An error names at most so many candidates.
const CANDIDATES_NAMED_MAX: usize = 8;

/// A restore point, as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct PointInfo {
    /// Which.
    pub id: PointId,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// Made on the way of a run; never `latest`.
    pub checkpoint: bool,
    /// The point that it continued.
    pub parent: Option<SessionId>,
    /// What it says of itself.
    pub description: Description,
    /// Retired: valid, but not shown. [`points`] leaves these out, [`points_with_hidden`] does not.
    pub hidden: bool,
}

/// The restore points of a volume or a domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointList {
    /// By time and then by session id, the oldest first.
    pub points: Vec<PointInfo>,
    /// Points that are there but cannot be opened: the object, and why.
    pub unreadable: Vec<(String, String)>,
}

/// A point that is valid by its names alone, not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListedPoint {
    pub(super) id: PointId,
    pub(super) hidden: bool,
}

/// The valid points of a volume (of all volumes: `None`) that are not hidden.
pub fn points(domain: &Domain, volume: Option<&str>) -> Result<PointList, Error> {
    let listed = valid_points(domain, volume.map(|name| domain.volume_id(name)))?;
    open_all(domain, listed.into_iter().filter(|point| !point.hidden).collect())
}

/// The valid points of a volume (of all volumes: `None`), those that were retired included.
pub fn points_with_hidden(domain: &Domain, volume: Option<&str>) -> Result<PointList, Error> {
    open_all(domain, valid_points(domain, volume.map(|name| domain.volume_id(name)))?)
}

/// The point that a text means: a full id, the beginning of exactly one, or `latest`.
pub fn resolve(domain: &Domain, volume: Option<&str>, text: &str) -> Result<PointId, Error> {
    if text == "latest" {
        return latest(domain, volume);
    }
    let prefix = text.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::Invalid(format!(
            "{text:?} is not a restore point: give an id, the beginning of one (hexadecimal digits), or \"latest\""
        )));
    }
    let listed = valid_points(domain, volume.map(|name| domain.volume_id(name)))?;
    let matching: Vec<PointId> =
        listed.iter().map(|point| point.id).filter(|id| id.session.to_string().starts_with(&prefix)).collect();
    match matching.as_slice() {
        [] => Err(Error::Missing(format!(
            "there is no restore point {text}{}; list them with `holdfast points`",
            of(volume)
        ))),
        [only] => Ok(*only),
        several => {
            let named: Vec<String> =
                several.iter().take(CANDIDATES_NAMED_MAX).map(|id| id.session.to_string()).collect();
            let more = if several.len() > CANDIDATES_NAMED_MAX { ", …" } else { "" };
            Err(Error::Invalid(format!(
                "{text} is the beginning of {} restore points: {}{more}; give more digits",
                several.len(),
                named.join(", ")
            )))
        }
    }
}

fn of(volume: Option<&str>) -> String {
    volume.map(|name| format!(" of volume {name:?}")).unwrap_or_default()
}

fn latest(domain: &Domain, volume: Option<&str>) -> Result<PointId, Error> {
    let PointList { points, unreadable } = points(domain, volume)?;
    let newest = points.iter().rev().find(|point| !point.checkpoint).map(|point| point.id);
    // Older data in place of the newest would be a surprise that nobody asked for.
    let session = |name: &str| point_of(domain, name).map(|id| id.session);
    let damaged = unreadable.iter().rfind(|(name, _)| newest.is_none_or(|newest| session(name) > Some(newest.session)));
    match (damaged, newest) {
        (Some((name, why)), newest) => {
            let next = newest.map_or("there is no other".to_owned(), |newest| {
                format!("name another one, the newest that can be opened is {}", newest.session)
            });
            Err(Error::damaged(name, format!("the latest restore point{} cannot be opened: {why}; {next}", of(volume))))
        }
        (None, Some(newest)) => Ok(newest),
        (None, None) => Err(Error::Missing(format!(
            "there is no complete restore point{}; make one with `holdfast backup`",
            of(volume)
        ))),
    }
}

/// The valid points by their names: listed, then their marks, then the announcements.
pub(super) fn valid_points(domain: &Domain, volume: Option<VolumeId>) -> Result<Vec<ListedPoint>, Error> {
    let (points_below, marks_below) = match volume {
        Some(volume) => (layout::volume_points(domain.id(), volume), layout::volume_marks(domain.id(), volume)),
        None => (layout::points(domain.id()), layout::marks(domain.id())),
    };
    let listed = domain.store().list(&points_below)?;
    let points: Vec<PointId> = listed.iter().filter_map(|listed| point_of(domain, &listed.name)).collect();
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let marks = domain.store().list(&marks_below)?;
    let verifier = MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() };
    let marks = MarkSet::from_listing(marks.iter().map(|listed| listed.name.as_str()), &verifier, domain.id(), volume);
    for invalid in marks.invalid() {
        tracing::warn!(mark = %invalid.name.escape_default(), why = %invalid.why, "a mark does not count");
    }
    let open = announced(domain)?;
    let is_valid = |id: &PointId| !marks.of(id.volume, id.session).invalidates() && open.contains(&id.session);
    let listed = |id: PointId| ListedPoint { id, hidden: marks.of(id.volume, id.session).hides() };
    Ok(points.into_iter().filter(is_valid).map(listed).collect())
}

fn point_of(domain: &Domain, name: &str) -> Option<PointId> {
    match ParsedName::parse(name) {
        Ok(ParsedName::Point { domain: of, volume, session }) if of == domain.id() => Some(PointId { volume, session }),
        _ => None,
    }
}

/// Sessions with an announcement.
fn announced(domain: &Domain) -> Result<HashSet<SessionId>, Error> {
    let listed = domain.store().list(&layout::sessions(domain.id()))?;
    let session = |name: &str| match ParsedName::parse(name) {
        Ok(ParsedName::SessionOpen { session, .. }) => Some(session),
        _ => None,
    };
    Ok(listed.iter().filter_map(|listed| session(&listed.name)).collect())
}

/// True if a point cannot be opened for a reason of its own: the others are none the worse for it.
pub(super) fn concerns_one_object(error: &Error) -> bool {
    match error {
        Error::Store(error) => error.class() == ErrorClass::Corrupt,
        Error::Damaged { .. } | Error::WrongKey { .. } | Error::KeyNotAtHand { .. } | Error::Newer { .. } => true,
        _ => false,
    }
}

fn open_all(domain: &Domain, listed: Vec<ListedPoint>) -> Result<PointList, Error> {
    let info = |point: &ListedPoint| {
        let Point { reference, description, .. } = read_point(domain, point.id)?;
        Ok(PointInfo {
            id: point.id,
            created_ms: reference.created_ms,
            checkpoint: reference.checkpoint,
            parent: reference.parent,
            description,
            hidden: point.hidden,
        })
    };
    let opened = each(domain.store().threads(parallel::REQUESTS), &listed, |point| Ok(info(point)))?;
    let mut list = PointList::default();
    for (point, info) in listed.iter().zip(opened) {
        match info {
            Ok(info) => list.points.push(info),
            // Removed since it was listed.
            Err(Error::Missing(_)) => {}
            Err(error) if concerns_one_object(&error) => {
                let name = layout::point(domain.id(), point.id.volume, point.id.session);
                list.unreadable.push((name, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    list.points.sort_by_key(|point| (point.created_ms, point.id.session));
    Ok(list)
}
