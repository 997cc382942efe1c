//! Run: what each step of a collector's run does to the store and to what the run knows.
//!
//! In: a store and a collector at a step. Out: every way in which the step can go. Never: an order; that is the program's.

use super::{Collector, Duties, Lists, Operation, Step, Successors};
use crate::protocol::{
    rules::Rule,
    set::Set,
    store::{Kind, Store},
};

impl Collector {
    pub(super) fn read_gone(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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
    pub(super) fn list(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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
        // The names of runs lie among the others; they are read with the first key.
        if step == Step::ListSessions && self.cursor == 0 {
            next.others = store.collectors - Set::of(self.name());
        }
        if step == Step::ListMarks && self.cursor == 0 {
            next.dead_others = store.dead_collectors;
        }
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

    pub(super) fn doom(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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

    pub(super) fn roots_left(&self) -> Set {
        (self.points - self.dead - self.doomed) & Set::from(self.cursor)
    }

    pub(super) fn read_root(&self, store: &Store, out: &mut Successors) {
        let Some(point) = self.roots_left().first() else { return };
        let mut next = *self;
        let there = store.point.has(point);
        if there {
            next.live |= store.needs[point as usize];
        }
        next.cursor = point + 1;
        out.push((Operation::ReadRoot { point, there }, *store, next));
    }

    pub(super) fn sessions_left(&self) -> Set {
        (self.sessions - self.points - self.dead - self.doomed) & Set::from(self.cursor)
    }

    /// C5: pins, own point, own `.open` again; what is not found over on the way is running.
    pub(super) fn judge(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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
    pub(super) fn deletable(&self, duties: &Duties) -> Set {
        let names =
            matches!(duties.program[self.at as usize], Step::DeleteOpen | Step::DeletePoint | Step::DeleteMarks);
        let others = self.others - self.dead_others;
        if names && !others.is_empty() && duties.rules.keep(Rule::CollectorsKeepNames) {
            return Set::EMPTY;
        }
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

    pub(super) fn delete(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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

    pub(super) fn declare_dead(&self, store: &Store, duties: &Duties, out: &mut Successors) {
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

    /// The run's own announcement: put, looked for, deleted.
    pub(super) fn announced(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let (mut store, mut next) = (*store, *self);
        let own = Set::of(self.name());
        next.advance();
        let operation = match duties.program[self.at as usize] {
            Step::Announce => {
                store.collectors |= own;
                Operation::Announce
            }
            Step::LookAtOwn => {
                let dead = store.dead_collectors.has(self.name()) || !store.collectors.has(self.name());
                if dead {
                    next = self.ended();
                }
                Operation::LookAtOwn { dead }
            }
            _ => {
                store.collectors -= own;
                Operation::Withdraw
            }
        };
        out.push((operation, store, next));
    }

    /// Other runs: those that were dead in C1 go, the rest may be declared dead.
    pub(super) fn end_others(&self, store: &Store, duties: &Duties, out: &mut Successors) {
        let deleting = duties.program[self.at as usize] == Step::DeleteCollectors;
        let ending = if deleting { self.dead_others } else { self.others - self.dead_others };
        let Some(name) = ending.first() else { return };
        let (mut after, mut next) = (*store, *self);
        next.others -= Set::of(name);
        if deleting {
            next.dead_others -= Set::of(name);
        }
        if deleting {
            after.collectors -= Set::of(name);
            after.dead_collectors -= Set::of(name);
            out.push((Operation::DeleteCollector { name }, after, next));
            return;
        }
        if !duties.alone {
            out.push((Operation::CollectorKnownToBeAlive { name }, *store, next));
        }
        after.dead_collectors |= Set::of(name);
        out.push((Operation::PutCollectorDead { name }, after, next));
    }

    /// Sessions that may still be declared dead in this run; by the rule those that C5 found running.
    pub(super) fn suspects(&self, duties: &Duties) -> Set {
        if duties.rules.keep(Rule::DeadCountsNextRun) {
            self.running & Set::from(self.cursor)
        } else {
            self.sessions_left()
        }
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
