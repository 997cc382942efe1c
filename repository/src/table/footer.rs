//! The footer of a table: where its blobs are and which packs its rows name.

use model::SessionId;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::pack::{BlobPosition, PACK_BYTES_MAX, PackSummary};
use crate::point::{decode_summary, encode_summary};
use crate::seal::{BlobKind, BlobLabel, Codec};
use crate::tree::{Class, PackId};

/// Lengths of one blob of a table; its offset follows from those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Length in the pack.
    pub sealed_bytes: u32,
    /// Length decompressed.
    pub plaintext_bytes: u32,
    /// How it is compressed.
    pub codec: Codec,
}

impl StoredBlob {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.varint(u64::from(self.sealed_bytes)).varint(u64::from(self.plaintext_bytes)).u8(self.codec as u8);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<StoredBlob, DecodeError> {
        let (sealed_bytes, plaintext_bytes) = (decoder.varint_u32()?, decoder.varint_u32()?);
        let codec = Codec::from_byte(decoder.u8()?).ok_or(DecodeError::Value("codec"))?;
        Ok(StoredBlob { sealed_bytes, plaintext_bytes, codec })
    }
}

/// A pack that rows of a table name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackUse {
    /// Which.
    pub pack: PackId,
    /// What was known of it when the table was written.
    pub summary: PackSummary,
    /// Plaintext bytes that rows of this table name there: a hint.
    pub gained: u64,
}

/// Bytes of a pack that rows of a table hid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLoss {
    /// Which. The table need not name it, and a loss keeps no pack.
    pub pack: PackId,
    /// Plaintext bytes, at least 1: a hint.
    pub lost: u64,
}

/// A decoded footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFooter {
    /// Which rows.
    pub class: Class,
    /// First byte of block 0 in the pack.
    pub offset: u32,
    /// Number of block 0 in the pack.
    pub number: u32,
    /// The blocks.
    pub blocks: Vec<StoredBlob>,
    /// The index, which follows them.
    pub index: StoredBlob,
    /// The pack list.
    pub packs: Vec<PackUse>,
    /// What rows of this table hid in older tables, by ascending pack.
    pub losses: Vec<PackLoss>,
}

impl TableFooter {
    /// Its plaintext.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.u8(self.class as u8).u32(self.offset).u32(self.number).varint(self.blocks.len() as u64);
        self.blocks.iter().chain([&self.index]).for_each(|blob| blob.encode(&mut encoder));
        encoder.varint(self.packs.len() as u64);
        for used in &self.packs {
            encoder.raw(&used.pack.session.0).varint(u64::from(used.pack.seq));
            encode_summary(&mut encoder, &used.summary);
            encoder.varint(used.gained);
        }
        encode_losses(&mut encoder, &self.losses);
        encoder.finish()
    }

    /// Reads a footer's plaintext.
    pub fn decode(plaintext: &[u8]) -> Result<TableFooter, DecodeError> {
        let mut decoder = Decoder::new(plaintext);
        let class = Class::from_number(decoder.u8()?).ok_or(DecodeError::Value("class"))?;
        let (offset, number) = (decoder.u32()?, decoder.u32()?);
        let count = decoder.count("blocks", 3)?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            blocks.push(StoredBlob::decode(&mut decoder)?);
        }
        let index = StoredBlob::decode(&mut decoder)?;
        let end =
            blocks.iter().chain([&index]).map(|blob| u64::from(blob.sealed_bytes)).sum::<u64>() + u64::from(offset);
        if blocks.is_empty() || end > PACK_BYTES_MAX || u64::from(number) + count as u64 + 2 > u64::from(u32::MAX) {
            return Err(DecodeError::Value("table position"));
        }
        let mut packs: Vec<PackUse> = Vec::new();
        for _ in 0..decoder.count("packs", 52)? {
            let pack = PackId { session: SessionId(decoder.array()?), seq: decoder.varint_u32()? };
            let summary = decode_summary(&mut decoder)?;
            packs.push(PackUse { pack, summary, gained: decoder.varint()? });
        }
        let losses = decode_losses(&mut decoder)?;
        decoder.finish()?;
        Ok(TableFooter { class, offset, number, blocks, index, packs, losses })
    }

    /// Where block `n` is; `n` equal to the number of blocks means the index.
    pub fn position(&self, n: usize) -> Option<BlobPosition> {
        let (stored, kind) = match self.blocks.get(n) {
            Some(block) => (block, BlobKind::TableBlock),
            None if n == self.blocks.len() => (&self.index, BlobKind::TableIndex),
            None => return None,
        };
        let before: u64 = self.blocks[..n].iter().map(|block| u64::from(block.sealed_bytes)).sum();
        let label = BlobLabel {
            kind,
            codec: stored.codec,
            number: self.number + n as u32,
            plaintext_bytes: stored.plaintext_bytes,
        };
        Some(BlobPosition { label, offset: u64::from(self.offset) + before, sealed_bytes: stored.sealed_bytes })
    }
}

/// By session, because there are few of them.
fn encode_losses(encoder: &mut Encoder, losses: &[PackLoss]) {
    let sessions: Vec<&[PackLoss]> = losses.chunk_by(|one, next| one.pack.session == next.pack.session).collect();
    encoder.varint(sessions.len() as u64);
    for packs in sessions {
        let Some(first) = packs.first() else { continue };
        encoder.raw(&first.pack.session.0).varint(packs.len() as u64);
        let mut end = 0;
        for PackLoss { pack, lost } in packs {
            encoder.varint(u64::from(pack.seq.saturating_sub(end))).varint(*lost);
            end = pack.seq.saturating_add(1);
        }
    }
}

fn decode_losses(decoder: &mut Decoder<'_>) -> Result<Vec<PackLoss>, DecodeError> {
    let mut losses: Vec<PackLoss> = Vec::new();
    for _ in 0..decoder.count("losses", 19)? {
        let session = SessionId(decoder.array()?);
        if losses.last().is_some_and(|last| last.pack.session >= session) {
            return Err(DecodeError::Value("losses: order"));
        }
        let mut end = 0u32;
        let count = decoder.count("losses", 2)?;
        for _ in 0..count {
            let seq = end.checked_add(decoder.varint_u32()?).ok_or(DecodeError::Number)?;
            let lost = decoder.varint()?;
            end = seq.checked_add(1).ok_or(DecodeError::Number)?;
            if lost == 0 {
                return Err(DecodeError::Value("losses: zero"));
            }
            losses.push(PackLoss { pack: PackId { session, seq }, lost });
        }
        if count == 0 {
            return Err(DecodeError::Value("losses: empty"));
        }
    }
    Ok(losses)
}
