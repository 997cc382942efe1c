//! Points: restore points of which one half is still here.
//!
//! A collector removes `.open`, then `.point`, then the marks. So a name of which nothing is left was collected, and is not brought back; one of which a half is left,
//! without a mark that ends it, has lost the other half, if another copy has it whole and valid.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;

use crate::Error;
use crate::layout::{self, ParsedName};
use crate::point::Point;
use crate::read::{CheckReport, Listing, concerns_one_object};
use crate::seal::ObjectKind;
use crate::session::{OPEN_BYTES_MAX, POINT_BYTES_MAX, PointId, marks_of, open_announcement, read_announcement};
use crate::store::StoreError;
use crate::tree::PackId;

use super::Repairer;

/// A point of which something is missing or damaged.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    /// What is wrong with `.open`.
    pub(super) open: Option<String>,
    /// What is wrong with `.point`.
    pub(super) point: Option<String>,
    /// Its `.open` exists, so that it can be pinned.
    pub(super) announced_here: bool,
    /// It may be no point at all but a session that runs.
    pub(super) may_be_running: bool,
}

/// Both objects of a point, as the other copy has them, proven.
struct Whole {
    open: Bytes,
    point: Bytes,
    packs: Vec<PackId>,
}

impl Repairer<'_> {
    /// Points that a check found damaged, not announced, or announced without being there.
    pub(super) fn find_halves(&self, found: &CheckReport) -> Result<BTreeMap<PointId, Half>, Error> {
        let volume = self.options.check.volume.as_deref().map(|name| self.domain.volume_id(name));
        let listing = Listing::of(self.domain, volume)?;
        let mut halves: BTreeMap<PointId, Half> = BTreeMap::new();
        for id in listing.unannounced {
            halves.entry(id).or_default().open = Some("it was missing".into());
        }
        for session in listing.running {
            let announcement = match read_announcement(self.domain, session) {
                Ok(announcement) => announcement,
                Err(Error::Store(StoreError::NotFound { .. })) => continue,
                Err(error) if concerns_one_object(&error) => continue,
                Err(error) => return Err(error),
            };
            if volume.is_none_or(|volume| volume == announcement.volume) {
                let half = halves.entry(PointId { volume: announcement.volume, session }).or_default();
                (half.point, half.announced_here, half.may_be_running) = (Some("it was missing".into()), true, true);
            }
        }
        for damaged in &found.damaged {
            match ParsedName::parse(&damaged.object) {
                Ok(ParsedName::Point { volume, session, .. }) => {
                    let id = PointId { volume, session };
                    if listing.valid.iter().any(|listed| listed.id == id) {
                        let half = halves.entry(id).or_default();
                        (half.point, half.announced_here) = (Some(damaged.what.clone()), true);
                    }
                }
                Ok(ParsedName::SessionOpen { session, .. }) => {
                    if let Some(listed) = listing.valid.iter().find(|listed| listed.id.session == session) {
                        let half = halves.entry(listed.id).or_default();
                        (half.open, half.announced_here) = (Some(damaged.what.clone()), true);
                    }
                }
                _ => {}
            }
        }
        Ok(halves)
    }

    pub(super) fn repair_points(
        &mut self,
        halves: &BTreeMap<PointId, Half>,
        kept: &BTreeSet<PointId>,
    ) -> Result<(), Error> {
        if halves.is_empty() {
            return Ok(());
        }
        let present = self.packs_here()?;
        for (id, half) in halves {
            self.show_life();
            let names = (
                layout::session_open(self.domain.id(), id.session),
                layout::point(self.domain.id(), id.volume, id.session),
            );
            match self.repair_point(*id, half, (kept, &present))? {
                Ok(()) => {
                    half.open.iter().for_each(|what| self.done(names.0.clone(), what.clone()));
                    half.point.iter().for_each(|what| self.done(names.1.clone(), what.clone()));
                }
                Err(None) => {}
                Err(Some(why)) => {
                    half.open.iter().for_each(|_| self.not_done(names.0.clone(), why.clone()));
                    half.point.iter().for_each(|_| self.not_done(names.1.clone(), why.clone()));
                }
            }
        }
        Ok(())
    }

    /// `Err(None)`: there is nothing to repair.
    fn repair_point(
        &self,
        id: PointId,
        half: &Half,
        (kept, present): (&BTreeSet<PointId>, &HashSet<PackId>),
    ) -> Result<Result<(), Option<String>>, Error> {
        let not = |why: &str| Ok(Err(Some(why.to_owned())));
        if half.announced_here && !kept.contains(&id) {
            return not("it was ended meanwhile");
        }
        if self.is_ended_here(id)? {
            return not("it is marked dead or doomed");
        }
        let whole = match self.whole_in_copy(id)? {
            Ok(whole) => whole,
            Err(_) if half.may_be_running => return Ok(Err(None)),
            Err(why) => return Ok(Err(Some(why))),
        };
        let missing = whole.packs.iter().filter(|pack| !present.contains(pack)).count();
        if missing > 0 {
            return Ok(Err(Some(format!("{missing} of the packs that it needs are missing"))));
        }
        if self.options.dry_run {
            return Ok(Ok(()));
        }
        let store = self.domain.store();
        if half.point.is_some() {
            store.put(&layout::point(self.domain.id(), id.volume, id.session), whole.point)?;
        }
        if half.open.is_some() {
            // Sent once, as every announcement: one that lands late could follow a collector.
            store.put_once(&layout::session_open(self.domain.id(), id.session), whole.open)?;
        }
        // As W5: whoever announced the opposite meanwhile was first.
        match self.is_ended_here(id)? {
            true => not("it was ended while it was repaired"),
            false => Ok(Ok(())),
        }
    }

    fn is_ended_here(&self, id: PointId) -> Result<bool, Error> {
        Ok(marks_of(self.domain, id.volume)?.of(id.volume, id.session).invalidates())
    }

    /// A point that is valid in the other copy: marks first, then the announcement. What is proven is what is put: nothing is read twice.
    fn whole_in_copy(&self, id: PointId) -> Result<Result<Whole, String>, Error> {
        let not = |why: String| Ok(Err(why));
        if marks_of(&self.copy, id.volume)?.of(id.volume, id.session).invalidates() {
            return not("it is dead or doomed in the other copy".into());
        }
        let open_name = layout::session_open(self.domain.id(), id.session);
        let point_name = layout::point(self.domain.id(), id.volume, id.session);
        let proven = self.get_from_copy(&open_name, OPEN_BYTES_MAX).and_then(|open| {
            let announcement = open_announcement(&self.copy, &open_name, &open)?;
            if announcement.volume != id.volume {
                return Err(Error::damaged(&open_name, "it announces a session of another volume"));
            }
            let point = self.get_from_copy(&point_name, POINT_BYTES_MAX)?;
            let binding = self.copy.binding(ObjectKind::Point, &point_name);
            let packs = Point::open(binding, &point, self.copy.ring())?.reference.packs;
            Ok(Whole { open, point, packs: packs.iter().map(|(pack, _)| pack).collect() })
        });
        match proven {
            Ok(whole) => Ok(Ok(whole)),
            Err(Error::Missing(why)) => not(why),
            Err(error) if concerns_one_object(&error) => not(format!("the other copy's cannot be used: {error}")),
            Err(error) => Err(error),
        }
    }

    fn get_from_copy(&self, name: &str, bytes_max: u64) -> Result<Bytes, Error> {
        self.copy.store().get_at_most(name, bytes_max).map_err(|error| match error.is_not_found() {
            true => Error::Missing("the other copy does not have it".into()),
            false => error.into(),
        })
    }

    fn packs_here(&self) -> Result<HashSet<PackId>, Error> {
        let mut present = HashSet::new();
        self.domain.store().list_each(&layout::packs(self.domain.id()), &mut |listed| {
            if let Ok(ParsedName::Pack { session, sequence, .. }) = ParsedName::parse(&listed.name) {
                present.insert(PackId { session, seq: sequence });
            }
        })?;
        Ok(present)
    }
}
