//! Begin: which session a run writes under, and which restore point it continues.
//!
//! In: a volume, and what a killed run left on this machine. Out: an announced session with its parent open; for a dry run the parent alone. Never: relies on a
//! point that is not pinned, or fails because a point is damaged: the next older one does, or none.

use model::VolumeId;

use crate::Error;
use crate::domain::Domain;
use crate::session::{PointId, Session};

use super::journal::{Journal, Resumable};
use super::packer::Destination;
use super::parent::Parent;
use super::{BackupOptions, Shares};

/// So many of the newest restore points are tried before a run begins from nothing.
const CANDIDATES_MAX: usize = 3;

/// What a run builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContinueFrom {
    Newest,
    Nothing,
}

/// The volume's journal and what a killed run left in it. Without one a backup works all the same, so trouble with it is only reported.
fn open_journal(domain: &Domain, volume: VolumeId, options: &BackupOptions) -> (Option<Journal>, Option<Resumable>) {
    let Some(directory) = &options.journal_directory else { return (None, None) };
    match Journal::open(directory, volume, domain.hashing()) {
        Ok(Some((journal, left))) => (Some(journal), left),
        Ok(None) => {
            tracing::warn!(
                "another backup of this volume is running on this machine; this one goes on without a journal"
            );
            (None, None)
        }
        Err(error) => {
            tracing::warn!(%error, directory = %directory.display(), "no journal: a run that is killed will begin again at its last checkpoint");
            (None, None)
        }
    }
}

/// A run that was killed when it committed is not gone on with: its restore point may have been sent and may still land, so it is the one that is put again.
fn finish_commit(domain: &Domain, left: Option<Resumable>) -> Result<Option<Resumable>, Error> {
    let Some(Resumable { session, announcement, committing: Some(sealed), .. }) = left else { return Ok(left) };
    // Without its bytes it is left to land or to be declared dead.
    let resumed = if sealed.is_empty() { None } else { Session::resume(domain, session, &announcement)? };
    match resumed.map(|session| session.commit_sealed(sealed.into())).transpose() {
        Ok(committed) => {
            let committed = committed.is_some();
            tracing::info!(%session, committed, "the run that was interrupted had come to its end");
            Ok(None)
        }
        Err(Error::Aborted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a run begins.
pub(super) struct Begun {
    /// `None`: nothing is announced, so nothing will be committed.
    pub(super) session: Option<Session>,
    pub(super) resumed: Option<Resumable>,
    pub(super) parent: Option<Parent>,
    pub(super) destination: Destination,
}

/// Announces the run, with what a killed one left if that still counts.
pub(super) fn begin(domain: &Domain, options: &BackupOptions, from: ContinueFrom) -> Result<Begun, Error> {
    let window_bytes = Shares::of(options.memory_budget_bytes)?.window_bytes;
    let volume = domain.volume_id(&options.volume);
    let (journal, left) = open_journal(domain, volume, options);
    let left = finish_commit(domain, left)?;
    let Continued { session, resumed, parent } =
        continue_from(domain, (volume, &options.writer()), left, from, window_bytes)?;
    if let Some(journal) = &journal {
        let begun = journal.begin(session.id(), session.announcement(), resumed.as_ref());
        begun.map_err(|source| Error::Invalid(format!("the journal cannot be written: {source}")))?;
    }
    Ok(Begun { session: Some(session), resumed, parent, destination: Destination::Store(journal) })
}

/// The newest restore point that can be read, not pinned: for looking only.
pub(super) fn parent_to_look_at(domain: &Domain, options: &BackupOptions) -> Result<Option<Parent>, Error> {
    let window_bytes = Shares::of(options.memory_budget_bytes)?.window_bytes;
    let mut candidates = Session::candidates(domain, domain.volume_id(&options.volume))?;
    candidates.sort_by_key(|point| std::cmp::Reverse(point.session));
    for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
        if let Some(parent) = open_parent(domain, candidate, window_bytes)? {
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

/// The session of a run, and what it builds on.
struct Continued {
    session: Session,
    resumed: Option<Resumable>,
    parent: Option<Parent>,
}

/// The session of a killed run if it still counts, else a new one that pins the newest restore point that it may continue. A candidate that was ended meanwhile, or
/// whose point cannot be read, costs one announcement.
fn continue_from(
    domain: &Domain,
    run: (VolumeId, &str),
    left: Option<Resumable>,
    from: ContinueFrom,
    window_bytes: u64,
) -> Result<Continued, Error> {
    let (volume, writer) = run;
    if from == ContinueFrom::Nothing {
        let session = Session::open(domain, volume, Vec::new(), writer)?;
        return Ok(Continued { session, resumed: None, parent: None });
    }
    if let Some(left) = left.filter(|left| left.announcement.volume == volume)
        && let Some(session) = Session::resume(domain, left.session, &left.announcement)?
    {
        tracing::info!(session = %left.session, packs = left.next_seq, "going on with the run that was interrupted");
        let parent = open_pinned(domain, &session, window_bytes)?;
        return Ok(Continued { session, resumed: Some(left), parent });
    }
    let mut candidates = Session::candidates(domain, volume)?;
    candidates.sort_by_key(|point| std::cmp::Reverse(point.session));
    for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
        let session = Session::open(domain, volume, vec![candidate], writer)?;
        if let Some(parent) = open_pinned(domain, &session, window_bytes)? {
            return Ok(Continued { session, resumed: None, parent: Some(parent) });
        }
    }
    Ok(Continued { session: Session::open(domain, volume, Vec::new(), writer)?, resumed: None, parent: None })
}

/// The pinned point, if it is still valid and can be read.
fn open_pinned(domain: &Domain, session: &Session, window_bytes: u64) -> Result<Option<Parent>, Error> {
    session.pins().first().map_or(Ok(None), |pin| open_parent(domain, *pin, window_bytes))
}

/// A point, if it can be read.
fn open_parent(domain: &Domain, point: PointId, window_bytes: u64) -> Result<Option<Parent>, Error> {
    match Parent::open(domain, point, window_bytes) {
        Ok(parent) => Ok(Some(parent)),
        Err(error) if matches!(error.class(), model::ErrorClass::Corrupt | model::ErrorClass::Missing) => {
            tracing::warn!(%error, "a restore point cannot be continued");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
