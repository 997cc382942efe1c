//! Overlay: the rows of one block of a file, newest first, folded into one (docs/format.md, section 7.4).
//!
//! In: extents or signatures of one block, row by row from the newest to the oldest, each with the number of pages that Heads above it leave visible.
//! Out: one list in which every page is decided by the newest row that names it. Never: looks at keys, or knows how many rows there are.

use super::row::{Extent, Location, Signs};
use super::rules::{Rule, Rules};
use crate::hash::{BLOCK_PAGES, PAGE_BYTES};

const PAGE: u32 = PAGE_BYTES as u32;
/// Pages of a block, as page numbers are typed.
pub const PAGES: u16 = BLOCK_PAGES as u16;

/// What becomes of zero extents and zero signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// They stay: rows below may say otherwise.
    Keep,
    /// They go: nothing below, so that an unnamed page is zeros anyway.
    Drop,
}

/// How many of a block's pages lie below a cut.
pub fn pages_below(cut: u64, block: u64) -> u16 {
    let first = block.saturating_mul(u64::from(PAGES));
    cut.saturating_sub(first).min(u64::from(PAGES)) as u16
}

/// A set of pages of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSet([u64; BLOCK_PAGES / 64]);

impl PageSet {
    /// True if the page is in it.
    pub fn contains(&self, page: u16) -> bool {
        self.0.get(usize::from(page / 64)).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Adds a page; one of 256 or more is left out.
    pub fn insert(&mut self, page: u16) {
        if let Some(word) = self.0.get_mut(usize::from(page / 64)) {
            *word |= 1 << (page % 64);
        }
    }

    /// True if no page is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; BLOCK_PAGES / 64]
    }

    /// The pages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..PAGES).filter(|page| self.contains(*page))
    }
}

/// Extents of one block, being folded.
#[derive(Clone, Debug, Default)]
pub struct BlockView {
    rules: Rules,
    named: PageSet,
    extents: Vec<Extent>,
}

impl BlockView {
    /// Without any row yet.
    pub fn new() -> BlockView {
        BlockView::default()
    }

    pub(super) fn with_rules(rules: Rules) -> BlockView {
        BlockView { rules, ..BlockView::default() }
    }

    /// Adds the next older row, of which Heads leave the first `pages_visible` pages.
    pub fn add_older(&mut self, extents: &[Extent], pages_visible: u16) {
        for extent in extents {
            let end = extent.end_page().min(pages_visible).min(PAGES);
            let mut page = extent.first_page;
            while page < end {
                let first = page;
                while page < end && !self.named.contains(page) {
                    self.named.insert(page);
                    page += 1;
                }
                if page > first {
                    self.extents.push(trim(extent, first, page, &self.rules));
                }
                page += 1;
            }
        }
    }

    /// Adds an older row that says: all zeros (a tombstone).
    pub fn add_older_zeros(&mut self, pages_visible: u16) {
        let zeros = Extent { first_page: 0, length: u32::from(PAGES) * PAGE, source: None };
        self.add_older(&[zeros], pages_visible);
    }

    /// The folded list, in ascending order.
    pub fn finish(mut self, zeros: Zeros) -> Vec<Extent> {
        if zeros == Zeros::Drop {
            self.extents.retain(|extent| extent.source.is_some());
        }
        self.extents.sort_unstable_by_key(|extent| extent.first_page);
        let mut joined: Vec<Extent> = Vec::with_capacity(self.extents.len());
        for extent in self.extents {
            match joined.last_mut() {
                Some(last) if follows(last, &extent) => last.length = last_page_end(last) + extent.length,
                _ => joined.push(extent),
            }
        }
        joined
    }
}

/// The part of an extent from page `first` to before page `end`.
fn trim(extent: &Extent, first: u16, end: u16, rules: &Rules) -> Extent {
    let skipped = u32::from(first - extent.first_page) * PAGE;
    let whole = u32::from(end - first) * PAGE;
    let missing = u32::from(extent.pages()) * PAGE - extent.length;
    let (last_page_kept, rule) = match end == extent.end_page() {
        true => (true, Rule::LastPageKeepsItsBytes),
        false => (false, Rule::TrimmedBackEndsWithAPage),
    };
    let length = if last_page_kept == rules.hold(rule) { whole - missing } else { whole };
    let source = extent.source.map(|location| {
        let moved = if rules.hold(Rule::TrimmedFrontMovesOffset) { skipped } else { 0 };
        Location { offset: location.offset.saturating_add(moved), ..location }
    });
    Extent { first_page: first, length, source }
}

fn last_page_end(extent: &Extent) -> u32 {
    u32::from(extent.pages()) * PAGE
}

/// True if two extents say the same as one: zeros beside zeros, or bytes that follow each other in one blob.
fn follows(last: &Extent, next: &Extent) -> bool {
    if last.end_page() != next.first_page {
        return false;
    }
    match (&last.source, &next.source) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            let whole = last.length == last_page_end(last);
            whole && one.pack == other.pack && one.blob == other.blob && one.offset + last.length == other.offset
        }
        _ => false,
    }
}

/// Where one page of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is zeros.
    Zeros,
    /// In a blob.
    Stored {
        /// Its first byte.
        location: Location,
        /// How many of its bytes are there; zeros follow.
        length: u32,
    },
}

/// Where a page is, by a folded list of extents.
pub fn place_of(extents: &[Extent], page: u16) -> Place {
    let after = extents.partition_point(|extent| extent.first_page <= page);
    let Some(extent) = after.checked_sub(1).and_then(|index| extents.get(index)) else { return Place::Zeros };
    let skipped = u32::from(page - extent.first_page) * PAGE;
    match extent.source {
        Some(location) if page < extent.end_page() => Place::Stored {
            location: Location { offset: location.offset.saturating_add(skipped), ..location },
            length: (extent.length - skipped).min(PAGE),
        },
        _ => Place::Zeros,
    }
}

/// Page signatures of one block, being folded.
#[derive(Clone, Debug)]
pub struct SignView {
    signatures: [Option<u64>; BLOCK_PAGES],
}

impl Default for SignView {
    fn default() -> Self {
        SignView { signatures: [None; BLOCK_PAGES] }
    }
}

impl SignView {
    /// Without any row yet.
    pub fn new() -> SignView {
        SignView::default()
    }

    /// Adds the next older row, of which Heads leave the first `pages_visible` pages.
    pub fn add_older(&mut self, signs: &Signs, pages_visible: u16) {
        for (page, signature) in signs.pages().take_while(|(page, _)| *page < pages_visible) {
            if let Some(slot) = self.signatures.get_mut(usize::from(page)) {
                slot.get_or_insert(signature);
            }
        }
    }

    /// Adds an older row that says: all zeros (a tombstone).
    pub fn add_older_zeros(&mut self, pages_visible: u16) {
        for slot in self.signatures.iter_mut().take(usize::from(pages_visible)) {
            slot.get_or_insert(0);
        }
    }

    /// The folded row.
    pub fn finish(&self, zeros: Zeros) -> Signs {
        let named = (0..PAGES).zip(self.signatures.iter()).filter_map(|(page, slot)| Some((page, (*slot)?)));
        Signs::from_pages(named.filter(|(_, signature)| zeros == Zeros::Keep || *signature != 0))
    }
}

#[cfg(test)]
mod tests;
