//! Tracking: what of a volume has to be read, and what may be believed.
//!
//! In: what the parent restore point recorded, what can be seen of the volume now, and what the caller knows. Out: a [`plan::Plan`], and the record for the next run.
//! Never: takes the absence of a sign for the absence of a change where a change can come without one.
//!
//! The layers, from what decides to what only proves: every run stats every entry (`walk`); a stamp counts only if it was settled when the content was read
//! ([`crate::read`]); of a changed file only pages that differ are stored (the engine); [`events`] of the kernel only add work; [`plan`] says when stamps mean nothing and everything is read; [`scrub`] reads
//! again, in small shares, what nothing said had changed.

pub mod events;
pub mod identity;
pub mod plan;
pub mod scrub;
pub mod trust;

use std::os::fd::AsFd;

use nix::errno::Errno;
use repository::source::{ReadPlan, Record, Walked};

use crate::read::Reading;
use crate::sys::stat::RawStat;
use crate::walk::SourceOptions;
use plan::{Asked, Known, plan};
use scrub::Pace;
use trust::Trust;

/// What decides for one source.
#[derive(Debug)]
pub(crate) struct Tracking {
    known: Known,
    asked: Asked,
    pace: Pace,
}

impl Tracking {
    /// Looks at the filesystem of `root`, open for reading, whose stat is `raw`.
    pub(crate) fn of(root: impl AsFd, raw: &RawStat, options: &SourceOptions) -> Result<Tracking, Errno> {
        let filesystem = identity::filesystem(root, raw)?;
        let known = Known {
            wall_ms: options.started.seconds.saturating_mul(1000) + i64::from(options.started.nanoseconds / 1_000_000),
            uptime_ms: options.uptime_ms,
            session: identity::session(filesystem.as_ref(), raw),
            filesystem,
        };
        Ok(Tracking { known, asked: options.asked, pace: options.pace })
    }

    /// What this run has to read.
    pub(crate) fn plan(&self, record: &Record, reading: &Reading) -> ReadPlan {
        let planned = plan(Trust::of(record).as_ref(), &self.known, &self.asked, &self.pace);
        reading.settle_earlier(planned.settle_earlier_seconds);
        planned.read
    }

    /// What the next one has to know.
    pub(crate) fn record(&self, record: &Record, walked: &Walked<'_>) -> Record {
        Trust::after(Trust::of(record).as_ref(), &self.known, &self.asked, &self.pace, walked).to_record()
    }
}
