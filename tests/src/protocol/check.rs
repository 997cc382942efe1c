//! Check: one exhaustive search.
//!
//! In: a model and how many states at most. Out: an [`Outcome`]: how much was seen, and the shortest way to a broken claim. Never: says that a
//! space was exhausted when it was not.

use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Mutex,
};

use stateright::{Checker, HasDiscoveries, Model};

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Different states that were seen.
    pub states: usize,
    /// The longest of the shortest ways to a state, in operations.
    pub depth: usize,
    /// Whether there is no state that was not seen.
    pub exhausted: bool,
    /// A claim that does not hold, if any.
    pub broken: Option<Broken>,
}

/// A claim that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The claim.
    pub claim: &'static str,
    /// The operations that lead there, with the stores after each.
    pub trace: Vec<String>,
}

/// Looks at every state, breadth first, until a claim is broken or more than `transitions_max` transitions were taken.
pub fn explore<M>(model: M, transitions_max: usize) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + fmt::Display,
{
    let search =
        model.checker().finish_when(HasDiscoveries::Any).target_state_count(transitions_max).spawn_bfs().join();
    // One state may break several claims; the first in the model's order is the one to read.
    let claims = search.model().properties();
    let broken = claims.iter().find_map(|claim| {
        let trace = search.discovery(claim.name)?.into_actions().iter().map(ToString::to_string).collect();
        Some(Broken { claim: claim.name, trace })
    });
    Outcome {
        states: search.unique_state_count(),
        depth: search.max_depth(),
        exhausted: broken.is_none() && search.state_count() < transitions_max,
        broken,
    }
}

/// Remembers which stores claim D was checked for: many states have the same stores.
#[derive(Debug, Default)]
pub struct Seen {
    hasher: RandomState,
    checked: Mutex<HashSet<u64>>,
}

impl Seen {
    /// Whether this is the first time.
    pub fn first_time(&self, stores: impl Hash) -> bool {
        let fingerprint = self.hasher.hash_one(stores);
        self.checked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(fingerprint)
    }

    /// How many stores there were.
    pub fn count(&self) -> usize {
        self.checked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }
}
