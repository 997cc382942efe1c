//! Verdict: stay or go, and why, in words.
//!
//! In: reasons. Out: what a dry run shows. Never: decides.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::Class;

/// Stay or go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It stays, for every one of these reasons.
    Keep(BTreeSet<KeepReason>),
    /// It goes.
    Retire(RetireReason),
}

/// A rule that has slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The newest.
    Last,
    /// The newest of each hour.
    Hourly,
    /// The newest of each day.
    Daily,
    /// The newest of each ISO week.
    Weekly,
    /// The newest of each month.
    Monthly,
    /// The newest of each year.
    Yearly,
}

/// Why a point stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepReason {
    /// Somebody holds it.
    Held,
    /// The newest there is.
    Newest,
    /// The newest that is complete.
    NewestGood,
    /// The newest that is complete and was verified.
    NewestVerified,
    /// It fills a slot of a rule; 1 is the newest.
    Slot {
        /// The rule.
        rule: Rule,
        /// Which of its slots.
        slot: usize,
    },
    /// The rule has room left and this is the oldest.
    Oldest {
        /// The rule.
        rule: Rule,
    },
    /// Not much older than the newest.
    Within,
    /// It has not been there for the minimum age.
    Young,
    /// By its time it has not been made yet.
    Future,
    /// Not counted; it goes by the collector's own rule.
    Checkpoint,
    /// It may still become dead; not counted.
    Aborted,
    /// Only through it is it known that a point that stays is newer than its own time says.
    Order,
}

/// Why a point goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetireReason {
    /// Newer points fill the slots.
    NotNeeded,
    /// Partial, and good or newer points fill the slots.
    Partial,
    /// Its time is long before its arrival, and points that arrived in time, or newer ones, fill the slots.
    Late,
}

impl Verdict {
    pub(super) fn new(reasons: BTreeSet<KeepReason>, class: Class) -> Verdict {
        match class {
            _ if !reasons.is_empty() => Verdict::Keep(reasons),
            Class::Good => Verdict::Retire(RetireReason::NotNeeded),
            Class::Late => Verdict::Retire(RetireReason::Late),
            Class::Partial => Verdict::Retire(RetireReason::Partial),
        }
    }

    /// True if it stays.
    pub fn keeps(&self) -> bool {
        matches!(self, Verdict::Keep(_))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Last => "last",
            Rule::Hourly => "hourly",
            Rule::Daily => "daily",
            Rule::Weekly => "weekly",
            Rule::Monthly => "monthly",
            Rule::Yearly => "yearly",
        })
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepReason::Held => f.write_str("held"),
            KeepReason::Newest => f.write_str("newest"),
            KeepReason::NewestGood => f.write_str("newest good"),
            KeepReason::NewestVerified => f.write_str("newest verified"),
            KeepReason::Slot { rule, slot } => write!(f, "{rule} {slot}"),
            KeepReason::Oldest { rule } => write!(f, "oldest, {rule} has room"),
            KeepReason::Within => f.write_str("within"),
            KeepReason::Young => f.write_str("younger than the minimum age"),
            KeepReason::Future => f.write_str("its time has not come"),
            KeepReason::Checkpoint => f.write_str("checkpoint, not counted"),
            KeepReason::Aborted => f.write_str("being aborted, not counted"),
            KeepReason::Order => f.write_str("orders one that stays"),
        }
    }
}

impl fmt::Display for RetireReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RetireReason::NotNeeded => "no rule needs it",
            RetireReason::Partial => "partial, and no rule needs it",
            RetireReason::Late => "arrived long after its time, and no rule needs it",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Keep(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(KeepReason::to_string).collect();
                write!(f, "keep: {}", reasons.join(", "))
            }
            Verdict::Retire(reason) => write!(f, "retire: {reason}"),
        }
    }
}
