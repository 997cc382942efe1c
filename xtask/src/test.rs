//! Test: everything that has to hold before a change is taken.
//!
//! In: the checkout. Out: the outcome and time of each step, the summary of the test runner last; failure when any step failed. Never: stops
//! at the first failing step, because one run should show all that is wrong; only what cannot run without the build is left out.

use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{clock::Stopwatch, fuzz, process, quantity, table::Table, tidy, tools, workspace::Workspace};

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Also against the stores whose servers take long to build
    #[arg(long)]
    all: bool,
    /// Only tests whose name contains one of these; formatting, lints and tidy are left out then
    filters: Vec<String>,
}

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(String),
    Failed,
}

/// The steps so far.
struct Steps {
    table: Table,
    skipped: Vec<String>,
    failed: Vec<&'static str>,
    total: Stopwatch,
}

impl Steps {
    /// Runs one step; its error is printed at once, so that it stands below the output it belongs to.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        eprintln!("xtask: {name}");
        let watch = Stopwatch::start();
        let outcome = work().unwrap_or_else(|error| {
            eprintln!("xtask: {name} failed: {error:#}");
            Outcome::Failed
        });
        let (word, good) = match outcome {
            Outcome::Passed => ("ok", true),
            Outcome::Skipped(why) => {
                self.skipped.push(format!("SKIP {name}: {why}"));
                ("SKIP", true)
            }
            Outcome::Failed => ("FAILED", false),
        };
        self.table.row([name.to_owned(), quantity::seconds(watch.seconds()), word.to_owned()]);
        if !good {
            self.failed.push(name);
        }
        good
    }
}

/// Whether this is continuous integration, where nothing may be skipped.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Runs all steps.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let table = Table::new(["step", "time", "outcome"]);
    let mut steps = Steps { table, skipped: Vec::new(), failed: Vec::new(), total: Stopwatch::start() };
    let mut summary = None;
    steps.step("tools", || install(workspace, options.all));
    if options.filters.is_empty() {
        steps.step("format", || cargo(workspace, &["fmt", "--all", "--check"]));
        steps.step("lints", || {
            cargo(workspace, &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
        });
        steps.step("tidy", || tidy::run(workspace).map(|()| Outcome::Passed));
    }
    let built =
        steps.step("build", || cargo(workspace, &["build", "--workspace", "--all-targets", "--locked", "--quiet"]));
    if built {
        if options.filters.is_empty() {
            steps.step("doc tests", || cargo(workspace, &["test", "--doc", "--workspace", "--locked", "--quiet"]));
            steps.step("fuzz smoke", || smoke(workspace));
        }
        steps.step("tests", || nextest(workspace, options, &mut summary));
    }
    report(&steps, summary.as_deref())
}

fn report(steps: &Steps, summary: Option<&str>) -> Result<()> {
    eprintln!("\n{}total {}", steps.table.plain(), quantity::seconds(steps.total.seconds()));
    steps.skipped.iter().for_each(|skipped| eprintln!("{skipped}"));
    if let Some(summary) = summary {
        eprintln!("{}", summary.trim());
    }
    if steps.failed.is_empty() { Ok(()) } else { bail!("failed: {}", steps.failed.join(", ")) }
}

/// Outside continuous integration a missing tool is not the end: the tests that need it say SKIP themselves.
fn install(workspace: &Workspace, all: bool) -> Result<Outcome> {
    tools::ensure(workspace, &tools::NEXTEST)?;
    let mut missing = Vec::new();
    let mut note = |result: Result<()>| missing.extend(result.err().map(|error| format!("{error:#}")));
    note(tools::ensure_debian(&[tools::Need::Test]));
    note(tools::ensure(workspace, &tools::VERSITYGW).map(drop));
    note(tools::ensure(workspace, &tools::READER_PYTHON).map(drop));
    if all {
        tools::further_stores().iter().for_each(|tool| note(tools::ensure(workspace, tool).map(drop)));
    }
    if missing.is_empty() {
        return Ok(Outcome::Passed);
    }
    if in_ci() || all {
        bail!("{}", missing.join("\n"));
    }
    Ok(Outcome::Skipped(missing.join("; ")))
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<Outcome> {
    process::run(workspace.cargo().args(arguments)).map(|()| Outcome::Passed)
}

fn smoke(workspace: &Workspace) -> Result<Outcome> {
    match fuzz::smoke(workspace)? {
        None => Ok(Outcome::Passed),
        Some(why) if in_ci() && fuzz::folder(workspace).is_dir() => bail!("{why}; in CI nothing is skipped"),
        Some(why) => Ok(Outcome::Skipped(why)),
    }
}

/// Runs the test runner and keeps its summary, which it writes to standard error among everything else.
fn nextest(workspace: &Workspace, options: &Options, summary: &mut Option<String>) -> Result<Outcome> {
    let mut command = nextest_command(workspace, options)?;
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| process::cannot_start(&command))?;
    let stderr = child.stderr.take().context("the test runner has no standard error")?;
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line.context("the test runner's output could not be read")?;
        std::io::stderr().write_all(&[&line[..], b"\n"].concat()).context("standard error is closed")?;
        let text = String::from_utf8_lossy(&line);
        if text.contains("Summary") && text.contains("tests run") {
            *summary = Some(text.into_owned());
        }
    }
    let status = child.wait().context("the test runner could not be waited for")?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed })
}

fn nextest_command(workspace: &Workspace, options: &Options) -> Result<Command> {
    let binary: PathBuf = tools::ensure(workspace, &tools::NEXTEST)?;
    let mut command = workspace.command(binary);
    command.args(["nextest", "run", "--workspace", "--all-targets", "--locked", "--profile", "ci", "--cargo-quiet"]);
    command.args(["--color", if std::io::stderr().is_terminal() { "always" } else { "never" }]);
    command.args(&options.filters).envs(tools::environment());
    if options.all {
        command.env("HOLDFAST_TEST_ALL", "1");
    }
    Ok(command)
}
