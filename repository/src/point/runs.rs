//! Where the tables of a restore point are.

use std::collections::HashMap;

use model::{KeyId, SessionId};

use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::hash::Hash;
use crate::pack::{BlobPosition, PACK_BYTES_MAX, PackSummary};
use crate::seal::{BlobKind, BlobLabel, Codec};
use crate::tree::{Class, PackId};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// The pack it lies in.
    pub pack: PackId,
    /// First byte of its first block.
    pub offset: u64,
    /// Bytes from there to the end of its footer.
    pub bytes: u64,
    /// Its sealed footer.
    pub footer: BlobPosition,
    /// Hash of the sealed footer.
    pub footer_hash: Hash,
    /// Rows in it.
    pub rows: u64,
}

impl TableRef {
    fn encode(&self, encoder: &mut Encoder, pack: usize) {
        let BlobPosition { label, sealed_bytes, .. } = self.footer;
        encoder.varint(pack as u64).varint(self.offset).varint(self.bytes);
        encoder
            .varint(u64::from(label.number))
            .varint(u64::from(sealed_bytes))
            .varint(u64::from(label.plaintext_bytes))
            .u8(label.codec as u8);
        encoder.raw(&self.footer_hash).varint(self.rows);
    }

    fn decode(decoder: &mut Decoder<'_>, packs: &[TablePack]) -> Result<TableRef, DecodeError> {
        let index = usize::try_from(decoder.varint()?).map_err(|_| DecodeError::Number)?;
        let pack = packs.get(index).ok_or(DecodeError::Value("table pack"))?.pack;
        let offset = decoder.varint()?;
        let bytes = decoder.varint()?;
        let number = decoder.varint_u32()?;
        let sealed_bytes = decoder.varint_u32()?;
        let plaintext_bytes = decoder.varint_u32()?;
        let codec = Codec::from_byte(decoder.u8()?).ok_or(DecodeError::Value("codec"))?;
        let end = offset
            .checked_add(bytes)
            .filter(|end| *end <= PACK_BYTES_MAX)
            .ok_or(DecodeError::Value("table position"))?;
        if u64::from(sealed_bytes) > bytes || plaintext_bytes as usize > BlobKind::TableFooter.plaintext_bytes_max() {
            return Err(DecodeError::Value("table footer position"));
        }
        let label = BlobLabel { kind: BlobKind::TableFooter, codec, number, plaintext_bytes };
        let footer = BlobPosition { label, offset: end - u64::from(sealed_bytes), sealed_bytes };
        Ok(TableRef { pack, offset, bytes, footer, footer_hash: decoder.array()?, rows: decoder.varint()? })
    }
}

/// A pack that holds tables, with what opens it, so that a table is read without asking for the pack's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePack {
    /// Which.
    pub pack: PackId,
    /// What is remembered of it.
    pub summary: PackSummary,
    /// The salt of its header.
    pub salt: [u8; 32],
    /// The key id of all its slots.
    pub key: KeyId,
}

impl TablePack {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.raw(&self.pack.session.0).varint(u64::from(self.pack.seq));
        encode_summary(encoder, &self.summary);
        encoder.raw(&self.salt).raw(&self.key.0);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<TablePack, DecodeError> {
        let pack = PackId { session: SessionId(decoder.array()?), seq: decoder.varint_u32()? };
        Ok(TablePack { pack, summary: decode_summary(decoder)?, salt: decoder.array()?, key: KeyId(decoder.array()?) })
    }
}

/// The runs of one tree: per class the newest first, in each the tables in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeRuns {
    /// The number that the next new node gets.
    pub next_node: u64,
    /// By class number.
    pub classes: [Vec<Vec<TableRef>>; Class::ALL.len()],
}

impl TreeRuns {
    /// The runs of one class, newest first.
    pub fn of(&self, class: Class) -> &[Vec<TableRef>] {
        &self.classes[class as usize]
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = (Class, &TableRef)> {
        Class::ALL.into_iter().flat_map(|class| self.of(class).iter().flatten().map(move |table| (class, table)))
    }
}

/// Everything that a reader needs to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Every pack that holds a table of a tree below, once.
    pub packs: Vec<TablePack>,
    /// The trees; version 1 writes one.
    pub trees: Vec<TreeRuns>,
}

impl Runs {
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let index: HashMap<PackId, usize> =
            self.packs.iter().enumerate().map(|(index, pack)| (pack.pack, index)).collect();
        let mut encoder = Encoder::new();
        encoder.varint(self.packs.len() as u64);
        self.packs.iter().for_each(|pack| pack.encode(&mut encoder));
        encoder.varint(self.trees.len() as u64);
        for tree in &self.trees {
            encoder.varint(tree.next_node);
            for runs in &tree.classes {
                encoder.varint(runs.len() as u64);
                for tables in runs {
                    encoder.varint(tables.len() as u64);
                    for table in tables {
                        let pack = index
                            .get(&table.pack)
                            .ok_or_else(|| Error::Bug(format!("table pack {:?} is not listed", table.pack)))?;
                        table.encode(&mut encoder, *pack);
                    }
                }
            }
        }
        Ok(encoder.finish())
    }

    /// Reads the plaintext of a runs section.
    pub fn decode(plaintext: &[u8]) -> Result<Runs, DecodeError> {
        let mut decoder = Decoder::new(plaintext);
        let mut packs = Vec::new();
        for _ in 0..decoder.count("packs", 99)? {
            packs.push(TablePack::decode(&mut decoder)?);
        }
        let mut trees = Vec::new();
        for _ in 0..decoder.count("trees", 6)? {
            let mut tree = TreeRuns { next_node: decoder.varint()?, ..TreeRuns::default() };
            for class in &mut tree.classes {
                for _ in 0..decoder.count("runs", 1)? {
                    let mut tables = Vec::new();
                    for _ in 0..decoder.count("tables", 40)? {
                        tables.push(TableRef::decode(&mut decoder, &packs)?);
                    }
                    class.push(tables);
                }
            }
            trees.push(tree);
        }
        decoder.finish()?;
        Ok(Runs { packs, trees })
    }
}

/// Writes what is remembered of a pack.
pub(crate) fn encode_summary(encoder: &mut Encoder, summary: &PackSummary) {
    encoder.varint(summary.pack_bytes).varint(summary.data_bytes).raw(&summary.directory_hash);
}

/// Reads what is remembered of a pack.
pub(crate) fn decode_summary(decoder: &mut Decoder<'_>) -> Result<PackSummary, DecodeError> {
    let summary =
        PackSummary { pack_bytes: decoder.varint()?, data_bytes: decoder.varint()?, directory_hash: decoder.array()? };
    if summary.pack_bytes > PACK_BYTES_MAX {
        return Err(DecodeError::TooLarge("pack length"));
    }
    Ok(summary)
}
