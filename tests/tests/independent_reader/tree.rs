//! A directory tree as one value that can be compared.
//!
//! In: a directory. Out: everything that a restore has to bring back. Never: follows a link.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One entry. Hard links have the same `first`.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    device: u64,
    first: PathBuf,
    link: Option<PathBuf>,
    content: Option<Vec<u8>>,
}

/// By path below the root, which is the empty path.
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
    /// What `getfattr` says; empty where there is none.
    attributes: Vec<String>,
}

/// The tree below a directory.
pub(crate) fn of(root: &Path) -> Tree {
    let mut entries = BTreeMap::new();
    let mut first_paths = HashMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let path = root.join(&relative);
        let found = std::fs::symlink_metadata(&path).expect("an entry is there");
        let kind = found.file_type();
        if kind.is_dir() {
            let names = std::fs::read_dir(&path).expect("a folder is read");
            let mut names: Vec<_> = names.map(|entry| relative.join(entry.expect("a name").file_name())).collect();
            names.sort_by(|one, other| other.as_os_str().as_bytes().cmp(one.as_os_str().as_bytes()));
            waiting.extend(names);
        }
        let first = first_paths.entry(found.ino()).or_insert_with(|| relative.clone()).clone();
        let entry = Entry {
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            modified: (found.mtime(), found.mtime_nsec()),
            device: if kind.is_char_device() || kind.is_block_device() { found.rdev() } else { 0 },
            first,
            link: kind.is_symlink().then(|| std::fs::read_link(&path).expect("a link is read")),
            content: kind.is_file().then(|| std::fs::read(&path).expect("a file is read")),
        };
        entries.insert(relative, entry);
    }
    Tree { entries, attributes: attributes(root) }
}

/// One text per file that has attributes, in order of their names.
fn attributes(root: &Path) -> Vec<String> {
    let arguments = ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."];
    let Ok(output) = Command::new("getfattr").args(arguments).current_dir(root).output() else { return Vec::new() };
    let text = String::from_utf8(output.stdout).expect("getfattr writes text");
    let mut files: Vec<String> = text.split("\n\n").map(str::to_owned).filter(|file| !file.is_empty()).collect();
    files.sort();
    files
}

impl Tree {
    /// True if any entry has attributes that can be compared.
    pub(crate) fn has_attributes(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// Panics with the first few differences.
    pub(crate) fn assert_same(&self, restored: &Tree, what: &str) {
        let paths: std::collections::BTreeSet<_> = self.entries.keys().chain(restored.entries.keys()).collect();
        let differ = |path: &&&PathBuf| self.entries.get(**path) != restored.entries.get(**path);
        let tell = |path: &PathBuf| {
            format!("{path:?}: {} instead of {}", short(restored.entries.get(path)), short(self.entries.get(path)))
        };
        let differences: Vec<String> = paths.iter().filter(differ).take(5).map(|path| tell(path)).collect();
        assert!(differences.is_empty(), "{what}: {}", differences.join("\n"));
        assert_eq!(self.attributes, restored.attributes, "{what}: attributes");
    }
}

/// An entry without its content.
fn short(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return "nothing".to_owned() };
    let length = entry.content.as_ref().map(Vec::len);
    format!(
        "{:o} {:?} {:?} {length:?} bytes, {:?}, as {:?}",
        entry.mode, entry.owner, entry.modified, entry.link, entry.first
    )
}
