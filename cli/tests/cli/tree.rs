//! Tree: a directory with everything in it that a restore may get wrong, and a comparison that notices.
//!
//! In: a directory. Out: files in it, or the description of a directory as text, one line for each entry. Never: compares times of change or inode numbers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::place::noise;

/// Fills a directory.
pub(crate) fn fill(root: &Path) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    fs::create_dir_all(at(b"deep/er/and deeper")).unwrap();
    fs::create_dir(at(b"empty")).unwrap();
    fs::write(at(b"small"), b"a few bytes").unwrap();
    fs::write(at(b"nothing"), b"").unwrap();
    fs::write(at(b"large"), noise(1, 3_300_000)).unwrap();
    fs::write(at(b"text"), "the same line again and again\n".repeat(20_000)).unwrap();
    fs::write(at(b"deep/er/and deeper/file"), noise(2, 70_000)).unwrap();
    fs::write(at(b"new\nline and \x1b[31mred"), b"1").unwrap();
    fs::write(at(b"not \xff\xfe text"), b"2").unwrap();
    fs::hard_link(at(b"text"), at(b"deep/another name")).unwrap();
    symlink("../small", at(b"deep/link")).unwrap();
    symlink(OsStr::from_bytes(b"nowhere \xff"), at(b"dangling")).unwrap();
    mkfifo(&at(b"pipe"), Mode::from_bits_truncate(0o620)).unwrap();
    let sparse = fs::File::create(at(b"sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"here", 30 << 20).unwrap();
    fs::set_permissions(at(b"small"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(at(b"empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    let old = fs::File::options().write(true).open(at(b"nothing")).unwrap();
    old.set_modified(UNIX_EPOCH + Duration::new(981_173_106, 987_654_321)).unwrap();
}

/// One line for each entry below a directory, by path: what a restore has to bring back.
pub(crate) fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    // Names of one file share a number: that of its first name.
    let mut links = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                pending.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let stat = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let content = match () {
            () if stat.is_file() => blake3::hash(&fs::read(&path).unwrap()).to_hex()[..16].to_owned(),
            () if stat.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().escape_ascii().to_string(),
            () => String::new(),
        };
        let first = links.entry(stat.ino()).or_insert_with(|| name.clone());
        let size = if stat.is_dir() { 0 } else { stat.len() };
        let times = format!("{}.{:09}", stat.mtime(), stat.mtime_nsec());
        lines.push(format!("{name} {:o} {}:{} {size} {times} {content} {first}", stat.mode(), stat.uid(), stat.gid()));
    }
    lines
}

/// Both directories hold the same.
#[track_caller]
pub(crate) fn assert_same(expected: &Path, found: &Path) {
    let (expected, found) = (describe(expected), describe(found));
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
    let surplus: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
}

#[test]
fn the_comparison_notices_a_changed_byte_a_mode_and_a_lost_link() {
    for change in [
        |root: &Path| fs::write(root.join("text"), b"other").unwrap(),
        |root: &Path| fs::set_permissions(root.join("nothing"), fs::Permissions::from_mode(0o600)).unwrap(),
        |root: &Path| {
            fs::copy(root.join("text"), root.join("copy")).unwrap();
            fs::rename(root.join("copy"), root.join("deep/another name")).unwrap();
        },
    ] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let before = describe(folder.path());
        change(folder.path());
        assert_ne!(before, describe(folder.path()));
    }
}
