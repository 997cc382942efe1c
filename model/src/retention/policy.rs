//! Policy: what a person wants to keep.
//!
//! In: counts, spans of time and a time zone. Out: whether a time lies within a span. Never: knows restore points.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many of a kind to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeepCount(Option<u32>);

/// A text that is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a count of restore points: write a number, or \"all\"")]
pub struct ParseKeepError(String);

/// Which restore points of a volume stay. Every rule that is left out keeps nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// The newest.
    pub last: KeepCount,
    /// The newest of each hour.
    pub hourly: KeepCount,
    /// The newest of each day.
    pub daily: KeepCount,
    /// The newest of each ISO week.
    pub weekly: KeepCount,
    /// The newest of each month.
    pub monthly: KeepCount,
    /// The newest of each year.
    pub yearly: KeepCount,
    /// Everything that is not older than the newest by more than this: `14d`, `1y 6mo`.
    #[serde(serialize_with = "jiff::fmt::serde::span::friendly::compact::optional")]
    pub within: Option<Span>,
    /// What is younger stays and pushes nobody out.
    #[serde(serialize_with = "jiff::fmt::serde::span::friendly::compact::optional")]
    pub minimum_age: Option<Span>,
    /// Where days begin.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub time_zone: TimeZone,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            last: KeepCount::NONE,
            hourly: KeepCount::NONE,
            daily: KeepCount::NONE,
            weekly: KeepCount::NONE,
            monthly: KeepCount::NONE,
            yearly: KeepCount::NONE,
            within: None,
            minimum_age: None,
            time_zone: TimeZone::UTC,
        }
    }
}

impl KeepCount {
    /// None.
    pub const NONE: KeepCount = KeepCount(Some(0));
    /// As many as there are.
    pub const ALL: KeepCount = KeepCount(None);

    /// At most so many.
    pub fn at_most(count: u32) -> KeepCount {
        KeepCount(Some(count))
    }

    /// True if after `taken` there is room for one more.
    pub fn has_room(self, taken: usize) -> bool {
        self.0.is_none_or(|count| usize::try_from(count).is_ok_and(|count| taken < count))
    }
}

impl Policy {
    /// True if no rule keeps anything: whoever asks for that has most likely forgotten an option.
    pub fn keeps_nothing(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == KeepCount::NONE) && self.within.is_none()
    }

    /// True if what has been there since `since_ms` has not been there for the minimum age.
    pub(super) fn is_younger_than_minimum(&self, since_ms: i64, now_ms: i64) -> bool {
        self.minimum_age
            .is_some_and(|age| age.is_positive() && self.before(now_ms, age).is_none_or(|begin| since_ms > begin))
    }

    /// The first time that `within` keeps, if the newest point is of `newest_ms`.
    pub(super) fn within_begins(&self, newest_ms: i64) -> Option<i64> {
        self.within.map(|span| self.before(newest_ms, span).unwrap_or(i64::MIN))
    }

    /// So much earlier by the calendar; `None` is before its beginning.
    fn before(&self, time_ms: i64, span: Span) -> Option<i64> {
        self.zoned(time_ms).checked_sub(span).ok().map(|begin| begin.timestamp().as_millisecond())
    }

    /// A time on the calendar; what lies beyond it counts as its end.
    pub(super) fn zoned(&self, time_ms: i64) -> Zoned {
        let end = if time_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_millisecond(time_ms).unwrap_or(end).to_zoned(self.time_zone.clone())
    }
}

impl FromStr for KeepCount {
    type Err = ParseKeepError;
    /// A number, or `all`.
    fn from_str(text: &str) -> Result<KeepCount, ParseKeepError> {
        match text {
            "all" => Ok(KeepCount::ALL),
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(KeepCount::at_most).map_err(|_| ParseKeepError(digits.chars().take(80).collect()))
            }
            other => Err(ParseKeepError(other.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for KeepCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("all"),
            Some(count) => count.fmt(f),
        }
    }
}

impl Serialize for KeepCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("all"),
            Some(count) => serializer.serialize_u32(count),
        }
    }
}

impl<'de> Deserialize<'de> for KeepCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(count) => Ok(KeepCount::at_most(count)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
