//! The commands of `cargo xtask`: parse, run, say what failed.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, demo, fuzz, sim, test, tidy, tools, workspace::Workspace};

/// Install tools, test, tidy, demonstrate, measure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the pinned tools once into the cache folder; what is there is left alone
    Tools(tools::Options),
    /// Formatting, lints, tidy, build, tests, fuzz smoke: what has to hold before a change is taken
    Test(test::Options),
    /// Real data backed up, changed, destroyed, restored and proven identical
    Demo(demo::Options),
    /// The same work on Holdfast and its peers, as a table
    Bench(bench::Options),
    /// Runs a command and notes what it cost
    #[command(hide = true)]
    Measure(bench::measure::Options),
    /// The rules of the project that the compiler does not know
    Tidy,
    /// Fuzz the decoders of stored bytes
    Fuzz(fuzz::Options),
    /// Simulate many writers, readers and collectors over a store in which everything goes wrong
    Sim(sim::Options),
}

/// Parses the command line and runs it; what went wrong goes to standard error.
pub(crate) fn run() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let done = match task {
        Task::Tools(options) => tools::run(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Demo(options) => demo::run(&workspace, &options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Tidy => tidy::run(&workspace),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Sim(options) => sim::run(&workspace, &options),
        Task::Measure(options) => return bench::measure::run(&options),
    };
    done.map(|()| ExitCode::SUCCESS)
}
