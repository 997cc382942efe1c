//! The footer of a table: refused, or written again byte for byte; every blob that it places lies inside a pack.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::pack::PACK_BYTES_MAX;
use repository::table::TableFooter;

fuzz_target!(|data: &[u8]| {
    let Ok(footer) = within(16 * data.len(), || TableFooter::decode(data)) else { return };
    assert_eq!(footer.encode(), data, "a footer has one encoding");
    let blocks = footer.blocks.len();
    for number in [0, blocks / 2, blocks - 1, blocks] {
        let position = footer.position(number).expect("blocks and index have a place");
        assert!(position.range().end <= PACK_BYTES_MAX);
        assert_eq!(position.label.number as usize, footer.number as usize + number);
    }
    assert_eq!(footer.position(blocks + 1), None);
});
