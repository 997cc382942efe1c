//! Ends requests that make no progress.
//!
//! In: requests. Out: the same answers, or an error after a time without progress. Never: ends a slow transfer that moves.
//!
//! A limit on the whole request, the only one that `object_store` offers besides one that also counts while an upload is still being sent, would
//! have to allow for the slowest line and would then let a dead server hold a backup for as long. So a download may take for ever as long as the next
//! piece comes in time; an upload, whose progress is not visible from here, gets time by its size. A peer that is gone is noticed sooner by the
//! kernel: the HTTP client sets TCP_USER_TIMEOUT to 30 s.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, PutPayload,
    PutResult, Result,
};

use super::error::Elapsed;
use super::layer::{Layer, layered};

/// How long a request may stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// For the answer to a request, and between two pieces of it.
    pub(super) answer: Duration,
    /// The slowest upload that is waited for.
    pub(super) upload_bytes_per_second: u64,
}

impl Default for Patience {
    /// A minute, and half a megabit per second: a full pack of 32 MiB may take nearly ten minutes.
    fn default() -> Self {
        Patience { answer: Duration::from_secs(60), upload_bytes_per_second: 64 << 10 }
    }
}

impl Patience {
    fn upload(self, bytes: usize) -> Duration {
        self.answer + Duration::from_secs(bytes as u64 / self.upload_bytes_per_second.max(1))
    }
}

#[derive(Debug)]
struct Deadline {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
}

/// `inner`, which fails instead of hanging.
pub(super) fn patient(inner: Arc<dyn ObjectStore>, patience: Patience) -> Arc<dyn ObjectStore> {
    layered(Deadline { inner, patience })
}

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl Layer for Deadline {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let patience = self.patience.upload(payload.content_length());
        within(patience, self.inner.put_opts(location, payload, options)).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = within(self.patience.answer, self.inner.get_opts(location, options)).await?;
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => GetResultPayload::Stream(in_time(stream, self.patience.answer)),
            file @ GetResultPayload::File(..) => file,
        };
        Ok(result)
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        within(self.patience.answer, self.inner.delete(location)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        in_time(self.inner.list(prefix), self.patience.answer)
    }
}

async fn within<T>(patience: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, request).await {
        Ok(result) => result,
        Err(_) => Err(elapsed(patience)),
    }
}

/// `stream`, whose next item comes within `patience` or is an error that ends it.
fn in_time<T: Send + 'static>(
    stream: impl Stream<Item = Result<T>> + Send + 'static,
    patience: Duration,
) -> BoxStream<'static, Result<T>> {
    futures::stream::unfold(Some(stream.boxed()), move |stream| async move {
        let mut stream = stream?;
        match tokio::time::timeout(patience, stream.next()).await {
            Ok(Some(item)) => Some((item, Some(stream))),
            Ok(None) => None,
            Err(_) => Some((Err(elapsed(patience)), None)),
        }
    })
    .boxed()
}

fn elapsed(patience: Duration) -> Error {
    Error::Generic { store: "deadline", source: Box::new(Elapsed(patience)) }
}
