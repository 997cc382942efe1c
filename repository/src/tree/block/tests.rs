//! Blocks and indexes: read as written, bounded, and refused when they are not what the format says.

use super::*;
use crate::tree::row::{Head, Inode, Missed, MissedWhat, Sum, Value};
use model::SessionId;
use proptest::prelude::*;

fn sum_row(node: u64) -> Row {
    Row { key: key::sum(node), value: Value::Sum(Sum { pages: node, sum: 1, blocks: 2 }) }
}

fn build(rows: &[Row], packs: &mut PackList) -> (Vec<FinishedBlock>, TableIndex) {
    let mut builder = BlockBuilder::new(Class::Content);
    let mut blocks = Vec::new();
    for row in rows {
        builder.push(row, packs).expect("a row that fits");
        if builder.is_full() {
            blocks.extend(builder.finish_block());
        }
    }
    blocks.extend(builder.finish_block());
    let entries = blocks.iter().map(|block| block.entry.clone()).collect();
    (blocks, TableIndex { blocks: entries, last_key: builder.last_key().to_vec() })
}

#[test]
fn rows_come_back_from_several_blocks_and_the_index_finds_each() {
    let rows: Vec<Row> = (1..20_000).map(|number| sum_row(number * 3)).collect();
    let mut packs = PackList::new();
    let (blocks, index) = build(&rows, &mut packs);
    assert!(blocks.len() > 3, "{} blocks", blocks.len());
    assert!(blocks.iter().all(|block| block.plain.len() < BLOCK_BYTES_TARGET + 1024));
    let index = TableIndex::decode(Class::Content, &index.encode()).expect("an index");
    assert_eq!(index.rows(), rows.len() as u64);
    let mut again = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let part = decode_block(Class::Content, &block.plain, packs.packs()).expect("a block");
        assert!(part.iter().all(|row| index.find(&row.key) == Some(number)));
        again.extend(part);
    }
    assert_eq!(again, rows);
    assert_eq!(index.find(&key::sum(1)), Some(0), "what sorts before the table is looked for in its first block");
    assert_eq!(index.find(&key::sum(60_000)), None);
}

#[test]
fn a_cursor_goes_forward_to_a_key_without_missing_the_next() {
    let rows: Vec<Row> = (1..100).map(|number| sum_row(number * 2)).collect();
    let (blocks, _) = build(&rows, &mut PackList::new());
    let plain = Bytes::from(blocks[0].plain.clone());
    for node in 0..200 {
        let mut cursor = BlockCursor::new(Class::Content, plain.clone()).expect("a block");
        let first = cursor.next_from(&key::sum(node), &[]).expect("rows");
        let expected = rows.iter().find(|row| row.key >= key::sum(node));
        assert_eq!(first.as_ref(), expected);
        if expected.is_some() {
            let expected = rows.iter().find(|row| row.key > key::sum(node.max(2) + node % 2));
            assert_eq!(cursor.next(&[]).expect("rows").as_ref(), expected);
        }
    }
}

#[test]
fn a_row_that_could_not_be_read_again_is_not_written() {
    let mut packs = PackList::new();
    let head = |class, value| BlockBuilder::new(class).push(&Row { key: key::head(1), value }, &mut PackList::new());
    let cut = Value::Head(Head { gone: false, cut: Some(1) });
    assert!(matches!(head(Class::Tree, cut.clone()), Err(RowError::Unreadable(_))));
    assert_eq!(head(Class::Content, cut), Ok(()));
    assert!(matches!(head(Class::Content, Value::Tombstone), Err(RowError::Unreadable(_))));
    let mut builder = BlockBuilder::new(Class::Tree);
    let inode = |inode| Row { key: key::inode(1), value: Value::Inode(inode) };
    let attribute = |bytes| crate::tree::Attribute {
        name: b"a".to_vec(),
        value: crate::tree::AttributeValue::Inline(vec![0; bytes]),
    };
    let large = inode(Inode { attributes: vec![attribute(VALUE_BYTES_MAX)], ..Inode::default() });
    assert!(matches!(builder.push(&large, &mut packs), Err(RowError::TooLarge { bytes }) if bytes > VALUE_BYTES_MAX));
    let unsorted = Inode { attributes: vec![attribute(1), attribute(2)], ..Inode::default() };
    assert!(matches!(builder.push(&inode(unsorted), &mut packs), Err(RowError::Unreadable(_))));
    let why = "é".repeat(600);
    let missed = |missed| Row { key: key::missed(1, b"a"), value: Value::Missed(missed) };
    let whole = missed(Missed { what: MissedWhat::Absent, why: why.clone() });
    assert!(matches!(builder.push(&whole, &mut packs), Err(RowError::Unreadable(_))));
    assert_eq!(builder.push(&missed(Missed::new(MissedWhat::Absent, &why)), &mut packs), Ok(()));
}

#[test]
fn rows_out_of_order_are_refused_also_across_blocks() {
    let mut builder = BlockBuilder::new(Class::Content);
    let mut packs = PackList::new();
    assert_eq!(builder.push(&sum_row(5), &mut packs), Ok(()));
    assert_eq!(builder.push(&sum_row(5), &mut packs), Err(RowError::Order));
    assert!(builder.finish_block().is_some());
    assert_eq!(builder.push(&sum_row(4), &mut packs), Err(RowError::Order));
    assert!(builder.finish_block().is_none(), "a block without rows is not written");
}

#[test]
fn a_block_that_is_not_as_described_is_refused() {
    let value: &[u8] = &[2, 1, 0];
    let head = |shared: u8, rest: &[u8]| [&[shared, rest.len() as u8], rest, value].concat();
    let first = head(0, &key::head(1));
    let second = head(7, &[2, 0]);
    let good = [first.clone(), second].concat();
    assert_eq!(decode_block(Class::Tree, &good, &[]).map(|rows| rows.len()), Ok(2));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("shares with nothing", head(1, &key::head(1))),
        ("shares more than there is", [first.clone(), head(10, &[1])].concat()),
        ("repeats a key", [first.clone(), head(9, &[])].concat()),
        ("descends", [first.clone(), head(7, &[0, 0])].concat()),
        ("shares less than it could", [first.clone(), head(6, &[0, 2, 0])].concat()),
        ("ends inside a row", good[..good.len() - 1].to_vec()),
        ("a key that is too long", [first, [vec![8, 0xf9, 3], vec![1; 505], value.to_vec()].concat()].concat()),
        ("too large", vec![0; BLOCK_BYTES_MAX + 1]),
    ];
    for (what, bytes) in cases {
        assert!(decode_block(Class::Tree, &bytes, &[]).is_err(), "{what}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(class in 0u8..5, mut bytes: Vec<u8>, damage: Vec<(proptest::sample::Index, u8)>) {
        let class = Class::from_number(class).expect("a class");
        let packs = [PackId { session: SessionId([1; 16]), seq: 0 }];
        let _ = decode_block(class, &bytes, &packs);
        let _ = TableIndex::decode(class, &bytes);
        let rows: Vec<Row> = (1..9).map(sum_row).collect();
        let (blocks, index) = build(&rows, &mut PackList::new());
        bytes = index.encode();
        let mut plain = blocks[0].plain.clone();
        for (at, byte) in damage {
            let (one, other) = (at.index(bytes.len()), at.index(plain.len()));
            bytes[one] = byte;
            plain[other] = byte;
        }
        let _ = decode_block(Class::Content, &plain, &packs);
        if let Ok(other) = TableIndex::decode(Class::Content, &bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}
