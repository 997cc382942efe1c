//! Sweep: every directory of the source against its rows in the parent.
//!
//! In: a source and, if there is one, the parent restore point. Out: rows and content of what differs, to the pipeline; what was not captured, to the tally.
//! Never: holds more than one directory's names, or follows a name that the source does not vouch for.
//!
//! Directories are swept in the order of their nodes, so that their rows stream past once. What is new waits until every known directory has been seen: a new
//! name may be an old file under another name.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::source::{Directory, FileType, ReadPlan, Record, Scrub, Source, SourceError, Stat, Time};
use crate::table::TableRun;
use crate::tree::key::ROOT_NODE;
use crate::tree::{Class, Entry, Head, Inode, Merged, MissedWhat, Run, Value, key};

use super::Progress;
use super::ahead::Ahead;
use super::cost::Cost;
use super::drive::report_of;
use super::evacuate::Evacuation;
use super::frontier::{At, Frontier, Newcomers, Task};
use super::inode::{add_attributes, inode_of, is_settled};
use super::parent::{Lookup, Parent};
use super::path::DirectoryPath;
use super::pipeline::Pipeline;
use super::recorder::Recorder;
use super::tally::Tally;

mod again;
mod entry;
mod file;
mod moved;
mod names;
mod vanished;

use again::Watched;
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
    /// Blocks of it that may differ.
    due: Range<u64>,
}

/// Any block.
const ALL_BLOCKS: Range<u64> = 0..u64::MAX;

/// What a sweep is built from.
pub(super) struct Parts<'s, 'a, 'p, 'r> {
    pub(super) source: &'s dyn Source,
    pub(super) pipeline: &'a Pipeline<'p>,
    pub(super) parent: Option<&'a Parent>,
    pub(super) evacuation: &'a Evacuation,
    pub(super) recorder: &'a mut Recorder<'r>,
    pub(super) started: Time,
    /// What the parent's record says, and what follows for this run.
    pub(super) record: Record,
    pub(super) plan: ReadPlan,
    pub(super) cancel: &'a AtomicBool,
    pub(super) entries_max: u64,
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
    /// True if something of the parent could not even be looked at: a pass over everything has to be made again.
    unseen: bool,
    /// Nodes whose row of their own has been replaced.
    hidden: HashSet<u64>,
    /// Rows of what was missed in the directory being swept.
    missed_here: HashSet<Vec<u8>>,
    scrub: Scrub,
    watched: Watched,
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
            unseen: false,
            hidden: HashSet::new(),
            missed_here: HashSet::new(),
            scrub: Scrub::new(parts.plan.scrub.clone()),
            watched: Watched::default(),
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

    /// What was seen, and what the next run has to know. Everything that was read is in blobs by now.
    pub(super) fn into_tally(mut self) -> (Tally, Record) {
        let record = self.record(true);
        (self.tally, record)
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
                self.unseen |= task.known;
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
        if stat.file_type == FileType::Regular {
            self.tally.bytes_scanned += stat.size;
            self.tally.bytes_content += again::content_bytes(stat);
        }
        self.parts.progress.entries.store(self.tally.entries, Ordering::Relaxed);
        self.parts.progress.bytes_scanned.store(self.tally.bytes_scanned, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        let most = self.parts.entries_max;
        if self.tally.entries > most {
            let what = self.parts.source.describe().location;
            return Err(Error::Invalid(format!(
                "{what} has more than {most} entries, the most that one volume may have here; if it really does, raise that limit"
            )));
        }
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
        self.parts.pipeline.drain()?;
        let record = self.record(false);
        let report = report_of(&self.tally, record, self.parts.pipeline, &Cost::default());
        let made = self.parts.recorder.checkpoint(self.parts.pipeline, self.next_node, report)?;
        tracing::info!(session = %made.session, "checkpoint");
        Ok(())
    }
}
