//! Targets: directories, files and devices; in place, dry, and what is refused.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::place::{Place, is_root, noise};
use crate::tree;

#[test]
fn what_exists_is_not_overwritten_unless_in_place() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("v", "source");
    place.write("out/small", b"mine");
    place.run(["restore", "latest", "--to", "out"]).failed(2, "--in-place");
    assert_eq!(fs::read(place.path("out/small")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 1, "nothing was written");
    place.run(["restore", "latest", "--to", "out", "--in-place"]).expect(0);
    tree::assert_same(&place.path("source"), &place.path("out"));
}

#[test]
fn in_place_fetches_only_what_differs_and_removes_what_is_too_much_on_request() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("v", "source");
    place.run(["restore", "latest", "--to", "out"]).expect(0);
    let large = fs::File::options().write(true).open(place.path("out/large")).unwrap();
    large.write_all_at(b"spoiled", 2_000_000).unwrap();
    fs::remove_file(place.path("out/pipe")).unwrap();
    place.write("out/extra/file", b"extra");
    let report = place.json(&["restore", "latest", "--to", "out", "--in-place"]);
    let written = report["statistics"]["bytes_restored"].as_u64().unwrap();
    assert!((1..100_000).contains(&written), "{report}");
    assert!(place.path("out/extra/file").exists());
    place.run(["restore", "latest", "--to", "out", "--in-place", "--remove-extra"]).expect(0);
    tree::assert_same(&place.path("source"), &place.path("out"));
}

#[test]
fn a_dry_run_changes_nothing() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("v", "source");
    let report = place.json(&["restore", "latest", "--to", "new/deep", "--dry-run"]);
    assert_eq!(report["dry_run"], true);
    assert!(report["statistics"]["bytes_restored"].as_u64().unwrap() > 3_000_000, "{report}");
    assert!(!place.path("new").exists());
    place.write("out/small", b"mine");
    place.write("out/extra", b"extra");
    let before = tree::describe(&place.path("out"));
    place.run(["restore", "latest", "--to", "out", "--in-place", "--remove-extra", "--dry-run"]).expect(0);
    assert_eq!(tree::describe(&place.path("out")), before);
}

#[test]
fn a_part_of_a_point_is_restored_alone() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("v", "source");
    place.run(["restore", "latest:deep/er", "--to", "part"]).expect(0);
    tree::assert_same(&place.path("source/deep/er"), &place.path("part"));
    place.run(["restore", "latest:/large", "--to", "renamed"]).expect(0);
    let content = fs::read(place.path("source/large")).unwrap();
    assert_eq!(fs::read(place.path("renamed")).unwrap(), content);
    fs::create_dir(place.path("folder")).unwrap();
    place.run(["restore", "latest:large", "--to", "folder"]).expect(0);
    assert_eq!(fs::read(place.path("folder/large")).unwrap(), content);
    place.run(["restore", "latest:large", "--to", "fresh/"]).expect(0);
    assert_eq!(fs::read(place.path("fresh/large")).unwrap(), content);
    place.run(["restore", "latest:deep/link", "--to", "folder"]).expect(0);
    assert_eq!(fs::read_link(place.path("folder/link")).unwrap(), Path::new("../small"));
    place.run(["restore", "latest:nowhere", "--to", "x"]).failed(6, "nowhere");
    place.run(["restore", "latest", "--to", "renamed"]).failed(2, "single file");
    assert!(!place.path("x").exists());
}

#[test]
fn the_repository_itself_is_no_target() {
    let place = Place::new();
    place.write("source/file", b"1");
    place.backup("v", "source");
    fs::create_dir(place.path("repo/inside")).unwrap();
    for to in ["repo", "repo/inside"] {
        place.run(["restore", "latest", "--to", to]).failed(2, "repository itself");
    }
}

#[test]
fn a_file_as_a_volume_comes_back_as_a_file() {
    let place = Place::new();
    let content = noise(5, 2_200_000);
    place.write("disk image", &content);
    place.backup("image", "disk image");
    assert_eq!(place.json(&["points"])[0]["kind"], "file");
    place.run(["restore", "latest", "--to", "copy"]).expect(0);
    assert_eq!(fs::read(place.path("copy")).unwrap(), content);
    fs::create_dir(place.path("folder")).unwrap();
    place.run(["restore", "latest", "--to", "folder"]).expect(0);
    assert_eq!(fs::read(place.path("folder/disk image")).unwrap(), content);
    place.write("copy", &content[..100]);
    place.run(["restore", "latest", "--to", "copy"]).failed(2, "--in-place");
    place.run(["restore", "latest", "--to", "copy", "--in-place"]).expect(0);
    assert_eq!(fs::read(place.path("copy")).unwrap(), content);
}

struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Loop {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Loop(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let detached = Command::new("losetup").args(["--detach", &self.0]).status().unwrap();
        assert!(detached.success(), "{} could not be detached", self.0);
    }
}

#[test]
fn a_block_device_is_backed_up_and_restored_onto_another() {
    if !is_root("a loop device") {
        return;
    }
    let place = Place::new();
    let mut content = noise(6, 8 << 20);
    content[1 << 20..4 << 20].fill(0);
    place.write("one", &content);
    place.write("two", noise(7, 8 << 20));
    let (one, two) = (Loop::over(&place.path("one")), Loop::over(&place.path("two")));
    let report = place.json(&["backup", "--volume", "disk", &one.0]);
    assert_eq!(report["statistics"]["bytes_scanned"], 8 << 20);
    assert_eq!(place.json(&["points"])[0]["kind"], "block");
    place.run(["restore", "latest", "--to", &two.0]).expect(0);
    assert!(fs::read(&two.0).unwrap() == content, "the second device is not as the first");
    let device = fs::File::options().write(true).open(&two.0).unwrap();
    device.write_all_at(b"spoiled", 5 << 20).unwrap();
    device.sync_all().unwrap();
    drop(device);
    let report = place.json(&["restore", "latest", "--to", &two.0, "--in-place"]);
    assert!(report["statistics"]["bytes_restored"].as_u64().unwrap() < 100_000, "{report}");
    assert!(fs::read(&two.0).unwrap() == content, "the second device was not repaired");
    place.run(["restore", "latest", "--to", "as a file"]).expect(0);
    assert!(fs::read(place.path("as a file")).unwrap() == content);
}

#[test]
fn a_restore_that_does_not_wait_for_the_disk_restores_the_same() {
    let place = Place::new();
    tree::fill(&place.path("source"));
    place.backup("home", "source");
    place.run(["restore", "latest", "--to", "quick", "--no-sync"]).expect(0);
    tree::assert_same(&place.path("source"), &place.path("quick"));
}
