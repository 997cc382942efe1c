//! Bounds: how much of a restore may be under way.
//!
//! In: batches that begin and end. Out: a guard for each, and a wait for the last. Never: lets go before the guard is dropped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How many batches are under way.
#[derive(Default)]
pub(super) struct Underway {
    batches: Mutex<usize>,
    changed: Condvar,
}

impl Underway {
    /// One more, until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Underway>) -> Running {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Running(self.clone())
    }

    /// Waits until there is none.
    pub(super) fn wait(&self) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        while *batches > 0 {
            batches = self.changed.wait(batches).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One batch under way.
pub(super) struct Running(Arc<Underway>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.batches.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}
