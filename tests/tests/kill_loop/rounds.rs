//! What is killed, and what must hold afterwards.
//!
//! In: a machine. Out: a failure that names seed and round. Never: goes on with a repository that is not whole.

use rand::Rng;
use serde_json::Value;

use super::copies;
use super::machine::{Ended, Machine, Which};
use super::source::assert_holds;

const VOLUME: &str = "killed";
/// One pack for each of two lanes, as large as the memory budget of the tests permits, and the metadata of a run that was begun twice.
const SENT_AGAIN_BYTES_MAX: u64 = 2 * (8 << 20) + (1 << 20);
/// More points than this are forgotten now and then.
const REPORTED_MAX: usize = 6;
pub(crate) const COLLECT: [&str; 7] = ["gc", "--grace", "0", "--session-grace", "0", "--share-max", "100"];

/// One round.
pub(crate) fn one(machine: &mut Machine) {
    match machine.dice.random_range(0..16) {
        0..5 => backup(machine),
        5..7 => collect(machine),
        7 => restore(machine),
        8..10 => backup_beside_a_collector(machine),
        10..12 => copies::replicate(machine),
        12..14 => copies::collect(machine),
        _ => copies::replicate_beside_a_collector(machine),
    }
    assert_whole(machine);
}

/// The end: everything is replicated, collected, read, and restored.
pub(crate) fn end(machine: &mut Machine) {
    machine.say("the end".to_owned());
    backup_to_the_end(machine);
    for _ in 0..2 {
        machine.json(0, &COLLECT);
    }
    assert_nothing_is_left(machine, Which::Original, &COLLECT);
    copies::end(machine);
    for point in &machine.reported {
        assert_restores(machine, Which::Original, point);
    }
}

/// A collector finds nothing more to do, and every pack that is there is needed and good.
pub(crate) fn assert_nothing_is_left(machine: &Machine, which: Which, collect: &[&str]) {
    let left = machine.json_of(which, 0, &[collect, &["--dry-run"]].concat());
    for member in ["packs_count", "packs_bytes"] {
        assert_eq!(left[member], 0, "{which:?}: something was left behind: {left}");
    }
    let checked = machine.json_of(which, 0, &["check", "--read-data"]);
    assert_eq!(checked["statistics"]["packs_not_needed"], 0, "{which:?}: {checked}");
}

fn backup_to_the_end(machine: &mut Machine) {
    let report = machine.json(0, &["backup", "--volume", VOLUME, "source"]);
    assert_eq!(report["outcome"], "complete", "{}: {report}", machine.round());
    report_of(machine, &report);
}

fn report_of(machine: &mut Machine, report: &Value) {
    let point = report["point"].as_str().expect("a point").to_owned();
    machine.states.insert(point.clone(), machine.source.state());
    machine.reported.push(point);
}

/// A backup that printed its report before it was killed has made a restore point.
fn note_backup(machine: &mut Machine, ended: Option<Ended>, may_be_ended: bool) {
    let Some(Ended { code, stdout, said }) = ended else { return };
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
    let running = machine.start(Which::Original, &["backup", "--volume", VOLUME, "source"]);
    let ended = machine.kill(running);
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
    forget_some(machine);
    let running = machine.start(Which::Original, &COLLECT);
    if let Some(Ended { code, said, .. }) = machine.kill(running) {
        assert_eq!(code, 0, "{}: {said}", machine.round());
    }
    assert_whole(machine);
    if machine.dice.random_ratio(1, 2) {
        machine.json(0, &COLLECT);
    }
}

/// Forgets restore points, but never the newest: there is always something to restore.
pub(crate) fn forget_some(machine: &mut Machine) {
    while machine.reported.len() > REPORTED_MAX || (machine.reported.len() > 1 && machine.dice.random_ratio(1, 2)) {
        let index = machine.dice.random_range(0..machine.reported.len() - 1);
        let forgotten = machine.reported.remove(index);
        machine.json(0, &["forget", &forgotten]);
    }
}

/// A restore is killed, and goes on in place.
fn restore(machine: &mut Machine) {
    let Some(newest) = machine.reported.last() else { return };
    let point = newest.clone();
    let running = machine.start(Which::Original, &["restore", &point, "--to", "restored", "--no-sync"]);
    if let Some(Ended { code, said, .. }) = machine.kill(running) {
        assert_eq!(code, 0, "{}: {said}", machine.round());
    }
    let words = ["restore", &point, "--to", "restored", "--in-place", "--remove-extra", "--no-sync"];
    machine.json(0, &words);
    let target = machine.path("restored");
    assert_holds(&target, &machine.states[&point], machine.round());
    std::fs::remove_dir_all(target).expect("the restored tree is removed");
}

/// Both at once, one of them killed: a backup may be ended by the collector, which says so and loses nothing.
fn backup_beside_a_collector(machine: &mut Machine) {
    machine.source.change(&mut machine.dice);
    let running = machine.start(Which::Original, &["backup", "--volume", VOLUME, "source"]);
    let collector = machine.start(Which::Original, &COLLECT);
    let (backed_up, collected) = match machine.dice.random_ratio(1, 2) {
        true => (machine.kill(running), Some(machine.end(collector))),
        false => {
            let collected = machine.kill(collector);
            (Some(machine.end(running)), collected)
        }
    };
    assert_collected(machine, collected);
    note_backup(machine, backed_up, true);
}

/// A collector beside others may have to give way.
pub(crate) fn assert_collected(machine: &Machine, ended: Option<Ended>) {
    if let Some(Ended { code, said, .. }) = ended {
        assert!(matches!(code, 0 | 4), "{}: gc ended with {code}: {said}", machine.round());
    }
}

/// Everything that was reported is there and whole, by the program; one point of it by the independent reader or a restore.
fn assert_whole(machine: &mut Machine) {
    assert_listed(machine, Which::Original, &machine.reported);
    if machine.reported.is_empty() {
        return;
    }
    let index = machine.dice.random_range(0..machine.reported.len());
    assert_restores(machine, Which::Original, &machine.reported[index]);
}

/// All of these restore points are listed, and a check finds nothing.
pub(crate) fn assert_listed<'a>(machine: &Machine, which: Which, points: impl IntoIterator<Item = &'a String>) {
    let listed = machine.json_of(which, 0, &["points"]);
    let listed: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|row| row["point"].as_str()).collect();
    for point in points {
        assert!(listed.contains(&&**point), "{}: {which:?}: {point} is lost", machine.round());
    }
    let checked = machine.json_of(which, 0, &["check"]);
    assert_eq!(checked["outcome"], "ok", "{}: {which:?}: {checked}", machine.round());
}

/// A restore point whose content is known holds just that.
pub(crate) fn assert_restores(machine: &Machine, which: Which, point: &str) {
    let target = machine.path("independent");
    if !machine.read_independently(which, point, &target) {
        machine.json_of(which, 0, &["restore", point, "--to", "independent", "--no-sync"]);
    }
    assert_holds(&target, &machine.states[point], &format!("{}: {which:?}: {point}", machine.round()));
    std::fs::remove_dir_all(target).expect("the restored tree is removed");
}
