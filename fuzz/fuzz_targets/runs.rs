//! The runs of a restore point: refused, or written again byte for byte; every table lies inside a pack.
#![no_main]

use std::collections::HashSet;

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::codec::Encoder;
use repository::pack::PACK_BYTES_MAX;
use repository::point::{Runs, TablePack, TableRef};
use repository::tree::PackId;

/// As docs/format.md, section 8, has it.
fn encode(runs: &Runs) -> Vec<u8> {
    let mut to = Encoder::new();
    to.varint(runs.packs.len() as u64);
    for TablePack { pack, summary, salt, key } in &runs.packs {
        to.raw(&pack.session.0).varint(u64::from(pack.seq));
        to.varint(summary.pack_bytes).varint(summary.data_bytes).raw(&summary.directory_hash).raw(salt).raw(&key.0);
    }
    to.varint(runs.trees.len() as u64);
    for tree in &runs.trees {
        to.varint(tree.next_node);
        for class in &tree.classes {
            to.varint(class.len() as u64);
            for tables in class {
                to.varint(tables.len() as u64);
                tables.iter().for_each(|table| encode_table(table, &runs.packs, &mut to));
            }
        }
    }
    to.finish()
}

fn encode_table(table: &TableRef, packs: &[TablePack], to: &mut Encoder) {
    let number = packs.iter().position(|pack| pack.pack == table.pack).expect("a table lies in a listed pack");
    let label = table.footer.label;
    to.varint(number as u64).varint(table.offset).varint(table.bytes).varint(u64::from(label.number));
    to.varint(u64::from(table.footer.sealed_bytes)).varint(u64::from(label.plaintext_bytes)).u8(label.codec as u8);
    to.raw(&table.footer_hash).varint(table.rows);
}

fuzz_target!(|data: &[u8]| {
    let Ok(runs) = within(96 * data.len(), || Runs::decode(data)) else { return };
    for (_, table) in runs.trees.iter().flat_map(|tree| tree.tables()) {
        assert!(table.offset <= table.footer.offset);
        assert_eq!(table.footer.range().end, table.offset + table.bytes);
        assert!(table.footer.range().end <= PACK_BYTES_MAX);
    }
    // With one pack listed twice, which of the two a table named is not known any more.
    let distinct: HashSet<PackId> = runs.packs.iter().map(|pack| pack.pack).collect();
    if distinct.len() == runs.packs.len() {
        assert_eq!(encode(&runs), data, "runs have one encoding");
    }
});
