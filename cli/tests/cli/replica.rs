//! Copies: `replicate`, `promote`, `gc --source`, `repo adopt`.

use serde_json::Value;

use super::place::{Place, noise, ran};

/// What the command says of the replica.
fn at_replica(place: &Place, code: i32, words: &[&str]) -> Value {
    let mut command = place.command(["-o", "json", "--repository", "replica"].iter().chain(words));
    let done = ran(&mut command);
    done.expect(code);
    serde_json::from_slice(&done.stdout).unwrap()
}

fn count(report: &Value, member: &str) -> usize {
    report[member].as_array().unwrap().len()
}

#[test]
fn a_replica_restores_keeps_more_and_becomes_the_repository_when_the_first_is_lost() {
    let place = Place::new();
    place.write("source/file", noise(1, 300_000));
    let first = place.backup("v", "source");
    place.write("source/file", noise(2, 300_000));
    let second = place.backup("v", "source");

    let planned = place.json(&["replicate", "--to", "replica", "--dry-run"]);
    assert!(!place.path("replica").exists(), "a dry run makes no folder");
    let report = place.json(&["replicate", "--to", "replica"]);
    assert_eq!(report["replicated"], Value::from(vec![first.clone(), second.clone()]));
    for member in ["packs", "bytes"] {
        assert_eq!(planned["statistics"][member], report["statistics"][member], "{member}");
    }
    let again = place.json(&["replicate", "--to", "replica"]);
    assert_eq!((count(&again, "replicated"), &again["present"]), (0, &Value::from(2)));

    place.run(["replicate", "--to", "repo"]).failed(2, "is no replica");
    place.run(["--repository", "replica", "backup", "source"]).failed(2, "holdfast promote");
    place.run(["--repository", "replica", "gc"]).failed(2, "--source URL");
    place.run(["gc", "--source", "replica"]).failed(2, "is no replica");
    place.run(["promote"]).failed(2, "is no replica");

    place.run(["forget", &first]).expect(0);
    place.json(&["gc", "--grace", "0"]);
    at_replica(&place, 0, &["gc", "--source", "repo", "--grace", "0"]);
    place.run(["--repository", "replica", "restore", &first, "--to", "old"]).expect(0);
    assert_eq!(
        std::fs::read(place.path("old/file")).unwrap(),
        noise(1, 300_000),
        "the replica keeps what was forgotten"
    );
    place.run(["--repository", "replica", "forget", &first]).expect(0);
    let gone = at_replica(&place, 0, &["gc", "--source", "repo", "--grace", "0"]);
    assert_eq!(gone["points_removed"][0]["point"], Value::from(first));

    std::fs::remove_dir_all(place.path("repo")).unwrap();
    assert_eq!(at_replica(&place, 0, &["promote"])["promoted"], Value::from(true));
    assert_eq!(at_replica(&place, 0, &["promote"])["promoted"], Value::from(false));
    at_replica(&place, 0, &["backup", "--volume", "v", "source"]);
    at_replica(&place, 0, &["gc"]);
    at_replica(&place, 0, &["check", "--read-data"]);
    place.run(["--repository", "replica", "restore", &second, "--to", "new"]).expect(0);
    assert_eq!(std::fs::read(place.path("new/file")).unwrap(), noise(2, 300_000));
}

#[test]
fn every_domain_is_replicated_unless_one_is_named() {
    let place = Place::new();
    place.write("source/file", noise(1, 300_000));
    let first = place.backup("v", "source");
    place.write("other/file", noise(2, 300_000));
    let second = place.json(&["--domain", "team", "backup", "--volume", "v", "other"])["point"].clone();

    let one = place.json(&["--domain", "team", "replicate", "--to", "one"]);
    assert_eq!((&one["replicated"], count(&one, "domains")), (&Value::from(vec![second.clone()]), 1));
    let planned = place.json(&["replicate", "--to", "replica", "--dry-run"]);
    let all = place.json(&["replicate", "--to", "replica"]);
    assert_eq!(all["replicated"], Value::from(vec![Value::from(first.clone()), second.clone()]));
    let mut names: Vec<&str> =
        all["domains"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["default", "team"]);
    let counts = |report: &Value, member: &str| report["statistics"][member].as_u64().unwrap();
    for member in ["packs", "bytes"] {
        assert_eq!(counts(&planned, member), counts(&all, member), "{member}");
    }
    assert!(counts(&all, "packs") > counts(&one, "packs"));
    assert_eq!(counts(&all, "keys"), 3, "one of the repository and one of each domain");
    let second = second.as_str().unwrap();
    for (domain, point, seed) in [("default", &*first, 1), ("team", second, 2)] {
        let to = format!("restored-{domain}");
        at_replica(&place, 0, &["--domain", domain, "restore", point, "--to", &to]);
        assert_eq!(std::fs::read(place.path(to).join("file")).unwrap(), noise(seed, 300_000), "{domain}");
    }
    let again = place.json(&["replicate", "--to", "replica"]);
    assert_eq!((count(&again, "replicated"), &again["present"]), (0, &Value::from(2)));
}

#[test]
fn a_domain_that_cannot_be_opened_is_named_and_holds_up_nobody() {
    let place = Place::new();
    place.write("source/file", noise(1, 300_000));
    let first = place.backup("v", "source");
    let before = place.files("repo");
    place.run(["--domain", "team", "backup", "source"]).expect(0);
    let keys = place.files("repo").into_iter().filter(|file| !before.contains(file));
    let keys: Vec<_> = keys.filter(|file| file.extension().is_some_and(|end| end == "key")).collect();
    assert_eq!(keys.len(), 1);
    let mut bytes = std::fs::read(&keys[0]).unwrap();
    bytes[150] ^= 1;
    std::fs::write(&keys[0], bytes).unwrap();
    for words in [&["replicate", "--to", "replica", "--dry-run"][..], &["replicate", "--to", "replica"]] {
        let report = place.json_with(3, words);
        assert_eq!(report["replicated"], Value::from(vec![first.clone()]));
        let problems: Vec<&str> =
            report["domains"].as_array().unwrap().iter().filter_map(|row| row["problem"].as_str()).collect();
        assert!(problems.len() == 1 && problems[0].contains("keys"), "{report}");
    }
    let said = place.run(["replicate", "--to", "replica"]);
    said.expect(3);
    assert!(said.text().contains("nothing of domain "), "{}", said.text());
    assert!(!place.files("replica").iter().any(|file| file.file_name() == keys[0].file_name()));
    place.json(&["--domain", "default", "replicate", "--to", "replica"]);
}

#[test]
fn damage_is_named_with_its_place_and_the_rest_is_replicated() {
    let place = Place::new();
    for (volume, seed) in [("a", 1), ("b", 2)] {
        place.write(format!("{volume}/file"), noise(seed, 300_000));
    }
    let ids = ["a", "b"].map(|volume| place.backup(volume, volume));
    let of_first = |file: &std::path::PathBuf| file.to_string_lossy().contains(&format!("/{}/", ids[0]));
    let pack = place.files("repo").into_iter().find(of_first).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let report = place.json_with(8, &["replicate", "--to", "replica"]);
    assert_eq!(report["replicated"], Value::from(vec![ids[1].clone()]));
    assert_eq!(report["not_replicated"][0]["why"], Value::from("damaged"));
    assert_eq!(report["damaged"][0]["at"], Value::from("source"));
    at_replica(&place, 0, &["check", "--read-data"]);
    let only = place.json(&["replicate", "--to", "other", "--volume", "b"]);
    assert_eq!((count(&only, "replicated"), count(&only, "damaged")), (1, 0));
}

#[test]
fn a_folder_that_was_copied_can_be_adopted() {
    let place = Place::new();
    for (volume, seed) in [("a", 1), ("b", 2)] {
        place.write(format!("{volume}/file"), noise(seed, 300_000));
    }
    let ids = ["a", "b"].map(|volume| place.backup(volume, volume));
    for file in place.files("repo") {
        let name = file.strip_prefix(place.path("repo")).unwrap();
        if !file.to_string_lossy().contains(&format!("/{}/", ids[0])) {
            place.write(place.path("replica").join(name), std::fs::read(&file).unwrap());
        }
    }
    let planned = at_replica(&place, 3, &["repo", "adopt", "--dry-run"]);
    assert_eq!((count(&planned, "incomplete"), &planned["complete"]), (1, &Value::from(1)));
    assert_eq!(at_replica(&place, 3, &["repo", "adopt"])["incomplete"][0]["point"], Value::from(ids[0].clone()));
    at_replica(&place, 0, &["repo", "adopt"]);
    at_replica(&place, 0, &["gc"]);
    at_replica(&place, 0, &["check", "--read-data"]);
    at_replica(&place, 0, &["backup", "--volume", "a", "a"]);
    place.run(["repo", "adopt"]).expect(0);
}
