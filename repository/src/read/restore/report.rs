//! What a restore did, and what it could not do.

use std::sync::atomic::AtomicU64;

use crate::point::{Outcome, Requests};

use super::lost::{ByteRange, LostRanges};

/// So many are listed by name; all are counted.
const LISTED_MAX: usize = 1000;

/// Something that was not restored, or not exactly.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failed {
    /// Its path below the target; bytes that are not text are escaped.
    pub path: String,
    /// Why.
    pub reason: String,
    /// What of its content is zeros because it could not be read: at most [`super::LOST_RANGES_MAX`] ranges, in order. None: it was left out, or only metadata is missing.
    pub ranges: Vec<ByteRange>,
    /// How many ranges there are; those that are not listed are counted as they came, neighbours apart.
    pub ranges_count: u64,
    /// Bytes in all of them.
    pub bytes_lost: u64,
}

impl Failed {
    /// Something that was left out, or lacks metadata.
    pub(super) fn new(path: String, reason: String) -> Failed {
        Failed { path, reason, ranges: Vec::new(), ranges_count: 0, bytes_lost: 0 }
    }

    /// A file with zeros in place of what could not be read.
    pub(super) fn with_zeros(path: String, lost: LostRanges) -> Failed {
        let (ranges, ranges_count, bytes_lost, why) = lost.into_parts();
        let reason = format!("{bytes_lost} bytes were left as zeros: {why}");
        Failed { path, reason, ranges, ranges_count, bytes_lost }
    }
}

/// How far a restore is; read it from another thread. One per restore: the report is made of it.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    /// Entries dealt with.
    pub entries: AtomicU64,
    /// Bytes of content written (with `dry_run`: that would be).
    pub bytes_restored: AtomicU64,
    /// Bytes of the target that are what they should be already.
    pub bytes_compared_equal: AtomicU64,
    /// Files whose content was what it should be already.
    pub files_skipped_equal: AtomicU64,
    /// Names removed because the restore point has not got them (with `dry_run`: that would be); a directory with everything below it counts once.
    pub entries_removed: AtomicU64,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreReport {
    /// Whether everything is as in the restore point.
    pub outcome: Outcome,
    /// Entries dealt with, the directory that was restored among them.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes_restored: u64,
    /// Bytes of packs fetched.
    pub bytes_fetched: u64,
    /// Bytes of the target that were what they should be already.
    pub bytes_compared_equal: u64,
    /// Files whose content was what it should be already.
    pub files_skipped_equal: u64,
    /// Names removed because the restore point has not got them; a directory with everything below it counts once.
    pub entries_removed: u64,
    /// Requests sent, retries included.
    pub requests: Requests,
    /// Duration in seconds.
    pub seconds: f64,
    /// What could not be restored: the first of it.
    pub failed: Vec<Failed>,
    /// How much there was.
    pub failed_count: u64,
}

/// What has failed so far.
#[derive(Debug, Default)]
pub(super) struct FailedList {
    pub(super) listed: Vec<Failed>,
    pub(super) count: u64,
}

impl FailedList {
    pub(super) fn add(&mut self, failed: Failed) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(failed);
        }
    }
}
