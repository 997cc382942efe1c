//! Begin: which session a run writes under, and which restore point it continues.
//!
//! In: a volume, and what a killed run left on this machine. Out: an announced session with its parent open; for a dry run the parent alone. Never: relies on a
//! point that is not pinned, or fails because a point is damaged: the next older one does, or none.

use model::VolumeId;

use crate::Error;
use crate::domain::Domain;
use crate::session::{PointId, Session};

use super::BackupOptions;
use super::journal::{Journal, Resumable};
use super::packer::Destination;
use super::parent::Parent;
use super::shares::Shares;

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
    let run = Run { domain, volume, like: like(domain, options), writer: &options.writer(), window_bytes };
    let Continued { session, resumed, parent } = run.continue_from(left, from)?;
    if let Some(journal) = &journal {
        let begun = journal.begin(session.id(), session.announcement(), resumed.as_ref());
        begun.map_err(|source| Error::Invalid(format!("the journal cannot be written: {source}")))?;
    }
    Ok(Begun { session: Some(session), resumed, parent, destination: Destination::Store(journal) })
}

/// The volume whose newest point serves a first backup as basis.
fn like(domain: &Domain, options: &BackupOptions) -> Option<VolumeId> {
    options.like.as_ref().map(|name| domain.volume_id(name))
}

/// The newest restore point that can be read, not pinned: for looking only.
pub(super) fn parent_to_look_at(domain: &Domain, options: &BackupOptions) -> Result<Option<Parent>, Error> {
    let window_bytes = Shares::of(options.memory_budget_bytes)?.window_bytes;
    let volume = domain.volume_id(&options.volume);
    let run = Run { domain, volume, like: like(domain, options), writer: "", window_bytes };
    for candidate in run.candidates()? {
        if let Some(parent) = run.open_parent(candidate)? {
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

/// A run that begins.
struct Run<'a> {
    domain: &'a Domain,
    volume: VolumeId,
    /// The volume whose newest point serves as basis if this one has none.
    like: Option<VolumeId>,
    writer: &'a str,
    window_bytes: u64,
}

impl Run<'_> {
    /// The points to try, the best first: those of the volume, or if it has none those of the one that it is like.
    fn candidates(&self) -> Result<Vec<PointId>, Error> {
        let newest = |volume| -> Result<Vec<PointId>, Error> {
            let mut points = Session::candidates(self.domain, volume)?;
            points.sort_by_key(|point| std::cmp::Reverse(point.session));
            points.truncate(CANDIDATES_MAX);
            Ok(points)
        };
        let own = newest(self.volume)?;
        let Some(like) = self.like.filter(|like| *like != self.volume && own.is_empty()) else { return Ok(own) };
        match newest(like)? {
            points if points.is_empty() => Err(Error::Missing(format!(
                "there is no restore point of the volume that this one is said to be like (volume id {like}); see `holdfast points` for the names that there are"
            ))),
            points => Ok(points),
        }
    }

    /// The session of a killed run if it still counts, else a new one that pins the newest restore point that it may continue. A candidate that was ended meanwhile,
    /// or whose point cannot be read, costs one announcement.
    fn continue_from(&self, left: Option<Resumable>, from: ContinueFrom) -> Result<Continued, Error> {
        let open = |pins: Vec<PointId>| Session::open(self.domain, self.volume, pins, self.writer);
        if from == ContinueFrom::Nothing {
            return Ok(Continued { session: open(Vec::new())?, resumed: None, parent: None });
        }
        if let Some(left) = left.filter(|left| left.announcement.volume == self.volume)
            && let Some(session) = Session::resume(self.domain, left.session, &left.announcement)?
            && session.seals_as_announced()?
        {
            tracing::info!(session = %left.session, packs = left.next_seq, "going on with the run that was interrupted");
            let parent = self.open_pinned(&session)?;
            return Ok(Continued { session, resumed: Some(left), parent });
        }
        for candidate in self.candidates()? {
            let session = open(vec![candidate])?;
            if let Some(parent) = self.open_pinned(&session)? {
                return Ok(Continued { session, resumed: None, parent: Some(parent) });
            }
        }
        Ok(Continued { session: open(Vec::new())?, resumed: None, parent: None })
    }

    /// The pinned point, if it is still valid and can be read.
    fn open_pinned(&self, session: &Session) -> Result<Option<Parent>, Error> {
        session.pins().first().map_or(Ok(None), |pin| self.open_parent(*pin))
    }

    /// A point, if it can be read.
    fn open_parent(&self, point: PointId) -> Result<Option<Parent>, Error> {
        match Parent::open(self.domain, self.volume, point, self.window_bytes) {
            Ok(parent) => Ok(Some(parent)),
            Err(error) if matches!(error.class(), model::ErrorClass::Corrupt | model::ErrorClass::Missing) => {
                tracing::warn!(%error, "a restore point cannot be continued");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
