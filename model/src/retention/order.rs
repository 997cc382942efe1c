//! Order: when points were made, and in which order.
//!
//! In: candidates, sorted by id. Out: a time for the calendar, and a place in the order that parents prove. Never: believes a time after the arrival, or follows a ring of
//! parents for ever.

use std::collections::HashMap;

use super::{Candidate, SKEW_MS};

/// Where a candidate stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The time that counts for the calendar.
    pub(super) time_ms: i64,
    /// 0 is the oldest.
    pub(super) rank: usize,
    /// The parent (its index) without which its rank would be another.
    pub(super) relies_on: Option<usize>,
}

/// What an order is made of: no child comes before its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Its own time, or its parent's if that is later.
    raised_ms: i64,
    /// How many parents it took that time from.
    steps: usize,
}

/// The places of all candidates.
pub(super) fn places(candidates: &[Candidate], now_ms: i64) -> Vec<Place> {
    let index: HashMap<_, _> = candidates.iter().enumerate().map(|(index, point)| (point.id, index)).collect();
    let parent = |at: usize| candidates[at].parent.and_then(|parent| index.get(&parent).copied());
    let mut known: Vec<Option<(Key, Option<usize>)>> = vec![None; candidates.len()];
    let mut visited = vec![false; candidates.len()];
    for start in 0..candidates.len() {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| !visited[*at]) {
            visited[at] = true;
            path.push(at);
            next = parent(at);
        }
        for at in path.into_iter().rev() {
            // A parent that is not known yet closes a ring: its name is not believed.
            let above = parent(at).and_then(|parent| known[parent].map(|(key, _)| (parent, key)));
            known[at] = Some(key(time(&candidates[at]), now_ms, above));
        }
    }
    let mut by_age: Vec<usize> = (0..candidates.len()).collect();
    by_age.sort_by_key(|at| (known[*at].map(|(key, _)| key), candidates[*at].id));
    let mut places: Vec<Place> = candidates
        .iter()
        .zip(&known)
        .map(|(point, known)| Place { time_ms: time(point), rank: 0, relies_on: known.and_then(|(_, parent)| parent) })
        .collect();
    for (rank, at) in by_age.into_iter().enumerate() {
        places[at].rank = rank;
    }
    places
}

/// When the point was made: never later than it arrived.
fn time(point: &Candidate) -> i64 {
    match point.arrived_ms {
        Some(arrived) if point.created_ms.saturating_sub(arrived) > SKEW_MS => arrived,
        _ => point.created_ms,
    }
}

/// A time that has not come yet says nothing about the order.
fn key(time_ms: i64, now_ms: i64, parent: Option<(usize, Key)>) -> (Key, Option<usize>) {
    let own = if time_ms > now_ms { i64::MIN } else { time_ms };
    match parent {
        Some((parent, above)) if above.raised_ms >= own => {
            (Key { raised_ms: above.raised_ms, steps: above.steps + 1 }, Some(parent))
        }
        _ => (Key { raised_ms: own, steps: 0 }, None),
    }
}
