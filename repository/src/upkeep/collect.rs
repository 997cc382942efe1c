//! Collect: one run of a collector over a domain, as docs/protocol.md has it; the steps keep their names, C0 to C8.
//!
//! In: a keeper, and how long things stay. Out: what went and why, or what would. Never: deletes what a valid restore point or a running session needs, opens metadata
//! or content, waits for another collector, or goes on when something it saw cannot be: a run that ends early has deleted nothing that it was not sure of.
//!
//! A replica loses only what its source has lost, and keeps its tombstones (T0 to T3, [`gone`]).
//!
//! The stages: [`run`] announces (C0), [`look`] reads (C1 to C4), [`judge`] says which sessions run (C5), [`plan`] decides purely, [`apply`] deletes and marks (C2, C6 to C8).

mod apply;
mod cache;
mod doubt;
mod gone;
mod judge;
mod look;
mod plan;
mod report;
mod run;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{DomainId, SessionId};

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::point::PackSet;
use crate::quarantine::Quarantine;
use crate::session::PointId;
use crate::store::Store;
use crate::tree::PackId;

use super::Keeper;

pub(super) use look::{SeenPacks, list_packs};
pub use plan::{Doom, DoomReason, Ended, GonePack};
pub use report::{CollectReport, Collection, Deleted};
use run::Run;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a collector run decides. Every margin is here.
#[derive(Clone, Debug)]
pub struct CollectOptions {
    /// A restore point that was retired stays for so long; it can be taken back until then.
    pub grace: Duration,
    /// A session without a sign of life for so long is ended. It decides about liveness only: whom it hits wrongly fails cleanly.
    pub session_grace: Duration,
    /// A checkpoint stays for so long, unless another restore point continues it.
    pub checkpoint_age: Duration,
    /// So much of the bytes in packs, in percent, may go of which no mark and no restore point that goes says that they may: a list that lies looks like that.
    pub share_percent_max: u8,
    /// Where reference parts are kept on this machine, so that only those of new points are asked for; `None`: nowhere.
    pub cache_directory: Option<PathBuf>,
    /// Sessions that are known to be alive, whatever the store says of them.
    pub alive: BTreeSet<SessionId>,
    /// Where a replica's points come from: a replica loses only what its source has lost. Get and list are asked of it.
    pub source: Option<Store>,
    /// Who collects, for people.
    pub writer: String,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Default for CollectOptions {
    fn default() -> CollectOptions {
        CollectOptions {
            grace: DAY,
            session_grace: DAY,
            checkpoint_age: 7 * DAY,
            share_percent_max: 50,
            cache_directory: None,
            alive: BTreeSet::new(),
            source: None,
            writer: "collector".to_owned(),
            cancel: Arc::default(),
        }
    }
}

impl CollectOptions {
    fn check_cancel(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Runs the collector once.
pub fn collect(keeper: &Keeper, options: &CollectOptions) -> Result<CollectReport, Error> {
    let domain = keeper.domain();
    let bounds = gone::ensure_collectable(domain, options.source.as_ref())?;
    let run = Run::announce(domain, options)?; // C0
    let done = collect_announced(keeper, &run, bounds);
    run.withdraw();
    done
}

fn collect_announced(keeper: &Keeper, run: &Run<'_>, bounds: gone::Bounds<'_>) -> Result<CollectReport, Error> {
    let now_ms = run.now_ms()?;
    let looked = look_first(run, bounds)?; // T0 and C1
    let dooms = plan::plan_dooms(&looked, now_ms, run.options);
    apply::doom(keeper, &dooms, run)?; // C2
    let observed = observe(run, looked, &dooms)?; // C3 to C5
    let collection = plan::plan_collection(observed, dooms, now_ms, run.options)?;
    run.ensure_counts()?; // C0
    let deleted = apply::delete(keeper, &collection, run)?; // C6 and C7
    let ended = apply::declare_dead(keeper, &collection, run)?; // C8
    Ok(CollectReport { deleted, ended, ..CollectReport::planned(collection) })
}

/// What [`collect`] would do now; nothing is written.
pub fn plan_collection(domain: &Domain, options: &CollectOptions) -> Result<CollectReport, Error> {
    let bounds = gone::ensure_collectable(domain, options.source.as_ref())?;
    let run = Run::plan(domain, options);
    let now_ms = run.now_ms()?;
    let looked = look_first(&run, bounds)?;
    let dooms = plan::plan_dooms(&looked, now_ms, options);
    let observed = observe(&run, looked, &dooms)?;
    Ok(CollectReport::planned(plan::plan_collection(observed, dooms, now_ms, options)?))
}

/// What a run knows before it dooms anything.
struct Looked {
    gone: gone::Gone,
    seen: look::SeenPoints,
    references: look::References,
}

fn look_first(run: &Run<'_>, bounds: gone::Bounds<'_>) -> Result<Looked, Error> {
    let gone = bounds.find_gone(run.domain)?; // T0
    run.go_on()?;
    let seen = look::list_points(run.domain)?; // C1
    let references = look::read_references(run, &gone, &seen)?;
    Ok(Looked { gone, seen, references })
}

/// What the rest of a run knows of the store.
struct Observed {
    domain: DomainId,
    gone: gone::Gone,
    seen: look::SeenPoints,
    roots: look::Roots,
    packs: SeenPacks,
    sessions: look::SeenSessions,
    judged: judge::Judged,
    /// What roots need that have no announcement.
    unannounced: PackSet,
    /// What came to a replica after the list of packs.
    came: PackSet,
    quarantine: Quarantine,
}

fn observe(run: &Run<'_>, looked: Looked, dooms: &[Doom]) -> Result<Observed, Error> {
    let (domain, Looked { gone, seen, references }) = (run.domain, looked);
    let doomed: BTreeSet<_> = dooms.iter().map(|doom| doom.point).collect();
    let roots = references.roots(&doomed);
    run.go_on()?;
    let packs = list_packs(domain)?; // C3
    let quarantine = Quarantine::list(domain)?;
    let sessions = look::list_sessions(domain)?; // C4: the last list that safety rests on
    let judged = judge::judge_sessions(run, &seen, &sessions)?; // C5
    let unannounced = look::unannounced_packs(domain, &roots, &sessions)?;
    let came = match gone.is_replicated_into() {
        true => look::packs_that_came(domain, &roots, &packs, &unannounced)?,
        false => PackSet::default(),
    };
    let domain = domain.id();
    let observed = Observed { domain, gone, seen, roots, packs, sessions, judged, unannounced, came, quarantine };
    match plan::lost_pack(&observed) {
        None => Ok(observed),
        Some(pack) => Err(loss(run.domain, &observed.roots, pack)?),
    }
}

/// Why roots need a pack that was not listed: another run removed it with a point of theirs since the points were listed, or it is lost.
fn loss(domain: &Domain, roots: &look::Roots, pack: PackId) -> Result<Error, Error> {
    let now = look::list_points(domain)?;
    let is_over = |root: &PointId| now.is_over(*root) || !now.points.contains_key(&root.session);
    if let Some(root) = roots.points.iter().find(|root| is_over(root)) {
        return Ok(doubt::torn(&format!("restore point {}", root.session)));
    }
    Ok(Error::damaged(
        &layout::pack(domain.id(), pack.session, pack.seq),
        "restore points need packs that the store does not list, this one among others; nothing was deleted: repair them from a replica, or forget what is affected".to_owned(),
    ))
}
