//! Repair: what is damaged or missing comes back from another copy of the same repository.
//!
//! In: a domain in the hands of upkeep, and a store that holds a replica or a raw copy. Out: the objects that were put back, each proven to be what was written, and a
//! check of what is left. Never: believes anything of the other copy that the keys of this one do not prove, puts other bytes than were written, brings back what a
//! collector has taken, or a key that is not there any more unless it is told to.
//!
//! What the other copy could do, and why it gets nowhere: other bytes of a pack fail against the directory hash that this repository's metadata names, other bytes of
//! a point or an announcement fail their tags under their own name; a name that was collected here is not asked for; a point is brought back only where one half of it is
//! still here, unmarked, together with every pack that it needs; a key that was destroyed on purpose is left alone.
//!
//! The session announces the points that it works for (W1, W2), so that no collector takes a pack while it is put back, and shows that it is alive as a backup does.

mod keys;
mod packs;
mod points;

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::domain::Domain;
use crate::features::Features;
use crate::keys::{KeyError, MANIFEST_BYTES_MAX, RepositoryManifest};
use crate::layout::{FEATURES, NeededBy, REPOSITORY};
use crate::read::{CheckLevel, CheckOptions, CheckReport, DamagedObject, check};
use crate::session::{PointId, Session};
use crate::store::Store;

use super::Keeper;

pub use keys::{KeysToRepair, repair_keys};

/// Tables name packs, so that what is behind a damaged table shows only when the table is back: so many times it is looked again.
const ROUNDS_MAX: usize = 6;
/// An announcement holds about ten thousand pins.
const PINS_MAX: usize = 5000;

/// How to repair.
#[derive(Clone, Default)]
pub struct RepairOptions {
    /// How to look for damage. What is in quarantine is looked at in any case.
    pub check: CheckOptions,
    /// Reads and proves, but puts nothing.
    pub dry_run: bool,
    /// Who, for people.
    pub writer: String,
}

/// An object that is damaged still.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotRepaired {
    /// Its name in the store.
    pub object: String,
    /// Why.
    pub why: String,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairReport {
    /// Objects that were put back (with `dry_run`: that could be), and what was wrong with them.
    pub repaired: Vec<DamagedObject>,
    /// Objects that the other copy could not give.
    pub not_repaired: Vec<NotRepaired>,
    /// What a check finds now.
    pub left: CheckReport,
}

/// Repairs a domain from another store.
pub fn repair(keeper: &Keeper, other: &Store, options: &RepairOptions) -> Result<RepairReport, Error> {
    let domain = keeper.domain();
    ensure_copy_of(domain, other)?;
    let mut repairer = Repairer {
        domain,
        copy: domain.on(other.clone()),
        options,
        session: None,
        repaired: BTreeMap::new(),
        not_repaired: BTreeMap::new(),
    };
    let mut look = options.check.clone();
    let mut found = check(domain, &look)?;
    for _ in 0..ROUNDS_MAX {
        if options.dry_run {
            repairer.round(&found)?;
            break;
        }
        // What is damaged stays findable: quarantined packs are read whole by the check that follows, at any level but the lowest.
        keeper.settle(&found)?;
        let before = repairer.repaired.len();
        repairer.round(&found)?;
        if repairer.repaired.len() == before {
            break;
        }
        look.level = CheckLevel::Structure;
        found = check(domain, &look)?;
        keeper.settle(&found)?;
    }
    let as_damaged = |(object, what): (String, String)| DamagedObject { object, what };
    let as_not_repaired = |(object, why): (String, String)| NotRepaired { object, why };
    Ok(RepairReport {
        repaired: repairer.repaired.into_iter().map(as_damaged).collect(),
        not_repaired: repairer.not_repaired.into_iter().map(as_not_repaired).collect(),
        left: found,
    })
}

/// The other copy must be one of this repository: its id commits to the repository key and to the upkeep key.
fn ensure_copy_of(domain: &Domain, other: &Store) -> Result<(), Error> {
    let bytes = other.get_at_most(REPOSITORY, MANIFEST_BYTES_MAX).map_err(|error| match error.is_not_found() {
        true => Error::from(KeyError::NoRepository),
        false => error.into(),
    })?;
    let manifest = RepositoryManifest::parse(&bytes)?;
    if manifest.repository != domain.repository() || manifest.upkeep_public != *domain.upkeep() {
        let (pinned, found) = (domain.repository(), manifest.repository);
        return Err(KeyError::NotThePinned { pinned, found }.into());
    }
    let listed = other.list(FEATURES)?;
    Ok(Features::from_listing(listed.iter().map(|listed| listed.name.as_str())).check(NeededBy::Read)?)
}

/// One repair.
struct Repairer<'a> {
    domain: &'a Domain,
    /// The same domain in the other store.
    copy: Domain,
    options: &'a RepairOptions,
    /// What the round at hand announced.
    session: Option<Session>,
    /// By object: what was wrong.
    repaired: BTreeMap<String, String>,
    /// By object: why not.
    not_repaired: BTreeMap<String, String>,
}

impl Repairer<'_> {
    /// Brings back what can be brought back of what a check found.
    fn round(&mut self, found: &CheckReport) -> Result<(), Error> {
        let halves = self.find_halves(found)?;
        let pins = self.pins(found, &halves);
        self.session = match pins.first() {
            Some(first) if !self.options.dry_run => {
                Some(Session::open(self.domain, first.volume, pins.clone(), &self.options.writer)?)
            }
            _ => None,
        };
        // W2: only what is valid still.
        let kept: BTreeSet<PointId> = match &self.session {
            Some(session) => session.pins().iter().copied().collect(),
            None => pins.into_iter().collect(),
        };
        // Packs first: a point is put only when all that it needs is there.
        self.repair_packs(found, &kept)?;
        self.repair_points(&halves, &kept)
    }

    /// Called before each object: as long as a repair is at work, no collector takes its session for dead and with it what it pins.
    fn show_life(&self) {
        if let Some(session) = &self.session {
            // What it puts lies under the sessions of others, so none of it is a sign of this one.
            session.show_life(0);
        }
    }

    fn done(&mut self, object: String, what: String) {
        tracing::info!(%object, %what, "repaired");
        self.not_repaired.remove(&object);
        self.repaired.insert(object, what);
    }

    fn not_done(&mut self, object: String, why: impl Into<String>) {
        self.not_repaired.insert(object, why.into());
    }
}

#[cfg(test)]
mod tests;
