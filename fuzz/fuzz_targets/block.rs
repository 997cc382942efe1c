//! Table blocks: refused, or exactly the rows that the builder would write again byte for byte; a seek finds what a scan finds.
#![no_main]

use bytes::Bytes;
use holdfast_fuzz::{class_and_rest, pack_list, packs, within};
use libfuzzer_sys::fuzz_target;
use repository::codec::DecodeError;
use repository::tree::block::{BlockBuilder, BlockCursor, decode_block};
use repository::tree::value::VALUE_BYTES_MAX;
use repository::tree::{Class, PackId, Row};

/// A reader holds one row at a time, however many there are.
fn scan(class: Class, plain: &Bytes, packs: &[PackId]) -> Result<usize, DecodeError> {
    let mut cursor = BlockCursor::new(class, plain.clone())?;
    let mut rows = 0;
    while cursor.next(packs)?.is_some() {
        rows += 1;
    }
    Ok(rows)
}

fn sought(class: Class, plain: &Bytes, packs: &[PackId], row: &Row) {
    let mut cursor = BlockCursor::new(class, plain.clone()).expect("the block has been read");
    let found = cursor.next_from(&row.key, packs).expect("the block has been read");
    assert_eq!(found.as_ref(), Some(row), "a seek finds what a scan finds");
}

fuzz_target!(|data: &[u8]| {
    let Some((class, plain)) = class_and_rest(data) else { return };
    let (packs, plain) = (packs(), Bytes::copy_from_slice(plain));
    let scanned = within(128 * plain.len().min(VALUE_BYTES_MAX), || scan(class, &plain, &packs));
    let decoded = decode_block(class, &plain, &packs);
    assert_eq!(scanned, decoded.as_ref().map(Vec::len).map_err(|error| *error));
    let Ok(rows) = decoded else { return };
    assert!(rows.is_sorted_by(|one, other| one.key < other.key));
    for row in [rows.first(), rows.get(rows.len() / 2), rows.last()].into_iter().flatten() {
        sought(class, &plain, &packs, row);
    }
    let (mut builder, mut list) = (BlockBuilder::new(class), pack_list());
    for row in &rows {
        builder.push(row, &mut list).expect("what was read can be written");
    }
    let block = builder.finish_block().expect("a block has a row");
    assert_eq!(block.plain, plain, "rows have one encoding");
    assert_eq!((&block.entry.first_key, block.entry.rows), (&rows[0].key, rows.len() as u64));
});
