//! Losses of extents and blocks; of whole backups `write/tests.rs` compares them with a scan.

use super::*;
use crate::tree::{Location, PackId};
use model::SessionId;

fn pack(seq: u32) -> PackId {
    PackId { session: SessionId([1; 16]), seq }
}

fn extent(first_page: u16, length: u32, seq: u32) -> Extent {
    Extent { first_page, length, source: Some(Location { pack: pack(seq), blob: 0, offset: 0 }) }
}

#[test]
fn hidden_pages_count_with_the_bytes_that_they_have() {
    let old = [extent(0, 3 * 4096, 1), extent(3, 5_000, 2), Extent { first_page: 7, length: 4096, source: None }];
    let hidden =
        named_by(&Value::Block(vec![extent(2, 4096, 9), Extent { first_page: 4, length: 8192, source: None }]));
    let mut lost = Lost::new();
    hide(&old, &hidden, &mut lost);
    assert_eq!(lost, Lost::from([(pack(1), 4096), (pack(2), 904)]));
    let mut lost = Lost::new();
    hide(&old, &named_by(&Value::Tombstone), &mut lost);
    assert_eq!(lost, Lost::from([(pack(1), 3 * 4096), (pack(2), 5_000)]));
}
