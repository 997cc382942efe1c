//! Sends again what may succeed when it is sent again.
//!
//! In: a whole operation that can be repeated - request, body and the check that the body is complete. Out: its result, or the last error when the budget
//! is used up. Never: repeats what is not of class `Retry`, and never a put that must be sent once. It is not an `ObjectStore` like its neighbours,
//! because a get fails as often in its body, after the store's call has returned, as in its head.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use model::ErrorClass;

use super::error::StoreError;

/// How long a store is asked again: delays double from the first to the longest, each lengthened at random by up to as much again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The first delay.
    pub first_delay: Duration,
    /// No delay is longer, unless the store asks for it.
    pub longest_delay: Duration,
    /// The sum of all delays of one operation.
    pub budget: Duration,
    /// Makes the random part repeat itself, for tests.
    pub jitter_seed: Option<u64>,
}

impl Default for RetryPolicy {
    /// Three minutes: longer than a load balancer needs to notice a dead server or a bucket to split, short enough that credentials
    /// fetched at the start are still good at the end.
    fn default() -> Self {
        RetryPolicy {
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(30),
            budget: Duration::from_secs(180),
            jitter_seed: None,
        }
    }
}

impl RetryPolicy {
    /// For the first contact, when a person waits and a wrong address is as likely as a busy store: about five seconds.
    pub fn first_contact() -> Self {
        RetryPolicy { longest_delay: Duration::from_secs(2), budget: Duration::from_secs(5), ..RetryPolicy::default() }
    }

    /// Each operation is sent once.
    pub fn never() -> Self {
        RetryPolicy { budget: Duration::ZERO, first_delay: Duration::from_millis(1), ..RetryPolicy::default() }
    }

    /// The delays as `backon` takes them.
    fn delays(&self) -> ExponentialBuilder {
        let delays = ExponentialBuilder::new()
            .with_jitter()
            .with_factor(2.0)
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_total_delay(Some(self.budget))
            .without_max_times();
        match self.jitter_seed {
            Some(seed) => delays.with_jitter_seed(seed),
            None => delays,
        }
    }
}

/// Waits for as long as it is told; returns when that time has passed.
pub type Pause = Arc<dyn Fn(Duration) + Send + Sync>;

/// A policy, and how to wait.
#[derive(Clone, Default)]
pub(super) struct Repeat {
    policy: RetryPolicy,
    /// `None`: in real time, without holding up the runtime.
    pause: Option<Pause>,
}

impl Repeat {
    /// The same with another policy.
    pub(super) fn by(self, policy: RetryPolicy) -> Repeat {
        Repeat { policy, ..self }
    }

    /// The same with another way to wait.
    pub(super) fn pausing(self, pause: Pause) -> Repeat {
        Repeat { pause: Some(pause), ..self }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the budget is used up.
    pub(super) async fn run<T, F, Fut>(&self, attempt: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let pause = self.pause.clone();
        attempt
            .retry(self.policy.delays())
            .sleep(move |delay| wait(pause.clone(), delay))
            .when(|error: &StoreError| error.class() == ErrorClass::Retry)
            .adjust(|error, delay| delay.map(|delay| delay.max(asked_for(error))))
            .notify(|error: &StoreError, delay| {
                tracing::warn!(%error, delay_ms = delay.as_millis() as u64, "the store failed, asking again");
            })
            .await
    }
}

async fn wait(pause: Option<Pause>, delay: Duration) {
    match pause {
        Some(pause) => pause(delay),
        None => tokio::time::sleep(delay).await,
    }
}

fn asked_for(error: &StoreError) -> Duration {
    match error {
        StoreError::Throttled { retry_after: Some(wait), .. } => *wait,
        _ => Duration::ZERO,
    }
}
