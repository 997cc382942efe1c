//! What there is: points, announcements, packs, quarantine, as lists and headers show them.

use std::collections::{BTreeMap, BTreeSet};

use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::features::{Features, Standing};
use crate::layout::{self, FEATURES, ParsedName};
use crate::point::Point;
use crate::quarantine::Quarantine;
use crate::read::listing::Listing;
use crate::read::points::concerns_one_object;
use crate::session::{PointId, read_announcement, read_point};
use crate::store::StoreError;
use crate::tree::PackId;

use super::findings::{Findings, said_of_object};
use super::packs::Looked;
use super::report::{IgnoredObject, Released, Unannounced};
use super::{CheckOptions, check_cancel};

/// A valid point.
pub(super) struct Surveyed {
    pub(super) id: PointId,
    /// Its object's name.
    pub(super) object: String,
    /// `None`: it cannot be opened.
    pub(super) point: Option<Point>,
}

/// What there is.
pub(super) struct Survey {
    /// Valid points, each volume's in the order of their sessions.
    pub(super) points: Vec<Surveyed>,
    /// Every pack of the domain with its length.
    pub(super) packs: BTreeMap<PackId, u64>,
    /// Every pack that a reference part names, with the points (by index) that do.
    pub(super) needed: BTreeMap<PackId, Vec<u32>>,
    pub(super) unknown_objects: u64,
    /// Names that do not count.
    pub(super) ignored: Vec<IgnoredObject>,
    /// Points that are not announced.
    pub(super) unannounced: Vec<Unannounced>,
    pub(super) sessions_running: u64,
    /// As it was before any pack was looked at.
    pub(super) quarantine: Quarantine,
}

impl Survey {
    pub(super) fn of(domain: &Domain, options: &CheckOptions, findings: &mut Findings) -> Result<Survey, Error> {
        // Points before packs: what a point needs was there before the point.
        let volume = options.volume.as_deref().map(|name| domain.volume_id(name));
        let Listing { mut valid, unannounced, running, invalid_marks, misspelled } = Listing::of(domain, volume)?;
        valid.sort_by_key(|point| (point.id.volume, point.id.session));
        let quarantine = Quarantine::list(domain)?;
        let mut survey = Survey {
            points: Vec::new(),
            packs: BTreeMap::new(),
            needed: BTreeMap::new(),
            unknown_objects: 0,
            ignored: Vec::new(),
            unannounced: Vec::new(),
            sessions_running: if volume.is_none() { running.len() as u64 } else { 0 },
            quarantine,
        };
        for mark in invalid_marks.iter().chain(survey.quarantine.invalid()) {
            survey.ignored.push(IgnoredObject { object: mark.name.clone(), why: mark.why.to_string() });
        }
        misspelled.iter().for_each(|name| survey.add_unknown(name));
        for point in valid {
            check_cancel(options)?;
            survey.add_point(domain, point.id, findings)?;
        }
        survey.find_lost_points(domain, findings)?;
        for listed in domain.store().list(&layout::packs(domain.id()))? {
            match ParsedName::parse(&listed.name) {
                Ok(ParsedName::Pack { session, sequence, .. }) => {
                    survey.packs.insert(PackId { session, seq: sequence }, listed.size);
                }
                _ => survey.add_unknown(&listed.name),
            }
        }
        survey.name_needed();
        for point in unannounced {
            check_cancel(options)?;
            survey.add_unannounced(domain, point, findings)?;
        }
        Ok(survey)
    }

    fn add_unknown(&mut self, name: &str) {
        self.unknown_objects += 1;
        let why = "its name is not spelled like any object in this folder".to_owned();
        self.ignored.push(IgnoredObject { object: name.chars().take(400).collect(), why });
    }

    fn add_point(&mut self, domain: &Domain, id: PointId, findings: &mut Findings) -> Result<(), Error> {
        let object = layout::point(domain.id(), id.volume, id.session);
        let point = match findings.twice(&object, || read_point(domain, id)) {
            Ok(point) if point.runs.trees.len() == 1 => Some(point),
            Ok(point) => {
                let trees = point.runs.trees.len();
                findings.add(&object, &format!("it has {trees} trees where version 1 has one"), [id]);
                None
            }
            // Removed since it was listed.
            Err(Error::Missing(_)) => return Ok(()),
            Err(error) => {
                findings.add_error(&object, error, [id])?;
                None
            }
        };
        let open = layout::session_open(domain.id(), id.session);
        match findings.twice(&open, || read_announcement(domain, id.session)) {
            Ok(announcement) if announcement.volume == id.volume => {}
            Ok(_) => findings.add(&open, "it announces a session of another volume than its restore point is of", [id]),
            Err(Error::Store(StoreError::NotFound { .. })) => return Ok(()),
            Err(error) => findings.add_error(&open, error, [id])?,
        }
        self.points.push(Surveyed { id, object, point });
        Ok(())
    }

    /// A point that nobody announces (any more). A collector that is at work on it says so by marks, which it removes last.
    pub(super) fn add_unannounced(
        &mut self,
        domain: &Domain,
        id: PointId,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let object = layout::point(domain.id(), id.volume, id.session);
        let marks = crate::session::marks_of(domain, id.volume)?;
        if marks.of(id.volume, id.session).invalidates() {
            return Ok(());
        }
        let open = layout::session_open(domain.id(), id.session);
        let (volume, what) = match findings.twice(&object, || read_point(domain, id)) {
            // Removed since it was listed.
            Err(Error::Missing(_)) => return Ok(()),
            Err(error) if concerns_one_object(&error) => (
                id.volume.to_string(),
                format!("it is not announced and cannot be opened ({}), so it does not count", said_of_object(&error)),
            ),
            Err(error) => return Err(error),
            Ok(point) => {
                let missing = point.reference.packs.iter().filter(|(pack, _)| !self.packs.contains_key(pack)).count();
                let what = match missing {
                    _ if is_replica(domain)? => {
                        "half a copy, which `holdfast replicate` completes; until then it does not count".to_owned()
                    }
                    0 => {
                        let what = "it is missing, so that its restore point, which is there with all that it needs, does not count; `holdfast repair` brings it back from another copy";
                        findings.add(&open, what, []);
                        "its announcement is missing, everything else is there; until it is brought back it does not count"
                            .to_owned()
                    }
                    _ => format!(
                        "it is not announced and {missing} of its packs are not there: what is left of a session that was ended"
                    ),
                };
                (point.description.volume.name, what)
            }
        };
        self.unannounced.push(Unannounced { point: id, volume, what });
        Ok(())
    }

    /// A point that another one continued, whose session is announced still, but which is not there: a collector removes the announcement first.
    fn find_lost_points(&self, domain: &Domain, findings: &mut Findings) -> Result<(), Error> {
        let all: BTreeSet<(model::VolumeId, SessionId)> =
            self.points.iter().map(|surveyed| (surveyed.id.volume, surveyed.id.session)).collect();
        for surveyed in &self.points {
            let Some(parent) = surveyed.point.as_ref().and_then(|point| point.reference.parent) else { continue };
            if all.contains(&(surveyed.id.volume, parent)) {
                continue;
            }
            let object = layout::point(domain.id(), surveyed.id.volume, parent);
            // Announced before it is looked for: the other way round a collector could come between the two.
            let open = layout::session_open(domain.id(), parent);
            if domain.store().exists(&open)? && !domain.store().exists(&object)? {
                let marks = crate::session::marks_of(domain, surveyed.id.volume)?;
                // A collector that came to its end in between has removed the marks too; then the announcement is gone.
                if !marks.of(surveyed.id.volume, parent).invalidates() && domain.store().exists(&open)? {
                    findings.add(
                        &object,
                        "it is missing, although its session is announced and another restore point continued it",
                        [],
                    );
                }
            }
        }
        Ok(())
    }

    fn name_needed(&mut self) {
        for (index, surveyed) in self.points.iter().enumerate() {
            let Some(point) = &surveyed.point else { continue };
            for (pack, _) in point.reference.packs.iter() {
                self.needed.entry(pack).or_default().push(index as u32);
            }
        }
    }

    /// The points that need a pack.
    pub(super) fn needing(&self, pack: PackId) -> impl Iterator<Item = PointId> {
        let indices = self.needed.get(&pack).map(Vec::as_slice).unwrap_or_default();
        indices.iter().filter_map(|index| self.points.get(*index as usize)).map(|surveyed| surveyed.id)
    }

    /// Packs that are there and not needed; of one volume alone this says nothing.
    pub(super) fn packs_not_needed(&self, one_volume: bool) -> u64 {
        if one_volume { 0 } else { self.packs.keys().filter(|pack| !self.needed.contains_key(pack)).count() as u64 }
    }

    /// The packs in quarantine that are not known to be good again, and those that are.
    pub(super) fn quarantine_after(&self, looked: &Looked) -> (Vec<PackId>, Vec<Released>) {
        let (good, left): (Vec<PackId>, Vec<PackId>) =
            self.quarantine.iter().partition(|pack| looked.good_again.contains(pack));
        let released = good
            .into_iter()
            .map(|pack| Released { pack, reports: self.quarantine.reports_of(pack).map(str::to_owned).collect() })
            .collect();
        (left, released)
    }
}

/// There a point without announcement is on its way.
fn is_replica(domain: &Domain) -> Result<bool, Error> {
    let listed = domain.store().list(FEATURES)?;
    Ok(Features::from_listing(listed.iter().map(|listed| listed.name.as_str())).standing() == Standing::Replica)
}
