//! Stretch: a part of a new file that has no holes.
//!
//! In: where the pieces of a file go, in ascending order. Out: the parts that will be filled by pieces in whatever order packs come. Pure.

use std::ops::Range;

use crate::hash::BLOCK_BYTES;

/// Pieces that follow each other without a gap.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    bytes: Range<u64>,
    pieces: u64,
}

impl Stretch {
    /// One more piece; returns the part that ended before it, if that should be reserved.
    pub(super) fn add(&mut self, at: u64, length: u64) -> Option<Range<u64>> {
        let ended = if at == self.bytes.end { None } else { self.end() };
        if self.pieces == 0 {
            self.bytes = at..at;
        }
        self.bytes.end = at.saturating_add(length);
        self.pieces += 1;
        ended
    }

    /// There are no more for now. A part that comes in one piece per block, or fits into one, gains nothing.
    pub(super) fn end(&mut self) -> Option<Range<u64>> {
        let Stretch { bytes, pieces } = std::mem::take(self);
        let blocks = (bytes.end - bytes.start).div_ceil(BLOCK_BYTES as u64);
        (blocks > 1 && pieces > blocks).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn only_what_comes_in_more_pieces_than_blocks_is_reserved_and_never_across_a_hole() {
        let mut stretch = Stretch::default();
        for block in 0..4 {
            assert_eq!(stretch.add(block * MIB, MIB), None);
        }
        assert_eq!(stretch.add(8 * MIB, MIB), None, "what ended came in one piece per block");
        assert_eq!(stretch.add(9 * MIB, 4096), None);
        assert_eq!(stretch.add(9 * MIB + 4096, 8192), None);
        assert_eq!(stretch.add(11 * MIB, 4096), Some(8 * MIB..9 * MIB + 12288));
        assert_eq!(stretch.add(11 * MIB + 4096, 100), None);
        assert_eq!(stretch.end(), None, "within one block");
        assert_eq!(stretch.end(), None, "nothing");
        assert_eq!(stretch.add(5, 100), None, "it begins anew");
    }
}
