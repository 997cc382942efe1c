//! Simulate: seeds one after the other; `cargo xtask sim` runs it.
//!
//! In: `HOLDFAST_SEED` (the first, 1), `HOLDFAST_SEEDS` (how many, 1000), `HOLDFAST_TRACE` (set: prints every request). Out: the seeds that failed, each with the line that replays
//! it, and a tally.

use std::process::ExitCode;

use tests::simulation::{Simulator, Tally};

/// Failing seeds that are named before it ends.
const FAILURES_MAX: usize = 20;

fn main() -> ExitCode {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("the variable holds a number"))
    };
    let (first, count) = (number("HOLDFAST_SEED", 1), number("HOLDFAST_SEEDS", 1000));
    let traced = std::env::var_os("HOLDFAST_TRACE").is_some();
    let (simulator, mut tally, mut failures) = (Simulator::default(), Tally::default(), 0);
    for seed in first..first.saturating_add(count) {
        let outcome = simulator.run(seed, traced);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        tally.merge(&outcome.tally);
        if let Some(failure) = outcome.failure {
            println!("seed {seed}: {failure}\n  cargo xtask sim --seed {seed} --trace");
            failures += 1;
        }
        if failures == FAILURES_MAX {
            println!("{FAILURES_MAX} seeds failed, that is enough");
            break;
        }
    }
    println!("{tally}");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
