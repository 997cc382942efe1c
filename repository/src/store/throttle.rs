//! Keeps transfers below a bandwidth.
//!
//! In: puts and gets. Out: the same, later. Never: drops, splits or reorders bytes; requests without a body are not delayed.
//!
//! The bucket may be overdrawn by one request: a pack goes out at the speed of the line, and what follows waits until its bytes have been earned. The
//! average is what was asked for, and no request is held half-sent, where a store would time it out.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore, PutOptions, PutPayload, PutResult, Result};
use tokio::time::Instant;

use super::layer::{Layer, layered};

/// A bucket of bytes that fills at a rate and is shared by everybody who holds it, in both directions.
#[derive(Debug)]
pub(super) struct Bandwidth {
    bytes_per_second: NonZeroU64,
    /// When everything taken so far will have been earned.
    earned_at: Mutex<Option<Instant>>,
}

impl Bandwidth {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Bandwidth { bytes_per_second, earned_at: Mutex::new(None) }
    }

    /// Takes `bytes` and says how long to wait before they may move.
    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.get() as f64);
        let mut earned_at = self.earned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = earned_at.map_or(now, |earned| earned.max(now));
        *earned_at = Some(start + cost);
        start - now
    }

    async fn take(&self, bytes: u64) {
        let wait = self.reserve(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[derive(Debug)]
struct Throttle {
    inner: Arc<dyn ObjectStore>,
    bandwidth: Arc<Bandwidth>,
}

/// `inner`, at most as fast as `bandwidth`.
pub(super) fn throttled(inner: Arc<dyn ObjectStore>, bandwidth: Arc<Bandwidth>) -> Arc<dyn ObjectStore> {
    layered(Throttle { inner, bandwidth })
}

impl std::fmt::Display for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl Layer for Throttle {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.bandwidth.take(payload.content_length() as u64).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.inner.get_opts(location, options).await;
        }
        let mut result = self.inner.get_opts(location, options).await?;
        result.payload = match result.payload {
            file @ GetResultPayload::File(..) => {
                self.bandwidth.take(result.range.end.saturating_sub(result.range.start)).await;
                file
            }
            GetResultPayload::Stream(stream) => {
                let bandwidth = self.bandwidth.clone();
                let paced = stream.then(move |chunk| {
                    let bandwidth = bandwidth.clone();
                    async move {
                        if let Ok(chunk) = &chunk {
                            bandwidth.take(chunk.len() as u64).await;
                        }
                        chunk
                    }
                });
                GetResultPayload::Stream(paced.boxed())
            }
        };
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_earned_before_the_next_moves() {
        let bandwidth = Bandwidth::new(NonZeroU64::new(1_000).unwrap());
        let now = Instant::now();
        assert_eq!(bandwidth.reserve(2_000, now), Duration::ZERO);
        assert_eq!(bandwidth.reserve(500, now), Duration::from_secs(2));
        assert_eq!(bandwidth.reserve(500, now + Duration::from_secs(1)), Duration::from_millis(1_500));
    }

    #[tokio::test]
    async fn time_that_nobody_used_is_not_saved_up() {
        let bandwidth = Bandwidth::new(NonZeroU64::new(1_000).unwrap());
        let now = Instant::now();
        let later = now + Duration::from_secs(3_600);
        assert_eq!(bandwidth.reserve(1_000, now), Duration::ZERO);
        assert_eq!(bandwidth.reserve(1_000, later), Duration::ZERO);
        assert_eq!(bandwidth.reserve(1_000, later), Duration::from_secs(1));
    }
}
