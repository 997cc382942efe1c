//! Look: which points of the source the target lacks (R0).
//!
//! In: lists of names at both places. Out: the points to copy, the oldest first, and which packs are where. Never: opens an object, or is what safety rests on: what
//! is decided here saves work, and is looked at again after each point was announced (R2).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::SessionId;

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, ParsedName};
use crate::marks::{MarkSet, MarkVerifier};
use crate::session::PointId;

use super::super::collect::{SeenPacks, list_packs};
use super::report::{CopySide, ReplicateReport, WhyNot};
use super::{Places, ReplicateOptions};

/// What R0 found.
#[derive(Default)]
pub(super) struct Looked {
    /// Points to copy, the oldest first, with the bytes of their `.point`.
    pub(super) lacking: Vec<(PointId, u64)>,
    /// Packs of the target; of any age.
    pub(super) target_packs: SeenPacks,
    /// Packs of the source, listed after its points.
    pub(super) source_packs: SeenPacks,
}

/// What lists show of one place, with sizes.
struct Place {
    points: BTreeMap<PointId, u64>,
    marks: MarkSet,
    announced: HashMap<SessionId, u64>,
}

/// R0.
pub(super) fn look(places: &Places, options: &ReplicateOptions, report: &mut ReplicateReport) -> Result<Looked, Error> {
    let source = Place::list(&places.source, &options.volumes)?;
    let target = Place::list(&places.target, &options.volumes)?;
    let mut lacking = Vec::new();
    for (point, size) in &source.points {
        let Some(announced) = source.announced.get(&point.session) else { continue };
        let marks = source.marks.of(point.volume, point.session);
        if marks.invalidates() {
            continue;
        }
        if target.marks.of(point.volume, point.session).invalidates() {
            report.leave_out(*point, WhyNot::DoomedAtTarget);
            continue;
        }
        target.compare(&places.target, *point, (*size, *announced), report);
        if target.has(*point) {
            report.present += 1;
        } else if marks.hides() && !options.hidden {
            report.hidden += 1;
        } else {
            lacking.push((*point, *size));
        }
    }
    lacking.sort_by_key(|(point, _)| point.session);
    if lacking.is_empty() {
        return Ok(Looked::default());
    }
    let (target_packs, source_packs) = (list_packs(&places.target)?, list_packs(&places.source)?);
    Ok(Looked { lacking, target_packs, source_packs })
}

impl Place {
    fn list(domain: &Domain, volumes: &BTreeSet<model::VolumeId>) -> Result<Place, Error> {
        let mut points = BTreeMap::new();
        for listed in domain.store().list(&layout::points(domain.id()))? {
            if let Ok(ParsedName::Point { domain: of, volume, session }) = ParsedName::parse(&listed.name)
                && of == domain.id()
                && (volumes.is_empty() || volumes.contains(&volume))
            {
                points.insert(PointId { volume, session }, listed.size);
            }
        }
        let listed = domain.store().list(&layout::marks(domain.id()))?;
        let verifier = MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() };
        let names = listed.iter().map(|listed| listed.name.as_str());
        let marks = MarkSet::from_listing(names, &verifier, domain.id(), None);
        for invalid in marks.invalid() {
            tracing::warn!(mark = %invalid.name.escape_default(), why = %invalid.why, "a mark does not count");
        }
        let mut announced = HashMap::new();
        for listed in domain.store().list(&layout::sessions(domain.id()))? {
            if let Ok(ParsedName::SessionOpen { session, .. }) = ParsedName::parse(&listed.name) {
                announced.insert(session, listed.size);
            }
        }
        Ok(Place { points, marks, announced })
    }

    fn has(&self, point: PointId) -> bool {
        self.points.contains_key(&point) && self.announced.contains_key(&point.session)
    }

    /// Objects are equal at both places. Half a copy that is not is put again (R1 and R4 put what the source has); a whole one is for `repair`.
    fn compare(&self, target: &Domain, point: PointId, source: (u64, u64), report: &mut ReplicateReport) {
        let names = [
            (layout::point(target.id(), point.volume, point.session), self.points.get(&point), source.0),
            (layout::session_open(target.id(), point.session), self.announced.get(&point.session), source.1),
        ];
        for (name, there, size) in names {
            if let Some(there) = there.filter(|there| **there != size) {
                report.damage(CopySide::Target, &name, format!("it has {there} bytes where the source has {size}"));
            }
        }
    }
}
