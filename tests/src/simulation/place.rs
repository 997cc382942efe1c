//! Place: one of the two stores of a simulation: where points are made, and where they are copied to.
//!
//! In: what takes effect there. Out: its objects, its troubles, and the truth about it. Never: knows of the other place.

use std::collections::{BTreeMap, BTreeSet};

use repository::store::Bytes;

use super::truth::Truth;
use super::weather::Weather;

/// Which of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where points are made.
    #[default]
    Source,
    /// Where they are copied to; many a seed has nobody there.
    Target,
}

/// One stored object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) modified_ms: i64,
}

/// A prefix that is not served for a while.
#[derive(Clone, Debug)]
pub(super) struct Storm {
    pub(super) prefix: String,
    pub(super) until_step: u64,
}

/// One store.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) weather: Weather,
    pub(crate) objects: BTreeMap<String, Object>,
    /// Objects whose stored bytes are not what was sent.
    pub(crate) harmed: BTreeSet<String>,
    /// The last step at which one of them was deleted or put again.
    pub(super) healed: Option<u64>,
    pub(super) storms: Vec<Storm>,
    /// Keys of the domain that came or went.
    pub(crate) key_changes: u64,
    /// It was a replica, and is a repository of its own.
    pub(crate) is_promoted: bool,
    pub(crate) truth: Option<Truth>,
}

impl Place {
    /// True if an object of this name is not served.
    pub(super) fn is_stormy(&self, name: &str) -> bool {
        self.storms.iter().any(|storm| is_below(name, &storm.prefix))
    }

    /// What must be true here, if truth is told already.
    pub(crate) fn truth(&mut self) -> &mut Truth {
        self.truth.as_mut().expect("a place is complete before anybody asks")
    }
}

/// True if a name lies below a prefix of whole components.
pub(crate) fn is_below(name: &str, prefix: &str) -> bool {
    prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
