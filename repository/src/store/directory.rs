//! A directory as a store.
//!
//! In: a directory. Out: an [`ObjectStore`] whose acknowledged puts *and deletes* survive a power cut. Never: creates the directory, unless asked to.
//!
//! `LocalFileSystem` syncs what it writes, but not what it deletes. The collector deletes a point before the marks that hid it; if only the
//! second of these survived a power cut, a point without packs would be valid again. So the parent directory is synced before a delete is acknowledged.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, Result};

use super::layer::{Layer, layered};

#[derive(Debug)]
struct Directory {
    inner: Arc<dyn ObjectStore>,
    files: LocalFileSystem,
}

/// The directory at `path`, which must exist.
pub(super) fn directory(path: &FilePath) -> Result<Arc<dyn ObjectStore>> {
    let files = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
    Ok(layered(Directory { inner: Arc::new(files.clone()), files }))
}

/// Creates the directory at `path` with everything above it, durably.
pub(super) fn create_directory(path: &FilePath) -> std::io::Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut current = Some(path);
    while let Some(directory) = current.filter(|directory| !directory.as_os_str().is_empty() && !directory.exists()) {
        missing.push(directory.to_path_buf());
        current = directory.parent();
    }
    std::fs::create_dir_all(path)?;
    for directory in missing {
        if let Some(parent) = directory.parent() {
            sync_directory(if parent.as_os_str().is_empty() { FilePath::new(".") } else { parent })?;
        }
    }
    Ok(())
}

fn sync_directory(path: &FilePath) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

impl std::fmt::Display for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl Layer for Directory {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        self.inner.delete(location).await?;
        let path = self.files.path_to_filesystem(location)?;
        let synced = tokio::task::spawn_blocking(move || match path.parent().map(sync_directory) {
            // Somebody removed the emptied directory as well: then it is its parent's business, and the object is gone either way.
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        synced.await?.map_err(|source| Error::Generic { store: "directory", source: Box::new(source) })
    }
}
