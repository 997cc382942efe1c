//! Keys: added, removed, exported; and that a repository opens with what was kept elsewhere.

use age::secrecy::ExposeSecret;

use crate::place::{Place, ran};

#[test]
fn whoever_was_added_opens_and_whoever_was_removed_does_not() {
    let place = Place::new();
    let second = age::x25519::Identity::generate();
    place.write("second", second.to_string().expose_secret());
    let first_key = place.json(&["keys", "list"])[0]["key"].as_str().unwrap().to_owned();
    let added = place.json(&["keys", "add", "--recipient", &second.to_public().to_string(), "--label", "the second"]);
    assert_eq!(place.json(&["keys", "list"]).as_array().unwrap().len(), 2);
    let with_second = |words: &[&str]| ran(place.command(words).env("HOLDFAST_IDENTITY_FILE", place.path("second")));
    with_second(&["points"]).expect(0);
    // The key that opens now must remain; the other one may go.
    place.run(["keys", "remove", &first_key]).failed(2, "last one");
    with_second(&["keys", "remove", &first_key[..8]]).expect(0);
    place.run(["points"]).failed(5, "wrong passphrase or identity");
    with_second(&["keys", "remove", added["key"].as_str().unwrap()]).failed(2, "last one");
    with_second(&["keys", "remove", "ffff"]).failed(6, "ffff");
}

#[test]
fn an_exported_key_opens_a_repository_that_has_lost_its_keys() {
    let place = Place::new();
    place.write("source/file", b"precious");
    place.backup("v", "source");
    let exported = place.run(["keys", "export"]);
    exported.expect(0);
    place.write("escrow.age", &exported.stdout);
    std::fs::remove_dir_all(place.path("repo/keys")).unwrap();
    place.run(["points"]).failed(6, "no keys left");
    assert_eq!(place.run(["--exported-key", "escrow.age", "cat", "latest", "file"]).text(), "precious");
}

#[test]
fn an_export_is_written_for_its_owner_alone_and_over_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.run(["keys", "export", "--to", "escrow.age"]).expect(0);
    let mode = std::fs::metadata(place.path("escrow.age")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.run(["keys", "export", "--to", "escrow.age"]).failed(2, "escrow.age");
}

#[test]
fn a_repository_can_be_made_for_several_at_once() {
    let place = Place::empty();
    let escrow = age::x25519::Identity::generate();
    place.write("escrow", escrow.to_string().expose_secret());
    place.run(["repo", "init", "--recipient", &escrow.to_public().to_string()]).expect(0);
    ran(place.command(["points"]).env("HOLDFAST_IDENTITY_FILE", place.path("escrow"))).expect(0);
    place.run(["points"]).expect(0);
    let bad = Place::empty();
    bad.run(["repo", "init", "--recipient", "age1nonsense"]).failed(2, "age1nonsense");
    assert!(!bad.path("repo").exists(), "a usage error leaves nothing");
}
