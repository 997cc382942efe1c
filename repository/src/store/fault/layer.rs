//! The faults as a layer of a store.
//!
//! In: requests, and the rules of [`Faults`]. Out: what the rules make of them. Never: decides anything itself.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, PutPayload,
    PutResult, Result,
};

use super::super::error::{Injected, Operation};
use super::super::layer::{Layer, layered};
use super::{Effect, Failure, Faults, Late, damaged};

#[derive(Debug)]
struct Fault {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

/// `inner`, with faults.
pub(in super::super) fn faulty(inner: Arc<dyn ObjectStore>, faults: Arc<Faults>) -> Arc<dyn ObjectStore> {
    layered(Fault { inner, faults })
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with faults", self.inner)
    }
}

fn injected(failure: Failure) -> Error {
    Error::Generic { store: "fault", source: Box::new(Injected(failure)) }
}

/// Runs `request` and makes of it what `effect` says; `late` is what to hold back, if that is wanted.
async fn afflicted<T>(
    faults: &Faults,
    effect: Effect,
    late: impl FnOnce() -> Option<Late>,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    match effect {
        Effect::Fail(failure) => Err(injected(failure)),
        Effect::LoseAcknowledgement => {
            request.await?;
            Err(injected(Failure::Unavailable))
        }
        Effect::LandLate => {
            if let Some(late) = late() {
                faults.hold_back(late);
            }
            Err(injected(Failure::Unavailable))
        }
        Effect::Delay(delay) => {
            tokio::time::sleep(delay).await;
            request.await
        }
        Effect::Meanwhile(hook) => {
            // The thread that asks runs a runtime just now, and stores block.
            let done = std::thread::spawn(move || hook()).join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            request.await
        }
        Effect::Crash { applied, hook } => {
            if applied {
                request.await?;
            }
            faults.crash(&hook);
            Err(injected(Failure::Crashed))
        }
        Effect::FlipBit | Effect::Truncate | Effect::Ignore => request.await,
    }
}

#[async_trait]
impl Layer for Fault {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Some((effect, dice)) = self.faults.decide(Operation::Put, location.as_ref()) else {
            return self.inner.put_opts(location, payload, options).await;
        };
        if matches!(effect, Effect::Ignore) {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        let payload = match effect {
            Effect::FlipBit | Effect::Truncate => damaged(&Bytes::from(payload), &effect, dice).into(),
            _ => payload,
        };
        let late =
            || Some(Late { store: self.inner.clone(), location: location.clone(), payload: Some(payload.clone()) });
        afflicted(&self.faults, effect, late, self.inner.put_opts(location, payload.clone(), options)).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let Some((effect, dice)) = self.faults.decide(Operation::Get, location.as_ref()) else {
            return self.inner.get_opts(location, options).await;
        };
        if matches!(effect, Effect::Ignore) {
            return Err(Error::NotFound { path: location.to_string(), source: "injected".into() });
        }
        let damage = matches!(effect, Effect::FlipBit | Effect::Truncate) && !head;
        let request = self.inner.get_opts(location, options);
        let result = afflicted(&self.faults, effect.clone(), || None, request).await?;
        if !damage {
            return Ok(result);
        }
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let body = damaged(&result.bytes().await?, &effect, dice);
        let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(body) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        let Some((effect, _)) = self.faults.decide(Operation::Delete, location.as_ref()) else {
            return self.inner.delete(location).await;
        };
        if matches!(effect, Effect::Ignore) {
            return Ok(());
        }
        let late = || Some(Late { store: self.inner.clone(), location: location.clone(), payload: None });
        afflicted(&self.faults, effect, late, self.inner.delete(location)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, faults, prefix) = (self.inner.clone(), self.faults.clone(), prefix.cloned());
        let listed = async move {
            let name = prefix.as_ref().map(Path::as_ref).unwrap_or_default();
            let Some((effect, _)) = faults.decide(Operation::List, name) else {
                return Ok::<_, Error>(inner.list(prefix.as_ref()));
            };
            // Begun only when its turn has come: a store may look at once.
            let all = async { inner.list(prefix.as_ref()).try_collect::<Vec<_>>().await };
            let mut names = afflicted(&faults, effect.clone(), || None, all).await?;
            if matches!(effect, Effect::Ignore) {
                names.clear();
            }
            if matches!(effect, Effect::Truncate) {
                names.truncate(names.len() / 2);
            }
            Ok(futures::stream::iter(names.into_iter().map(Ok)).boxed())
        };
        futures::stream::once(listed).try_flatten().boxed()
    }
}
