//! Damage: found by `check` with what it affects, never restored, and code 8.

use std::path::PathBuf;

use serde_json::Value;

use crate::place::{Place, noise};

fn packs(place: &Place) -> Vec<PathBuf> {
    let files = place.files("repo");
    files.into_iter().filter(|file| file.components().any(|part| part.as_os_str() == "packs")).collect()
}

fn flip(file: &PathBuf, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::remove_file(file).unwrap();
    std::fs::write(file, bytes).unwrap();
}

fn with_two_files() -> Place {
    let place = Place::new();
    place.write("source/a", noise(11, 2_000_000));
    place.write("source/b", noise(12, 2_000_000));
    place.backup("v", "source");
    place
}

#[test]
fn an_undamaged_repository_is_ok() {
    let place = with_two_files();
    for words in [&["check"][..], &["check", "--read-data"]] {
        let report = place.json(words);
        assert_eq!(
            (&report["outcome"], &report["damaged"], &report["affected"]),
            (&"ok".into(), &Value::Array(vec![]), &Value::Array(vec![]))
        );
    }
}

#[test]
fn a_flipped_bit_is_found_and_the_file_it_hits_is_named_and_not_restored() {
    let place = with_two_files();
    let pack = packs(&place).into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    flip(&pack, 100_000);
    let report = place.json_with(8, &["check", "--read-data"]);
    assert_eq!(report["outcome"], "damaged");
    let damaged = report["damaged"].as_array().unwrap();
    assert!(
        damaged.iter().all(|one| one["object"].as_str().unwrap().contains("/packs/") && one["what"].is_string()),
        "{report}"
    );
    assert!(!damaged.is_empty());
    let affected = &report["affected"][0];
    assert_eq!(affected["volume"], "v");
    assert_eq!(affected["point"], place.json(&["points"])[0]["point"]);
    assert_eq!(affected["paths"], serde_json::json!(["a"]));
    let restored = place.run(["restore", "latest", "--to", "out"]);
    restored.expect(8);
    assert!(restored.stdout.is_empty());
    let a = place.path("out/a");
    assert!(!a.exists(), "a damaged file was put under its name");
    place.run(["cat", "latest", "a"]).expect(8);
    place.run(["restore", "latest:b", "--to", "b"]).expect(0);
    assert_eq!(std::fs::read(place.path("b")).unwrap(), std::fs::read(place.path("source/b")).unwrap());
    let salvaged = place.json_with(3, &["restore", "latest", "--to", "salvaged", "--skip-damaged"]);
    assert_eq!(salvaged["outcome"], "partial");
    assert!(salvaged["failed"].as_array().unwrap().iter().any(|one| one["path"] == "a"), "{salvaged}");
}

#[test]
fn a_lost_pack_is_found_without_reading_data() {
    let place = with_two_files();
    let pack = packs(&place).into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    std::fs::remove_file(pack).unwrap();
    let report = place.json_with(8, &["check"]);
    assert_eq!(report["outcome"], "damaged");
    assert!(!report["affected"].as_array().unwrap().is_empty(), "{report}");
}

#[test]
fn a_damaged_point_is_told_and_hides_no_other() {
    let place = Place::new();
    place.write("source/file", b"1");
    let first = place.backup("v", "source");
    let second = place.backup("v", "source");
    let point = place
        .files("repo")
        .into_iter()
        .find(|file| file.to_str().unwrap().ends_with(&format!("{second}.point")))
        .unwrap();
    flip(&point, 200);
    let points = place.json_with(8, &["points"]);
    assert_eq!(points.as_array().unwrap().len(), 1);
    assert_eq!(points[0]["point"], *first);
    place.json_with(8, &["check"]);
    place.run(["ls", &second]).failed(8, &second);
}

#[test]
fn damage_is_quarantined_on_request_and_released_when_it_is_mended() {
    let place = with_two_files();
    let pack = packs(&place).into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    let name = pack.strip_prefix(place.path("repo")).unwrap().to_str().unwrap().to_owned();
    flip(&pack, 100_000);
    assert_eq!(place.json(&["check", "--level", "objects"])["outcome"], "ok");
    let found = place.json_with(8, &["check", "--level", "data"]);
    assert_eq!(found["quarantined"], serde_json::json!([]), "nobody asked for it");
    let found = place.json_with(8, &["check", "--read-data", "--quarantine"]);
    assert_eq!(found["quarantined"], serde_json::json!([name]));
    // Without reading other data: it is known where to look.
    let found = place.json_with(8, &["check"]);
    assert_eq!(
        (&found["damaged"][0]["object"], &found["affected"][0]["paths"]),
        (&name.clone().into(), &serde_json::json!(["a"]))
    );
    flip(&pack, 100_000);
    let found = place.json(&["check", "--quarantine"]);
    assert_eq!((&found["released"], &found["quarantined"]), (&serde_json::json!([name]), &serde_json::json!([])));
    let text = place.run(["check"]);
    text.expect(0);
    assert!(!text.text().contains("quarantine"), "{}", text.text());
}

#[test]
fn a_name_that_somebody_has_planted_is_shown_and_is_no_damage() {
    let place = with_two_files();
    let points =
        place.files("repo").into_iter().find(|file| file.extension().is_some_and(|end| end == "point")).unwrap();
    std::fs::write(points.with_extension("Point"), b"").unwrap();
    let found = place.json(&["check"]);
    assert_eq!((&found["outcome"], &found["ignored_count"]), (&"ok".into(), &1.into()));
    assert!(found["ignored"][0]["object"].as_str().unwrap().ends_with(".Point"), "{found}");
    assert!(place.run(["check"]).text().contains(".Point"));
    place.run(["check", "--level", "objects", "--read-data"]).expect(2);
}

#[test]
fn a_scrub_goes_on_where_the_last_one_ended() {
    let place = with_two_files();
    place.write("source/c", noise(13, 3_000_000));
    place.backup("v", "source");
    let packs = packs(&place).len() as u64;
    assert!(packs > 1);
    for done in 1..=packs {
        let report = place.json(&["scrub", "--bytes", "1"]);
        assert_eq!((&report["outcome"], &report["statistics"]["packs"]), (&"ok".into(), &1.into()));
        assert_eq!((&report["round"]["packs_done"], &report["round"]["packs"]), (&done.into(), &packs.into()));
    }
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    assert_eq!(place.json(&["scrub", "--bytes", "1"])["round"]["packs_done"], 1, "a lost place costs a new beginning");
}

#[test]
fn a_scrub_finds_quarantines_and_releases() {
    let place = with_two_files();
    let pack = packs(&place).into_iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    flip(&pack, 100_000);
    let report = place.json_with(8, &["scrub", "--bytes", "1G"]);
    assert_eq!(report["damaged"].as_array().unwrap().len(), 1);
    let check = place.json_with(8, &["check"]);
    assert_eq!(check["quarantined"].as_array().unwrap().len(), 1);
    flip(&pack, 100_000);
    let report = place.json(&["scrub", "--bytes", "1G"]);
    assert_eq!(report["repaired"].as_array().unwrap().len(), 1);
    assert!(place.run(["scrub", "--bytes", "1G"]).text().contains("ok: "));
    place.run(["scrub"]).expect(2);
}
