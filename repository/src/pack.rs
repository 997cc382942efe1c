//! Pack: many sealed blobs in one stored object (docs/format.md, section 6).
//!
//! In: compressed blobs in the order in which they come. Out: the bytes of one object, and where each blob is in it. Never: talks to a store, or holds more
//! than one pack.

mod directory;

use bytes::Bytes;

pub use directory::{Directory, DirectoryEntry, FOOTER_BYTES, Footer, Segment, decode_segments};

use crate::Error;
use crate::compress::{Compressed, Compressor};
use crate::hash::{Hash, sealed_hash};
use crate::seal::{Binding, BlobKind, BlobLabel, ClassKey, Sealer};

/// No pack is larger.
pub const PACK_BYTES_MAX: u64 = 64 << 20;
/// No pack has more blobs.
pub const PACK_BLOBS_MAX: u32 = 65_535;

/// Where a blob is in its pack, and what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobPosition {
    /// What is authenticated.
    pub label: BlobLabel,
    /// First byte in the object.
    pub offset: u64,
    /// Length in the object, tag included.
    pub sealed_bytes: u32,
}

impl BlobPosition {
    /// The bytes of the object that it takes.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + u64::from(self.sealed_bytes)
    }
}

/// What others remember of a pack that is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackSummary {
    /// Length of the object in bytes; 0: not known.
    pub pack_bytes: u64,
    /// Plaintext bytes of its data blobs.
    pub data_bytes: u64,
    /// Hash of its sealed directory.
    pub directory_hash: Hash,
}

impl PackSummary {
    /// False for what a table inside the pack itself says.
    pub fn is_known(&self) -> bool {
        self.pack_bytes != 0
    }
}

/// Builds one pack in memory.
pub struct PackBuilder {
    sealer: Sealer,
    out: Vec<u8>,
    entries: Vec<DirectoryEntry>,
    segments: directory::SegmentList,
    data_bytes: u64,
    compressor: Compressor,
}

impl PackBuilder {
    /// Begins a pack in the memory of `room`, whose content is dropped; `salt` is random and fresh.
    pub fn new(object: Binding<'_>, keys: &[&ClassKey], salt: [u8; 32], room: Vec<u8>) -> Result<PackBuilder, Error> {
        let sealer = Sealer::new(object, keys, salt)?;
        let mut out = room;
        out.clear();
        out.extend_from_slice(sealer.header());
        Ok(PackBuilder {
            sealer,
            out,
            entries: Vec::new(),
            segments: directory::SegmentList::default(),
            data_bytes: 0,
            compressor: Compressor::new(3)?,
        })
    }

    /// Bytes so far, without directory and footer.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// True until the first blob.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number that the next blob gets.
    pub fn next_number(&self) -> u32 {
        self.sealer.next_number()
    }

    /// True if the limits of the format leave room for `blobs` more blobs of about `bytes` bytes, the segment list and the directory.
    pub fn has_room(&self, blobs: u32, bytes: usize) -> bool {
        let directory = self.entries.len() * 48 + self.segments.bytes() + (1 << 16);
        self.next_number() + blobs + 2 <= PACK_BLOBS_MAX
            && (self.out.len() + bytes + directory) as u64 <= PACK_BYTES_MAX
    }

    /// Adds content: one blob of the segments that cover it.
    pub fn add_data(&mut self, content: &Compressed, segments: &[Segment]) -> Result<BlobPosition, Error> {
        debug_assert_eq!(segments.iter().map(|segment| segment.bytes).sum::<u32>(), content.plaintext_bytes);
        self.segments.add(segments);
        self.data_bytes += u64::from(content.plaintext_bytes);
        self.add(BlobKind::Data, content)
    }

    /// Adds a blob of any kind but data.
    pub fn add(&mut self, kind: BlobKind, content: &Compressed) -> Result<BlobPosition, Error> {
        self.add_and_show(kind, content).map(|(position, _)| position)
    }

    /// Adds a blob of any kind but data; returns its sealed bytes as well.
    pub fn add_and_show(&mut self, kind: BlobKind, content: &Compressed) -> Result<(BlobPosition, &[u8]), Error> {
        let offset = self.out.len() as u64;
        let (label, sealed_bytes) = self.sealer.seal(kind, content, &mut self.out)?;
        let sealed = &self.out[offset as usize..];
        self.entries.push(DirectoryEntry {
            position: BlobPosition { label, offset, sealed_bytes },
            checksum: directory::checksum(sealed),
        });
        Ok((BlobPosition { label, offset, sealed_bytes }, sealed))
    }

    /// Seals the directory; the pack is complete.
    pub fn finish(mut self) -> Result<(Bytes, PackSummary), Error> {
        if !self.segments.is_empty() {
            let list = self.compressor.compress(&self.segments.take())?;
            self.add(BlobKind::Segments, &list)?;
        }
        let directory = self.compressor.compress(&Directory::encode(&self.entries))?;
        let offset = self.out.len() as u64;
        let (label, sealed_bytes) = self.sealer.seal(BlobKind::Directory, &directory, &mut self.out)?;
        let directory_hash = sealed_hash(&self.out[offset as usize..]);
        let position = BlobPosition { label, offset, sealed_bytes };
        self.out.extend_from_slice(&Footer { position, directory_hash }.encode());
        let summary = PackSummary { pack_bytes: self.out.len() as u64, data_bytes: self.data_bytes, directory_hash };
        Ok((Bytes::from(self.out), summary))
    }
}

#[cfg(test)]
mod tests;
