//! What is killed, and what must hold afterwards.
//!
//! In: a machine. Out: a failure that names seed and round. Never: goes on with a repository that is not whole.

use rand::Rng;
use serde_json::Value;

use super::machine::{Machine, Reported};
use super::source::assert_holds;

const VOLUME: &str = "killed";
/// One pack for each of two lanes, as large as the memory budget of the tests permits, and the metadata of a run that was begun twice.
const SENT_AGAIN_BYTES_MAX: u64 = 2 * (8 << 20) + (1 << 20);
/// More points than this are forgotten now and then.
const REPORTED_MAX: usize = 6;
const COLLECT: [&str; 7] = ["gc", "--grace", "0", "--session-grace", "0", "--share-max", "100"];

/// One round.
pub(crate) fn one(machine: &mut Machine) {
    match machine.dice.random_range(0..10) {
        0..5 => backup(machine),
        5..7 => collect(machine),
        7 => restore(machine),
        _ => backup_beside_a_collector(machine),
    }
    assert_whole(machine);
}

/// The end: everything is collected, read, and restored.
pub(crate) fn end(machine: &mut Machine) {
    machine.say("the end".to_owned());
    backup_to_the_end(machine);
    for _ in 0..2 {
        machine.json(0, &COLLECT);
    }
    let left = machine.json(0, &[&COLLECT[..], &["--dry-run"]].concat());
    for member in ["packs_count", "packs_bytes"] {
        assert_eq!(left[member], 0, "something was left behind: {left}");
    }
    let checked = machine.json(0, &["check", "--read-data"]);
    assert_eq!(checked["statistics"]["packs_not_needed"], 0, "{checked}");
    for reported in std::mem::take(&mut machine.reported) {
        assert_restores(machine, &reported);
    }
}

fn backup_to_the_end(machine: &mut Machine) {
    let report = machine.json(0, &["backup", "--volume", VOLUME, "source"]);
    assert_eq!(report["outcome"], "complete", "{}: {report}", machine.round());
    report_of(machine, &report);
}

fn report_of(machine: &mut Machine, report: &Value) {
    let point = report["point"].as_str().expect("a point").to_owned();
    machine.reported.push(Reported { point, state: machine.source.state() });
}

/// A backup that printed its report before it was killed has made a restore point.
fn note_backup(machine: &mut Machine, ended: Option<(i32, Vec<u8>, String)>, may_be_ended: bool) {
    let Some((code, stdout, said)) = ended else { return };
    match code {
        0 => {
            let report = serde_json::from_slice(&stdout).expect("a report");
            report_of(machine, &report);
        }
        4 if may_be_ended => {}
        other => panic!("{}: a backup ended with {other}: {said}", machine.round()),
    }
}

/// A backup is killed and run again: what was sent is not sent again.
fn backup(machine: &mut Machine) {
    machine.source.change(&mut machine.dice);
    let before = not_needed_bytes(machine);
    let child = machine.start(&["backup", "--volume", VOLUME, "source"]);
    let ended = machine.kill(child);
    note_backup(machine, ended, false);
    backup_to_the_end(machine);
    let sent_again = not_needed_bytes(machine).saturating_sub(before);
    assert!(sent_again <= SENT_AGAIN_BYTES_MAX, "{}: {sent_again} bytes were sent for nothing", machine.round());
}

/// What a collector would delete, if no session is running.
fn not_needed_bytes(machine: &Machine) -> u64 {
    machine.json(0, &["gc", "--dry-run", "--share-max", "100"])["packs_bytes"].as_u64().expect("a number")
}

/// A collector is killed, and run again.
fn collect(machine: &mut Machine) {
    while machine.reported.len() > REPORTED_MAX || (machine.reported.len() > 1 && machine.dice.random_ratio(1, 2)) {
        // Never the newest: there is always something to restore.
        let index = machine.dice.random_range(0..machine.reported.len() - 1);
        let forgotten = machine.reported.remove(index);
        machine.json(0, &["forget", &forgotten.point]);
    }
    let child = machine.start(&COLLECT);
    if let Some((code, _, said)) = machine.kill(child) {
        assert_eq!(code, 0, "{}: {said}", machine.round());
    }
    assert_whole(machine);
    if machine.dice.random_ratio(1, 2) {
        machine.json(0, &COLLECT);
    }
}

/// A restore is killed, and goes on in place.
fn restore(machine: &mut Machine) {
    let Some(newest) = machine.reported.last() else { return };
    let (point, state) = (newest.point.clone(), newest.state.clone());
    let child = machine.start(&["restore", &point, "--to", "restored", "--no-sync"]);
    if let Some((code, _, said)) = machine.kill(child) {
        assert_eq!(code, 0, "{}: {said}", machine.round());
    }
    let words = ["restore", &point, "--to", "restored", "--in-place", "--remove-extra", "--no-sync"];
    machine.json(0, &words);
    let target = machine.path("restored");
    assert_holds(&target, &state, machine.round());
    std::fs::remove_dir_all(target).expect("the restored tree is removed");
}

/// Both at once, each killed or not: a backup may be ended by the collector, which says so and loses nothing.
fn backup_beside_a_collector(machine: &mut Machine) {
    machine.source.change(&mut machine.dice);
    let running = machine.start(&["backup", "--volume", VOLUME, "source"]);
    let collector = machine.start(&COLLECT);
    match machine.dice.random_ratio(1, 2) {
        true => {
            let ended = machine.kill(running);
            note_backup(machine, ended, true);
            let output = collector.wait_with_output().expect("it is waited for");
            let code = output.status.code();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(code, Some(0 | 4)), "{}: gc ended with {code:?}: {said}", machine.round());
        }
        false => {
            if let Some((code, _, said)) = machine.kill(collector) {
                assert!(matches!(code, 0 | 4), "{}: gc ended with {code}: {said}", machine.round());
            }
            let output = running.wait_with_output().expect("it is waited for");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            note_backup(machine, Some((output.status.code().unwrap_or(-1), output.stdout, said)), true);
        }
    }
}

/// Everything that was reported is there and whole, by the program; one point of it by the independent reader or a restore.
fn assert_whole(machine: &mut Machine) {
    let listed = machine.json(0, &["points"]);
    let listed: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|row| row["point"].as_str()).collect();
    for reported in &machine.reported {
        assert!(listed.contains(&&*reported.point), "{}: {} is lost", machine.round(), reported.point);
    }
    let checked = machine.json(0, &["check"]);
    assert_eq!(checked["outcome"], "ok", "{}: {checked}", machine.round());
    if machine.reported.is_empty() {
        return;
    }
    let index = machine.dice.random_range(0..machine.reported.len());
    let chosen = machine.reported.remove(index);
    assert_restores(machine, &chosen);
    machine.reported.insert(index, chosen);
}

fn assert_restores(machine: &Machine, reported: &Reported) {
    let target = machine.path("independent");
    if !machine.read_independently(&reported.point, &target) {
        machine.json(0, &["restore", &reported.point, "--to", "independent", "--no-sync"]);
    }
    assert_holds(&target, &reported.state, &format!("{}: {}", machine.round(), reported.point));
    std::fs::remove_dir_all(target).expect("the restored tree is removed");
}
