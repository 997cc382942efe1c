//! Seed: bytes that look like data and are the same in every run.
//!
//! In: a number. Out: random bytes, bytes that compress about 2:1, choices. Never: fit for cryptography.

/// A generator (SplitMix64); the same seed gives the same sequence on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    /// A sequence of its own for each `(seed, part)`.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut start = Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        start.next();
        start
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Random bytes: nothing compresses them.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Rows as a database has them, half of each random: zstd makes about half of it.
    pub(crate) fn fill_rows(&mut self, bytes: &mut [u8]) {
        const TEXT: &[u8; 48] = b"|status=shipped;currency=EUR;country=DE;note=ok;";
        for row in bytes.chunks_mut(96) {
            let (random, text) = row.split_at_mut(row.len() / 2);
            self.fill(random);
            text.copy_from_slice(&TEXT[..text.len()]);
        }
    }

    /// `count` different numbers below `end`, sorted.
    pub(crate) fn choose(&mut self, count: u64, end: u64) -> Vec<u64> {
        let mut chosen = std::collections::BTreeSet::new();
        while (chosen.len() as u64) < count.min(end) {
            chosen.insert(self.below(end));
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_part_others() {
        let bytes = |part| {
            let mut bytes = [0; 100];
            Seed::new(7, part).fill_rows(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn choices_are_different_sorted_and_bounded() {
        let chosen = Seed::new(1, 1).choose(50, 100);
        assert_eq!(chosen.len(), 50);
        assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.iter().all(|&choice| choice < 100));
        assert_eq!(Seed::new(1, 1).choose(9, 3), [0, 1, 2]);
    }
}
