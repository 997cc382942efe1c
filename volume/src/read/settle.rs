//! Settled: may an equal stamp next time be taken for equal content?
//!
//! In: how old the last change is, and whether somebody may be writing. Out: yes or no. Never: yes on doubt; a "no" costs one more reading, a wrong "yes" costs data.
//!
//! The stamp of a write is set when it begins, and its bytes land later - seconds later for a large one. So a stamp may be relied on if
//! - the filesystem keeps its stamps (ext4, xfs, btrfs; never tmpfs, FUSE, NFS, 9p, overlays: see `walk`), and
//! - what was dirty was written out before reading, or nobody had the file open for writing, and
//! - its ctime is at least [`QUIET_SECONDS`] older than the start of the walk and nobody had the file open for writing when we opened it,
//!   or its ctime is at least [`LONG_SECONDS`] older: one write(2) moves at most 2 GiB and does not take that long.
//!
//! Who has it open is asked only in between, and when there are dirty pages to judge: files at rest are never touched. Without the probe everything younger
//! than ten minutes is read again by the next backup.

use std::os::fd::AsFd;

use repository::source::Time;

use crate::sys::lease;

/// No stamp younger than this is relied on: it covers clocks that tick in milliseconds, and writes that began before the walk.
pub const QUIET_SECONDS: i64 = 2;
/// Older than this, a write that began with the stamp is over.
pub const LONG_SECONDS: i64 = 600;

/// How to find out whether a file is open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterProbe {
    /// By a read lease, taken and given back: needs the owner or `CAP_LEASE`. A process that opens the file for writing in just that moment waits for
    /// microseconds, or is told `EWOULDBLOCK` if it asked not to wait.
    Lease,
    /// Not at all.
    Off,
}

impl WriterProbe {
    pub(crate) fn ask(self, fd: impl AsFd) -> Writers {
        match self {
            WriterProbe::Off => Writers::Unknown,
            WriterProbe::Lease => match lease::no_writer(fd) {
                Ok(true) => Writers::None,
                Ok(false) => Writers::Some,
                Err(_) => Writers::Unknown,
            },
        }
    }
}

/// Who has the file open for writing, or mapped so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    None,
    Some,
    Unknown,
}

/// How long before the walk the file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Less than [`QUIET_SECONDS`], or in the future.
    Fresh,
    Recent,
    /// More than [`LONG_SECONDS`].
    Long,
}

impl Age {
    pub(crate) fn of(ctime: Time, started: Time) -> Age {
        let before = |seconds: i64| {
            let limit = Time { seconds: started.seconds.saturating_sub(seconds), nanoseconds: started.nanoseconds };
            ctime < limit
        };
        if before(LONG_SECONDS) {
            Age::Long
        } else if before(QUIET_SECONDS) {
            Age::Recent
        } else {
            Age::Fresh
        }
    }
}

/// Whether the answer to "who writes?" matters: for the verdict, or to spare a flush.
pub(crate) fn must_probe(age: Age, dirty: bool) -> bool {
    match age {
        Age::Fresh => dirty,
        Age::Recent => true,
        Age::Long => false,
    }
}

pub(crate) fn settled(age: Age, writers: Writers) -> bool {
    match age {
        Age::Fresh => false,
        Age::Recent => writers == Writers::None,
        Age::Long => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_settling() {
        let started = Time { seconds: 10_000, nanoseconds: 500 };
        let at = |seconds: i64, nanoseconds| Age::of(Time { seconds, nanoseconds }, started);
        let table = [
            (at(20_000, 0), Writers::None, false, "a stamp from the future"),
            (at(9_998, 500), Writers::None, false, "two seconds to the nanosecond are not older"),
            (at(9_998, 499), Writers::None, true, "older, and nobody writes"),
            (at(9_998, 499), Writers::Some, false, "older, but somebody writes"),
            (at(9_998, 499), Writers::Unknown, false, "older, but who knows"),
            (at(9_400, 500), Writers::Unknown, false, "ten minutes to the nanosecond"),
            (at(9_400, 499), Writers::Unknown, true, "a write does not take ten minutes"),
            (at(9_400, 499), Writers::Some, true, "nor if it is still open"),
            (at(i64::MIN, 0), Writers::Unknown, true, "the beginning of time"),
        ];
        for (age, writers, expected, why) in table {
            assert_eq!(settled(age, writers), expected, "{why}");
        }
    }
}
