//! The simulation: a few hundred seeds in every run of the tests, and the proof that a seed is all there is.
//!
//! `HOLDFAST_SEED=7 HOLDFAST_SEEDS=1` runs seed 7 alone; `cargo xtask sim` runs many.

use tests::simulation::{Simulator, Tally};

/// Short enough for every run, long enough that every kind of trouble occurs.
const SEEDS: u64 = 300;

fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("HOLDFAST_SEED").unwrap_or(1);
    first..first + number("HOLDFAST_SEEDS").unwrap_or(count)
}

#[test]
fn no_promise_is_broken_whatever_happens() {
    let (simulator, mut tally) = (Simulator::default(), Tally::default());
    for seed in seeds(SEEDS) {
        let outcome = simulator.run(seed, false);
        if let Some(failure) = outcome.failure {
            panic!("seed {seed}: {failure}\n  cargo xtask sim --seed {seed} --trace");
        }
        tally.merge(&outcome.tally);
    }
    println!("{tally}");
}

#[test]
fn a_seed_is_all_there_is() {
    let simulator = Simulator::default();
    for seed in seeds(12) {
        let (one, other) = (simulator.run(seed, true), Simulator::default().run(seed, true));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed} differs at line {at}:\n{}\n{}", one.trace[at], other.trace[at]);
        }
        assert_eq!(one.trace.len(), other.trace.len(), "seed {seed}");
        assert!(one.content == other.content, "seed {seed} left other bytes in the store");
        assert!(one.target == other.target, "seed {seed} left other bytes at the target");
        assert_eq!((one.failure, one.tally), (other.failure, other.tally), "seed {seed}");
    }
}
