//! Looking at restore points: listings, contents, searches, comparisons, and what each prints.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::place::{Place, noise, ran};
use crate::tree;

fn paths(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect()
}

#[test]
fn ls_shows_a_directory_a_file_and_everything() {
    let place = Place::new();
    place.write("source/b/c", b"12345");
    place.write("source/a", b"1");
    place.backup("v", "source");
    assert_eq!(paths(&place.json(&["ls", "latest"])), ["a", "b"]);
    assert_eq!(paths(&place.json(&["ls", "latest", "/b/"])), ["b/c"]);
    assert_eq!(paths(&place.json(&["ls", "-R", "latest"])), ["a", "b", "b/c"]);
    let file = &place.json(&["ls", "latest", "b/c"])[0];
    assert_eq!((&file["type"], &file["size"], &file["links"]), (&"file".into(), &5.into(), &1.into()));
    assert_eq!(file["mode"].as_str().unwrap().len(), 4);
    let text = place.run(["ls", "latest"]).text();
    assert!(text.lines().nth(1).unwrap().starts_with("drwx"), "{text}");
    place.run(["ls", "latest", "nowhere"]).failed(6, "nowhere");
    place.run(["ls", "latest", "../source"]).failed(6, "..");
    assert_eq!(place.json(&["ls", "latest", "."]), place.json(&["ls", "latest"]));
}

#[test]
fn names_are_harmless_on_a_terminal_and_exact_in_json() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("v", "source");
    let text = place.run(["ls", "latest"]).text();
    assert!(text.contains("new\\nline and \\u{1b}[31mred"), "{text}");
    assert!(text.contains("not \\xff\\xfe text"), "{text}");
    assert!(!text.contains('\x1b'));
    let rows = place.json(&["ls", "latest"]);
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().any(|row| row["path"] == "new\nline and \x1b[31mred" && row.get("path_hex").is_none()));
    assert!(rows.iter().any(|row| row["path_hex"] == "6e6f7420fffe2074657874"));
    assert!(rows.iter().any(|row| row["link_target_hex"] == "6e6f776865726520ff"));
}

#[test]
fn cat_prints_exactly_the_bytes_whatever_the_output_format() {
    let place = Place::new();
    let content = noise(3, 2_500_000);
    place.write("source/data", &content);
    place.backup("v", "source");
    assert_eq!(place.run(["cat", "latest", "data"]).stdout, content);
    assert_eq!(place.run(["-o", "json", "cat", "latest", "/data"]).stdout, content);
    place.run(["cat", "latest", "."]).failed(2, "not a regular file");
    place.run(["cat", "latest", "other"]).failed(6, "other");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let place = Place::new();
    place.write("source/data", noise(4, 3_000_000));
    place.backup("v", "source");
    let mut child =
        place.command(["cat", "latest", "data"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let place = Place::new();
    place.write("source/data", noise(4, 300_000));
    place.backup("v", "source");
    for words in [&["cat", "latest", "data"][..], &["points"], &["-o", "json", "ls", "latest"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
    }
}

#[test]
fn find_looks_into_every_point() {
    let place = Place::new();
    place.write("source/a/dump.sql", b"1");
    let first = place.backup("v", "source");
    place.write("source/b/other.sql", b"2");
    let second = place.backup("v", "source");
    place.backup("w", "source/a");
    let rows = place.json(&["find", "--volume", "v", "*.sql"]);
    let found: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["point"].as_str().unwrap(), row["volume"].as_str().unwrap(), row["path"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [(&*first, "v", "a/dump.sql"), (&*second, "v", "a/dump.sql"), (&*second, "v", "b/other.sql")]);
    assert_eq!(place.json(&["find", "*.sql"]).as_array().unwrap().len(), 4);
    assert_eq!(paths(&place.json(&["find", "--point", "latest", "--volume", "v", "b/*"])), ["b/other.sql"]);
    assert_eq!(place.json(&["find", "nothing like it"]), serde_json::json!([]));
    place.run(["find", "[a"]).failed(2, "not a pattern");
}

#[test]
fn diff_names_what_was_added_removed_and_changed() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    let first = place.backup("v", "source");
    place.write("source/added", b"1");
    place.write("source/small", b"changed");
    std::fs::remove_file(place.path("source/dangling")).unwrap();
    let second = place.backup("v", "source");
    let rows = place.json(&["diff", &first, &second]);
    let change = |path: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["path"] == path);
        row.map(|row| row["change"].as_str().unwrap().to_owned())
    };
    assert_eq!(change("added").as_deref(), Some("added"));
    assert_eq!(change("dangling").as_deref(), Some("removed"));
    assert_eq!(change("small").as_deref(), Some("content"));
    assert_eq!(change("large"), None);
    assert_eq!(change("deep/link"), None);
    assert_eq!(place.json(&["diff", &first, &first]), serde_json::json!([]));
}

#[test]
fn every_command_prints_one_value_with_json_and_something_for_people_without() {
    let place = Place::new();
    place.write("source/file", b"1");
    place.backup("v", "source");
    for words in [
        &["repo", "info"][..],
        &["keys", "list"],
        &["points"],
        &["ls", "latest"],
        &["find", "file"],
        &["check"],
        &["restore", "latest", "--to", "out", "--dry-run"],
        &["keys", "export"],
    ] {
        place.json(words);
        assert!(!place.run(words).stdout.is_empty(), "{words:?}");
    }
    assert_eq!(place.json(&["points", "--volume", "none"]), serde_json::json!([]));
}

#[test]
fn help_version_and_completion_need_no_repository() {
    let place = Place::empty();
    let version = ran(&mut place.bare(["--version"]));
    version.expect(0);
    assert!(version.text().starts_with("holdfast "), "{version:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = ran(&mut place.bare(["completion", shell]));
        script.expect(0);
        assert!(script.text().contains("holdfast"));
    }
    ran(&mut place.bare(["help", "restore"])).expect(0);
}
