//! Copies: replications and the replica's collector are killed, and what must hold at the replica afterwards.
//!
//! In: a machine whose repository has a replica, or will have one. Out: a failure that names seed and round. Never: expects of the replica what was only begun: it holds
//! what was reported as replicated, and whatever else it shows is whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::Rng;
use serde_json::Value;

use super::machine::{Ended, Machine, Running, Which};
use super::rounds::{COLLECT, assert_collected, assert_listed, assert_nothing_is_left, assert_restores, forget_some};

/// Restore points, announcements and lists, beside the packs that a replication reads.
const READ_BESIDE_BYTES_MAX: u64 = 1 << 20;
/// More copies than this are forgotten now and then.
const COPIES_MAX: usize = 6;
/// A name that lost its other half is hidden by one run of a collector, doomed by the next, and removed; then its packs go.
const RUNS_TO_NOTHING: usize = 4;

/// A replication is killed and run again: of what had arrived nothing is read or sent again.
pub(crate) fn replicate(machine: &mut Machine) {
    let before = machine.packs(Which::Replica);
    let lacking = lacking(machine);
    let running = start(machine);
    let killed = machine.kill(running);
    note(machine, killed);
    assert_whole(machine);
    let arrived = Amount::of_new(&before, &machine.packs(Which::Replica));
    let (sent, read_bytes) = to_the_end(machine);
    let sum = Amount { packs: arrived.packs + sent.packs, bytes: arrived.bytes + sent.bytes };
    let round = machine.round();
    assert!(sum <= lacking, "{round}: of {lacking:?} {arrived:?} had arrived, and {sent:?} was sent all the same");
    assert!(
        read_bytes <= sent.bytes + READ_BESIDE_BYTES_MAX,
        "{round}: {read_bytes} bytes were read, {sent:?} was sent"
    );
    if !machine.requests_may_land_late() {
        assert_eq!(sum, lacking, "{round}: {arrived:?} had arrived, and {sent:?} was sent");
    }
    assert_whole(machine);
}

/// The replica's collector is killed, and run again: only what the original has lost may go.
pub(crate) fn collect(machine: &mut Machine) {
    if machine.copies.is_empty() {
        return replicate(machine);
    }
    forget_copies(machine);
    let running = start_collector(machine, Which::Replica);
    if let Some(Ended { code, said, .. }) = machine.kill(running) {
        assert_eq!(code, 0, "{}: {said}", machine.round());
    }
    assert_whole(machine);
    if machine.dice.random_ratio(1, 2) {
        machine.json_of(Which::Replica, 0, &collector_of_replica(&machine.url(Which::Original)));
        assert_whole(machine);
    }
}

/// A replication while the original, or the replica, is collected, one of the two killed; what is forgotten may be on its way.
pub(crate) fn replicate_beside_a_collector(machine: &mut Machine) {
    let which = match machine.copies.is_empty() || machine.dice.random_ratio(1, 2) {
        true => Which::Original,
        false => Which::Replica,
    };
    let running = start(machine);
    match which {
        Which::Original => forget_some(machine),
        Which::Replica => forget_copies(machine),
    }
    let collector = start_collector(machine, which);
    let (replicated, collected) = match machine.dice.random_ratio(1, 2) {
        true => (machine.kill(running), Some(machine.end(collector))),
        false => {
            let collected = machine.kill(collector);
            (Some(machine.end(running)), collected)
        }
    };
    assert_collected(machine, collected);
    note(machine, replicated);
    assert_whole(machine);
}

/// The end: the replica has what the original has, nothing that nobody needs, and everything restores from it.
pub(crate) fn end(machine: &mut Machine) {
    to_the_end(machine);
    let original = machine.url(Which::Original);
    for _ in 0..RUNS_TO_NOTHING {
        machine.json_of(Which::Replica, 0, &collector_of_replica(&original));
    }
    assert_nothing_is_left(machine, Which::Replica, &collector_of_replica(&original));
    assert_whole(machine);
    for point in machine.copies.iter().filter(|point| machine.states.contains_key(*point)) {
        assert_restores(machine, Which::Replica, point);
    }
}

/// Packs, and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
struct Amount {
    packs: u64,
    bytes: u64,
}

impl Amount {
    fn told(report: &Value) -> Amount {
        let count = |member: &str| report["statistics"][member].as_u64().expect("a number");
        Amount { packs: count("packs"), bytes: count("bytes") }
    }

    /// What is there now and was not before.
    fn of_new(before: &BTreeMap<PathBuf, u64>, now: &BTreeMap<PathBuf, u64>) -> Amount {
        let new = now.iter().filter(|(name, _)| !before.contains_key(*name));
        new.fold(Amount { packs: 0, bytes: 0 }, |Amount { packs, bytes }, (_, more)| Amount {
            packs: packs + 1,
            bytes: bytes + more,
        })
    }
}

fn words(url: &str) -> [&str; 3] {
    ["replicate", "--to", url]
}

fn collector_of_replica(original: &str) -> Vec<&str> {
    [&COLLECT[..], &["--source", original]].concat()
}

fn start(machine: &Machine) -> Running {
    machine.start(Which::Original, &words(&machine.url(Which::Replica)))
}

fn start_collector(machine: &Machine, which: Which) -> Running {
    match which {
        Which::Original => machine.start(which, &COLLECT),
        Which::Replica => machine.start(which, &collector_of_replica(&machine.url(Which::Original))),
    }
}

/// What a replication would copy now.
fn lacking(machine: &Machine) -> Amount {
    let url = machine.url(Which::Replica);
    Amount::told(&machine.json(0, &[&words(&url)[..], &["--dry-run"]].concat()))
}

/// Replicates everything; afterwards the replica has all that was reported at the original, though it may have forgotten it. What was sent, and the bytes that were
/// read for it.
fn to_the_end(machine: &mut Machine) -> (Amount, u64) {
    let report = machine.json(0, &words(&machine.url(Which::Replica)));
    note_report(machine, &report);
    let there = machine.json_of(Which::Replica, 0, &["points", "--all"]);
    let there: BTreeMap<&str, bool> = there.as_array().expect("a list").iter().map(point_and_hidden).collect();
    for point in &machine.reported {
        match there.get(&**point) {
            Some(false) => _ = machine.copies.insert(point.clone()),
            Some(true) => {}
            None => panic!("{}: {point} is not at the replica: {report}", machine.round()),
        }
    }
    let read = &report["statistics"]["source_requests"]["bytes_received"];
    (Amount::told(&report), read.as_u64().expect("a number"))
}

fn point_and_hidden(row: &Value) -> (&str, bool) {
    (row["point"].as_str().expect("an id"), row["hidden"].as_bool().expect("yes or no"))
}

/// A replication that printed its report before it was killed has made copies.
fn note(machine: &mut Machine, ended: Option<Ended>) {
    let Some(Ended { code, stdout, said }) = ended else { return };
    assert_eq!(code, 0, "{}: {said}", machine.round());
    note_report(machine, &serde_json::from_slice(&stdout).expect("a report"));
}

fn note_report(machine: &mut Machine, report: &Value) {
    assert_eq!(report["damaged"], Value::from([(); 0].to_vec()), "{}", machine.round());
    let replicated = report["replicated"].as_array().expect("a list").iter();
    machine.copies.extend(replicated.map(|point| point.as_str().expect("an id").to_owned()));
}

/// The replica has a retention of its own, and keeps the newest copy.
fn forget_copies(machine: &mut Machine) {
    while machine.copies.len() > COPIES_MAX || (machine.copies.len() > 1 && machine.dice.random_ratio(1, 2)) {
        let index = machine.dice.random_range(0..machine.copies.len() - 1);
        let forgotten = machine.copies.iter().nth(index).expect("there are more").clone();
        machine.json_of(Which::Replica, 0, &["forget", &forgotten]);
        machine.copies.remove(&forgotten);
    }
}

/// What was reported as replicated is listed, and all that the replica shows is whole; one point of it restores now and then.
fn assert_whole(machine: &mut Machine) {
    if machine.copies.is_empty() {
        return;
    }
    assert_listed(machine, Which::Replica, &machine.copies);
    if machine.dice.random_ratio(1, 2) {
        return;
    }
    let known: Vec<&String> = machine.copies.iter().filter(|point| machine.states.contains_key(*point)).collect();
    if !known.is_empty() {
        let point = known[machine.dice.random_range(0..known.len())].clone();
        assert_restores(machine, Which::Replica, &point);
    }
}
