//! Builds tables from rows.

use crate::Error;
use crate::compress::{Compressed, Compressor};
use crate::hash::sealed_hash;
use crate::pack::{BlobPosition, PackBuilder, PackSummary};
use crate::point::TableRef;
use crate::seal::BlobKind;
use crate::tree::block::{BlockBuilder, FinishedBlock, TableIndex};
use crate::tree::{Class, PackId, PackList, Row};

use super::footer::{PackLoss, PackUse, StoredBlob, TableFooter};

/// A table is closed at this size: it is held in memory until it is placed, and read with one request.
const TABLE_BYTES_TARGET: usize = 8 << 20;
/// And at this many blocks, so that its index stays small.
const TABLE_BLOCKS_MAX: usize = 4096;
/// And at this many packs: its footer must stay far below its maximum.
const TABLE_PACKS_MAX: usize = 65_536;
/// So many losses are listed, the largest; the rest is forgotten, as a hint may be.
const LOSSES_MAX: usize = 65_536;
/// Metadata is written once and read often.
const LEVEL: i32 = 3;

/// Collects the rows of one table.
pub struct TableBuilder {
    class: Class,
    builder: BlockBuilder,
    packs: PackList,
    gained: Vec<u64>,
    blocks: Vec<Compressed>,
    index: TableIndex,
    bytes: usize,
    compressor: Compressor,
}

/// A table that is ready to be placed in a pack.
pub struct BuiltTable {
    class: Class,
    blocks: Vec<Compressed>,
    index: Compressed,
    rows: u64,
    packs: PackList,
    gained: Vec<u64>,
    losses: Vec<PackLoss>,
    bytes: usize,
}

impl TableBuilder {
    /// For rows of one class.
    pub fn new(class: Class) -> Result<TableBuilder, Error> {
        let index = TableIndex { blocks: Vec::new(), last_key: Vec::new() };
        let (packs, compressor) = (PackList::new(), Compressor::new(LEVEL)?);
        Ok(TableBuilder {
            class,
            builder: BlockBuilder::new(class),
            packs,
            gained: Vec::new(),
            blocks: Vec::new(),
            index,
            bytes: 0,
            compressor,
        })
    }

    /// Adds a row; keys ascend.
    pub fn push(&mut self, row: &Row) -> Result<(), Error> {
        self.builder.push(row, &mut self.packs).map_err(|error| Error::Bug(error.to_string()))?;
        row.value.visit_locations(|location, bytes| {
            let number = self.packs.number(location.pack);
            if self.gained.len() <= number {
                self.gained.resize(number + 1, 0);
            }
            self.gained[number] += u64::from(bytes);
        });
        if self.builder.is_full() {
            self.close_block()?;
        }
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), Error> {
        if let Some(FinishedBlock { plain, entry }) = self.builder.finish_block() {
            let block = self.compressor.compress(&plain)?;
            self.bytes += block.bytes.len();
            self.blocks.push(block);
            self.index.blocks.push(entry);
        }
        Ok(())
    }

    /// True if no row was added.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.builder.is_empty()
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.builder.bytes()
    }

    /// True when the table should be finished and another begun.
    pub fn is_full(&self) -> bool {
        self.bytes >= TABLE_BYTES_TARGET
            || self.blocks.len() >= TABLE_BLOCKS_MAX
            || self.packs.packs().len() >= TABLE_PACKS_MAX
    }

    /// Closes the table; `None` if it has no row.
    pub fn finish(mut self) -> Result<Option<BuiltTable>, Error> {
        self.close_block()?;
        if self.blocks.is_empty() {
            return Ok(None);
        }
        self.index.last_key = self.builder.last_key().to_vec();
        let index = self.compressor.compress(&self.index.encode())?;
        self.gained.resize(self.packs.packs().len(), 0);
        let bytes = self.bytes + index.bytes.len();
        let rows = self.index.rows();
        Ok(Some(BuiltTable {
            class: self.class,
            blocks: self.blocks,
            index,
            rows,
            packs: self.packs,
            gained: self.gained,
            losses: Vec::new(),
            bytes,
        }))
    }
}

impl BuiltTable {
    /// Its class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// About how many bytes it takes in a pack.
    pub fn bytes(&self) -> usize {
        self.bytes + self.packs.packs().len() * 64 + self.losses.len() * 8 + (self.blocks.len() + 2) * 32
    }

    /// How many blobs it takes in a pack.
    pub fn blobs(&self) -> u32 {
        self.blocks.len() as u32 + 2
    }

    /// The packs that its rows name.
    pub fn packs(&self) -> &[PackId] {
        self.packs.packs()
    }

    /// Those packs, each with the plaintext bytes that its rows name there.
    pub fn gained(&self) -> impl Iterator<Item = (PackId, u64)> {
        self.packs.packs().iter().copied().zip(self.gained.iter().copied())
    }

    /// Says what rows of this table hid in older ones. In any order; a pack at most once.
    pub fn with_losses(mut self, losses: impl IntoIterator<Item = (PackId, u64)>) -> BuiltTable {
        let listed = losses.into_iter().filter(|(_, lost)| *lost > 0).map(|(pack, lost)| PackLoss { pack, lost });
        self.losses = listed.collect();
        if self.losses.len() > LOSSES_MAX {
            self.losses.sort_unstable_by_key(|loss| std::cmp::Reverse(loss.lost));
            self.losses.truncate(LOSSES_MAX);
        }
        self.losses.sort_unstable_by_key(|loss| loss.pack);
        self
    }

    /// Puts the table into a pack. `summary` says what is known of each pack that its rows name.
    pub fn place(
        &self,
        pack: &mut PackBuilder,
        this: PackId,
        summary: &dyn Fn(PackId) -> PackSummary,
    ) -> Result<TableRef, Error> {
        let mut positions = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            positions.push(pack.add(BlobKind::TableBlock, block)?);
        }
        let index = pack.add(BlobKind::TableIndex, &self.index)?;
        let first = positions.first().ok_or_else(|| Error::Bug("a table without a block".into()))?;
        let stored = |position: &BlobPosition| StoredBlob {
            sealed_bytes: position.sealed_bytes,
            plaintext_bytes: position.label.plaintext_bytes,
            codec: position.label.codec,
        };
        let used = |(pack, gained): (PackId, u64)| PackUse { pack, summary: summary(pack), gained };
        let footer = TableFooter {
            class: self.class,
            offset: u32::try_from(first.offset).map_err(|_| Error::Bug("a pack over 4 GiB".into()))?,
            number: first.label.number,
            blocks: positions.iter().map(stored).collect(),
            index: stored(&index),
            packs: self.gained().map(used).collect(),
            losses: self.losses.clone(),
        };
        let content = Compressor::new(LEVEL)?.compress(&footer.encode())?;
        let (position, sealed) = pack.add_and_show(BlobKind::TableFooter, &content)?;
        let bytes = position.range().end - first.offset;
        Ok(TableRef {
            pack: this,
            offset: first.offset,
            bytes,
            footer: position,
            footer_hash: sealed_hash(sealed),
            rows: self.rows,
        })
    }
}
