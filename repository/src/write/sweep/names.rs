//! Names: who is who - the same file as in the parent, an old one under another name, or a new one.
//!
//! In: a name, its stat, and what the parent has under that name. Out: what is to be read or recorded of it, to the other stages. Never: takes a name for proof of anything
//! where the source gives handles.

use crate::Error;
use crate::source::{Belief, FileType, SourceError, Stat};
use crate::tree::{Class, Entry, Inode, MissedWhat, Value, key};

use super::{ALL_BLOCKS, Old, OpenDirectory, Sweep, WAITING_MAX};
use crate::write::content;
use crate::write::frontier::{At, NewNames};
use crate::write::inode::{has_own_row, is_same_file, is_unchanged};

impl<'s> Sweep<'s, '_, '_, '_> {
    /// One name of a directory.
    pub(super) fn name(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        known: Option<Entry>,
    ) -> Result<(), Error> {
        let (node, path, name) = at;
        let stat = match directory.stat(name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return known.map_or(Ok(()), |entry| self.vanish(node, name, entry)),
            Err(SourceError::Gone { .. }) => return known.map_or(Ok(()), |entry| self.vanish(node, name, entry)),
            Err(error) => {
                for entry in known.iter().filter(|entry| entry.inode.is_none()) {
                    self.kept.entry(entry.child).or_insert(None);
                }
                self.unseen |= known.is_some();
                return self.unread((node, path, name), known.is_some(), error);
            }
        };
        self.count(&stat);
        let Some(entry) = known else { return self.new_name(at, directory, &stat) };
        let inode = match (&entry.inode, &mut self.lookup) {
            (None, Some(lookup)) => lookup.inode(entry.child)?,
            (inode, _) => inode.clone(),
        };
        if !self.is_same_file(&entry, inode.as_ref(), &stat) || self.is_taken(&entry, &stat) {
            self.vanish(node, name, entry)?;
            return self.new_name(at, directory, &stat);
        }
        self.existing(at, directory, &stat, Old { entry, inode, moved: false, due: ALL_BLOCKS })
    }

    /// True if an entry need not be looked at any closer. Of a regular file that takes more than an equal stamp.
    pub(super) fn is_unchanged(&self, old: &Inode, stat: &Stat) -> bool {
        let believed = match stat.file_type {
            FileType::Regular => self.belief() == Belief::Stamps && !self.parts.source.suspects(stat),
            _ => self.belief() != Belief::Names,
        };
        believed && is_unchanged(old, stat)
    }

    fn is_same_file(&self, entry: &Entry, old: Option<&Inode>, stat: &Stat) -> bool {
        match self.belief() {
            Belief::Names => entry.file_type == stat.file_type,
            Belief::Stamps | Belief::Handles => is_same_file(entry.file_type, old, stat),
        }
    }

    /// What a row says that is replaced now. One that several names share is replaced once.
    pub(super) fn hide(&mut self, old: &Old) {
        if old.moved || (old.entry.inode.is_none() && !self.hidden.insert(old.entry.child)) {
            return;
        }
        old.inode.iter().for_each(|inode| self.parts.pipeline.rows.hide(inode));
    }

    /// True if the node of an entry is another file in this run already, or the file has another node: only possible where names decide.
    fn is_taken(&self, entry: &Entry, stat: &Stat) -> bool {
        let node_is_taken = self.kept.get(&entry.child).copied().flatten().is_some_and(|inode| inode != stat.inode);
        let file_has_node =
            has_own_row(stat) && self.linked.get(&stat.inode).is_some_and(|child| *child != entry.child);
        node_is_taken || file_has_node
    }

    /// A name that means the same file as in the parent, or one that was found again under another name.
    fn existing(&mut self, at: At<'_>, directory: &OpenDirectory<'s>, stat: &Stat, old: Old) -> Result<(), Error> {
        let child = old.entry.child;
        let is_shared = old.entry.inode.is_none() && self.kept.insert(child, Some(stat.inode)).is_some();
        // Another name of it was dealt with before this one. Should that have been removed since, it stands in this restore point all the same, and needs the row.
        let stat = match is_shared && !has_own_row(stat) {
            true => &Stat { links: 2, ..stat.clone() },
            false => stat,
        };
        let unchanged = old.inode.as_ref().is_some_and(|inode| self.is_unchanged(inode, stat))
            && old.entry.inode.is_some() != has_own_row(stat);
        let stays = self.stays(child, old.inode.as_ref());
        match stat.file_type {
            FileType::Directory => {
                self.frontier.add(at, child, true);
                if unchanged && stays { Ok(()) } else { self.other(at, directory, stat, child, Some(&old)) }
            }
            FileType::Regular if has_own_row(stat) => self.linked_file(at, directory, stat, child, Some(old)),
            FileType::Regular => {
                let due = self.due(at, stat, unchanged);
                match (unchanged && due.is_empty(), stays) {
                    (true, true) => Ok(()),
                    (true, false) if content::has_blocks(old.inode.as_ref()) => {
                        self.moved_file(at, directory, stat, (child, old)).map(drop)
                    }
                    (_, stays) => {
                        let due = if stays { due } else { ALL_BLOCKS };
                        self.soon(at, directory, stat, (child, Some(Old { due, ..old })))
                    }
                }
            }
            _ if unchanged && stays => {
                if has_own_row(stat) {
                    self.linked.insert(stat.inode, child);
                }
                Ok(())
            }
            _ => self.other(at, directory, stat, child, Some(&old)),
        }
    }

    /// A name that the parent does not have in this directory.
    fn new_name(&mut self, at: At<'_>, directory: &OpenDirectory<'s>, stat: &Stat) -> Result<(), Error> {
        if self.parts.parent.is_none() {
            return self.new_entry(at, directory, stat);
        }
        match stat.file_type {
            FileType::Directory => self.new_directories.add(at),
            _ if self.new_files.len() < WAITING_MAX => self.new_files.add(at),
            _ => return self.new_entry(at, directory, stat),
        }
        Ok(())
    }

    /// A new name whose time has come: an old file under another name, or a new file.
    fn new_entry(&mut self, at: At<'_>, directory: &OpenDirectory<'s>, stat: &Stat) -> Result<(), Error> {
        if let Some(entry) = self.parts.vanished.take(stat)? {
            let child = entry.child;
            let inode = match (&entry.inode, &mut self.lookup) {
                (None, Some(lookup)) => lookup.inode(child)?,
                (inode, _) => inode.clone(),
            };
            // Its row stands under another name, so a new one is written whatever the stamp says.
            let moved = Inode { settled: false, ..inode.unwrap_or_default() };
            return self.existing(
                at,
                directory,
                stat,
                Old {
                    entry: Entry { inode: entry.inode.map(|_| moved.clone()), ..entry },
                    inode: Some(moved),
                    moved: true,
                    due: ALL_BLOCKS,
                },
            );
        }
        match stat.file_type {
            FileType::Directory => {
                let child = self.new_node();
                self.frontier.add(at, child, false);
                self.other(at, directory, stat, child, None)
            }
            FileType::Regular if has_own_row(stat) => {
                let child = self.linked.get(&stat.inode).copied().unwrap_or(0);
                if child == 0 {
                    let child = self.new_node();
                    return self.linked_file(at, directory, stat, child, None);
                }
                self.add_name(at, stat, child)
            }
            FileType::Regular => {
                let child = self.new_node();
                self.soon(at, directory, stat, (child, None))
            }
            _ => {
                if let Some(child) = self.linked.get(&stat.inode).copied().filter(|_| has_own_row(stat)) {
                    return self.add_name(at, stat, child);
                }
                let child = self.new_node();
                self.other(at, directory, stat, child, None)
            }
        }
    }

    /// Another name of a file whose inode has been written already.
    pub(super) fn add_name(&mut self, at: At<'_>, stat: &Stat, child: u64) -> Result<(), Error> {
        let entry = Entry { child, file_type: stat.file_type, inode: None };
        self.add(Class::Tree, key::entry(at.0, at.2), Value::Entry(entry), Vec::new(), 0)
    }

    /// New names of one directory, whose time has come.
    pub(super) fn newcomers(&mut self, names: NewNames) -> Result<(), Error> {
        let (node, path) = (names.directory, names.path.clone());
        let directory = match self.parts.source.directory(&path.names()) {
            Ok(directory) => OpenDirectory::from(directory),
            Err(SourceError::Gone { .. }) => return Ok(()),
            Err(error) if error.ends_the_run() => return Err(error.into()),
            Err(error) => {
                let why = error.to_string();
                for name in names {
                    self.miss((node, &path, &name), MissedWhat::Absent, &why);
                }
                return Ok(());
            }
        };
        for name in names {
            let at = (node, &path, &*name);
            match directory.stat(&name) {
                Ok(Some(stat)) => self.new_entry(at, &directory, &stat)?,
                Ok(None) | Err(SourceError::Gone { .. }) => {}
                Err(error) => self.unread(at, false, error)?,
            }
            self.after_entry()?;
        }
        Ok(())
    }
}
