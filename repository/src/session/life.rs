//! Life: signs that a session is still at work, so that no collector ends it.
//!
//! In: the time, and how much was put. Out: now and then an empty object. Never: matters to safety: a session that is ended wrongly fails cleanly, and a sign that
//! cannot be put is tried again later.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::SessionId;

use crate::domain::Domain;
use crate::layout;

/// A quarter of the grace that collectors give unless told otherwise: three signs may get lost.
const INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// After a sign that could not be put.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// When a session last showed life, and what it had put by then.
pub(super) struct Life {
    state: Mutex<State>,
}

struct State {
    due: Timestamp,
    put: u64,
}

impl Life {
    /// An announcement was just put.
    pub(super) fn begin(now: Timestamp) -> Life {
        Life { state: Mutex::new(State { due: now + INTERVAL, put: 0 }) }
    }

    /// Puts a sign if it is due. A pack that was put since is one as well.
    pub(super) fn show(&self, domain: &Domain, session: SessionId, put: u64) {
        let now = domain.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if put != state.put {
            *state = State { due: now + INTERVAL, put };
        }
        if now < state.due {
            return;
        }
        // The number is the time, so that a session that is resumed after a kill does not use one again.
        let number = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let shown = domain.store().put(&layout::session_beat(domain.id(), session, number), Bytes::new());
        state.due = now + if shown.is_ok() { INTERVAL } else { RETRY };
        if let Err(error) = shown {
            tracing::warn!(%error, "a sign of life could not be put; a collector may take this session for dead");
        }
    }
}
