//! Recorder: the restore point being made: its session, packs, runs and statistics.
//!
//! In: rows and blobs as they come. Out: tables when memory asks for it, checkpoints on the way, the restore point at the end. Never: a restore point that
//! names a pack which was not acknowledged.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::domain::Domain;
use crate::pack::PackSummary;
use crate::point::{
    Description, Outcome, PackContent, PackSet, Point, Reference, Runs, Statistics, TableRef, VolumeIdentity,
};
use crate::session::{PointId, Session};
use crate::source::Consistency;
use crate::table::TableSource;
use crate::tree::plan::{DeadSpace, RunSize, plan_merges};
use crate::tree::{Class, Merged, Mode, PackId, Row, Run, VecRun};
use crate::{point, table};

use super::packer::Packer;
use super::parent::{Parent, summaries_of};
use super::pipeline::Pipeline;
use super::rows::{Rows, RunList, write_run};

/// Tables that are being built take at most this much memory together.
const OPEN_TABLE_BYTES_MAX: usize = 12 << 20;
/// Rows in memory turn into table rows of about this share of their size.
const ENCODED_SHARE: u64 = 4;

/// What a recorder is built from.
pub(super) struct Parts<'a> {
    pub(super) domain: &'a Domain,
    pub(super) packer: &'a Packer,
    pub(super) rows: &'a Rows,
    pub(super) parent: Option<&'a Parent>,
    pub(super) session: Option<Session>,
    pub(super) identity: VolumeIdentity,
    pub(super) consistency: Consistency,
    pub(super) writer: String,
    pub(super) limits: Limits,
    pub(super) cancel: &'a AtomicBool,
}

/// When to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Rows in memory.
    pub(super) row_bytes_max: usize,
    /// A checkpoint is made after so many stored bytes; `None`: never.
    pub(super) checkpoint_bytes: Option<u64>,
    /// How much of a table is read with one request.
    pub(super) window_bytes: u64,
}

/// The restore point being made.
pub(super) struct Recorder<'a> {
    parts: Parts<'a>,
    runs: RunList,
    /// What is known of packs that are not of this run.
    known: HashMap<PackId, PackSummary>,
    /// The packs that tables of this run name, by pack and offset of the table.
    named: HashMap<(PackId, u64), Vec<PackId>>,
    table_packs: HashMap<PackId, point::TablePack>,
    source: Arc<TableSource>,
    stored_at_checkpoint: u64,
    parent_id: Option<PointId>,
    /// Bytes of announcements and restore points.
    own_bytes: u64,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Recorder<'a> {
        let tree = parts.parent.map(|parent| parent.tree().clone()).unwrap_or_default();
        let listed = parts.parent.map(|parent| parent.point().runs.packs.clone()).unwrap_or_default();
        let source = match parts.parent {
            Some(parent) => parent.tables().clone(),
            None => Arc::new(TableSource::new(parts.domain, &[], parts.limits.window_bytes)),
        };
        Recorder {
            runs: RunList::new(tree),
            known: listed.iter().map(|pack| (pack.pack, pack.summary)).collect(),
            named: HashMap::new(),
            table_packs: listed.into_iter().map(|pack| (pack.pack, pack)).collect(),
            source,
            stored_at_checkpoint: 0,
            parent_id: parts.parent.map(Parent::id),
            own_bytes: 0,
            parts,
        }
    }

    /// True if no session was announced: nothing will be committed.
    pub(super) fn is_dry(&self) -> bool {
        self.parts.session.is_none()
    }

    /// The node number to begin with.
    pub(super) fn next_node(&self) -> u64 {
        self.runs.tree.next_node
    }

    /// Writes the rows in memory if they take more than their share; called all the time, so here the session shows that it is alive.
    pub(super) fn flush_if_full(&mut self, pipeline: &Pipeline<'_>) -> Result<(), Error> {
        if let Some(session) = &self.parts.session {
            session.show_life(self.parts.packer.stored().total);
        }
        if self.parts.rows.bytes() < self.parts.limits.row_bytes_max {
            return Ok(());
        }
        // Drained first, so that the rows of everything read so far are there and the next run can continue this one.
        pipeline.drain()?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        for (class, rows) in Class::ALL.into_iter().zip(self.parts.rows.take()) {
            self.append(class, rows)?;
        }
        while let Some((class, _)) = self.runs.largest().filter(|(_, bytes)| *bytes > OPEN_TABLE_BYTES_MAX) {
            self.place(class)?;
        }
        Ok(())
    }

    /// Adds rows to the newest run, or begins a run with them.
    fn append(&mut self, class: Class, rows: Vec<Row>) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        if !self.runs.continues(class, &first.key) {
            self.close(class)?;
            self.runs.begin(class)?;
        }
        for row in rows {
            if self.runs.push(class, row)? {
                self.place(class)?;
            }
        }
        Ok(())
    }

    /// Puts the table that is being built into a pack.
    fn place(&mut self, class: Class) -> Result<(), Error> {
        if let Some(table) = self.runs.take_table(class)? {
            let known = |pack: PackId| self.known.get(&pack).copied().unwrap_or_default();
            let placed = self.parts.packer.add_table(&table, &known)?;
            self.named.insert((placed.pack, placed.offset), table.packs().to_vec());
            self.runs.add(class, placed);
        }
        Ok(())
    }

    fn close(&mut self, class: Class) -> Result<(), Error> {
        self.place(class)?;
        self.runs.close(class);
        Ok(())
    }

    fn write(&mut self, class: Class, mut rows: impl Run<Error = Error>) -> Result<Vec<TableRef>, Error> {
        let written = write_run(class, || rows.next(), self.parts.packer, &self.known)?;
        let mut tables = Vec::with_capacity(written.len());
        for (table, packs) in written {
            self.named.insert((table.pack, table.offset), packs);
            tables.push(table);
        }
        Ok(tables)
    }

    /// True when so much was stored that a run that is killed should not have to begin again.
    pub(super) fn checkpoint_is_due(&self) -> bool {
        let stored = self.parts.packer.stored().total - self.stored_at_checkpoint;
        self.parts.limits.checkpoint_bytes.is_some_and(|limit| stored >= limit)
    }

    /// Commits what there is as a checkpoint, and goes on under a new session that pins it.
    pub(super) fn checkpoint(
        &mut self,
        pipeline: &Pipeline<'_>,
        next_node: u64,
        report: Report,
    ) -> Result<PointId, Error> {
        pipeline.drain()?;
        self.flush()?;
        // What follows belongs to another restore point, so it begins runs of its own.
        Class::ALL.into_iter().try_for_each(|class| self.close(class))?;
        let outcome = Report { outcome: Outcome::Partial, ..report };
        let committed = self.commit(next_node, outcome, true)?;
        self.parent_id = Some(committed);
        self.stored_at_checkpoint = self.parts.packer.stored().total;
        let session = Session::open(self.parts.domain, committed.volume, vec![committed], &self.parts.writer)?;
        if session.pins().is_empty() {
            return Err(Error::Aborted {
                session: committed.session,
                why: "its checkpoint was removed at once".into(),
            });
        }
        self.parts.packer.next_session(session.id());
        if let Some(journal) = self.parts.packer.journal() {
            let begun = journal.begin(session.id(), session.announcement(), None);
            begun.map_err(|source| Error::Invalid(format!("the journal cannot be written: {source}")))?;
        }
        self.parts.session = Some(session);
        Ok(committed)
    }

    /// The end of the run: the rest of the rows, merges that are due, the restore point.
    pub(super) fn finish(
        &mut self,
        pipeline: &Pipeline<'_>,
        next_node: u64,
        report: Report,
    ) -> Result<(PointId, Statistics), Error> {
        pipeline.drain()?;
        let rows = self.parts.rows.take();
        for (class, mut rows) in Class::ALL.into_iter().zip(rows) {
            if rows.first().is_some_and(|first| self.runs.continues(class, &first.key)) {
                self.append(class, std::mem::take(&mut rows))?;
            }
            self.close(class)?;
            self.finish_class(class, rows)?;
        }
        let statistics = report.statistics;
        let id = self.commit(next_node, report, false)?;
        Ok((id, self.with_stored(statistics)))
    }

    /// The end of a run that stores nothing: what the rest of the rows would have taken. Merges that would be due are not counted.
    pub(super) fn finish_dry(&mut self, statistics: Statistics) -> Result<Statistics, Error> {
        self.flush()?;
        Class::ALL.into_iter().try_for_each(|class| self.close(class))?;
        self.parts.packer.finish()?;
        Ok(self.with_stored(statistics))
    }

    /// What was put so far: packs, announcements, restore points.
    fn with_stored(&self, statistics: Statistics) -> Statistics {
        let stored = self.parts.packer.stored();
        let total = stored.total + self.own_bytes;
        Statistics { bytes_stored: total, bytes_stored_metadata: total - stored.content, ..statistics }
    }

    /// Writes the last rows of one class; what is due for merging is merged on the way, so that everything is written once.
    fn finish_class(&mut self, class: Class, rows: Vec<Row>) -> Result<(), Error> {
        if rows.is_empty() && !self.runs.wrote(class) {
            return Ok(());
        }
        let mut memory = (!rows.is_empty()).then(|| Arc::new(rows));
        let in_memory = usize::from(memory.is_some());
        let mut sizes: Vec<RunSize> = memory.iter().map(|rows| RunSize { stored_bytes: estimate(rows) }).collect();
        sizes.extend(
            self.runs
                .tree
                .of(class)
                .iter()
                .map(|tables| RunSize { stored_bytes: tables.iter().map(|table| table.bytes).sum() }),
        );
        // Oldest first, so that the positions of what is still to do stay what they were.
        for group in plan_groups(sizes).into_iter().rev().filter(|group| group.len() > 1) {
            let rows = if group.start == 0 { memory.take() } else { None };
            let range = group.start.saturating_sub(in_memory)..group.end - in_memory;
            let lowest = range.end == self.runs.tree.of(class).len();
            let tables = self.merge(class, rows, range.clone(), lowest)?;
            self.runs.replace(class, range, tables);
        }
        if let Some(rows) = memory {
            self.append(class, Arc::unwrap_or_clone(rows))?;
            self.close(class)?;
        }
        Ok(())
    }

    /// Merges rows in memory, if given, on top of a range of runs.
    fn merge(
        &mut self,
        class: Class,
        memory: Option<Arc<Vec<Row>>>,
        range: std::ops::Range<usize>,
        lowest: bool,
    ) -> Result<Vec<TableRef>, Error> {
        let inputs: Vec<Vec<TableRef>> = self.runs.tree.of(class)[range].to_vec();
        if inputs.iter().flatten().any(|table| self.parts.packer.is_open(table.pack)) {
            self.parts.packer.finish()?;
        }
        self.source.add_packs(self.parts.packer.table_packs());
        for tables in &inputs {
            summaries_of(&self.source, tables, &mut self.known)?;
        }
        let mut runs: Vec<Box<dyn Run<Error = Error>>> = Vec::new();
        if let Some(rows) = memory {
            runs.push(Box::new(VecRun::new(rows)));
        }
        for tables in inputs {
            runs.push(Box::new(table::TableRun::new(class, self.source.clone(), tables)));
        }
        self.write(class, Merged::new(class, runs, Mode::Merge { lowest }))
    }

    /// Every pack that the listed tables name or lie in. Tables of this run are known, and as long as all tables of the parent are listed its own reference part
    /// stands for them; only when a merge dropped one are the footers of the others asked.
    fn needed_packs(&self) -> Result<PackSet, Error> {
        let key = |table: &TableRef| (table.pack, table.offset);
        let listed: HashSet<(PackId, u64)> = self.runs.tree.tables().map(|(_, table)| key(table)).collect();
        let all_listed = |parent: &&Parent| parent.tree().tables().all(|(_, table)| listed.contains(&key(table)));
        let inherited = self.parts.parent.filter(all_listed);
        let mut needed = inherited.map(|parent| parent.packs().clone()).unwrap_or_default();
        for (_, table) in self.runs.tree.tables() {
            needed.add(table.pack, PackContent { data: false, tables: true });
            match self.named.get(&key(table)) {
                Some(packs) => {
                    packs.iter().for_each(|pack| needed.add(*pack, PackContent { data: true, tables: false }))
                }
                None if inherited.is_some() => {}
                None => {
                    let used = self.source.footer(table)?.packs;
                    used.iter().for_each(|used| needed.add(used.pack, PackContent { data: true, tables: false }));
                }
            }
        }
        Ok(needed)
    }

    fn commit(&mut self, next_node: u64, report: Report, checkpoint: bool) -> Result<PointId, Error> {
        self.parts.packer.finish()?;
        // The last moment: after this the restore point exists.
        if self.parts.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        self.runs.tree.next_node = next_node;
        let needed = self.needed_packs()?;
        self.table_packs.extend(self.parts.packer.table_packs().into_iter().map(|pack| (pack.pack, pack)));
        let mut listed: Vec<PackId> = self.runs.tree.tables().map(|(_, table)| table.pack).collect();
        listed.sort();
        listed.dedup();
        let lost = |pack: &PackId| Error::Bug(format!("what opens table pack {pack:?} was lost"));
        let packs = listed
            .iter()
            .map(|pack| self.table_packs.get(pack).copied().ok_or_else(|| lost(pack)))
            .collect::<Result<_, _>>()?;
        let now = self.parts.domain.now();
        let statistics = self.with_stored(report.statistics);
        let point = Point {
            reference: Reference {
                checkpoint,
                created_ms: now.as_millisecond(),
                parent: self.parent_id.map(|parent| parent.session),
                packs: needed,
            },
            description: Description {
                time: now.to_string(),
                volume: self.parts.identity.clone(),
                parent: self.parent_id.map(|parent| parent.session),
                outcome: report.outcome,
                checkpoint,
                consistency: match self.parts.consistency {
                    Consistency::Snapshot => point::Consistency::Snapshot,
                    Consistency::Frozen => point::Consistency::Frozen,
                    Consistency::Live => point::Consistency::Live,
                },
                statistics,
                missed: report.missed,
                trust: serde_json::Map::new(),
                signature: None,
            },
            runs: Runs { packs, trees: vec![self.runs.tree.clone()] },
        };
        let session = self.parts.session.take().ok_or_else(|| Error::Bug("a session was committed twice".into()))?;
        let sealed = session.seal(&point)?;
        if let Some(Err(source)) = self.parts.packer.journal().map(|journal| journal.committing(&sealed)) {
            return Err(Error::Invalid(format!("the journal cannot be written: {source}")));
        }
        let (id, own_bytes) = session.commit_sealed(sealed)?;
        self.own_bytes += own_bytes;
        Ok(id)
    }
}

/// What the sweep has to say at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) missed: u64,
    pub(super) statistics: Statistics,
}

/// Which runs end up as one, when everything that is due is merged: planned on sizes alone, so that no run is written only to be merged again.
fn plan_groups(mut sizes: Vec<RunSize>) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = (0..sizes.len()).map(|run| run..run + 1).collect();
    while let Some(range) = plan_merges(&sizes, DeadSpace::default()).into_iter().next() {
        let merged = RunSize { stored_bytes: sizes[range.clone()].iter().map(|size| size.stored_bytes).sum() };
        let span = groups[range.start].start..groups[range.end - 1].end;
        sizes.splice(range.clone(), [merged]);
        groups.splice(range, [span]);
    }
    groups
}

/// About how many stored bytes rows in memory will take: only the plan of merges depends on it.
fn estimate(rows: &[Row]) -> u64 {
    rows.len() as u64 * (size_of::<Row>() as u64 / ENCODED_SHARE)
}
