//! A clock that stands still until it is told to go on.
//!
//! In: durations. Out: the time, to a source's stamps and to a domain alike. Never: the real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::Clock;
use crate::source::Time;

/// 2026-01-01 00:00:00 UTC.
const START_NANOSECONDS: i64 = 1_767_225_600 * SECOND;
const SECOND: i64 = 1_000_000_000;
/// Stamps of files are as coarse as a kernel's with 250 ticks per second.
const GRANULARITY_NANOSECONDS: i64 = 4_000_000;

/// Time as an input. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct LogicalClock {
    nanoseconds: Arc<AtomicI64>,
}

impl Default for LogicalClock {
    fn default() -> Self {
        LogicalClock { nanoseconds: Arc::new(AtomicI64::new(START_NANOSECONDS)) }
    }
}

impl LogicalClock {
    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        let nanoseconds = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::SeqCst);
    }

    /// The time as a file system stamps it: as coarse as a kernel's tick.
    pub fn stamp(&self) -> Time {
        let now = self.nanoseconds.load(Ordering::SeqCst);
        let tick = now - now.rem_euclid(GRANULARITY_NANOSECONDS);
        Time { seconds: tick.div_euclid(SECOND), nanoseconds: tick.rem_euclid(SECOND) as u32 }
    }

    /// The time for a [`crate::domain::Domain`].
    pub fn for_domain(&self) -> Clock {
        let nanoseconds = self.nanoseconds.clone();
        Arc::new(move || {
            let now = i128::from(nanoseconds.load(Ordering::SeqCst));
            Timestamp::from_nanosecond(now).unwrap_or(Timestamp::MAX)
        })
    }
}
