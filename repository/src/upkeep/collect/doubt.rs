//! Doubt: why a run stops: what it cannot read, what does not fit together, and what only looks like it.
//!
//! In: what went wrong. Out: the error that ends the run, which names what to do; or that it is nothing to stop for. Never: lets a run go on with a guess.

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::session::PointId;

/// A view of which one part was seen before another run deleted, and one after.
pub(super) fn torn(what: &str) -> Error {
    Error::Busy(format!(
        "{what} went while this collector looked, so another one is at work; nothing was deleted: run it again later"
    ))
}

/// What a collector cannot read it cannot judge.
pub(super) fn unreadable(domain: &Domain, point: PointId, error: Error) -> Error {
    match error.class() {
        model::ErrorClass::Corrupt | model::ErrorClass::Denied | model::ErrorClass::Invalid => Error::damaged(
            &layout::point(domain.id(), point.volume, point.session),
            format!(
                "nothing was deleted, because what this restore point needs cannot be read ({error}); repair it from a replica, or forget it"
            ),
        ),
        _ => error,
    }
}

/// Without an announcement it is not valid, and with its key it never will be.
pub(super) fn is_too_late(domain: &Domain, point: PointId, error: &Error) -> Result<bool, Error> {
    Ok(domain.is_too_late_for_its_key(error)?
        && !domain.store().exists(&layout::session_open(domain.id(), point.session))?)
}
