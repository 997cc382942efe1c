//! `completion`: a script that completes this command line in a shell.
//!
//! In: the shell. Out: the script on standard output. Never: writes it anywhere.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::print;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The shell; for bash: `holdfast completion bash > /etc/bash_completion.d/holdfast`
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(options: &Options) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(options.shell, &mut Arguments::command(), "holdfast", &mut script);
    print(&script)?;
    Ok(Exit::Done)
}
