//! Where a repository is: its URL, and the store behind it.
//!
//! In: a URL or a path, and the environment as a function. Out: a [`Location`], and an `ObjectStore` rooted there that repeats nothing by itself. Never:
//! reads the process environment itself (the HTTP client below does, for `HTTPS_PROXY` and `NO_PROXY`), takes credentials from a URL, or contacts
//! a store: wrong credentials show at the first request.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::ErrorClass;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, HeaderValue, ObjectStore, RetryConfig};

use super::directory::{create_directory, directory};

mod clouds;
mod profile;
mod s3;
#[cfg(test)]
mod tests;

/// The environment: a variable's value, if it is set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// True for a variable that [`open`] may ask for.
pub fn is_setting(name: &str) -> bool {
    name == "HOME" || ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|family| name.starts_with(family))
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A bucket of S3 or of a store that speaks its protocol.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix in it, without slashes around it; may be empty.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// The prefix in it.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The container; the account comes from the environment.
        container: String,
        /// The prefix in it.
        prefix: String,
    },
    /// The memory of this process: gone when it ends, and new at every [`open`].
    Memory,
}

/// Whether the place may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It exists: a directory that does not is an error.
    Existing,
    /// A directory is created where it is missing, as `repo init` needs it. Buckets are never created.
    Create,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The text is no location.
    #[error(
        "{url} is not the location of a repository: {cause}; examples: /backup, file:///backup, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix"
    )]
    BadUrl {
        /// What was given, without what may be a password.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The directory does not exist.
    #[error("there is no directory {}; check the path, or make a repository there with `holdfast repo init`", path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("cannot open directory {}: {source}; check that it is a directory and who may use it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nobody gave usable credentials.
    #[error("no usable credentials for the store: {cause}")]
    Credentials {
        /// What is missing, and where it was looked for.
        cause: String,
    },
    /// A setting of the environment is wrong.
    #[error("the store cannot be set up: {cause}; check the environment variables that describe it")]
    Setting {
        /// What is wrong.
        cause: String,
    },
}

impl OpenError {
    /// The next move after this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            OpenError::BadUrl { .. } | OpenError::Setting { .. } => ErrorClass::Invalid,
            OpenError::Absent { .. } => ErrorClass::Missing,
            OpenError::Credentials { .. } => ErrorClass::Denied,
            OpenError::Directory { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                ErrorClass::Denied
            }
            OpenError::Directory { .. } => ErrorClass::Invalid,
        }
    }

    fn setting(error: object_store::Error) -> OpenError {
        OpenError::Setting { cause: super::error::plain(&error.to_string()) }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, bucket, prefix) = match self {
            Location::Directory(path) => return write!(f, "{}", path.display()),
            Location::Memory => return f.write_str("memory:"),
            Location::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Location::Gcs { bucket, prefix } => ("gs", bucket, prefix),
            Location::Azure { container, prefix } => ("az", container, prefix),
        };
        write!(f, "{scheme}://{bucket}")?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

impl std::str::FromStr for Location {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Location, OpenError> {
        let bad = |cause: &str| OpenError::BadUrl { url: without_secrets(text), cause: cause.to_owned() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text == "memory:" {
            return Ok(Location::Memory);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.contains('\0') {
                return Err(bad("a path has no NUL character"));
            }
            let path = text.strip_prefix("file:").unwrap_or(text);
            return std::path::absolute(path).map(Location::Directory).map_err(|error| bad(&error.to_string()));
        };
        if scheme == "file" {
            return file_url(text).map(Location::Directory).map_err(bad);
        }
        let (bucket, prefix) = bucket_and_prefix(rest).map_err(bad)?;
        match scheme {
            "s3" => Ok(Location::S3 { bucket, prefix }),
            "gs" => Ok(Location::Gcs { bucket, prefix }),
            "az" => Ok(Location::Azure { container: bucket, prefix }),
            _ => Err(bad("the scheme is none of file, s3, gs, az")),
        }
    }
}

fn file_url(text: &str) -> Result<PathBuf, &'static str> {
    let url = ::url::Url::parse(text).map_err(|_| "it is not a URL")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a file URL has neither `?` nor `#`: write them as %3F and %23, or give a plain path");
    }
    url.to_file_path().map_err(|()| "a file URL names an absolute path on this machine: file:///path")
}

fn bucket_and_prefix(rest: &str) -> Result<(String, String), &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err(
            "credentials do not belong into a URL, where logs and process lists show them: use the environment",
        );
    }
    if rest.contains(['?', '#']) {
        return Err("there are no parameters in it: settings come from the environment");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(fits) || bucket.len() > 255 {
        return Err("the name of the bucket is missing or has characters that no bucket name has");
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if Path::parse(prefix).is_err() || prefix.starts_with('/') {
        return Err("the prefix has an empty component, `.`, `..`, or a character that object names should not have");
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// A text fit for a message: nothing between the scheme and an `@`, nothing after a `?`.
fn without_secrets(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => super::error::plain(text),
    }
}

/// The store at `url`, rooted at its prefix. For the first contact a person waits for, see [`super::RetryPolicy::first_contact`].
pub fn open(url: &str, environment: Environment<'_>, mode: OpenMode) -> Result<Arc<dyn ObjectStore>, OpenError> {
    // A variable that is set to nothing is not set.
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    match url.parse::<Location>()? {
        Location::Directory(path) => open_directory(&path, mode),
        Location::Memory => Ok(Arc::new(InMemory::new())),
        Location::S3 { bucket, prefix } => Ok(rooted(s3::open(&bucket, &environment)?, &prefix)),
        Location::Gcs { bucket, prefix } => Ok(rooted(clouds::open_gcs(&bucket, &environment)?, &prefix)),
        Location::Azure { container, prefix } => Ok(rooted(clouds::open_azure(&container, &environment)?, &prefix)),
    }
}

fn open_directory(path: &FilePath, mode: OpenMode) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let failed = |source| OpenError::Directory { path: path.to_owned(), source };
    if mode == OpenMode::Create {
        create_directory(path).map_err(failed)?;
    }
    match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::Absent { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    directory(path).map_err(OpenError::setting)
}

fn rooted(store: impl ObjectStore, prefix: &str) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) }
}

/// The HTTP client of every cloud: no limit on a whole request (the deadline layer knows when one stands still), plain HTTP only where asked for.
fn client_options(environment: Environment<'_>, allow_http: bool) -> Result<ClientOptions, OpenError> {
    let mut options = ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("holdfast/", env!("CARGO_PKG_VERSION"))))
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout_disabled()
        // Stores close idle connections after some 20 s; a request on one of those would fail, and some are sent only once.
        .with_pool_idle_timeout(Duration::from_secs(15))
        .with_allow_http(allow_http);
    if let Some(path) = environment("AWS_CA_BUNDLE") {
        let failed = |cause: String| OpenError::Setting { cause: format!("AWS_CA_BUNDLE names {path}: {cause}") };
        let pem = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it".to_owned()));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// `object_store` sends everything once; [`super::RetryPolicy`] decides what is sent again.
fn sent_once() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, backoff: BackoffConfig::default() }
}
