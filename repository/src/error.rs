//! Error: what can go wrong with a repository, and what to do next.
//!
//! In: failures of stores, keys, sources and targets. Out: one enum whose class alone drives retries and exit codes. Never: swallows a cause or shows a secret.

use model::ErrorClass;

use crate::codec::DecodeError;
use crate::keys::KeyError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::target::TargetError;

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key is missing, wrong, or not the one that was pinned.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target could not be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Stored bytes are not what was written.
    #[error("{object} is damaged: {what}; run `holdfast check` to see what it affects")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// An object was sealed with another key than the one at hand, or its header is damaged.
    #[error("{object} cannot be opened: wrong key, or its header is damaged")]
    WrongKey {
        /// The object.
        object: String,
    },
    /// A key that an object names is not at hand.
    #[error("{object} needs the {class} key {key}, which is not at hand (destroyed, or this identity may not use it)")]
    KeyNotAtHand {
        /// The object.
        object: String,
        /// Which class of key.
        class: &'static str,
        /// Its id.
        key: model::KeyId,
    },
    /// The object was written by a newer program.
    #[error("{object} has format version {version}, newer than this program knows (1); upgrade holdfast")]
    Newer {
        /// The object.
        object: String,
        /// Its version.
        version: u16,
    },
    /// There is no such restore point, path or object.
    #[error("{0}")]
    Missing(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Somebody ended this session, so what it wrote does not count.
    #[error("session {session} was ended by another ({why}); nothing was committed, run it again")]
    Aborted {
        /// The session.
        session: model::SessionId,
        /// How it shows.
        why: String,
    },
    /// Somebody else changed what was being looked at; nothing was done that this could have made wrong.
    #[error("{0}; run it again")]
    Busy(String),
    /// The caller stopped the work.
    #[error("stopped on request")]
    Cancelled,
    /// Something that the program itself guarantees did not hold.
    #[error("internal rule broken: {0}; please report this")]
    Bug(String),
}

impl Error {
    /// The next move.
    pub fn class(&self) -> ErrorClass {
        match self {
            Error::Store(error) => error.class(),
            Error::Key(error) => error.class(),
            Error::Source(SourceError::Gone { .. }) => ErrorClass::Missing,
            Error::Source(_) | Error::Target(_) => ErrorClass::Retry,
            Error::Damaged { .. } => ErrorClass::Corrupt,
            Error::WrongKey { .. } | Error::KeyNotAtHand { .. } => ErrorClass::Denied,
            Error::Newer { .. } | Error::Invalid(_) => ErrorClass::Invalid,
            Error::Missing(_) => ErrorClass::Missing,
            Error::Aborted { .. } | Error::Busy(_) => ErrorClass::Busy,
            Error::Cancelled => ErrorClass::Cancelled,
            Error::Bug(_) => ErrorClass::Bug,
        }
    }

    /// A decoding failure of a named object.
    pub fn decode(object: &str) -> impl FnOnce(DecodeError) -> Error + '_ {
        move |error| Error::damaged(object, error.to_string())
    }

    /// Damage of a named object.
    pub fn damaged(object: &str, what: impl Into<String>) -> Error {
        Error::Damaged { object: object.to_owned(), what: what.into() }
    }
}
