//! Lost: which ranges of a file could not be read.
//!
//! In: pieces in any order, none twice. Out: ranges in order, neighbours joined, and how many there are. Never: more than [`LOST_RANGES_MAX`] of them in memory; the
//! bytes are counted to the last.

use std::collections::BTreeMap;

/// Ranges that are listed of one file; all are counted.
pub const LOST_RANGES_MAX: usize = 256;

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ByteRange {
    /// The first.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// What was lost of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct LostRanges {
    /// Ends by beginnings.
    ranges: BTreeMap<u64, u64>,
    not_listed: u64,
    bytes: u64,
    /// Why the first piece was lost.
    why: Option<String>,
}

impl LostRanges {
    pub(super) fn is_empty(&self) -> bool {
        self.why.is_none()
    }

    /// One piece more.
    pub(super) fn add(&mut self, offset: u64, length: u64, why: &str) {
        self.why.get_or_insert_with(|| why.to_owned());
        if length == 0 {
            return;
        }
        self.bytes += length;
        let (mut start, mut end) = (offset, offset + length);
        let before = self.ranges.range(..offset).next_back().map(|(start, end)| (*start, *end));
        let joins = before.filter(|(_, before_end)| *before_end == offset).is_some() || self.ranges.contains_key(&end);
        if !joins && self.ranges.len() >= LOST_RANGES_MAX {
            self.not_listed += 1;
            return;
        }
        if let Some((before, _)) = before.filter(|(_, before_end)| *before_end == offset) {
            start = before;
        }
        if let Some(after_end) = self.ranges.remove(&end) {
            end = after_end;
        }
        self.ranges.insert(start, end);
    }

    /// The first ranges, how many there are, their bytes, and why.
    pub(super) fn into_parts(self) -> (Vec<ByteRange>, u64, u64, String) {
        let ranges: Vec<ByteRange> =
            self.ranges.iter().map(|(start, end)| ByteRange { offset: *start, length: end - start }).collect();
        let count = ranges.len() as u64 + self.not_listed;
        (ranges, count, self.bytes, self.why.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(pieces: &[(u64, u64)]) -> LostRanges {
        let mut lost = LostRanges::default();
        pieces.iter().for_each(|(offset, length)| lost.add(*offset, *length, "why"));
        lost
    }

    #[test]
    fn neighbours_are_joined_in_whatever_order_they_come() {
        for pieces in [[(0, 5), (5, 5), (20, 1), (10, 10)], [(10, 10), (20, 1), (0, 5), (5, 5)]] {
            let (ranges, count, bytes, why) = lost(&pieces).into_parts();
            assert_eq!((ranges, count, bytes, &*why), (vec![ByteRange { offset: 0, length: 21 }], 1, 21, "why"));
        }
        let (ranges, count, ..) = lost(&[(8, 2), (0, 2)]).into_parts();
        assert_eq!((ranges.len(), ranges[0].offset, count), (2, 0, 2));
    }

    #[test]
    fn a_list_is_bounded_and_the_count_goes_on() {
        let pieces: Vec<(u64, u64)> = (0..1000).map(|n| (n * 10, 3)).collect();
        let (ranges, count, bytes, _) = lost(&pieces).into_parts();
        assert_eq!((ranges.len(), count, bytes), (LOST_RANGES_MAX, 1000, 3000));
    }
}
