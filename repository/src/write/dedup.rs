//! Dedup: where a segment is already, as far as bounded memory knows (design, "Deduplication").
//!
//! In: segment hashes. Out: a place in a pack that this restore point may refer to, or nothing. Never: grows beyond its share, or costs more than space when it misses.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::hash::Hash;
use crate::point::PackSet;
use crate::tree::{Class, Location, Merged, Mode, PackId, Run, Value};

use super::parent::Parent;

/// Segments below this are not worth a row, nor a look-up.
pub(super) const SEGMENT_BYTES_MIN: usize = 64 << 10;
/// Hash, place, and the table's own overhead.
const ENTRY_BYTES: usize = 96;

/// Segments that this run wrote, and those of its parent.
pub(super) struct Dedup {
    known: Mutex<Known>,
    entries_max: usize,
    /// Packs that are emptied: nothing in them is found.
    emptied: HashSet<PackId>,
}

#[derive(Default)]
struct Known {
    places: HashMap<Hash, (Location, u32)>,
    parent_loaded: bool,
}

impl Dedup {
    /// `bytes_max`: its share of the memory budget; `emptied`: packs that nothing new may refer to.
    pub(super) fn new(bytes_max: usize, emptied: &HashSet<PackId>) -> Dedup {
        Dedup { known: Mutex::default(), entries_max: bytes_max / ENTRY_BYTES, emptied: emptied.clone() }
    }

    /// Where a segment of this hash and length is.
    pub(super) fn find(&self, hash: &Hash, bytes: u32, parent: Option<&Parent>) -> Result<Option<Location>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(parent), false) = (parent, known.parent_loaded) {
            known.parent_loaded = true;
            self.load(&mut known.places, parent)?;
        }
        Ok(known.places.get(hash).filter(|(_, length)| *length == bytes).map(|(location, _)| *location))
    }

    /// Remembers a segment that was just written.
    pub(super) fn remember(&self, hash: Hash, location: Location, bytes: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.places.len() < self.entries_max {
            known.places.insert(hash, (location, bytes));
        }
    }

    /// Remembers what a killed run of this session has in acknowledged packs.
    pub(super) fn resume(&self, segments: &[(Hash, Location, u32)]) {
        segments.iter().for_each(|(hash, location, bytes)| self.remember(*hash, *location, *bytes));
    }

    /// Forgets what lies in other packs: who goes on under a new session may refer to what its pin names, and a killed run may have left more than its first checkpoint needed.
    pub(super) fn keep(&self, packs: &PackSet) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.places.retain(|_, (location, _)| packs.contains(location.pack));
    }

    /// The parent's rows are loaded whole, when the first new segment appears, if half of the share holds them; a look-up by range would cost a request each.
    fn load(&self, places: &mut HashMap<Hash, (Location, u32)>, parent: &Parent) -> Result<(), Error> {
        let rows: u64 = parent.tree().of(Class::Segment).iter().flatten().map(|table| table.rows).sum();
        if rows > self.entries_max as u64 / 2 {
            tracing::info!(
                rows,
                "too many segments in the parent for this memory budget: duplicates of it are not looked for"
            );
            return Ok(());
        }
        let mut merged = Merged::new(Class::Segment, parent.runs(Class::Segment), Mode::Read);
        while let Some(row) = merged.next()? {
            let (Ok(hash), Value::Segment { location, length }) = (Hash::try_from(row.key.as_slice()), row.value)
            else {
                continue;
            };
            if parent.packs().contains(location.pack) && !self.emptied.contains(&location.pack) {
                places.insert(hash, (location, length));
            }
        }
        Ok(())
    }
}
