//! Repository: writers, long readers and collectors of one store.
//!
//! In: bounds and rules. Out: every state in which the store and its actors can be. Never: content; what a point needs is a set of packs.

use std::fmt;

use stateright::{Model, Property};

use super::{
    check::Seen,
    collector::{Collector, Duties, Lists, Operation as Upkeep, program},
    rules::Rules,
    set::Set,
    store::{Kind, Late, Left, SESSIONS, Store},
    writer::{Operation as Work, Pins, Purpose, Session, Writer},
};

/// The most sessions that act.
const WRITERS: usize = SESSIONS - 1;

/// One session of the bounds.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What it is for.
    pub purpose: Purpose,
    /// How many packs it may put.
    pub packs: u8,
    /// It begins when the session before it is over.
    pub follows: bool,
    /// What it may pin.
    pub pins: Pins,
}

/// How far the model reaches.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Packs of the point that is there from the start.
    pub first_packs: u8,
    /// The sessions.
    pub parts: Vec<Part>,
    /// Runs of each collector.
    pub runs: Vec<u8>,
    /// What the environment may do.
    pub left: Left,
    /// How lists are read.
    pub lists: Lists,
    /// Whether packs may be deleted in any order.
    pub any_order: bool,
    /// Whether a list or get may fail, which ends the run.
    pub failures: bool,
    /// Whether states that differ only in which collector is which count as one. Halves the space; traces then mix up the collectors.
    pub symmetric: bool,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The objects.
    pub store: Store,
    writers: [Writer; WRITERS],
    collectors: [Collector; 2],
    /// Points that were once there with `.open` and without `abort` or `dead`.
    firm: Set,
    /// Points whose `.open` was lost to damage.
    lost: Set,
    /// Packs that were ever there, where repairs may put them again.
    ever: Set,
}

/// One store operation and the world after it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Action {
    what: What,
    next: World,
}

/// Who did what; sessions have the numbers of their points.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs, reason = "the variants are the actors, requests in flight and damage")]
pub enum What {
    Session(u8, Work),
    Collector(u8, Upkeep),
    Lands { kind: Kind, number: u8 },
    OpenIsLost { session: u8 },
    Repairs { pack: u8 },
}

/// The model: bounds, rules and what follows from them.
#[derive(Debug)]
pub struct Repository {
    bounds: Bounds,
    sessions: Vec<Session>,
    duties: Duties,
    alone: Duties,
    seen: Seen,
}

impl Repository {
    /// The model with these bounds and rules.
    pub fn new(bounds: Bounds, rules: Rules) -> Repository {
        let mut own = [Set::EMPTY; SESSIONS];
        own[0] = Set::below(bounds.first_packs);
        let mut packs = bounds.first_packs;
        let count = bounds.parts.len() as u8 + 1;
        let mut sessions = Vec::new();
        for (number, part) in (1..).zip(&bounds.parts) {
            own[number as usize] = Set::below(packs + part.packs) - Set::below(packs);
            packs += part.packs;
            let own = own[number as usize];
            let lists = bounds.lists;
            let Part { purpose, pins, .. } = *part;
            sessions.push(Session { number, purpose, own, pins, rules, lists, sessions: count });
        }
        let duties = Duties {
            rules,
            program: program(rules, false),
            lists: bounds.lists,
            sessions: count,
            packs,
            own,
            target: false,
            any_order: bounds.any_order,
            failures: bounds.failures,
            alone: false,
        };
        let alone = Duties { lists: Lists::AtOnce, alone: true, any_order: false, failures: false, ..duties.clone() };
        Repository { bounds, sessions, duties, alone, seen: Seen::default() }
    }

    fn writer_steps(&self, world: &World, out: &mut Vec<Action>) {
        for (at, (writer, session)) in world.writers.iter().zip(&self.sessions).enumerate() {
            if at > 0 && self.bounds.parts[at].follows && !world.writers[at - 1].over() {
                continue;
            }
            let mut successors = Vec::new();
            writer.successors(&world.store, session, &mut successors);
            for (operation, store, writer) in successors {
                let mut next = World { store, ..*world };
                next.writers[at] = writer;
                out.push(Action { what: What::Session(session.number, operation), next });
            }
        }
    }

    fn collector_steps(&self, world: &World, out: &mut Vec<Action>) {
        let mut successors = Vec::new();
        for (number, collector) in world.collectors.iter().enumerate() {
            collector.successors(&world.store, &self.duties, &mut successors);
            for (operation, store, collector) in successors.drain(..) {
                let mut next = World { store, ..*world };
                next.collectors[number] = collector;
                out.push(Action { what: What::Collector(number as u8, operation), next });
            }
        }
    }

    fn environment_steps(&self, world: &World, out: &mut Vec<Action>) {
        for (kind, number, store) in world.store.landings() {
            out.push(Action { what: What::Lands { kind, number }, next: World { store, ..*world } });
        }
        if let Some(repairs) = world.store.left.repairs.checked_sub(1) {
            for pack in (world.ever - world.store.packs).iter() {
                let mut next = *world;
                next.store.put(Kind::Pack, pack);
                next.store.left.repairs = repairs;
                out.push(Action { what: What::Repairs { pack }, next });
            }
        }
        let Some(losses) = world.store.left.losses.checked_sub(1) else { return };
        // Of the first point only: whoever lists points sees it. One that is put and then damaged within one run is beyond the claims.
        for session in (world.store.open & world.store.point & Set::of(0)).iter() {
            let mut next = *world;
            next.store.delete(Kind::Open, session);
            next.store.left.losses = losses;
            next.lost |= Set::of(session);
            out.push(Action { what: What::OpenIsLost { session }, next });
        }
    }

    /// Claim D: everybody has stopped; two runs leave exactly the valid points and what they need.
    fn converges(&self, world: &World) -> bool {
        let Some(store) = Collector::run_twice(world.store, &self.alone) else { return false };
        let kept = store.valid();
        store.point == kept
            && store.open == kept
            && store.packs == store.needs_of(kept)
            && (store.dead | store.doomed | store.collectors | store.dead_collectors).is_empty()
            && store.abort.within(kept)
    }

    /// Claim A.
    fn successes_stand(&self, world: &World) -> bool {
        let store = &world.store;
        let succeeded = world.writers.iter().zip(&self.sessions).filter(|(writer, _)| writer.succeeded());
        let succeeded: Set = succeeded.map(|(_, session)| session.number).collect();
        let standing = (succeeded | Set::of(0)) - store.ever_doomed;
        (standing - world.lost).within(store.valid()) && standing.iter().all(|point| store.complete(point))
    }

    /// Claim C.
    fn pins_hold(&self, world: &World) -> bool {
        let store = &world.store;
        world.writers.iter().zip(&self.sessions).all(|(writer, session)| {
            let running = store.open.has(session.number) && !store.dead.has(session.number);
            !running || writer.relies_on().iter().all(|pin| store.point.has(pin) && store.complete(pin))
        })
    }
}

impl Model for Repository {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let first = Set::of(0);
        let mut store = Store { open: first, point: first, left: self.bounds.left, ..Store::default() };
        store.packs = Set::below(self.bounds.first_packs);
        store.needs[0] = store.packs;
        let mut world = World {
            store,
            writers: [Writer::default(); WRITERS],
            collectors: [Collector::default(); 2],
            firm: first,
            lost: Set::EMPTY,
            ever: Set::EMPTY,
        };
        for (number, &runs) in self.bounds.runs.iter().enumerate() {
            world.collectors[number] = Collector::new(number as u8, runs, &self.duties);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.writer_steps(world, actions);
        self.collector_steps(world, actions);
        self.environment_steps(world, actions);
        for action in actions {
            let store = &action.next.store;
            action.next.firm |= (store.point & store.open) - store.abort - store.dead;
            if self.bounds.left.repairs > 0 {
                action.next.ever |= store.packs;
            }
            if self.bounds.symmetric {
                Collector::exchange(&mut action.next.collectors, &mut action.next.store);
            }
        }
    }

    fn next_state(&self, _: &World, action: Action) -> Option<World> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "A: a reported success stays valid and complete until it is doomed",
                |model: &Self, world| model.successes_stand(world),
            ),
            Property::always("B: what is valid is complete", |_, world: &World| {
                world.store.valid().iter().all(|point| world.store.complete(point))
            }),
            Property::always("C: a running session's pins keep their packs", |model: &Self, world| {
                model.pins_hold(world)
            }),
            Property::always("E: a point once seen without abort never becomes dead", |_, world: &World| {
                ((world.firm & world.store.dead) - world.store.ever_doomed).is_empty()
            }),
            Property::always(
                "D: when everybody has stopped, two runs leave what is needed",
                |model: &Self, world: &World| {
                    let quiet = world.store.late == Late::default();
                    !quiet || !model.seen.first_time(world.store) || model.converges(world)
                },
            ),
        ]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.next.store;
        write!(
            f,
            "{:62} open {:?} point {:?} packs {:?} abort {:?} dead {:?} doomed {:?}",
            format!("{:?}", self.what),
            store.open,
            store.point,
            store.packs,
            store.abort,
            store.dead,
            store.doomed,
        )
    }
}
