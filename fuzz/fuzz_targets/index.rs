//! The index of a table: refused, or written again byte for byte; every first key is found where it is.
#![no_main]

use holdfast_fuzz::{class_and_rest, within};
use libfuzzer_sys::fuzz_target;
use repository::tree::block::{BLOCKS_MAX, TableIndex};

fuzz_target!(|data: &[u8]| {
    let Some((class, plain)) = class_and_rest(data) else { return };
    // A first key of 512 bytes can be given by five: all but one byte shared with the key before.
    let Ok(index) = within(160 * plain.len(), || TableIndex::decode(class, plain)) else { return };
    assert!((1..=BLOCKS_MAX).contains(&index.blocks.len()));
    assert_eq!(index.encode(), plain, "an index has one encoding");
    assert!(index.rows() >= index.blocks.len() as u64);
    for (number, block) in index.blocks.iter().enumerate() {
        assert_eq!(index.find(&block.first_key), Some(number));
    }
    assert_eq!(index.find(&index.last_key), Some(index.blocks.len() - 1));
    let beyond = [index.last_key.as_slice(), &[0]].concat();
    assert_eq!(index.find(&beyond), None);
});
