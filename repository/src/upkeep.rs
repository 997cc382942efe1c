//! Upkeep: what only the holder of the upkeep key does to a domain: marks and deletes (design, the protocol; docs/protocol.md).
//!
//! In: an open domain and the upkeep key. Out: signed marks, and what a collector, a scrub or a replication made of them. Never: needs a key of content or names,
//! unless a function says so.

mod adopt;
mod collect;
mod copies;
mod repair;
mod replicate;
mod retire;
mod scrub;
mod whole;

use std::sync::Arc;

use bytes::Bytes;

pub use adopt::{AdoptReport, Incomplete, adopt, plan_adoption};
pub use collect::{
    CollectOptions, CollectReport, Collection, Deleted, Doom, DoomReason, Ended, GonePack, collect, plan_collection,
};
pub use copies::promote;
pub use repair::{KeysToRepair, NotRepaired, RepairOptions, RepairReport, repair, repair_keys};
pub use replicate::{
    Copied, CopySide, DamagedCopy, NotReplicated, ReplicateOptions, ReplicateProgress, ReplicateReport, WhyNot,
    plan_replication, replicate,
};
pub use retire::{Undeleted, retire, undelete};

use crate::Error;
use crate::domain::Domain;
use crate::keys::UpkeepKey;
use crate::layout::{Mark, MarkRun};
use crate::marks::{damage_name, mark_name};
use crate::read::{CheckReport, Released};
use crate::session::PointId;
use crate::store::Store;
use crate::tree::PackId;

pub use scrub::{ScrubCursor, ScrubOptions, ScrubProgress, ScrubReport, ScrubRound, scrub};

/// A domain in the hands of upkeep, for one run: its marks carry the same fresh number.
#[derive(Clone)]
pub struct Keeper {
    domain: Domain,
    key: Arc<UpkeepKey>,
    run: MarkRun,
}

impl Keeper {
    /// Begins a run.
    pub fn new(domain: Domain, key: Arc<UpkeepKey>) -> Result<Keeper, Error> {
        let run = MarkRun(domain.random()?);
        Ok(Keeper { domain, key, run })
    }

    /// The same run in another store, which has a copy of the domain.
    #[must_use]
    pub fn on(&self, store: Store) -> Keeper {
        Keeper { domain: self.domain.on(store), ..self.clone() }
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Puts a mark of this run on a session or its restore point.
    pub fn mark(&self, point: PointId, mark: Mark) -> Result<(), Error> {
        Ok(self.domain.store().put(&self.mark_name(point, mark)?, Bytes::new())?)
    }

    /// The name of a mark of this run.
    fn mark_name(&self, point: PointId, mark: Mark) -> Result<String, Error> {
        let signer = (&*self.key, self.domain.repository());
        Ok(mark_name(signer, self.domain.id(), (point.volume, point.session), mark, self.run)?)
    }

    /// Says that a pack is damaged.
    pub fn quarantine(&self, pack: PackId) -> Result<(), Error> {
        let name =
            damage_name((&self.key, self.domain.repository()), self.domain.id(), (pack.session, pack.seq), self.run)?;
        Ok(self.domain.store().put(&name, Bytes::new())?)
    }

    /// Takes back that a pack is damaged: it was read after these reports were listed, and was good.
    pub fn release(&self, released: &Released) -> Result<(), Error> {
        for report in &released.reports {
            self.domain.store().delete(report)?;
        }
        Ok(())
    }

    /// Puts into quarantine what a check found damaged, and releases what it found good again.
    pub fn settle(&self, found: &CheckReport) -> Result<(), Error> {
        found.to_quarantine.iter().try_for_each(|pack| self.quarantine(*pack))?;
        found.released.iter().try_for_each(|released| self.release(released))
    }
}
