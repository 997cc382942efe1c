//! Bounds: how much of a restore may be under way.
//!
//! In: what is about to be fetched or begun. Out: a guard, when there is room. Never: lets go before the guard is dropped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How many bytes may be fetched and not yet scattered.
pub(super) struct Budget {
    pub(super) total: u64,
    free: Mutex<u64>,
    changed: Condvar,
}

pub(super) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.changed.notify_all();
    }
}

impl Budget {
    /// All of it is free.
    pub(super) fn new(total: u64) -> Arc<Budget> {
        Arc::new(Budget { total, free: Mutex::new(total), changed: Condvar::new() })
    }

    /// Waits until so many bytes are free; what is larger than the whole budget waits for all of it.
    pub(super) fn take(self: &Arc<Budget>, bytes: u64) -> Arc<Permit> {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Arc::new(Permit { budget: self.clone(), bytes })
    }
}

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
