//! Restore points of the model: lists of runs, and the merges between them.
//!
//! In: rows of a backup, ranges to merge. Out: runs as they come back from table blocks. Never: changes a run.

use std::ops::Range;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;
use repository::tree::block::{BlockBuilder, TableIndex, decode_block};
use repository::tree::plan::{DeadSpace, RunSize, plan_merges};
use repository::tree::rules::Rules;
use repository::tree::{Class, Merged, Mode, PackList, Row, Run, Value, VecRun};

use crate::Failure;
use crate::state::State;

/// A run, and how large it is in table blocks.
#[derive(Clone)]
pub(crate) struct StoredRun {
    pub(crate) rows: Arc<Vec<Row>>,
    pub(crate) bytes: u64,
}

/// A restore point: what it must show, and its runs per class, newest first.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) state: Arc<State>,
    pub(crate) runs: [Vec<StoredRun>; 5],
}

impl Point {
    /// Before the first backup.
    pub(crate) fn nothing() -> Point {
        Point { state: Arc::new(State::nothing()), runs: Default::default() }
    }

    pub(crate) fn cursors(&self, class: Class) -> Vec<VecRun> {
        self.runs[class as usize].iter().map(|run| VecRun::new(run.rows.clone())).collect()
    }
}

/// Writes rows into table blocks, closed at random, and reads them back; the index must find every row.
pub(crate) fn store(class: Class, rows: Vec<Row>, rng: &mut SmallRng) -> Result<Option<StoredRun>, Failure> {
    if rows.is_empty() {
        return Ok(None);
    }
    let wrong = |what: String| Failure::new(class, what);
    let mut builder = BlockBuilder::new(class);
    let mut packs = PackList::new();
    let mut blocks = Vec::new();
    for row in &rows {
        builder.push(row, &mut packs).map_err(|error| wrong(format!("{error} {row:?}")))?;
        if builder.is_full() || rng.random_bool(0.1) {
            blocks.extend(builder.finish_block());
        }
    }
    blocks.extend(builder.finish_block());
    let entries = blocks.iter().map(|block| block.entry.clone()).collect();
    let index = TableIndex { blocks: entries, last_key: builder.last_key().to_vec() };
    let index_again = TableIndex::decode(class, &index.encode()).map_err(|error| wrong(format!("index: {error}")))?;
    let mut again = Vec::with_capacity(rows.len());
    for (number, block) in blocks.iter().enumerate() {
        let part =
            decode_block(class, &block.plain, packs.packs()).map_err(|error| wrong(format!("block: {error}")))?;
        if let Some(row) = part.iter().find(|row| index_again.find(&row.key) != Some(number)) {
            return Err(wrong(format!("the index does not find {row:?}")));
        }
        again.extend(part);
    }
    if again != rows || index_again != index {
        return Err(wrong("a run is not read as it was written".to_owned()));
    }
    let bytes = blocks.iter().map(|block| block.plain.len() as u64).sum();
    Ok(Some(StoredRun { rows: Arc::new(again), bytes }))
}

/// How a campaign merges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeHabit {
    /// As the planner says.
    pub(crate) planned: bool,
    /// How often, beside, a random range of runs.
    pub(crate) random: f64,
    /// When there are more runs than this, a random range.
    pub(crate) runs_max: usize,
}

/// Merges some runs of a class, or none; true if it did.
pub(crate) fn merge_some(
    point: &mut Point,
    class: Class,
    habit: MergeHabit,
    rules: Rules,
    rng: &mut SmallRng,
) -> Result<bool, Failure> {
    let runs = &point.runs[class as usize];
    let range = if runs.len() > 1 && (runs.len() > habit.runs_max || rng.random_bool(habit.random)) {
        // Mostly few runs: a merge of many hides what a merge of two does.
        let first = rng.random_range(0..runs.len() - 1);
        let most = if rng.random_bool(0.7) { runs.len().min(first + 4) } else { runs.len() };
        Some(first..rng.random_range(first + 2..=most))
    } else if habit.planned {
        let sizes: Vec<RunSize> = runs.iter().map(|run| RunSize { stored_bytes: run.bytes }).collect();
        plan_merges(&sizes, DeadSpace::default())
    } else {
        None
    };
    let Some(range) = range else { return Ok(false) };
    merge(point, class, range, rules, rng)?;
    Ok(true)
}

fn merge(
    point: &mut Point,
    class: Class,
    range: Range<usize>,
    rules: Rules,
    rng: &mut SmallRng,
) -> Result<(), Failure> {
    let runs = &point.runs[class as usize];
    let lowest = range.end == runs.len();
    let cursors: Vec<VecRun> = runs[range.clone()].iter().map(|run| VecRun::new(run.rows.clone())).collect();
    let mut merged = Merged::with_rules(class, cursors, Mode::Merge { lowest }, rules);
    let mut rows = Vec::new();
    while let Ok(Some(row)) = merged.next() {
        rows.push(row);
    }
    if let Some(row) = rows.iter().find(|row| lowest && hides(row)) {
        return Err(Failure::new(class, format!("the lowest run has a row that hides: {row:?}")));
    }
    let stored = store(class, rows, rng)?;
    point.runs[class as usize].splice(range, stored);
    Ok(())
}

/// True for what only matters if something is below.
fn hides(row: &Row) -> bool {
    match &row.value {
        Value::Tombstone | Value::Head(_) => true,
        Value::Block(extents) => extents.is_empty() || extents.iter().any(|extent| extent.source.is_none()),
        Value::Sign(signs) => signs.ranges.is_empty() || signs.signatures.contains(&0),
        _ => false,
    }
}
