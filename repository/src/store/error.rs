//! What goes wrong with a store, and what to do about it.
//!
//! In: an error of `object_store`, with the operation and the object it happened to. Out: a [`StoreError`] whose class tells the next move and whose
//! message names the object, the cause and the next step. Never: a message with a credential, a signed URL or a signature in it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorClass;
use object_store::client::HttpError;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::http::HttpFailure;

/// What was asked of the store. A question for the size of an object counts as a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One object written.
    Put,
    /// One object, or a range of it, or its size read.
    Get,
    /// The names below a prefix.
    List,
    /// One object removed.
    Delete,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::List => "list",
            Operation::Delete => "delete",
        })
    }
}

/// The error below a [`StoreError`]; shared, because one failure may end several lanes of a pipeline.
pub type Source = Arc<dyn Error + Send + Sync>;

/// Why a request to a store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The object does not exist.
    #[error("object {name} is not in the store")]
    NotFound {
        /// The object.
        name: String,
    },
    /// The bucket or container does not exist.
    #[error("the bucket of this repository does not exist: {cause}; check the URL, or create the bucket first")]
    NoBucket {
        /// What the store said.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// The store does not permit it.
    #[error("the store refuses to {operation} {name}: {cause}; check the credentials and what they permit")]
    Denied {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
        /// What the store said.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// Nobody gave credentials and the machine has none of its own.
    #[error(
        "no credentials for the store: none in the environment or a credentials file, and this machine has no identity of its own ({cause}); \
         for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )]
    NoCredentials {
        /// What the attempt ended with.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// The store asks for fewer requests.
    #[error(
        "the store asks to slow down ({operation} {name}: {cause}); run fewer jobs at once or raise the request limit of the bucket"
    )]
    Throttled {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
        /// What the store said.
        cause: String,
        /// How long the store asks to wait.
        retry_after: Option<Duration>,
        /// The error below.
        source: Source,
    },
    /// The store cannot be reached, failed, or the transfer broke.
    #[error(
        "the store did not {operation} {name}: {cause}; check that the store is up and reachable from here, then start again"
    )]
    Unavailable {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
        /// What happened.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// No space, or a quota is used up.
    #[error("the store is full: {name} could not be written ({cause}); make room or raise the quota, then start again")]
    Full {
        /// The object.
        name: String,
        /// What the store said.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// The stored object ends before the bytes that were asked for.
    #[error(
        "object {name} is shorter than it was written: {expected} bytes expected, {got} there; run `check` to see what is affected"
    )]
    Truncated {
        /// The object.
        name: String,
        /// The bytes that were asked for.
        expected: u64,
        /// The bytes of those that exist.
        got: u64,
    },
    /// The stored object is longer than any object of its kind may be.
    #[error(
        "object {name} has {bytes} bytes, at most {bytes_max} were expected; it was not written by this program: run `check`"
    )]
    TooLarge {
        /// The object.
        name: String,
        /// Its size.
        bytes: u64,
        /// The most that was acceptable.
        bytes_max: u64,
    },
    /// The store has no such operation.
    #[error("the store cannot {operation} {name}: {cause}; Holdfast needs put, get with ranges, list and delete")]
    Unsupported {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
        /// What the store said.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// The store answered something that asking again will not change.
    #[error(
        "the store answered {operation} {name} with something unexpected: {cause}; check endpoint, region and bucket"
    )]
    Unexpected {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
        /// What the store said.
        cause: String,
        /// The error below.
        source: Source,
    },
    /// No store can be asked for this: a name that no object can have, or a range that runs backwards.
    #[error("{name:?} cannot be asked for: {cause}; this is a defect of Holdfast, please report it")]
    BadRequest {
        /// The object or prefix.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A blocking call was made on a thread of an asynchronous runtime.
    #[error(
        "{operation} {name} was called inside an asynchronous runtime, where it would block every task; call it from a plain thread"
    )]
    InsideRuntime {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
    },
    /// The runtime that was given to the store has one thread, which nobody drives while a call blocks.
    #[error(
        "{operation} {name} needs a runtime with worker threads; give the store the handle of a multi-thread runtime"
    )]
    SingleThreadRuntime {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
    },
    /// A fault layer ended the process that it simulates; nothing is sent any more.
    #[error("{operation} {name} was not sent: the simulated process has crashed")]
    Crashed {
        /// What was asked.
        operation: Operation,
        /// The object or prefix.
        name: String,
    },
}

impl StoreError {
    /// The next move after this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            StoreError::NotFound { .. } | StoreError::NoBucket { .. } => ErrorClass::Missing,
            StoreError::Denied { .. } | StoreError::NoCredentials { .. } => ErrorClass::Denied,
            StoreError::Throttled { .. } | StoreError::Unavailable { .. } => ErrorClass::Retry,
            StoreError::Full { .. } | StoreError::Unsupported { .. } | StoreError::Unexpected { .. } => {
                ErrorClass::Invalid
            }
            StoreError::Truncated { .. } | StoreError::TooLarge { .. } => ErrorClass::Corrupt,
            StoreError::BadRequest { .. }
            | StoreError::InsideRuntime { .. }
            | StoreError::SingleThreadRuntime { .. } => ErrorClass::Bug,
            StoreError::Crashed { .. } => ErrorClass::Cancelled,
        }
    }

    /// Whether it says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StoreError::NotFound { .. })
    }
}

/// A failure that a fault layer made up; it carries what it wants to be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("injected: {0:?}")]
pub(super) struct Injected(pub(super) super::fault::Failure);

/// No answer within the time that the request was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no progress for {} s", .0.as_secs())]
pub(super) struct Elapsed(pub(super) Duration);

/// The body of an answer ended before the length that its head announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transfer ended after {got} of {expected} bytes")]
pub(super) struct CutShort {
    pub(super) expected: u64,
    pub(super) got: u64,
}

/// The request that an error belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    pub(super) name: &'a str,
}

impl Asked<'_> {
    /// Does the work of a blocking call on `runtime`, unless that would stop the runtime, or nobody would do it.
    pub(super) fn block<T>(
        self,
        runtime: &Handle,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if Handle::try_current().is_ok() {
            return Err(StoreError::InsideRuntime { operation: self.operation, name: self.name.to_owned() });
        }
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Err(StoreError::SingleThreadRuntime { operation: self.operation, name: self.name.to_owned() });
        }
        runtime.block_on(work)
    }

    /// The error that the engine sees for one of `object_store`.
    pub(super) fn failed(self, error: object_store::Error) -> StoreError {
        let cause = root_cause(&error);
        if let Some(failure) = find::<HttpFailure>(&error) {
            return super::http::judge(self, failure.clone(), Arc::new(error));
        }
        if let Some(Injected(failure)) = find::<Injected>(&error) {
            return failure.as_error(self, Arc::new(error));
        }
        if find::<HttpError>(&error).is_some() || find::<Elapsed>(&error).is_some() {
            return self.unavailable(cause, Arc::new(error));
        }
        if let Some(kind) = find::<std::io::Error>(&error).map(std::io::Error::kind)
            && !matches!(error, object_store::Error::NotFound { .. })
        {
            return self.io(kind, cause, Arc::new(error));
        }
        match error {
            object_store::Error::NotFound { .. } => StoreError::NotFound { name: self.name.to_owned() },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                self.denied(cause, Arc::new(error))
            }
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
                self.unsupported(cause, Arc::new(error))
            }
            object_store::Error::AlreadyExists { .. } | object_store::Error::JoinError { .. } => {
                self.unavailable(cause, Arc::new(error))
            }
            object_store::Error::InvalidPath { .. } => {
                let cause =
                    format!("{cause}; Holdfast gives no such names, somebody else wrote this object: remove it");
                self.unexpected(cause, Arc::new(error))
            }
            _ => self.unexpected(cause, Arc::new(error)),
        }
    }

    fn io(self, kind: std::io::ErrorKind, cause: String, source: Source) -> StoreError {
        use std::io::ErrorKind;
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => self.full(cause, source),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => self.denied(cause, source),
            ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidFilename => {
                self.unexpected(cause, source)
            }
            _ => self.unavailable(cause, source),
        }
    }

    pub(super) fn denied(self, cause: String, source: Source) -> StoreError {
        StoreError::Denied { operation: self.operation, name: self.name.to_owned(), cause, source }
    }

    pub(super) fn full(self, cause: String, source: Source) -> StoreError {
        StoreError::Full { name: self.name.to_owned(), cause, source }
    }

    pub(super) fn throttled(self, cause: String, retry_after: Option<Duration>, source: Source) -> StoreError {
        StoreError::Throttled { operation: self.operation, name: self.name.to_owned(), cause, retry_after, source }
    }

    pub(super) fn unavailable(self, cause: String, source: Source) -> StoreError {
        StoreError::Unavailable { operation: self.operation, name: self.name.to_owned(), cause, source }
    }

    pub(super) fn unsupported(self, cause: String, source: Source) -> StoreError {
        StoreError::Unsupported { operation: self.operation, name: self.name.to_owned(), cause, source }
    }

    pub(super) fn unexpected(self, cause: String, source: Source) -> StoreError {
        StoreError::Unexpected { operation: self.operation, name: self.name.to_owned(), cause, source }
    }
}

/// The first error of type `T` in the chain below `error`.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut current = Some(error);
    while let Some(error) = current {
        // object_store boxes its causes: `Box<dyn Error>` is not itself in the chain, what it holds is.
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        current = error.source();
    }
    None
}

/// The text of the innermost error: the outer ones repeat it, and may carry a URL.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    while let Some(next) = current.source() {
        current = next;
    }
    plain(&current.to_string())
}

/// At most 300 characters of a foreign text, without control characters, so that it fits a log line and a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>().trim().to_owned()
}
