//! `holdfast-agent`: the program that runs on every node.
//!
//! In: arguments. Out: an exit code. Never: anything by itself; [`agent::app`] wires it.

fn main() -> std::process::ExitCode {
    agent::app::run()
}
