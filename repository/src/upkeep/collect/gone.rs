//! Gone: what a replica's source has lost (T0), so that the replica may lose it as well.
//!
//! In: a domain, and for a replica its source. Out: which of its points and packs may go at all. Never: opens an object, takes a source that does not answer for one
//! that has nothing, or looks at the source before the replica: what arrives in between would be taken for gone.

use std::collections::BTreeSet;

use crate::Error;
use crate::domain::Domain;
use crate::features::Standing;
use crate::layout::{self, NeededBy};
use crate::session::PointId;
use crate::store::Store;
use crate::tree::PackId;

use super::super::copies::{ensure_source, features_of};
use super::look::{SeenPacks, list_packs, point_of};

/// What may go here. Names never recur at a source, so what is gone there stays gone.
pub(super) struct Gone {
    /// `None`: everything.
    lost: Option<Lost>,
    /// T3: what was doomed here stays marked, because a name may be put here again.
    pub(super) tombstones_stay: bool,
}

/// What was here, and at the source was not.
struct Lost {
    points: BTreeSet<PointId>,
    packs: SeenPacks,
}

impl Gone {
    /// True if the point may be doomed.
    pub(super) fn has_point(&self, point: PointId) -> bool {
        self.lost.as_ref().is_none_or(|lost| lost.points.contains(&point))
    }

    /// True if the pack may be deleted.
    pub(super) fn has_pack(&self, pack: PackId) -> bool {
        self.lost.as_ref().is_none_or(|lost| lost.packs.contains(pack))
    }

    /// True where points may become valid whose packs no list of this run shows: in a replica, and where a replicator was at work when it was promoted.
    pub(super) fn is_replicated_into(&self) -> bool {
        self.tombstones_stay
    }
}

/// What a repository allows a collector to delete, before it is known what that is.
pub(super) enum Bounds<'a> {
    /// Everything that nobody needs.
    None { tombstones_stay: bool },
    /// Of that, what this source has lost.
    LostBy(&'a Store),
}

/// Whether this program may collect here. A replica that was promoted by now is like any other repository, but for its tombstones.
pub(super) fn ensure_collectable<'a>(domain: &Domain, source: Option<&'a Store>) -> Result<Bounds<'a>, Error> {
    let features = features_of(domain.store())?;
    features.check(NeededBy::Collect)?;
    let everything = |tombstones_stay| Bounds::None { tombstones_stay };
    match (features.standing(), source) {
        (Standing::Promoted, _) => Ok(everything(true)),
        (Standing::Original, None) => Ok(everything(false)),
        (Standing::Original, Some(_)) => Err(Error::Invalid(
            "this repository is no replica, so that nothing depends on a source; nothing was deleted: leave the source out".to_owned(),
        )),
        (Standing::Replica, None) => Err(Error::Invalid(
            "this repository is a replica: what may go depends on its source; nothing was deleted: name the source with --source URL, or make this a repository of its own with `holdfast promote`".to_owned(),
        )),
        (Standing::Replica, Some(source)) => {
            ensure_source(domain, source)?;
            Ok(Bounds::LostBy(source))
        }
    }
}

impl Bounds<'_> {
    /// T0, before C1.
    pub(super) fn find_gone(self, domain: &Domain) -> Result<Gone, Error> {
        match self {
            Bounds::None { tombstones_stay } => Ok(Gone { lost: None, tombstones_stay }),
            Bounds::LostBy(source) => {
                Ok(Gone { lost: Some(find_lost(domain, &domain.on(source.clone()))?), tombstones_stay: true })
            }
        }
    }
}

fn find_lost(replica: &Domain, source: &Domain) -> Result<Lost, Error> {
    let mut lost = Lost { points: point_names(replica)?, packs: list_packs(replica)? };
    for point in point_names(source)? {
        lost.points.remove(&point);
    }
    lost.packs.remove_all(&list_packs(source)?);
    Ok(lost)
}

fn point_names(domain: &Domain) -> Result<BTreeSet<PointId>, Error> {
    let mut points = BTreeSet::new();
    domain
        .store()
        .list_each(&layout::points(domain.id()), &mut |listed| points.extend(point_of(domain, &listed.name)))?;
    Ok(points)
}
