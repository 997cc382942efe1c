//! Copy: points of the source become points of the target (R1 to R5), a batch at a time.
//!
//! In: what R0 found. Out: points that are valid at the target, the oldest first, and the others with the reason. Never: puts a `.open` before every pack of its point
//! was acknowledged, relies on what was seen of a point before its `.point` was, or lets one damaged point hold up the others.

mod packs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use model::VolumeId;

use crate::Error;
use crate::domain::Domain;
use crate::features::PROMOTED;
use crate::layout::{self, NeededBy};
use crate::marks::MarkSet;
use crate::parallel::{self, Budget, each};
use crate::point::PackSet;
use crate::session::{PointId, marks_of, read_reference};

use super::look::Looked;
use super::proof::{Read, read_open, read_point};
use super::report::{CopySide, ReplicateReport, WhyNot};
use super::{Places, ReplicateOptions, place};

use packs::{Packs, Trouble};

/// Points that are between R1 and R5 at the same time. More would cost fewer lists of marks and hold more reference parts in memory.
const BATCH_POINTS: usize = 64;

/// A point whose `.point` stands at the target.
struct Announced {
    point: PointId,
    packs: PackSet,
}

/// A point that was valid at the source after its `.point` stood at the target.
struct Wanted {
    point: PointId,
    packs: PackSet,
    open: Bytes,
}

/// What is read of a point, or that it is not copied.
enum Step<T> {
    Go(T),
    Gone(PointId),
    Damaged { point: PointId, object: String, what: String },
}

struct Run<'a> {
    places: &'a Places,
    options: &'a ReplicateOptions,
    budget: Arc<Budget>,
}

/// R1 to R5.
pub(super) fn copy(
    places: &Places,
    looked: &Looked,
    options: &ReplicateOptions,
    report: &mut ReplicateReport,
) -> Result<(), Error> {
    let run = Run { places, options, budget: Budget::new(options.memory_budget_bytes) };
    let mut packs = Packs::new(looked);
    for batch in looked.lacking.chunks(BATCH_POINTS) {
        let announced = run.announce(batch, report)?; // R1
        let wanted = run.look_at_source(announced, report)?; // R2
        packs.copy(&run, wanted.iter().map(|wanted| &wanted.packs), report)?; // R3
        let complete = run.keep_complete(wanted, &packs, report)?;
        run.open(&complete)?; // R4
        run.look_at_target(&complete, report)?; // R5
        options.progress.points.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// What [`copy`] would put, by names and sizes.
pub(super) fn plan(
    places: &Places,
    looked: &Looked,
    options: &ReplicateOptions,
    report: &mut ReplicateReport,
) -> Result<(), Error> {
    let run = Run { places, options, budget: Budget::new(options.memory_budget_bytes) };
    let references = each(run.threads(), &looked.lacking, |(point, _)| {
        options.check_cancel()?;
        match read_reference(&places.source, *point) {
            Ok(reference) => Ok(Some((*point, reference.packs))),
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    let mut packs = PackSet::default();
    for (point, needed) in references.into_iter().flatten() {
        packs.add_all(&needed);
        report.replicated.push(point);
    }
    for (pack, _) in packs.iter().filter(|(pack, _)| !looked.target_packs.contains(*pack)) {
        report.copied.packs += 1;
        report.copied.bytes += u64::from(looked.source_packs.size(pack).unwrap_or(0));
    }
    Ok(())
}

impl Run<'_> {
    fn threads(&self) -> usize {
        let threads = |domain: &Domain| domain.store().threads(parallel::REQUESTS);
        threads(&self.places.source).min(threads(&self.places.target))
    }

    /// R1. The `.point` announces what it needs: from now on no collector of the target takes a pack of it that the source still has.
    fn announce(&self, batch: &[(PointId, u64)], report: &mut ReplicateReport) -> Result<Vec<Announced>, Error> {
        let steps = each(self.threads(), batch, |(point, size)| {
            self.options.check_cancel()?;
            let object = layout::point(self.places.source.id(), point.volume, point.session);
            let _room = self.budget.take(*size);
            Ok(match read_point(&self.places.source, *point)? {
                Read::Good((bytes, reference)) => {
                    self.places.target.store().put(&object, bytes)?;
                    Step::Go(Announced { point: *point, packs: reference.packs })
                }
                Read::Missing => Step::Gone(*point),
                Read::Damaged(what) => Step::Damaged { point: *point, object, what },
            })
        })?;
        Ok(report.take(steps))
    }

    /// R2. At the source: marks, then `.open`. At the target: whether it takes copies still.
    fn look_at_source(&self, announced: Vec<Announced>, report: &mut ReplicateReport) -> Result<Vec<Wanted>, Error> {
        let source = &self.places.source;
        let marks = self.marks(source, announced.iter().map(|announced| announced.point))?;
        let steps = each(self.threads(), &announced, |Announced { point, .. }| {
            self.options.check_cancel()?;
            if is_over(&marks, *point) {
                return Ok(Step::Gone(*point));
            }
            let object = layout::session_open(source.id(), point.session);
            Ok(match read_open(source, *point)? {
                Read::Good(open) => Step::Go(open),
                Read::Missing => Step::Gone(*point),
                Read::Damaged(what) => Step::Damaged { point: *point, object, what },
            })
        })?;
        if self.places.target.store().exists(&layout::feature(PROMOTED, NeededBy::Collect))? {
            return Err(place::promoted());
        }
        let with_packs = |(step, Announced { point, packs })| match step {
            Step::Go(open) => Step::Go(Wanted { point, packs, open }),
            Step::Gone(point) => Step::Gone(point),
            Step::Damaged { point, object, what } => Step::Damaged { point, object, what },
        };
        Ok(report.take(steps.into_iter().zip(announced).map(with_packs).collect()))
    }

    /// Points with a pack that could not be copied stop here.
    fn keep_complete(
        &self,
        wanted: Vec<Wanted>,
        packs: &Packs<'_>,
        report: &mut ReplicateReport,
    ) -> Result<Vec<Wanted>, Error> {
        let mut complete = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let point = wanted.point;
            match packs.trouble(&wanted.packs) {
                None => complete.push(wanted),
                Some((_, Trouble::Missing)) if !self.is_valid_at_source(point)? => {
                    report.leave_out(point, WhyNot::GoneAtSource);
                }
                Some((pack, trouble)) => {
                    let (at, what) = trouble.told();
                    report.leave_out(point, WhyNot::Damaged);
                    report.damage_once(at, &self.places.source.pack_name(pack), what);
                }
            }
        }
        Ok(complete)
    }

    fn is_valid_at_source(&self, point: PointId) -> Result<bool, Error> {
        let source = &self.places.source;
        let marks = marks_of(source, point.volume)?;
        Ok(!marks.of(point.volume, point.session).invalidates()
            && source.store().exists(&layout::session_open(source.id(), point.session))?)
    }

    /// R4. Now they count.
    fn open(&self, complete: &[Wanted]) -> Result<(), Error> {
        let target = &self.places.target;
        each(self.threads(), complete, |Wanted { point, open, .. }| {
            self.options.check_cancel()?;
            Ok(target.store().put(&layout::session_open(target.id(), point.session), open.clone())?)
        })?;
        Ok(())
    }

    /// R5. What the target's retention had removed before, or removed meanwhile, is not replicated.
    fn look_at_target(&self, complete: &[Wanted], report: &mut ReplicateReport) -> Result<(), Error> {
        let marks = self.marks(&self.places.target, complete.iter().map(|wanted| wanted.point))?;
        for Wanted { point, .. } in complete {
            match is_over(&marks, *point) {
                true => report.leave_out(*point, WhyNot::DoomedAtTarget),
                false => report.replicated.push(*point),
            }
        }
        Ok(())
    }

    /// The marks of the volumes of some points, one list each.
    fn marks(
        &self,
        domain: &Domain,
        points: impl Iterator<Item = PointId>,
    ) -> Result<BTreeMap<VolumeId, MarkSet>, Error> {
        let mut volumes: Vec<VolumeId> = points.map(|point| point.volume).collect();
        volumes.sort_unstable();
        volumes.dedup();
        let marks = each(self.threads(), &volumes, |volume| marks_of(domain, *volume))?;
        Ok(volumes.into_iter().zip(marks).collect())
    }
}

fn is_over(marks: &BTreeMap<VolumeId, MarkSet>, point: PointId) -> bool {
    marks.get(&point.volume).is_some_and(|marks| marks.of(point.volume, point.session).invalidates())
}

impl ReplicateReport {
    /// What goes on; the rest is reported.
    fn take<T>(&mut self, steps: Vec<Step<T>>) -> Vec<T> {
        let mut going = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::Go(one) => going.push(one),
                Step::Gone(point) => self.leave_out(point, WhyNot::GoneAtSource),
                Step::Damaged { point, object, what } => {
                    self.leave_out(point, WhyNot::Damaged);
                    self.damage(CopySide::Source, &object, what);
                }
            }
        }
        going
    }

    /// A pack may be in the way of many points.
    fn damage_once(&mut self, at: CopySide, object: &str, what: &str) {
        if !self.damaged.iter().any(|damaged| damaged.at == at && damaged.object == object) {
            self.damage(at, object, what);
        }
    }
}
