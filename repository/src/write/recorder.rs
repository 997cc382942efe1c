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
use crate::point;
use crate::point::{
    Description, Outcome, PackContent, PackSet, Point, Reference, Runs, SpaceHint, Statistics, TableRef, VolumeIdentity,
};
use crate::session::{PointId, Session};
use crate::source::{Consistency, Record};
use crate::table::TableSource;
use crate::tree::{Class, PackId, Row};

use super::balance::{Balance, Lost};
use super::evacuate::Evacuation;
use super::losses::Losses;
use super::packer::Packer;
use super::parent::Parent;
use super::pipeline::Pipeline;
use super::rows::{Rows, RunList};
use super::space::{SMALL_PACK_BYTES, Space, Totals};

mod merges;

/// Tables that are being built take at most this much memory together.
const OPEN_TABLE_BYTES_MAX: usize = 12 << 20;
/// What a recorder is built from.
pub(super) struct Parts<'a> {
    pub(super) domain: &'a Domain,
    pub(super) packer: &'a Packer,
    pub(super) rows: &'a Rows,
    pub(super) parent: Option<&'a Parent>,
    pub(super) evacuation: &'a Evacuation,
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
    losses: Losses,
    /// What rows hid, by class, until a table says it.
    lost: [Lost; Class::ALL.len()],
    /// What this run has named and hidden, by class.
    balance: [Balance; Class::ALL.len()],
    /// Bytes that this run has hidden.
    hidden_bytes: u64,
    /// What the last point says of its packs.
    space: Option<SpaceHint>,
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
            parent_id: parts.parent.filter(|parent| !parent.is_foreign()).map(Parent::id),
            losses: Losses::new(parts.parent),
            lost: Default::default(),
            balance: Default::default(),
            hidden_bytes: 0,
            space: None,
            own_bytes: 0,
            parts,
        }
        .with_known()
    }

    /// With what the footers of the parent's tables say of packs, if they were read.
    fn with_known(mut self) -> Self {
        self.known.extend(self.parts.evacuation.space().into_iter().flat_map(Space::summaries));
        self
    }

    /// True if no session was announced: nothing will be committed.
    pub(super) fn is_dry(&self) -> bool {
        self.parts.session.is_none()
    }

    /// How much of the packs of the last restore point is needed.
    pub(super) fn space(&self) -> Option<SpaceHint> {
        self.space
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

    /// Takes the rows in memory, and counts what they name and hide.
    fn take_rows(&mut self) -> Result<[Vec<Row>; Class::ALL.len()], Error> {
        let rows = self.parts.rows.take();
        let mut lost = [self.parts.rows.take_lost(), Lost::new()];
        self.losses.add(&rows[Class::Content as usize], &mut lost[1])?;
        for (class, lost) in [Class::Tree, Class::Content].into_iter().zip(lost) {
            let balance = &mut self.balance[class as usize];
            rows[class as usize].iter().for_each(|row| balance.gain_value(&row.value));
            balance.lose_all(&lost);
            self.hidden_bytes += lost.values().sum::<u64>();
            let pending = &mut self.lost[class as usize];
            lost.into_iter().for_each(|(pack, bytes)| *pending.entry(pack).or_default() += bytes);
        }
        Ok(rows)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let rows = self.take_rows()?;
        for (class, rows) in Class::ALL.into_iter().zip(rows) {
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
            let table = table.with_losses(std::mem::take(&mut self.lost[class as usize]));
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
        let (committed, packs) = self.commit(next_node, outcome, true)?;
        self.parent_id = Some(committed);
        pipeline.dedup.keep(&packs);
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
        let rows = self.take_rows()?;
        let space = self.parts.evacuation.space().cloned().map(|mut space| {
            Class::ALL.into_iter().for_each(|class| space.apply(class, &self.balance[class as usize]));
            space
        });
        for (class, mut rows) in Class::ALL.into_iter().zip(rows) {
            if rows.first().is_some_and(|first| self.runs.continues(class, &first.key)) {
                self.append(class, std::mem::take(&mut rows))?;
            }
            self.close(class)?;
            self.finish_class(class, rows, space.as_ref())?;
        }
        let statistics = report.statistics;
        let (id, _) = self.commit(next_node, report, false)?;
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

    /// How much of the needed packs is needed: counted where the footers of the parent's tables were read, else carried on from what the parent says.
    fn space_hint(&self, needed: &PackSet, statistics: &Statistics) -> SpaceHint {
        let stored = self.parts.packer.stored();
        let own = self.parts.packer.summaries();
        let small = own.iter().filter(|(_, summary)| summary.pack_bytes < SMALL_PACK_BYTES).count() as u64;
        let before = self.parts.parent.map(|parent| parent.point().description.space.unwrap_or_default());
        let Some(space) = self.parts.evacuation.space().cloned().or_else(|| before.is_none().then(Space::default))
        else {
            let before = before.unwrap_or_default();
            return SpaceHint {
                packs_bytes: before.packs_bytes.saturating_add(stored.total),
                live_bytes: before.live_bytes.saturating_add(stored.content),
                content_bytes: before.content_bytes.saturating_add(statistics.bytes_new + statistics.bytes_moved),
                hidden_bytes: before.hidden_bytes.saturating_add(self.hidden_bytes),
                small_packs: before.small_packs.saturating_add(small),
            };
        };
        let space = self.space_now(space, &own);
        let Totals { packs_bytes, live_bytes, content_bytes, small_packs } = space.totals(|pack| needed.contains(pack));
        SpaceHint { packs_bytes, live_bytes, content_bytes, hidden_bytes: 0, small_packs }
    }

    /// The space of the parent, after what this run named, hid, wrote and merged.
    fn space_now(&self, mut space: Space, own: &[(PackId, PackSummary)]) -> Space {
        Class::ALL.into_iter().for_each(|class| space.apply(class, &self.balance[class as usize]));
        space.know(own);
        space.relist(self.runs.tree.tables().map(|(class, table)| (class, table.pack, table.bytes)));
        space
    }

    /// Returns the restore point and the packs that it names.
    fn commit(&mut self, next_node: u64, report: Report, checkpoint: bool) -> Result<(PointId, PackSet), Error> {
        self.parts.packer.finish()?;
        // The last moment: after this the restore point exists.
        if self.parts.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        self.runs.tree.next_node = next_node;
        let needed = self.needed_packs()?;
        let space = self.space_hint(&needed, &report.statistics);
        self.space = Some(space);
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
                packs: needed.clone(),
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
                space: Some(space),
                trust: report.record,
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
        Ok((id, needed))
    }
}

/// What the sweep has to say at the end.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) missed: u64,
    pub(super) statistics: Statistics,
    /// What the source wants the next run to know.
    pub(super) record: Record,
}
