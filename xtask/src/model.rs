//! Model: the searches of the protocol's model that are too long for every test run.
//!
//! In: names of configurations, or all. Out: every state was seen, or the way to a broken claim. Never: with a debug build, in which the large
//! ones take hours.

use anyhow::{Result, bail};

use crate::{process, workspace::Workspace};

/// What to search.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// These configurations
    names: Vec<String>,
    /// All of them: hours, and up to 5 GiB of memory
    #[arg(long, conflicts_with_all = ["names", "list", "mutants"])]
    all: bool,
    /// Names the configurations
    #[arg(long, conflicts_with = "mutants")]
    list: bool,
    /// Leaves out each rule (or those named) and shows what breaks
    #[arg(long)]
    mutants: bool,
}

/// Builds the searches optimised and runs those that were asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let task = match options {
        Options { list: true, .. } => "list",
        Options { mutants: true, .. } => "mutants",
        Options { names, all: false, .. } if names.is_empty() => {
            bail!("nothing is named; `cargo xtask model --list` shows what there is, `--all` runs everything")
        }
        _ => "run",
    };
    process::run(workspace.cargo().args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "-p",
        "tests",
        "--bin",
        "protocol",
    ]))?;
    let mut command = workspace.command(workspace.target().join("release").join("protocol"));
    command.arg(task).args(&options.names);
    if options.all {
        command.arg("--all");
    }
    process::run(&mut command)
}
