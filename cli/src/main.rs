//! `holdfast`: the command line.
//!
//! In: arguments, environment, terminal. Out: what was asked for, and an exit code that scripts rely on. Never: anything by itself; [`app`] wires it.

mod app;
mod args;
mod commands;
mod exit;
mod failure;
mod interrupt;
mod opening;
mod output;
mod pins;
mod progress;
mod prompt;
mod quantity;
mod settings;

fn main() -> std::process::ExitCode {
    volume::share_one_heap();
    app::run()
}
