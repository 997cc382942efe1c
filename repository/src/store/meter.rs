//! Counts what is sent to a store and what comes back.
//!
//! In: every request that reaches the store, repeats included. Out: the same answers, and [`Requests`]. Never: changes a request or an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, PutPayload,
    PutResult, Result,
};
use serde::{Deserialize, Serialize};

use super::layer::{Layer, layered};

/// Names in one page of a list: what S3 and GCS answer at most, and what their price lists count. (Azure sends up to 5,000.)
const PAGE_NAMES: u64 = 1_000;

/// What was sent to a store, repeats included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Objects put.
    pub put: u64,
    /// Objects, ranges and sizes asked for.
    pub get: u64,
    /// Pages of lists asked for, 1,000 names each.
    pub list: u64,
    /// Objects deleted.
    pub delete: u64,
    /// Bytes of the objects that were put.
    pub bytes_sent: u64,
    /// Bytes of the objects that were read.
    pub bytes_received: u64,
}

impl Requests {
    /// What was sent after `earlier` was taken.
    #[must_use]
    pub fn since(self, earlier: Requests) -> Requests {
        Requests {
            put: self.put.saturating_sub(earlier.put),
            get: self.get.saturating_sub(earlier.get),
            list: self.list.saturating_sub(earlier.list),
            delete: self.delete.saturating_sub(earlier.delete),
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
            bytes_received: self.bytes_received.saturating_sub(earlier.bytes_received),
        }
    }

    /// Requests of all kinds.
    pub fn total(self) -> u64 {
        self.put + self.get + self.list + self.delete
    }
}

impl std::ops::Add for Requests {
    type Output = Requests;

    fn add(self, other: Requests) -> Requests {
        Requests {
            put: self.put + other.put,
            get: self.get + other.get,
            list: self.list + other.list,
            delete: self.delete + other.delete,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            bytes_received: self.bytes_received + other.bytes_received,
        }
    }
}

/// The counters behind [`Requests`], shared by every clone of a store.
#[derive(Debug, Default)]
pub(super) struct Counters {
    put: AtomicU64,
    get: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl Counters {
    pub(super) fn requests(&self) -> Requests {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            put: read(&self.put),
            get: read(&self.get),
            list: read(&self.list),
            delete: read(&self.delete),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[derive(Debug)]
struct Meter {
    inner: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
}

/// `inner`, counted.
pub(super) fn metered(inner: Arc<dyn ObjectStore>, counters: Arc<Counters>) -> Arc<dyn ObjectStore> {
    layered(Meter { inner, counters })
}

impl std::fmt::Display for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl Layer for Meter {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        add(&self.counters.put, 1);
        add(&self.counters.bytes_sent, payload.content_length() as u64);
        self.inner.put_opts(location, payload, options).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        add(&self.counters.get, 1);
        let head = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(result);
        }
        result.payload = match result.payload {
            // A file stays a file: read in one go it is much cheaper than as a stream of 8 KiB pieces.
            file @ GetResultPayload::File(..) => {
                add(&self.counters.bytes_received, result.range.end.saturating_sub(result.range.start));
                file
            }
            GetResultPayload::Stream(stream) => {
                let counters = self.counters.clone();
                GetResultPayload::Stream(
                    stream
                        .inspect(move |chunk| {
                            if let Ok(chunk) = chunk {
                                add(&counters.bytes_received, chunk.len() as u64);
                            }
                        })
                        .boxed(),
                )
            }
        };
        Ok(result)
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        add(&self.counters.delete, 1);
        self.inner.delete(location).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counters.list, 1);
        let counters = self.counters.clone();
        self.inner
            .list(prefix)
            .enumerate()
            .map(move |(index, entry)| {
                // The name after a full page proves that another page was asked for.
                if index > 0 && (index as u64).is_multiple_of(PAGE_NAMES) {
                    add(&counters.list, 1);
                }
                entry
            })
            .boxed()
    }
}
