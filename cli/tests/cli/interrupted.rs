//! Interrupted: the first signal stops a backup in order, and nothing is lost.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{Place, noise};
use crate::tree;

/// Long enough for the slowest machine; a condition is awaited, not the time.
const ROUNDS_MAX: u32 = 3_000;

#[test]
fn a_signal_ends_a_backup_with_1_and_the_next_one_completes() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        place.write("source/data", noise(8, 24 << 20));
        let mut command = place.command([
            "--bandwidth-limit",
            "4MiB",
            "--memory-budget",
            "32MiB",
            "backup",
            "--volume",
            "v",
            "source",
        ]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let packs = place.path("repo").join("d");
        let mut rounds = 0;
        while !place
            .files("repo")
            .iter()
            .any(|file| file.starts_with(&packs) && file.components().any(|part| part.as_os_str() == "packs"))
        {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "no pack was written");
            assert!(child.try_wait().unwrap().is_none(), "the backup was over before its first pack was seen");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{signal}: {stderr}");
        assert!(stderr.contains("nothing lost"), "{stderr}");
        assert!(ended.stdout.is_empty());
        place.backup("v", "source");
        place.run(["restore", "latest", "--to", "out"]).expect(0);
        tree::assert_same(&place.path("source"), &place.path("out"));
        place.run(["check", "--read-data"]).expect(0);
    }
}
