//! Exit codes: 1 failed, 2 usage, 3 partial, 5 denied, 6 not found; and that a failure prints no result.

use std::path::PathBuf;

use nix::mount::{MsFlags, mount, umount};

use crate::place::{Place, is_root, ran};

#[test]
fn what_is_wrong_with_the_command_line_is_2() {
    let place = Place::new();
    for words in [
        &["no-such-command"][..],
        &["backup"],
        &["restore", "latest"],
        &["points", "--memory-budget", "lots"],
        &["restore", "latest", "--to", "x", "--remove-extra"],
        &["--passphrase-file", "a", "--identity-file", "b", "points"],
        &["-o", "yaml", "points"],
    ] {
        let ran = place.run(words);
        ran.expect(2);
        assert!(ran.stdout.is_empty(), "{words:?}");
    }
    place.write("source/file", b"1");
    place.run(["--memory-budget", "1MiB", "backup", "source"]).failed(2, "memory budget");
    ran(&mut place.bare(["points"])).failed(2, "HOLDFAST_REPOSITORY");
    ran(place.bare(["points"]).env("HOLDFAST_REPOSITORY", place.path("repo"))).failed(2, "--passphrase-file");
    place.run(["--identity-file", "nowhere", "points"]).failed(2, "nowhere");
    place.run(["-r", "ftp://x", "points"]).failed(2, "ftp");
}

#[test]
fn a_repository_that_is_not_there_is_6() {
    let place = Place::empty();
    for words in [&["points"][..], &["backup", "identity"], &["restore", "latest", "--to", "x"], &["check"]] {
        place.run(words).failed(6, "repo init");
    }
    std::fs::create_dir(place.path("repo")).unwrap();
    place.run(["points"]).failed(6, "repo init");
    assert!(!place.path("x").exists());
}

#[test]
fn a_source_or_a_point_that_is_not_there_is_6() {
    let place = Place::new();
    place.run(["backup", "nowhere"]).failed(6, "nowhere");
    place.run(["ls", "latest"]).failed(6, "holdfast backup");
    place.run(["restore", "latest", "--to", "x"]).failed(6, "holdfast backup");
    assert!(!place.path("x").exists());
}

#[test]
fn a_repository_is_not_made_over_another() {
    let place = Place::new();
    let before = place.files("repo");
    place.run(["repo", "init"]).failed(2, "already");
    assert_eq!(place.files("repo"), before);
}

#[test]
fn a_dry_run_of_init_tries_the_store_and_leaves_nothing() {
    let place = Place::empty();
    assert!(place.json(&["repo", "init", "--dry-run"])["repository"].is_null());
    assert_eq!(place.files("repo"), Vec::<PathBuf>::new());
}

#[test]
fn the_wrong_key_is_5() {
    let place = Place::new();
    place.write("wrong", b"not the passphrase\n");
    for words in [&["points"][..], &["backup", "wrong"], &["check"]] {
        let mut command = place.command(["--passphrase-file", "wrong"].iter().chain(words));
        ran(&mut command).failed(5, "wrong passphrase");
    }
    let other = Place::empty();
    let mut command = place.command(["points"]);
    ran(command.env("HOLDFAST_IDENTITY_FILE", other.path("identity"))).failed(5, "wrong passphrase or identity");
}

#[test]
fn a_passphrase_opens_with_and_without_the_end_of_its_line() {
    let place = Place::empty();
    place.write("passphrase", b"correct horse\n");
    place.write("the same", b"correct horse");
    let with = |file: &str, words: &[&str]| {
        let mut command = place.bare(["-r", "repo", "--cache-dir", "cache"].iter().chain(words));
        ran(command.env("HOLDFAST_PASSPHRASE_FILE", place.path(file)))
    };
    with("passphrase", &["repo", "init"]).expect(0);
    with("the same", &["points"]).expect(0);
}

#[test]
fn a_repository_that_was_exchanged_is_5_and_names_both() {
    let place = Place::new();
    let id = |place: &Place| place.json(&["repo", "info"])["repository"].as_str().unwrap().to_owned();
    let first = id(&place);
    std::fs::rename(place.path("repo"), place.path("first")).unwrap();
    // Made from another machine: this one does not know of it.
    ran(place.command(["repo", "init"]).env("HOLDFAST_CACHE_DIR", place.path("other cache"))).expect(0);
    let exchanged = place.run(["points"]);
    exchanged.failed(5, &first);
    let second = ran(place.command(["-o", "json", "repo", "info"]).env("HOLDFAST_CACHE_DIR", place.path("third")));
    let second: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    assert!(exchanged.stderr.contains(second["repository"].as_str().unwrap()), "{}", exchanged.stderr);
    place.write("source/file", b"1");
    place.run(["backup", "source"]).failed(5, &first);
    std::fs::remove_dir_all(place.path("repo")).unwrap();
    std::fs::rename(place.path("first"), place.path("repo")).unwrap();
    place.run(["points"]).expect(0);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
    }
}

#[test]
fn what_was_not_captured_is_listed_and_is_3() {
    if !is_root("a directory on which something is mounted") {
        return;
    }
    let place = Place::new();
    place.write("source/file", b"1");
    place.write("source/hidden/file", b"2");
    let hidden = place.path("source/hidden");
    mount(Some("tmpfs"), &hidden, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let mounted = Mounted(hidden);
    let report = place.json_with(3, &["backup", "--volume", "v", "source"]);
    assert_eq!(report["outcome"], "partial");
    let missed = report["not_captured"].as_array().unwrap();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0]["path"], "hidden");
    assert!(missed[0]["reason"].as_str().unwrap().contains("mounted"), "{report}");
    let text = place.run(["backup", "--volume", "v", "source"]);
    text.expect(3);
    assert!(text.text().contains("PARTIAL") && text.text().contains("hidden"), "{}", text.text());
    assert_eq!(place.json(&["points"])[0]["outcome"], "partial");
    drop(mounted);
    assert_eq!(place.json(&["backup", "--volume", "v", "source"])["outcome"], "complete");
}
