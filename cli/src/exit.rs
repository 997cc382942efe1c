//! Exit: how a command ended, as the code that scripts rely on (docs/cli.md).
//!
//! In: what a command says of its work. Out: 0 done, 1 failed, 2 usage, 3 partial, 4 busy, 5 denied, 6 not found, 8 integrity. Never: invents another code.

use std::process::ExitCode;

/// How a command ended that was not stopped by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Done,
    /// Done, but something was left out; the report says what.
    Partial,
    /// The work was to look for damage, and there is some.
    Damaged,
}

impl Exit {
    /// The code of the process.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Done => 0,
            Exit::Partial => 3,
            Exit::Damaged => model::ErrorClass::Corrupt.exit_code(),
        })
    }
}
