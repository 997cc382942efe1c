//! Listing: what the names in a domain say about its restore points, before any of them is opened.
//!
//! In: three lists, in this order: points, marks, sessions. Out: which points are valid, which are not announced, and the names that do not count. Never: opens an
//! object, or looks at an announcement before the marks (the other way round a collector could come between the two).

use std::collections::{BTreeSet, HashSet};

use model::{SessionId, VolumeId};

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, Mark, ParsedName};
use crate::marks::{InvalidMark, MarkSet, MarkVerifier};
use crate::session::PointId;
use crate::store::Listed;

/// A point that is valid by its names alone, not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedPoint {
    pub(crate) id: PointId,
    pub(crate) hidden: bool,
    /// It has a mark that says that its session shall end.
    pub(crate) aborted: bool,
    /// By the store's clock, in milliseconds since 1970-01-01 UTC.
    pub(crate) arrived_ms: i64,
}

/// What three lists say.
pub(crate) struct Listing {
    /// Neither dead nor doomed, and announced.
    pub(crate) valid: Vec<ListedPoint>,
    /// Neither dead nor doomed, and not announced. A collector takes the announcement first, so it may be at work.
    pub(crate) unannounced: Vec<PointId>,
    /// Announced sessions without a restore point that nobody has called dead: running, or waiting to be called dead. Means nothing for one volume alone.
    pub(crate) running: Vec<SessionId>,
    /// Marks that do not count.
    pub(crate) invalid_marks: Vec<InvalidMark>,
    /// Names in the folders of points and sessions that are no names of such.
    pub(crate) misspelled: Vec<String>,
}

impl Listing {
    /// Of a volume, or of all volumes of the domain.
    pub(crate) fn of(domain: &Domain, volume: Option<VolumeId>) -> Result<Listing, Error> {
        let (points_below, marks_below) = match volume {
            Some(volume) => (layout::volume_points(domain.id(), volume), layout::volume_marks(domain.id(), volume)),
            None => (layout::points(domain.id()), layout::marks(domain.id())),
        };
        let mut misspelled = Vec::new();
        let listed = domain.store().list(&points_below)?;
        let points =
            keep_known(&listed, &mut misspelled, |listed| Some((point_of(domain, &listed.name)?, listed.modified_ms)));
        let marks = domain.store().list(&marks_below)?;
        let names = marks.iter().map(|listed| listed.name.as_str());
        let verifier = MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() };
        let marks = MarkSet::from_listing(names, &verifier, domain.id(), volume);
        for invalid in marks.invalid() {
            tracing::warn!(mark = %invalid.name.escape_default(), why = %invalid.why, "a mark does not count");
        }
        let listed = domain.store().list(&layout::sessions(domain.id()))?;
        let sessions = keep_known(&listed, &mut misspelled, |listed| session_of(&listed.name));
        let open: HashSet<SessionId> = sessions.into_iter().flatten().collect();
        let dead: HashSet<SessionId> =
            marks.iter().filter(|(_, _, marks)| marks.invalidates()).map(|(_, session, _)| session).collect();
        let committed: BTreeSet<SessionId> = points.iter().map(|(point, _)| point.session).collect();
        let mut running: Vec<SessionId> =
            open.iter().filter(|session| !committed.contains(session) && !dead.contains(session)).copied().collect();
        running.sort_unstable();
        let of = |point: &PointId| marks.of(point.volume, point.session);
        let (valid, unannounced): (Vec<_>, Vec<_>) = points
            .into_iter()
            .filter(|(point, _)| !of(point).invalidates())
            .partition(|(point, _)| open.contains(&point.session));
        let listed_point = |(id, arrived_ms): (PointId, i64)| ListedPoint {
            id,
            hidden: of(&id).hides(),
            aborted: of(&id).has(Mark::Abort),
            arrived_ms,
        };
        let valid = valid.into_iter().map(listed_point).collect();
        let unannounced = unannounced.into_iter().map(|(id, _)| id).collect();
        let invalid_marks = marks.invalid().to_vec();
        Ok(Listing { valid, unannounced, running, invalid_marks, misspelled })
    }
}

/// What names mean; those that mean nothing are set apart.
fn keep_known<T>(names: &[Listed], misspelled: &mut Vec<String>, meaning: impl Fn(&Listed) -> Option<T>) -> Vec<T> {
    let mut known = Vec::new();
    for listed in names {
        match meaning(listed) {
            Some(meaning) => known.push(meaning),
            // A store can hold names of any length; what is repeated is bounded.
            None => misspelled.push(listed.name.chars().take(400).collect()),
        }
    }
    known
}

/// The valid points by their names.
pub(crate) fn valid_points(domain: &Domain, volume: Option<VolumeId>) -> Result<Vec<ListedPoint>, Error> {
    Ok(Listing::of(domain, volume)?.valid)
}

/// The point that a name stands for.
pub(crate) fn point_of(domain: &Domain, name: &str) -> Option<PointId> {
    match ParsedName::parse(name) {
        Ok(ParsedName::Point { domain: of, volume, session }) if of == domain.id() => Some(PointId { volume, session }),
        _ => None,
    }
}

/// `Some(None)`: something else that belongs there, such as a sign of life.
fn session_of(name: &str) -> Option<Option<SessionId>> {
    match ParsedName::parse(name) {
        Ok(ParsedName::SessionOpen { session, .. }) => Some(Some(session)),
        Ok(_) => Some(None),
        Err(_) => None,
    }
}
