//! Replica: a source whose points are copied to a target that collects garbage itself.
//!
//! In: bounds and rules. Out: every state in which source, replicators, target and its collectors can be. Never: models the source in detail:
//! what [`super::repository`] proves of a repository is taken as given here (a valid point is complete; `.open`, `.point`, marks go in this
//! order; names never recur).

use std::fmt;

use stateright::{Model, Property};

use super::{
    check::Seen,
    collector::{Collector, Duties, Lists, Operation as Upkeep, program},
    replicator::{Copying, Operation as Copy, Replicator, Task},
    rules::Rules,
    set::Set,
    store::{Kind, Late, Left, SESSIONS, Store},
    writer::{Operation as Read, Pins, Purpose, Session, Writer},
};

mod source;

pub use source::Source;

/// How far the model reaches.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The packs that each source point needs.
    pub needs: Vec<Set>,
    /// How many of the points are there from the start; the others come one after the other.
    pub committed: u8,
    /// What each replicator does, and how often.
    pub replicators: Vec<(Task, u8)>,
    /// Runs of each of the target's collectors.
    pub runs: Vec<u8>,
    /// Points that the source's retention dooms.
    pub source_dooms: u8,
    /// Points that the target's retention dooms.
    pub target_dooms: u8,
    /// Late requests, at the source and at the target.
    pub lates: u8,
    /// Whether the target may be promoted.
    pub promotion: bool,
    /// Whether somebody reads in the target for a long time.
    pub reader: bool,
    /// How lists are read.
    pub lists: Lists,
    /// Whether states that differ only in which replicator or which collector is which count as one.
    pub symmetric: bool,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// Where points come from.
    pub source: Source,
    /// Where they are copied to.
    pub target: Store,
    replicators: [Replicator; 2],
    collectors: [Collector; 2],
    reader: Writer,
    reported: Set,
    zombie_reported: bool,
    may_promote: bool,
}

/// One store operation and the world after it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Action {
    what: What,
    next: World,
}

/// Who did what.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the operations of the source, of the operator, of requests in flight and of the actors"
)]
pub enum What {
    SourceCommits { point: u8 },
    SourceDooms { point: u8 },
    SourceDeletesPack { pack: u8 },
    SourceDeletesOpen { point: u8 },
    SourceDeletesPoint { point: u8 },
    SourceDeletesMarks { point: u8 },
    LateAtSource { point: u8 },
    LateAtTarget { kind: Kind, number: u8 },
    Promote,
    Replicator(u8, Copy),
    TargetCollector(u8, Upkeep),
    Reader(Read),
}

/// The model: bounds, rules and what follows from them.
#[derive(Debug)]
pub struct Replica {
    bounds: Bounds,
    rules: Rules,
    reader: Session,
    duties: Duties,
    alone: Duties,
    seen: Seen,
}

impl Replica {
    /// The model with these bounds and rules.
    pub fn new(bounds: Bounds, rules: Rules) -> Replica {
        let points = bounds.needs.len() as u8;
        let packs = bounds.needs.iter().fold(Set::EMPTY, |all, &needs| all | needs);
        let duties = Duties {
            rules,
            program: program(rules, true),
            lists: bounds.lists,
            sessions: points + u8::from(bounds.reader),
            packs: packs.iter().last().map_or(0, |last| last + 1),
            own: [Set::EMPTY; SESSIONS],
            target: true,
            any_order: false,
            failures: false,
            alone: false,
        };
        let alone = Duties { lists: Lists::AtOnce, alone: true, ..duties.clone() };
        let reader = Session {
            number: points,
            purpose: Purpose::Reading,
            own: Set::EMPTY,
            pins: Pins::Any,
            rules,
            lists: bounds.lists,
            sessions: points,
        };
        Replica { bounds, rules, reader, duties, alone, seen: Seen::default() }
    }

    fn needs(&self, points: Set) -> Set {
        points.iter().fold(Set::EMPTY, |all, point| all | self.bounds.needs[point as usize])
    }

    /// What is valid at the source.
    fn valid_at_source(&self, source: &Source) -> Set {
        (source.point & source.open) - source.doomed
    }

    fn replicator_steps(&self, world: &World, out: &mut Vec<Action>) {
        for (number, replicator) in world.replicators.iter().enumerate() {
            let copying = Copying {
                source: &world.source,
                rules: self.rules,
                lists: self.bounds.lists,
                needs: &self.bounds.needs,
            };
            let mut successors = Vec::new();
            replicator.successors(&world.target, &copying, &mut successors);
            for (operation, target, replicator) in successors {
                let mut next = World { target, ..*world };
                next.replicators[number] = replicator;
                if let Copy::Report { point, zombie } = operation {
                    next.reported |= Set::of(point);
                    next.zombie_reported |= zombie;
                }
                out.push(Action { what: What::Replicator(number as u8, operation), next });
            }
        }
    }

    fn collector_steps(&self, world: &World, out: &mut Vec<Action>) {
        for (number, collector) in world.collectors.iter().enumerate() {
            let mut successors = Vec::new();
            collector.successors(&world.target, &self.duties, &mut successors);
            for (operation, target, collector) in successors {
                let mut next = World { target, ..*world };
                next.collectors[number] = collector;
                out.push(Action { what: What::TargetCollector(number as u8, operation), next });
            }
        }
    }

    /// Claim D: everybody has stopped and late requests have landed; the source is swept, a replicator runs to its end, the target is
    /// collected twice.
    fn converges(&self, world: &World) -> bool {
        let mut end = *world;
        end.target = world.target.settled();
        end.source.point |= std::mem::take(&mut end.source.late);
        // A `.point` that landed again is doomed again.
        end.source.doomed |= end.source.point - end.source.open;
        while let Some((_, source)) = self.source_sweeps(&end.source).pop() {
            end.source = source;
        }
        let valid = self.valid_at_source(&end.source);
        if !end.target.promoted {
            for point in (valid - end.target.doomed).iter() {
                end.target.put(Kind::Point, point);
                end.target.needs[point as usize] = self.bounds.needs[point as usize];
                end.target.packs |= self.bounds.needs[point as usize];
                end.target.put(Kind::Open, point);
            }
            end.target.gone_packs |= end.target.packs - end.source.packs;
            end.target.gone_points |= end.target.point - end.source.point;
        }
        let Some(target) = Collector::run_twice(end.target, &self.alone) else { return false };
        let kept = target.valid();
        let same = target.promoted || valid.within(kept);
        same && target.point == kept && target.open == kept && target.packs == target.needs_of(kept)
    }
}

impl Model for Replica {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let first = Set::below(self.bounds.committed);
        let source = Source {
            open: first,
            point: first,
            packs: self.needs(first),
            committed: self.bounds.committed,
            dooms: self.bounds.source_dooms,
            lates: self.bounds.lates,
            ..Source::default()
        };
        let left = Left { dooms: self.bounds.target_dooms, lates: self.bounds.lates, ..Left::default() };
        let mut world = World {
            source,
            target: Store { left, ..Store::default() },
            replicators: [Replicator::default(); 2],
            collectors: [Collector::default(); 2],
            reader: Writer::default(),
            reported: Set::EMPTY,
            zombie_reported: false,
            may_promote: self.bounds.promotion,
        };
        for (number, &(task, runs)) in self.bounds.replicators.iter().enumerate() {
            world.replicators[number] = Replicator::new(task, runs);
        }
        for (number, &runs) in self.bounds.runs.iter().enumerate() {
            world.collectors[number] = Collector::new(number as u8, runs, &self.duties);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.source_steps(world, actions);
        self.replicator_steps(world, actions);
        self.collector_steps(world, actions);
        if self.bounds.reader {
            let mut successors = Vec::new();
            world.reader.successors(&world.target, &self.reader, &mut successors);
            for (operation, target, reader) in successors {
                actions.push(Action { what: What::Reader(operation), next: World { target, reader, ..*world } });
            }
        }
        for (kind, number, target) in world.target.landings() {
            actions.push(Action { what: What::LateAtTarget { kind, number }, next: World { target, ..*world } });
        }
        if world.may_promote {
            let target = Store { promoted: true, ..world.target };
            actions.push(Action { what: What::Promote, next: World { target, may_promote: false, ..*world } });
        }
        if self.bounds.symmetric {
            for action in actions {
                action.next.replicators.sort_unstable();
                Collector::exchange(&mut action.next.collectors, &mut action.next.target);
            }
        }
    }

    fn next_state(&self, _: &World, action: Action) -> Option<World> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("B: what is valid at the target is complete", |_, world: &World| {
                world.target.valid().iter().all(|point| world.target.complete(point))
            }),
            Property::always(
                "A: what was reported as replicated stays until the target dooms it",
                |_, world: &World| {
                    !world.zombie_reported && (world.reported - world.target.ever_doomed).within(world.target.valid())
                },
            ),
            Property::always(
                "C: what a running reader of the target pins keeps its packs",
                |model: &Replica, world: &World| {
                    let target = &world.target;
                    let running = target.open.has(model.reader.number) && !target.dead.has(model.reader.number);
                    !running || world.reader.relies_on().iter().all(|pin| target.point.has(pin) && target.complete(pin))
                },
            ),
            Property::always(
                "K: the target dooms nothing that is valid at the source",
                |model: &Replica, world: &World| {
                    world.target.promoted || (world.target.doomed & model.valid_at_source(&world.source)).is_empty()
                },
            ),
            Property::always(
                "D: when everybody has stopped, source and target converge",
                |model: &Replica, world: &World| {
                    let quiet = world.target.late == Late::default();
                    !quiet || !model.seen.first_time((world.source, world.target)) || model.converges(world)
                },
            ),
        ]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let World { source, target, .. } = self.next;
        write!(
            f,
            "{:60} source: open {:?} point {:?} doomed {:?} packs {:?} | target: open {:?} point {:?} doomed {:?} packs {:?}",
            format!("{:?}", self.what),
            source.open,
            source.point,
            source.doomed,
            source.packs,
            target.open,
            target.point,
            target.doomed,
            target.packs,
        )
    }
}
