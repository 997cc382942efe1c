//! Points: which restore points there are, and which one a text means.
//!
//! In: a domain, perhaps a volume, perhaps a text. Out: valid restore points, oldest first, and those that cannot be opened. Never: calls a point valid before
//! its marks and its announcement were looked at, in this order.

use model::{ErrorClass, SessionId};

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::parallel::{self, each};
use crate::point::{Description, Point};
use crate::session::{PointId, read_point};

use super::listing::{ListedPoint, point_of, valid_points};

/// An error names at most so many candidates.
const CANDIDATES_NAMED_MAX: usize = 8;

/// A restore point, as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct PointInfo {
    /// Which.
    pub id: PointId,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When the store received it, by the store's clock, in milliseconds since 1970-01-01 UTC.
    pub arrived_ms: i64,
    /// Made on the way of a run; never `latest`.
    pub checkpoint: bool,
    /// The point that it continued.
    pub parent: Option<SessionId>,
    /// What it says of itself.
    pub description: Description,
    /// A collector took its session for dead and was not sure; it may still be ended.
    pub aborted: bool,
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

/// True if a point cannot be opened for a reason of its own: the others are none the worse for it.
pub(crate) fn concerns_one_object(error: &Error) -> bool {
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
            arrived_ms: point.arrived_ms,
            checkpoint: reference.checkpoint,
            parent: reference.parent,
            description,
            aborted: point.aborted,
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
