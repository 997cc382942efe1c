//! Cost: time and requests of a run.
//!
//! In: a domain's clock and counters. Out: what has passed since the start. Never: counts what the tally counts.

use crate::domain::Domain;
use crate::point::{Requests, Statistics};
use crate::store;

/// What a run has cost so far, apart from what the tally counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) requests: Requests,
}

/// What a run has cost since it was started.
pub(super) struct Clock<'a> {
    domain: &'a Domain,
    pub(super) started: jiff::Timestamp,
    requests_before: store::Requests,
}

impl Clock<'_> {
    pub(super) fn start(domain: &Domain) -> Clock<'_> {
        Clock { domain, started: domain.now(), requests_before: domain.store().requests() }
    }

    pub(super) fn cost(&self) -> Cost {
        let store::Requests { put, get, list, delete, .. } = self.domain.store().requests().since(self.requests_before);
        Cost {
            seconds: (self.domain.now() - self.started).total(jiff::Unit::Second).unwrap_or(0.0),
            requests: Requests { put, get, list, delete },
        }
    }

    pub(super) fn add_to(&self, statistics: Statistics) -> Statistics {
        let Cost { seconds, requests } = self.cost();
        Statistics { seconds, requests, ..statistics }
    }
}
