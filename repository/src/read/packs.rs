//! Packs: stored objects of blobs, opened and checked.
//!
//! In: the id of a pack, what is known of it, and bytes from the store. Out: the plaintext of data blobs whose tag is right, and on request their segment hashes.
//! Never: a byte that was not authenticated, or an allocation beyond what the format allows for a pack.

mod verify;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::Error;
use crate::domain::Domain;
use crate::hash::{Hash, HashingKey, PAGE_BYTES};
use crate::pack::{
    BlobPosition, Directory, DirectoryEntry, FOOTER_BYTES, Footer, PACK_BYTES_MAX, PackSummary, decode_segments,
};
use crate::point::TablePack;
use crate::seal::{HEADER_BYTES_MAX, ObjectKind, Opener};
use crate::tree::PackId;

pub(crate) use verify::{PackVerdict, verify_pack};

/// What is fetched from the end of a pack to find its directory and, most of the time, its segment list.
const TAIL_BYTES: u64 = 64 << 10;

/// The packs of a domain, as one reader sees them.
pub(super) struct Packs {
    domain: Domain,
    /// If nobody was told about this reader, a pack that is not there may have been collected.
    announced: bool,
    summaries: Mutex<HashMap<PackId, PackSummary>>,
    fetched: AtomicU64,
}

impl Packs {
    pub(super) fn new(domain: &Domain, announced: bool, known: &[TablePack]) -> Packs {
        let known = known.iter().filter(|pack| pack.summary.is_known()).map(|pack| (pack.pack, pack.summary));
        Packs { domain: domain.clone(), announced, summaries: Mutex::new(known.collect()), fetched: AtomicU64::new(0) }
    }

    pub(super) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Bytes of packs that were fetched so far.
    pub(super) fn bytes_fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Remembers what a table's footer says of a pack.
    pub(super) fn learn(&self, known: impl IntoIterator<Item = (PackId, PackSummary)>) {
        let mut summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        summaries.extend(known.into_iter().filter(|(_, summary)| summary.is_known()));
    }

    /// Length and, where it is known, more about a pack; asks the store for the length if nobody has said it.
    pub(super) fn summary(&self, pack: PackId) -> Result<PackSummary, Error> {
        let known = self.summaries.lock().unwrap_or_else(PoisonError::into_inner).get(&pack).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let name = self.domain.pack_name(pack);
        let pack_bytes = self.domain.store().size(&name)?.ok_or_else(|| self.missing(&name))?;
        if !(FOOTER_BYTES as u64..=PACK_BYTES_MAX).contains(&pack_bytes) {
            return Err(Error::damaged(&name, format!("it has {pack_bytes} bytes, which no pack can have")));
        }
        let summary = PackSummary { pack_bytes, ..PackSummary::default() };
        self.summaries.lock().unwrap_or_else(PoisonError::into_inner).insert(pack, summary);
        Ok(summary)
    }

    fn missing(&self, name: &str) -> Error {
        if self.announced {
            return Error::damaged(name, "it is missing");
        }
        Error::Missing(format!(
            "{name} is missing; either the restore point was removed while it was read, or run `holdfast check` to see what is affected"
        ))
    }

    /// Bytes of a pack.
    pub(super) fn fetch(&self, pack: PackId, range: Range<u64>) -> Result<Bytes, Error> {
        let name = self.domain.pack_name(pack);
        let bytes = self.domain.store().get_range(&name, range).map_err(|error| match error.is_not_found() {
            true => self.missing(&name),
            false => error.into(),
        })?;
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Opens header, directory and segment list of a pack with two or three small requests.
    pub(super) fn index(&self, pack: PackId) -> Result<PackIndex, Error> {
        let summary = self.summary(pack)?;
        let start = summary.pack_bytes.saturating_sub(TAIL_BYTES);
        let mut tail = (start, self.fetch(pack, start..summary.pack_bytes)?);
        let header = match start {
            0 => tail.1.clone(),
            _ => self.fetch(pack, 0..(HEADER_BYTES_MAX as u64).min(summary.pack_bytes))?,
        };
        let name = self.domain.pack_name(pack);
        let footer = footer_of(&name, &tail.1, &summary)?;
        if footer.position.offset < tail.0 {
            tail = (footer.position.offset, self.fetch(pack, footer.position.offset..summary.pack_bytes)?);
        }
        let opener = self.opener(&name, &header)?;
        let directory = Directory::open(&opener, &footer, &tail.1)?;
        let list = directory.segment_list().map(|entry| entry.position);
        let sealed = match list {
            Some(position) if position.offset >= tail.0 => slice(&name, &tail.1, tail.0, &position)?,
            Some(position) => self.fetch(pack, position.range())?,
            None => Bytes::new(),
        };
        PackIndex::new(opener, directory, &sealed)
    }

    /// Opens a pack that was fetched whole.
    pub(super) fn index_of_whole(
        &self,
        pack: PackId,
        whole: &Bytes,
        summary: &PackSummary,
    ) -> Result<PackIndex, Error> {
        let name = self.domain.pack_name(pack);
        let footer = footer_of(&name, whole, summary)?;
        let opener = self.opener(&name, whole)?;
        let directory = Directory::open(&opener, &footer, whole)?;
        let sealed = match directory.segment_list() {
            Some(entry) => slice(&name, whole, 0, &entry.position)?,
            None => Bytes::new(),
        };
        PackIndex::new(opener, directory, &sealed)
    }

    fn opener(&self, name: &str, header: &[u8]) -> Result<Opener, Error> {
        Opener::new(self.domain.binding(ObjectKind::Pack, name), header, self.domain.ring())
    }
}

/// The footer at the end of `tail`, compared with what others remember of the pack.
fn footer_of(name: &str, tail: &Bytes, summary: &PackSummary) -> Result<Footer, Error> {
    let start =
        tail.len().checked_sub(FOOTER_BYTES).ok_or_else(|| Error::damaged(name, "it ends before its footer"))?;
    let footer = Footer::decode(&tail[start..], summary.pack_bytes).map_err(Error::decode(name))?;
    let unknown = summary.directory_hash == [0; 32];
    if !unknown && footer.directory_hash != summary.directory_hash {
        return Err(Error::damaged(
            name,
            "its directory is not the one that metadata names: it was replaced by another",
        ));
    }
    Ok(footer)
}

/// The bytes of one blob out of a range of its pack that begins at `start`.
pub(super) fn slice(name: &str, bytes: &Bytes, start: u64, position: &BlobPosition) -> Result<Bytes, Error> {
    let outside = || Error::damaged(name, "a blob is not where its directory says");
    let from = position.offset.checked_sub(start).and_then(|from| usize::try_from(from).ok()).ok_or_else(outside)?;
    let to = from.checked_add(position.sealed_bytes as usize).filter(|to| *to <= bytes.len()).ok_or_else(outside)?;
    Ok(bytes.slice(from..to))
}

/// What opens the data blobs of one pack.
pub(super) struct PackIndex {
    opener: Opener,
    directory: Directory,
    /// Lengths and hashes of the segments of each data blob, by the blob's number.
    segments: HashMap<u32, Vec<(u32, Hash)>>,
}

impl PackIndex {
    fn new(opener: Opener, directory: Directory, sealed_list: &[u8]) -> Result<PackIndex, Error> {
        let name = opener.name();
        let has_data = directory.blobs.iter().any(|entry| entry.position.label.kind == crate::seal::BlobKind::Data);
        let segments = match directory.segment_list() {
            Some(entry) => {
                let plaintext = opener.open(entry.position.label, sealed_list)?;
                decode_segments(&plaintext, &directory).map_err(Error::decode(name))?
            }
            None if has_data => return Err(Error::damaged(name, "it has content but no segment list")),
            None => Vec::new(),
        };
        let lengths = |segments: Vec<crate::pack::Segment>| {
            segments.into_iter().map(|segment| (segment.bytes, segment.hash)).collect()
        };
        let segments = segments.into_iter().map(|(blob, segments)| (blob, lengths(segments))).collect();
        Ok(PackIndex { opener, directory, segments })
    }

    pub(super) fn name(&self) -> &str {
        self.opener.name()
    }

    pub(super) fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A data blob by number.
    pub(super) fn data(&self, number: u32) -> Result<&DirectoryEntry, Error> {
        self.directory.data(number).ok_or_else(|| {
            Error::damaged(self.name(), format!("metadata names its blob {number}, which is not there or not content"))
        })
    }

    /// Opens a data blob and checks its segments.
    pub(super) fn open(&self, hashing: &HashingKey, number: u32, sealed: &[u8]) -> Result<OpenBlob, Error> {
        let mut blob = self.open_sealed(number, sealed)?;
        self.prove(hashing, number, &mut blob)?;
        Ok(blob)
    }

    /// Opens a data blob: these bytes were sealed under this number in this pack. Whether they are what their writer read, [`PackIndex::prove`] tells, or
    /// the sum of the file that they go to.
    pub(super) fn open_sealed(&self, number: u32, sealed: &[u8]) -> Result<OpenBlob, Error> {
        let plain = self.opener.open(self.data(number)?.position.label, sealed)?;
        Ok(OpenBlob { plain, pages: Vec::new() })
    }

    /// Checks the segments of an open blob.
    pub(super) fn prove(&self, hashing: &HashingKey, number: u32, blob: &mut OpenBlob) -> Result<(), Error> {
        let segments = self.segments.get(&number).map(Vec::as_slice).unwrap_or_default();
        let mut pages = Vec::with_capacity(blob.plain.len() / PAGE_BYTES + segments.len());
        let mut rest = blob.plain.as_slice();
        for (bytes, hash) in segments {
            // The list was decoded against the directory: segments cover the blob.
            let Some((segment, after)) = rest.split_at_checked(*bytes as usize) else { break };
            let first = pages.len();
            pages.extend(segment.chunks(PAGE_BYTES).map(|page| hashing.page(page)));
            if hashing.segment_of_pages(&pages[first..]) != *hash {
                return Err(Error::damaged(
                    self.name(),
                    format!("blob {number} has a segment that is not what was written"),
                ));
            }
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Error::damaged(self.name(), format!("blob {number} is not covered by its segments")));
        }
        if segments.len() == 1 {
            blob.pages = pages;
        }
        Ok(())
    }
}

/// The plaintext of a data blob, authenticated.
pub(super) struct OpenBlob {
    plain: Vec<u8>,
    /// Hashes of its 4,096-byte pieces, if its segments were checked and it is one.
    pages: Vec<Hash>,
}

impl OpenBlob {
    /// Part of the plaintext; `None`: the blob ends before it.
    pub(super) fn part(&self, offset: u32, length: u32) -> Option<&[u8]> {
        self.plain.get(offset as usize..)?.get(..length as usize)
    }

    /// The hash of the page of `length` bytes at `offset`, if checking the blob has produced it.
    pub(super) fn page_hash(&self, offset: usize, length: usize) -> Option<&Hash> {
        if !offset.is_multiple_of(PAGE_BYTES) || length != PAGE_BYTES.min(self.plain.len() - offset) {
            return None;
        }
        self.pages.get(offset / PAGE_BYTES)
    }
}
