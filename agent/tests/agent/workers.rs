//! Workers: what one of them suffers is its own affair.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use agent::worker::job::{Event, Events, Limits};
use agent::worker::supervise::{Assignment, News, Outcome, Report, supervise};
use model::ErrorClass;

use crate::mounts::{Mounted, is_root};
use crate::place::{Place, config, monotonic, run};

fn fill(place: &Place, name: &str, files: usize, bytes: usize) -> std::path::PathBuf {
    let folder = place.directory(name);
    for file in 0..files {
        // No two files alike, and nothing that compresses to nothing.
        let content: Vec<u8> = (0..bytes).map(|at| (at.wrapping_mul(file + 31) >> 3) as u8).collect();
        fs::write(folder.join(format!("{file:04}")), content).unwrap();
    }
    folder
}

#[test]
fn volumes_are_protected_each_by_a_process_of_its_own() {
    let place = Place::new();
    let assignments: Vec<Assignment> =
        ["a", "b", "c"].into_iter().map(|name| place.assignment(name, &fill(&place, name, 20, 1000))).collect();
    for round in 0..2 {
        let ended = run(&config(2), assignments.clone());
        assert_eq!(ended.len(), 3);
        for (volume, outcome) in ended {
            let Outcome::Done(done) = outcome else { panic!("{volume}: {outcome:?}") };
            assert_eq!(done.parent.is_some(), round == 1);
            assert_eq!((done.missed, done.statistics.entries), (0, 21));
        }
    }
    let mut protected = place.protected();
    protected.sort();
    assert_eq!(protected, ["a", "a", "b", "b", "c", "c"]);
}

#[test]
fn a_volume_that_hangs_costs_its_own_worker_and_delays_nobody() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let hung = place.directory("hung");
    let _hanging = Mounted::hanging(&hung);
    let good = fill(&place, "good", 20, 1000);
    let begun = monotonic();
    let ended = run(&config(2), vec![place.assignment("hung", &hung), place.assignment("good", &good)]);
    let took = monotonic() - begun;
    assert_eq!(ended[0].0, "good", "it did not wait: {ended:?}");
    assert!(matches!(ended[0].1, Outcome::Done(_)), "{ended:?}");
    let Outcome::Hung { silent } = ended[1].1 else { panic!("{ended:?}") };
    assert!(silent >= Duration::from_secs(2));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(place.protected(), ["good"], "no restore point of what could not be read");
}

#[test]
fn a_volume_that_hung_waits_before_it_is_tried_again_and_others_do_not() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let hung = place.directory("hung");
    let _hanging = Mounted::hanging(&hung);
    let good = fill(&place, "good", 2, 10);
    let again = || place.assignment("hung", &hung);
    let ended = run(&config(1), vec![again(), again(), place.assignment("good", &good)]);
    assert!(matches!(ended[0].1, Outcome::Hung { .. }), "{ended:?}");
    let Outcome::TooSoon { wait } = ended[1].1 else { panic!("{ended:?}") };
    assert!(wait > Duration::from_secs(50), "{wait:?}");
    assert!(matches!(ended[2].1, Outcome::Done(_)), "{ended:?}");
}

#[test]
fn an_unmounted_volume_is_an_error_and_never_an_empty_restore_point() {
    let place = Place::new();
    let empty = place.directory("unmounted");
    let mut assignment = place.assignment("unmounted", &empty);
    assignment.job.is_mount = true;
    let ended = run(&config(1), vec![assignment]);
    let Outcome::Failed(failed) = &ended[0].1 else { panic!("{ended:?}") };
    assert!(failed.why.contains("not a mount point"), "{}", failed.why);
    assert_eq!(failed.class, ErrorClass::Retry);
    assert!(place.protected().is_empty());
}

/// Follows one worker that reads slowly; `then` is called when it has read something.
fn while_reading(place: &Place, path: &std::path::Path, then: impl FnOnce(crossbeam_channel::Sender<()>)) -> Outcome {
    let mut assignment = place.assignment("slow", path);
    assignment.job.limits = Limits { reads_per_second: 20, ..Limits::default() };
    assignment.job.journals = Some(place.directory("journals"));
    let (assign, assignments) = crossbeam_channel::unbounded();
    let (report, reports) = crossbeam_channel::unbounded();
    let (stop, stopped) = crossbeam_channel::bounded(0);
    assign.send(assignment).unwrap();
    drop(assign);
    std::thread::scope(|scope| {
        let (assignments, stopped) = (&assignments, &stopped);
        scope.spawn(move || supervise(&config(1), assignments, &report, stopped));
        let (mut then, mut stop) = (Some(then), Some(stop));
        for Report { news, .. } in &reports {
            match news {
                News::Event(Event::Beat(beat)) if beat.bytes_read > 0 => {
                    if let Some((then, stop)) = then.take().zip(stop.take()) {
                        then(stop);
                    }
                }
                News::Event(_) => {}
                News::Ended(outcome) => return outcome,
            }
        }
        panic!("it never ended")
    })
}

#[test]
fn a_worker_that_is_not_wanted_any_more_ends_in_order_and_the_volume_can_be_unmounted() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let volume = place.directory("volume");
    let mounted = Mounted::tmpfs(&volume);
    fill(&place, "volume", 400, 10_000);
    let begun = monotonic();
    let outcome = while_reading(&place, &volume, drop);
    assert_eq!(outcome, Outcome::Stopped);
    mounted.unmount().expect("nothing holds it");
    assert!(monotonic() - begun < Duration::from_secs(10));
    assert!(place.protected().is_empty());
}

#[test]
fn a_volume_that_is_unmounted_beside_its_reader_gives_no_restore_point() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let volume = place.directory("volume");
    let mounted = Mounted::tmpfs(&volume);
    fill(&place, "volume", 60, 10_000);
    let mut keep = None;
    let outcome = while_reading(&place, &volume, |stop| {
        mounted.unmount().expect("the reader does not hold the pod's mount");
        keep = Some(stop);
    });
    let Outcome::Failed(failed) = &outcome else { panic!("{outcome:?}") };
    assert!(failed.why.contains("is gone"), "{}", failed.why);
    assert!(place.protected().is_empty());
}

#[test]
fn a_program_that_is_no_worker_is_told_as_such() {
    let place = Place::new();
    let good = fill(&place, "good", 1, 1);
    for (program, arguments, how) in [
        ("/bin/true", vec![], "ended with exit status: 0"),
        ("/bin/echo", vec!["no event".to_owned()], "ended with"),
        ("/nonexistent", vec![], "could not be started"),
    ] {
        let config = agent::worker::supervise::Config { program: program.into(), arguments, ..config(1) };
        let ended = run(&config, vec![place.assignment("good", &good)]);
        let Outcome::Died { how: found } = &ended[0].1 else { panic!("{ended:?}") };
        assert!(found.contains(how) || found.contains("could not be started"), "{found}");
    }
}

#[test]
fn a_worker_that_gets_no_memory_dies_alone() {
    let place = Place::new();
    let good = fill(&place, "good", 20, 100_000);
    let mut starved = place.assignment("starved", &good);
    starved.job.memory_bytes = 0;
    let ended = run(&config(1), vec![starved, place.assignment("good", &good)]);
    assert!(matches!(ended[0].1, Outcome::Failed(_) | Outcome::Died { .. }), "{ended:?}");
    assert!(matches!(ended[1].1, Outcome::Done(_)), "{ended:?}");
}

#[test]
fn no_secret_is_in_the_arguments_or_the_environment_of_a_worker() {
    let place = Place::new();
    let good = fill(&place, "good", 1, 1);
    let seen = place.path("seen");
    let script = format!("{{ env; echo \"$0\" \"$@\"; cat /proc/$$/cmdline; }} > {}", seen.display());
    let config = agent::worker::supervise::Config {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script],
        ..config(1)
    };
    let mut assignment = place.assignment("good", &good);
    assignment.job.settings.insert("AWS_SECRET_ACCESS_KEY".into(), "canary-of-the-test".into());
    run(&config, vec![assignment]);
    let seen = fs::read_to_string(&seen).unwrap();
    assert!(seen.contains("PWD=/") && !seen.contains("canary"), "{seen}");
}

#[test]
fn what_events_named_is_read_whatever_its_stamp_says_and_the_rest_is_not() {
    let place = Place::new();
    let volume = fill(&place, "volume", 3, 1000);
    let read = |events: Events| {
        let mut assignment = place.assignment("volume", &volume);
        assignment.job.events = events;
        match run(&config(1), vec![assignment]).remove(0).1 {
            Outcome::Done(done) => done.statistics.bytes_read,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(read(Events::Unheard), 3000);
    // Stamps settle after two seconds; until then everything is read again.
    let deadline = monotonic() + Duration::from_secs(20);
    while read(Events::Unheard) != 0 {
        assert!(monotonic() < deadline, "the stamps never settle");
    }
    let named = fs::metadata(volume.join("0001")).unwrap().ino();
    assert_eq!(read(Events::Heard(vec![named])), 1000);
    assert_eq!(read(Events::Heard(Vec::new())), 0);
    assert_eq!(read(Events::Broken("a test".into())), 0, "the sweep finds what changed");
}
