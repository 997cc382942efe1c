//! Apply: what a plan says is done, in the order that keeps every reader and writer safe (C2, C6 to C8).
//!
//! In: a keeper and a plan. Out: what was done. Never: decides, or deletes an announcement after its point, or marks before either.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::layout::{self, Mark};
use crate::parallel::{self, each};

use super::Keeper;
use super::plan::{Doom, Ended, GoneNames};
use super::report::{Collection, Deleted};
use super::run::Run;

/// Deletes that are sent at the same time: each is small, and there may be many.
const DELETES: usize = 16;

/// C2. Acknowledged before any list after it.
pub(super) fn doom(keeper: &Keeper, dooms: &[Doom], run: &Run<'_>) -> Result<(), Error> {
    each(keeper.domain().store().threads(parallel::REQUESTS), dooms, |doom| {
        run.go_on()?;
        keeper.mark(doom.point, Mark::Doomed)
    })?;
    Ok(())
}

/// C6: packs; then C7: names.
pub(super) fn delete(keeper: &Keeper, collection: &Collection, run: &Run<'_>) -> Result<Deleted, Error> {
    let domain = keeper.domain();
    let (packs, bytes, names) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    each(domain.store().threads(DELETES), &collection.packs, |gone| {
        run.go_on()?;
        domain.store().delete(&domain.pack_name(gone.pack))?;
        packs.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(gone.bytes, Ordering::Relaxed);
        Ok(())
    })?;
    each(domain.store().threads(parallel::REQUESTS), &collection.names, |gone| {
        run.go_on()?;
        names.fetch_add(delete_names(keeper, gone, collection)?, Ordering::Relaxed);
        Ok(())
    })?;
    each(domain.store().threads(DELETES), &collection.debris, |name| {
        run.go_on()?;
        domain.store().delete(name)?;
        names.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    let count = |counter: AtomicU64| counter.into_inner();
    Ok(Deleted { packs: count(packs), bytes: count(bytes), names: count(names) })
}

/// C7 for one name: the announcement, then the point, then the marks - so that whoever finds the marks gone finds the announcement gone.
fn delete_names(keeper: &Keeper, gone: &GoneNames, collection: &Collection) -> Result<u64, Error> {
    let domain = keeper.domain();
    let mut deleted = 0;
    let mut delete = |name: &str| -> Result<(), Error> {
        deleted += 1;
        Ok(domain.store().delete(name)?)
    };
    gone.session.iter().try_for_each(|name| delete(name))?;
    if gone.has_point {
        delete(&layout::point(domain.id(), gone.point.volume, gone.point.session))?;
    }
    gone.marks.iter().try_for_each(|name| delete(name))?;
    if !collection.tombstones_stay && collection.dooms.iter().any(|doom| doom.point == gone.point) {
        delete(&keeper.mark_name(gone.point, Mark::Doomed)?)?;
    }
    Ok(deleted)
}

/// C8: `abort`, a look for the point, `dead`, which takes effect from the next run on. Then roots that no reader believes are retired.
pub(super) fn declare_dead(keeper: &Keeper, collection: &Collection, run: &Run<'_>) -> Result<Vec<Ended>, Error> {
    let domain = keeper.domain();
    let ended = each(domain.store().threads(parallel::REQUESTS), &collection.silent, |silent| {
        run.go_on()?;
        keeper.mark(silent.point, Mark::Abort)?;
        if domain.store().exists(&layout::point(domain.id(), silent.point.volume, silent.point.session))? {
            return Ok(None);
        }
        keeper.mark(silent.point, Mark::Dead)?;
        Ok(Some(silent.clone()))
    })?;
    each(domain.store().threads(parallel::REQUESTS), &collection.lost_announcements, |point| {
        run.go_on()?;
        keeper.mark(*point, Mark::Retired)
    })?;
    Ok(ended.into_iter().flatten().collect())
}
