//! Sum: the Sum row of a large file while its blocks are on their way.
//!
//! In: what blocks change, in any order. Out: the row, once the last of them is done if anything changed, or as it stands for a checkpoint. Never: waits for a block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hash::PageSum;
use crate::tree::{Class, Sum, Value, key};

use super::Rows;

/// The sum of a large file while its blocks are on their way.
pub(in crate::write) struct FileSum {
    pub(super) node: u64,
    state: Mutex<FileSumState>,
}

struct FileSumState {
    sum: PageSum,
    pending: usize,
    changed: bool,
    /// Set when all blocks have been handed over: how many there are.
    blocks: Option<u64>,
}

impl FileSum {
    /// Begins with what the parent has.
    pub(in crate::write) fn new(node: u64, sum: PageSum) -> Arc<FileSum> {
        Arc::new(FileSum { node, state: Mutex::new(FileSumState { sum, pending: 0, changed: false, blocks: None }) })
    }

    fn lock(&self) -> MutexGuard<'_, FileSumState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the sum.
    pub(in crate::write) fn add(&self, change: PageSum) {
        let mut state = self.lock();
        state.sum.merge(change);
        state.changed = true;
    }

    /// Says that the row must be written whatever the blocks say.
    pub(in crate::write) fn mark_changed(&self) {
        self.lock().changed = true;
    }

    /// All blocks have been handed over.
    pub(in crate::write) fn finish(&self, blocks: u64, rows: &Rows) {
        let mut state = self.lock();
        state.blocks = Some(blocks);
        self.emit_if_done(&mut state, rows);
    }

    /// Whether any page differs from what the parent has; `None`: that is not known yet.
    pub(in crate::write) fn has_changed(&self) -> Option<bool> {
        let state = self.lock();
        (state.pending == 0 && state.blocks.is_some()).then_some(state.changed)
    }

    /// The row as it stands, for a checkpoint in the middle of the file (when nothing is on its way).
    pub(in crate::write) fn emit_interim(&self, blocks: u64, rows: &Rows) {
        let state = self.lock();
        emit(self.node, state.sum, blocks, rows);
    }

    /// One more block is on its way.
    pub(super) fn block_begun(&self) {
        self.lock().pending += 1;
    }

    pub(super) fn block_done(&self, rows: &Rows) {
        let mut state = self.lock();
        state.pending -= 1;
        self.emit_if_done(&mut state, rows);
    }

    fn emit_if_done(&self, state: &mut FileSumState, rows: &Rows) {
        if let (0, true, Some(blocks)) = (state.pending, state.changed, state.blocks) {
            emit(self.node, state.sum, blocks, rows);
        }
    }
}

fn emit(node: u64, sum: PageSum, blocks: u64, rows: &Rows) {
    rows.add(Class::Content, key::sum(node), Value::Sum(Sum { pages: sum.pages, sum: sum.sum, blocks }));
}
