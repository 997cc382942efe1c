//! What the parent has and the source has not, under the name it had.

use std::collections::HashMap;

use crate::Error;
use crate::source::{FileType, Stat};
use crate::tree::{Class, Entry, Head, Value, key};

use super::{Sweep, content};

/// So many handles are remembered; a vanished file beyond them is taken as deleted. A miss costs space, nothing else.
const REMEMBERED_MAX: usize = 100_000;

/// Vanished entries by handle, so that a new name can turn out to be an old file.
#[derive(Default)]
pub(super) struct Vanished {
    by_handle: HashMap<Vec<u8>, Entry>,
    /// Files and directories without a handle, or too many to remember.
    rest: Vec<Entry>,
    /// Nodes with several names of which one vanished: gone only if no name is left.
    linked: Vec<Entry>,
}

impl Vanished {
    fn add(&mut self, entry: Entry) {
        let handle = entry
            .inode
            .as_ref()
            .and_then(|inode| inode.stamp.as_ref())
            .map(|stamp| stamp.handle.clone())
            .unwrap_or_default();
        if entry.inode.is_none() {
            self.linked.push(entry);
        } else if handle.is_empty() || self.by_handle.len() >= REMEMBERED_MAX || self.by_handle.contains_key(&handle) {
            self.rest.push(entry);
        } else {
            self.by_handle.insert(handle, entry);
        }
    }

    /// The vanished entry that this is, under another name.
    pub(super) fn take(&mut self, stat: &Stat) -> Option<(u64, Entry)> {
        let same_type = self.by_handle.get(&stat.handle).is_some_and(|entry| entry.file_type == stat.file_type);
        if stat.handle.is_empty() || !same_type {
            return None;
        }
        self.by_handle.remove(&stat.handle).map(|entry| (entry.child, entry))
    }
}

impl Sweep<'_, '_, '_, '_> {
    /// A name is gone; what it stood for may turn up under another.
    pub(super) fn vanish(&mut self, directory: u64, name: &[u8], entry: Entry) -> Result<(), Error> {
        self.parts.pipeline.rows.add(Class::Tree, key::entry(directory, name), Value::Tombstone);
        self.vanished.add(entry);
        Ok(())
    }

    /// Directories that did not turn up: their entries have vanished too, and may turn up elsewhere.
    pub(super) fn expand_vanished_directories(&mut self) -> Result<(), Error> {
        loop {
            let is_directory = |entry: &Entry| entry.file_type == FileType::Directory;
            let mut gone: Vec<Entry> =
                self.vanished.by_handle.extract_if(|_, entry| is_directory(entry)).map(|(_, entry)| entry).collect();
            gone.extend(self.vanished.rest.extract_if(.., |entry| is_directory(entry)));
            if gone.is_empty() {
                return Ok(());
            }
            gone.sort_by_key(|entry| entry.child);
            for entry in gone {
                self.check()?;
                let mut old = self.first_row(entry.child, true)?;
                while let Some((_, child)) = old {
                    self.vanished.add(child);
                    old = self.next_row(entry.child)?;
                }
                self.parts.pipeline.rows.add(
                    Class::Tree,
                    key::head(entry.child),
                    Value::Head(Head { gone: true, cut: None }),
                );
                self.parts.recorder.flush_if_full(self.parts.pipeline)?;
            }
        }
    }

    /// What has not turned up is deleted: its rows are hidden.
    pub(super) fn drop_vanished(&mut self) -> Result<(), Error> {
        let Vanished { by_handle, rest, linked } = std::mem::take(&mut self.vanished);
        for entry in by_handle.into_values().chain(rest) {
            if entry.file_type == FileType::Regular && content::has_blocks(entry.inode.as_ref()) {
                content::forget(self.parts.pipeline, entry.child);
            }
        }
        if self.blind {
            return Ok(());
        }
        let seen: std::collections::HashSet<u64> = self.linked.values().chain(self.kept.keys()).copied().collect();
        for entry in linked.into_iter().filter(|entry| !seen.contains(&entry.child)) {
            self.parts.pipeline.rows.add(Class::Tree, key::inode(entry.child), Value::Tombstone);
            content::forget(self.parts.pipeline, entry.child);
        }
        Ok(())
    }
}
