//! Restore: a restore point, or part of one, into a target.
//!
//! In: a view, options, a target. Out: entries that equal the restore point, and a report of what was done and what was not. Never: a byte into the target that did
//! not pass its tag and segment hash, a file under its name whose content does not match its signature, a name that is not one, or anything outside the target.
//!
//! The planner walks the tree, makes directories and nodes, and collects where the content of many files lies; the engine fetches that pack by pack, opens each
//! blob once and scatters its pages to the files. Hard links follow, and the metadata of directories last.

mod batch;
mod bounds;
mod delta;
mod directories;
mod engine;
mod file;
mod lost;
mod plan;
mod report;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::Error;
use crate::domain::Domain;
use crate::point::{Outcome, Requests};
use crate::target::Target;

use super::view::View;

pub use lost::{ByteRange, LOST_RANGES_MAX};
pub use report::{Failed, RestoreProgress, RestoreReport};

/// The least memory with which a restore works.
pub const RESTORE_MEMORY_BYTES_MIN: usize = 32 << 20;

/// How to restore.
#[derive(Clone)]
pub struct RestoreOptions {
    /// Names from the root of the restore point to what is restored; none: everything. The content of a directory appears directly below the target.
    pub subpath: Vec<Vec<u8>>,
    /// Existing files are compared page by page and changed where they differ; without this, a name that exists already is refused.
    pub in_place: bool,
    /// With `in_place`: what the target has and the restore point has not is removed.
    pub remove_extra: bool,
    /// Looks and compares, but changes nothing.
    pub dry_run: bool,
    /// For everything that is held in memory, in bytes; at least [`RESTORE_MEMORY_BYTES_MIN`].
    pub memory_budget_bytes: usize,
    /// Threads that open blobs and write.
    pub workers: usize,
    /// Damage does not end the restore: ranges that cannot be read are zeros, entries of which nothing is known are left out, and all of it is listed.
    pub skip_damaged: bool,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
    /// Shows how far the restore is.
    pub progress: Arc<RestoreProgress>,
}

impl Default for RestoreOptions {
    /// Everything, into an empty target, on all cores, in 128 MiB.
    fn default() -> RestoreOptions {
        RestoreOptions {
            subpath: Vec::new(),
            in_place: false,
            remove_extra: false,
            dry_run: false,
            memory_budget_bytes: 128 << 20,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            skip_damaged: false,
            cancel: Arc::default(),
            progress: Arc::default(),
        }
    }
}

/// Restores what the options name from a view into a target.
pub fn restore(
    domain: &Domain,
    view: &View,
    options: &RestoreOptions,
    target: &dyn Target,
) -> Result<RestoreReport, Error> {
    if options.memory_budget_bytes < RESTORE_MEMORY_BYTES_MIN {
        let (given, least) = (options.memory_budget_bytes >> 20, RESTORE_MEMORY_BYTES_MIN >> 20);
        return Err(Error::Invalid(format!("a memory budget of {given} MiB is too small; give at least {least} MiB")));
    }
    if options.remove_extra && !options.in_place {
        return Err(Error::Invalid("removing what the restore point has not makes sense only in place".into()));
    }
    let (started, before, fetched_before) = (domain.now(), domain.store().requests(), view.packs().bytes_fetched());
    let failed = plan::run(view, options, target, options.memory_budget_bytes / 8)?;
    if !options.dry_run {
        target.sync()?;
    }
    let requests = domain.store().requests().since(before);
    let progress = &options.progress;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    Ok(RestoreReport {
        outcome: if failed.count == 0 { Outcome::Complete } else { Outcome::Partial },
        entries: count(&progress.entries),
        bytes_restored: count(&progress.bytes_restored),
        bytes_fetched: view.packs().bytes_fetched() - fetched_before,
        bytes_compared_equal: count(&progress.bytes_compared_equal),
        files_skipped_equal: count(&progress.files_skipped_equal),
        entries_removed: count(&progress.entries_removed),
        requests: Requests { put: requests.put, get: requests.get, list: requests.list, delete: requests.delete },
        seconds: (domain.now() - started).total(jiff::Unit::Second).unwrap_or(0.0),
        failed: failed.listed,
        failed_count: failed.count,
    })
}

#[cfg(test)]
pub(super) mod tests_only {
    //! A restore with so little room that what rarely happens happens.

    use super::*;

    pub(in crate::read) fn restore_with_spool(
        view: &View,
        options: &RestoreOptions,
        target: &dyn Target,
        spool_bytes_max: usize,
    ) -> Result<u64, Error> {
        plan::run(view, options, target, spool_bytes_max).map(|failed| failed.count)
    }
}
