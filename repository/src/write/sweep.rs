//! Sweep: every directory of the source against its rows in the parent.
//!
//! In: a source and, if there is one, the parent restore point. Out: rows and content of what differs, to the pipeline; what was not captured, to the tally.
//! Never: holds more than one directory's names, or follows a name that the source does not vouch for.
//!
//! Directories are swept in the order of their nodes, so that their rows stream past once. What is new waits until every known directory has been seen: a new
//! name may be an old file under another name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::source::{Directory, FileType, Source, SourceError, Stat, Time};
use crate::table::TableRun;
use crate::tree::key::ROOT_NODE;
use crate::tree::{Class, Entry, Head, Inode, Merged, MissedWhat, Row, Run, Value, key};

use super::Progress;
use super::ahead::Ahead;
use super::content;
use super::evacuate::Evacuation;
use super::frontier::{At, Frontier, NewNames, Newcomers, Task};
use super::inode::{add_attributes, entry_of, has_own_row, inode_of, is_same_file, is_settled, is_unchanged};
use super::parent::{Lookup, Parent};
use super::path::DirectoryPath;
use super::pipeline::{Piece, Pipeline};
use super::recorder::Recorder;
use super::tally::Tally;

mod file;
mod moved;
mod vanished;

pub(super) use vanished::Vanished;

/// Room for attribute values beside a small file's content, in the same piece.
const PIECE_BYTES_MAX: usize = 1 << 20;
const ATTRIBUTES_TOO_LARGE: &str = "its extended attributes are larger than 1 MiB together";
/// New names that wait for the matching of handles; beyond this they are taken as new at once. A miss costs space, nothing else.
const WAITING_MAX: usize = 100_000;

type OpenDirectory<'s> = Arc<dyn Directory + 's>;

/// What a name stood for in the parent.
struct Old {
    entry: Entry,
    /// Its inode, from wherever it is.
    inode: Option<Inode>,
    /// True if its row stands under another name, which is gone.
    moved: bool,
}

/// What a sweep is built from.
pub(super) struct Parts<'s, 'a, 'p, 'r> {
    pub(super) source: &'s dyn Source,
    pub(super) pipeline: &'a Pipeline<'p>,
    pub(super) parent: Option<&'a Parent>,
    pub(super) evacuation: &'a Evacuation,
    pub(super) recorder: &'a mut Recorder<'r>,
    pub(super) started: Time,
    pub(super) cancel: &'a AtomicBool,
    pub(super) progress: &'a Progress,
    /// Who reads small files.
    pub(super) ahead: Ahead<'s, Unread>,
    /// Where old files are remembered until they turn up under another name.
    pub(super) vanished: Vanished,
}

/// A small file that is being read: its node, and what the parent has of it.
pub(super) struct Unread {
    child: u64,
    old: Option<Old>,
}

pub(super) struct Sweep<'s, 'a, 'p, 'r> {
    parts: Parts<'s, 'a, 'p, 'r>,
    rows: Option<Merged<TableRun>>,
    lookup: Option<Lookup>,
    next_node: u64,
    frontier: Frontier,
    new_directories: Newcomers,
    new_files: Newcomers,
    /// Files with several names, by inode number: their node, once their content was dealt with.
    linked: HashMap<u64, u64>,
    /// Nodes with a row of their own in the parent that still have a name, and the inode number seen under it. Without handles names decide, and two names of
    /// one file may have become two files.
    kept: HashMap<u64, Option<u64>>,
    /// True if a directory of the parent could not be listed: then nobody knows which names are left.
    blind: bool,
    /// Nodes whose row of their own has been replaced.
    hidden: HashSet<u64>,
    /// Rows of what was missed in the directory being swept.
    missed_here: HashSet<Vec<u8>>,
    pub(super) tally: Tally,
}

impl<'s, 'a, 'p, 'r> Sweep<'s, 'a, 'p, 'r> {
    pub(super) fn new(parts: Parts<'s, 'a, 'p, 'r>) -> Sweep<'s, 'a, 'p, 'r> {
        Sweep {
            rows: parts.parent.map(|parent| parent.read(Class::Tree)),
            lookup: parts.parent.map(Lookup::new),
            next_node: parts.recorder.next_node().max(ROOT_NODE + 1),
            frontier: Frontier::default(),
            new_directories: Newcomers::default(),
            new_files: Newcomers::default(),
            linked: HashMap::new(),
            kept: HashMap::new(),
            blind: false,
            hidden: HashSet::new(),
            missed_here: HashSet::new(),
            tally: Tally::default(),
            parts,
        }
    }

    /// Sweeps everything; returns the number that the next new node gets.
    pub(super) fn run(&mut self) -> Result<u64, Error> {
        self.root()?;
        loop {
            while let Some(task) = self.frontier.pop() {
                self.directory(&task)?;
            }
            let found = self.new_directories.take();
            if found.is_empty() {
                break;
            }
            found.into_iter().try_for_each(|names| self.newcomers(names))?;
        }
        // What turns out to be gone has vanished too.
        self.read_all()?;
        self.expand_vanished_directories()?;
        self.new_files.take().into_iter().try_for_each(|names| self.newcomers(names))?;
        self.read_all()?;
        self.drop_vanished()?;
        self.parts.source.still_there()?;
        Ok(self.next_node)
    }

    /// What was seen.
    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    fn root(&mut self) -> Result<(), Error> {
        let (stat, attributes) = self.parts.source.root()?;
        let old = match &mut self.lookup {
            Some(lookup) => lookup.inode(ROOT_NODE)?,
            None => None,
        };
        let known = old.is_some();
        self.count(&stat);
        let unchanged =
            old.as_ref().is_some_and(|old| self.is_unchanged(old, &stat) && self.stays(ROOT_NODE, Some(old)));
        if !unchanged {
            old.iter().for_each(|old| self.parts.pipeline.rows.hide(old));
            let mut inode = inode_of(&stat, is_settled(&stat, self.parts.started));
            let mut piece = Vec::new();
            if !add_attributes(&mut inode, attributes, &mut piece, PIECE_BYTES_MAX) {
                self.tally.miss_root(ATTRIBUTES_TOO_LARGE);
            }
            self.add(Class::Tree, key::inode(ROOT_NODE), Value::Inode(inode), piece, 0)?;
        }
        self.frontier.begin(Task { node: ROOT_NODE, path: DirectoryPath::root(), known });
        Ok(())
    }

    /// Merge-joins the names of one directory with its rows.
    fn directory(&mut self, task: &Task) -> Result<(), Error> {
        self.check()?;
        self.missed_here.clear();
        let node = task.node;
        let source = self.parts.source;
        let names = task.path.names();
        let opened = source.directory(&names).and_then(|directory| directory.names().map(|names| (directory, names)));
        let (directory, names) = match opened {
            Ok((directory, names)) => (OpenDirectory::from(directory), names),
            Err(error) => return self.unread_directory(task, error),
        };
        let mut old = self.first_row(node, task.known)?;
        for name in names.iter() {
            while let Some((gone, entry)) = old.take_if(|(before, _)| before.as_slice() < name) {
                self.vanish(node, &gone, entry)?;
                self.after_entry()?;
                old = self.next_row(node)?;
            }
            let known = match old.take_if(|(same, _)| same.as_slice() == name) {
                None => None,
                Some((_, entry)) => {
                    old = self.next_row(node)?;
                    Some(entry)
                }
            };
            self.name((node, &task.path, name), &directory, known)?;
            self.after_entry()?;
        }
        while let Some((name, entry)) = old {
            self.vanish(node, &name, entry)?;
            self.after_entry()?;
            old = self.next_row(node)?;
        }
        Ok(())
    }

    /// One name of a directory.
    fn name(&mut self, at: At<'_>, directory: &OpenDirectory<'s>, known: Option<Entry>) -> Result<(), Error> {
        let (node, path, name) = at;
        let stat = match directory.stat(name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return known.map_or(Ok(()), |entry| self.vanish(node, name, entry)),
            Err(SourceError::Gone { .. }) => return known.map_or(Ok(()), |entry| self.vanish(node, name, entry)),
            Err(error) => {
                for entry in known.iter().filter(|entry| entry.inode.is_none()) {
                    self.kept.entry(entry.child).or_insert(None);
                }
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
        self.existing(at, directory, &stat, Old { entry, inode, moved: false })
    }

    /// Stamps and handles say something of the volume that they were taken of. Of another, names alone decide, and everything is read.
    fn trusts(&self) -> bool {
        self.parts.parent.is_none_or(|parent| !parent.is_foreign())
    }

    fn is_unchanged(&self, old: &Inode, stat: &Stat) -> bool {
        self.trusts() && is_unchanged(old, stat)
    }

    fn is_same_file(&self, entry: &Entry, old: Option<&Inode>, stat: &Stat) -> bool {
        match self.trusts() {
            true => is_same_file(entry.file_type, old, stat),
            false => entry.file_type == stat.file_type,
        }
    }

    /// What a row says that is replaced now. One that several names share is replaced once.
    fn hide(&mut self, old: &Old) {
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
        if old.entry.inode.is_none() {
            self.kept.insert(child, Some(stat.inode));
        }
        let unchanged = old.inode.as_ref().is_some_and(|inode| self.is_unchanged(inode, stat))
            && old.entry.inode.is_some() != has_own_row(stat);
        let stays = self.stays(child, old.inode.as_ref());
        match stat.file_type {
            FileType::Directory => {
                self.frontier.add(at, child, true);
                if unchanged && stays { Ok(()) } else { self.other(at, directory, stat, child, Some(&old)) }
            }
            FileType::Regular if has_own_row(stat) => self.linked_file(at, directory, stat, child, Some(old)),
            FileType::Regular if unchanged && stays => Ok(()),
            FileType::Regular if unchanged && content::has_blocks(old.inode.as_ref()) => {
                self.moved_file(at, directory, stat, (child, old)).map(drop)
            }
            FileType::Regular => self.soon(at, directory, stat, (child, Some(old))),
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
    fn add_name(&mut self, at: At<'_>, stat: &Stat, child: u64) -> Result<(), Error> {
        let entry = Entry { child, file_type: stat.file_type, inode: None };
        self.add(Class::Tree, key::entry(at.0, at.2), Value::Entry(entry), Vec::new(), 0)
    }

    /// Anything without content: attributes and stat. `old`: what the parent has under this name.
    fn other(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        child: u64,
        old: Option<&Old>,
    ) -> Result<(), Error> {
        let (node, path, name) = at;
        let mut inode = inode_of(stat, is_settled(stat, self.parts.started));
        let mut piece = Vec::new();
        if self.attributes((node, path, name), directory, stat, (&mut inode, &mut piece))? {
            if has_own_row(stat) {
                self.linked.insert(stat.inode, child);
            }
            old.into_iter().for_each(|old| self.hide(old));
            self.entry((node, name), stat, (child, inode), piece, 0)?;
        }
        Ok(())
    }

    /// Reads attributes into the inode; false: the entry is gone.
    fn attributes(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        into: (&mut Inode, &mut Vec<u8>),
    ) -> Result<bool, Error> {
        let (node, path, name) = at;
        match directory.attributes(name, stat) {
            Ok(attributes) => {
                if !add_attributes(into.0, attributes, into.1, PIECE_BYTES_MAX) {
                    self.miss((node, path, name), MissedWhat::Mixed, ATTRIBUTES_TOO_LARGE);
                }
                Ok(true)
            }
            Err(SourceError::Gone { .. }) => Ok(false),
            Err(error) if error.ends_the_run() => Err(error.into()),
            Err(error) => {
                into.0.settled = false;
                self.miss((node, path, name), MissedWhat::Mixed, &error.to_string());
                Ok(true)
            }
        }
    }

    /// Writes an entry, and its inode where that belongs.
    fn entry(
        &mut self,
        at: (u64, &[u8]),
        stat: &Stat,
        inode: (u64, Inode),
        piece: Vec<u8>,
        sign_bytes: usize,
    ) -> Result<(), Error> {
        let (child, inode) = inode;
        let (entry, own_row) = entry_of(child, stat, inode);
        let entry_key = key::entry(at.0, at.1);
        match own_row {
            None => {
                // The last name of several takes the inode into its own row.
                if self.kept.contains_key(&child) {
                    self.add(Class::Tree, key::inode(child), Value::Tombstone, Vec::new(), 0)?;
                }
                self.add(Class::Tree, entry_key, Value::Entry(entry), piece, sign_bytes)
            }
            Some(inode) => {
                self.add(Class::Tree, entry_key, Value::Entry(entry), Vec::new(), 0)?;
                self.add(Class::Tree, key::inode(child), Value::Inode(inode), piece, sign_bytes)
            }
        }
    }

    /// Adds a row: at once, or when the piece that it refers to is in a blob.
    fn add(
        &mut self,
        class: Class,
        key: Vec<u8>,
        value: Value,
        piece: Vec<u8>,
        sign_bytes: usize,
    ) -> Result<(), Error> {
        if piece.is_empty() {
            self.parts.pipeline.rows.add(class, key, value);
            return Ok(());
        }
        self.parts.pipeline.add_piece(Piece { bytes: piece, class, row: Row { key, value }, sign_bytes })
    }

    /// New names of one directory, whose time has come.
    fn newcomers(&mut self, names: NewNames) -> Result<(), Error> {
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

    /// Something could not be read: the run goes on, the restore point says so.
    fn unread(&mut self, at: At<'_>, known: bool, error: SourceError) -> Result<(), Error> {
        if error.ends_the_run() {
            return Err(error.into());
        }
        self.miss(
            (at.0, at.1, at.2),
            if known { MissedWhat::OlderContent } else { MissedWhat::Absent },
            &error.to_string(),
        );
        Ok(())
    }

    fn unread_directory(&mut self, task: &Task, error: SourceError) -> Result<(), Error> {
        let Some((directory, name)) = &task.path.entry else { return Err(error.into()) };
        match error {
            // Listed a moment ago and removed since: its row goes, and everything below it.
            SourceError::Gone { .. } => {
                self.parts.pipeline.rows.add(Class::Tree, key::entry(*directory, name), Value::Tombstone);
                self.parts.pipeline.rows.add(
                    Class::Tree,
                    key::head(task.node),
                    Value::Head(Head { gone: true, cut: None }),
                );
                Ok(())
            }
            error if error.ends_the_run() => Err(error.into()),
            error => {
                let what = if task.known { MissedWhat::OlderContent } else { MissedWhat::Absent };
                self.blind |= task.known;
                self.tally.miss(
                    self.parts.pipeline.rows,
                    (*directory, name),
                    task.path.display(b""),
                    (what, &error.to_string()),
                );
                Ok(())
            }
        }
    }

    fn miss(&mut self, at: At<'_>, what: MissedWhat, why: &str) {
        self.missed_here.insert(key::missed(at.0, at.2));
        self.tally.miss(self.parts.pipeline.rows, (at.0, at.2), at.1.display(at.2), (what, why));
    }

    fn first_row(&mut self, node: u64, known: bool) -> Result<Option<(Vec<u8>, Entry)>, Error> {
        match (&mut self.rows, known) {
            (Some(rows), true) => rows.seek(&key::first_of_node(node))?,
            _ => return Ok(None),
        }
        self.next_row(node)
    }

    /// The next entry of a directory in the parent. What was missed then is forgotten: if it is missed again, it will be said again.
    fn next_row(&mut self, node: u64) -> Result<Option<(Vec<u8>, Entry)>, Error> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        while let Some(row) = rows.next()? {
            if key::node_of(Class::Tree, &row.key) != Some(node) {
                break;
            }
            match (key::parse(Class::Tree, &row.key), row.value) {
                (Ok(key::ParsedKey::Entry { name, .. }), Value::Entry(entry)) => {
                    return Ok(Some((name.to_vec(), entry)));
                }
                (_, Value::Missed(_)) if !self.missed_here.contains(&row.key) => {
                    self.parts.pipeline.rows.add(Class::Tree, row.key, Value::Tombstone);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn new_node(&mut self) -> u64 {
        self.next_node += 1;
        self.next_node - 1
    }

    fn count(&mut self, stat: &Stat) {
        self.tally.entries += 1;
        self.tally.bytes_scanned += if stat.file_type == FileType::Regular { stat.size } else { 0 };
        self.parts.progress.entries.store(self.tally.entries, Ordering::Relaxed);
        self.parts.progress.bytes_scanned.store(self.tally.bytes_scanned, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        if self.parts.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Between two entries: memory is looked after, and a checkpoint is made when one is due.
    fn after_entry(&mut self) -> Result<(), Error> {
        self.check()?;
        self.parts.recorder.flush_if_full(self.parts.pipeline)?;
        if self.parts.recorder.checkpoint_is_due() {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        let report = super::report_of(&self.tally, self.parts.pipeline, &super::Cost::default());
        let made = self.parts.recorder.checkpoint(self.parts.pipeline, self.next_node, report)?;
        tracing::info!(session = %made.session, "checkpoint");
        Ok(())
    }
}
