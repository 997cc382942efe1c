//! Fidelity: what is restored is what was backed up.
//!
//! In: a tree with one of each, on each filesystem. Out: the same on another volume of the kind, first from nothing, then from an increment, then in place over a
//! tree that was ruined. Never: compares by our own code.

use repository::point::Outcome;

use crate::compare::{account, assert_as_sparse};
use crate::mounted::{Kind, Volume, can_mount};
use crate::protected::Protected;
use crate::tree;

fn comes_back(kind: Kind) {
    if !can_mount() {
        return;
    }
    let (source, target, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
    tree::make(&source);
    let first = protected.back_up(&source.root());
    let before = account(&source.root());
    let report = protected.restore(&first, &target.root(), false).expect("a restore");
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.failed);
    before.assert_same(&target.root(), &format!("{kind:?}, the first backup"));
    assert_as_sparse(&source.root(), &target.root());

    tree::change(&source.root());
    let second = protected.back_up(&source.root());
    assert!(second.proof.full_pass.is_none() && second.proof.silent_changes == 0, "{:?}", second.proof);
    if kind != Kind::Tmpfs {
        let read = second.statistics.bytes_read;
        assert!(read < first.statistics.bytes_read, "an increment read {read} bytes");
    }
    let after = account(&source.root());
    let other = Volume::new(kind);
    let report = protected.restore(&second, &other.root(), false).expect("a restore");
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.failed);
    after.assert_same(&other.root(), &format!("{kind:?}, the increment"));
    before.assert_same(&target.root(), &format!("{kind:?}, what was restored before"));

    tree::ruin(&other.root());
    let report = protected.restore(&second, &other.root(), true).expect("a restore in place");
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.failed);
    after.assert_same(&other.root(), &format!("{kind:?}, in place"));
    let report = protected.restore(&first, &other.root(), true).expect("a restore in place");
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.failed);
    before.assert_same(&other.root(), &format!("{kind:?}, back to the first backup in place"));
    assert_as_sparse(&target.root(), &other.root());
}

#[test]
fn everything_on_ext4_comes_back() {
    comes_back(Kind::Ext4);
}

#[test]
fn everything_on_xfs_comes_back() {
    comes_back(Kind::Xfs);
}

#[test]
fn everything_on_btrfs_comes_back() {
    comes_back(Kind::Btrfs);
}

#[test]
fn everything_on_tmpfs_comes_back() {
    comes_back(Kind::Tmpfs);
}

/// `mkfs.ext4` makes a folder: no new volume of a pod is empty, as the tests above show. Whatever is in that folder, or in another's place, is still refused.
#[test]
fn nothing_but_an_empty_folder_is_out_of_the_way_of_a_folder() {
    if !can_mount() {
        return;
    }
    let (source, target, protected) = (Volume::new(Kind::Ext4), Volume::new(Kind::Ext4), Protected::new());
    std::fs::write(source.at("file"), "content").expect("a file");
    let report = protected.back_up(&source.root());
    let refused = |name: &str| {
        let error = protected.restore(&report, &target.root(), false).expect_err("something is in the way");
        assert!(error.to_string().starts_with(&format!("{name} exists in the target already")), "{error}");
        assert!(!target.at("lost+found/file").exists() && !target.at("file").is_file(), "something was written");
    };
    std::fs::write(target.at("lost+found/#12"), "found by fsck").expect("a file");
    refused("lost+found");
    std::fs::remove_file(target.at("lost+found/#12")).expect("it is removed");
    std::fs::create_dir(target.at("file")).expect("a folder");
    refused("file");
    std::fs::remove_dir(target.at("file")).expect("it is removed");
    let restored = protected.restore(&report, &target.root(), false).expect("a restore");
    assert_eq!(restored.outcome, Outcome::Complete, "{:?}", restored.failed);
}
