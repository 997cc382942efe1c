//! Faults on demand, for tests and simulations.
//!
//! In: rules - which operation, below which prefix, after how many, how often, what happens. Out: a store that behaves so, the same way for the same seed
//! and the same order of operations. Never: used outside tests; an empty set of rules changes nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::error::{Asked, Operation, Source, StoreError};

mod layer;
#[cfg(test)]
mod tests;

pub(super) use layer::faulty;

/// What an injected failure is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store did not answer.
    Unavailable,
    /// The store asks to slow down, as with status 503.
    Throttled,
    /// The credentials do not permit it.
    Denied,
    /// There is no space.
    Full,
    /// The process that asks is dead.
    Crashed,
}

impl Failure {
    pub(super) fn as_error(self, asked: Asked<'_>, source: Source) -> StoreError {
        let cause = "injected fault".to_owned();
        match self {
            Failure::Unavailable => asked.unavailable(cause, source),
            Failure::Throttled => asked.throttled(cause, None, source),
            Failure::Denied => asked.denied(cause, source),
            Failure::Full => asked.full(cause, source),
            Failure::Crashed => StoreError::Crashed { operation: asked.operation, name: asked.name.to_owned() },
        }
    }
}

/// Called when the simulated process dies; it may panic or abort.
pub type CrashHook = Arc<dyn Fn() + Send + Sync>;
/// What somebody else does between two operations. It is called on a thread of its own, so that it may use stores.
pub type MeanwhileHook = Arc<dyn Fn() + Send + Sync>;

/// What happens to an operation.
#[derive(Clone)]
pub enum Effect {
    /// It is not applied and fails.
    Fail(Failure),
    /// It is applied, and fails as if the store had not answered.
    LoseAcknowledgement,
    /// It fails as if the store had not answered, and is applied later, by [`Faults::land_late`].
    LandLate,
    /// It is acknowledged and not applied: a put or delete changes nothing, a get finds nothing, a list is empty.
    Ignore,
    /// One bit of the bytes that are stored, or of the bytes that are read, is flipped.
    FlipBit,
    /// The second half is lost: of the bytes that are stored, of the body of an answer, of a list.
    Truncate,
    /// It takes this much longer.
    Delay(Duration),
    /// Just before it, somebody else does something.
    Meanwhile(MeanwhileHook),
    /// The process dies just before the operation, or just after it was applied: the hook runs, and nothing is sent any more.
    Crash {
        /// Whether the operation was applied.
        applied: bool,
        /// What ends the process.
        hook: CrashHook,
    },
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Effect::Fail(failure) => write!(f, "Fail({failure:?})"),
            Effect::LoseAcknowledgement => f.write_str("LoseAcknowledgement"),
            Effect::LandLate => f.write_str("LandLate"),
            Effect::Ignore => f.write_str("Ignore"),
            Effect::FlipBit => f.write_str("FlipBit"),
            Effect::Truncate => f.write_str("Truncate"),
            Effect::Delay(delay) => write!(f, "Delay({delay:?})"),
            Effect::Meanwhile(_) => f.write_str("Meanwhile"),
            Effect::Crash { applied, .. } => write!(f, "Crash {{ applied: {applied} }}"),
        }
    }
}

/// Which operations something happens to.
#[derive(Clone, Debug)]
pub struct Rule {
    operation: Option<Operation>,
    prefix: String,
    after: u64,
    times: u64,
    one_in: u64,
    effect: Effect,
}

impl Rule {
    /// Every operation of this kind on names that start with `prefix`.
    pub fn on(operation: Operation, prefix: &str, effect: Effect) -> Rule {
        Rule { operation: Some(operation), ..Rule::any(prefix, effect) }
    }

    /// Every operation on names that start with `prefix`.
    pub fn any(prefix: &str, effect: Effect) -> Rule {
        Rule { operation: None, prefix: prefix.to_owned(), after: 0, times: u64::MAX, one_in: 1, effect }
    }

    /// Leaves the first `count` operations that fit alone.
    #[must_use]
    pub fn after(self, count: u64) -> Rule {
        Rule { after: count, ..self }
    }

    /// Happens at most `count` times.
    #[must_use]
    pub fn times(self, count: u64) -> Rule {
        Rule { times: count, ..self }
    }

    /// Happens to one of `count` operations that fit, drawn from the seed.
    #[must_use]
    pub fn one_in(self, count: u64) -> Rule {
        Rule { one_in: count.max(1), ..self }
    }

    fn fits(&self, operation: Operation, name: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation) && name.starts_with(&self.prefix)
    }
}

/// A rule and how often it was met.
#[derive(Debug)]
struct Active {
    rule: Rule,
    met: u64,
    fired: u64,
}

/// A write that the store has received and not yet applied.
#[derive(Debug)]
struct Late {
    store: Arc<dyn ObjectStore>,
    location: Path,
    /// None: a delete.
    payload: Option<PutPayload>,
}

/// The rules in force, shared by every store that was given them.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    rules: Mutex<Vec<Active>>,
    late: Mutex<Vec<Late>>,
    operations: AtomicU64,
    crashed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// No rules yet; what is left to chance follows from `seed`.
    pub fn seeded(seed: u64) -> Arc<Faults> {
        Arc::new(Faults {
            seed,
            rules: Mutex::default(),
            late: Mutex::default(),
            operations: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
        })
    }

    /// Adds a rule. Of several that fit an operation, the one that was added first and has something to do happens.
    pub fn add(&self, rule: Rule) {
        locked(&self.rules).push(Active { rule, met: 0, fired: 0 });
    }

    /// Removes every rule; what was received late stays late, and who crashed stays dead.
    pub fn clear(&self) {
        locked(&self.rules).clear();
    }

    /// The operations seen so far, those that failed included.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    /// How often the rules in force happened.
    pub fn fired(&self) -> u64 {
        locked(&self.rules).iter().map(|active| active.fired).sum()
    }

    /// Whether the simulated process is dead.
    pub fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Applies what was held back by [`Effect::LandLate`], in the order in which it was sent, and says how many landed.
    pub fn land_late(&self, runtime: &tokio::runtime::Handle) -> Result<usize, StoreError> {
        let late = std::mem::take(&mut *locked(&self.late));
        let count = late.len();
        for Late { store, location, payload } in late {
            let operation = if payload.is_some() { Operation::Put } else { Operation::Delete };
            let asked = Asked { operation, name: location.as_ref() };
            let landed = asked.block(runtime, async {
                let applied = match payload {
                    Some(payload) => store.put(&location, payload).await.map(drop),
                    None => store.delete(&location).await,
                };
                applied.map_err(|error| asked.failed(error))
            });
            match landed {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(count)
    }

    /// What happens to the next operation, and a number that is as good as random.
    fn decide(&self, operation: Operation, name: &str) -> Option<(Effect, u64)> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        if self.crashed() {
            return Some((Effect::Fail(Failure::Crashed), 0));
        }
        let mut decision = None;
        for (index, active) in locked(&self.rules).iter_mut().enumerate() {
            if !active.rule.fits(operation, name) {
                continue;
            }
            active.met += 1;
            let dice = mix(self.seed ^ mix(((index as u64) << 40) ^ active.met));
            let due = active.met > active.rule.after
                && active.fired < active.rule.times
                && dice.is_multiple_of(active.rule.one_in);
            if due && decision.is_none() {
                active.fired += 1;
                decision = Some((active.rule.effect.clone(), mix(dice)));
            }
        }
        decision
    }

    fn hold_back(&self, late: Late) {
        locked(&self.late).push(late);
    }

    fn crash(&self, hook: &CrashHook) {
        self.crashed.store(true, Ordering::SeqCst);
        hook();
    }
}

/// SplitMix64: turns a counter into bits that look random and are the same everywhere.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `bytes` as `effect` leaves them.
fn damaged(bytes: &Bytes, effect: &Effect, dice: u64) -> Bytes {
    match effect {
        Effect::Truncate => bytes.slice(..bytes.len() / 2),
        Effect::FlipBit if !bytes.is_empty() => {
            let mut flipped = bytes.to_vec();
            let bit = dice % (flipped.len() as u64 * 8);
            flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
            flipped.into()
        }
        _ => bytes.clone(),
    }
}
