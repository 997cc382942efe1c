//! App: the whole program, wired from top to bottom: parse, build, run.
//!
//! In: the arguments of the process. Out: its exit code (0 done, 1 failed, 2 usage, 3 done in part, 5 denied). Never: decides anything about volumes.

mod backup;
mod discover;
mod node;
mod worker;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use model::ErrorClass;
use nix::time::{ClockId, clock_gettime};

use crate::text::escape;

/// Finds the volumes of this node and works on them.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-agent",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the volumes of this node, and why some are not taken; touches none of them
    Discover(discover::Options),
    /// Back up the volumes of this node once
    Backup(Box<backup::Options>),
    /// Work for another process of this program; not for people
    #[command(hide = true)]
    Worker,
}

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Allowed(#[from] crate::discovery::allowed::AllowedError),
    #[error(transparent)]
    Watch(#[from] crate::discovery::watch::WatchError),
    #[error("cannot write to standard output: {0}; what was printed is not complete")]
    Print(#[from] std::io::Error),
    #[error(transparent)]
    Repository(#[from] repository::Error),
    #[error(transparent)]
    Store(#[from] repository::store::OpenError),
    #[error("{}: {error}", .path.display())]
    File { path: std::path::PathBuf, error: std::io::Error },
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    fn class(&self) -> ErrorClass {
        match self {
            Failure::Allowed(error) => error.class(),
            Failure::Watch(error) => error.class(),
            Failure::Print(_) | Failure::File { .. } => ErrorClass::Retry,
            Failure::Repository(error) => error.class(),
            Failure::Store(error) => error.class(),
            Failure::Usage(_) => ErrorClass::Invalid,
        }
    }
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    /// Something could not be found out or done; it was printed.
    Partial,
    /// Nothing was done; it was told.
    Failed,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Help and version go to standard output; whoever closed it has read enough.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let done = match arguments.command {
        Command::Discover(options) => discover::run(&options),
        Command::Backup(options) => backup::run(&options),
        Command::Worker => worker::run(),
    };
    match done {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Partial) => ExitCode::from(3),
        Ok(Exit::Failed) => ExitCode::from(1),
        // Whoever closed the pipe has read enough.
        Err(Failure::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let line = format!("holdfast-agent: {}\n", escape(failure.to_string().as_bytes()));
            // That nobody reads it changes nothing: the exit code says it too.
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::from(failure.class().exit_code())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the program, handed to whoever needs one")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Time that only goes forward.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
