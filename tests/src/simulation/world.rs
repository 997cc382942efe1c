//! World: the state of one simulation.
//!
//! In: a seed and, one at a time, the requests of actors. Out: what they see, the time, and a trace. Never: a thread, a real clock, or anything that does not follow from
//! the seed and the order of requests.

use std::collections::BTreeMap;

use repository::features::PROMOTED;
use repository::generated::Dice;
use repository::layout::{self, Mark, NeededBy, ParsedName};
use repository::session::PointId;
use repository::store::{Bytes, Operation};

use super::place::{Object, Place, Side, Storm};
use super::tally::Tally;
use super::truth::{Success, Truth};
use super::weather::{Fate, Weather};

/// 2026-03-01 00:00:00 UTC, in milliseconds.
const START_MS: i64 = 1_772_323_200_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// A request that takes effect later.
#[derive(Clone, Debug)]
struct Late {
    step: u64,
    side: Side,
    name: String,
    /// `None`: a delete.
    bytes: Option<Bytes>,
}

/// How an actor stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// It will not ask: it has not begun, or will never again.
    pub(crate) done: bool,
    /// It is not picked before this step.
    pub(crate) paused_until: u64,
    /// It dies as soon as it is its turn.
    pub(crate) doomed: bool,
    /// When the simulation closes, it dies instead of finishing what it does.
    pub(crate) dies_at_the_end: bool,
    /// Its clock is so far from the store's.
    pub(crate) clock_offset_ms: i64,
    /// Its clock runs so much too fast, in ten thousandths.
    pub(crate) clock_drift: i64,
    /// Where it is at home.
    pub(crate) side: Side,
    /// How often it is held up besides, in ten thousand requests.
    pub(crate) dawdles: u64,
    /// What went wrong for it since it began what it does.
    pub(crate) troubles: u64,
    /// The session that it announced last.
    pub(crate) session: Option<model::SessionId>,
    /// The step at which it began what it does.
    pub(crate) begun: u64,
    /// How many keys of the domain had come or gone by then, at both places.
    pub(crate) key_changes_seen: u64,
    /// When it began to list marks of the target, by the prefix that it listed.
    pub(crate) marks_listed: BTreeMap<String, u64>,
    /// What it is backing up, if it is.
    pub(crate) backing_up: Option<Success>,
    /// How often it has died.
    pub(crate) process: u64,
}

/// The state of one simulation.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now_ms: i64,
    pub(crate) step: u64,
    /// After so many steps nobody begins anything new.
    pub(crate) steps: u64,
    source: Place,
    target: Place,
    /// Somebody is at work at the target.
    pub(crate) has_target: bool,
    late: Vec<Late>,
    pub(crate) standings: Vec<Standing>,
    /// Whose turn it is.
    pub(crate) turn: usize,
    /// Once in so many steps the turn passes to another.
    pub(crate) patience: u64,
    pub(crate) failure: Option<String>,
    pub(crate) tally: Tally,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    /// With so many actors, in good weather; the last one is alone until the others begin.
    pub(crate) fn new(dice: Dice, actors: usize, traced: bool) -> World {
        World {
            dice,
            now_ms: START_MS,
            step: 0,
            steps: u64::MAX,
            source: Place::default(),
            target: Place::default(),
            has_target: false,
            late: Vec::new(),
            standings: vec![Standing { done: true, ..Standing::default() }; actors],
            turn: actors - 1,
            patience: 1,
            failure: None,
            tally: Tally::default(),
            trace: traced.then(Vec::new),
        }
    }

    /// One of the stores.
    pub(crate) fn place(&mut self, side: Side) -> &mut Place {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    /// Where whoever's turn it is is at home.
    pub(crate) fn home(&mut self) -> &mut Place {
        self.place(self.standings[self.turn].side)
    }

    /// Keys of the domain that came or went anywhere.
    pub(crate) fn key_changes(&self) -> u64 {
        self.source.key_changes + self.target.key_changes
    }

    /// True if stored bytes are damaged anywhere.
    pub(crate) fn is_harmed(&self) -> bool {
        !(self.source.harmed.is_empty() && self.target.harmed.is_empty())
    }

    /// True if stored bytes were damaged anywhere at any time from this step on.
    pub(crate) fn was_harmed_since(&self, step: u64) -> bool {
        let healed = self.source.healed.max(self.target.healed);
        self.is_harmed() || healed.is_some_and(|healed| healed >= step)
    }

    /// Writes a line into the trace, if there is one.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let (step, now_ms, turn) = (self.step, self.now_ms, self.turn);
        let process = self.standings[turn].process;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{step:5} {now_ms} {turn}.{process} {}", line()));
        }
    }

    /// A claim was broken: the first one counts, and everybody dies.
    pub(crate) fn fail(&mut self, what: String) {
        self.note(|| format!("BROKEN {what}"));
        self.failure.get_or_insert(what);
        self.standings.iter_mut().for_each(|standing| standing.doomed = true);
    }

    pub(crate) fn claim(&mut self, held: Result<(), String>) {
        if let Err(what) = held {
            self.fail(what);
        }
    }

    /// True if nobody shall begin anything new.
    pub(crate) fn is_closing(&self) -> bool {
        self.step >= self.steps
    }

    /// One step of time, before the turn is given to somebody.
    pub(crate) fn tick(&mut self) {
        self.step += 1;
        self.now_ms += 1 + self.dice.below(200) as i64;
        let due = |late: &Late, step: u64| late.step <= step;
        while let Some(index) = self.late.iter().position(|late| due(late, self.step)) {
            let late = self.late.remove(index);
            self.land(late);
        }
        let step = self.step;
        self.source.storms.retain(|storm| storm.until_step > step);
        self.target.storms.retain(|storm| storm.until_step > step);
        let weather = self.source.weather;
        if Weather::strikes(&mut self.dice, weather.time_jump) {
            self.now_ms += HOUR_MS + self.dice.below(3 * DAY_MS as u64) as i64;
        }
        if Weather::strikes(&mut self.dice, weather.storm) {
            self.brew_storm(Side::Source);
        }
        if self.has_target && Weather::strikes(&mut self.dice, self.target.weather.storm) {
            self.brew_storm(Side::Target);
        }
        let dawdles = self.standings[self.turn].dawdles;
        let is_held_up = dawdles > 0 && Weather::strikes(&mut self.dice, dawdles);
        if is_held_up || Weather::strikes(&mut self.dice, weather.pause) {
            let pause = 1 + self.dice.below(400);
            self.standings[self.turn].paused_until = self.step + pause;
            self.note(|| format!("is held up for {pause} steps"));
        }
        if Weather::strikes(&mut self.dice, weather.clock_set) {
            let offset = self.dice.below(4 * DAY_MS as u64) as i64 - 2 * DAY_MS;
            self.standings[self.turn].clock_offset_ms = offset;
            self.note(|| format!("its clock is set to {offset} ms from the store's"));
        }
        if self.is_closing() {
            let dying = self.standings.iter_mut().filter(|standing| standing.dies_at_the_end);
            dying.for_each(|standing| standing.doomed = true);
        }
    }

    fn brew_storm(&mut self, side: Side) {
        let count = self.place(side).objects.len();
        let Some(index) = self.dice.index(count) else { return };
        let Some(name) = self.place(side).objects.keys().nth(index).cloned() else { return };
        // Everything, a folder of the domain, or one object.
        let depth = [0, 3, 4, 9][self.dice.below(4) as usize];
        let prefix = name.split('/').take(depth).collect::<Vec<_>>().join("/");
        let until_step = self.step + 5 + self.dice.below(60);
        self.note(|| format!("{side:?}: 503 below {prefix:?} until step {until_step}"));
        self.tally.count("storm");
        self.place(side).storms.push(Storm { prefix, until_step });
    }

    /// Who is next, if `turn` has just asked.
    pub(crate) fn choose(&mut self) -> usize {
        if self.is_ready(self.turn) && !self.dice.one_in(self.patience) {
            return self.turn;
        }
        let ready: Vec<usize> = (0..self.standings.len()).filter(|actor| self.is_ready(*actor)).collect();
        match self.dice.index(ready.len()) {
            Some(index) => ready[index],
            None => self.first_awake(),
        }
    }

    fn is_ready(&self, actor: usize) -> bool {
        let standing = &self.standings[actor];
        !standing.done && (standing.paused_until <= self.step || self.is_closing() || standing.doomed)
    }

    /// Everybody is held up: time passes until the first is not. The last actor, who ends the simulation, when all are done.
    fn first_awake(&self) -> usize {
        let alive = (0..self.standings.len()).filter(|actor| !self.standings[*actor].done);
        alive.min_by_key(|actor| (self.standings[*actor].paused_until, *actor)).unwrap_or(self.standings.len() - 1)
    }

    /// What becomes of a request of whoever's turn it is.
    pub(crate) fn fate(&mut self, side: Side, operation: Operation, name: &str) -> Fate {
        let weather = self.place(side).weather;
        let mut fate = weather.fate(&mut self.dice, operation);
        if self.place(side).is_stormy(name) {
            fate = Fate::Failed;
        }
        // What is sent once and acknowledged is done once: an announcement is never repeated by whoever sends it, and the protocol rests on that. Copies of it are another matter.
        if fate == Fate::Twice && name.ends_with(".open") && side == Side::Source {
            fate = Fate::Done;
        }
        if fate == Fate::BitFlipped && operation == Operation::Put && !may_be_harmed(name) {
            fate = Fate::Done;
        }
        if !matches!(fate, Fate::Done | Fate::Twice) {
            self.standings[self.turn].troubles += 1;
        }
        if fate != Fate::Done {
            self.tally.count(fate.name());
        }
        fate
    }

    /// Somebody is about to put an object, whatever becomes of it. A copy has the bytes of the original, unless the original was harmed where nobody without its keys can see it.
    pub(crate) fn sent(&mut self, side: Side, name: &str, bytes: &Bytes) {
        let attempt = self.standings[self.turn].backing_up.clone();
        let held = self.place(side).truth.as_mut().map(|truth| truth.send(name, bytes, attempt.as_ref()));
        self.claim(held.unwrap_or(Ok(())));
        let is_harmed = self.source.harmed.contains(name) && side == Side::Target;
        if !is_harmed && self.original(side, name).is_some_and(|original| original != *bytes) {
            self.fail(format!("copies: {name} is put at the target with other bytes than at the source"));
        }
    }

    /// What was sent to the source under the name of an object of the target.
    fn original(&mut self, side: Side, name: &str) -> Option<Bytes> {
        let of_source = self.source.truth.as_ref().and_then(|truth| truth.first_sent(name));
        of_source.filter(|_| side == Side::Target).cloned()
    }

    /// A put takes effect.
    pub(crate) fn put(&mut self, side: Side, name: &str, sent: &Bytes, stored: Bytes) {
        let is_good = stored == self.original(side, name).unwrap_or_else(|| sent.clone());
        let (now_ms, step) = (self.now_ms, self.step);
        let parsed = ParsedName::parse(name);
        let place = self.place(side);
        if !is_good {
            place.harmed.insert(name.to_owned());
        } else if place.harmed.remove(name) {
            place.healed = Some(step);
        }
        place.objects.insert(name.to_owned(), Object { bytes: stored, modified_ms: now_ms });
        if matches!(parsed, Ok(ParsedName::DomainKey { .. })) {
            place.key_changes += 1;
        }
        place.is_promoted |= name == layout::feature(PROMOTED, NeededBy::Collect);
        if let Some(truth) = &mut place.truth {
            truth.step = step;
            let held = truth.put(name, sent);
            self.claim(held);
        }
        if let Ok(ParsedName::Mark { volume, session, mark: Mark::Doomed, .. }) = parsed
            && side == Side::Target
        {
            let held = self.doomed_at_target(PointId { volume, session });
            self.claim(held);
        }
    }

    /// K. Once it was promoted, the target decides by itself.
    fn doomed_at_target(&self, point: PointId) -> Result<(), String> {
        let is_valid = self.source.truth.as_ref().is_some_and(|truth| truth.is_valid(point));
        if is_valid && !self.target.is_promoted {
            return Err(format!("K: {} is valid at the source and is doomed at the target", point.session));
        }
        Ok(())
    }

    /// A delete takes effect.
    pub(crate) fn delete(&mut self, side: Side, name: &str) -> bool {
        let step = self.step;
        let place = self.place(side);
        let there = place.objects.remove(name).is_some();
        if place.harmed.remove(name) {
            place.healed = Some(step);
        }
        if matches!(ParsedName::parse(name), Ok(ParsedName::DomainKey { .. })) {
            place.key_changes += 1;
        }
        if let Some(truth) = &mut place.truth {
            truth.step = step;
            let held = truth.delete(name);
            self.claim(held);
        }
        there
    }

    /// A request is kept for later: soon, long after, or when all is over.
    pub(crate) fn keep_for_later(&mut self, side: Side, name: &str, bytes: Option<Bytes>) {
        let wait = match self.dice.below(4) {
            0 | 1 => self.dice.below(20),
            2 => self.dice.below(600),
            _ => u64::MAX / 2,
        };
        self.late.push(Late { step: self.step + wait, side, name: name.to_owned(), bytes });
    }

    fn land(&mut self, Late { side, name, bytes, .. }: Late) {
        self.tally.count("landed late");
        self.note(|| format!("{side:?}: lands late: {} {name}", if bytes.is_some() { "put" } else { "delete" }));
        match bytes {
            Some(bytes) => self.put(side, &name, &bytes, bytes.clone()),
            None => {
                self.delete(side, &name);
            }
        }
    }

    /// Everything that was kept for later lands now.
    pub(crate) fn land_all(&mut self) {
        for late in std::mem::take(&mut self.late) {
            self.land(late);
        }
    }

    /// The weather is good from now on.
    pub(crate) fn calm(&mut self) {
        for place in [&mut self.source, &mut self.target] {
            place.weather = Weather::default();
            place.storms.clear();
        }
    }

    /// The time by the clock of whoever's turn it is, in milliseconds.
    pub(crate) fn clock_ms(&self, actor: usize) -> i64 {
        let standing = &self.standings[actor];
        let passed = self.now_ms - START_MS;
        self.now_ms + standing.clock_offset_ms + passed / 10_000 * standing.clock_drift
    }

    /// What must be true at home.
    pub(crate) fn truth(&mut self) -> &mut Truth {
        self.home().truth()
    }

    /// What a point must restore to, wherever it was made.
    pub(crate) fn expected(&mut self, point: PointId) -> Option<Success> {
        let here = self.truth().expected(point);
        here.or_else(|| self.place(Side::Source).truth().expected(point))
    }
}

/// Keys are not damaged: what a repository without its keys is worth is no question for a simulation.
fn may_be_harmed(name: &str) -> bool {
    ["/packs/", "/points/", "/sessions/"].iter().any(|folder| name.contains(folder))
}
