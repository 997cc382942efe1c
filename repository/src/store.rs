//! A store: immutable objects under one prefix, as the engine sees it.
//!
//! In: any `ObjectStore`, names relative to the repository, bytes. Out: blocking calls for the plain threads of the pipelines, with every request counted,
//! repeated when that helps, bounded in time and in memory, and with errors that tell the next move. Never: a conditional write, a lock, a cache.
//!
//! The layers, outermost first: retry, meter, throttle, deadline, faults (tests only), the store itself. What is counted is what is sent.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

pub use bytes::Bytes;
use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;

mod deadline;
mod directory;
mod error;
mod fault;
mod http;
mod layer;
mod meter;
mod probe;
mod refuse_conditional;
mod retry;
mod throttle;
mod url;

#[cfg(test)]
mod tests;

pub use error::{Operation, Source, StoreError};
pub use fault::{CrashHook, Effect, Failure, Faults, MeanwhileHook, Rule};
pub use meter::Requests;
pub use probe::{ProbeError, ProbeReport, Requirement, probe};
pub use refuse_conditional::refuse_conditional;
pub use retry::{Pause, RetryPolicy};
pub use url::{Environment, Location, OpenError, OpenMode, is_setting, open};

use error::{Asked, CutShort};

/// No object of a repository is larger: a pack is at most 64 MiB, a reference part as well, and around either there is a header and a tag.
pub const OBJECT_BYTES_MAX: u64 = 80 << 20;

/// An object that a list named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name, relative to the repository.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written by the clock of the store, in milliseconds since 1970-01-01 UTC: for liveness and grace periods, never for safety.
    pub modified_ms: i64,
}

/// A store as the engine sees it: immutable objects under one prefix. Cheap to clone; clones share their counters.
///
/// The calls block, and are for plain threads (`std::thread`): on a thread of an asynchronous runtime, one of its blocking threads included, they return
/// [`StoreError::InsideRuntime`]. The runtime that does the work must have worker threads, time and IO enabled, and outlive the calls.
#[derive(Clone)]
pub struct Store {
    base: Arc<dyn ObjectStore>,
    /// `base` under its layers.
    sent: Arc<dyn ObjectStore>,
    runtime: Handle,
    retry: retry::Repeat,
    one_connection: bool,
    counters: Arc<meter::Counters>,
    bandwidth: Option<Arc<throttle::Bandwidth>>,
    faults: Option<Arc<Faults>>,
    patience: deadline::Patience,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.base)
    }
}

impl Store {
    /// `base` is rooted at the prefix of the repository, and does not repeat requests itself ([`open`] gives such a one).
    pub fn new(base: Arc<dyn ObjectStore>, runtime: Handle) -> Store {
        Store {
            sent: base.clone(),
            base,
            runtime,
            retry: retry::Repeat::default(),
            one_connection: false,
            counters: Arc::default(),
            bandwidth: None,
            faults: None,
            patience: deadline::Patience::default(),
        }
        .layered()
    }

    /// The same store, which repeats failed operations by `policy`.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Store {
        Store { retry: self.retry.by(policy), ..self }
    }

    /// The same store, which waits between two attempts by calling this. Time is an input: a simulation lets its own clock go on instead.
    #[must_use]
    pub fn with_pause(self, pause: Pause) -> Store {
        Store { retry: self.retry.pausing(pause), ..self }
    }

    /// The same store over one connection: whoever reads or writes it does everything on the thread that called, one request after the other. For a store that
    /// permits no more, and for simulations, in which the order of requests must follow from a seed.
    #[must_use]
    pub fn with_one_connection(self) -> Store {
        Store { one_connection: true, ..self }
    }

    /// How many threads a stage starts that would like `wanted` of them; none over one connection: then whoever has work for the stage does it.
    pub fn threads(&self, wanted: usize) -> usize {
        if self.one_connection { 0 } else { wanted.max(1) }
    }

    /// The same store, sending and receiving together at most `bytes_per_second` (0: no limit), shared by all its clones.
    #[must_use]
    pub fn with_bandwidth_limit(self, bytes_per_second: u64) -> Store {
        let bandwidth = NonZeroU64::new(bytes_per_second).map(|rate| Arc::new(throttle::Bandwidth::new(rate)));
        Store { bandwidth, ..self }.layered()
    }

    /// The same store, with faults under the meter and the retry. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Arc<Faults>) -> Store {
        Store { faults: Some(faults), ..self }.layered()
    }

    fn layered(mut self) -> Store {
        let mut layers = self.base.clone();
        if let Some(faults) = &self.faults {
            layers = fault::faulty(layers, faults.clone());
        }
        layers = deadline::patient(layers, self.patience);
        if let Some(bandwidth) = &self.bandwidth {
            layers = throttle::throttled(layers, bandwidth.clone());
        }
        self.sent = meter::metered(layers, self.counters.clone());
        self
    }

    /// What was sent by this store and its clones, repeats included.
    pub fn requests(&self) -> Requests {
        self.counters.requests()
    }

    /// A whole object of at most [`OBJECT_BYTES_MAX`].
    pub fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        self.get_at_most(name, OBJECT_BYTES_MAX)
    }

    /// A whole object; one of more than `bytes_max` is an error, found before it is read.
    pub fn get_at_most(&self, name: &str, bytes_max: u64) -> Result<Bytes, StoreError> {
        let asked = Asked { operation: Operation::Get, name };
        let path = parse(name)?;
        asked.block(&self.runtime, self.retry.run(|| self.whole(&path, asked, bytes_max)))
    }

    /// Exactly the bytes of `range`, or an error; [`StoreError::Truncated`] when the object ends before it.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let asked = Asked { operation: Operation::Get, name };
        let path = parse(name)?;
        if range.start > range.end {
            return Err(StoreError::BadRequest {
                name: name.to_owned(),
                cause: format!("the range {range:?} runs backwards"),
            });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        asked.block(&self.runtime, self.retry.run(|| self.part(&path, asked, range.clone())))
    }

    /// The first bytes of an object, at most `bytes`, which is not 0; all of it if it is shorter.
    pub fn get_front(&self, name: &str, bytes: u64) -> Result<Bytes, StoreError> {
        let asked = Asked { operation: Operation::Get, name };
        let path = parse(name)?;
        asked.block(&self.runtime, self.retry.run(|| self.front(&path, asked, bytes)))
    }

    /// What a list would say of one object; None when it does not exist.
    pub fn stat(&self, name: &str) -> Result<Option<Listed>, StoreError> {
        let asked = Asked { operation: Operation::Get, name };
        let path = parse(name)?;
        match asked.block(&self.runtime, self.retry.run(|| self.head(&path, asked))) {
            Err(StoreError::NotFound { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The size of an object in bytes; None when it does not exist.
    pub fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.stat(name)?.map(|found| found.size))
    }

    /// Whether an object exists.
    pub fn exists(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.size(name)?.is_some())
    }

    /// Writes an object. It may be sent several times, and what was not acknowledged may still arrive later.
    pub fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let asked = Asked { operation: Operation::Put, name };
        let path = parse(name)?;
        asked.block(&self.runtime, self.retry.run(|| self.write(&path, asked, bytes.clone())))
    }

    /// Writes an object with exactly one request: after an error nobody knows whether it exists, or will.
    pub fn put_once(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let asked = Asked { operation: Operation::Put, name };
        let path = parse(name)?;
        asked.block(&self.runtime, self.write(&path, asked, bytes))
    }

    /// Every object below `prefix`, a whole number of path components (empty: everything); sorted by name.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let asked = Asked { operation: Operation::List, name: prefix };
        let path = parse_prefix(prefix)?;
        asked.block(&self.runtime, self.retry.run(|| self.names(&path, asked)))
    }

    /// Shows every object below `prefix` to `each` as it comes, in no particular order, without holding more than a page of them: for what may be too many names for
    /// memory. A list that fails is begun again, so a name may be shown more than once, and names may have been shown when this returns an error.
    pub fn list_each(&self, prefix: &str, each: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        let asked = Asked { operation: Operation::List, name: prefix };
        let path = parse_prefix(prefix)?;
        // A lock that nobody waits for: attempts follow each other.
        let each = tokio::sync::Mutex::new(each);
        asked.block(
            &self.runtime,
            self.retry.run(|| async { self.stream_names(&path, asked, &mut **each.lock().await).await }),
        )
    }

    /// Removes an object. One that does not exist is fine.
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        let asked = Asked { operation: Operation::Delete, name };
        let path = parse(name)?;
        asked.block(&self.runtime, self.retry.run(|| self.remove(&path, asked)))
    }

    async fn whole(&self, path: &Path, asked: Asked<'_>, bytes_max: u64) -> Result<Bytes, StoreError> {
        let result = self.sent.get_opts(path, GetOptions::new()).await.map_err(|error| asked.failed(error))?;
        if result.meta.size > bytes_max {
            return Err(StoreError::TooLarge { name: asked.name.to_owned(), bytes: result.meta.size, bytes_max });
        }
        body(result, asked).await
    }

    async fn part(&self, path: &Path, asked: Asked<'_>, range: Range<u64>) -> Result<Bytes, StoreError> {
        let expected = range.end - range.start;
        let truncated = |size: u64| StoreError::Truncated {
            name: asked.name.to_owned(),
            expected,
            got: size.saturating_sub(range.start).min(expected),
        };
        let options = GetOptions::new().with_range(Some(range.clone()));
        match self.sent.get_opts(path, options).await.map_err(|error| asked.failed(error)) {
            Ok(result) if result.range == range => body(result, asked).await,
            Ok(result) => Err(truncated(result.meta.size)),
            // Each store words a range beyond the end differently; the size of the object says the same in all of them.
            Err(error @ StoreError::Unexpected { .. }) => match self.head(path, asked).await {
                Ok(found) if found.size < range.end => Err(truncated(found.size)),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn front(&self, path: &Path, asked: Asked<'_>, bytes: u64) -> Result<Bytes, StoreError> {
        let options = GetOptions::new().with_range(Some(0..bytes));
        match self.sent.get_opts(path, options).await.map_err(|error| asked.failed(error)) {
            Ok(result) => body(result, asked).await,
            // Of an object without a byte there is no range.
            Err(error @ StoreError::Unexpected { .. }) => match self.head(path, asked).await {
                Ok(found) if found.size == 0 => Ok(Bytes::new()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn head(&self, path: &Path, asked: Asked<'_>) -> Result<Listed, StoreError> {
        self.sent.head(path).await.map(listed).map_err(|error| asked.failed(error))
    }

    async fn write(&self, path: &Path, asked: Asked<'_>, bytes: Bytes) -> Result<(), StoreError> {
        self.sent.put(path, PutPayload::from_bytes(bytes)).await.map(drop).map_err(|error| asked.failed(error))
    }

    async fn remove(&self, path: &Path, asked: Asked<'_>) -> Result<(), StoreError> {
        match self.sent.delete(path).await.map_err(|error| asked.failed(error)) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    async fn names(&self, prefix: &Path, asked: Asked<'_>) -> Result<Vec<Listed>, StoreError> {
        let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
        let mut listed: Vec<Listed> =
            self.sent.list(prefix).map_ok(listed).try_collect().await.map_err(|error| asked.failed(error))?;
        listed.sort();
        // A name that is put again while pages are read may stand on two of them.
        listed.dedup_by(|later, earlier| later.name == earlier.name);
        Ok(listed)
    }

    async fn stream_names(
        &self,
        prefix: &Path,
        asked: Asked<'_>,
        each: &mut (dyn FnMut(Listed) + Send),
    ) -> Result<(), StoreError> {
        let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
        let mut entries = self.sent.list(prefix).map_ok(listed);
        while let Some(entry) = entries.next().await {
            each(entry.map_err(|error| asked.failed(error))?);
        }
        Ok(())
    }
}

fn listed(meta: ObjectMeta) -> Listed {
    Listed { name: meta.location.into(), size: meta.size, modified_ms: meta.last_modified.timestamp_millis() }
}

fn parse(name: &str) -> Result<Path, StoreError> {
    if name.is_empty() || name.starts_with('/') || name.ends_with('/') {
        return Err(StoreError::BadRequest {
            name: name.to_owned(),
            cause: "it is not relative, or names no object".to_owned(),
        });
    }
    parse_prefix(name)
}

fn parse_prefix(name: &str) -> Result<Path, StoreError> {
    Path::parse(name).map_err(|error| StoreError::BadRequest { name: name.to_owned(), cause: error.to_string() })
}

/// The whole body of an answer, whose length has been judged acceptable.
async fn body(result: GetResult, asked: Asked<'_>) -> Result<Bytes, StoreError> {
    let expected = result.range.end.saturating_sub(result.range.start);
    let mut stream = match result.payload {
        GetResultPayload::File(..) => return result.bytes().await.map_err(|error| asked.failed(error)),
        GetResultPayload::Stream(stream) => stream,
    };
    let mut bytes = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| asked.failed(error))?;
        let got = (bytes.len() + joined.len() + chunk.len()) as u64;
        if got > expected {
            let cause = format!("the body is longer than the {expected} bytes that were announced");
            return Err(asked.unexpected(cause, Arc::new(CutShort { expected, got })));
        }
        // One piece, the usual case in memory, is not copied.
        if bytes.is_empty() && joined.is_empty() {
            bytes = chunk;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(usize::try_from(expected).unwrap_or_default());
            joined.extend_from_slice(&bytes);
            bytes = Bytes::new();
        }
        joined.extend_from_slice(&chunk);
    }
    let bytes = if joined.is_empty() { bytes } else { joined.freeze() };
    let got = bytes.len() as u64;
    if got < expected {
        let short = CutShort { expected, got };
        return Err(asked.unavailable(short.to_string(), Arc::new(short)));
    }
    Ok(bytes)
}
