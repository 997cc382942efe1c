//! The main job: back up, change, back up again for the price of the change, destroy, restore, compare.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::place::{Place, noise, ran};
use crate::tree;

#[test]
fn a_tree_is_backed_up_changed_destroyed_and_restored_identical() {
    let place = Place::new();
    let source = place.path("source");
    tree::fill(&source);
    let first = place.json(&["backup", "--volume", "home", "source"]);
    assert_eq!((&first["outcome"], &first["volume"]), (&"complete".into(), &"home".into()));
    assert!(first["parent"].is_null());
    assert_eq!(first["not_captured"], serde_json::json!([]));
    place.run(["restore", "latest", "--to", "as it was"]).expect(0);
    tree::assert_same(&source, &place.path("as it was"));

    let large = fs::File::options().write(true).open(source.join("large")).unwrap();
    large.write_all_at(&noise(9, 8192), 1_000_000).unwrap();
    fs::write(source.join("new"), b"new").unwrap();
    fs::remove_dir(source.join("empty")).unwrap();
    fs::rename(source.join("small"), source.join("renamed")).unwrap();
    let second = place.json(&["backup", "--volume", "home", "source"]);
    assert_eq!(second["parent"], first["point"]);
    let statistics = &second["statistics"];
    for counter in [
        "entries",
        "bytes_scanned",
        "bytes_read",
        "bytes_changed",
        "bytes_new",
        "bytes_moved",
        "bytes_stored",
        "bytes_stored_metadata",
    ] {
        assert!(statistics[counter].is_u64(), "{counter}: {statistics}");
    }
    for request in ["put", "get", "list", "delete"] {
        assert!(statistics["requests"][request].is_u64(), "{request}: {statistics}");
    }
    assert!(statistics["seconds"].as_f64().unwrap() > 0.0);
    let stored = statistics["bytes_stored"].as_u64().unwrap();
    assert!(stored < 100_000, "an increment of 16 KiB stored {stored} bytes");

    let truth = place.path("truth");
    place.run(["restore", "latest", "--to", "truth"]).expect(0);
    tree::assert_same(&source, &truth);
    fs::remove_dir_all(&source).unwrap();
    place.run(["restore", "latest", "--to", "source"]).expect(0);
    tree::assert_same(&truth, &source);
    place.run(["restore", first["point"].as_str().unwrap(), "--to", "older"]).expect(0);
    tree::assert_same(&place.path("as it was"), &place.path("older"));
    place.run(["check", "--read-data"]).expect(0);
}

#[test]
fn an_unchanged_tree_costs_next_to_nothing() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    // What is younger than two seconds may still be changing and is read again.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for file in place.files("source") {
        if file.symlink_metadata().unwrap().is_file() {
            fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
        }
    }
    place.backup("v", "source");
    let again = place.json(&["backup", "--volume", "v", "source"]);
    let statistics = &again["statistics"];
    assert_eq!((&statistics["bytes_changed"], &statistics["bytes_new"]), (&0.into(), &0.into()));
    assert!(statistics["bytes_stored"].as_u64().unwrap() < 4096, "{statistics}");
}

#[test]
fn a_dry_run_tells_the_price_and_stores_nothing() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    // A domain that nobody has used yet is not made either.
    for domain in [&[][..], &["--domain", "other"]] {
        let before = tree::describe(&place.path("repo"));
        let dry = [&["backup", "--volume", "home", "--dry-run", "source"], domain].concat();
        let would = place.json(&dry);
        assert!(would["point"].is_null() && would["dry_run"] == true, "{would}");
        assert_eq!(before, tree::describe(&place.path("repo")));
        let did = place.json(&[&["backup", "--volume", "home", "source"], domain].concat());
        assert_eq!(would["statistics"]["bytes_new"], did["statistics"]["bytes_new"]);
    }
    let text = place.run(["backup", "--volume", "home", "--dry-run", "source"]).text();
    assert!(text.contains("nothing was stored") && text.contains("an increment"), "{text}");
}

#[test]
fn a_clone_costs_what_differs_if_it_is_told_what_it_is_like() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("original", "source");
    let clone = ["backup", "--volume", "clone", "source"];
    let misnamed = place.run([&clone[..], &["--like", "orginal"]].concat());
    misnamed.failed(6, "holdfast points");
    let like = place.json(&[&clone[..], &["--like", "original"]].concat());
    assert!(like["parent"].is_null(), "it is the first of its volume");
    assert_eq!((&like["statistics"]["bytes_changed"], &like["statistics"]["bytes_new"]), (&0.into(), &0.into()));
    assert_ne!(like["statistics"]["bytes_read"], 0, "nothing is trusted");
    place.run(["restore", "latest", "--volume", "clone", "--to", "restored"]).expect(0);
    tree::assert_same(&place.path("source"), &place.path("restored"));
}

#[test]
fn a_volume_without_a_name_is_called_by_its_absolute_path() {
    let place = Place::new();
    place.write("source/file", b"1");
    for word in ["source", "./source/", "source/../source"] {
        assert_eq!(
            place.json(&["backup", word])["volume"],
            place.path("source").canonicalize().unwrap().to_str().unwrap()
        );
    }
    assert_eq!(place.json(&["points"]).as_array().unwrap().len(), 3);
}

#[test]
fn volumes_and_domains_are_told_apart() {
    let place = Place::new();
    place.write("a/file", b"a");
    place.write("b/file", b"b");
    let (a, b) = (place.backup("a", "a"), place.backup("b", "b"));
    let of = |words: &[&str]| -> Vec<String> {
        let points = place.json(words);
        points.as_array().unwrap().iter().map(|point| point["point"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&["points"]), [a.clone(), b.clone()]);
    assert_eq!(of(&["points", "--volume", "a"]), [a]);
    assert_eq!(of(&["points", "--volume", "nobody"]), Vec::<String>::new());
    assert_eq!(place.run(["cat", "latest", "file"]).text(), "b");
    assert_eq!(place.run(["cat", "latest", "file", "--volume", "a"]).text(), "a");
    let other = place.json(&["--domain", "other", "backup", "--volume", "a", "b"]);
    assert!(other["parent"].is_null(), "a volume of another domain is another volume");
    assert_eq!(of(&["points", "--domain", "other"]).len(), 1);
    place.run(["points", "--domain", "nobody"]).failed(6, "nobody");
    let info = place.json(&["repo", "info"]);
    assert_eq!((&info["points"], &info["volumes"]), (&3.into(), &3.into()));
    assert_eq!(info["domains"].as_array().unwrap().len(), 2);
}

#[test]
fn a_point_is_named_by_an_unambiguous_beginning() {
    let place = Place::new();
    place.write("source/file", b"1");
    let first = place.backup("v", "source");
    let second = place.backup("v", "source");
    let differ = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    place.run(["ls", &first[..=differ]]).expect(0);
    place.run(["ls", &first[..4]]).failed(2, "restore points");
    place.run(["ls", "ffffffff"]).failed(6, "ffffffff");
    place.run(["ls", "newest"]).failed(2, "newest");
}

#[test]
fn many_directories_with_one_small_file_each_need_few_open_files() {
    let place = Place::new();
    for number in 0..600 {
        place.write(format!("source/{}/{number}/file", number % 7), format!("{number}"));
    }
    for words in [&["backup", "--volume", "home", "source"][..], &["restore", "latest", "--to", "restored"]] {
        let command = place.command(words);
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -n 128 && exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        limited.current_dir(place.path("")).env_clear();
        limited.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        ran(&mut limited).expect(0);
    }
    tree::assert_same(&place.path("source"), &place.path("restored"));
}
