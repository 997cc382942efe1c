//! Plan: what goes, and why: pure.
//!
//! In: what was seen. Out: points to doom, packs and names to delete, sessions to end; or the doubt that ends the run. Never: reads the store, or lets anything go that
//! is named by a root, a running session, or by nobody's word in too large a share.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{SessionId, VolumeId};
use serde::Serialize;

use crate::Error;
use crate::layout::{self, Mark};
use crate::marks::SessionMarks;
use crate::point::PackSet;
use crate::session::PointId;
use crate::tree::PackId;

use super::report::Collection;
use super::{CollectOptions, Looked, Observed};

/// A restore point that will be deleted; this cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doom {
    /// Which.
    pub point: PointId,
    /// Why.
    pub why: DoomReason,
}

/// Why a restore point goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DoomReason {
    /// It was retired longer ago than the grace period.
    Retired,
    /// A checkpoint that another restore point continues.
    CheckpointContinued,
    /// A checkpoint that nobody continued in time.
    CheckpointExpired,
    /// It came when its session was over and its key destroyed.
    TooLate,
}

/// A pack that nothing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GonePack {
    /// Which.
    pub pack: PackId,
    /// Its stored bytes.
    pub bytes: u64,
    /// True: a restore point that goes, or a session that was ended, is known to have left it. False: nobody that is there names it.
    pub accounted: bool,
}

/// A session that showed no sign of life for longer than the grace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Where its restore point would have been.
    pub point: PointId,
    /// Who it was.
    pub writer: String,
    /// How long it has been silent.
    pub silent_seconds: u64,
}

/// The names of one session that is over, in the order in which they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoneNames {
    pub(super) point: PointId,
    /// Signs of life and the announcement.
    pub(super) session: Vec<String>,
    pub(super) has_point: bool,
    pub(super) marks: Vec<String>,
}

impl GoneNames {
    fn is_empty(&self) -> bool {
        self.session.is_empty() && !self.has_point && self.marks.is_empty()
    }
}

/// C2: which points are over from this run on.
pub(super) fn plan_dooms(looked: &Looked, now_ms: i64, options: &CollectOptions) -> Vec<Doom> {
    let Looked { gone, seen, references } = looked;
    let continued: BTreeSet<_> = references
        .by_point
        .values()
        .filter_map(|reference| Some(PointId { volume: reference.volume, session: reference.parent? }))
        .collect();
    let due = |since_ms: i64, wait: Duration| is_over(since_ms, wait, now_ms);
    let mut dooms: Vec<Doom> =
        references.too_late.iter().map(|point| Doom { point: *point, why: DoomReason::TooLate }).collect();
    // T2: a replica keeps at least what its source keeps, and half a copy waits for its replicator.
    for (point, reference) in references.by_point.iter().filter(|(point, _)| gone.has_point(**point)) {
        let retired = seen.retired_ms.get(point).is_some_and(|since| due(*since, options.grace));
        let modified_ms = seen.points.get(&point.session).map_or(i64::MAX, |point| point.modified_ms);
        let why = match reference.checkpoint {
            _ if retired => DoomReason::Retired,
            true if continued.contains(point) => DoomReason::CheckpointContinued,
            true if due(modified_ms, options.checkpoint_age) => DoomReason::CheckpointExpired,
            _ => continue,
        };
        dooms.push(Doom { point: *point, why });
    }
    dooms
}

/// True if so much time has passed; what lies in the future has not begun.
fn is_over(since_ms: i64, wait: Duration, now_ms: i64) -> bool {
    now_ms.checked_sub(since_ms).is_some_and(|passed| passed >= 0 && passed as u128 >= wait.as_millis())
}

/// C6 to C8 as a plan.
pub(super) fn plan_collection(
    observed: Observed,
    dooms: Vec<Doom>,
    now_ms: i64,
    options: &CollectOptions,
) -> Result<Collection, Error> {
    let mut live = observed.roots.packs.clone();
    live.add_all(&observed.judged.packs);
    let names = gone_names(&observed, &dooms);
    let blocked = blocked(&observed);
    let packs = match blocked {
        Some(_) => Vec::new(),
        None => gone_packs(&observed, &live, &dooms),
    };
    let total_bytes = observed.packs.bytes();
    check_share(&packs, total_bytes, options)?;
    let gone_bytes: u64 = packs.iter().map(|pack| pack.bytes).sum();
    Ok(Collection {
        dooms,
        packs,
        names: if blocked.is_some() { Vec::new() } else { names },
        tombstones_stay: observed.gone.tombstones_stay,
        debris: if blocked.is_some() { Vec::new() } else { debris(&observed) },
        silent: silent(&observed, now_ms, options),
        lost_announcements: lost_announcements(&observed),
        blocked,
        roots: (observed.roots.points.len() + observed.judged.late_points.len()) as u64,
        running: observed.judged.running.len() as u64,
        other_runs: observed.judged.runs.len() as u64,
        kept_bytes: total_bytes - gone_bytes,
        ignored: observed.seen.ignored().to_vec(),
    })
}

/// A pack that the roots need and the lists do not show, if any: a list that is too short is not to be believed. A pack that verification has already reported is known to be lost, and
/// what points without announcement need may be gone: they are roots all the same, but no reader believes them.
pub(super) fn lost_pack(observed: &Observed) -> Option<PackId> {
    let lost = |pack: &PackId| {
        let explained = [&observed.unannounced, &observed.came].iter().any(|packs| packs.contains(*pack));
        !observed.packs.contains(*pack) && !observed.quarantine.contains(*pack) && !explained
    };
    observed.roots.packs.iter().map(|(pack, _)| pack).find(lost)
}

fn is_announced(observed: &Observed, session: SessionId) -> bool {
    observed.sessions.get(&session).is_some_and(|seen| seen.open)
}

/// What pins nobody can read could be anything.
fn blocked(observed: &Observed) -> Option<String> {
    let (session, why) = observed.judged.unreadable.first_key_value()?;
    let name = layout::session_open(observed.domain, *session);
    Some(format!(
        "{name} cannot be read, so what it pins is unknown ({why}): nothing was deleted; if no backup or restore is running, remove this object"
    ))
}

fn gone_packs(observed: &Observed, live: &PackSet, dooms: &[Doom]) -> Vec<GonePack> {
    let over = observed.seen.over();
    let accounted_sessions: BTreeSet<SessionId> =
        over.into_iter().chain(dooms.iter().map(|doom| doom.point.session)).collect();
    let mut gone = Vec::new();
    for (session, packs) in &observed.packs.sessions {
        if observed.judged.running.contains_key(session) || observed.judged.runs.contains_key(session) {
            continue;
        }
        for (seq, size) in &packs.sizes {
            let pack = PackId { session: *session, seq: *seq };
            // T1: a pack that is not gone may be wanted by a point that is copied now.
            if !live.contains(pack) && observed.gone.has_pack(pack) {
                let accounted = accounted_sessions.contains(session) || observed.roots.doomed_packs.contains(pack);
                gone.push(GonePack { pack, bytes: u64::from(*size), accounted });
            }
        }
    }
    gone
}

/// What nobody's word accounts for is inferred from an absence, which a list that lies can fake.
fn check_share(packs: &[GonePack], total_bytes: u64, options: &CollectOptions) -> Result<(), Error> {
    let unaccounted: u64 = packs.iter().filter(|pack| !pack.accounted).map(|pack| pack.bytes).sum();
    let allowed = u128::from(total_bytes) * u128::from(options.share_percent_max.min(100)) / 100;
    if u128::from(unaccounted) <= allowed {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{unaccounted} of {total_bytes} bytes belong to no restore point, session or mark that the store lists, more than {} %: nothing was deleted; if nothing is missing from `holdfast points --all`, run it again with --share-max 100",
        options.share_percent_max
    )))
}

/// C7: names that are over and that no running session pins. Other runs rely on all of them but their like (C0).
fn gone_names(observed: &Observed, dooms: &[Doom]) -> Vec<GoneNames> {
    let pinned = observed.judged.pinned();
    let doomed: BTreeSet<PointId> = dooms.iter().map(|doom| doom.point).collect();
    let marked = observed.seen.marks.iter().filter(|(_, _, marks)| marks.invalidates());
    let over: BTreeSet<PointId> =
        marked.map(|(volume, session, _)| PointId { volume, session }).chain(doomed.iter().copied()).collect();
    let names = over.into_iter().filter(|point| !pinned.contains(point)).map(|point| GoneNames {
        point,
        session: session_names(observed, point.session),
        has_point: observed.seen.points.get(&point.session).is_some_and(|seen| seen.id == point),
        marks: marks_of(observed, point),
    });
    let may_go = |point: PointId| observed.judged.runs.is_empty() || point.volume == VolumeId::ALL;
    let names = names.filter(|gone| may_go(gone.point));
    // Where tombstones stay, nearly all names that are over are nothing but a tombstone.
    names.filter(|gone| doomed.contains(&gone.point) || !gone.is_empty()).collect()
}

/// Signs of life first: they mean nothing without the announcement.
fn session_names(observed: &Observed, session: SessionId) -> Vec<String> {
    let Some(seen) = observed.sessions.get(&session) else { return Vec::new() };
    let beats = seen.beats.iter().map(|number| layout::session_beat(observed.domain, session, *number));
    let open = seen.open.then(|| layout::session_open(observed.domain, session));
    beats.chain(open).collect()
}

/// A session that nobody can read was ended without its volume; what it was marked with before stands under that.
fn marks_of(observed: &Observed, point: PointId) -> Vec<String> {
    let all = &observed.seen.marks;
    let marks: Vec<&SessionMarks> = match point.volume {
        VolumeId::ALL => {
            all.iter().filter(|(_, session, _)| *session == point.session).map(|(_, _, marks)| marks).collect()
        }
        volume => vec![all.of(volume, point.session)],
    };
    let marks = marks.into_iter().flat_map(SessionMarks::iter);
    // T3: a name may be put into a replica again, and then the mark alone says that it is over.
    let stays = |mark: Mark| observed.gone.tombstones_stay && mark == Mark::Doomed;
    marks.filter(|(mark, _, _)| !stays(*mark)).map(|(_, _, name)| name.to_owned()).collect()
}

/// Marks of names of which nothing is left, signs of life without an announcement or of a session that has committed, reports of damage to packs that are gone.
fn debris(observed: &Observed) -> Vec<String> {
    let pinned = observed.judged.pinned();
    let mut debris = Vec::new();
    for (volume, session, marks) in observed.seen.marks.iter() {
        let point = PointId { volume, session };
        let is_left = is_announced(observed, session)
            || observed.seen.points.contains_key(&session)
            || observed.judged.late_points.contains(&point)
            || pinned.contains(&point)
            || !observed.judged.runs.is_empty();
        if !is_left && !marks.invalidates() {
            debris.extend(marks_of(observed, point));
        }
    }
    let over = observed.seen.over();
    for (session, _) in observed.sessions.iter().filter(|(session, seen)| !seen.open && !over.contains(session)) {
        debris.extend(session_names(observed, *session));
    }
    for (session, seen) in observed.sessions.iter().filter(|(session, _)| observed.seen.points.contains_key(session)) {
        debris.extend(seen.beats.iter().map(|number| layout::session_beat(observed.domain, *session, *number)));
    }
    for pack in observed.quarantine.iter().filter(|pack| !observed.packs.contains(*pack)) {
        debris.extend(observed.quarantine.reports_of(pack).map(str::to_owned));
    }
    debris
}

/// C8: running sessions that nobody knows to be alive.
fn silent(observed: &Observed, now_ms: i64, options: &CollectOptions) -> Vec<Ended> {
    let mut silent = Vec::new();
    for (session, running) in observed.judged.running.iter().chain(&observed.judged.runs) {
        let put_ms = observed.packs.sessions.get(session).map_or(i64::MIN, |packs| packs.newest_ms);
        let seen_ms = observed.sessions.get(session).map_or(i64::MIN, |seen| seen.newest_ms);
        let newest_ms = put_ms.max(seen_ms);
        if !options.alive.contains(session) && is_over(newest_ms, options.session_grace, now_ms) {
            let silent_seconds = now_ms.saturating_sub(newest_ms).max(0) as u64 / 1000;
            silent.push(Ended { point: running.point, writer: running.writer.clone(), silent_seconds });
        }
    }
    silent
}

/// Roots that readers do not believe: their announcement was lost, or they landed after their session was over. Retired, they go like any other; until then a
/// replica can give the announcement back.
fn lost_announcements(observed: &Observed) -> Vec<PointId> {
    let lost = |point: &&PointId| {
        !is_announced(observed, point.session)
            && !observed.seen.retired_ms.contains_key(*point)
            && observed.gone.has_point(**point)
    };
    observed.roots.points.iter().filter(lost).copied().collect()
}
