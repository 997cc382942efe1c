//! Reader: restores points, announced or not, and looks whether they are what was backed up.

use model::ErrorClass;
use repository::Error;
use repository::domain::Domain;
use repository::generated::{MemoryTarget, Tree, difference};
use repository::read::{self, PointInfo, RESTORE_MEMORY_BYTES_MIN, RestoreOptions, View};
use repository::session::{PointId, Session};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;

/// How much of a table a view reads at once: little, so that more than one window occurs.
const WINDOW_BYTES: u64 = 16 << 10;

/// Restores.
pub(crate) struct Reader {
    pub(crate) side: Side,
}

/// A point restored into nothing; an error if anything of it was left out.
pub(crate) fn restored(domain: &Domain, point: PointId) -> Result<Tree, Error> {
    let view = View::open(domain, point, WINDOW_BYTES)?;
    let options = RestoreOptions { memory_budget_bytes: RESTORE_MEMORY_BYTES_MIN, ..RestoreOptions::default() };
    let target = MemoryTarget::default();
    let report = read::restore(domain, &view, &options, &target)?;
    if report.failed_count > 0 {
        return Err(Error::damaged("a restore", format!("it left out {:?}", report.failed)));
    }
    let breaches = target.breaches();
    if !breaches.is_empty() {
        return Err(Error::Bug(format!("the restore broke the contract of its target: {breaches:?}")));
    }
    Ok(target.snapshot())
}

/// What is wrong with a tree that a point was restored to.
pub(crate) fn wrong(process: &Process, point: PointId, tree: &Tree) -> Option<String> {
    let expected = process.surroundings.gate.world(process.actor).expected(point);
    let Some(expected) = expected else { return Some(format!("{} is valid, and nobody put it", point.session)) };
    let difference = difference(&expected.tree, tree)?;
    Some(format!("{} was restored to another tree than was backed up: {difference}", point.session))
}

impl Reader {
    fn read(&self, process: &mut Process, domain: &Domain, point: &PointInfo) {
        let announced = process.dice.one_in(2);
        if announced {
            match Session::open(domain, point.id.volume, vec![point.id], "reader") {
                Ok(session) if session.pins().is_empty() => return process.count("the point to be read is over"),
                Ok(_) => {}
                Err(error) => return process.failed("a reader could not announce itself", &error),
            }
        }
        match restored(domain, point.id) {
            Ok(_) if point.checkpoint => process.count("restore of a checkpoint"),
            Ok(tree) => match wrong(process, point.id, &tree) {
                None => process.count("restore"),
                Some(what) => process.fail(what),
            },
            Err(error) if error.class() == ErrorClass::Bug => process.fail(error.to_string()),
            Err(error) if self.is_excused(process, point.id, announced) => {
                process.surroundings.gate.world(process.actor).note(|| error.to_string());
                process.count("restore of a point that was removed meanwhile");
            }
            Err(error) => process.failed("restore failed", &error),
        }
    }

    /// What a list shows was valid while it was made.
    fn shown(&self, process: &Process, points: &[PointInfo]) {
        let mut world = process.surroundings.gate.world(process.actor);
        let begun = world.standings[process.actor].begun;
        let truth = world.truth();
        if let Some(wrong) = points.iter().find(|point| !truth.was_valid_since(point.id, begun)) {
            world.fail(format!("readers: {} is shown, and was not valid", wrong.id.session));
        }
    }

    /// Unannounced, a point may go while it is read; announced only if the reader was taken for dead.
    fn is_excused(&self, process: &Process, point: PointId, announced: bool) -> bool {
        let mut world = process.surroundings.gate.world(process.actor);
        let session = world.standings[process.actor].session;
        match session.filter(|_| announced) {
            None => !world.truth().is_valid(point),
            Some(session) => !world.truth().is_running(session),
        }
    }
}

impl Actor for Reader {
    fn side(&self) -> Side {
        self.side
    }

    fn act(&mut self, process: &mut Process) {
        let listed = process.domain().and_then(|domain| Ok((read::points(&domain, None)?, domain)));
        let (list, domain) = match listed {
            Ok(listed) => listed,
            Err(error) => return process.not_opened("list of points failed", &error),
        };
        if let Some((name, why)) = list.unreadable.first()
            && !process.was_hindered()
        {
            process.fail(format!("{name} cannot be read, and nothing harmed it: {why}"));
        }
        self.shown(process, &list.points);
        match process.dice.index(list.points.len()) {
            None => process.count("nothing to restore"),
            Some(index) => self.read(process, &domain, &list.points[index]),
        }
    }
}
