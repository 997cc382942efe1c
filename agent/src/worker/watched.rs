//! Watched: a source as a worker reads it.
//!
//! In: calls of the engine. Out: the same calls of the real source, known to be under way while they are, and reads at the pace that the node can bear. Never: another
//! answer than the source's, but that what events named is suspected.

use std::ops::Range;
use std::sync::Arc;

use repository::source::{
    Attributes, Content, Directory, Names, ReadPlan, ReadVerdict, Record, Source, SourceDescription, SourceError, Stat,
    Walked,
};

use super::inflight::InFlight;
use super::manners::Manners;

/// A source whose calls are watched, and whose reads wait their turn.
pub(super) struct Watched<'a> {
    source: &'a dyn Source,
    /// Inodes that the kernel's events named, ascending.
    heard: Vec<u64>,
    calls: Arc<InFlight>,
    manners: Arc<Manners>,
}

impl<'a> Watched<'a> {
    /// Watches `source`.
    pub(super) fn new(
        source: &'a dyn Source,
        heard: Vec<u64>,
        calls: Arc<InFlight>,
        manners: Arc<Manners>,
    ) -> Watched<'a> {
        Watched { source, heard, calls, manners }
    }
}

struct WatchedDirectory<'a> {
    directory: Box<dyn Directory + 'a>,
    calls: Arc<InFlight>,
    manners: Arc<Manners>,
}

struct WatchedContent {
    content: Box<dyn Content>,
    calls: Arc<InFlight>,
    manners: Arc<Manners>,
}

impl Source for Watched<'_> {
    fn describe(&self) -> SourceDescription {
        self.source.describe()
    }

    fn root(&self) -> Result<(Stat, Attributes), SourceError> {
        self.calls.during(|| self.source.root())
    }

    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError> {
        let directory = self.calls.during(|| self.source.directory(path))?;
        Ok(Box::new(WatchedDirectory { directory, calls: self.calls.clone(), manners: self.manners.clone() }))
    }

    fn still_there(&self) -> Result<(), SourceError> {
        self.calls.during(|| self.source.still_there())
    }

    fn plan(&self, record: &Record) -> ReadPlan {
        self.source.plan(record)
    }

    fn record(&self, record: &Record, walked: &Walked<'_>) -> Record {
        self.source.record(record, walked)
    }

    fn suspects(&self, stat: &Stat) -> bool {
        self.heard.binary_search(&stat.inode).is_ok() || self.source.suspects(stat)
    }
}

impl Directory for WatchedDirectory<'_> {
    fn names(&self) -> Result<Names, SourceError> {
        self.calls.during(|| self.directory.names())
    }

    fn stat(&self, name: &[u8]) -> Result<Option<Stat>, SourceError> {
        self.calls.during(|| self.directory.stat(name))
    }

    fn attributes(&self, name: &[u8], stat: &Stat) -> Result<Attributes, SourceError> {
        self.calls.during(|| self.directory.attributes(name, stat))
    }

    fn open(&self, name: &[u8], stat: &Stat) -> Result<Box<dyn Content>, SourceError> {
        let content = self.calls.during(|| self.directory.open(name, stat))?;
        Ok(Box::new(WatchedContent { content, calls: self.calls.clone(), manners: self.manners.clone() }))
    }
}

impl Content for WatchedContent {
    fn attributes(&mut self) -> Result<Attributes, SourceError> {
        self.calls.during(|| self.content.attributes())
    }

    fn next_data(&mut self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        self.calls.during(|| self.content.next_data(offset))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let WatchedContent { content, calls, manners } = self;
        manners
            .read(|| calls.during(|| content.read_at(offset, buffer)), |read| read.as_ref().map_or(0, |bytes| *bytes))
    }

    fn finish(&mut self) -> Result<ReadVerdict, SourceError> {
        self.calls.during(|| self.content.finish())
    }
}
