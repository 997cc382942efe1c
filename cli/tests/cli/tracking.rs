//! What a backup reads, and what it says about it.

use std::fs;

use crate::place::Place;

fn backup(place: &Place, more: &[&str]) -> serde_json::Value {
    place.json(&[&["backup", "--volume", "home", "source"], more].concat())
}

#[test]
fn everything_is_read_when_asked_or_when_nobody_knows_where_the_volume_was() {
    let place = Place::new();
    fs::create_dir(place.path("source")).unwrap();
    fs::write(place.path("source/file"), vec![7; 100_000]).unwrap();
    let first = backup(&place, &[]);
    assert!(first["full_pass"].is_null(), "a first backup reads everything anyway");
    // Whether the file is settled by now depends on the filesystem of the test; after a full pass the reason shows in any case.
    for (more, why) in [
        (&["--read-all"][..], Some("asked for")),
        (&["--handover", "unknown"], Some("nobody knows whether the volume was unmounted")),
        (&["--handover", "unclean"], Some("newer than its stamp")),
        (&["--handover", "clean"], None),
        (&[], None),
    ] {
        let report = backup(&place, more);
        match why {
            Some(why) => {
                // Where stamps are never relied on, nothing can be doubted.
                let said = report["full_pass"].as_str();
                assert!(said.is_none_or(|said| said.contains(why)), "{more:?}: {said:?}");
                assert_eq!(report["statistics"]["bytes_read"], 100_000);
            }
            None => assert!(report["full_pass"].is_null(), "{more:?}: {report}"),
        }
        assert_eq!(report["statistics"]["bytes_new"], 0);
        assert_eq!(report["silent_changes"], 0);
    }
    let text = place.run(["backup", "--volume", "home", "--read-all", "source"]);
    text.expect(0);
    assert!(text.text().contains("everything was read: it was asked for"), "{}", text.text());
}

#[test]
fn how_the_volume_came_here_is_one_of_three() {
    let place = Place::new();
    fs::create_dir(place.path("source")).unwrap();
    place.run(["backup", "--handover", "perhaps", "source"]).expect(2);
    place.run(["backup", "--reread-days", "-1", "source"]).expect(2);
}
