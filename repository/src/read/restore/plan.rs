//! Plan: what has to be made in the target, in which order.
//!
//! In: the tree of a restore point. Out: directories, nodes and links in the target, and batches of content for the engine. Never: waits for content while there is
//! something to plan, or plans more than a batch ahead.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use crate::Error;
use crate::hash::BLOCK_BYTES;
use crate::point::VolumeKind;
use crate::read::content::ContentReader;
use crate::read::path::PathBytes;
use crate::read::view::{BlockRows, Child, Found, Item, View};
use crate::read::walk::{Directories, Walker};
use crate::source::FileType;
use crate::target::{Target, TargetError};
use crate::tree::MissedWhat;

use super::RestoreOptions;
use super::batch::Batch;
use super::delta::SignRows;
use super::directories::{self, Spool};
use super::engine::{Engine, FETCHERS, Submit};
use super::report::FailedList;

mod content;
mod occupied;
mod stretch;

/// Large files in one batch: each of more than one piece is open until its last piece has come, and two batches are under way at most.
const OPEN_FILES_MAX: usize = 128;
/// Hard links that wait for their first name.
const LINKS_MAX: usize = 10_000;
/// Restores; returns what could not be. Of directories' inodes, `spool_bytes_max` are kept in memory.
pub(super) fn run(
    view: &View,
    options: &RestoreOptions,
    target: &dyn Target,
    spool_bytes_max: usize,
) -> Result<FailedList, Error> {
    let engine = Engine::new(view, target, options);
    let (fetchers, workers) = (view.domain().store().threads(FETCHERS), view.domain().store().threads(options.workers));
    let (submit, work) = Engine::queues(workers > 0);
    let result = std::thread::scope(|scope| {
        if !options.dry_run {
            for _ in 0..fetchers {
                let (engine, jobs, tasks) = (&engine, work.packs.clone(), submit.tasks());
                scope.spawn(move || engine.run_fetcher(&jobs, &tasks));
            }
            for _ in 0..workers {
                let (engine, tasks) = (&engine, work.tasks.clone());
                scope.spawn(move || engine.run_worker(&tasks));
            }
        }
        // Without receivers of its own the planner cannot send into a queue that nobody empties any more.
        drop(work);
        let planned = Planner::new(&engine, submit, spool_bytes_max).run();
        if let Err(error) = planned {
            // A failure of another thread comes first: this one may be its consequence.
            let first = engine.check().err();
            engine.stop(Error::Cancelled);
            return Err(match (first, error) {
                (Some(first), Error::Cancelled | Error::Bug(_)) => first,
                (_, error) => error,
            });
        }
        engine.check()
    });
    result.map(|()| engine.into_failed())
}

struct Planner<'e, 'a> {
    engine: &'e Engine<'a>,
    submit: Submit,
    reader: ContentReader<'a>,
    blocks: BlockRows,
    signs: SignRows,
    batch: Batch,
    batch_bytes_max: usize,
    open_files: usize,
    /// First names of files that may have several.
    first_names: HashMap<u64, (u32, Box<[u8]>)>,
    links: Vec<Link>,
    /// Files of the target with several names that belong to a file of the restore point already.
    claimed: HashSet<u64>,
    spool: Spool,
    buffer: Vec<u8>,
}

struct Link {
    directory: u32,
    name: Box<[u8]>,
    node: u64,
}

/// Where an entry goes.
struct Place<'d> {
    directories: &'d Directories,
    directory: u32,
    name: &'d [u8],
}

impl Place<'_> {
    fn path(&self) -> PathBytes {
        self.directories.path_of(self.directory, self.name)
    }
}

impl<'e, 'a> Planner<'e, 'a> {
    fn new(engine: &'e Engine<'a>, submit: Submit, spool_bytes_max: usize) -> Planner<'e, 'a> {
        let view = engine.view;
        Planner {
            engine,
            submit,
            reader: ContentReader::new(view),
            blocks: BlockRows::new(view),
            signs: SignRows::new(view),
            batch: Batch::default(),
            batch_bytes_max: engine.options.memory_budget_bytes / 8,
            open_files: 0,
            first_names: HashMap::new(),
            links: Vec::new(),
            claimed: HashSet::new(),
            spool: Spool::new(spool_bytes_max),
            buffer: vec![0; BLOCK_BYTES],
        }
    }

    fn run(mut self) -> Result<(), Error> {
        let view = self.engine.view;
        let names: Vec<&[u8]> = self.engine.options.subpath.iter().map(Vec::as_slice).collect();
        let found = view.lookup(&names)?;
        match (found.file_type, names.last()) {
            (FileType::Directory, _) if !self.engine.target.is_single_file() => self.tree(&found),
            (FileType::Directory, _) => self.only_file(&found),
            (_, Some(name)) => self.single(&Child { name: name.to_vec(), found, shared: false }),
            (_, None) => Err(view.damaged("its root is not a directory")),
        }
    }

    /// A directory into a single file or device: it must hold one regular file and nothing else.
    fn only_file(&mut self, directory: &Found) -> Result<(), Error> {
        let first: Vec<Child> = self.engine.view.entries(directory.node)?.take(2).collect::<Result<_, _>>()?;
        match first.as_slice() {
            [only] if only.found.file_type == FileType::Regular => self.single(only),
            _ => Err(Error::Invalid(
                "the target is a single file or device, but what is restored is a directory; name one file of it"
                    .into(),
            )),
        }
    }

    /// One entry, directly below the target or as the target.
    fn single(&mut self, child: &Child) -> Result<(), Error> {
        self.refuse_existing(std::iter::once(Ok(child.clone())))?;
        let directories = Directories::root(child.found.node)?;
        let place = Place { directories: &directories, directory: 0, name: &child.name };
        self.entry(&place, child)?;
        self.flush()?;
        self.engine.wait()
    }

    /// A directory: its content appears directly below the target.
    fn tree(&mut self, root: &Found) -> Result<(), Error> {
        let view = self.engine.view;
        self.refuse_existing(view.entries(root.node)?)?;
        self.learn_packs()?;
        let mut walker = Walker::new(view, root.node)?;
        while let Some(number) = walker.next_directory() {
            self.directory(&mut walker, number)?;
        }
        self.flush()?;
        self.engine.wait()?;
        self.make_links(&walker.directories)?;
        if self.engine.options.dry_run {
            self.engine.options.progress.entries.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let spool = std::mem::replace(&mut self.spool, Spool::new(0));
        directories::finish(self.engine, &walker.directories, spool, &mut self.reader)?;
        self.engine.options.progress.entries.fetch_add(1, Ordering::Relaxed);
        // The root of a volume that is one file or device was made up for it.
        if root.node != crate::tree::key::ROOT_NODE || view.description().volume.kind == VolumeKind::Filesystem {
            let metadata = self.engine.metadata(&mut self.reader, root, &PathBytes::default())?;
            if let Err(error) = self.engine.target.finish_directory(&[], &metadata) {
                self.engine.refused(".".into(), error)?;
            }
        }
        Ok(())
    }

    /// Learns the lengths of packs from the footers of the tables, which saves a request per pack.
    fn learn_packs(&self) -> Result<(), Error> {
        let view = self.engine.view;
        let runs = view.runs();
        let named = |class| runs.of(class).iter().flatten();
        for table in named(crate::tree::Class::Content).chain(named(crate::tree::Class::Tree)) {
            let footer = match view.tables().footer(table) {
                Err(error) if self.engine.skips(&error) => continue,
                footer => footer?,
            };
            view.packs().learn(footer.packs.iter().map(|used| (used.pack, used.summary)));
        }
        Ok(())
    }

    /// The entries of one directory, which exists in the target.
    fn directory(&mut self, walker: &mut Walker<'a>, number: u32) -> Result<(), Error> {
        let mut extra = self.extra_names(&walker.directories.path(number))?;
        let mut last: Option<Vec<u8>> = None;
        loop {
            self.engine.check()?;
            let item = match walker.next() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(error) if self.engine.skips(&error) => {
                    // Nobody knows what else was there: nothing of it is removed.
                    extra.clear();
                    self.rest_is_unreadable(walker, number, (last.as_deref(), &error));
                    break;
                }
                Err(error) => return Err(error),
            };
            match item {
                Item::Unreadable(name, error) => {
                    if !self.engine.skips(&error) {
                        return Err(error);
                    }
                    extra.remove(name.as_slice());
                    let path = walker.directories.path_of(number, &name);
                    self.engine.record(path.display(), format!("it was left out, its inode cannot be read: {error}"));
                }
                Item::Child(child) => {
                    extra.remove(child.name.as_slice());
                    last = Some(child.name.clone());
                    if child.found.file_type == FileType::Directory {
                        self.make_directory(walker, number, &child)?;
                    } else {
                        let place = Place { directories: &walker.directories, directory: number, name: &child.name };
                        self.entry(&place, &child)?;
                    }
                }
                // What could not be captured is not known to be gone: it stays.
                Item::Missed(name, missed) => {
                    if missed.what == MissedWhat::Absent {
                        extra.remove(name.as_slice());
                    }
                }
            }
        }
        for name in &extra {
            self.remove(&walker.directories.path_of(number, name))?;
        }
        Ok(())
    }

    /// The metadata of a directory ends in damage. What came before is as the restore point has it, because no row is passed over: older rows would be taken for newer
    /// ones. The other directories can be read as far as their rows lie elsewhere.
    fn rest_is_unreadable(&self, walker: &mut Walker<'a>, number: u32, (last, error): (Option<&[u8]>, &Error)) {
        walker.give_up();
        let after = match last {
            Some(name) => format!("its entries after {:?}", name.escape_ascii().to_string()),
            None => "its entries".to_owned(),
        };
        let why = format!("{after} cannot be read, and nothing below them was restored: {error}");
        self.engine.record(walker.directories.path(number).display(), why);
    }

    fn make_directory(&mut self, walker: &mut Walker<'a>, number: u32, child: &Child) -> Result<(), Error> {
        self.engine.options.progress.entries.fetch_add(1, Ordering::Relaxed);
        if !self.engine.options.dry_run {
            let path = walker.directories.path_of(number, &child.name);
            if let Err(error) = self.made_directory(&path) {
                let why = format!("{error}; nothing below it was restored");
                return match error {
                    TargetError::Full { .. } => Err(error.into()),
                    _ => {
                        self.engine.record(path.display(), why);
                        Ok(())
                    }
                };
            }
        }
        let number = walker.descend(child)?;
        self.spool.add(walker.directories.depth(number), number, &child.found);
        Ok(())
    }

    /// An entry that is not a directory.
    fn entry(&mut self, place: &Place<'_>, child: &Child) -> Result<(), Error> {
        self.engine.options.progress.entries.fetch_add(1, Ordering::Relaxed);
        if child.shared {
            if self.first_names.contains_key(&child.found.node) {
                return self.link(place, child.found.node);
            }
            self.first_names.insert(child.found.node, (place.directory, place.name.into()));
        }
        let path = place.path();
        let metadata = self.engine.metadata(&mut self.reader, &child.found, &path)?;
        let existing = match self.existing(&path) {
            Ok(existing) => existing,
            Err(error) => return self.engine.refused(path.display(), error),
        };
        if child.found.file_type == FileType::Regular {
            return self.file(path, child, metadata, existing);
        }
        if self.engine.options.dry_run {
            return Ok(());
        }
        match self.engine.target.make_node(&path.names(), &metadata) {
            Ok(()) => Ok(()),
            Err(error) => self.engine.refused(path.display(), error),
        }
    }

    fn link(&mut self, place: &Place<'_>, node: u64) -> Result<(), Error> {
        self.links.push(Link { directory: place.directory, name: place.name.into(), node });
        if self.links.len() < LINKS_MAX {
            return Ok(());
        }
        self.flush()?;
        self.engine.wait()?;
        self.make_links(place.directories)
    }

    /// Makes the links that wait; their first names are complete.
    fn make_links(&mut self, directories: &Directories) -> Result<(), Error> {
        for link in std::mem::take(&mut self.links) {
            self.engine.check()?;
            let Some((directory, name)) = self.first_names.get(&link.node) else { continue };
            let original = directories.path_of(*directory, name);
            let path = directories.path_of(link.directory, &link.name);
            let made = self.existing(&path).and_then(|_| match self.engine.options.dry_run {
                true => Ok(()),
                false => self.engine.target.make_hard_link(&path.names(), &original.names()),
            });
            match made {
                Ok(()) => self.engine.record_other_name(&path, link.node),
                Err(error) => self.engine.refused(path.display(), error)?,
            }
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.batch.bytes() > self.batch_bytes_max || self.open_files >= OPEN_FILES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands the batch to the engine.
    fn flush(&mut self) -> Result<(), Error> {
        self.open_files = 0;
        let batch = std::mem::take(&mut self.batch);
        if self.engine.options.dry_run {
            return Ok(());
        }
        self.engine.submit(&self.submit, batch)
    }
}
