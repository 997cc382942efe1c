//! What there is: points, announcements, packs, as lists and headers show them.

use std::collections::{BTreeMap, BTreeSet};

use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, ParsedName};
use crate::point::Point;
use crate::read::points::valid_points;
use crate::session::{PointId, read_announcement, read_point};
use crate::store::StoreError;
use crate::tree::PackId;

use super::findings::Findings;
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
}

impl Survey {
    pub(super) fn of(domain: &Domain, options: &CheckOptions, findings: &mut Findings) -> Result<Survey, Error> {
        // Points before packs: what a point needs was there before the point.
        let volume = options.volume.as_deref().map(|name| domain.volume_id(name));
        let mut listed = valid_points(domain, volume)?;
        listed.sort_by_key(|point| (point.id.volume, point.id.session));
        let mut survey =
            Survey { points: Vec::new(), packs: BTreeMap::new(), needed: BTreeMap::new(), unknown_objects: 0 };
        for point in listed {
            check_cancel(options)?;
            survey.add_point(domain, point.id, findings)?;
        }
        survey.find_lost_points(domain, findings)?;
        for listed in domain.store().list(&layout::packs(domain.id()))? {
            match ParsedName::parse(&listed.name) {
                Ok(ParsedName::Pack { session, sequence, .. }) => {
                    survey.packs.insert(PackId { session, seq: sequence }, listed.size);
                }
                _ => survey.unknown_objects += 1,
            }
        }
        survey.name_needed();
        Ok(survey)
    }

    fn add_point(&mut self, domain: &Domain, id: PointId, findings: &mut Findings) -> Result<(), Error> {
        let object = layout::point(domain.id(), id.volume, id.session);
        let point = match read_point(domain, id) {
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
        match read_announcement(domain, id.session) {
            Ok(announcement) if announcement.volume == id.volume => {}
            Ok(_) => findings.add(&open, "it announces a session of another volume than its restore point is of", [id]),
            Err(Error::Store(StoreError::NotFound { .. })) => return Ok(()),
            Err(error) => findings.add_error(&open, error, [id])?,
        }
        self.points.push(Surveyed { id, object, point });
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
            let announced = domain.store().exists(&layout::session_open(domain.id(), parent))?;
            if announced && !domain.store().exists(&object)? {
                let marks = crate::session::marks_of(domain, surveyed.id.volume)?;
                if !marks.of(surveyed.id.volume, parent).invalidates() {
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
}
