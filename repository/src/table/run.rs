//! A run of a restore point as rows: streamed in windows, sought by the index.

use std::sync::Arc;

use bytes::Bytes;

use crate::Error;
use crate::point::TableRef;
use crate::seal::Opener;
use crate::tree::block::BlockCursor;
use crate::tree::{Class, Row, Run};

use super::source::{TableParts, TableSource, slice};

/// A seek fetches this much at first; reading on doubles it up to the source's window, so that a look-up stays cheap and a stream is fast.
const FIRST_FETCH_BYTES: u64 = 128 << 10;

/// The tables of one run, one after another.
pub struct TableRun {
    class: Class,
    source: Arc<TableSource>,
    tables: Vec<TableRef>,
    /// Which table, and it opened.
    at: usize,
    open: Option<OpenTable>,
    /// A row that a seek found and nobody took.
    pending: Option<Row>,
    /// After a seek: the pending row, or else the cursor's next, is the first whose key is not below this.
    floor: Option<Vec<u8>>,
}

struct OpenTable {
    parts: Arc<TableParts>,
    opener: Opener,
    /// The block that the next row comes from.
    block: usize,
    cursor: Option<BlockCursor>,
    /// Sealed bytes at hand: offset in the pack.
    window: Option<(u64, Bytes)>,
    fetch_bytes: u64,
}

impl TableRun {
    /// At the first row.
    pub fn new(class: Class, source: Arc<TableSource>, tables: Vec<TableRef>) -> TableRun {
        TableRun { class, source, tables, at: 0, open: None, pending: None, floor: None }
    }

    /// Opens the current table if it is not; `None` past the last.
    fn table(&mut self) -> Result<Option<&mut OpenTable>, Error> {
        if self.open.is_none() {
            let Some(table) = self.tables.get(self.at) else { return Ok(None) };
            let parts = self.source.open(self.class, table)?;
            let window = parts.whole.clone();
            let opener = self.source.opener(table.pack)?;
            self.open =
                Some(OpenTable { parts, opener, block: 0, cursor: None, window, fetch_bytes: FIRST_FETCH_BYTES });
        }
        Ok(self.open.as_mut())
    }

    fn go_to_table(&mut self, at: usize) {
        if self.at != at {
            self.at = at;
            self.open = None;
        }
    }

    /// The table in which `key` is, or the first that begins above it. Opening tables costs requests, so the one at hand is tried first.
    fn find_table(&mut self, key: &[u8]) -> Result<(), Error> {
        if self.at >= self.tables.len() {
            self.go_to_table(self.tables.len() - 1);
        }
        let (mut low, mut high) = (0, self.tables.len());
        // Invariant: the wanted table is in low..=high; high == len means past the end.
        while low < high {
            let at = self.at;
            let Some(open) = self.table()? else { return Ok(()) };
            let first = open.parts.index.blocks.first().map(|block| block.first_key.as_slice());
            if key > open.parts.index.last_key.as_slice() {
                low = at + 1;
            } else if first.is_some_and(|first| key < first) {
                high = at;
            } else {
                return Ok(());
            }
            if low < high {
                self.go_to_table(low + (high - low) / 2);
            }
        }
        self.go_to_table(low);
        Ok(())
    }
}

impl OpenTable {
    fn go_to_block(&mut self, block: usize) {
        // To the next block, the one that is being read or the one before it, where a seek begins whose first row was the last one read: that is reading on.
        if !(block..=block + 2).contains(&self.block) {
            self.fetch_bytes = FIRST_FETCH_BYTES;
        }
        self.block = block;
        self.cursor = None;
    }

    /// The plaintext of the current block, and moves to the next.
    fn next_block(&mut self, class: Class, source: &TableSource, table: &TableRef) -> Result<bool, Error> {
        if self.block >= self.parts.footer.blocks.len() {
            return Ok(false);
        }
        let position =
            self.parts.footer.position(self.block).ok_or_else(|| Error::Bug("a block without a position".into()))?;
        let at_hand = self.window.as_ref().is_some_and(|(start, bytes)| {
            let range = position.range();
            range.start >= *start && range.end <= start + bytes.len() as u64
        });
        if !at_hand {
            // Whole blocks only, and nothing beyond the last one: index and footer are at hand already.
            let blocks_end = self
                .parts
                .footer
                .position(self.parts.footer.blocks.len())
                .map_or(position.range().end, |index| index.offset);
            let end = (position.offset + self.fetch_bytes).max(position.range().end).min(blocks_end);
            self.window = None;
            self.window = Some((position.offset, source.fetch(table.pack, position.offset..end)?));
            self.fetch_bytes = (self.fetch_bytes * 2).min(source.window_bytes());
        }
        let Some((start, bytes)) = &self.window else {
            return Err(Error::Bug("a window that was just fetched is gone".into()));
        };
        let sealed = slice(bytes, *start, &position, &self.opener)?;
        let plain = self.opener.open(position.label, &sealed)?;
        self.cursor = Some(BlockCursor::new(class, Bytes::from(plain)).map_err(Error::decode(self.opener.name()))?);
        self.block += 1;
        Ok(true)
    }
}

impl TableRun {
    /// The first row that is not below `key`, from the cursor at hand and the blocks and tables that follow.
    fn advance(&mut self, key: &[u8]) -> Result<Option<Row>, Error> {
        let (class, source) = (self.class, self.source.clone());
        loop {
            let Some(table) = self.tables.get(self.at).cloned() else { return Ok(None) };
            let Some(open) = self.table()? else { return Ok(None) };
            if let Some(cursor) = &mut open.cursor {
                let row = cursor.next_from(key, &open.parts.packs).map_err(Error::decode(open.opener.name()))?;
                if row.is_some() {
                    return Ok(row);
                }
                open.cursor = None;
            }
            if !open.next_block(class, &source, &table)? {
                self.at += 1;
                self.open = None;
            }
        }
    }

    /// True if the row is ahead in the block that is being read.
    fn is_ahead_in_block(&self, key: &[u8]) -> bool {
        let Some(open) = self.open.as_ref().filter(|open| open.cursor.is_some()) else { return false };
        self.floor.as_ref().is_some_and(|floor| key >= floor.as_slice())
            && open.parts.index.find(key).is_some_and(|block| block + 1 == open.block)
    }
}

impl Run for TableRun {
    type Error = Error;

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let pending_serves = match (&self.pending, &self.floor) {
            (Some(pending), Some(floor)) => key >= floor.as_slice() && key <= pending.key.as_slice(),
            _ => false,
        };
        if pending_serves {
            return Ok(());
        }
        self.pending = None;
        if !self.is_ahead_in_block(key) {
            self.floor = None;
            self.find_table(key)?;
            if let Some(open) = self.table()? {
                open.go_to_block(open.parts.index.find(key).unwrap_or(0));
            }
        }
        self.pending = self.advance(key)?;
        self.floor = Some(key.to_vec());
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Row>, Error> {
        let row = match self.pending.take() {
            Some(row) => Some(row),
            None => self.advance(&[])?,
        };
        if let (Some(row), Some(floor)) = (&row, &mut self.floor) {
            floor.clone_from(&row.key);
            floor.push(0);
        }
        Ok(row)
    }
}
