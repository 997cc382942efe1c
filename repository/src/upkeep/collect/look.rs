//! Look: what a run sees of the store: points with marks (C1), their reference parts, packs (C3) and sessions (C4).
//!
//! In: a domain. Out: names, sizes and times, and what points need. Never: takes what fails for what is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use model::{SessionId, VolumeId};

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, Mark, ParsedName};
use crate::marks::{InvalidMark, MarkSet, MarkVerifier};
use crate::parallel::{self, each};
use crate::point::{PackSet, Reference};
use crate::session::{PointId, read_reference};
use crate::store::Listed;
use crate::tree::PackId;

use super::cache::ReferenceCache;
use super::doubt::{is_too_late, unreadable};
use super::gone::Gone;
use super::run::Run;

/// A restore point as a list shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenPoint {
    pub(super) id: PointId,
    pub(super) modified_ms: i64,
}

/// The points of a domain and their marks: only these marks, and those that this run makes before C4, count in it.
pub(super) struct SeenPoints {
    pub(super) points: BTreeMap<SessionId, SeenPoint>,
    pub(super) marks: MarkSet,
    /// When points were retired, by the store's clock; the last time counts.
    pub(super) retired_ms: BTreeMap<PointId, i64>,
}

/// C1. The first of all lists; points and marks may be read in either order.
pub(super) fn list_points(domain: &Domain) -> Result<SeenPoints, Error> {
    let listed = domain.store().list(&layout::points(domain.id()))?;
    let points = listed.iter().filter_map(|listed| {
        let id = point_of(domain, &listed.name)?;
        Some((id.session, SeenPoint { id, modified_ms: listed.modified_ms }))
    });
    let points = points.collect();
    let listed = domain.store().list(&layout::marks(domain.id()))?;
    let verifier = MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() };
    let marks = MarkSet::from_listing(listed.iter().map(|listed| listed.name.as_str()), &verifier, domain.id(), None);
    let retired_ms = retirements(&marks, &listed);
    Ok(SeenPoints { points, marks, retired_ms })
}

/// `listed` is in the order of names.
fn retirements(marks: &MarkSet, listed: &[Listed]) -> BTreeMap<PointId, i64> {
    let mut retired: BTreeMap<PointId, i64> = BTreeMap::new();
    for (volume, session, of) in marks.iter() {
        for (_, _, name) in of.iter().filter(|(mark, _, _)| *mark == Mark::Retired) {
            let found = listed.binary_search_by(|listed| listed.name.as_str().cmp(name)).ok();
            let modified_ms = found.and_then(|at| listed.get(at)).map_or(i64::MAX, |listed| listed.modified_ms);
            let entry = retired.entry(PointId { volume, session }).or_insert(modified_ms);
            *entry = (*entry).max(modified_ms);
        }
    }
    retired
}

pub(super) fn point_of(domain: &Domain, name: &str) -> Option<PointId> {
    match ParsedName::parse(name) {
        Ok(ParsedName::Point { domain: of, volume, session }) if of == domain.id() => Some(PointId { volume, session }),
        _ => None,
    }
}

impl SeenPoints {
    /// True if the point, or the session that would have made it, is over for good.
    pub(super) fn is_over(&self, point: PointId) -> bool {
        self.marks.of(point.volume, point.session).invalidates()
    }

    /// Sessions with a mark that says that they are over, whatever their volume.
    pub(super) fn over(&self) -> BTreeSet<SessionId> {
        self.marks.iter().filter(|(_, _, marks)| marks.invalidates()).map(|(_, session, _)| session).collect()
    }

    /// What was listed among the marks and is none.
    pub(super) fn ignored(&self) -> &[InvalidMark] {
        self.marks.invalid()
    }
}

/// What matters of a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct SeenReference {
    pub(super) checkpoint: bool,
    pub(super) volume: VolumeId,
    pub(super) parent: Option<SessionId>,
    /// Kept for those only that this run may still doom; what others need is united already.
    packs: Option<PackSet>,
}

/// The reference parts of all points that were not over.
#[derive(Default)]
pub(super) struct References {
    /// Points that landed when their session was over and their key destroyed: nobody can ever read them.
    pub(super) too_late: BTreeSet<PointId>,
    pub(super) by_point: BTreeMap<PointId, SeenReference>,
    united: Roots,
}

/// The points that keep their packs.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    pub(super) points: BTreeSet<PointId>,
    pub(super) packs: PackSet,
    /// What points needed that this run dooms.
    pub(super) doomed_packs: PackSet,
}

impl Roots {
    fn add(&mut self, point: PointId, packs: &PackSet) {
        self.points.insert(point);
        self.packs.add_all(packs);
    }
}

/// Reads the reference parts of all points that are neither dead nor doomed. One that has gone since is no root; one that cannot be read ends the run.
pub(super) fn read_references(run: &Run<'_>, gone: &Gone, seen: &SeenPoints) -> Result<References, Error> {
    let domain = run.domain;
    let points: Vec<SeenPoint> = seen.points.values().filter(|point| !seen.is_over(point.id)).copied().collect();
    let listed: BTreeSet<PointId> = points.iter().map(|point| point.id).collect();
    let cache = ReferenceCache::open(run.options.cache_directory.as_deref(), &listed);
    let references: Mutex<References> = Mutex::default();
    each(domain.store().threads(parallel::REQUESTS), &points, |point| {
        run.go_on()?;
        let reference = match cache.read(domain, point.id) {
            Ok(reference) => reference,
            Err(Error::Missing(_)) => return Ok(()),
            Err(error) if gone.has_point(point.id) && is_too_late(domain, point.id, &error)? => {
                references.lock().unwrap_or_else(PoisonError::into_inner).too_late.insert(point.id);
                return Ok(());
            }
            Err(error) => return Err(unreadable(domain, point.id, error)),
        };
        let may_be_doomed = reference.checkpoint || seen.retired_ms.contains_key(&point.id);
        references.lock().unwrap_or_else(PoisonError::into_inner).add(point.id, reference, may_be_doomed);
        Ok(())
    })?;
    Ok(references.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl References {
    fn add(&mut self, point: PointId, reference: Reference, may_be_doomed: bool) {
        let Reference { checkpoint, parent, packs, .. } = reference;
        let packs = match may_be_doomed {
            true => Some(packs),
            false => {
                self.united.add(point, &packs);
                None
            }
        };
        self.by_point.insert(point, SeenReference { checkpoint, volume: point.volume, parent, packs });
    }

    /// All of them but those that this run doomed.
    pub(super) fn roots(self, doomed: &BTreeSet<PointId>) -> Roots {
        let mut roots = self.united;
        for (point, reference) in &self.by_point {
            match &reference.packs {
                Some(packs) if doomed.contains(point) => roots.doomed_packs.add_all(packs),
                Some(packs) => roots.add(*point, packs),
                None => {}
            }
        }
        roots
    }
}

/// The packs of one session: numbers and sizes, and when the last one came.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionPacks {
    /// By number.
    pub(super) sizes: Vec<(u32, u32)>,
    pub(super) newest_ms: i64,
}

/// The packs of a domain.
#[derive(Clone, Debug, Default)]
pub(in crate::upkeep) struct SeenPacks {
    pub(super) sessions: BTreeMap<SessionId, SessionPacks>,
}

/// C3.
pub(in crate::upkeep) fn list_packs(domain: &Domain) -> Result<SeenPacks, Error> {
    let mut packs = SeenPacks::default();
    domain.store().list_each(&layout::packs(domain.id()), &mut |listed| {
        if let Ok(ParsedName::Pack { domain: of, session, sequence }) = ParsedName::parse(&listed.name)
            && of == domain.id()
        {
            let of_session = packs.sessions.entry(session).or_default();
            of_session.sizes.push((sequence, u32::try_from(listed.size).unwrap_or(u32::MAX)));
            of_session.newest_ms = of_session.newest_ms.max(listed.modified_ms);
        }
    })?;
    for session in packs.sessions.values_mut() {
        session.sizes.sort_unstable();
        session.sizes.dedup_by_key(|(sequence, _)| *sequence);
        session.sizes.shrink_to_fit();
    }
    Ok(packs)
}

impl SeenPacks {
    /// True if the pack is there.
    pub(in crate::upkeep) fn contains(&self, pack: PackId) -> bool {
        self.size(pack).is_some()
    }

    /// Its stored bytes, if it is there.
    pub(in crate::upkeep) fn size(&self, pack: PackId) -> Option<u32> {
        let of_session = self.sessions.get(&pack.session)?;
        let at = of_session.sizes.binary_search_by_key(&pack.seq, |(seq, _)| *seq).ok()?;
        of_session.sizes.get(at).map(|(_, size)| *size)
    }

    /// Without those that stand in another list as well.
    pub(super) fn remove_all(&mut self, other: &SeenPacks) {
        for (session, packs) in &mut self.sessions {
            packs.sizes.retain(|(seq, _)| !other.contains(PackId { session: *session, seq: *seq }));
        }
    }

    /// Stored bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.sessions.values().flat_map(|packs| &packs.sizes).map(|(_, size)| u64::from(*size)).sum()
    }
}

/// Of the packs that announced roots need and C3 did not show, those that are there now: their points became valid after that list, which happens in a replica only.
pub(super) fn packs_that_came(
    domain: &Domain,
    roots: &Roots,
    packs: &SeenPacks,
    unannounced: &PackSet,
) -> Result<PackSet, Error> {
    let mut came = PackSet::default();
    let is_unexplained = |pack: PackId| !packs.contains(pack) && !unannounced.contains(pack);
    for (pack, content) in roots.packs.iter().filter(|(pack, _)| is_unexplained(*pack)) {
        if domain.store().exists(&domain.pack_name(pack))? {
            came.add(pack, content);
        }
    }
    Ok(came)
}

/// What a list shows of one session.
#[derive(Clone, Debug)]
pub(super) struct SeenSession {
    /// Its announcement is there.
    pub(super) open: bool,
    pub(super) beats: Vec<u64>,
    pub(super) newest_ms: i64,
}

/// The sessions of a domain: running ones, those of points, and what is left of others.
pub(super) type SeenSessions = BTreeMap<SessionId, SeenSession>;

/// C4.
pub(super) fn list_sessions(domain: &Domain) -> Result<SeenSessions, Error> {
    let mut sessions = SeenSessions::new();
    for listed in domain.store().list(&layout::sessions(domain.id()))? {
        let (session, beat) = match ParsedName::parse(&listed.name) {
            Ok(ParsedName::SessionOpen { session, .. }) => (session, None),
            Ok(ParsedName::SessionBeat { session, number, .. }) => (session, Some(number)),
            _ => continue,
        };
        let seen =
            sessions.entry(session).or_insert(SeenSession { open: false, beats: Vec::new(), newest_ms: i64::MIN });
        seen.newest_ms = seen.newest_ms.max(listed.modified_ms);
        match beat {
            Some(number) => seen.beats.push(number),
            None => seen.open = true,
        }
    }
    Ok(sessions)
}

/// What roots need whose announcement is not there; rarely any.
pub(super) fn unannounced_packs(domain: &Domain, roots: &Roots, sessions: &SeenSessions) -> Result<PackSet, Error> {
    let mut packs = PackSet::default();
    let is_announced = |point: &PointId| sessions.get(&point.session).is_some_and(|seen| seen.open);
    for point in roots.points.iter().filter(|point| !is_announced(point)) {
        match read_reference(domain, *point) {
            Ok(reference) => packs.add_all(&reference.packs),
            Err(Error::Missing(_)) => {}
            Err(error) => return Err(unreadable(domain, *point, error)),
        }
    }
    Ok(packs)
}
