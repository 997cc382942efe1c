//! World: the state of one simulation.
//!
//! In: a seed and, one at a time, the requests of actors. Out: what they see, the time, and a trace. Never: a thread, a real clock, or anything that does not follow from
//! the seed and the order of requests.

use std::collections::{BTreeMap, BTreeSet};

use repository::generated::Dice;
use repository::store::{Bytes, Operation};

use super::tally::Tally;
use super::truth::{Success, Truth};
use super::weather::{Fate, Weather};

/// 2026-03-01 00:00:00 UTC, in milliseconds.
const START_MS: i64 = 1_772_323_200_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// One stored object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) modified_ms: i64,
}

/// A request that takes effect later.
#[derive(Clone, Debug)]
struct Late {
    step: u64,
    name: String,
    /// `None`: a delete.
    bytes: Option<Bytes>,
}

/// A prefix that is not served for a while.
#[derive(Clone, Debug)]
struct Storm {
    prefix: String,
    until_step: u64,
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
    /// What went wrong for it since it began what it does.
    pub(crate) troubles: u64,
    /// The session that it announced last.
    pub(crate) session: Option<model::SessionId>,
    /// The step at which it began what it does.
    pub(crate) begun: u64,
    /// How many deletes there had been then.
    pub(crate) deletes_seen: u64,
    /// What it is backing up, if it is.
    pub(crate) backing_up: Option<Success>,
    /// How often it has died.
    pub(crate) process: u64,
}

/// The state of one simulation.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) now_ms: i64,
    pub(crate) step: u64,
    /// After so many steps nobody begins anything new.
    pub(crate) steps: u64,
    pub(crate) objects: BTreeMap<String, Object>,
    /// Objects whose stored bytes are not what was sent.
    pub(crate) harmed: BTreeSet<String>,
    late: Vec<Late>,
    storms: Vec<Storm>,
    pub(crate) standings: Vec<Standing>,
    /// Whose turn it is.
    pub(crate) turn: usize,
    /// Once in so many steps the turn passes to another.
    pub(crate) patience: u64,
    /// Deletes that took effect.
    pub(crate) deletes: u64,
    pub(crate) truth: Option<Truth>,
    pub(crate) failure: Option<String>,
    pub(crate) tally: Tally,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    /// With so many actors, in good weather; the last one is alone until the others begin.
    pub(crate) fn new(dice: Dice, actors: usize, traced: bool) -> World {
        World {
            dice,
            weather: Weather::default(),
            now_ms: START_MS,
            step: 0,
            steps: u64::MAX,
            objects: BTreeMap::new(),
            harmed: BTreeSet::new(),
            late: Vec::new(),
            storms: Vec::new(),
            standings: vec![Standing { done: true, ..Standing::default() }; actors],
            turn: actors - 1,
            patience: 1,
            deletes: 0,
            truth: None,
            failure: None,
            tally: Tally::default(),
            trace: traced.then(Vec::new),
        }
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
        self.storms.retain(|storm| storm.until_step > step);
        if Weather::strikes(&mut self.dice, self.weather.time_jump) {
            self.now_ms += HOUR_MS + self.dice.below(3 * DAY_MS as u64) as i64;
        }
        if Weather::strikes(&mut self.dice, self.weather.storm) {
            self.brew_storm();
        }
        if Weather::strikes(&mut self.dice, self.weather.pause) {
            let pause = 1 + self.dice.below(400);
            self.standings[self.turn].paused_until = self.step + pause;
            self.note(|| format!("is held up for {pause} steps"));
        }
        if Weather::strikes(&mut self.dice, self.weather.clock_set) {
            let offset = self.dice.below(4 * DAY_MS as u64) as i64 - 2 * DAY_MS;
            self.standings[self.turn].clock_offset_ms = offset;
            self.note(|| format!("its clock is set to {offset} ms from the store's"));
        }
        if self.is_closing() {
            let dying = self.standings.iter_mut().filter(|standing| standing.dies_at_the_end);
            dying.for_each(|standing| standing.doomed = true);
        }
    }

    fn brew_storm(&mut self) {
        let Some(index) = self.dice.index(self.objects.len()) else { return };
        let Some(name) = self.objects.keys().nth(index) else { return };
        // Everything, a folder of the domain, or one object.
        let depth = [0, 3, 4, 9][self.dice.below(4) as usize];
        let prefix = name.split('/').take(depth).collect::<Vec<_>>().join("/");
        let until_step = self.step + 5 + self.dice.below(60);
        self.note(|| format!("503 below {prefix:?} until step {until_step}"));
        self.tally.count("storm");
        self.storms.push(Storm { prefix, until_step });
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
    pub(crate) fn fate(&mut self, operation: Operation, name: &str) -> Fate {
        let mut fate = self.weather.fate(&mut self.dice, operation);
        if self.storms.iter().any(|storm| is_below(name, &storm.prefix)) {
            fate = Fate::Failed;
        }
        // What is sent once and acknowledged is done once: an announcement is never repeated by whoever sends it, and the protocol rests on that.
        if fate == Fate::Twice && name.ends_with(".open") {
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

    /// A put takes effect.
    pub(crate) fn put(&mut self, name: &str, sent: &Bytes, stored: Bytes) {
        if stored == *sent {
            self.harmed.remove(name);
        } else {
            self.harmed.insert(name.to_owned());
        }
        self.objects.insert(name.to_owned(), Object { bytes: stored, modified_ms: self.now_ms });
        if let Some(truth) = &mut self.truth {
            truth.step = self.step;
            let held = truth.put(name, sent);
            self.claim(held);
        }
    }

    /// A delete takes effect.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let there = self.objects.remove(name).is_some();
        self.harmed.remove(name);
        self.deletes += 1;
        if let Some(truth) = &mut self.truth {
            truth.step = self.step;
            let held = truth.delete(name);
            self.claim(held);
        }
        there
    }

    /// A request is kept for later: soon, long after, or when all is over.
    pub(crate) fn keep_for_later(&mut self, name: &str, bytes: Option<Bytes>) {
        let wait = match self.dice.below(4) {
            0 | 1 => self.dice.below(20),
            2 => self.dice.below(600),
            _ => u64::MAX / 2,
        };
        self.late.push(Late { step: self.step + wait, name: name.to_owned(), bytes });
    }

    fn land(&mut self, Late { name, bytes, .. }: Late) {
        self.tally.count("landed late");
        self.note(|| format!("lands late: {} {name}", if bytes.is_some() { "put" } else { "delete" }));
        match bytes {
            Some(bytes) => self.put(&name, &bytes, bytes.clone()),
            None => {
                self.delete(&name);
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
        self.weather = Weather::default();
        self.storms.clear();
    }

    /// The time by the clock of whoever's turn it is, in milliseconds.
    pub(crate) fn clock_ms(&self, actor: usize) -> i64 {
        let standing = &self.standings[actor];
        let passed = self.now_ms - START_MS;
        self.now_ms + standing.clock_offset_ms + passed / 10_000 * standing.clock_drift
    }

    /// What must be true, if truth is told already.
    pub(crate) fn truth(&mut self) -> &mut Truth {
        self.truth.as_mut().expect("the world is complete before anybody asks")
    }
}

/// True if a name lies below a prefix of whole components.
pub(crate) fn is_below(name: &str, prefix: &str) -> bool {
    prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Keys are not damaged: what a repository without its keys is worth is no question for a simulation.
fn may_be_harmed(name: &str) -> bool {
    ["/packs/", "/points/", "/sessions/"].iter().any(|folder| name.contains(folder))
}
