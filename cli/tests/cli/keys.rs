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

#[test]
fn a_new_secret_takes_the_place_of_the_old_one_and_no_data_is_touched() {
    let place = Place::new();
    place.write("source/file", b"precious");
    place.backup("v", "source");
    let new = age::x25519::Identity::generate();
    place.write("new", new.to_string().expose_secret());
    let data = |place: &Place| {
        let files = place.files("repo/d").into_iter().chain([place.path("repo/repository.json")]);
        files.map(|file| (std::fs::metadata(&file).unwrap().modified().unwrap(), file)).collect::<Vec<_>>()
    };
    let before = data(&place);
    place.run(["keys", "rotate"]).failed(2, "--new-passphrase-file");
    place.run(["keys", "rotate", "--new-identity-file", "identity"]).failed(2, "no key would be replaced");
    let rotated = place.json(&["keys", "rotate", "--new-identity-file", "new", "--label", "the new one"]);
    assert_eq!(rotated["added"].as_array().unwrap().len(), 1);
    assert_eq!(rotated["removed"].as_array().unwrap().len(), 1);
    place.run(["points"]).failed(5, "wrong passphrase or identity");
    let with_new = |words: &[&str]| ran(place.command(words).env("HOLDFAST_IDENTITY_FILE", place.path("new")));
    assert_eq!(with_new(&["cat", "latest", "file"]).text(), "precious");
    assert_eq!(data(&place), before);
    place.write("phrase", "correct horse\n");
    with_new(&["keys", "rotate", "--new-passphrase-file", "phrase"]).expect(0);
    with_new(&["points"]).failed(5, "wrong passphrase or identity");
    ran(place.command(["points", "--passphrase-file", "phrase"]).env_remove("HOLDFAST_IDENTITY_FILE")).expect(0);
}

#[test]
fn an_export_is_verified_without_writing_and_is_5_when_it_does_not_open_everything() {
    let place = Place::new();
    place.write("source/file", b"precious");
    let point = place.backup("v", "source");
    place.run(["--domain", "empty", "backup", "source"]).expect(0);
    let escrow = age::x25519::Identity::generate();
    place.write("escrow", escrow.to_string().expose_secret());
    place
        .run(["keys", "export", "--recipient", &escrow.to_public().to_string(), "--label", "safe", "--to", "out.age"])
        .expect(0);
    let with_escrow = |words: &[&str]| ran(place.command(words).env("HOLDFAST_IDENTITY_FILE", place.path("escrow")));
    let before = place.files("repo");
    let verified = with_escrow(&["-o", "json", "keys", "verify", "out.age"]);
    verified.expect(0);
    let json: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(json["label"], "safe");
    let domains = json["domains"].as_array().unwrap();
    assert_eq!(domains.len(), 2);
    let default = domains.iter().find(|domain| domain["name"] == "default").unwrap();
    assert_eq!((&default["point"], &default["content"]), (&point.clone().into(), &true.into()));
    assert_eq!(place.files("repo"), before);
    // Another secret, another file, another repository.
    place.run(["keys", "verify", "out.age"]).failed(5, "wrong passphrase or identity");
    place.write("garbage.age", b"garbage");
    with_escrow(&["keys", "verify", "garbage.age"]).failed(5, "not an age file");
    let other = Place::new();
    other.run(["keys", "export", "--recipient", &escrow.to_public().to_string(), "--to", "out.age"]).expect(0);
    place.write("other.age", std::fs::read(other.path("out.age")).unwrap());
    with_escrow(&["keys", "verify", "other.age"]).failed(5, "not the key of this repository");
    // A set of domain keys that does not open any more.
    let mut sets = place.files("repo/d").into_iter().filter(|file| file.extension().is_some_and(|end| end == "key"));
    let set = sets.next_back().unwrap();
    let mut bytes = std::fs::read(&set).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&set, bytes).unwrap();
    with_escrow(&["keys", "verify", "out.age"]).failed(5, "but not all of it");
}

/// The files of one repository below a folder, put over those of another.
fn exchange(from: &Place, to: &Place, below: &str) {
    for file in from.files(below) {
        let relative = file.strip_prefix(from.path("")).unwrap();
        to.write(relative, std::fs::read(&file).unwrap());
    }
}

/// Two repositories that the same identity opens, each with a point; the first is remembered by its client.
fn twins() -> (Place, Place) {
    let (one, two) = (Place::new(), Place::empty());
    two.write("identity", std::fs::read(one.path("identity")).unwrap());
    two.run(["repo", "init"]).expect(0);
    for (place, content) in [(&one, "mine"), (&two, "theirs")] {
        place.write("source/file", content);
        place.backup("v", "source");
    }
    (one, two)
}

#[test]
fn whatever_of_a_repository_is_replaced_by_anothers_is_refused_by_a_client_that_remembers_it() {
    // The manifest; the manifest and all keys; all of it.
    for below in [&["repo/repository.json"][..], &["repo/repository.json", "repo/keys"], &["repo"]] {
        let (one, two) = twins();
        below.iter().for_each(|below| exchange(&two, &one, below));
        one.run(["points"]).failed(5, "not the repository that is remembered");
        one.run(["backup", "--volume", "v", "source"]).failed(5, "not the repository that is remembered");
    }
    // The key files alone: they open, to another key.
    let (one, two) = twins();
    one.files("repo/keys").iter().for_each(|file| std::fs::remove_file(file).unwrap());
    exchange(&two, &one, "repo/keys");
    one.run(["points"]).failed(5, "not the key of this repository");
    // The key objects of the domain: whatever is sealed with them is not taken for this repository's.
    let (one, two) = twins();
    let domain = |place: &Place| {
        let mut sets =
            place.files("repo/d").into_iter().filter(|file| file.extension().is_some_and(|end| end == "key"));
        sets.next_back().unwrap()
    };
    std::fs::write(domain(&one), std::fs::read(domain(&two)).unwrap()).unwrap();
    one.run(["cat", "latest", "file"]).expect(8);
    let backup = one.run(["backup", "--volume", "v", "source"]);
    backup.expect(8);
    assert!(backup.stderr.contains("newest keys"), "{}", backup.stderr);
}

#[test]
fn a_manifest_with_another_upkeep_key_is_refused() {
    let (one, two) = twins();
    let read = |place: &Place| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(place.path("repo/repository.json")).unwrap()).unwrap()
    };
    for members in [&["upkeep_public"][..], &["upkeep_private"], &["upkeep_public", "upkeep_private"]] {
        let real = read(&one);
        let mut manifest = real.clone();
        members.iter().for_each(|member| manifest[*member] = read(&two)[*member].clone());
        one.write("repo/repository.json", serde_json::to_vec(&manifest).unwrap());
        match members {
            // The public half is part of the id; the private half alone harms nobody but upkeep.
            ["upkeep_private"] => one.run(["gc"]).failed(8, "upkeep_private"),
            _ => one.run(["points"]).failed(5, "not the key of this repository"),
        }
        one.write("repo/repository.json", serde_json::to_vec(&real).unwrap());
    }
    one.run(["points"]).expect(0);
}

#[test]
fn keys_of_a_domain_are_rotated_and_retired_and_a_domain_is_destroyed_only_by_its_name() {
    let place = Place::new();
    place.write("source/file", b"precious");
    place.backup("v", "source");
    assert_eq!(place.json(&["domain", "rotate-keys"])["epoch"], 2);
    let sets = place.json(&["domain", "retire-keys"]);
    assert_eq!((&sets[0]["newest"], &sets[1]["destroyed"]), (&true.into(), &false.into()), "{sets}");
    assert!(sets[1]["objects"].as_u64().unwrap() >= 3, "{sets}");
    place.write("source/file", b"more precious");
    place.backup("v", "source");
    assert_eq!(place.run(["cat", "latest", "file"]).text(), "more precious");
    // Keys that nobody ever used go at once.
    place.json(&["domain", "rotate-keys"]);
    let listed = place.json(&["domain", "list"]);
    assert_eq!(listed[0]["name"], "default");
    place.run(["domain", "destroy", "default"]).failed(2, "--confirm");
    place.run(["domain", "destroy", "default", "--confirm", "defualt"]).failed(2, "--confirm");
    place.run(["points"]).expect(0);
    let destroyed = place.json(&["domain", "destroy", "default", "--confirm", "default"]);
    assert_eq!(destroyed["keys"], 3);
    assert!(place.files("repo/d").is_empty());
    place.run(["points"]).failed(6, "no domain");
    place.run(["domain", "destroy", "default", "--confirm", "default"]).failed(6, "no domain");
}
