//! Retire: restore points are hidden, and shown again as long as the grace period lasts.
//!
//! In: a keeper and points. Out: signed marks; for an undelete a new restore point of the same content. Never: takes a mark back: others may have acted on it.

use crate::Error;
use crate::layout::{Mark, NeededBy};
use crate::session::{PointId, Session, read_point};

use super::Keeper;
use super::copies::features_of;

/// What an undelete made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undeleted {
    /// The restore point that was hidden, and will go.
    pub hidden: PointId,
    /// The one that has its content now.
    pub point: PointId,
}

/// Hides restore points. The collector removes them after the grace period.
pub fn retire(keeper: &Keeper, points: &[PointId]) -> Result<(), Error> {
    points.iter().try_for_each(|point| keeper.mark(*point, Mark::Retired))
}

/// Makes a restore point of the content of a hidden one, under an id of its own: a collector that has already decided about the hidden one may go on.
pub fn undelete(keeper: &Keeper, hidden: PointId, writer: &str) -> Result<Undeleted, Error> {
    let domain = keeper.domain();
    features_of(domain.store())?.check(NeededBy::Write)?;
    let session = Session::open(domain, hidden.volume, vec![hidden], writer)?;
    if session.pins().is_empty() {
        return Err(Error::Missing(format!(
            "restore point {} is being removed already: it cannot be shown again",
            hidden.session
        )));
    }
    let point = read_point(domain, hidden)?;
    let (point, _) = session.commit(&point)?;
    Ok(Undeleted { hidden, point })
}
