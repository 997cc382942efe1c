//! `forget` and `gc`: the collector, which is not in this version.
//!
//! In: whatever a later version takes. Out: the refusal, with exit code 1. Never: deletes anything.

use std::ffi::OsString;

use crate::exit::Exit;
use crate::failure::Failure;

/// Taken as they come, so that a script that was written for a later version is told what is missing, not that its options are wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Says that it is not done.
pub(crate) fn refuse(command: &str, nothing_happened: &str) -> Result<Exit, Failure> {
    Err(Failure::Unavailable(format!(
        "`{command}` needs the collector, which is not in this version: {nothing_happened}; upgrade when it is, until then the repository only grows"
    )))
}
