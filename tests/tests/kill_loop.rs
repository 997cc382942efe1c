//! The kill loop: the real program on real stores, killed with SIGKILL at random instants of backups, collections, restores and replications, hundreds of times if asked.
//!
//! In: the program `holdfast`, a folder and an S3 server, and a seed: `HOLDFAST_SEED=7 HOLDFAST_ROUNDS=300`. Out: after every kill nothing that was reported is lost or
//! damaged, and what was sent is not sent again. Never: looks into the program; what it stored is read by the program itself and by a reader in another language.
//! The seed decides what is done and when, not where exactly a kill falls: that is the machine's.

#[path = "kill_loop/copies.rs"]
mod copies;
#[path = "kill_loop/machine.rs"]
mod machine;
#[path = "kill_loop/rounds.rs"]
mod rounds;
#[path = "kill_loop/source.rs"]
mod source;

use tests::s3::Versitygw;

use machine::{Machine, Place};

/// Rounds of a test run; `HOLDFAST_ROUNDS` asks for more.
const ROUNDS: u64 = 12;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn run(place: Place) {
    let seed = number("HOLDFAST_SEED", 1);
    let Some(mut machine) = Machine::new(place, seed) else { return };
    let rounds = number("HOLDFAST_ROUNDS", ROUNDS);
    for round in 1..=rounds {
        machine.say(format!("HOLDFAST_SEED={seed} round {round}"));
        rounds::one(&mut machine);
    }
    rounds::end(&mut machine);
    println!("{rounds} rounds: {}", machine.counts());
}

#[test]
fn nothing_is_lost_on_a_directory_whenever_the_program_is_killed() {
    run(Place::Directory);
}

#[test]
fn nothing_is_lost_on_an_s3_server_whenever_the_program_is_killed() {
    let Some(server) = Versitygw::start() else { return };
    run(Place::Server(server));
}
