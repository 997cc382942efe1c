//! App: the whole program, wired from top to bottom: parse, build, run.
//!
//! In: the process - its arguments, environment, clock, randomness and terminal. Out: its exit code. Never: decides anything about backups; and nothing else in this
//! crate names a concrete store, clock, generator or runtime.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use repository::keys::SystemRandom;
use repository::store::{self, Store};
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::commands::{
    backup, cat, check, completion, diff, domain, find, forget, gc, keys, ls, points, promote, repair, replicate, repo,
    restore, scrub, undelete,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{Log, Output};
use crate::settings::{OtherVariables, Settings};

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Help and version go to standard output; whoever closed it has read enough.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(arguments.global.output, arguments.global.quiet);
    match build_and_run(arguments, &output) {
        Ok(exit) => exit.code(),
        Err(Failure::ClosedPipe) => Exit::Done.code(),
        Err(failure) => {
            output.note(&failure.line());
            ExitCode::from(failure.class().exit_code())
        }
    }
}

fn build_and_run(arguments: Arguments, output: &Output) -> Result<Exit, Failure> {
    let environment = |name: &str| std::env::var_os(name);
    let settings = Settings::new(arguments.global, &environment)?;
    log(settings.verbose, output);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("requests")
        .build()
        .map_err(|source| Failure::Machine { what: "start threads", source })?;
    let handle = runtime.handle().clone();
    let other_handle = handle.clone();
    let open_store = move |url: &str, mode| {
        let environment = |name: &str| std::env::var(name).ok();
        Ok(Store::new(store::open(url, &environment, mode)?, handle.clone()))
    };
    let set =
        std::env::vars_os().filter(|(_, value)| !value.is_empty()).filter_map(|(name, _)| name.into_string().ok());
    let other = OtherVariables::new(set);
    let open_other_store = move |url: &str, mode| {
        let environment = |name: &str| std::env::var(other.answering(name)).ok();
        Ok(Store::new(store::open(url, &environment, mode)?, other_handle.clone()))
    };
    let context = Context {
        settings,
        output: output.clone(),
        runtime: runtime.handle().clone(),
        clock: Arc::new(now),
        uptime: Arc::new(uptime),
        random: Arc::new(Mutex::new(SystemRandom)),
        environment: Box::new(environment),
        open_store: Box::new(open_store),
        open_other_store: Box::new(open_other_store),
        host: nix::unistd::gethostname().map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned()),
    };
    let done = dispatch(arguments.command, &context);
    // A request that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    done
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the program, handed to whoever needs one")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Since the start of the machine, sleep included: shows whether the other clock was set.
fn uptime() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
}

fn dispatch(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Repo(command) => repo::run(context, &command),
        Command::Keys(command) => keys::run(context, &command),
        Command::Domain(command) => domain::run(context, &command),
        Command::Backup(options) => backup::run(context, &options),
        Command::Points(options) => points::run(context, &options),
        Command::Ls(options) => ls::run(context, &options),
        Command::Cat(options) => cat::run(context, &options),
        Command::Find(options) => find::run(context, &options),
        Command::Diff(options) => diff::run(context, &options),
        Command::Restore(options) => restore::run(context, &options),
        Command::Check(options) => check::run(context, &options),
        Command::Scrub(options) => scrub::run(context, &options),
        Command::Repair(options) => repair::run(context, &options),
        Command::Forget(options) => forget::run(context, &options),
        Command::Undelete(options) => undelete::run(context, &options),
        Command::Gc(options) => gc::run(context, &options),
        Command::Replicate(options) => replicate::run(context, &options),
        Command::Promote => promote::run(context),
        Command::Completion(options) => completion::run(&options),
    }
}

/// The log goes to standard error; HOLDFAST_LOG chooses more finely than `-v`.
fn log(verbose: u8, output: &Output) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let ours = format!("warn,holdfast={level},repository={level},volume={level}");
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new(ours));
    let log = Log(output.clone());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || -> Box<dyn Write> { Box::new(log.clone()) })
        .with_ansi(false)
        .with_target(verbose > 1)
        .without_time();
    // Fails only if there is a subscriber already, which then has the lines.
    let _ = lines.try_init();
}
