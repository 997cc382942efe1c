//! Plan: what has to be made in the target, in which order.
//!
//! In: the tree of a restore point. Out: directories, nodes and links in the target, and batches of content for the engine. Never: waits for content while there is
//! something to plan, or plans more than a batch ahead.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::hash::{BLOCK_BYTES, PAGE_BYTES};
use crate::point::VolumeKind;
use crate::read::cat::{inline_bytes, inline_signature};
use crate::read::content::ContentReader;
use crate::read::path::{PathBytes, display_path};
use crate::read::view::{BlockRows, Child, Found, Item, View};
use crate::read::walk::{Directories, Walker};
use crate::source::{FileType, Stat};
use crate::target::{Metadata, Target, TargetError};
use crate::tree::{Extent, Inline, MissedWhat};

use super::RestoreOptions;
use super::delta::{Patch, SignRows, compare, patches};
use super::directories::{self, Spool};
use super::engine::{Batch, Engine, FETCHERS, Submit};
use super::file::{Expected, FileError, FileJob};
use super::report::FailedList;

/// Large files in one batch: each of more than one piece is open until its last piece has come, and two batches are under way at most.
const OPEN_FILES_MAX: usize = 128;
/// Hard links that wait for their first name.
const LINKS_MAX: usize = 10_000;
/// So many conflicts are named before giving up.
const CONFLICTS_NAMED_MAX: usize = 3;

/// Restores; returns what could not be. Of directories' inodes, `spool_bytes_max` are kept in memory.
pub(super) fn run(
    view: &View,
    options: &RestoreOptions,
    target: &dyn Target,
    spool_bytes_max: usize,
) -> Result<FailedList, Error> {
    let engine = Engine::new(view, target, options);
    let (submit, work) = Engine::queues();
    let result = std::thread::scope(|scope| {
        if !options.dry_run {
            for _ in 0..FETCHERS {
                let (engine, jobs, tasks) = (&engine, work.packs.clone(), submit.tasks());
                scope.spawn(move || engine.run_fetcher(&jobs, &tasks));
            }
            for _ in 0..options.workers.max(1) {
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
        self.refuse_existing(std::iter::once(Ok(child.name.clone())))?;
        let directories = Directories::root(child.found.node)?;
        let place = Place { directories: &directories, directory: 0, name: &child.name };
        self.entry(&place, child)?;
        self.flush()?;
        self.engine.wait()
    }

    /// A directory: its content appears directly below the target.
    fn tree(&mut self, root: &Found) -> Result<(), Error> {
        let view = self.engine.view;
        self.refuse_existing(view.entries(root.node)?.map(|child| child.map(|child| child.name)))?;
        self.learn_packs()?;
        let mut walker = Walker::new(view, root.node)?;
        while let Some(number) = walker.next_directory()? {
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
            let metadata = self.reader.metadata(root)?;
            if let Err(error) = self.engine.target.finish_directory(&[], &metadata) {
                self.engine.refused(".".into(), error)?;
            }
        }
        Ok(())
    }

    /// Before anything is written: no name that will be made exists already, unless existing files are to be changed in place.
    fn refuse_existing(&self, names: impl Iterator<Item = Result<Vec<u8>, Error>>) -> Result<(), Error> {
        let target = self.engine.target;
        if self.engine.options.in_place {
            return Ok(());
        }
        let mut conflicts = Vec::new();
        if target.is_single_file() {
            // A device has no allocated blocks of its own; overwriting one is what naming it asks for.
            if target.stat(&[])?.is_some_and(|stat| stat.blocks > 0) {
                conflicts.push("the file".to_owned());
            }
        } else {
            let existing = target.names(&[])?;
            let existing: HashSet<&[u8]> = existing.iter().collect();
            for name in names {
                let name = name?;
                if existing.contains(name.as_slice()) {
                    conflicts.push(display_path([name.as_slice()]));
                }
                if conflicts.len() > CONFLICTS_NAMED_MAX {
                    break;
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        let more = if conflicts.len() > CONFLICTS_NAMED_MAX { " and more" } else { "" };
        conflicts.truncate(CONFLICTS_NAMED_MAX);
        Err(Error::Invalid(format!(
            "{}{more} exists in the target already and nothing was written; restore into an empty place, or in place (--in-place), which also continues an interrupted restore",
            conflicts.join(", ")
        )))
    }

    /// Learns the lengths of packs from the footers of the tables, which saves a request per pack.
    fn learn_packs(&self) -> Result<(), Error> {
        let view = self.engine.view;
        let runs = view.runs();
        let named = |class| runs.of(class).iter().flatten();
        for table in named(crate::tree::Class::Content).chain(named(crate::tree::Class::Tree)) {
            let footer = view.tables().footer(table)?;
            view.packs().learn(footer.packs.iter().map(|used| (used.pack, used.summary)));
        }
        Ok(())
    }

    /// The entries of one directory, which exists in the target.
    fn directory(&mut self, walker: &mut Walker<'a>, number: u32) -> Result<(), Error> {
        let mut extra = self.extra_names(&walker.directories.path(number))?;
        while let Some(item) = walker.next()? {
            self.engine.check()?;
            match item {
                Item::Child(child) => {
                    extra.remove(child.name.as_slice());
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
            let path = walker.directories.path_of(number, name);
            if let Err(error) = self.engine.target.remove(&path.names()) {
                self.engine.refused(path.display(), error)?;
            }
        }
        Ok(())
    }

    /// What the target has in a directory, to be removed unless the restore point has it too.
    fn extra_names(&self, path: &PathBytes) -> Result<BTreeSet<Vec<u8>>, Error> {
        let options = self.engine.options;
        if !options.remove_extra || options.dry_run {
            return Ok(BTreeSet::new());
        }
        match self.engine.target.names(&path.names()) {
            Ok(names) => Ok(names.iter().map(<[u8]>::to_vec).collect()),
            Err(error) => {
                self.engine.refused(path.display(), error)?;
                Ok(BTreeSet::new())
            }
        }
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

    fn made_directory(&self, path: &PathBytes) -> Result<(), TargetError> {
        let target = self.engine.target;
        match target.make_directory(&path.names()) {
            Err(TargetError::Occupied { .. }) if self.engine.options.remove_extra => {
                target.remove(&path.names())?;
                target.make_directory(&path.names())
            }
            made => made,
        }
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
        let metadata = match self.reader.metadata(&child.found) {
            Ok(metadata) => metadata,
            Err(error) if self.engine.options.skip_damaged && crate::read::points::concerns_one_object(&error) => {
                self.engine.record(place.path().display(), format!("its attributes cannot be read: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let path = place.path();
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

    /// What stands where an entry should go; a directory in the way is removed if that was asked for.
    fn existing(&self, path: &PathBytes) -> Result<Option<Stat>, TargetError> {
        let (target, options) = (self.engine.target, self.engine.options);
        if !options.in_place {
            return Ok(None);
        }
        let Some(stat) = target.stat(&path.names())? else { return Ok(None) };
        if stat.file_type != FileType::Directory {
            return Ok(Some(stat));
        }
        if options.remove_extra && !options.dry_run {
            target.remove(&path.names())?;
            return Ok(None);
        }
        Err(TargetError::Occupied { what: path.display(), why: "a directory stands there".into() })
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
            if self.engine.options.dry_run {
                continue;
            }
            if let Err(error) = self.engine.target.make_hard_link(&path.names(), &original.names()) {
                self.engine.refused(path.display(), error)?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: PathBytes,
        child: &Child,
        metadata: Metadata,
        existing: Option<Stat>,
    ) -> Result<(), Error> {
        let stands = existing.filter(|stat| stat.file_type == FileType::Regular);
        let usable = stands.filter(|stat| self.may_be_changed(stat, child));
        match &child.found.inode.inline {
            Some(inline) => {
                inline_bytes(self.engine.view, &child.found, &path.display())?;
                if usable.is_some_and(|stat| stat.size == metadata.size)
                    && self.inline_is_equal(&path, &metadata, inline.signature)?
                {
                    return Ok(());
                }
                self.inline(path, metadata, inline)
            }
            None => match usable {
                Some(stat) => self.blocks_in_place(path, &child.found, metadata, &stat),
                None => self.blocks(path, &child.found, metadata),
            },
        }
    }

    /// A file with other names may be changed only if those names are this file's as well: else the change would show under names of another file.
    fn may_be_changed(&mut self, stat: &Stat, child: &Child) -> bool {
        stat.links <= 1 || (child.shared && child.found.inode.links == stat.links && self.claimed.insert(stat.inode))
    }

    /// True if small content is right already; then only its metadata was set.
    fn inline_is_equal(&mut self, path: &PathBytes, metadata: &Metadata, signature: u64) -> Result<bool, Error> {
        let target = self.engine.target;
        let content = &mut self.buffer[..metadata.size as usize];
        let mut filled = 0;
        let read = target.open_file(&path.names(), metadata.size).and_then(|file| {
            while filled < content.len() {
                match file.read_at(filled as u64, &mut content[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            Ok(())
        });
        // What cannot be opened or read is replaced.
        if read.is_err() || filled < content.len() || inline_signature(self.engine.view, content) != signature {
            return Ok(false);
        }
        let progress = &self.engine.options.progress;
        progress.bytes_compared_equal.fetch_add(metadata.size, Ordering::Relaxed);
        progress.files_skipped_equal.fetch_add(1, Ordering::Relaxed);
        self.finish_existing(path, metadata)?;
        Ok(true)
    }

    fn finish_existing(&self, path: &PathBytes, metadata: &Metadata) -> Result<(), Error> {
        if self.engine.options.dry_run {
            return Ok(());
        }
        match self.engine.target.finish_existing(&path.names(), metadata) {
            Ok(()) => Ok(()),
            Err(error) => self.engine.refused(path.display(), error),
        }
    }

    /// Counts what a dry run would write; true: it is one.
    fn only_counted(&self, bytes: u64) -> bool {
        let options = self.engine.options;
        if options.dry_run {
            options.progress.bytes_restored.fetch_add(bytes, Ordering::Relaxed);
        }
        options.dry_run
    }

    fn inline(&mut self, path: PathBytes, metadata: Metadata, inline: &Inline) -> Result<(), Error> {
        if self.only_counted(stored_bytes(&inline.extents)) {
            return Ok(());
        }
        let size = metadata.size;
        let file = Arc::new(FileJob::inline(path, metadata, inline.signature));
        let sources = inline.extents.iter().filter_map(|extent| extent.source.map(|from| (extent, from)));
        let pieces: Vec<_> = sources.filter(|(extent, _)| position(0, extent) < size).collect();
        if pieces.is_empty() {
            self.batch.add_empty(file);
            return self.flush_if_full();
        }
        let number = self.batch.add_file(file.clone());
        for (extent, from) in pieces {
            self.batch.add_piece(number, position(0, extent), from, extent.length);
        }
        // Its pieces are all known; the engine has not begun with the batch, so this is never the last.
        file.piece_done();
        self.flush_if_full()
    }

    /// A large file that is made new.
    fn blocks(&mut self, path: PathBytes, found: &Found, metadata: Metadata) -> Result<(), Error> {
        let size = metadata.size;
        let file = Arc::new(FileJob::blocks(path, metadata, None));
        let mut number = self.batch.add_file(file.clone());
        let mut pieces = 0u64;
        self.blocks.go(found)?;
        while let Some((block, extents)) = self.blocks.next()? {
            for extent in &extents {
                let at = position(block, extent);
                let Some(from) = extent.source.filter(|_| at < size) else { continue };
                if self.only_counted(u64::from(extent.length)) {
                    continue;
                }
                self.batch.add_piece(number, at, from, extent.length);
                pieces += 1;
            }
            if pieces > 1 && self.batch.bytes() > self.batch_bytes_max {
                self.flush()?;
                number = self.batch.add_file(file.clone());
            }
        }
        self.open_files += usize::from(pieces > 1);
        self.all_rows_seen(&file, found);
        self.flush_if_full()
    }

    /// The planner has seen all rows of a large file.
    fn all_rows_seen(&self, file: &FileJob, found: &Found) {
        file.expect_sum(match self.blocks.sum() {
            _ if found.inode.mixed => Expected::Mixed,
            Some(sum) => Expected::Sum(sum),
            None if found.inode.size == 0 => Expected::Sum(Default::default()),
            None => Expected::Missing,
        });
        if !self.engine.options.dry_run {
            self.engine.piece_done(file);
        }
    }

    /// A large file that stands there: its pages are compared, and only what differs is fetched.
    fn blocks_in_place(
        &mut self,
        path: PathBytes,
        found: &Found,
        metadata: Metadata,
        stat: &Stat,
    ) -> Result<(), Error> {
        let (target, options) = (self.engine.target, self.engine.options);
        let size = metadata.size;
        if options.dry_run && stat.size != size {
            // Opening it would already change its size.
            return self.blocks(path, found, metadata);
        }
        let handle = match target.open_file(&path.names(), size) {
            Ok(handle) => handle,
            Err(error @ TargetError::Full { .. }) => return Err(error.into()),
            Err(error) => return self.engine.refused(path.display(), error),
        };
        let file = Arc::new(FileJob::blocks(path, metadata, Some(handle)));
        self.open_files += 1;
        let differs = self.compare_blocks(&file, found)?;
        if !differs && !file.has_failed() {
            options.progress.files_skipped_equal.fetch_add(1, Ordering::Relaxed);
        }
        self.all_rows_seen(&file, found);
        self.flush_if_full()
    }

    /// Compares all blocks of a file in place; true: something differs.
    fn compare_blocks(&mut self, file: &Arc<FileJob>, found: &Found) -> Result<bool, Error> {
        let size = file.size();
        let mut number = self.batch.add_file(file.clone());
        self.blocks.go(found)?;
        self.signs.go(found.node)?;
        let mut next = self.blocks.next()?;
        let (mut any, mut block, blocks) = (false, 0, size.div_ceil(BLOCK_BYTES as u64));
        while block < blocks {
            self.engine.check()?;
            let named = [self.signs.peek(), next.as_ref().map(|(at, _)| *at)].into_iter().flatten().min();
            let named = named.unwrap_or(blocks).clamp(block, blocks);
            let extents = next.take_if(|(at, _)| *at == block).map(|(_, extents)| extents);
            if extents.is_some() {
                next = self.blocks.next()?;
            }
            let (compared, until) = match named > block {
                // Reading what should be a hole costs more than making it one.
                true => (self.empty(file, block..named).map(|()| false), named),
                false => (self.compare_block(file, number, block, &extents.unwrap_or_default()), block + 1),
            };
            match compared {
                Ok(differs) => any |= differs,
                Err(error @ Error::Target(TargetError::Full { .. })) => return Err(error),
                Err(Error::Target(error)) => {
                    self.engine.file_failed(file, FileError::Target(error));
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
            block = until;
            if self.batch.bytes() > self.batch_bytes_max {
                self.flush()?;
                number = self.batch.add_file(file.clone());
            }
        }
        // Rows beyond the end, of a file that was changing while it was read; the last one is the sum.
        while next.is_some() {
            next = self.blocks.next()?;
        }
        Ok(any)
    }

    /// Blocks of a file in place of which the restore point has nothing but zeros.
    fn empty(&self, file: &FileJob, blocks: Range<u64>) -> Result<(), Error> {
        if self.engine.options.dry_run {
            return Ok(());
        }
        let start = blocks.start * BLOCK_BYTES as u64;
        let end = (blocks.end * BLOCK_BYTES as u64).min(file.size());
        Ok(file.with_handle(self.engine.target, |open| open.zero(start, end - start))?)
    }

    fn compare_block(&mut self, file: &FileJob, number: u32, block: u64, extents: &[Extent]) -> Result<bool, Error> {
        let (target, options, view) = (self.engine.target, self.engine.options, self.engine.view);
        let start = block * BLOCK_BYTES as u64;
        let length = (file.size() - start).min(BLOCK_BYTES as u64) as usize;
        let signatures = self.signs.of(block)?;
        let buffer = &mut self.buffer;
        let compared = file
            .with_handle(target, |open| compare(view.domain().hashing(), open, (block, length), &signatures, buffer))?;
        options.progress.bytes_compared_equal.fetch_add(compared.bytes_equal, Ordering::Relaxed);
        file.add_sum(compared.equal);
        for patch in patches(extents, &compared.differs) {
            match patch {
                Patch::Fetch { length, .. } if self.only_counted(u64::from(length)) => {}
                Patch::Fetch { first_page, from, length } => {
                    self.batch.add_piece(number, start + (first_page * PAGE_BYTES) as u64, from, length);
                }
                Patch::Zero { .. } if options.dry_run => {}
                Patch::Zero { first_page, pages } => {
                    let at = start + (first_page * PAGE_BYTES) as u64;
                    let length = ((pages * PAGE_BYTES) as u64).min(file.size() - at);
                    file.with_handle(target, |open| open.zero(at, length))?;
                }
            }
        }
        Ok(compared.any_differs())
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

/// Where the first byte of an extent belongs in its file.
fn position(block: u64, extent: &Extent) -> u64 {
    block.saturating_mul(BLOCK_BYTES as u64).saturating_add(u64::from(extent.first_page) * PAGE_BYTES as u64)
}

fn stored_bytes(extents: &[Extent]) -> u64 {
    extents.iter().filter(|extent| extent.source.is_some()).map(|extent| u64::from(extent.length)).sum()
}
