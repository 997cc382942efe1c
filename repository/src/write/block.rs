//! Block: one MiB of a file compared with what the parent has, page by page.
//!
//! In: the bytes of a block and the signatures of its pages in the parent. Out: which pages differ, their signatures, and the bytes that are new. Pure.

use crate::hash::{BLOCK_PAGES, Hash, HashingKey, PAGE_BYTES, PageSum, is_zero, signature_of};
use crate::tree::overlay::PageSet;
use crate::tree::{Extent, Location, PackId, Signs};

/// Stands for a place that is not known yet: the blob is still being filled. Offsets count from the piece's own first byte.
pub(super) const PENDING: PackId = PackId { session: model::SessionId([0; 16]), seq: 0 };

/// Signatures of all pages of a block; 0 where there is nothing.
pub(super) type PageSignatures = [u64; BLOCK_PAGES];

/// Spreads a row's signatures over the block.
pub(super) fn spread(signs: &Signs) -> PageSignatures {
    let mut all = [0; BLOCK_PAGES];
    for (page, signature) in signs.pages() {
        if let Some(slot) = all.get_mut(usize::from(page)) {
            *slot = signature;
        }
    }
    all
}

/// What is known of a block before it is compared.
#[derive(Clone, Debug)]
pub(super) struct Before {
    /// What its pages were.
    pub(super) signatures: PageSignatures,
    /// Pages that are stored again whether they differ or not.
    pub(super) moved: PageSet,
    /// True if these are the only ones that were read.
    pub(super) only_moved: bool,
}

impl Default for Before {
    /// Nothing.
    fn default() -> Self {
        Before { signatures: [0; BLOCK_PAGES], moved: PageSet::default(), only_moved: false }
    }
}

/// What a comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BlockChange {
    /// Signatures of the pages that differ.
    pub(super) signs: Signs,
    /// Where they are: in the payload (pending), or nowhere because they are zeros now.
    pub(super) extents: Vec<Extent>,
    /// Change of the file's sum.
    pub(super) sum: PageSum,
    /// Hashes of the payload's pages, in order.
    pub(super) hashes: Vec<Hash>,
    /// The pages of the payload, as (first, end) byte ranges of the block.
    pub(super) pieces: Vec<(usize, usize)>,
    /// Bytes that differ.
    pub(super) bytes_changed: u64,
    /// Bytes that do not and are stored again.
    pub(super) bytes_moved: u64,
}

impl BlockChange {
    /// Length of the payload.
    pub(super) fn payload_bytes(&self) -> usize {
        self.pieces.iter().map(|(start, end)| end - start).sum()
    }
}

/// Compares the first `bytes` bytes that the file has in this block. `data` may be shorter: what is missing are zeros (a hole). `None`: nothing is to be stored.
pub(super) fn compare(key: &HashingKey, block: u64, data: &[u8], bytes: usize, before: &Before) -> Option<BlockChange> {
    let mut change = BlockChange {
        signs: Signs::default(),
        extents: Vec::new(),
        sum: PageSum::default(),
        hashes: Vec::new(),
        pieces: Vec::new(),
        bytes_changed: 0,
        bytes_moved: 0,
    };
    let mut changed = Vec::new();
    for (page, old) in before.signatures.iter().enumerate().take(bytes.div_ceil(PAGE_BYTES)) {
        let is_moved = before.moved.contains(page as u16);
        if before.only_moved && !is_moved {
            continue;
        }
        let start = page * PAGE_BYTES;
        let length = PAGE_BYTES.min(bytes - start);
        let content = data.get(start..(start + length).min(data.len())).unwrap_or_default();
        let hash = if is_zero(content) { None } else { Some(hash_of(key, content, length)) };
        let signature = hash.as_ref().map_or(0, signature_of);
        if signature == *old {
            if is_moved {
                change.bytes_moved += length as u64;
                change.place(page as u16, start, length, hash);
            }
            continue;
        }
        let number = block * BLOCK_PAGES as u64 + page as u64;
        change.sum.remove(key, number, *old);
        change.sum.add(key, number, signature);
        change.bytes_changed += length as u64;
        changed.push((page as u16, signature));
        change.place(page as u16, start, length, hash);
    }
    change.signs = Signs::from_pages(changed);
    (!change.extents.is_empty()).then_some(change)
}

/// A page whose end is a hole is hashed with its zeros.
fn hash_of(key: &HashingKey, content: &[u8], length: usize) -> Hash {
    if content.len() == length {
        return key.page(content);
    }
    let mut page = content.to_vec();
    page.resize(length, 0);
    key.page(&page)
}

impl BlockChange {
    /// Adds a page to the extent before it, or begins a new one.
    fn place(&mut self, page: u16, start: usize, length: usize, hash: Option<Hash>) {
        let payload = self.payload_bytes();
        let adjoins = self
            .extents
            .last()
            .is_some_and(|last| last.end_page() == page && (last.length as usize).is_multiple_of(PAGE_BYTES));
        let source = hash.map(|_| Location { pack: PENDING, blob: 0, offset: payload as u32 });
        match self.extents.last_mut() {
            Some(last) if adjoins && last.source.is_some() == source.is_some() => last.length += length as u32,
            _ => self.extents.push(Extent { first_page: page, length: length as u32, source }),
        }
        if let Some(hash) = hash {
            self.hashes.push(hash);
            match self.pieces.last_mut() {
                Some((_, end)) if *end == start => *end = start + length,
                _ => self.pieces.push((start, start + length)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HashingKey {
        HashingKey::new([3; 32])
    }

    fn pages(content: &[u8]) -> Vec<u8> {
        content.iter().flat_map(|byte| vec![*byte; PAGE_BYTES]).collect()
    }

    fn compare_pages(old: &[u8], new: &[u8]) -> Option<BlockChange> {
        let first = compare(&key(), 0, &pages(old), old.len() * PAGE_BYTES, &Before::default());
        let signatures = first.map_or([0; BLOCK_PAGES], |change| spread(&change.signs));
        compare(&key(), 0, &pages(new), new.len() * PAGE_BYTES, &Before { signatures, ..Before::default() })
    }

    #[test]
    fn equal_content_is_no_change_and_zeros_are_nothing() {
        assert_eq!(compare_pages(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(compare_pages(&[], &[0, 0]), None);
    }

    #[test]
    fn one_page_costs_one_extent_and_one_signature() {
        let change = compare_pages(&[1, 2, 3, 4], &[1, 9, 3, 4]).unwrap();
        assert_eq!(change.pieces, [(PAGE_BYTES, 2 * PAGE_BYTES)]);
        assert_eq!(change.extents.len(), 1);
        assert_eq!((change.extents[0].first_page, change.extents[0].length), (1, 4096));
        assert_eq!(change.signs.signatures.len(), 1);
    }

    #[test]
    fn a_page_that_became_zeros_is_a_zero_extent_and_leaves_the_sum() {
        let change = compare_pages(&[1, 2], &[1, 0]).unwrap();
        assert_eq!(change.extents, [Extent { first_page: 1, length: 4096, source: None }]);
        assert_eq!(change.sum.pages, u64::MAX, "one page less, modulo 2^64");
        assert!(change.pieces.is_empty());
    }

    #[test]
    fn runs_of_pages_are_one_extent_and_offsets_follow_the_payload() {
        let change = compare_pages(&[1, 2, 3, 4, 5], &[8, 9, 3, 0, 7]).unwrap();
        let found: Vec<_> =
            change.extents.iter().map(|e| (e.first_page, e.length, e.source.map(|l| l.offset))).collect();
        assert_eq!(found, [(0, 8192, Some(0)), (3, 4096, None), (4, 4096, Some(8192))]);
        assert_eq!(change.payload_bytes(), 3 * PAGE_BYTES);
    }

    #[test]
    fn a_moved_page_is_stored_again_and_changes_nothing() {
        let old = pages(&[1, 2, 3, 4]);
        let first = compare(&key(), 0, &old, old.len(), &Before::default()).unwrap();
        let mut moved = PageSet::default();
        [1, 2].into_iter().for_each(|page| moved.insert(page));
        let mut before = Before { signatures: spread(&first.signs), moved, only_moved: false };
        let mut new = old.clone();
        new[2 * PAGE_BYTES] ^= 1;
        new[3 * PAGE_BYTES] ^= 1;
        let change = compare(&key(), 0, &new, new.len(), &before).unwrap();
        assert_eq!(change.pieces, [(PAGE_BYTES, 4 * PAGE_BYTES)]);
        assert_eq!((change.bytes_moved, change.bytes_changed), (4096, 8192));
        assert_eq!(change.signs.pages().map(|(page, _)| page).collect::<Vec<_>>(), [2, 3]);
        before.only_moved = true;
        let change = compare(&key(), 0, &new, new.len(), &before).unwrap();
        assert_eq!(change.pieces, [(PAGE_BYTES, 3 * PAGE_BYTES)], "the others were not read");
    }

    #[test]
    fn the_last_page_ends_where_the_file_ends_and_a_hole_counts_as_zeros() {
        let mut data = vec![1; 5000];
        let change = compare(&key(), 0, &data, 5000, &Before::default()).unwrap();
        assert_eq!(change.extents[0].length, 5000);
        data.truncate(4500);
        let short = compare(&key(), 0, &data, 5000, &Before::default()).unwrap();
        data.resize(5000, 0);
        assert_eq!(Some(short.signs), compare(&key(), 0, &data, 5000, &Before::default()).map(|change| change.signs));
    }
}
