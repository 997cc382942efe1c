//! Run: a collector's run is a session too, one that relies on every name of the domain (C0).
//!
//! In: a domain, and how the run decides. Out: an announcement that other runs heed, signs of life, the store's time, and whether the run still counts. Never: deletes
//! anything but its own announcement, or begins to look before that was acknowledged.

use model::{SessionId, VolumeId};

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::session::Session;

use super::CollectOptions;

/// One run, or one that only plans.
pub(super) struct Run<'a> {
    pub(super) domain: &'a Domain,
    pub(super) options: &'a CollectOptions,
    /// `None`: it only plans, so that it announces nothing.
    session: Option<Session>,
}

impl<'a> Run<'a> {
    /// C0: before anything is listed. Nobody removes a name that was not over by now.
    pub(super) fn announce(domain: &'a Domain, options: &'a CollectOptions) -> Result<Run<'a>, Error> {
        let session = Session::open(domain, VolumeId::ALL, Vec::new(), &options.writer)?;
        Ok(Run { domain, options, session: Some(session) })
    }

    /// Of a run that writes nothing.
    pub(super) fn plan(domain: &'a Domain, options: &'a CollectOptions) -> Run<'a> {
        Run { domain, options, session: None }
    }

    /// The time by the store, which is also the one that wrote the marks and packs whose age matters: a clock that jumps on this machine dooms nothing. A plan goes by
    /// the clock of this machine, because asking the store takes a write.
    pub(super) fn now_ms(&self) -> Result<i64, Error> {
        let Some(session) = &self.session else { return Ok(self.domain.now().as_millisecond()) };
        let put = self.domain.store().stat(&layout::session_open(self.domain.id(), session.id()))?;
        put.map(|put| put.modified_ms).ok_or_else(ended)
    }

    /// Between two requests: ends a run that was told to stop, and shows that the others are still wanted.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        self.options.check_cancel()?;
        if let Some(session) = &self.session {
            session.show_life(0);
        }
        Ok(())
    }

    /// True of the run's own session.
    pub(super) fn is_own(&self, session: SessionId) -> bool {
        self.session.as_ref().is_some_and(|own| own.id() == session)
    }

    /// C0: before anything is deleted. A run that was taken for dead has not kept the names that it saw.
    pub(super) fn ensure_counts(&self) -> Result<(), Error> {
        match self.session.as_ref().map_or(Ok(()), Session::look) {
            Err(Error::Aborted { .. }) => Err(ended()),
            other => other,
        }
    }

    /// C0: the end of it, whatever became of it. Signs of life are left to the next run: they mean nothing without the announcement.
    pub(super) fn withdraw(self) {
        let Some(session) = self.session else { return };
        if let Err(error) = self.domain.store().delete(&layout::session_open(self.domain.id(), session.id())) {
            tracing::warn!(%error, "the announcement of this run could not be removed: collectors leave the names of removed restore points until it was silent for the session grace");
        }
    }
}

fn ended() -> Error {
    Error::Busy(
        "another collector took this run for dead, because it showed no sign of life for the session grace; nothing was deleted: run it again".to_owned(),
    )
}
