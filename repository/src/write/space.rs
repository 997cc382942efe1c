//! Space: what the packs of a restore point hold, and how much of it is still needed.
//!
//! In: the footers of its tables, and what a run adds and hides. Out: for each pack its live bytes; how much dead space only hidden rows keep; totals. Never: rows, or
//! more memory than a few words per pack. Live bytes rest on hints: they decide what is merged and moved, never what is kept.

use std::collections::BTreeMap;

use crate::Error;
use crate::pack::PackSummary;
use crate::point::SpaceHint;
use crate::table::TableFooter;
use crate::tree::plan::DeadSpace;
use crate::tree::{Class, PackId};

use super::balance::Balance;
use super::parent::Parent;

/// A pack below this is small: so many requests for so little.
pub(super) const SMALL_PACK_BYTES: u64 = 4 << 20;

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassSet(u8);

impl ClassSet {
    pub(super) fn insert(&mut self, class: Class) {
        self.0 |= 1 << class as u8;
    }

    pub(super) fn contains(self, class: Class) -> bool {
        self.0 >> class as u8 & 1 == 1
    }
}

/// One pack as a restore point sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PackSpace {
    pub(super) summary: PackSummary,
    /// Plaintext bytes that visible rows of the classes tree and content name; below zero where hints are wrong.
    pub(super) live: [i64; 2],
    /// Stored bytes of listed tables in it.
    pub(super) table_bytes: u64,
    /// Classes with a table that names it.
    pub(super) named_by: ClassSet,
    /// Classes with a table in it.
    pub(super) holds: ClassSet,
}

impl PackSpace {
    /// Plaintext bytes that are needed: never more than there are, where several rows name one place.
    pub(super) fn content_bytes(&self) -> u64 {
        let live = self.live.iter().map(|live| u64::try_from(*live).unwrap_or(0));
        live.fold(0, u64::saturating_add).min(self.summary.data_bytes)
    }

    /// Stored bytes that are needed, as if everything in the pack compressed alike.
    pub(super) fn live_bytes(&self) -> u64 {
        let PackSummary { pack_bytes, data_bytes, .. } = self.summary;
        let content = u128::from(self.content_bytes()) * u128::from(pack_bytes) / u128::from(data_bytes.max(1));
        u64::try_from(content).unwrap_or(u64::MAX).saturating_add(self.table_bytes).min(pack_bytes)
    }

    /// Only hidden rows name it: merges would let go of it.
    pub(super) fn is_dead(&self) -> bool {
        self.summary.is_known() && self.content_bytes() == 0 && self.table_bytes == 0
    }

    /// It is there for its content.
    pub(super) fn has_live_content(&self) -> bool {
        self.summary.is_known() && self.content_bytes() > 0
    }

    pub(super) fn is_small(&self) -> bool {
        self.summary.pack_bytes < SMALL_PACK_BYTES
    }
}

/// All packs that a restore point refers to, oldest session first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) packs: BTreeMap<PackId, PackSpace>,
}

/// Stored bytes of some packs, and how many of them are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) packs_bytes: u64,
    pub(super) live_bytes: u64,
    /// Of the packs' content the plaintext bytes that are needed.
    pub(super) content_bytes: u64,
    pub(super) small_packs: u64,
}

impl Space {
    /// Reads the footers of all tables of the parent whose rows name packs.
    pub(super) fn survey(parent: &Parent) -> Result<Space, Error> {
        let mut space = Space::default();
        for known in &parent.point().runs.packs {
            space.pack(known.pack).summary = known.summary;
        }
        for (class, table) in parent.tree().tables() {
            space.add_table(class, table.pack, table.bytes);
            if names_packs(class) {
                space.add_footer(class, &parent.tables().footer(table)?);
            }
        }
        Ok(space)
    }

    fn pack(&mut self, pack: PackId) -> &mut PackSpace {
        self.packs.entry(pack).or_default()
    }

    fn add_table(&mut self, class: Class, pack: PackId, bytes: u64) {
        let space = self.pack(pack);
        space.table_bytes = space.table_bytes.saturating_add(bytes);
        space.holds.insert(class);
    }

    /// Adds what a table says of packs. Segment rows are hints for deduplication: they keep nothing alive.
    pub(super) fn add_footer(&mut self, class: Class, footer: &TableFooter) {
        let counted = counted(class);
        for used in &footer.packs {
            let space = self.pack(used.pack);
            space.named_by.insert(class);
            if used.summary.is_known() {
                space.summary = used.summary;
            }
            if let Some(counted) = counted {
                space.live[counted] = space.live[counted].saturating_add_unsigned(used.gained);
            }
        }
        let Some(counted) = counted else { return };
        for loss in &footer.losses {
            let space = self.pack(loss.pack);
            space.live[counted] = space.live[counted].saturating_sub_unsigned(loss.lost);
        }
    }

    /// What rows of a class have named and hidden since.
    pub(super) fn apply(&mut self, class: Class, balance: &Balance) {
        let Some(counted) = counted(class) else { return };
        for (pack, bytes) in balance.iter() {
            let space = self.pack(pack);
            space.live[counted] = space.live[counted].saturating_add(bytes);
            if bytes > 0 {
                space.named_by.insert(class);
            }
        }
    }

    /// What is known of more packs.
    pub(super) fn know(&mut self, known: &[(PackId, PackSummary)]) {
        known.iter().for_each(|(pack, summary)| self.pack(*pack).summary = *summary);
    }

    /// Other tables are listed now.
    pub(super) fn relist(&mut self, tables: impl Iterator<Item = (Class, PackId, u64)>) {
        self.packs.values_mut().for_each(|space| (space.table_bytes, space.holds) = Default::default());
        tables.for_each(|(class, pack, bytes)| self.add_table(class, pack, bytes));
    }

    /// What is known of packs.
    pub(super) fn summaries(&self) -> impl Iterator<Item = (PackId, PackSummary)> {
        self.packs.iter().map(|(pack, space)| (*pack, space.summary)).filter(|(_, summary)| summary.is_known())
    }

    /// Of packs that count.
    pub(super) fn totals(&self, counts: impl Fn(PackId) -> bool) -> Totals {
        let mut totals = Totals::default();
        for space in self.packs.iter().filter(|(pack, _)| counts(**pack)).map(|(_, space)| space) {
            totals.packs_bytes = totals.packs_bytes.saturating_add(space.summary.pack_bytes);
            totals.live_bytes = totals.live_bytes.saturating_add(space.live_bytes());
            totals.content_bytes = totals.content_bytes.saturating_add(space.content_bytes());
            totals.small_packs += u64::from(space.summary.is_known() && space.is_small());
        }
        totals
    }

    /// What merging all runs of a class would let go of, if the others let go as well.
    pub(super) fn dead_of(&self, class: Class) -> DeadSpace {
        let dead = self.packs.values().filter(|space| space.is_dead());
        let (mut hidden_bytes, mut hidden_packs) = (0u64, 0);
        for space in dead.filter(|space| space.named_by.contains(class)) {
            hidden_bytes = hidden_bytes.saturating_add(space.summary.pack_bytes);
            hidden_packs += 1;
        }
        DeadSpace { hidden_bytes, hidden_packs, live_bytes: self.totals(|_| true).live_bytes }
    }
}

/// Where the live bytes of a class are counted; `None`: its rows keep nothing alive.
fn counted(class: Class) -> Option<usize> {
    matches!(class, Class::Tree | Class::Content).then_some(class as usize)
}

/// True if rows of a class name places in packs.
pub(super) fn names_packs(class: Class) -> bool {
    matches!(class, Class::Tree | Class::Content | Class::Segment)
}

/// All that packs may take, in percent of what is needed of them.
const PACKS_PERCENT_OF_LIVE: u64 = 170;

/// All that packs may take when so much of them is needed.
pub(super) fn packs_bytes_max(live_bytes: u64) -> u64 {
    live_bytes.saturating_mul(PACKS_PERCENT_OF_LIVE) / 100
}

/// Dead space below this is not worth a look at footers, whatever its share.
const SLACK_BYTES: u64 = 4 << 20;

/// True if a run that continues a point with this hint should read its footers: there may be something to merge or to move. `new_bytes`: what it is about to add.
pub(super) fn is_survey_due(hint: Option<&SpaceHint>, new_bytes: u64) -> bool {
    let Some(hint) = hint else { return true };
    let SpaceHint { packs_bytes, live_bytes, content_bytes, hidden_bytes, small_packs } = *hint;
    let hidden_stored = u128::from(hidden_bytes) * u128::from(live_bytes) / u128::from(content_bytes.max(1));
    let still_live = live_bytes.saturating_sub(u64::try_from(hidden_stored).unwrap_or(u64::MAX));
    hidden_bytes > (content_bytes / 16).saturating_add(SLACK_BYTES)
        || packs_bytes.saturating_add(new_bytes) > packs_bytes_max(still_live).saturating_add(SLACK_BYTES)
        || small_packs > super::evacuate::SMALL_PACKS_MAX as u64
}

#[cfg(test)]
mod tests;
