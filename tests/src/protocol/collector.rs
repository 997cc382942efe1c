//! Collector: upkeep's run C1 to C8, one store operation after the other.
//!
//! In: a store and how far the run is. Out: every way it can go on. Never: remembers anything from one run to the next.

use super::{
    rules::{Rule, Rules},
    set::Set,
    store::{Kind, SESSIONS, Store},
};

/// What a run does, in this order; [`program`] says which order that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Only at a target: what is recorded gone, and whether it was promoted.
    ReadGone,
    /// C1: the points.
    ListPoints,
    /// C1: the marks.
    ListMarks,
    /// C2: `doomed` for what retention gives up.
    Doom,
    /// C2: the reference parts of what is neither dead nor doomed.
    Roots,
    /// C3: the packs.
    ListPacks,
    /// C4: the sessions.
    ListSessions,
    /// C5: what each session without point and mark is.
    JudgeSessions,
    /// C6: packs that nothing needs.
    DeletePacks,
    /// C7: `.open` of dead and doomed names.
    DeleteOpen,
    /// C7: `.point` of the same names.
    DeletePoint,
    /// C7: their marks.
    DeleteMarks,
    /// C8: `abort`, look, `dead`.
    DeclareDead,
}

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
}

/// The order of a run: C1 to C8, but where a rule is left out.
pub fn program(rules: Rules, target: bool) -> Vec<Step> {
    use Step::{
        DeclareDead, DeleteMarks, DeleteOpen, DeletePacks, DeletePoint, Doom, JudgeSessions, ListMarks, ListPacks,
        ListPoints, ListSessions, ReadGone, Roots,
    };
    let mut steps = vec![ListPoints, ListMarks, Doom, Roots, ListPacks, ListSessions, JudgeSessions, DeletePacks];
    let mut move_behind = |step: Step, other: Step| {
        steps.retain(|&each| each != step);
        let behind = steps.iter().position(|&each| each == other).map_or(steps.len(), |at| at + 1);
        steps.insert(behind, step);
    };
    if !rules.keep(Rule::SessionsAfterPacks) {
        move_behind(ListPacks, ListSessions);
    }
    if !rules.keep(Rule::RootsBeforeSessions) {
        move_behind(Roots, JudgeSessions);
    }
    if !rules.keep(Rule::DoomBeforeSessions) {
        move_behind(Doom, ListSessions);
        move_behind(Roots, Doom);
    }
    if !rules.keep(Rule::MarksListedFirst) {
        move_behind(ListPoints, ListSessions);
        move_behind(ListMarks, ListPoints);
        move_behind(Doom, ListMarks);
        move_behind(Roots, Doom);
    }
    if target {
        steps.insert(0, ReadGone);
        if !rules.keep(Rule::GoneReadFirst) {
            steps.insert(steps.len() - 1, ReadGone);
        }
    }
    let names = match (rules.keep(Rule::MarksGoLast), rules.keep(Rule::OpenGoesBeforePoint)) {
        (true, true) => [DeleteOpen, DeletePoint, DeleteMarks],
        (true, false) => [DeletePoint, DeleteOpen, DeleteMarks],
        (false, _) => [DeleteMarks, DeleteOpen, DeletePoint],
    };
    steps.extend(names);
    if rules.keep(Rule::DeadCountsNextRun) {
        steps.push(DeclareDead);
    } else {
        let judging = steps.iter().position(|&step| step == JudgeSessions).unwrap_or_default();
        steps.insert(judging, DeclareDead);
    }
    steps
}

type Successors = Vec<(Operation, Store, Collector)>;

impl Collector {
    /// A collector that will run so many times.
    pub fn new(runs: u8, duties: &Duties) -> Collector {
        Collector { runs, ..Collector::default() }.settle(duties)
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
        }
        for (_, _, next) in &mut out[first..] {
            *next = next.settle(duties);
        }
    }

    fn read_gone(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let mut next = *self;
        next.gone_packs = if store.promoted { Set::ALL } else { store.gone_packs };
        next.gone_points = if store.promoted { Set::ALL } else { store.gone_points };
        if !duties.rules.keep(Rule::OnlyGonePacksGo) {
            next.gone_packs = Set::ALL;
        }
        if !duties.rules.keep(Rule::OnlyGonePointsDoomed) {
            next.gone_points = Set::ALL;
        }
        next.at += 1;
        out.push((Operation::ReadGone { packs: next.gone_packs, points: next.gone_points }, *store, next));
    }

    /// Reads a whole list, or its next key.
    fn list(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let step = duties.program[self.at as usize];
        let count = if step == Step::ListPacks { duties.packs } else { duties.sessions };
        let read = match duties.lists {
            Lists::AtOnce => Set::ALL,
            Lists::KeyByKey => Set::of(self.cursor),
            Lists::Backwards => Set::of(count - 1 - self.cursor),
        };
        let mut next = *self;
        let operation = match step {
            Step::ListPoints => {
                next.points |= store.point & read;
                Operation::ListPoints { seen: store.point & read }
            }
            Step::ListMarks => {
                next.dead |= store.dead & read;
                next.doomed |= store.doomed & read;
                next.marked |= (store.dead | store.doomed | store.abort) & read;
                Operation::ListMarks { dead: store.dead & read, doomed: store.doomed & read }
            }
            Step::ListPacks => {
                next.packs |= store.packs & read;
                Operation::ListPacks { seen: store.packs & read }
            }
            _ => {
                next.sessions |= store.open & read;
                Operation::ListSessions { seen: store.open & read }
            }
        };
        next.cursor += 1;
        if duties.lists == Lists::AtOnce || next.cursor == count {
            next.advance();
        }
        out.push((operation, *store, next));
    }

    /// Points that this run may doom: seen, and neither dead nor doomed; at a target also recorded gone.
    fn doomable(&self, duties: &Duties) -> Set {
        let seen = self.points - self.dead - self.doomed;
        if duties.target { seen & self.gone_points } else { seen }
    }

    fn doom(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let mut next = *self;
        next.advance();
        // A point without `.open` is invalid to readers for ever: retention gives it up even if it gives up nothing else.
        let orphans = self.doomable(duties) - store.open;
        if duties.alone {
            match orphans.first() {
                Some(point) => out.push(self.put_doomed(store, point, *self)),
                None => out.push((Operation::DoomNothing, *store, next)),
            }
            return;
        }
        out.push((Operation::DoomNothing, *store, next));
        if store.left.dooms == 0 {
            return;
        }
        for point in self.doomable(duties).iter() {
            let (operation, mut doomed, collector) = self.put_doomed(store, point, next);
            doomed.left.dooms -= 1;
            out.push((operation, doomed, collector));
            if let Some(late) = doomed.with_late(Kind::Doomed, point) {
                out.push((operation, late, collector));
            }
        }
    }

    fn put_doomed(&self, store: &Store, point: u8, mut next: Collector) -> (Operation, Store, Collector) {
        let mut store = *store;
        store.put(Kind::Doomed, point);
        store.ever_doomed |= Set::of(point);
        next.doomed |= Set::of(point);
        next.marked |= Set::of(point);
        (Operation::Doom { point }, store, next)
    }

    fn roots_left(&self) -> Set {
        (self.points - self.dead - self.doomed) & Set::from(self.cursor)
    }

    fn read_root(&self, store: &Store, out: &mut Successors) {
        let Some(point) = self.roots_left().first() else { return };
        let mut next = *self;
        let there = store.point.has(point);
        if there {
            next.live |= store.needs[point as usize];
        }
        next.cursor = point + 1;
        out.push((Operation::ReadRoot { point, there }, *store, next));
    }

    fn sessions_left(&self) -> Set {
        (self.sessions - self.points - self.dead - self.doomed) & Set::from(self.cursor)
    }

    /// C5: pins, own point, own `.open` again; what is not found over on the way is running.
    fn judge(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let Some(session) = self.sessions_left().first() else { return };
        let rules = duties.rules;
        let mut next = *self;
        next.cursor = session;
        let looks: &[u8] = match (rules.keep(Rule::LookForOwnPoint), rules.keep(Rule::PinsBeforeOwnPoint)) {
            (true, true) => &[0, 1, 2],
            (true, false) => &[1, 0, 2],
            (false, _) => &[0, 2],
        };
        let looks = if rules.keep(Rule::OpenLookedForAgain) { looks } else { &looks[..looks.len() - 1] };
        let (operation, over) = match looks[self.phase as usize] {
            0 => {
                let pins = store.pins[session as usize];
                if rules.keep(Rule::PinsAreLive) {
                    next.held |= store.needs_of(pins & store.point);
                }
                (Operation::ReadPins { session, pins, there: pins & store.point }, false)
            }
            1 => {
                let there = store.point.has(session);
                if there {
                    next.live |= store.needs[session as usize];
                }
                (Operation::LookForOwnPoint { session, there }, there)
            }
            _ => {
                let there = store.open.has(session);
                if !there && rules.keep(Rule::GoneOpenEndsRun) {
                    out.push((Operation::LookForOpenAgain { session, there }, *store, self.ended()));
                    return;
                }
                (Operation::LookForOpenAgain { session, there }, !there)
            }
        };
        next.phase += 1;
        if over || next.phase as usize == looks.len() {
            if !over {
                next.live |= next.held;
                if rules.keep(Rule::OwnPacksAreLive) {
                    next.live |= duties.own[session as usize];
                }
                if rules.keep(Rule::PinnedNamesStay) {
                    next.pinned |= store.pins[session as usize];
                }
                next.running |= Set::of(session);
            }
            next.held = Set::EMPTY;
            next.cursor = session + 1;
            next.phase = 0;
        }
        out.push((operation, *store, next));
    }

    /// What the present deleting step still has to delete.
    fn deletable(&self, duties: &Duties) -> Set {
        let over = (self.dead | self.doomed) - self.pinned;
        match duties.program[self.at as usize] {
            Step::DeletePacks if duties.target => (self.packs - self.live) & self.gone_packs,
            Step::DeletePacks => self.packs - self.live,
            Step::DeleteOpen if duties.rules.keep(Rule::OpenOfPointStays) => over & self.sessions,
            Step::DeleteOpen => (over | self.points) & self.sessions,
            Step::DeletePoint => over & self.points,
            // Without `.open` in the list, marks are what an earlier run left.
            Step::DeleteMarks => {
                let marks = self.marked - self.pinned;
                let kept =
                    if duties.target && duties.rules.keep(Rule::TombstonesStay) { self.doomed } else { Set::EMPTY };
                (marks & (self.dead | self.doomed | (Set::ALL - self.sessions))) - kept
            }
            _ => Set::EMPTY,
        }
    }

    fn delete(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let candidates = self.deletable(duties);
        for number in candidates.iter() {
            let mut store = *store;
            let mut next = *self;
            let gone = Set::of(number);
            let operation = match duties.program[self.at as usize] {
                Step::DeletePacks => {
                    store.delete(Kind::Pack, number);
                    next.packs -= gone;
                    Operation::DeletePack { pack: number }
                }
                Step::DeleteOpen => {
                    store.delete(Kind::Open, number);
                    next.sessions -= gone;
                    Operation::DeleteOpen { session: number }
                }
                Step::DeletePoint => {
                    store.delete(Kind::Point, number);
                    next.points -= gone;
                    Operation::DeletePoint { session: number }
                }
                _ => {
                    store.delete(Kind::Abort, number);
                    store.delete(Kind::Dead, number);
                    store.delete(Kind::Doomed, number);
                    next.marked -= gone;
                    Operation::DeleteMarks { session: number }
                }
            };
            out.push((operation, store, next));
            if !(duties.any_order && duties.program[self.at as usize] == Step::DeletePacks) {
                break;
            }
        }
    }

    fn declare_dead(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let Some(session) = self.suspects(duties).first() else { return };
        let mut next = *self;
        let done = Collector { cursor: session + 1, phase: 0, ..*self };
        next.cursor = session;
        if self.phase == 0 {
            if !duties.alone {
                out.push((Operation::KnownToBeAlive { session }, *store, done));
            }
            next.phase = if duties.rules.keep(Rule::LookBeforeDead) { 1 } else { 2 };
            if duties.rules.keep(Rule::AbortBeforeDead) {
                put_mark(store, Kind::Abort, Operation::PutAbort { session }, session, next, out);
                return;
            }
        }
        match next.phase {
            1 => {
                let committed = store.point.has(session);
                next.phase = 2;
                let next = if committed { done } else { next };
                out.push((Operation::LookBeforeDead { session, committed }, *store, next));
            }
            _ => {
                let mut done = done;
                if !duties.rules.keep(Rule::DeadCountsNextRun) {
                    done.dead |= Set::of(session);
                }
                put_mark(store, Kind::Dead, Operation::PutDead { session }, session, done, out);
            }
        }
    }

    /// Sessions that may still be declared dead in this run; by the rule those that C5 found running.
    fn suspects(&self, duties: &Duties) -> Set {
        if duties.rules.keep(Rule::DeadCountsNextRun) {
            self.running & Set::from(self.cursor)
        } else {
            self.sessions_left()
        }
    }

    fn ended(&self) -> Collector {
        Collector { runs: self.runs - 1, ..Collector::default() }
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
        if rest == [Step::DeclareDead] {
            let Collector { runs, at, cursor, phase, running, .. } = self;
            self = Collector { runs, at, cursor, phase, running, ..Collector::default() };
        }
        self
    }
}

fn put_mark(store: &Store, kind: Kind, operation: Operation, session: u8, next: Collector, out: &mut Successors) {
    let mut put = *store;
    put.put(kind, session);
    out.push((operation, put, next));
    if let Some(late) = put.with_late(kind, session) {
        out.push((operation, late, next));
    }
}
