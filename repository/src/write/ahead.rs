//! Ahead: small files are read by several threads while the sweep goes on, because waiting for one after the other is most of what they cost.
//!
//! In: entries of one directory at a time, with their stats. Out: what reading each gave, in the order in which the sweep asked. Never: decides what is recorded,
//! or has more bytes under way than its share.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::Error;
use crate::source::{Attributes, Content, Directory, ReadVerdict, SourceError, Stat};

use super::content::INLINE_BYTES_MAX;
use super::frontier::At;
use super::path::DirectoryPath;

/// Threads that read small files: more than cores, because most of their time is waiting.
pub(super) const READERS: usize = 4;
/// Files that one thread reads in one go: waking it costs as much as reading one.
const GROUP_FILES_MAX: usize = 16;
/// Groups under way at the same time: each keeps its directory open, and a process often may have no more than 1024 files open.
const GROUPS_MAX: usize = 64;
/// What a file takes beside its content while it is under way.
const FILE_BYTES: u64 = 1024;

/// A small file that was read whole.
pub(super) struct SmallFile {
    pub(super) content: Vec<u8>,
    /// Or why they could not be read.
    pub(super) attributes: Result<Attributes, SourceError>,
    pub(super) verdict: ReadVerdict,
}

/// What reading a small file gave; `None`: it has grown out of that.
pub(super) type SmallRead = Result<Option<SmallFile>, SourceError>;

/// Opens and reads one file.
pub(super) fn read_small(directory: &dyn Directory, name: &[u8], stat: &Stat) -> SmallRead {
    let mut open = directory.open(name, stat)?;
    let attributes = match open.attributes() {
        Err(error) if !matches!(error, SourceError::Unreadable { .. }) => return Err(error),
        attributes => attributes,
    };
    let Some(content) = read_whole(open.as_mut(), stat.size)? else { return Ok(None) };
    Ok(Some(SmallFile { content, attributes, verdict: open.finish()? }))
}

fn read_whole(open: &mut dyn Content, size: u64) -> Result<Option<Vec<u8>>, SourceError> {
    // One byte more than expected shows whether it has grown.
    let mut bytes = vec![0; (size as usize + 1).min(INLINE_BYTES_MAX + 1)];
    let mut filled = 0;
    loop {
        filled += open.read_at(filled as u64, &mut bytes[filled..])?;
        if filled < bytes.len() {
            bytes.truncate(filled);
            return Ok(Some(bytes));
        }
        if filled > INLINE_BYTES_MAX {
            return Ok(None);
        }
        bytes.resize((filled * 2).min(INLINE_BYTES_MAX + 1), 0);
    }
}

/// What a reader works on.
pub(super) struct Job<'s> {
    directory: Arc<dyn Directory + 's>,
    files: Vec<(Box<[u8]>, Stat)>,
    results: Sender<Vec<SmallRead>>,
}

impl Job<'_> {
    fn work(self) {
        let read = self.files.iter().map(|(name, stat)| read_small(&*self.directory, name, stat)).collect();
        // Nobody waits for it any more when the run has failed.
        let _ = self.results.send(read);
    }
}

/// A reader: until there are no more jobs.
pub(super) fn run_reader(jobs: &Receiver<Job<'_>>) {
    jobs.iter().for_each(Job::work);
}

/// Files of one directory; `T` is what the sweep wants to know again when they have been read.
pub(super) struct Group<'s, T> {
    pub(super) directory: Arc<dyn Directory + 's>,
    pub(super) node: u64,
    pub(super) path: Arc<DirectoryPath>,
    pub(super) files: Vec<(Box<[u8]>, Stat, T)>,
}

/// The files of a group, read.
pub(super) struct Arrived<'s, T> {
    pub(super) group: Group<'s, T>,
    pub(super) reads: Vec<SmallRead>,
}

struct UnderWay<'s, T> {
    group: Group<'s, T>,
    bytes: u64,
    results: Receiver<Vec<SmallRead>>,
}

/// What was asked for and has not been taken back yet.
pub(super) struct Ahead<'s, T> {
    /// `None`: there are no readers, whoever asks reads.
    jobs: Option<Sender<Job<'s>>>,
    filling: Option<Group<'s, T>>,
    under_way: VecDeque<UnderWay<'s, T>>,
    bytes: u64,
    bytes_max: u64,
}

impl<'s, T> Ahead<'s, T> {
    /// `bytes_max`: its share of the memory budget.
    pub(super) fn new(jobs: Option<Sender<Job<'s>>>, bytes_max: u64) -> Ahead<'s, T> {
        Ahead { jobs, filling: None, under_way: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Asks for a file. Which groups there are depends on what is asked for alone, never on time: a run that is repeated makes the same bundles.
    pub(super) fn ask(
        &mut self,
        directory: &Arc<dyn Directory + 's>,
        at: At<'_>,
        stat: &Stat,
        about: T,
    ) -> Result<(), Error> {
        let (node, path, name) = at;
        if self.filling.as_ref().is_some_and(|group| group.node != node || group.files.len() >= GROUP_FILES_MAX) {
            self.send()?;
        }
        let begin = || Group { directory: directory.clone(), node, path: path.clone(), files: Vec::new() };
        self.filling.get_or_insert_with(begin).files.push((name.into(), stat.clone(), about));
        self.bytes += stat.size + FILE_BYTES;
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        let Some(group) = self.filling.take() else { return Ok(()) };
        let (results, arrives) = crossbeam_channel::bounded(1);
        let files: Vec<_> = group.files.iter().map(|(name, stat, _)| (name.clone(), stat.clone())).collect();
        let bytes = files.iter().map(|(_, stat)| stat.size + FILE_BYTES).sum();
        let job = Job { directory: group.directory.clone(), files, results };
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|_| Error::Bug("the readers ended before the sweep".into()))?,
            None => job.work(),
        }
        self.under_way.push_back(UnderWay { group, bytes, results: arrives });
        Ok(())
    }

    /// The oldest group, if more is under way than may be.
    pub(super) fn take_if_full(&mut self) -> Result<Option<Arrived<'s, T>>, Error> {
        if self.bytes > self.bytes_max || self.under_way.len() > GROUPS_MAX { self.take() } else { Ok(None) }
    }

    /// The oldest group; waits for it.
    pub(super) fn take(&mut self) -> Result<Option<Arrived<'s, T>>, Error> {
        if self.under_way.is_empty() {
            self.send()?;
        }
        let Some(UnderWay { group, bytes, results }) = self.under_way.pop_front() else { return Ok(None) };
        self.bytes -= bytes;
        let reads = results.recv().map_err(|_| Error::Bug("a reader panicked".into()))?;
        Ok(Some(Arrived { group, reads }))
    }
}
