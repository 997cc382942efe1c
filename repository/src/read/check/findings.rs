//! What is wrong, and whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use model::{SessionId, VolumeId};

use crate::Error;
use crate::read::points::concerns_one_object;
use crate::session::PointId;

use super::DamagedObject;

/// Different things that are said of one object.
const SAID_MAX: usize = 8;

#[derive(Debug, Default)]
struct Finding {
    what: BTreeSet<String>,
    points: BTreeSet<(VolumeId, SessionId)>,
}

/// Damaged objects by name.
#[derive(Debug, Default)]
pub(super) struct Findings {
    by_object: BTreeMap<String, Finding>,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.by_object.is_empty()
    }

    /// Something is wrong with an object that these points need.
    pub(super) fn add(&mut self, object: &str, what: &str, points: impl IntoIterator<Item = PointId>) {
        let finding = self.by_object.entry(object.to_owned()).or_default();
        if finding.what.len() < SAID_MAX {
            finding.what.insert(what.to_owned());
        }
        finding.points.extend(points.into_iter().map(|point| (point.volume, point.session)));
    }

    /// As [`Findings::add`], from an error; one that is not about an object comes back.
    pub(super) fn add_error(
        &mut self,
        fallback: &str,
        error: Error,
        points: impl IntoIterator<Item = PointId>,
    ) -> Result<(), Error> {
        if !concerns_one_object(&error) {
            return Err(error);
        }
        match &error {
            Error::Damaged { object, what } => self.add(object, what, points),
            Error::WrongKey { object } | Error::KeyNotAtHand { object, .. } | Error::Newer { object, .. } => {
                self.add(object, &error.to_string(), points);
            }
            other => self.add(fallback, &other.to_string(), points),
        }
        Ok(())
    }

    /// Forgets what concerns only points that do not count any more.
    pub(super) fn keep(&mut self, counts: impl Fn(PointId) -> bool) {
        self.by_object.retain(|_, finding| {
            finding.points.is_empty()
                || finding.points.iter().any(|(volume, session)| counts(PointId { volume: *volume, session: *session }))
        });
    }

    pub(super) fn into_damaged(self) -> Vec<DamagedObject> {
        let said = |finding: Finding| finding.what.into_iter().collect::<Vec<_>>().join("; ");
        self.by_object.into_iter().map(|(object, finding)| DamagedObject { object, what: said(finding) }).collect()
    }
}
