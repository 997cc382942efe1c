//! Hash: names for content (docs/format.md, sections 1 and 5.1).
//!
//! In: bytes and a key. Out: page hashes, page signatures, segment hashes, derived keys. Never: an unkeyed hash of anything that a tenant wrote, except over sealed bytes.

use zeroize::Zeroizing;

/// The unit of comparison: 4 KiB, aligned.
pub const PAGE_BYTES: usize = 4096;
/// Pages of a block.
pub const BLOCK_PAGES: usize = 256;
/// 1 MiB, aligned.
pub const BLOCK_BYTES: usize = PAGE_BYTES * BLOCK_PAGES;

/// 32 bytes of BLAKE3.
pub type Hash = [u8; 32];

/// `derive(key, label, message)` of the format.
pub fn derive(key: &[u8; 32], label: &str, message: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(label.as_bytes()).update(&[0]).update(message);
    *hasher.finalize().as_bytes()
}

/// The keyless hash of sealed bytes.
pub fn sealed_hash(sealed: &[u8]) -> Hash {
    *blake3::hash(sealed).as_bytes()
}

/// The key under which content of one domain is named; never changes, so that content is recognised for ever.
#[derive(Clone)]
pub struct HashingKey(pub(crate) Zeroizing<[u8; 32]>);

impl std::fmt::Debug for HashingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashingKey")
    }
}

impl HashingKey {
    /// From 32 secret bytes.
    pub fn new(key: [u8; 32]) -> HashingKey {
        HashingKey(Zeroizing::new(key))
    }

    /// The hash of one page (1 to 4,096 bytes).
    pub fn page(&self, page: &[u8]) -> Hash {
        *blake3::keyed_hash(&self.0, page).as_bytes()
    }

    /// Signature of a page: 0 for zeros, else the first 8 bytes of its hash, at least 1.
    pub fn signature(&self, page: &[u8]) -> u64 {
        if is_zero(page) { 0 } else { signature_of(&self.page(page)) }
    }

    /// The hash of a segment from the hashes of its 4,096-byte pieces.
    pub fn segment_of_pages<'a>(&self, pages: impl IntoIterator<Item = &'a Hash>) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"segment");
        for page in pages {
            hasher.update(page);
        }
        *hasher.finalize().as_bytes()
    }

    /// The hash of a segment's bytes.
    pub fn segment(&self, bytes: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"segment");
        for piece in bytes.chunks(PAGE_BYTES) {
            hasher.update(&self.page(piece));
        }
        *hasher.finalize().as_bytes()
    }

    /// What one page adds to a file's sum.
    pub fn page_term(&self, page: u64, signature: u64) -> u128 {
        let mut message = [0; 20];
        message[..4].copy_from_slice(b"page");
        message[4..12].copy_from_slice(&page.to_le_bytes());
        message[12..].copy_from_slice(&signature.to_le_bytes());
        let hash = blake3::keyed_hash(&self.0, &message);
        let (front, _) = hash.as_bytes().split_at(16);
        u128::from_le_bytes(front.try_into().unwrap_or([0; 16]))
    }
}

/// The first 8 bytes of a page hash as a signature of a page that is not all zeros.
pub fn signature_of(hash: &Hash) -> u64 {
    let front = [hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]];
    u64::from_le_bytes(front).max(1)
}

/// True if every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut chunks = bytes.chunks_exact(64);
    chunks.by_ref().all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
        && chunks.remainder().iter().all(|byte| *byte == 0)
}

/// The running proof that no page of a file was lost (docs/format.md, section 7.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSum {
    /// Pages whose signature is not zero.
    pub pages: u64,
    /// Sum of their terms modulo 2^128.
    pub sum: u128,
}

impl PageSum {
    /// Counts a page in; a zero signature counts for nothing.
    pub fn add(&mut self, key: &HashingKey, page: u64, signature: u64) {
        if signature != 0 {
            self.pages = self.pages.wrapping_add(1);
            self.sum = self.sum.wrapping_add(key.page_term(page, signature));
        }
    }

    /// Counts a page out.
    pub fn remove(&mut self, key: &HashingKey, page: u64, signature: u64) {
        if signature != 0 {
            self.pages = self.pages.wrapping_sub(1);
            self.sum = self.sum.wrapping_sub(key.page_term(page, signature));
        }
    }

    /// Adds a difference that was collected elsewhere (both fields modulo their size).
    pub fn merge(&mut self, other: PageSum) {
        self.pages = self.pages.wrapping_add(other.pages);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_hash_is_the_same_from_bytes_and_from_page_hashes() {
        let key = HashingKey::new([7; 32]);
        let bytes: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        let pages: Vec<Hash> = bytes.chunks(PAGE_BYTES).map(|page| key.page(page)).collect();
        assert_eq!(key.segment(&bytes), key.segment_of_pages(&pages));
    }

    #[test]
    fn a_sum_returns_to_zero_when_every_page_is_taken_out() {
        let key = HashingKey::new([1; 32]);
        let mut sum = PageSum::default();
        sum.add(&key, 3, 99);
        sum.add(&key, 4, 0);
        assert_eq!(sum.pages, 1);
        sum.remove(&key, 3, 99);
        assert_eq!(sum, PageSum::default());
    }

    #[test]
    fn zero_is_told_from_almost_zero() {
        let mut page = vec![0; 5000];
        assert!(is_zero(&page));
        for at in [0, 63, 64, 4095, 4999] {
            page[at] = 1;
            assert!(!is_zero(&page), "{at}");
            page[at] = 0;
        }
    }
}
