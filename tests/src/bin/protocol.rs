//! The searches of the protocol's model, by name.
//!
//! In: `list`, or `run NAME…`, `run --all`, `mutants [NAME…]`. Out: what was seen, and the way to a broken claim. Never: anything but standard output.

use std::{process::ExitCode, time::Instant};

use tests::protocol::{
    check::Outcome,
    configurations::{self, Configuration, MUTANTS},
    rules::Rules,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("list") => list(),
        Some("run") => run(&names),
        Some("mutants") => mutants(&names),
        _ => {
            eprintln!("use: protocol list | run NAME… | run --all | mutants [RULE…]");
            ExitCode::FAILURE
        }
    }
}

fn list() -> ExitCode {
    for Configuration { name, about, short, .. } in configurations::all() {
        println!("{name:20} {} {about}", if short { "test" } else { "long" });
    }
    ExitCode::SUCCESS
}

fn run(names: &[&str]) -> ExitCode {
    let all = configurations::all();
    if let Some(unknown) = names.iter().find(|&&name| name != "--all" && configurations::named(name).is_none()) {
        eprintln!("there is no configuration {unknown}; `list` names them");
        return ExitCode::FAILURE;
    }
    let chosen = all.iter().filter(|each| names.contains(&each.name) || names.contains(&"--all"));
    let holds: Vec<bool> = chosen
        .map(|configuration| {
            let outcome = timed(configuration.name, || configuration.run(Rules::ALL));
            outcome.exhausted
        })
        .collect();
    if holds.iter().all(|&holds| holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each rule left out: the way to the claim that breaks.
fn mutants(names: &[&str]) -> ExitCode {
    let mut found = true;
    for &(rule, name, claim) in MUTANTS {
        let label = format!("{rule:?}");
        if !names.is_empty() && !names.contains(&label.as_str()) {
            continue;
        }
        let Some(configuration) = configurations::named(name) else { continue };
        let outcome = timed(&label, || configuration.run(configurations::without(rule)));
        found &= outcome.broken.is_some_and(|broken| broken.claim.starts_with(claim));
    }
    if found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the wiring of a binary: what it prints is how long a search took"
)]
fn timed(name: &str, search: impl FnOnce() -> Outcome) -> Outcome {
    let started = Instant::now();
    let outcome = search();
    let seconds = started.elapsed().as_secs_f64();
    let verdict = match &outcome.broken {
        Some(broken) => broken.claim,
        None if outcome.exhausted => "every claim holds",
        None => "not exhausted",
    };
    println!("{name:26} {:>11} states {:>4} deep {seconds:>7.1} s  {verdict}", outcome.states, outcome.depth);
    for operation in outcome.broken.iter().flat_map(|broken| &broken.trace) {
        println!("    {operation}");
    }
    outcome
}
