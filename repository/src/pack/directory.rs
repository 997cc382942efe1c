//! The directory of a pack: where its blobs are, what their sealed bytes hash to, and which segments its data blobs have.

use super::{BlobPosition, PACK_BLOBS_MAX, PACK_BYTES_MAX};
use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::hash::{Hash, sealed_hash};
use crate::seal::{BlobKind, BlobLabel, Codec, Opener, TAG_BYTES};

const MAGIC: &[u8; 8] = b"HFPACKFT";
/// The end of every pack.
pub const FOOTER_BYTES: usize = 64;
/// A hint is cut to this.
const HINT_BYTES_MAX: usize = 512;

/// The keyless checksum of a blob, with which ciphertext is scrubbed.
pub(super) fn checksum(sealed: &[u8]) -> [u8; 16] {
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&sealed_hash(sealed)[..16]);
    checksum
}

/// One blob in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Where and what.
    pub position: BlobPosition,
    /// First half of the hash of its sealed bytes.
    pub checksum: [u8; 16],
}

impl DirectoryEntry {
    /// True if these are the sealed bytes that were written.
    pub fn matches(&self, sealed: &[u8]) -> bool {
        checksum(sealed) == self.checksum
    }
}

/// Part of a data blob: the unit of deduplication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Length in the blob's plaintext.
    pub bytes: u32,
    /// Keyed hash of its content.
    pub hash: Hash,
    /// Key of the row that named it, a hint.
    pub hint: Vec<u8>,
}

/// The segments of all data blobs of a pack being built.
#[derive(Default)]
pub(super) struct SegmentList {
    encoder: Encoder,
}

impl SegmentList {
    pub(super) fn add(&mut self, segments: &[Segment]) {
        self.encoder.varint(segments.len() as u64);
        for segment in segments {
            let hint = &segment.hint[..segment.hint.len().min(HINT_BYTES_MAX)];
            self.encoder.varint(u64::from(segment.bytes)).raw(&segment.hash).bytes(hint);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.encoder.out.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.encoder.out.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.encoder.out)
    }
}

/// Reads a segment list: one list of segments for each data blob of the directory, each covering its blob.
pub fn decode_segments(plaintext: &[u8], directory: &Directory) -> Result<Vec<(u32, Vec<Segment>)>, DecodeError> {
    let mut decoder = Decoder::new(plaintext);
    let mut blobs = Vec::new();
    for entry in directory.blobs.iter().filter(|entry| entry.position.label.kind == BlobKind::Data) {
        let count = decoder.count("segments", 34)?;
        let mut segments = Vec::with_capacity(count);
        let mut covered = 0u64;
        for _ in 0..count {
            let bytes = decoder.varint_u32()?;
            covered += u64::from(bytes);
            segments.push(Segment {
                bytes,
                hash: decoder.array()?,
                hint: decoder.bytes("hint", HINT_BYTES_MAX)?.to_vec(),
            });
        }
        if covered != u64::from(entry.position.label.plaintext_bytes) {
            return Err(DecodeError::Value("segment lengths"));
        }
        blobs.push((entry.position.label.number, segments));
    }
    decoder.finish()?;
    Ok(blobs)
}

/// All blobs of a pack except the directory itself, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Blob `n` is the `n`th.
    pub blobs: Vec<DirectoryEntry>,
}

impl Directory {
    pub(super) fn encode(entries: &[DirectoryEntry]) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.varint(entries.len() as u64);
        for entry in entries {
            let BlobPosition { label, sealed_bytes, .. } = entry.position;
            encoder.u8(label.kind as u8).u8(label.codec as u8).varint(u64::from(sealed_bytes));
            encoder.varint(u64::from(label.plaintext_bytes)).raw(&entry.checksum);
        }
        encoder.finish()
    }

    /// Reads a directory's plaintext; blobs begin after `header_bytes` and must end exactly at `end`.
    pub fn decode(plaintext: &[u8], header_bytes: u64, end: u64) -> Result<Directory, DecodeError> {
        let mut decoder = Decoder::new(plaintext);
        let count = decoder.count("blobs", 20)?;
        if count as u64 > u64::from(PACK_BLOBS_MAX) {
            return Err(DecodeError::TooLarge("blobs"));
        }
        let mut offset = header_bytes;
        let mut blobs = Vec::with_capacity(count);
        for number in 0..count as u32 {
            let kind = BlobKind::from_byte(decoder.u8()?).ok_or(DecodeError::Value("blob kind"))?;
            let codec = Codec::from_byte(decoder.u8()?).ok_or(DecodeError::Value("codec"))?;
            let sealed_bytes = decoder.varint_u32()?;
            let plaintext_bytes = decoder.varint_u32()?;
            if (sealed_bytes as usize) < TAG_BYTES || plaintext_bytes as usize > kind.plaintext_bytes_max() {
                return Err(DecodeError::Value("blob length"));
            }
            let label = BlobLabel { kind, codec, number, plaintext_bytes };
            blobs.push(DirectoryEntry {
                position: BlobPosition { label, offset, sealed_bytes },
                checksum: decoder.array()?,
            });
            offset += u64::from(sealed_bytes);
        }
        decoder.finish()?;
        if offset != end {
            return Err(DecodeError::Value("blob lengths"));
        }
        Ok(Directory { blobs })
    }

    /// Opens a directory from the end of a pack: `tail` is at least footer and sealed directory.
    pub fn open(opener: &Opener, footer: &Footer, tail: &[u8]) -> Result<Directory, Error> {
        let damaged = |what: &str| Error::damaged(opener.name(), what);
        let sealed_bytes = footer.position.sealed_bytes as usize;
        let start = tail
            .len()
            .checked_sub(FOOTER_BYTES + sealed_bytes)
            .ok_or_else(|| damaged("it ends before its directory"))?;
        let sealed = &tail[start..start + sealed_bytes];
        if sealed_hash(sealed) != footer.directory_hash {
            return Err(damaged("its directory does not have the hash that its footer names"));
        }
        let plaintext = opener.open(footer.position.label, sealed)?;
        let directory = Directory::decode(&plaintext, opener.header_bytes() as u64, footer.position.offset)
            .map_err(Error::decode(opener.name()))?;
        if directory.blobs.len() as u64 != u64::from(footer.position.label.number) {
            return Err(damaged("its directory and its footer disagree about the number of blobs"));
        }
        Ok(directory)
    }

    /// A data blob by number.
    pub fn data(&self, number: u32) -> Option<&DirectoryEntry> {
        self.blobs.get(number as usize).filter(|entry| entry.position.label.kind == BlobKind::Data)
    }

    /// The segment list, if the pack has content.
    pub fn segment_list(&self) -> Option<&DirectoryEntry> {
        self.blobs.last().filter(|entry| entry.position.label.kind == BlobKind::Segments)
    }
}

/// The last 64 bytes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Where the sealed directory is.
    pub position: BlobPosition,
    /// Hash of its sealed bytes.
    pub directory_hash: Hash,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let BlobPosition { label, offset, sealed_bytes } = self.position;
        let mut encoder = Encoder::new();
        encoder.raw(MAGIC).u64(offset).u32(sealed_bytes).u32(label.plaintext_bytes).u32(label.number);
        encoder.u8(label.codec as u8).raw(&[0; 3]).raw(&self.directory_hash);
        encoder.finish()
    }

    /// Reads the footer of a pack of `pack_bytes` bytes from its last [`FOOTER_BYTES`] bytes.
    pub fn decode(bytes: &[u8], pack_bytes: u64) -> Result<Footer, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if &decoder.array::<8>()? != MAGIC {
            return Err(DecodeError::Value("footer magic"));
        }
        let offset = decoder.u64()?;
        let sealed_bytes = decoder.u32()?;
        let plaintext_bytes = decoder.u32()?;
        let number = decoder.u32()?;
        let codec = Codec::from_byte(decoder.u8()?).ok_or(DecodeError::Value("codec"))?;
        decoder.zeros(3)?;
        let directory_hash = decoder.array()?;
        decoder.finish()?;
        let end = offset.checked_add(u64::from(sealed_bytes)).and_then(|end| end.checked_add(FOOTER_BYTES as u64));
        if pack_bytes > PACK_BYTES_MAX
            || end != Some(pack_bytes)
            || plaintext_bytes as usize > BlobKind::Directory.plaintext_bytes_max()
        {
            return Err(DecodeError::Value("directory position"));
        }
        let label = BlobLabel { kind: BlobKind::Directory, codec, number, plaintext_bytes };
        Ok(Footer { position: BlobPosition { label, offset, sealed_bytes }, directory_hash })
    }
}
