//! Cursor: the rows of one node after another, as a reader sees them.
//!
//! In: the runs of one class, and nodes in any order. Out: each node's rows. Never: seeks when the next node's rows are at hand already, so that a walk in the
//! order of the nodes streams.

use crate::Error;
use crate::table::TableRun;
use crate::tree::{Class, Merged, Row, Run, key};

/// Reads the rows of nodes.
pub(super) struct NodeCursor {
    class: Class,
    rows: Merged<TableRun>,
    node: u64,
    /// No row below this key is still to come.
    floor: Vec<u8>,
    /// A row that was read and belongs to a later node.
    ahead: Option<Row>,
    ended: bool,
    /// False until the first seek, and after a failure.
    placed: bool,
}

impl NodeCursor {
    /// Over all runs of a class in reading mode.
    pub(super) fn new(class: Class, rows: Merged<TableRun>) -> NodeCursor {
        NodeCursor { class, rows, node: 0, floor: Vec::new(), ahead: None, ended: false, placed: false }
    }

    /// Goes to the first row of a node.
    pub(super) fn go(&mut self, node: u64) -> Result<(), Error> {
        let first = key::first_of_node(node);
        self.node = node;
        let nothing_between = match &self.ahead {
            Some(row) => row.key >= first,
            None => self.ended || self.floor == first,
        };
        if self.placed && self.floor <= first && nothing_between {
            return Ok(());
        }
        self.seek(first)
    }

    fn seek(&mut self, to: Vec<u8>) -> Result<(), Error> {
        (self.ahead, self.ended) = (None, false);
        self.rows.seek(&to)?;
        (self.floor, self.placed) = (to, true);
        Ok(())
    }

    /// The next row of the node; `None` when there are no more.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Error> {
        if self.ahead.is_none() && !self.ended {
            self.ahead = self.rows.next()?;
            self.ended = self.ahead.is_none();
        }
        let row = self.ahead.take_if(|row| key::node_of(self.class, &row.key) == Some(self.node));
        if let Some(row) = &row {
            self.floor.clone_from(&row.key);
            self.floor.push(0);
        }
        Ok(row)
    }

    /// The next row of whatever node, from the first of all on.
    pub(super) fn next_of_any(&mut self) -> Result<Option<Row>, Error> {
        self.rows.next()
    }

    /// The row under one key. What comes next is the node's next row.
    pub(super) fn find(&mut self, wanted: &[u8]) -> Result<Option<Row>, Error> {
        self.node = key::node_of(self.class, wanted).unwrap_or(0);
        self.seek(wanted.to_vec())?;
        self.ahead = self.rows.next()?;
        self.ended = self.ahead.is_none();
        if self.ahead.as_ref().is_some_and(|row| row.key == wanted) { self.next() } else { Ok(None) }
    }
}
