//! Judge: which of the sessions that were seen are still running, and what they keep (C5).
//!
//! In: sessions that have neither a point nor an end among the marks that count. Out: the running ones with their pins, and points that were put meanwhile. Never:
//! guesses: an announcement that has gone since it was listed means that another collector is at work, and ends the run.

use std::collections::{BTreeMap, BTreeSet};

use model::{ErrorClass, SessionId, VolumeId};

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::parallel::{self, each};
use crate::point::PackSet;
use crate::session::{Announcement, PointId, read_announcement, read_reference};

use super::doubt::{is_too_late, torn, unreadable};
use super::look::{SeenPoints, SeenSessions};
use super::run::Run;

/// A session that may go on writing, or reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) point: PointId,
    pub(super) writer: String,
    pub(super) pins: Vec<PointId>,
}

/// What the sessions keep.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) running: BTreeMap<SessionId, Running>,
    /// Other collector runs: they rely on every name.
    pub(super) runs: BTreeMap<SessionId, Running>,
    /// Points that were put after the list of points.
    pub(super) late_points: BTreeSet<PointId>,
    /// What late points and the pins of running sessions need.
    pub(super) packs: PackSet,
    /// Announcements that cannot be opened: what they pin is unknown.
    pub(super) unreadable: BTreeMap<SessionId, String>,
}

impl Judged {
    /// Points that a running session may still read from.
    pub(super) fn pinned(&self) -> BTreeSet<PointId> {
        self.running.values().flat_map(|running| running.pins.iter().copied()).collect()
    }
}

/// C5, each session's requests in the order that the protocol asks for.
pub(super) fn judge_sessions(run: &Run<'_>, seen: &SeenPoints, sessions: &SeenSessions) -> Result<Judged, Error> {
    let domain = run.domain;
    let over = seen.over();
    let open = |session: &SessionId| sessions.get(session).is_some_and(|seen| seen.open);
    let unknown: Vec<SessionId> = sessions
        .keys()
        .filter(|session| open(session) && !seen.points.contains_key(session) && !over.contains(session))
        .filter(|session| !run.is_own(**session))
        .copied()
        .collect();
    let verdicts = each(domain.store().threads(parallel::REQUESTS), &unknown, |session| {
        run.go_on()?;
        Ok((*session, judge(domain, *session)?))
    })?;
    let mut judged = Judged::default();
    verdicts.into_iter().for_each(|(session, verdict)| judged.add(session, verdict));
    Ok(judged)
}

enum Verdict {
    Running(Running, PackSet),
    Committed(PointId, PackSet),
    Unreadable(String),
}

impl Judged {
    fn add(&mut self, session: SessionId, verdict: Verdict) {
        match verdict {
            Verdict::Running(running, packs) => {
                self.packs.add_all(&packs);
                let to = if running.point.volume == VolumeId::ALL { &mut self.runs } else { &mut self.running };
                to.insert(session, running);
            }
            Verdict::Committed(point, packs) => {
                self.packs.add_all(&packs);
                self.late_points.insert(point);
            }
            Verdict::Unreadable(why) => {
                self.unreadable.insert(session, why);
            }
        }
    }
}

fn judge(domain: &Domain, session: SessionId) -> Result<Verdict, Error> {
    let Announcement { volume, pins, writer, .. } = match read_announcement(domain, session) {
        Ok(announcement) => announcement,
        Err(error) if error.class() == ErrorClass::Missing => {
            return Err(torn(&format!("the announcement of session {session}")));
        }
        Err(error) if domain.is_too_late_for_its_key(&error)? => {
            return Ok(Verdict::Running(keyless(session), PackSet::default()));
        }
        Err(error) if matches!(error.class(), ErrorClass::Corrupt | ErrorClass::Denied | ErrorClass::Invalid) => {
            return Ok(Verdict::Unreadable(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    let mut packs = PackSet::default();
    for pin in &pins {
        if let Some(reference) = needs_of(domain, *pin)? {
            packs.add_all(&reference);
        }
    }
    // After the pins: a session that commits in between is a root, and then its own point says what it needs.
    let point = PointId { volume, session };
    if let Some(reference) = needs_of(domain, point)? {
        return Ok(Verdict::Committed(point, reference));
    }
    // After its point: a session whose announcement stands now was running when its pins were read.
    if !domain.store().exists(&layout::session_open(domain.id(), session))? {
        return Err(torn(&format!("the announcement of session {session}")));
    }
    Ok(Verdict::Running(Running { point, writer, pins }, packs))
}

/// A session whose keys were destroyed has looked and given up (K1), so it relies on nothing. What it was about is not known: it counts as a run until it was silent for long enough.
fn keyless(session: SessionId) -> Running {
    let point = PointId { volume: VolumeId::ALL, session };
    Running { point, writer: "somebody whose keys were destroyed".to_owned(), pins: Vec::new() }
}

/// What a point needs; nothing if it is not there.
fn needs_of(domain: &Domain, point: PointId) -> Result<Option<PackSet>, Error> {
    match read_reference(domain, point) {
        Ok(reference) => Ok(Some(reference.packs)),
        Err(Error::Missing(_)) => Ok(None),
        Err(error) if is_too_late(domain, point, &error)? => Ok(None),
        Err(error) => Err(unreadable(domain, point, error)),
    }
}
