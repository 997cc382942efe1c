//! Where tables are read from: ranges of packs, opened.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::Error;
use crate::domain::Domain;
use crate::hash::{Hash, sealed_hash};
use crate::pack::BlobPosition;
use crate::point::{TablePack, TableRef};
use crate::seal::{ObjectKind, Opener};
use crate::tree::block::TableIndex;
use crate::tree::{Class, PackId};

use super::footer::TableFooter;

/// What is fetched from the end of a table that is larger than the window: footer and, most of the time, index.
const TAIL_BYTES: u64 = 64 << 10;

/// A table up to this size is fetched whole whatever is wanted of it.
const SMALL_TABLE_BYTES: u64 = 256 << 10;

/// Footer and index of one table, and what was fetched along with them.
pub struct TableParts {
    /// Its footer.
    pub footer: TableFooter,
    /// Hash of the sealed footer.
    pub(super) footer_hash: Hash,
    /// Its index.
    pub index: TableIndex,
    /// The packs of its footer, by number, as rows are decoded with them.
    pub packs: Vec<PackId>,
    /// The table's bytes, if it was fetched whole: (offset in the pack, bytes).
    pub(super) whole: Option<(u64, Bytes)>,
}

/// The tables of the restore points of one domain. Shared by all runs that are read at the same time.
pub struct TableSource {
    domain: Domain,
    packs: Mutex<HashMap<PackId, TablePack>>,
    window_bytes: u64,
    /// Tables that were fetched whole, the latest first: several cursors read the same ones. At most one window of bytes.
    recent: Mutex<VecDeque<RecentTable>>,
}

/// A table by its pack and offset.
type RecentTable = ((PackId, u64), Arc<TableParts>);

impl TableSource {
    /// `window_bytes`: how much of one table is fetched with one request, at least 64 KiB and at most what memory allows per run that is read.
    pub fn new(domain: &Domain, packs: &[TablePack], window_bytes: u64) -> TableSource {
        let packs = packs.iter().map(|pack| (pack.pack, *pack)).collect();
        TableSource {
            domain: domain.clone(),
            packs: Mutex::new(packs),
            window_bytes: window_bytes.max(TAIL_BYTES),
            recent: Mutex::default(),
        }
    }

    /// Adds packs that were written meanwhile.
    pub fn add_packs(&self, packs: impl IntoIterator<Item = TablePack>) {
        let mut known = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(packs.into_iter().map(|pack| (pack.pack, pack)));
    }

    /// How much of one table is fetched with one request.
    pub fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// The opener for a pack that holds tables.
    pub(super) fn opener(&self, pack: PackId) -> Result<Opener, Error> {
        let known = self.packs.lock().unwrap_or_else(PoisonError::into_inner).get(&pack).copied();
        let name = self.domain.pack_name(pack);
        let known = known.ok_or_else(|| Error::Bug(format!("{name} holds a table but its salt is not known")))?;
        Opener::without_header(self.domain.binding(ObjectKind::Pack, &name), &known.salt, known.key, self.domain.ring())
    }

    /// Bytes of a pack.
    pub(super) fn fetch(&self, pack: PackId, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let name = self.domain.pack_name(pack);
        self.domain.store().get_range(&name, range).map_err(|error| match error.is_not_found() {
            true => Error::damaged(&name, "it is missing"),
            false => error.into(),
        })
    }

    /// A table's footer. A small table is fetched whole, because whoever asks for its footer most often reads it next.
    pub fn footer(&self, table: &TableRef) -> Result<TableFooter, Error> {
        if table.bytes <= SMALL_TABLE_BYTES.min(self.window_bytes) {
            return Ok(self.open_any(table)?.footer.clone());
        }
        if let Some(parts) = self.at_hand(table) {
            return Ok(parts.footer.clone());
        }
        let sealed = self.fetch(table.pack, table.footer.range())?;
        self.open_footer(&self.opener(table.pack)?, table, &sealed)
    }

    fn open_footer(&self, opener: &Opener, table: &TableRef, sealed: &[u8]) -> Result<TableFooter, Error> {
        if sealed_hash(sealed) != table.footer_hash {
            return Err(Error::damaged(
                opener.name(),
                "a table footer does not have the hash that the restore point names",
            ));
        }
        let footer =
            TableFooter::decode(&opener.open(table.footer.label, sealed)?).map_err(Error::decode(opener.name()))?;
        let index = footer.position(footer.blocks.len());
        if u64::from(footer.offset) != table.offset
            || index.is_none_or(|index| index.range().end != table.footer.offset)
        {
            return Err(Error::damaged(
                opener.name(),
                "a table footer and the restore point disagree about where the table is",
            ));
        }
        Ok(footer)
    }

    /// Opens a table: footer and index, with one request where the window allows, two at the most.
    pub(super) fn open(&self, class: Class, table: &TableRef) -> Result<Arc<TableParts>, Error> {
        let parts = self.open_any(table)?;
        if parts.footer.class != class {
            let name = self.domain.pack_name(table.pack);
            return Err(Error::damaged(&name, "a table has rows of another class than the restore point says"));
        }
        Ok(parts)
    }

    /// A table that was fetched before, whole.
    fn at_hand(&self, table: &TableRef) -> Option<Arc<TableParts>> {
        let key = (table.pack, table.offset);
        let recent = self.recent();
        // The same place under another footer is another claim about it.
        let same = |parts: &&Arc<TableParts>| parts.footer_hash == table.footer_hash;
        recent.iter().find(|(recent, _)| *recent == key).map(|(_, parts)| parts).filter(same).cloned()
    }

    fn open_any(&self, table: &TableRef) -> Result<Arc<TableParts>, Error> {
        if let Some(parts) = self.at_hand(table) {
            return Ok(parts);
        }
        let key = (table.pack, table.offset);
        let parts = Arc::new(self.fetch_table(table)?);
        if parts.whole.is_some() {
            let mut recent = self.recent();
            recent.push_front((key, parts.clone()));
            let bytes = |recent: &VecDeque<RecentTable>| -> u64 {
                recent.iter().filter_map(|(_, parts)| parts.whole.as_ref()).map(|(_, whole)| whole.len() as u64).sum()
            };
            while recent.len() > 1 && bytes(&recent) > self.window_bytes {
                recent.pop_back();
            }
        }
        Ok(parts)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, VecDeque<RecentTable>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_table(&self, table: &TableRef) -> Result<TableParts, Error> {
        let opener = self.opener(table.pack)?;
        let end = table.offset + table.bytes;
        let (start, fetched) = if table.bytes <= self.window_bytes {
            (table.offset, self.fetch(table.pack, table.offset..end)?)
        } else {
            let start = end - TAIL_BYTES.max(u64::from(table.footer.sealed_bytes)).min(table.bytes);
            (start, self.fetch(table.pack, start..end)?)
        };
        let sealed_footer = slice(&fetched, start, &table.footer, &opener)?;
        let footer = self.open_footer(&opener, table, &sealed_footer)?;
        let position =
            footer.position(footer.blocks.len()).ok_or_else(|| Error::Bug("a footer without an index".into()))?;
        let sealed_index = match position.offset >= start {
            true => slice(&fetched, start, &position, &opener)?,
            false => self.fetch(table.pack, position.range())?,
        };
        let index = TableIndex::decode(footer.class, &opener.open(position.label, &sealed_index)?)
            .map_err(Error::decode(opener.name()))?;
        if index.blocks.len() != footer.blocks.len() || index.rows() != table.rows {
            return Err(Error::damaged(opener.name(), "a table's index, footer and restore point disagree"));
        }
        let packs = footer.packs.iter().map(|used| used.pack).collect();
        Ok(TableParts {
            footer,
            footer_hash: table.footer_hash,
            index,
            packs,
            whole: (start == table.offset).then_some((start, fetched)),
        })
    }
}

/// The bytes of one blob out of a range of its pack.
pub(super) fn slice(fetched: &Bytes, start: u64, position: &BlobPosition, opener: &Opener) -> Result<Bytes, Error> {
    let range = position.range();
    let outside = || Error::damaged(opener.name(), "a table's blob is not where its footer says");
    let from = range.start.checked_sub(start).ok_or_else(outside)? as usize;
    let to = from + position.sealed_bytes as usize;
    if to > fetched.len() {
        return Err(outside());
    }
    Ok(fetched.slice(from..to))
}
