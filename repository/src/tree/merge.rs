//! Merge: several runs as one (docs/format.md, section 7.4).
//!
//! In: runs of one class, newest first. Out: one sorted stream, either what a reader sees or what a merged run must hold. Never: holds more than one row per run
//! in memory (and the one block that it folds), or loses a row to an error: a call that failed may be repeated.

use super::key::{self, Class};
use super::overlay::{self, BlockView, SignView, Zeros};
use super::row::{Head, Row, Value};
use super::rules::{Rule, Rules};

mod run;

pub use run::{Run, VecRun};

/// After so many hidden rows in a row, the run is asked to seek past the node: the next row may be gigabytes of metadata away.
const HIDDEN_ROWS_BEFORE_SEEK: u32 = 64;

/// What the stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What a reader sees: no tombstones, Heads, zero extents, zero signatures or hidden pages. The runs must be all runs of a restore point.
    Read,
    /// The rows of the run that replaces these adjacent runs.
    Merge {
        /// True if the oldest of them is the oldest of the restore point.
        lowest: bool,
    },
}

#[derive(Debug)]
// One per run; a box would cost every row an allocation.
#[allow(clippy::large_enum_variant)]
enum Peek {
    /// Not asked yet.
    Unknown,
    Row(Row),
    End,
}

#[derive(Debug)]
struct Cursor<R> {
    run: R,
    peek: Peek,
    /// This run's Head of the current node.
    head: Option<Head>,
    /// A newer run's Head says: none of the current node's rows in this run counts.
    gone: bool,
    /// Newer runs' Heads leave the pages of the current node below this one.
    cut: u64,
    /// The run must be sent here before it is asked again.
    skip_to: Option<Vec<u8>>,
}

impl<R> Cursor<R> {
    fn key(&self) -> Option<&[u8]> {
        match &self.peek {
            Peek::Row(row) => Some(&row.key),
            Peek::Unknown | Peek::End => None,
        }
    }

    fn take(&mut self) -> Option<Row> {
        match std::mem::replace(&mut self.peek, Peek::Unknown) {
            Peek::Row(row) => Some(row),
            other => {
                self.peek = other;
                None
            }
        }
    }
}

/// Several runs of one class as one.
#[derive(Debug)]
pub struct Merged<R: Run> {
    class: Class,
    mode: Mode,
    rules: Rules,
    cursors: Vec<Cursor<R>>,
    /// The node whose Heads the cursors know.
    node: Option<u64>,
    /// If `position_known`: every cursor stands at its first row above this key.
    position: Vec<u8>,
    position_known: bool,
    /// Where the caller wants to go.
    sought: Option<Vec<u8>>,
    /// The cursors that stand at the smallest key, newest first.
    group: Vec<usize>,
}

impl<R: Run> Merged<R> {
    /// Over runs of `class`, newest first, each at its first row.
    pub fn new(class: Class, runs: Vec<R>, mode: Mode) -> Merged<R> {
        Merged::with_rules(class, runs, mode, Rules::default())
    }

    /// With a rule missing: for tests.
    #[doc(hidden)]
    pub fn with_rules(class: Class, runs: Vec<R>, mode: Mode, rules: Rules) -> Merged<R> {
        let cursor = |run| Cursor { run, peek: Peek::Unknown, head: None, gone: false, cut: u64::MAX, skip_to: None };
        let cursors = runs.into_iter().map(cursor).collect();
        let (position, sought, group) = (Vec::new(), None, Vec::new());
        Merged { class, mode, rules, cursors, node: None, position, position_known: false, sought, group }
    }

    /// Nothing below the rows that come out: what hides may go.
    fn nothing_below(&self) -> bool {
        match self.mode {
            Mode::Read => true,
            Mode::Merge { lowest } => lowest && self.rules.hold(Rule::LowestLeavesNothingHidden),
        }
    }

    fn keeps(&self, rule: Rule) -> bool {
        !self.nothing_below() && self.rules.hold(rule)
    }

    fn zeros(&self, rule: Rule) -> Zeros {
        if self.keeps(rule) { Zeros::Keep } else { Zeros::Drop }
    }

    /// Reads one row ahead wherever none is known.
    fn fill(&mut self) -> Result<(), R::Error> {
        for cursor in &mut self.cursors {
            let mut hidden = 0;
            while let Peek::Unknown = cursor.peek {
                if let Some(key) = &cursor.skip_to {
                    cursor.run.seek(key)?;
                    cursor.skip_to = None;
                }
                let Some(row) = cursor.run.next()? else {
                    cursor.peek = Peek::End;
                    break;
                };
                let node = key::node_of(self.class, &row.key);
                let is_hidden = cursor.gone && node.is_some() && node == self.node;
                if !is_hidden || key::is_head(self.class, &row.key) {
                    cursor.peek = Peek::Row(row);
                    break;
                }
                hidden += 1;
                if hidden == HIDDEN_ROWS_BEFORE_SEEK {
                    cursor.skip_to = node.and_then(|node| node.checked_add(1)).map(key::first_of_node);
                }
            }
        }
        Ok(())
    }

    /// Finds the smallest key and who has it; false at the end.
    fn find_group(&mut self) -> bool {
        self.group.clear();
        let mut smallest: Option<&[u8]> = None;
        for (index, cursor) in self.cursors.iter().enumerate() {
            let Some(key) = cursor.key() else { continue };
            match smallest.map(|smallest| key.cmp(smallest)) {
                Some(std::cmp::Ordering::Greater) => continue,
                Some(std::cmp::Ordering::Equal) => {}
                Some(std::cmp::Ordering::Less) | None => {
                    self.group.clear();
                    smallest = Some(key);
                }
            }
            self.group.push(index);
        }
        !self.group.is_empty()
    }

    /// Forgets the Heads of the node before.
    fn enter_node(&mut self, node: Option<u64>) {
        for cursor in &mut self.cursors {
            (cursor.head, cursor.gone, cursor.cut) = (None, false, u64::MAX);
        }
        self.node = node;
    }

    /// Tells every cursor what the Heads of newer runs leave of the current node.
    fn apply_heads(&mut self) {
        let rules = self.rules;
        let mut above: Option<Head> = None;
        for cursor in &mut self.cursors {
            let mut acting = above;
            if let Some(head) = cursor.head {
                above = match above {
                    None => Some(head),
                    Some(newer) if rules.hold(Rule::AllHeadsAct) => Some(both(newer, head)),
                    Some(newer) => Some(newer),
                };
            }
            if !rules.hold(Rule::HeadActsOnlyBelow) {
                acting = above;
            }
            let acting = acting.unwrap_or_default();
            cursor.gone = acting.gone && rules.hold(Rule::GoneHides);
            cursor.cut = acting.cut.unwrap_or(u64::MAX);
        }
    }

    /// Takes the Heads that stand at the smallest key; gives the one that the merged run needs.
    fn take_heads(&mut self) -> Option<Row> {
        let mut merged: Option<Head> = None;
        let mut head_key = Vec::new();
        for index in std::mem::take(&mut self.group) {
            let Some(cursor) = self.cursors.get_mut(index) else { continue };
            let Some(Row { key, value: Value::Head(head) }) = cursor.take() else { continue };
            cursor.head = Some(head);
            head_key = key;
            merged = Some(match merged {
                None => head,
                Some(newer) => self.rules.merge_heads(newer, head),
            });
        }
        self.apply_heads();
        let head = merged?;
        let says_something = head.gone || head.cut.is_some();
        (says_something && self.keeps(Rule::HeadsStayAboveLowest))
            .then_some(Row { key: head_key, value: Value::Head(head) })
    }

    /// Takes the rows that stand at the smallest key, which is not a Head, and folds them; `None`: nothing is left of them.
    fn take_row(&mut self) -> Option<Row> {
        let group = std::mem::take(&mut self.group);
        let newest = self.cursors.get(*group.first()?)?.key()?;
        let row = match key::block_of(self.class, newest) {
            Some(block) if self.class == Class::Content => self.take_block(&group, block),
            Some(block) => self.take_signs(&group, block),
            None => self.take_newest(&group),
        };
        self.group = group;
        row
    }

    fn take_newest(&mut self, group: &[usize]) -> Option<Row> {
        let mut deciding: Option<Row> = None;
        for index in group {
            let Some(cursor) = self.cursors.get_mut(*index) else { continue };
            let Some(row) = cursor.take() else { continue };
            if !cursor.gone && (deciding.is_none() || !self.rules.hold(Rule::NewestRowDecides)) {
                deciding = Some(row);
            }
        }
        let row = deciding?;
        let stays = match (&row.value, self.mode) {
            (Value::Tombstone, Mode::Read) => !self.rules.hold(Rule::TombstoneMeansAbsent),
            (Value::Tombstone, Mode::Merge { .. }) => self.keeps(Rule::TombstonesStayAboveLowest),
            _ => true,
        };
        stays.then_some(row)
    }

    /// The rows of a group that Heads leave, newest first, each with the number of pages they leave of it.
    fn take_visible(&mut self, group: &[usize], block: u64, cut_hides: Rule) -> Vec<(Row, u16)> {
        let mut rows = Vec::with_capacity(group.len());
        for index in group {
            let Some(cursor) = self.cursors.get_mut(*index) else { continue };
            let Some(row) = cursor.take() else { continue };
            let cut = if self.rules.hold(cut_hides) { cursor.cut } else { u64::MAX };
            let pages = overlay::pages_below(cut, block);
            if !cursor.gone && pages > 0 {
                rows.push((row, pages));
            }
        }
        rows
    }

    fn take_block(&mut self, group: &[usize], block: u64) -> Option<Row> {
        let mut rows = self.take_visible(group, block, Rule::CutHidesExtents);
        if !self.rules.hold(Rule::NewestExtentDecides) {
            rows.reverse();
        }
        if !self.rules.hold(Rule::OlderExtentsShowThrough) {
            rows.truncate(1);
        }
        let mut view = BlockView::with_rules(self.rules);
        for (row, pages) in &rows {
            match &row.value {
                Value::Block(extents) => view.add_older(extents, *pages),
                _ => view.add_older_zeros(*pages),
            }
        }
        let extents = view.finish(self.zeros(Rule::ZeroExtentsStayAboveLowest));
        let (row, _) = rows.into_iter().next()?;
        (!extents.is_empty()).then_some(Row { key: row.key, value: Value::Block(extents) })
    }

    fn take_signs(&mut self, group: &[usize], block: u64) -> Option<Row> {
        let mut rows = self.take_visible(group, block, Rule::CutHidesSignatures);
        if !self.rules.hold(Rule::NewestSignatureDecides) {
            rows.reverse();
        }
        if !self.rules.hold(Rule::OlderSignaturesShowThrough) {
            rows.truncate(1);
        }
        let mut view = SignView::new();
        for (row, pages) in &rows {
            match &row.value {
                Value::Sign(signs) => view.add_older(signs, *pages),
                _ => view.add_older_zeros(*pages),
            }
        }
        let signs = view.finish(self.zeros(Rule::ZeroSignaturesStayAboveLowest));
        let (row, _) = rows.into_iter().next()?;
        (!signs.ranges.is_empty()).then_some(Row { key: row.key, value: Value::Sign(signs) })
    }

    /// Learns the Heads of the node in whose middle `key` lies.
    fn read_heads(&mut self, node: u64) -> Result<(), R::Error> {
        let head_key = key::head(node);
        self.enter_node(None);
        self.position_known = false;
        for cursor in &mut self.cursors {
            cursor.peek = Peek::Unknown;
            cursor.skip_to = None;
            cursor.run.seek(&head_key)?;
            match cursor.run.next()? {
                None => cursor.peek = Peek::End,
                Some(Row { key, value: Value::Head(head) }) if key == head_key => cursor.head = Some(head),
                Some(row) => cursor.peek = Peek::Row(row),
            }
        }
        self.node = Some(node);
        (self.position, self.position_known) = (head_key, true);
        self.apply_heads();
        Ok(())
    }

    /// Sends the cursors to `key`. From the middle of a node this reads the node's Heads first, unless they are known already.
    fn go(&mut self, key: &[u8]) -> Result<(), R::Error> {
        match key::node_of(self.class, key) {
            Some(node) if key > key::head(node).as_slice() && self.rules.hold(Rule::SeekAsksHeads) => {
                if self.node != Some(node) {
                    self.read_heads(node)?;
                }
            }
            // Before a Head, the Heads come with the stream.
            _ => self.enter_node(None),
        }
        let ahead = std::mem::take(&mut self.position_known) && self.position.as_slice() < key;
        for cursor in &mut self.cursors {
            let stands_right = match &cursor.peek {
                Peek::Unknown => false,
                Peek::Row(row) => row.key.as_slice() >= key,
                Peek::End => true,
            };
            if !(ahead && stands_right) {
                cursor.peek = Peek::Unknown;
                cursor.skip_to = Some(key.to_vec());
            }
        }
        Ok(())
    }
}

/// Two Heads above a row, as one.
fn both(newer: Head, older: Head) -> Head {
    let cut = match (newer.cut, older.cut) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Head { gone: newer.gone || older.gone, cut }
}

impl Rules {
    fn merge_heads(self, newer: Head, older: Head) -> Head {
        let mut merged = both(newer, older);
        if !self.hold(Rule::MergedHeadIsGoneIfAny) {
            merged.gone = newer.gone;
        }
        if !self.hold(Rule::MergedHeadHasSmallestCut) {
            merged.cut = newer.cut.or(older.cut);
        }
        merged
    }
}

impl<R: Run> Run for Merged<R> {
    type Error = R::Error;

    /// Remembers where to go; [`Merged::next`] goes there, so that this never fails.
    fn seek(&mut self, key: &[u8]) -> Result<(), R::Error> {
        self.sought = Some(key.to_vec());
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Row>, R::Error> {
        if let Some(key) = self.sought.take()
            && let Err(error) = self.go(&key)
        {
            self.sought = Some(key);
            return Err(error);
        }
        loop {
            self.fill()?;
            if !self.find_group() {
                return Ok(None);
            }
            let Some(key) = self.group.first().and_then(|index| self.cursors.get(*index)).and_then(Cursor::key) else {
                return Ok(None);
            };
            let (node, is_head) = (key::node_of(self.class, key), key::is_head(self.class, key));
            self.position.clear();
            self.position.extend_from_slice(key);
            self.position_known = true;
            if node != self.node {
                self.enter_node(node);
            }
            let row = if is_head { self.take_heads() } else { self.take_row() };
            if row.is_some() {
                return Ok(row);
            }
        }
    }
}

#[cfg(test)]
mod tests;
