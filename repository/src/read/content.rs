//! Content: single files and attribute values, read one extent after another.
//!
//! In: extents. Out: bytes, checked. Never: holds more than a few blobs and one window of a pack. A restore of many files goes pack by pack instead
//! ([`super::restore`]).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::Error;
use crate::hash::PAGE_BYTES;
use crate::source::Attributes;
use crate::target::Metadata;
use crate::tree::{AttributeValue, Extent, Location, PackId};

use super::packs::{OpenBlob, PackIndex, slice};
use super::view::{Found, View};

/// Open packs that are remembered: an index takes about 50 bytes per blob.
const INDEXES_MAX: usize = 16;
/// Open blobs that are remembered, of at most 1 MiB each.
const BLOBS_MAX: usize = 4;
/// The first fetch from a pack; reading on doubles it.
const FIRST_FETCH_BYTES: u64 = 256 << 10;
/// The largest fetch.
const FETCH_BYTES_MAX: u64 = 8 << 20;

/// Reads extents.
pub(super) struct ContentReader<'a> {
    view: &'a View,
    indexes: VecDeque<(PackId, Arc<PackIndex>)>,
    blobs: VecDeque<((PackId, u32), Arc<OpenBlob>)>,
    window: Option<(PackId, u64, Bytes)>,
    fetch_bytes: u64,
}

impl<'a> ContentReader<'a> {
    pub(super) fn new(view: &'a View) -> ContentReader<'a> {
        ContentReader {
            view,
            indexes: VecDeque::new(),
            blobs: VecDeque::new(),
            window: None,
            fetch_bytes: FIRST_FETCH_BYTES,
        }
    }

    fn index(&mut self, pack: PackId) -> Result<Arc<PackIndex>, Error> {
        if let Some((_, index)) = self.indexes.iter().find(|(id, _)| *id == pack) {
            return Ok(index.clone());
        }
        let index = Arc::new(self.view.packs().index(pack)?);
        if self.indexes.len() == INDEXES_MAX {
            self.indexes.pop_front();
        }
        self.indexes.push_back((pack, index.clone()));
        Ok(index)
    }

    /// The blob in which a place is.
    pub(super) fn blob(&mut self, at: &Location) -> Result<Arc<OpenBlob>, Error> {
        let wanted = (at.pack, at.blob);
        if let Some((_, blob)) = self.blobs.iter().find(|(id, _)| *id == wanted) {
            return Ok(blob.clone());
        }
        let index = self.index(at.pack)?;
        let position = index.data(at.blob)?.position;
        let at_hand = self.window.as_ref().is_some_and(|(pack, start, bytes)| {
            *pack == at.pack && position.offset >= *start && position.range().end <= start + bytes.len() as u64
        });
        if !at_hand {
            let follows = self.window.take().is_some_and(|(pack, start, bytes)| {
                pack == at.pack
                    && position.offset.saturating_sub(start + bytes.len() as u64) < FIRST_FETCH_BYTES
                    && position.offset >= start
            });
            self.fetch_bytes = if follows { (self.fetch_bytes * 2).min(FETCH_BYTES_MAX) } else { FIRST_FETCH_BYTES };
            let last = index.directory().blobs.last().map_or(position.range().end, |last| last.position.range().end);
            let end = (position.offset + self.fetch_bytes).max(position.range().end).min(last);
            self.window = Some((at.pack, position.offset, self.view.packs().fetch(at.pack, position.offset..end)?));
        }
        let Some((_, start, bytes)) = &self.window else {
            return Err(Error::Bug("a window that was just fetched is gone".into()));
        };
        let sealed = slice(index.name(), bytes, *start, &position)?;
        let blob = Arc::new(index.open(self.view.domain().hashing(), at.blob, &sealed)?);
        if self.blobs.len() == BLOBS_MAX {
            self.blobs.pop_front();
        }
        self.blobs.push_back((wanted, blob.clone()));
        Ok(blob)
    }

    /// The first `length` bytes that a list of extents describes; at most 1 MiB.
    pub(super) fn assemble(&mut self, extents: &[Extent], length: usize) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; length];
        for extent in extents {
            let Some(location) = &extent.source else { continue };
            let blob = self.blob(location)?;
            let bytes = blob.part(location.offset, extent.length).ok_or_else(|| {
                self.view.damaged(format!(
                    "a row refers to bytes beyond the end of blob {} of pack {}",
                    location.blob,
                    self.view.domain().pack_name(location.pack)
                ))
            })?;
            let start = usize::from(extent.first_page) * PAGE_BYTES;
            // Bytes beyond the end of the file are not part of it.
            let Some(room) = out.get_mut(start..) else { continue };
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
        }
        Ok(out)
    }

    /// What a target needs to know of an entry; values of attributes that lie in blobs are fetched. One that cannot be read is left out if `lost` takes its name and the
    /// reason.
    pub(super) fn metadata(
        &mut self,
        found: &Found,
        lost: &mut dyn FnMut(&[u8], Error) -> Result<(), Error>,
    ) -> Result<Metadata, Error> {
        let inode = &found.inode;
        let mut extended = Vec::with_capacity(inode.attributes.len());
        for attribute in &inode.attributes {
            let value = match &attribute.value {
                AttributeValue::Inline(value) => value.clone(),
                AttributeValue::Stored { length, extents } => match self.assemble(extents, *length as usize) {
                    Ok(value) => value,
                    Err(error) => {
                        lost(&attribute.name, error)?;
                        continue;
                    }
                },
            };
            extended.push((attribute.name.clone(), value));
        }
        Ok(Metadata {
            file_type: found.file_type,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size: inode.size,
            mtime: inode.mtime,
            device: inode.device,
            attributes: Attributes { link_target: inode.link_target.clone(), extended },
        })
    }
}
