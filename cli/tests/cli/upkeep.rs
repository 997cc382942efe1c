//! Restore points go and come back: `forget`, `undelete`, `gc`.

use serde_json::Value;

use super::place::{Place, noise};

fn stored_bytes(place: &Place) -> u64 {
    place.files("repo").iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

fn points(place: &Place) -> Vec<String> {
    let listed = place.json(&["points"]);
    listed.as_array().unwrap().iter().map(|point| point["point"].as_str().unwrap().to_owned()).collect()
}

fn named(report: &Value, member: &str) -> Vec<String> {
    report[member].as_array().unwrap().iter().map(|row| row["point"].as_str().unwrap().to_owned()).collect()
}

/// Three volumes of a file each that have nothing in common.
fn three_volumes() -> (Place, Vec<String>) {
    let place = Place::new();
    let points = ["a", "b", "c"].into_iter().zip(1..).map(|(volume, seed)| {
        place.write(format!("{volume}/file"), noise(seed, 300_000));
        place.backup(volume, volume)
    });
    let points = points.collect();
    (place, points)
}

#[test]
fn what_is_forgotten_can_be_taken_back_until_gc_has_removed_it() {
    let (place, ids) = three_volumes();
    let before = stored_bytes(&place);
    let forgotten = place.json(&["forget", &ids[0], &ids[1][..30]]);
    assert_eq!(named(&forgotten, "forgotten"), ids[..2]);
    assert_eq!(points(&place), ids[2..]);
    let kept = place.json(&["gc"]);
    assert_eq!((&kept["packs_count"], &kept["deleted"]["packs"]), (&Value::from(0), &Value::from(0)), "{kept}");
    let back = place.json(&["undelete", &ids[0]]);
    let back = back["point"].as_str().unwrap();
    assert_eq!(points(&place), [back, &ids[2]]);
    let planned = place.json(&["gc", "--grace", "0", "--dry-run"]);
    assert_eq!(points(&place).len(), 2);
    let collected = place.json(&["gc", "--grace", "0"]);
    for member in ["packs", "packs_bytes", "points_removed", "sessions_ended"] {
        assert_eq!(planned[member], collected[member], "{member}");
    }
    assert_eq!(collected["points_removed"].as_array().unwrap().len(), 2);
    assert_eq!(collected["deleted"]["bytes"], planned["packs_bytes"]);
    assert!(stored_bytes(&place) < before - 250_000, "{before} bytes became {}", stored_bytes(&place));
    place.run(["restore", back, "--to", "restored"]).expect(0);
    assert_eq!(std::fs::read(place.path("restored/file")).unwrap(), noise(1, 300_000));
    place.run(["check", "--read-data"]).expect(0);
    place.run(["undelete", &ids[1]]).failed(6, &ids[1]);
    place.run(["undelete", &ids[2]]).failed(2, "is not hidden");
}

#[test]
fn a_policy_keeps_the_newest_and_says_why() {
    let place = Place::new();
    let mut ids = Vec::new();
    for seed in 1..=4 {
        place.write("source/file", noise(seed, 1_000));
        ids.push(place.backup("v", "source"));
    }
    place.backup("other", "source");
    let planned = place.json(&["forget", "--volume", "v", "--keep-last", "2", "--dry-run"]);
    assert_eq!(named(&planned, "forgotten"), ids[..2]);
    assert_eq!(named(&planned, "kept"), ids[2..]);
    assert!(planned["kept"][1]["reasons"].to_string().contains("last 1"), "{planned}");
    assert_eq!(points(&place).len(), 5, "a dry run forgets nothing");
    assert_eq!(place.json(&["forget", "--volume", "v", "--keep-last", "2"])["forgotten"], planned["forgotten"]);
    assert_eq!(points(&place)[..2], ids[2..]);
    let text = place.run(["forget", "--keep-daily", "1"]);
    text.expect(0);
    assert!(text.text().contains("2 kept, 1 forgotten"), "each volume keeps its newest of today: {}", text.text());
    place.run(["forget"]).failed(2, "nothing says what stays");
    place.run(["forget", "--keep-last", "0"]).failed(2, "nothing says what stays");
    assert_eq!(place.run(["forget", "--keep-last", "many"]).code, 2);
    assert_eq!(place.run(["forget", &ids[2], "--keep-last", "1"]).code, 2, "names and a policy at once");
}

#[test]
fn a_pack_that_is_missing_stops_gc() {
    let (place, ids) = three_volumes();
    place.run(["forget", &ids[0]]).expect(0);
    let pack = place.files("repo").into_iter().find(|file| file.to_string_lossy().contains(&format!("/{}/", ids[1])));
    std::fs::remove_file(pack.unwrap()).unwrap();
    let before = place.files("repo");
    place.run(["gc", "--grace", "0"]).failed(8, "nothing was deleted");
    let gone = |file: &std::path::PathBuf| file.to_string_lossy().contains("/packs/") && !file.exists();
    assert!(!before.iter().any(gone));
}
