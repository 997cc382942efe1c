//! `repo`: making a repository, and describing one.
//!
//! In: a place and a secret. Out: a repository there, or what it holds. Never: makes one where the store lacks what the protocol rests on.

mod adopt;
mod info;
mod init;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;

/// What to do with a repository.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a repository; first the store is tried out
    Init(init::Options),
    /// Make a raw copy of a repository consistent: restore points that it has not whole are taken out
    Adopt(adopt::Options),
    /// Describe the repository: id, domains, restore points, sizes, keys
    Info,
}

/// Does it.
pub(crate) fn run(context: &Context, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(options) => init::run(context, options),
        Command::Adopt(options) => adopt::run(context, options),
        Command::Info => info::run(context),
    }
}
