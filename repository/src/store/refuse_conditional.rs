//! A store that refuses every conditional write, as Backblaze B2 does.
//!
//! In: any store. Out: the same store, that answers a put with a condition with 501. Never: refuses anything else. Nothing in Holdfast sends a
//! condition; the contract suite runs over this store so that it stays so.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, Result};

use super::http::{HttpFailure, Refusal};
use super::layer::{Layer, layered};

#[derive(Debug)]
struct RefuseConditional {
    inner: Arc<dyn ObjectStore>,
}

/// `inner`, without conditional writes.
pub fn refuse_conditional(inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    layered(RefuseConditional { inner })
}

impl std::fmt::Display for RefuseConditional {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} without conditional writes", self.inner)
    }
}

#[async_trait]
impl Layer for RefuseConditional {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode == PutMode::Overwrite {
            return self.inner.put_opts(location, payload, options).await;
        }
        let refusal = Refusal {
            status: 501,
            code: "NotImplemented".to_owned(),
            message: "A header you provided implies functionality that is not implemented.".to_owned(),
            retry_after: None,
            identity: false,
        };
        Err(Error::Generic { store: "refuse_conditional", source: Box::new(HttpFailure::Refused(refusal)) })
    }
}
