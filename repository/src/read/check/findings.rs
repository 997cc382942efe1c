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
    /// What was good at the second look.
    transient: BTreeMap<String, String>,
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
        let what = said_of_object(&error);
        match &error {
            Error::Damaged { object, .. }
            | Error::WrongKey { object }
            | Error::KeyNotAtHand { object, .. }
            | Error::Newer { object, .. } => self.add(object, &what, points),
            _ => self.add(fallback, &what, points),
        }
        Ok(())
    }

    /// Something was wrong at the first look and is not at the second.
    pub(super) fn add_transient(&mut self, object: &str, what: String) {
        self.transient.entry(object.to_owned()).or_insert(what);
    }

    /// Does something again before it counts as damage: a bad read is not a bad object.
    pub(super) fn twice<T>(&mut self, object: &str, mut look: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let first = match look() {
            Err(error) if concerns_one_object(&error) || is_missing(&error) => error,
            looked => return looked,
        };
        let second = look();
        if second.is_ok() {
            self.add_transient(object, said_of_object(&first));
        }
        second
    }

    /// Forgets what concerns only points that do not count any more.
    pub(super) fn keep(&mut self, counts: impl Fn(PointId) -> bool) {
        self.by_object.retain(|_, finding| {
            finding.points.is_empty()
                || finding.points.iter().any(|(volume, session)| counts(PointId { volume: *volume, session: *session }))
        });
    }

    /// What is damaged, and what was only once.
    pub(super) fn into_lists(self) -> (Vec<DamagedObject>, Vec<DamagedObject>) {
        let said = |finding: Finding| finding.what.into_iter().collect::<Vec<_>>().join("; ");
        let damaged =
            self.by_object.into_iter().map(|(object, finding)| DamagedObject { object, what: said(finding) }).collect();
        let transient = self.transient.into_iter().map(|(object, what)| DamagedObject { object, what }).collect();
        (damaged, transient)
    }
}

fn is_missing(error: &Error) -> bool {
    match error {
        Error::Missing(_) => true,
        Error::Store(error) => error.is_not_found(),
        _ => false,
    }
}

/// What is wrong, without the object's name where the error has it apart.
pub(super) fn said_of_object(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        other => other.to_string(),
    }
}
