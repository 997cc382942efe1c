//! Rows: metadata of the run, collected in memory, written as tables.
//!
//! In: rows from any thread, in any order. Out: per class, sorted runs of tables. Never: more rows in memory than one share of the budget, or a table whose rows
//! name a pack that the store has not acknowledged.

use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::point::{TableRef, TreeRuns};
use crate::table::{BuiltTable, TableBuilder};
use crate::tree::{Class, Inode, Row, Value};

use super::balance::Lost;

/// What a row takes in memory beside its key, lists and names: the struct itself and its allocations.
const ROW_BYTES: usize = size_of::<Row>() + 96;

#[derive(Default)]
struct Memtable {
    classes: [Vec<Row>; Class::ALL.len()],
    bytes: usize,
    /// What rows of the class tree hide.
    lost: Lost,
}

/// Rows that are not in a table yet.
#[derive(Default)]
pub(super) struct Rows {
    memtable: Mutex<Memtable>,
}

impl Rows {
    /// Adds a row; a later row of the same key replaces an earlier one.
    pub(super) fn add(&self, class: Class, key: Vec<u8>, value: Value) {
        let bytes = ROW_BYTES + key.len() + weight(&value);
        let mut memtable = self.memtable.lock().unwrap_or_else(PoisonError::into_inner);
        memtable.bytes += bytes;
        memtable.classes[class as usize].push(Row { key, value });
    }

    /// Notes that a row of the class tree hides what an older one says of an inode.
    pub(super) fn hide(&self, inode: &Inode) {
        let mut memtable = self.memtable.lock().unwrap_or_else(PoisonError::into_inner);
        inode.visit_locations(|location, bytes| *memtable.lost.entry(location.pack).or_default() += u64::from(bytes));
    }

    /// Takes what rows of the class tree have hidden since this was last asked.
    pub(super) fn take_lost(&self) -> Lost {
        std::mem::take(&mut self.memtable.lock().unwrap_or_else(PoisonError::into_inner).lost)
    }

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.memtable.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Takes all rows, sorted, the last one of each key.
    pub(super) fn take(&self) -> [Vec<Row>; Class::ALL.len()] {
        let mut classes = {
            let mut memtable = self.memtable.lock().unwrap_or_else(PoisonError::into_inner);
            memtable.bytes = 0;
            std::mem::take(&mut memtable.classes)
        };
        for rows in &mut classes {
            rows.sort_by(|a, b| a.key.cmp(&b.key));
            // `dedup_by` drops its first argument, which is the later element: swap, so that the later row stays.
            rows.dedup_by(|later, earlier| {
                let same = later.key == earlier.key;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        classes
    }
}

fn weight(value: &Value) -> usize {
    let mut places = 0;
    value.visit_locations(|_, _| places += 1);
    let own = match value {
        Value::Sign(signs) => 8 * signs.signatures.len(),
        Value::Node { name, .. } => name.len(),
        Value::Missed(missed) => missed.why.len(),
        _ => 0,
    };
    own + places * size_of::<crate::tree::Extent>()
}

/// A run of this backup that further rows may continue, and its table that is not placed yet.
pub(super) struct OpenRun {
    pub(super) builder: TableBuilder,
    /// Its last key.
    until: Vec<u8>,
}

/// The runs of the tree being written. The newest run of a class stays open as long as rows come in ascending order, so that rows which are flushed from memory
/// in many small portions still end up in few large tables.
#[derive(Default)]
pub(super) struct RunList {
    /// As the restore point will list them.
    pub(super) tree: TreeRuns,
    open: [Option<OpenRun>; Class::ALL.len()],
    wrote: [bool; Class::ALL.len()],
}

impl RunList {
    /// On top of a parent's runs.
    pub(super) fn new(tree: TreeRuns) -> RunList {
        RunList { tree, ..RunList::default() }
    }

    /// True if this backup has written a run of this class.
    pub(super) fn wrote(&self, class: Class) -> bool {
        self.wrote[class as usize]
    }

    /// True if rows from this key on continue the newest run.
    pub(super) fn continues(&self, class: Class, first_key: &[u8]) -> bool {
        self.open[class as usize].as_ref().is_some_and(|open| first_key > open.until.as_slice())
    }

    /// Begins a run that is newer than all others. The one before must have been closed.
    pub(super) fn begin(&mut self, class: Class) -> Result<(), Error> {
        self.tree.classes[class as usize].insert(0, Vec::new());
        self.wrote[class as usize] = true;
        self.open[class as usize] = Some(OpenRun { builder: TableBuilder::new(class)?, until: Vec::new() });
        Ok(())
    }

    /// Adds a row to the open run; true: its table is full.
    pub(super) fn push(&mut self, class: Class, row: Row) -> Result<bool, Error> {
        let open = self.open[class as usize].as_mut().ok_or_else(|| Error::Bug("a row without a run".into()))?;
        open.builder.push(&row)?;
        open.until = row.key;
        Ok(open.builder.is_full())
    }

    /// Takes the table that is being built, if it has rows; another is begun.
    pub(super) fn take_table(&mut self, class: Class) -> Result<Option<BuiltTable>, Error> {
        let Some(open) = self.open[class as usize].as_mut().filter(|open| !open.builder.is_empty()) else {
            return Ok(None);
        };
        std::mem::replace(&mut open.builder, TableBuilder::new(class)?).finish()
    }

    /// The class whose table takes the most memory, and how much all of them take.
    pub(super) fn largest(&self) -> Option<(Class, usize)> {
        let sizes = Class::ALL
            .into_iter()
            .filter_map(|class| self.open[class as usize].as_ref().map(|open| (class, open.builder.bytes())));
        let total = sizes.clone().map(|(_, bytes)| bytes).sum();
        sizes.max_by_key(|(_, bytes)| *bytes).map(|(class, _)| (class, total))
    }

    /// Adds a table that was placed to the newest run.
    pub(super) fn add(&mut self, class: Class, table: TableRef) {
        if let Some(newest) = self.tree.classes[class as usize].first_mut() {
            newest.push(table);
        }
    }

    /// No row continues the newest run any more; its last table must have been taken.
    pub(super) fn close(&mut self, class: Class) {
        self.open[class as usize] = None;
    }

    /// Replaces a range of runs by one that was merged from them.
    pub(super) fn replace(&mut self, class: Class, range: std::ops::Range<usize>, tables: Vec<TableRef>) {
        let merged = (!tables.is_empty()).then_some(tables);
        self.tree.classes[class as usize].splice(range, merged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Head, key};

    #[test]
    fn the_last_row_of_a_key_stays() {
        let rows = Rows::default();
        for cut in [1, 2, 3] {
            rows.add(Class::Content, key::head(7), Value::Head(Head { gone: false, cut: Some(cut) }));
        }
        rows.add(Class::Content, key::head(3), Value::Tombstone);
        let [_, content, ..] = rows.take();
        assert_eq!(content.len(), 2);
        assert_eq!(content[0].key, key::head(3));
        assert_eq!(content[1].value, Value::Head(Head { gone: false, cut: Some(3) }));
        assert_eq!(rows.bytes(), 0);
    }

    #[test]
    fn a_run_is_continued_upwards_only_and_not_after_it_was_closed() {
        let row = |node| Row { key: key::head(node), value: Value::Head(Head { gone: true, cut: None }) };
        let mut runs = RunList::default();
        assert!(!runs.continues(Class::Content, &key::head(5)));
        runs.begin(Class::Content).unwrap();
        assert!(!runs.push(Class::Content, row(5)).unwrap());
        assert!(runs.continues(Class::Content, &key::head(6)));
        assert!(!runs.continues(Class::Content, &key::head(5)));
        assert!(!runs.continues(Class::Sign, &key::head(6)));
        assert!(runs.take_table(Class::Content).unwrap().is_some());
        assert!(runs.continues(Class::Content, &key::head(6)), "the next table belongs to the same run");
        assert!(runs.take_table(Class::Content).unwrap().is_none());
        runs.close(Class::Content);
        assert!(!runs.continues(Class::Content, &key::head(6)));
        assert!(runs.wrote(Class::Content));
    }
}
