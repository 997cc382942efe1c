//! Table blocks: rows in the plaintext of kind 2, and the index over them of kind 3 (docs/format.md, section 7.2).
//!
//! In: rows in ascending order of keys, or untrusted plaintext. Out: plaintext of about 64 KiB, or exactly its rows. Never: seals, compresses, or writes a row
//! that it could not read again.

use bytes::Bytes;

use super::key::{self, Class, KEY_BYTES_MAX};
use super::row::{PackId, Row};
use super::value::{self, PackList, VALUE_BYTES_MAX};
use crate::codec::{DecodeError, Decoder, Encoder};

mod index;

pub use index::{BLOCKS_MAX, INDEX_BYTES_MAX, IndexEntry, TableIndex};

/// A block that has reached this is closed.
pub const BLOCK_BYTES_TARGET: usize = 64 * 1024;
/// Largest plaintext of a table block.
pub const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// Why a row cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The writer gave rows out of order, or one twice.
    #[error("a metadata row is out of order; this is an error of the program, please report it")]
    Order,
    /// The value takes more than a row can hold.
    #[error(
        "a metadata row takes {bytes} bytes, at most {VALUE_BYTES_MAX} fit; its extended attributes must be stored as content"
    )]
    TooLarge {
        /// How many it takes.
        bytes: usize,
    },
    /// What was encoded would not be read again: a field holds what the format cannot.
    #[error("a metadata row could not be read again, {0}; this is an error of the program, please report it")]
    Unreadable(DecodeError),
    /// What was encoded would be read as something else.
    #[error("a metadata row would be read as another; this is an error of the program, please report it")]
    Different,
}

impl RowError {
    /// Every one is a rule of the program that was broken by its caller.
    pub fn class(&self) -> model::ErrorClass {
        model::ErrorClass::Bug
    }
}

/// Rows of one class being put into blocks.
#[derive(Debug)]
pub struct BlockBuilder {
    class: Class,
    plain: Vec<u8>,
    first_key: Vec<u8>,
    /// Of all blocks so far.
    last_key: Vec<u8>,
    rows: u64,
    value: Vec<u8>,
}

/// A block that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedBlock {
    /// Its plaintext.
    pub plain: Vec<u8>,
    /// Its line in the index.
    pub entry: IndexEntry,
}

impl BlockBuilder {
    /// For one table.
    pub fn new(class: Class) -> BlockBuilder {
        BlockBuilder {
            class,
            plain: Vec::new(),
            first_key: Vec::new(),
            last_key: Vec::new(),
            rows: 0,
            value: Vec::new(),
        }
    }

    /// Adds a row. `packs` is the table's pack list. After an error the table cannot be used.
    pub fn push(&mut self, row: &Row, packs: &mut PackList) -> Result<(), RowError> {
        if row.key <= self.last_key {
            return Err(RowError::Order);
        }
        self.encode_checked(row, packs)?;
        let shared = if self.rows == 0 { 0 } else { shared_prefix(&self.last_key, &row.key) };
        let mut to = Encoder { out: std::mem::take(&mut self.plain) };
        to.varint(shared as u64).bytes(row.key.get(shared..).unwrap_or_default()).bytes(&self.value);
        self.plain = to.finish();
        if self.rows == 0 {
            self.first_key.clone_from(&row.key);
        }
        self.last_key.clone_from(&row.key);
        self.rows += 1;
        Ok(())
    }

    /// Encodes and reads it back: a row that nobody can read must be found now, while its source is still there.
    fn encode_checked(&mut self, row: &Row, packs: &mut PackList) -> Result<(), RowError> {
        self.value.clear();
        value::encode_into(&row.value, packs, &mut self.value);
        if self.value.len() > VALUE_BYTES_MAX {
            return Err(RowError::TooLarge { bytes: self.value.len() });
        }
        let parsed = key::parse(self.class, &row.key).map_err(RowError::Unreadable)?;
        let again = value::decode(self.class, &parsed, &self.value, packs.packs()).map_err(RowError::Unreadable)?;
        if again == row.value { Ok(()) } else { Err(RowError::Different) }
    }

    /// True when the block should be closed.
    pub fn is_full(&self) -> bool {
        self.plain.len() >= BLOCK_BYTES_TARGET
    }

    /// True if no row came since the last block was closed.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of plaintext so far.
    pub fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// The key of the last row of all blocks; empty if there was none.
    pub fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Closes the block; `None` if it has no row. Further rows begin the next block of the same table.
    pub fn finish_block(&mut self) -> Option<FinishedBlock> {
        if self.rows == 0 {
            return None;
        }
        let entry = IndexEntry { first_key: std::mem::take(&mut self.first_key), rows: std::mem::take(&mut self.rows) };
        Some(FinishedBlock { plain: std::mem::take(&mut self.plain), entry })
    }
}

fn shared_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Makes `key` the next key from what it shares with the one before; keys must ascend.
fn next_key(from: &mut Decoder<'_>, key: &mut Vec<u8>, first: bool) -> Result<(), DecodeError> {
    let shared = usize::try_from(from.varint()?).map_err(|_| DecodeError::TooLarge("shared"))?;
    if shared > key.len() || (first && shared > 0) {
        return Err(DecodeError::TooLarge("shared"));
    }
    let rest = from.bytes("key", KEY_BYTES_MAX - shared.min(KEY_BYTES_MAX))?;
    if !first && key.get(shared..).is_none_or(|before| before >= rest) {
        return Err(DecodeError::Value("key order"));
    }
    // One key has one encoding: what could be shared is shared.
    if !first && rest.first().is_some_and(|byte| key.get(shared) == Some(byte)) {
        return Err(DecodeError::Value("shared"));
    }
    key.truncate(shared);
    key.extend_from_slice(rest);
    Ok(())
}

/// Reads the rows of a block one after another, without holding more than one.
#[derive(Clone, Debug)]
pub struct BlockCursor {
    class: Class,
    plain: Bytes,
    at: usize,
    key: Vec<u8>,
}

impl BlockCursor {
    /// At the first row of a block.
    pub fn new(class: Class, plain: Bytes) -> Result<BlockCursor, DecodeError> {
        match plain.len() {
            0 => Err(DecodeError::Truncated),
            1..=BLOCK_BYTES_MAX => Ok(BlockCursor { class, plain, at: 0, key: Vec::new() }),
            _ => Err(DecodeError::TooLarge("table block")),
        }
    }

    /// The next row; `None` at the end of the block. After an error the block cannot be used.
    pub fn next(&mut self, packs: &[PackId]) -> Result<Option<Row>, DecodeError> {
        self.next_from(&[], packs)
    }

    /// The next row whose key is not below `key`; values that are passed over are not decoded.
    pub fn next_from(&mut self, key: &[u8], packs: &[PackId]) -> Result<Option<Row>, DecodeError> {
        while let Some(rest) = self.plain.get(self.at..).filter(|rest| !rest.is_empty()) {
            let mut from = Decoder::new(rest);
            next_key(&mut from, &mut self.key, self.at == 0)?;
            let value = from.bytes("value", VALUE_BYTES_MAX)?;
            self.at = self.plain.len() - from.remaining();
            if self.key.as_slice() >= key {
                let parsed = key::parse(self.class, &self.key)?;
                let value = value::decode(self.class, &parsed, value, packs)?;
                return Ok(Some(Row { key: self.key.clone(), value }));
            }
        }
        Ok(None)
    }
}

/// All rows of a block.
pub fn decode_block(class: Class, plain: &[u8], packs: &[PackId]) -> Result<Vec<Row>, DecodeError> {
    let mut cursor = BlockCursor::new(class, Bytes::copy_from_slice(plain))?;
    let mut rows = Vec::new();
    while let Some(row) = cursor.next(packs)? {
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
