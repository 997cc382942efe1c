//! The index of a table: which block has which keys (docs/format.md, section 7.2).
//!
//! In: the first key and number of rows of each block, or untrusted plaintext. Out: plaintext, or the block where a key would be. Never: reads a block.

use super::{next_key, shared_prefix};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::tree::key::{self, Class, KEY_BYTES_MAX};

/// Most blocks of one table: what a pack holds beside index and footer.
pub const BLOCKS_MAX: usize = 65_533;
/// Largest plaintext of an index.
pub const INDEX_BYTES_MAX: usize = 4 << 20;

/// What the index says of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Key of its first row.
    pub first_key: Vec<u8>,
    /// How many rows it has.
    pub rows: u64,
}

/// Index of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableIndex {
    /// Its blocks, in ascending order of keys.
    pub blocks: Vec<IndexEntry>,
    /// Key of the table's last row.
    pub last_key: Vec<u8>,
}

impl TableIndex {
    /// The block in which the first row not below `key` is, or after whose last row it comes; `None`: all rows of the table are below.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        if key > self.last_key.as_slice() {
            return None;
        }
        Some(self.blocks.partition_point(|block| block.first_key.as_slice() <= key).saturating_sub(1))
    }

    /// Rows of the whole table.
    pub fn rows(&self) -> u64 {
        self.blocks.iter().fold(0, |sum, block| sum.saturating_add(block.rows))
    }

    /// The plaintext.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new();
        to.varint(self.blocks.len() as u64);
        let mut before: &[u8] = &[];
        for block in &self.blocks {
            let shared = shared_prefix(before, &block.first_key);
            to.varint(shared as u64).bytes(block.first_key.get(shared..).unwrap_or_default()).varint(block.rows);
            before = &block.first_key;
        }
        to.bytes(&self.last_key);
        to.finish()
    }

    /// Reads the plaintext.
    pub fn decode(class: Class, plain: &[u8]) -> Result<TableIndex, DecodeError> {
        if plain.len() > INDEX_BYTES_MAX {
            return Err(DecodeError::TooLarge("table index"));
        }
        let mut from = Decoder::new(plain);
        let count = from.count("blocks", 3)?;
        if count == 0 || count > BLOCKS_MAX {
            return Err(DecodeError::TooLarge("blocks"));
        }
        let mut blocks: Vec<IndexEntry> = Vec::new();
        let mut first_key = Vec::new();
        for number in 0..count {
            next_key(&mut from, &mut first_key, number == 0)?;
            key::parse(class, &first_key)?;
            let rows = from.varint()?;
            if rows == 0 {
                return Err(DecodeError::Value("rows"));
            }
            blocks.push(IndexEntry { first_key: first_key.clone(), rows });
        }
        let last_key = from.bytes("last key", KEY_BYTES_MAX)?.to_vec();
        key::parse(class, &last_key)?;
        if last_key < first_key {
            return Err(DecodeError::Value("last key"));
        }
        from.finish()?;
        Ok(TableIndex { blocks, last_key })
    }
}
