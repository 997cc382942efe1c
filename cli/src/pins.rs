//! Pins: the id of each repository that this machine has opened, remembered by its address.
//!
//! In: an address and the cache directory. Out: the id that was found there the first time. Never: keeps a secret, or lets a repository that was exchanged pass unseen
//! as long as the directory is kept.
//!
//! The directory is only a cache: if it is lost or cannot be written, the next id that is seen is believed, as the first one was.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::RepositoryId;
use repository::store::Location;
use serde::{Deserialize, Serialize};

use crate::settings::Environment;

/// The pin of one address.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    file: PathBuf,
    address: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    address: String,
    repository: RepositoryId,
}

impl Pin {
    /// The pin of an address, kept below `cache_dir`.
    pub(crate) fn new(cache_dir: &Path, address: String) -> Pin {
        Pin { file: folder(cache_dir, &address).join("id.json"), address }
    }

    /// Where it is kept.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The id that is remembered.
    pub(crate) fn read(&self) -> Option<RepositoryId> {
        let bytes = match fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the remembered id of this repository cannot be read");
                return None;
            }
        };
        match serde_json::from_slice::<Content>(&bytes) {
            Ok(content) if content.address == self.address => Some(content.repository),
            _ => {
                tracing::warn!(file = %self.file.display(), "the remembered id of this repository is not readable; it is written anew");
                None
            }
        }
    }

    /// Remembers an id. A failure costs the check next time, never the work.
    pub(crate) fn write(&self, repository: RepositoryId) {
        if let Err(error) = self.replace(repository) {
            tracing::warn!(file = %self.file.display(), %error, "the id of this repository could not be remembered");
        }
    }

    fn replace(&self, repository: RepositoryId) -> io::Result<()> {
        let folder = self.file.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let bytes = serde_json::to_vec(&Content { address: self.address.clone(), repository })?;
        // Another process may write the same pin at the same time.
        let temporary = self.file.with_extension(format!("{}.new", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        drop(file);
        fs::rename(&temporary, &self.file)
    }
}

/// What this machine keeps about the repository at an address: its id, and journals of backups into it.
pub(crate) fn folder(cache_dir: &Path, address: &str) -> PathBuf {
    // Addresses are longer than names of files may be, and have slashes in them.
    let name = blake3::hash(address.as_bytes()).to_hex();
    cache_dir.join("repositories").join(&name[..32])
}

/// What tells one place from all others: the location, and for a bucket also whose bucket it is.
pub(crate) fn address(location: &Location, environment: &Environment) -> String {
    let variables: &[&str] = match location {
        Location::S3 { .. } => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        Location::Gcs { .. } => &["GOOGLE_BASE_URL"],
        Location::Azure { .. } => &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME"],
        Location::Directory(_) | Location::Memory => &[],
    };
    let value = |name: &&str| environment(name).filter(|value| !value.is_empty());
    match variables.iter().find_map(value) {
        Some(value) => format!("{location} at {}", value.to_string_lossy()),
        None => location.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: RepositoryId = RepositoryId([1; 32]);

    #[test]
    fn what_was_remembered_is_read_again() {
        let cache = tempfile::tempdir().unwrap();
        let pin = Pin::new(cache.path(), "/backup".to_owned());
        assert_eq!(pin.read(), None);
        pin.write(FIRST);
        assert_eq!(pin.read(), Some(FIRST));
        assert_eq!(Pin::new(cache.path(), "/other".to_owned()).read(), None);
    }

    #[test]
    fn a_damaged_pin_is_as_good_as_none() {
        let cache = tempfile::tempdir().unwrap();
        let pin = Pin::new(cache.path(), "/backup".to_owned());
        pin.write(FIRST);
        fs::write(pin.file(), b"{").unwrap();
        assert_eq!(pin.read(), None);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let cache = tempfile::tempdir().unwrap();
        let file = cache.path().join("file");
        fs::write(&file, b"").unwrap();
        let pin = Pin::new(&file, "/backup".to_owned());
        pin.write(FIRST);
        assert_eq!(pin.read(), None);
    }

    #[test]
    fn the_same_bucket_at_another_store_is_another_place() {
        let location: Location = "s3://bucket/prefix".parse().unwrap();
        let at = |url: &'static str| {
            let environment = move |name: &str| (name == "AWS_ENDPOINT_URL").then(|| url.into());
            address(&location, &environment)
        };
        assert_ne!(at("http://one"), at("http://two"));
        assert_eq!(at(""), "s3://bucket/prefix");
    }
}
