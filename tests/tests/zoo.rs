//! The zoo: one small repository of every kind of damage, and exactly what `check` says of it; and the golden repository, which every later version must read.
//!
//! In: `tests/golden/v1` and the reports in `tests/zoo`. Out: what differs from them. Never: changes them, unless `HOLDFAST_REGENERATE` says so (tests/golden/README.md).

#[path = "zoo/damages.rs"]
mod damages;
#[path = "zoo/golden.rs"]
mod golden;
#[path = "zoo/manifest.rs"]
mod manifest;
#[path = "zoo/report.rs"]
mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use damages::{CASES, Case};
use golden::{Golden, Regenerate};
use repository::read::{CheckLevel, CheckOptions, CheckOutcome};
use repository::upkeep::{Keeper, KeysToRepair, RepairOptions, repair, repair_keys};
use serde_json::Value;

fn zoo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("zoo")
}

/// Compares a value with a file, or writes the file.
fn compare(file: &std::path::Path, found: &Value, regenerate: bool) {
    let text = format!("{}\n", serde_json::to_string_pretty(found).expect("a value is JSON"));
    if regenerate {
        std::fs::write(file, text).expect("the expectation is written");
        return;
    }
    let expected = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{}: {error}; see tests/golden/README.md", file.display()));
    let shown = file.file_stem().unwrap_or_default().to_string_lossy();
    assert!(expected == text, "{shown} is not as expected.\nexpected: {expected}\nfound: {text}");
}

#[test]
fn every_point_of_the_golden_repository_is_what_it_was() {
    let golden = Golden::get();
    let found = manifest::of(golden);
    compare(&Golden::folder().join("expected.json"), &found, Regenerate::asked() == Some(Regenerate::Golden));
    assert!(golden.bytes() < 300 << 10, "{} bytes are too many to keep", golden.bytes());
    let points = found.as_array().expect("a list").len();
    assert!(points >= 5, "{points} points do not show an increment, a checkpoint, a hidden point and a second volume");
}

#[test]
fn every_damage_is_reported_as_it_always_was() {
    let golden = Golden::get();
    for Case { name, damage } in CASES {
        let mut objects = golden.objects().clone();
        damage(golden, &mut objects);
        assert!(*name == "sound" || objects != *golden.objects(), "{name} damages nothing");
        let found = report::of(golden, objects);
        compare(&zoo().join(format!("{name}.json")), &found, Regenerate::asked().is_some());
    }
}

/// What another copy cannot give back: nonsense that somebody announced, and a key that may have been destroyed on purpose.
const NOT_REPAIRABLE: [&str; 2] = ["point-bogus-announced", "domain-key-destroyed"];

#[test]
fn an_undamaged_copy_repairs_whatever_opens() {
    let golden = Golden::get();
    let other = golden.store(golden.objects());
    for Case { name, damage } in CASES {
        let mut objects = golden.objects().clone();
        damage(golden, &mut objects);
        let store = golden.store(&objects);
        let Ok((opened, _)) = golden.domain(&store) else { continue };
        let keys = repair_keys(&opened, "default", (&store, &other), KeysToRepair::default()).expect("keys");
        assert_eq!(keys.1, [], "{name}");
        let (opened, domain) = golden.domain(&store).expect("a domain");
        let keeper = Keeper::new(domain, Arc::new(opened.upkeep().expect("the upkeep key"))).expect("a keeper");
        let check = CheckOptions { level: CheckLevel::Data, workers: 1, ..CheckOptions::default() };
        let options = RepairOptions { check, dry_run: false, writer: "test".into() };
        let report = repair(&keeper, &other, &options).expect("a repair");
        let good = report.left.outcome == CheckOutcome::Ok;
        assert_eq!(good, !NOT_REPAIRABLE.contains(name), "{name}: {report:?}");
        if good {
            let kept = |name: &&String| ["/packs/", "/points/", ".open"].iter().any(|part| name.contains(part));
            let collected = *name == "point-being-collected";
            for object in golden.objects().keys().filter(kept).filter(|_| !collected) {
                assert!(store.get(object).expect("an object") == golden.objects()[object], "{name}: {object}");
            }
        }
    }
}

#[test]
fn every_report_in_the_zoo_belongs_to_a_damage() {
    if Regenerate::asked().is_some() {
        return;
    }
    let files = std::fs::read_dir(zoo()).expect("the zoo");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("an entry").path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.name.to_owned()).collect();
    assert_eq!(files, cases);
}
