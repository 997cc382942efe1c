//! Budget: how many bytes several threads may hold at the same time.
//!
//! In: how many are about to be fetched. Out: a guard, when there is room. Never: lets go before the guard is dropped. Who holds a guard must not wait for another.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// So many bytes may be in memory at the same time.
pub(crate) struct Budget {
    pub(crate) total: u64,
    free: Mutex<u64>,
    changed: Condvar,
}

/// Some of them, until it is dropped.
pub(crate) struct Permit {
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
    pub(crate) fn new(total: u64) -> Arc<Budget> {
        Arc::new(Budget { total, free: Mutex::new(total), changed: Condvar::new() })
    }

    /// Waits until so many bytes are free; what is larger than the whole budget waits for all of it.
    pub(crate) fn take(self: &Arc<Budget>, bytes: u64) -> Arc<Permit> {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= bytes;
        Arc::new(Permit { budget: self.clone(), bytes })
    }
}
