//! What a decorator of a store is: one that wraps the four requests the engine sends.
//!
//! In: an inner store and a [`Layer`] that changes some of put, get, list and delete. Out: an [`ObjectStore`] again, so that layers stack.
//! Never: lets a request past a layer. What the engine does not use (multipart uploads, copies, delimited lists) is refused by name, because a
//! request that no layer saw would be neither counted nor limited.

use std::fmt::{Debug, Display};
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The requests of the engine; whatever a layer does not override goes to the inner store unchanged.
#[async_trait]
pub(super) trait Layer: Debug + Display + Send + Sync + 'static {
    /// The store below.
    fn inner(&self) -> &Arc<dyn ObjectStore>;

    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner().put_opts(location, payload, options).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner().get_opts(location, options).await
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        self.inner().delete(location).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner().list(prefix)
    }
}

/// `layer` as a store.
pub(super) fn layered(layer: impl Layer) -> Arc<dyn ObjectStore> {
    Arc::new(Layered(Arc::new(layer)))
}

#[derive(Debug)]
struct Layered<L>(Arc<L>);

impl<L: Layer> Layered<L> {
    fn unused(&self, operation: &str) -> Error {
        Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }
}

impl<L: Layer> Display for Layered<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[async_trait]
impl<L: Layer> ObjectStore for Layered<L> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put(location, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(self.unused("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let layer = self.0.clone();
        locations
            .then(move |location| {
                let layer = layer.clone();
                async move {
                    let location = location?;
                    layer.delete(&location).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(self.unused("list_with_delimiter"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.unused("copy"))
    }
}
