//! Sim: many simulated worlds, each from one number.
//!
//! In: how many, and the first. Out: the seeds that broke a promise, each with the line that replays it, and a tally of what happened. Never: in place of the tests; those run a
//! few hundred seeds each time.

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// So many seeds
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    first: u64,
    /// This seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Print every request and what it came to
    #[arg(long, requires = "seed")]
    trace: bool,
}

/// Simulates.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let (first, count) = options.seed.map_or((options.first, options.seeds), |seed| (seed, 1));
    let mut command = workspace.cargo();
    command.args(["run", "--release", "--locked", "--quiet", "--package", "tests", "--bin", "simulate"]);
    command.env("HOLDFAST_SEED", first.to_string()).env("HOLDFAST_SEEDS", count.to_string());
    if options.trace {
        command.env("HOLDFAST_TRACE", "1");
    }
    process::run(&mut command)
}
