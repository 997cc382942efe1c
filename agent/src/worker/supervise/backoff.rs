//! Backoff: a volume whose worker hung or died waits, longer each time.
//!
//! In: what happened when. Out: how long to wait. Pure.

use std::collections::HashMap;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// Volumes that do not answer: how often in a row, and when they may be tried again.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<String, (u32, Duration)>);

impl Backoff {
    /// How long a volume still has to wait.
    pub(super) fn wait(&self, volume: &str, now: Duration) -> Option<Duration> {
        let (_, until) = self.0.get(volume)?;
        until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Its worker hung or died.
    pub(super) fn failed(&mut self, volume: &str, now: Duration) {
        let (times, until) = self.0.entry(volume.to_owned()).or_default();
        *until = now + FIRST.saturating_mul(1 << (*times).min(16)).min(LONGEST);
        *times = times.saturating_add(1);
    }

    /// Its worker came to an end by itself.
    pub(super) fn answered(&mut self, volume: &str) {
        self.0.remove(volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_does_not_answer_waits_twice_as_long_each_time_and_an_hour_at_most() {
        let mut backoff = Backoff::default();
        let mut now = Duration::ZERO;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(backoff.wait("v", now), None);
            backoff.failed("v", now);
            assert_eq!(backoff.wait("v", now), Some(Duration::from_secs(60 * minutes)));
            assert_eq!(backoff.wait("other", now), None);
            now += Duration::from_secs(60 * minutes);
        }
        backoff.failed("v", now);
        backoff.answered("v");
        assert_eq!(backoff.wait("v", now), None);
    }
}
