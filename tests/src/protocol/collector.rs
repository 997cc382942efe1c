//! Collector: upkeep's run C1 to C8, one store operation after the other.
//!
//! In: a store and how far the run is. Out: every way it can go on. Never: remembers anything from one run to the next.

use super::{
    rules::Rules,
    set::Set,
    store::{SESSIONS, Store},
};

mod program;
mod run;

pub use program::{Step, program};

/// What a collector's store operation was and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are the steps C1 to C8, the fields what was seen")]
pub enum Operation {
    ReadGone { packs: Set, points: Set },
    ListPoints { seen: Set },
    ListMarks { dead: Set, doomed: Set },
    Doom { point: u8 },
    DoomNothing,
    ReadRoot { point: u8, there: bool },
    ListPacks { seen: Set },
    ListSessions { seen: Set },
    ReadPins { session: u8, pins: Set, there: Set },
    LookForOwnPoint { session: u8, there: bool },
    LookForOpenAgain { session: u8, there: bool },
    DeletePack { pack: u8 },
    DeleteOpen { session: u8 },
    DeletePoint { session: u8 },
    DeleteMarks { session: u8 },
    KnownToBeAlive { session: u8 },
    PutAbort { session: u8 },
    LookBeforeDead { session: u8, committed: bool },
    PutDead { session: u8 },
    Announce,
    LookAtOwn { dead: bool },
    DeleteCollector { name: u8 },
    CollectorKnownToBeAlive { name: u8 },
    PutCollectorDead { name: u8 },
    Withdraw,
    Fails,
}

/// How the keys of one list are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lists {
    /// A list is one operation.
    AtOnce,
    /// Each key is read by an operation of its own, in ascending order.
    KeyByKey,
    /// The same in descending order; names are random, so that any order of creation may be any order in a list.
    Backwards,
}

/// What all collectors of a model have in common.
#[derive(Clone, Debug)]
pub struct Duties {
    /// The rules it follows.
    pub rules: Rules,
    /// The order of its run.
    pub program: Vec<Step>,
    /// How it reads lists.
    pub lists: Lists,
    /// Sessions of the model, and packs.
    pub sessions: u8,
    /// Packs of the model.
    pub packs: u8,
    /// The packs that lie under each session's name.
    pub own: [Set; SESSIONS],
    /// Whether this is the target of a replication.
    pub target: bool,
    /// Whether packs may be deleted in any order.
    pub any_order: bool,
    /// Whether a list or get may fail, which ends the run.
    pub failures: bool,
    /// Nobody else acts any more: nothing is chosen, nobody is alive.
    pub alone: bool,
}

/// One collector: what it has seen in its present run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Collector {
    /// Runs left, the present one included.
    pub runs: u8,
    at: u8,
    /// The key, point or session that is next, and how much of it is done.
    cursor: u8,
    phase: u8,
    points: Set,
    dead: Set,
    doomed: Set,
    marked: Set,
    packs: Set,
    sessions: Set,
    live: Set,
    pinned: Set,
    running: Set,
    /// What the session that is being judged would keep live.
    held: Set,
    gone_packs: Set,
    gone_points: Set,
    /// Where its announcements begin; each run has one of its own.
    first_name: u8,
    /// Other runs that are announced, and those that were dead in C1.
    others: Set,
    dead_others: Set,
}

type Successors = Vec<(Operation, Store, Collector)>;

impl Collector {
    /// A collector that will run so many times, at most three. Its number tells its announcements apart: 0, 1, and 2 for who runs alone.
    pub fn new(number: u8, runs: u8, duties: &Duties) -> Collector {
        Collector { runs, first_name: 3 * number, ..Collector::default() }.settle(duties)
    }

    /// Of two states that differ only in which collector is which, always the same one.
    pub fn exchange(collectors: &mut [Collector; 2], store: &mut Store) {
        let [first, second] = collectors.map(Collector::exchanged);
        let exchanged = (second, first, store.collectors.exchanged(), store.dead_collectors.exchanged());
        if exchanged < (collectors[0], collectors[1], store.collectors, store.dead_collectors) {
            *collectors = [second, first];
            (_, _, store.collectors, store.dead_collectors) = exchanged;
        }
    }

    /// What two runs leave that nobody disturbs; nothing if they cannot go on.
    pub fn run_twice(mut store: Store, alone: &Duties) -> Option<Store> {
        let mut collector = Collector::new(2, 2, alone);
        let mut out = Successors::new();
        while collector.runs > 0 {
            out.clear();
            collector.successors(&store, alone, &mut out);
            (_, store, collector) = *out.first()?;
        }
        Some(store)
    }

    /// The same with the two collectors' announcements exchanged.
    fn exchanged(self) -> Collector {
        let first_name = match self.first_name {
            _ if self.runs == 0 => 0,
            0 => 3,
            _ => 0,
        };
        let (others, dead_others) = (self.others.exchanged(), self.dead_others.exchanged());
        Collector { first_name, others, dead_others, ..self }
    }

    /// What this run is announced as.
    fn name(&self) -> u8 {
        self.first_name + self.runs - 1
    }

    /// Every way in which the run can go on.
    pub fn successors(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        if self.runs == 0 {
            return;
        }
        let first = out.len();
        if duties.failures && self.runs > 1 && self.at > 0 {
            out.push((Operation::Fails, *store, self.ended()));
        }
        match duties.program[self.at as usize] {
            Step::ReadGone => self.read_gone(store, duties, out),
            Step::ListPoints | Step::ListMarks | Step::ListPacks | Step::ListSessions => self.list(store, duties, out),
            Step::Doom => self.doom(store, duties, out),
            Step::Roots => self.read_root(store, out),
            Step::JudgeSessions => self.judge(store, duties, out),
            Step::DeletePacks | Step::DeleteOpen | Step::DeletePoint | Step::DeleteMarks => {
                self.delete(store, duties, out);
            }
            Step::DeclareDead => self.declare_dead(store, duties, out),
            Step::Announce | Step::LookAtOwn | Step::Withdraw => self.announced(store, duties, out),
            Step::DeleteCollectors | Step::DeclareCollectorsDead => self.end_others(store, duties, out),
        }
        for (_, _, next) in &mut out[first..] {
            *next = next.settle(duties);
        }
    }

    fn ended(&self) -> Collector {
        Collector { runs: self.runs - 1, first_name: self.first_name, ..Collector::default() }
    }

    fn advance(&mut self) {
        self.at += 1;
        self.cursor = 0;
        self.phase = 0;
    }

    /// Goes past steps that have nothing to do, and forgets what the rest of the run cannot use.
    fn settle(mut self, duties: &Duties) -> Collector {
        if self.runs == 0 {
            return Collector::default();
        }
        loop {
            let Some(step) = duties.program.get(self.at as usize) else {
                self = self.ended();
                if self.runs == 0 {
                    return self;
                }
                continue;
            };
            let idle = match step {
                Step::Roots => self.roots_left().is_empty(),
                Step::JudgeSessions => self.sessions_left().is_empty(),
                Step::DeletePacks | Step::DeleteOpen | Step::DeletePoint | Step::DeleteMarks => {
                    self.deletable(duties).is_empty()
                }
                Step::DeclareDead => self.suspects(duties).is_empty(),
                Step::DeleteCollectors => self.dead_others.is_empty(),
                Step::DeclareCollectorsDead => (self.others - self.dead_others).is_empty(),
                _ => false,
            };
            if !idle {
                return self.forget(&duties.program[self.at as usize..]);
            }
            self.advance();
        }
    }

    fn forget(mut self, rest: &[Step]) -> Collector {
        if !rest.contains(&Step::DeletePacks) {
            self.packs = Set::EMPTY;
            self.live = Set::EMPTY;
            self.gone_packs = Set::EMPTY;
        }
        if !rest.contains(&Step::Doom) {
            self.gone_points = Set::EMPTY;
        }
        if !rest.contains(&Step::DeleteCollectors) && !rest.contains(&Step::DeleteMarks) {
            let Collector { runs, at, cursor, phase, running, first_name, others, dead_others, .. } = self;
            let kept = Collector { runs, at, cursor, phase, running, first_name, ..Collector::default() };
            let others = if rest.contains(&Step::DeclareCollectorsDead) { others - dead_others } else { Set::EMPTY };
            self = Collector { others, ..kept };
        }
        self
    }
}
