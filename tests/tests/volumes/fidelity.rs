//! Fidelity: what is restored is what was backed up.
//!
//! In: a tree with one of each, on each filesystem. Out: the same on another volume of the kind, first from nothing, then from an increment, then in place over a
//! tree that was ruined. Never: compares by our own code.

use repository::point::Outcome;

use crate::compare::{account, assert_as_sparse};
use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
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
    // `mkfs.ext4` makes a folder, so not even a new volume is empty.
    shell(&target.root(), "rm -rf lost+found");
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
    shell(&other.root(), "rm -rf lost+found");
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
