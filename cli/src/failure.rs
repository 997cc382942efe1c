//! Failure: why a command could not be done.
//!
//! In: errors of the engine, of stores, volumes and of the terminal. Out: one enum with the class that gives the exit code, and a message in one line. Never:
//! lets a control character of a file name or of a store's answer through to a terminal.

use std::io;
use std::path::PathBuf;

use model::ErrorClass;

use crate::output::escape;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] repository::Error),
    /// The place of the repository cannot be used.
    #[error(transparent)]
    Store(#[from] repository::store::OpenError),
    /// The store lacks what a repository needs.
    #[error(transparent)]
    Probe(#[from] repository::store::ProbeError),
    /// Source or target cannot be opened.
    #[error(transparent)]
    Volume(#[from] volume::OpenError),
    /// The command line, or the environment, asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The repository is not the one that this machine remembers.
    #[error("{cause} (remembered in {})", .file.display())]
    Pinned {
        /// Names both ids.
        cause: repository::keys::KeyError,
        /// What to remove if the change is intended.
        file: PathBuf,
    },
    /// A file that the command line names cannot be used.
    #[error("cannot {what} {}: {source}; check the path and who may use it", .path.display())]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The machine did not give what the program needs to run.
    #[error("cannot {what}: {source}")]
    Machine {
        /// For what.
        what: &'static str,
        /// Its reason.
        source: io::Error,
    },
    /// The user stopped it.
    #[error("interrupted, nothing lost; run it again")]
    Interrupted,
    /// Nobody reads standard output any more.
    #[error("standard output was closed")]
    ClosedPipe,
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}; what was printed is not complete")]
    Print(io::Error),
}

impl Failure {
    /// The next move, which is also the exit code.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Failure::Engine(error) => error.class(),
            Failure::Store(error) => error.class(),
            Failure::Probe(error) => error.class(),
            Failure::Volume(error) => error.class(),
            // A passphrase file that is missing must not look like a repository that is missing: scripts make a new one then.
            Failure::Usage(_) | Failure::File { .. } => ErrorClass::Invalid,
            Failure::Pinned { cause, .. } => cause.class(),
            Failure::Machine { .. } | Failure::Print(_) => ErrorClass::Retry,
            Failure::Interrupted | Failure::ClosedPipe => ErrorClass::Cancelled,
        }
    }

    /// The message, fit for one line of a terminal.
    pub(crate) fn line(&self) -> String {
        match self {
            Failure::Engine(repository::Error::Cancelled) => Failure::Interrupted.line(),
            other => escape(other.to_string().as_bytes()),
        }
    }
}

impl From<repository::keys::KeyError> for Failure {
    fn from(error: repository::keys::KeyError) -> Failure {
        Failure::Engine(error.into())
    }
}

impl From<repository::store::StoreError> for Failure {
    fn from(error: repository::store::StoreError) -> Failure {
        Failure::Engine(error.into())
    }
}

impl From<repository::target::TargetError> for Failure {
    fn from(error: repository::target::TargetError) -> Failure {
        Failure::Engine(error.into())
    }
}

/// A failed write to standard output. Whoever closed the pipe has read enough.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe { Failure::ClosedPipe } else { Failure::Print(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_the_file_is_called() {
        let failure = Failure::Usage("no file \"a\nb\x1b[2J\" here".to_owned());
        assert_eq!(failure.line(), "no file \"a\\nb\\u{1b}[2J\" here");
    }

    #[test]
    fn a_stop_on_request_says_that_nothing_is_lost() {
        let failure = Failure::from(repository::Error::Cancelled);
        assert!(failure.line().contains("nothing lost"), "{}", failure.line());
        assert_eq!(failure.class().exit_code(), 1);
    }

    #[test]
    fn a_missing_passphrase_file_does_not_look_like_a_missing_repository() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let failure = Failure::File { what: "read", path: "/nowhere".into(), source: missing };
        assert_eq!(failure.class().exit_code(), 2);
    }
}
