//! Writer: a session, W0 to W5, one store operation after the other.
//!
//! In: a store and how far the session is. Out: every way it can go on. Never: deletes, or learns what it did not look at.
//!
//! A long reader (restore, verification) is a session that never puts anything but its `.open` and ends by being declared dead. An undelete is a session
//! without packs of its own. A run with checkpoints is a row of sessions, each of which pins the one before.

use super::{
    collector::Lists,
    rules::{Rule, Rules},
    set::Set,
    store::{Kind, Store},
};

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Puts all its packs and refers to them and to everything that its pins need.
    Backup,
    /// Puts some of its packs and refers to them and to any part of what its pins need: evacuation, consolidation.
    Evacuation,
    /// Reads what its pins need, for ever.
    Reading,
}

/// What a session may pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pins {
    /// Any valid points, of its own volume or of others.
    Any,
    /// Those, and in any case the point of the session before it, as after a checkpoint.
    AtLeastBefore,
    /// Only the point of the session before it.
    Before,
    /// Nothing.
    Nothing,
}

/// What all sessions of a model have in common.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its number.
    pub number: u8,
    /// What it is for.
    pub purpose: Purpose,
    /// The packs under its name; none for an undelete.
    pub own: Set,
    /// What it may pin.
    pub pins: Pins,
    /// The rules it follows.
    pub rules: Rules,
    /// How it reads lists.
    pub lists: Lists,
    /// Sessions of the model.
    pub sessions: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Stage {
    #[default]
    ListPoints,
    PutOpen,
    LookAtPinMarks,
    LookAtPinOpen,
    PutPacks,
    PutPoint,
    LookAtOwnMarks,
    LookAtOwnOpen,
    Reading,
    Over,
}

/// What the store operation was and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are the steps W0 to W5, the fields what was seen")]
pub enum Operation {
    ListPoints { pins: Set },
    PutOpen { pins: Set },
    PutOpenUnacknowledged,
    LookAtPinMarks { pin: u8, kept: bool },
    LookAtPinOpen { pin: u8, kept: bool },
    PutPack { pack: u8 },
    GiveUpPack { pack: u8 },
    NeedsNoPack { pack: u8 },
    PutPoint { needs: Set },
    NothingToCommit,
    LookAtOwnMarks { failed: bool },
    LookAtOwnOpen { failed: bool },
}

/// One session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Writer {
    stage: Stage,
    /// The pins that remain.
    pins: Set,
    /// The pin or pack that is next.
    cursor: u8,
    /// Acknowledged packs of its own.
    put: Set,
    succeeded: bool,
}

type Successors = Vec<(Operation, Store, Writer)>;

impl Writer {
    /// Whether it has reported success.
    pub fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Whether it does nothing more.
    pub fn over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The pins on which it relies now.
    pub fn relies_on(&self) -> Set {
        match self.stage {
            Stage::PutPacks | Stage::PutPoint | Stage::Reading => self.pins,
            _ => Set::EMPTY,
        }
    }

    /// Every way in which the session can go on.
    pub fn successors(&self, store: &Store, session: &Session, out: &mut Successors) {
        match self.stage {
            Stage::ListPoints => self.list_points(store, session, out),
            Stage::PutOpen => self.put_open(store, session, out),
            Stage::LookAtPinMarks | Stage::LookAtPinOpen => self.look_at_pin(store, session, out),
            Stage::PutPacks => self.put_pack(store, session, out),
            Stage::PutPoint => self.put_point(store, session, out),
            Stage::LookAtOwnMarks | Stage::LookAtOwnOpen => self.look_at_own(store, session, out),
            Stage::Reading | Stage::Over => {}
        }
    }

    /// W0: any choice among the valid points.
    fn list_points(&self, store: &Store, session: &Session, out: &mut Successors) {
        let read = match session.lists {
            Lists::AtOnce => Set::ALL,
            Lists::KeyByKey => Set::of(self.cursor),
            Lists::Backwards => Set::of(session.sessions - 1 - self.cursor),
        };
        let seen = store.valid() & read;
        let before = seen & Set::of(session.number - 1);
        let choices = match session.pins {
            Pins::Any => seen.subsets().collect(),
            Pins::AtLeastBefore => seen.subsets().filter(|&chosen| before.within(chosen)).collect(),
            Pins::Before => vec![before],
            Pins::Nothing => vec![Set::EMPTY],
        };
        for chosen in choices {
            let mut next = *self;
            next.pins |= chosen;
            next.cursor += 1;
            if session.lists == Lists::AtOnce || next.cursor == session.sessions {
                next = Writer { stage: Stage::PutOpen, cursor: 0, ..next };
            }
            out.push((Operation::ListPoints { pins: chosen }, *store, next));
        }
    }

    /// W1.
    fn put_open(&self, store: &Store, session: &Session, out: &mut Successors) {
        let mut store = *store;
        store.pins[session.number as usize] = self.pins;
        if let Some(lost) = store.with_late(Kind::Open, session.number) {
            let over = Writer { stage: Stage::Over, ..Writer::default() };
            out.push((Operation::PutOpenUnacknowledged, lost, over));
        }
        store.put(Kind::Open, session.number);
        let next = self.next_pin(0, session);
        out.push((Operation::PutOpen { pins: self.pins }, store, next));
        if !session.rules.keep(Rule::OpenSentOnce)
            && let Some(late) = store.with_late(Kind::Open, session.number)
        {
            out.push((Operation::PutOpen { pins: self.pins }, late, next));
        }
    }

    /// The looks of W2 at one pin, in the order of the rules.
    fn looks(rules: Rules) -> &'static [Stage] {
        let (marks, open) = (rules.keep(Rule::LookAtPinMarks), rules.keep(Rule::LookAtPinOpen));
        match (rules.keep(Rule::LookAtPins), marks, open) {
            (true, true, true) if !rules.keep(Rule::PinMarksBeforeOpen) => {
                &[Stage::LookAtPinOpen, Stage::LookAtPinMarks]
            }
            (true, true, true) => &[Stage::LookAtPinMarks, Stage::LookAtPinOpen],
            (true, true, false) => &[Stage::LookAtPinMarks],
            (true, false, true) => &[Stage::LookAtPinOpen],
            _ => &[],
        }
    }

    /// Goes to the first look at the next pin, or past the looks.
    fn next_pin(mut self, from: u8, session: &Session) -> Writer {
        let looks = Self::looks(session.rules);
        match ((self.pins & Set::from(from)).first(), looks.first()) {
            (Some(pin), Some(&stage)) => Writer { stage, cursor: pin, ..self },
            _ => {
                self.cursor = 0;
                self.stage = match session.purpose {
                    Purpose::Reading => Stage::Reading,
                    _ if !session.rules.keep(Rule::PacksBeforePoint) => Stage::PutPoint,
                    _ => Stage::PutPacks,
                };
                self.next_pack(session)
            }
        }
    }

    /// W2.
    fn look_at_pin(&self, store: &Store, session: &Session, out: &mut Successors) {
        let pin = self.cursor;
        let (operation, kept) = if self.stage == Stage::LookAtPinMarks {
            let kept = !(store.dead | store.doomed).has(pin);
            (Operation::LookAtPinMarks { pin, kept }, kept)
        } else {
            let kept = store.open.has(pin);
            (Operation::LookAtPinOpen { pin, kept }, kept)
        };
        let looks = Self::looks(session.rules);
        let after = looks.iter().position(|&look| look == self.stage).and_then(|at| looks.get(at + 1));
        let mut next = *self;
        if !kept {
            next.pins -= Set::of(pin);
        }
        let next = match after {
            Some(&stage) if kept => Writer { stage, ..next },
            _ => next.next_pin(pin + 1, session),
        };
        out.push((operation, *store, next));
    }

    fn packs_left(&self, session: &Session) -> Set {
        session.own & Set::from(self.cursor)
    }

    /// Past W3 when there is no pack left.
    fn next_pack(mut self, session: &Session) -> Writer {
        if self.stage == Stage::PutPacks && self.packs_left(session).is_empty() {
            self.stage =
                if session.rules.keep(Rule::PacksBeforePoint) { Stage::PutPoint } else { own_looks(session.rules) };
            self.cursor = 0;
        }
        self
    }

    /// W3: a pack that was given up is not referred to, whether or not it lands.
    fn put_pack(&self, store: &Store, session: &Session, out: &mut Successors) {
        let Some(pack) = self.packs_left(session).first() else { return };
        let without = Writer { cursor: pack + 1, ..*self };
        let with = Writer { put: self.put | Set::of(pack), ..without };
        let mut stored = *store;
        stored.put(Kind::Pack, pack);
        out.push((Operation::PutPack { pack }, stored, with.next_pack(session)));
        if let Some(late) = stored.with_late(Kind::Pack, pack) {
            out.push((Operation::PutPack { pack }, late, with.next_pack(session)));
        }
        if let Some(late) = store.with_late(Kind::Pack, pack) {
            out.push((Operation::GiveUpPack { pack }, late, without.next_pack(session)));
        }
        if session.purpose == Purpose::Evacuation {
            out.push((Operation::NeedsNoPack { pack }, *store, without.next_pack(session)));
        }
    }

    /// W4.
    fn put_point(&self, store: &Store, session: &Session, out: &mut Successors) {
        let own = if session.rules.keep(Rule::PacksBeforePoint) { self.put } else { session.own };
        let inherited = store.needs_of(self.pins);
        let mut choices = vec![own | inherited];
        if session.purpose == Purpose::Evacuation {
            choices = inherited.subsets().map(|some| own | some).collect();
            choices.sort_by_key(|needs| format!("{needs:?}"));
            choices.dedup();
        }
        choices.retain(|needs| !needs.is_empty());
        if choices.is_empty() {
            out.push((Operation::NothingToCommit, *store, Writer { stage: Stage::Over, ..Writer::default() }));
        }
        for needs in choices {
            let mut stored = *store;
            stored.put(Kind::Point, session.number);
            stored.needs[session.number as usize] = needs;
            let next = if session.rules.keep(Rule::PacksBeforePoint) {
                Writer { stage: own_looks(session.rules), ..Writer::default() }
            } else {
                Writer { stage: Stage::PutPacks, ..Writer::default() }.next_pack(session)
            };
            // Without any look left, putting the point is success.
            let next = Writer { succeeded: next.stage == Stage::Over, ..next };
            out.push((Operation::PutPoint { needs }, stored, next));
            if let Some(late) = stored.with_late(Kind::Point, session.number) {
                out.push((Operation::PutPoint { needs }, late, next));
            }
        }
    }

    /// W5.
    fn look_at_own(&self, store: &Store, session: &Session, out: &mut Successors) {
        let rules = session.rules;
        let marks = self.stage == Stage::LookAtOwnMarks;
        let ends = if rules.keep(Rule::OwnAbortCounts) { store.dead | store.abort } else { store.dead };
        let failed = if marks { ends.has(session.number) } else { !store.open.has(session.number) };
        let operation = if marks { Operation::LookAtOwnMarks { failed } } else { Operation::LookAtOwnOpen { failed } };
        let in_order = rules.keep(Rule::OwnMarksBeforeOpen);
        let other = if marks { Stage::LookAtOwnOpen } else { Stage::LookAtOwnMarks };
        let other_wanted = if marks { rules.keep(Rule::LookAtOwnOpen) } else { rules.keep(Rule::LookAtOwnMarks) };
        let first = marks == in_order;
        let stage = if !failed && first && other_wanted { other } else { Stage::Over };
        let succeeded = !failed && stage == Stage::Over;
        out.push((operation, *store, Writer { stage, succeeded, ..Writer::default() }));
    }
}

/// The first of the looks of W5.
fn own_looks(rules: Rules) -> Stage {
    match (rules.keep(Rule::LookAtOwnMarks), rules.keep(Rule::LookAtOwnOpen)) {
        (true, true) if rules.keep(Rule::OwnMarksBeforeOpen) => Stage::LookAtOwnMarks,
        (true, true) => Stage::LookAtOwnOpen,
        (true, false) => Stage::LookAtOwnMarks,
        (false, true) => Stage::LookAtOwnOpen,
        (false, false) => Stage::Over,
    }
}
