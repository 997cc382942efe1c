//! Adopt: a raw copy of a repository - of a bucket or a folder, made while writers and collectors were at work - becomes a repository that is consistent.
//!
//! In: a domain of the copy, in the hands of upkeep. Out: restore points without all that they need are doomed, the others are as they were. Never: reads a pack (names
//! and sizes say what is missing; `check` says what is wrong inside), takes a key that is not at hand for an incomplete copy, or touches a replica: what is missing there
//! is on its way.

use std::collections::HashMap;

use crate::Error;
use crate::domain::Domain;
use crate::features::Standing;
use crate::layout::{self, Mark, NeededBy};
use crate::parallel::{self, each};
use crate::point::PackSet;
use crate::read::{Listing, concerns_one_object};
use crate::session::{PointId, marks_of, read_point, read_reference};
use crate::tree::PackId;

use super::Keeper;
use super::collect::{SeenPacks, list_packs};
use super::copies::features_of;

/// A restore point of which the copy has not everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Which.
    pub point: PointId,
    /// How many of its packs are missing or cut off.
    pub packs: u64,
    /// The first thing that is wrong.
    pub what: String,
}

/// What was found in a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdoptReport {
    /// Restore points that have all that they need, by names and sizes.
    pub complete: u64,
    /// Those that have not; they are doomed, or would be.
    pub incomplete: Vec<Incomplete>,
    /// Restore points whose announcement is not in the copy: no reader believes them, and the collector takes them away in its time.
    pub unannounced: u64,
    /// Sessions that were at work when the copy was made; the collector ends them after the session grace.
    pub running: u64,
}

/// Dooms what the copy has not whole.
pub fn adopt(keeper: &Keeper) -> Result<AdoptReport, Error> {
    let report = plan_adoption(keeper.domain())?;
    each(keeper.domain().store().threads(parallel::REQUESTS), &report.incomplete, |incomplete| {
        keeper.mark(incomplete.point, Mark::Doomed)
    })?;
    Ok(report)
}

/// What [`adopt`] would doom now; nothing is written.
pub fn plan_adoption(domain: &Domain) -> Result<AdoptReport, Error> {
    let features = features_of(domain.store())?;
    features.check(NeededBy::Collect)?;
    if features.standing() == Standing::Replica {
        return Err(Error::Invalid(
            "this is a copy of a replica: go on with `holdfast replicate` into it, which completes what is not whole, or promote it first".to_owned(),
        ));
    }
    let listing = Listing::of(domain, None)?;
    let needs = each(domain.store().threads(parallel::REQUESTS), &listing.valid, |listed| needs_of(domain, listed.id))?;
    // After the points: what they need was there before them.
    let packs = list_packs(domain)?;
    let mut report = AdoptReport {
        unannounced: listing.unannounced.len() as u64,
        running: listing.running.len() as u64,
        ..AdoptReport::default()
    };
    for (listed, needs) in listing.valid.iter().zip(needs) {
        let found = match needs {
            Needs::Gone => continue,
            Needs::Unknown(what) => Some(Incomplete { point: listed.id, packs: 0, what }),
            Needs::Packs(needed, sizes) => lacks(domain, listed.id, (&needed, &sizes), &packs),
        };
        match found {
            None => report.complete += 1,
            // A collector may have taken it meanwhile, if the place is in use.
            Some(found) if is_valid(domain, found.point)? => report.incomplete.push(found),
            Some(_) => {}
        }
    }
    Ok(report)
}

enum Needs {
    /// Packs, and the sizes of those that hold its tables.
    Packs(PackSet, HashMap<PackId, u64>),
    /// It cannot be read.
    Unknown(String),
    /// It was removed since it was listed.
    Gone,
}

fn needs_of(domain: &Domain, id: PointId) -> Result<Needs, Error> {
    match read_point(domain, id) {
        Ok(point) => {
            let sizes = point.runs.packs.iter().map(|pack| (pack.pack, pack.summary.pack_bytes));
            Ok(Needs::Packs(point.reference.packs, sizes.collect()))
        }
        Err(Error::KeyNotAtHand { .. }) => Ok(Needs::Packs(read_reference(domain, id)?.packs, HashMap::new())),
        Err(Error::Missing(_)) => Ok(Needs::Gone),
        Err(error @ Error::Newer { .. }) => Err(error),
        Err(error) if concerns_one_object(&error) => Ok(Needs::Unknown(error.to_string())),
        Err(error) => Err(error),
    }
}

fn lacks(
    domain: &Domain,
    point: PointId,
    (needed, sizes): (&PackSet, &HashMap<PackId, u64>),
    packs: &SeenPacks,
) -> Option<Incomplete> {
    let wrong = |pack: PackId| match (packs.size(pack), sizes.get(&pack).filter(|size| **size != 0)) {
        (None, _) => Some("it is not in the copy".to_owned()),
        (Some(there), Some(size)) if u64::from(there) != *size => {
            Some(format!("it has {there} bytes where {size} were written"))
        }
        (Some(0), None) => Some("it is empty".to_owned()),
        _ => None,
    };
    let mut lacking = needed.iter().filter_map(|(pack, _)| Some((pack, wrong(pack)?)));
    let (first, what) = lacking.next()?;
    let packs = 1 + lacking.count() as u64;
    Some(Incomplete { point, packs, what: format!("{}: {what}", domain.pack_name(first)) })
}

fn is_valid(domain: &Domain, point: PointId) -> Result<bool, Error> {
    let marks = marks_of(domain, point.volume)?;
    Ok(!marks.of(point.volume, point.session).invalidates()
        && domain.store().exists(&layout::session_open(domain.id(), point.session))?)
}
