//! Rows: metadata of the run, collected in memory, written as tables.
//!
//! In: rows from any thread, in any order. Out: per class, sorted runs of tables. Never: more rows in memory than one share of the budget, or a table whose rows
//! name a pack that the store has not acknowledged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::pack::PackSummary;
use crate::point::{TableRef, TreeRuns};
use crate::table::TableBuilder;
use crate::tree::{Class, PackId, Row, Value};

use super::packer::Packer;

/// What a row takes in memory beside its key, lists and names: the struct itself and its allocations.
const ROW_BYTES: usize = size_of::<Row>() + 96;

#[derive(Default)]
struct Memtable {
    classes: [Vec<Row>; Class::ALL.len()],
    bytes: usize,
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

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.memtable.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Takes all rows, sorted, the last one of each key.
    pub(super) fn take(&self) -> [Vec<Row>; Class::ALL.len()] {
        let mut memtable = std::mem::take(&mut *self.memtable.lock().unwrap_or_else(PoisonError::into_inner));
        for rows in &mut memtable.classes {
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
        memtable.classes
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

/// Writes sorted rows as one run; returns its tables with the packs that their rows name.
pub(super) fn write_run<E>(
    class: Class,
    mut rows: impl FnMut() -> Result<Option<Row>, E>,
    packer: &Packer,
    known: &HashMap<PackId, PackSummary>,
) -> Result<Vec<(TableRef, Vec<PackId>)>, Error>
where
    Error: From<E>,
{
    let known = |pack: PackId| known.get(&pack).copied().unwrap_or_default();
    let mut tables = Vec::new();
    let mut builder = TableBuilder::new(class)?;
    let mut next = rows()?;
    while let Some(row) = next {
        builder.push(&row)?;
        next = rows()?;
        if builder.is_full() || next.is_none() {
            let full = std::mem::replace(&mut builder, TableBuilder::new(class)?);
            if let Some(table) = full.finish()? {
                tables.push((packer.add_table(&table, &known)?, table.packs().to_vec()));
            }
        }
    }
    Ok(tables)
}

/// The runs of the tree being written, and where each of this run's own may be continued.
#[derive(Clone, Default)]
pub(super) struct RunList {
    /// As the restore point will list them.
    pub(super) tree: TreeRuns,
    /// Last key of the newest run of each class, if this backup wrote it: rows above it may continue it.
    open_until: [Option<Vec<u8>>; Class::ALL.len()],
}

impl RunList {
    /// On top of a parent's runs.
    pub(super) fn new(tree: TreeRuns) -> RunList {
        RunList { tree, open_until: Default::default() }
    }

    /// Adds tables with rows newer than all others: they continue the newest run if their keys do.
    pub(super) fn add(&mut self, class: Class, first_key: &[u8], last_key: &[u8], tables: Vec<TableRef>) {
        let runs = &mut self.tree.classes[class as usize];
        let open = &mut self.open_until[class as usize];
        match (open.as_ref(), runs.first_mut()) {
            (Some(until), Some(newest)) if first_key > until.as_slice() => newest.extend(tables),
            _ => runs.insert(0, tables),
        }
        *open = Some(last_key.to_vec());
    }

    /// Replaces a range of runs by one that was merged from them.
    pub(super) fn replace(&mut self, class: Class, range: std::ops::Range<usize>, tables: Vec<TableRef>) {
        let merged = (!tables.is_empty()).then_some(tables);
        self.tree.classes[class as usize].splice(range, merged);
        self.open_until[class as usize] = None;
    }

    /// Begins runs of its own again: what was written so far belongs to a committed point.
    pub(super) fn seal(&mut self) {
        self.open_until = Default::default();
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
    fn runs_continue_only_upwards() {
        let mut runs = RunList::default();
        runs.add(Class::Tree, b"b", b"d", Vec::new());
        runs.add(Class::Tree, b"e", b"f", Vec::new());
        assert_eq!(runs.tree.of(Class::Tree).len(), 1);
        runs.add(Class::Tree, b"a", b"z", Vec::new());
        assert_eq!(runs.tree.of(Class::Tree).len(), 2);
        runs.seal();
        runs.add(Class::Tree, b"zz", b"zz", Vec::new());
        assert_eq!(runs.tree.of(Class::Tree).len(), 3);
    }
}
