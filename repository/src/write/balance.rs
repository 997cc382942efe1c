//! Balance: plaintext bytes per pack that rows name, less those that they hide.
//!
//! In: rows as they are written, and what each of them hides. Out: what the packs of a restore point gain and lose. Never: more memory than a few words per pack,
//! or a number that anything but a plan depends on.

use std::collections::HashMap;

use crate::tree::{PackId, Value};

/// Bytes that rows hide, by pack.
pub(super) type Lost = HashMap<PackId, u64>;

/// Bytes by pack; below zero where more was hidden than named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    bytes: HashMap<PackId, i64>,
}

impl Balance {
    /// Rows name so much of a pack.
    pub(super) fn gain(&mut self, pack: PackId, bytes: u64) {
        *self.bytes.entry(pack).or_default() += signed(bytes);
    }

    /// Rows hide so much of a pack.
    pub(super) fn lose(&mut self, pack: PackId, bytes: u64) {
        *self.bytes.entry(pack).or_default() -= signed(bytes);
    }

    /// Everything that a value names.
    pub(super) fn gain_value(&mut self, value: &Value) {
        value.visit_locations(|location, bytes| self.gain(location.pack, u64::from(bytes)));
    }

    /// Everything that rows hide.
    pub(super) fn lose_all(&mut self, lost: &Lost) {
        lost.iter().for_each(|(pack, bytes)| self.lose(*pack, *bytes));
    }

    /// By pack, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PackId, i64)> {
        self.bytes.iter().map(|(pack, bytes)| (*pack, *bytes))
    }

    /// What is below zero: with this loss a table makes up for what its rows name.
    pub(super) fn into_lost(self) -> Lost {
        let below = |(pack, bytes): (PackId, i64)| (bytes < 0).then_some((pack, bytes.unsigned_abs()));
        self.bytes.into_iter().filter_map(below).collect()
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
