//! Values: read as written, one encoding each, and refused where the format says so.

use super::*;
use model::SessionId;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::inode::{ATTRIBUTES, LINK, NANOSECONDS};
use crate::tree::row::{Attribute, AttributeValue, Inline, Inode, Stamp, Time};

fn packs() -> Vec<PackId> {
    (0..4).map(|seq| PackId { session: SessionId([7; 16]), seq }).collect()
}

fn pack_list() -> PackList {
    let mut list = PackList::new();
    for pack in packs() {
        list.number(pack);
    }
    list
}

fn location() -> impl Strategy<Value = Location> {
    (0..4usize, any::<u32>(), 0..1000u32).prop_map(|(pack, blob, offset)| Location {
        pack: packs()[pack],
        blob,
        offset,
    })
}

fn extents() -> impl Strategy<Value = Vec<Extent>> {
    vec((0..9u16, 1..40_000u32, of(location())), 0..8).prop_map(|list| {
        let mut end = 0;
        let placed = list.into_iter().map(|(gap, length, source)| {
            let extent = Extent { first_page: end + gap, length, source };
            end = extent.end_page();
            extent
        });
        placed.collect()
    })
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0..NANOSECONDS).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (vec(any::<u8>(), 0..=64), any::<u64>(), time(), time(), any::<u64>())
        .prop_map(|(handle, inode, ctime, btime, blocks)| Stamp { handle, inode, ctime, btime, blocks })
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let value = prop_oneof![
        vec(any::<u8>(), 0..50).prop_map(AttributeValue::Inline),
        (0..=ATTRIBUTE_BYTES_MAX as u32, extents())
            .prop_map(|(length, extents)| AttributeValue::Stored { length, extents }),
    ];
    btree_map(vec(any::<u8>(), 1..20), value, 0..4)
        .prop_map(|all| all.into_iter().map(|(name, value)| Attribute { name, value }).collect())
}

fn inode() -> impl Strategy<Value = Inode> {
    let first = (0..=0o7777u32, any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), time());
    let content = of((any::<u64>(), extents()).prop_map(|(signature, extents)| Inline { signature, extents }));
    let rest = (
        of(stamp()),
        any::<bool>(),
        any::<bool>(),
        content,
        of(any::<(u32, u32)>()),
        of(vec(any::<u8>(), 1..100)),
        attributes(),
    );
    (first, rest).prop_map(|((mode, uid, gid, size, links, mtime), rest)| {
        let (stamp, settled, mixed, inline, device, link_target, attributes) = rest;
        Inode { mode, uid, gid, size, links, mtime, stamp, settled, mixed, inline, device, link_target, attributes }
    })
}

fn signs() -> impl Strategy<Value = Signs> {
    btree_map(0..256u16, any::<u64>(), 0..40).prop_map(Signs::from_pages)
}

/// A class, a key in it, and a value that may stand there.
fn rows() -> impl Strategy<Value = (Class, Vec<u8>, Value)> {
    let types = prop_oneof![
        Just(FileType::Regular),
        Just(FileType::Directory),
        Just(FileType::Symlink),
        Just(FileType::Socket)
    ];
    let whats = prop_oneof![Just(MissedWhat::Absent), Just(MissedWhat::OlderContent), Just(MissedWhat::Mixed)];
    let entry = (1..u64::MAX, types, of(inode()))
        .prop_map(|(child, file_type, inode)| Value::Entry(Entry { child, file_type, inode }));
    let sum = any::<(u64, u128, u64)>().prop_map(|(pages, sum, blocks)| Value::Sum(Sum { pages, sum, blocks }));
    let head = (any::<bool>(), of(any::<u64>())).prop_map(|(gone, cut)| Value::Head(Head { gone, cut }));
    prop_oneof![
        any::<bool>().prop_map(|gone| (Class::Tree, key::head(3), Value::Head(Head { gone, cut: None }))),
        head.prop_map(|head| (Class::Content, key::head(3), head)),
        inode().prop_map(|inode| (Class::Tree, key::inode(3), Value::Inode(inode))),
        entry.prop_map(|entry| (Class::Tree, key::entry(3, b"name"), entry)),
        (whats, ".*").prop_map(|(what, why)| (
            Class::Tree,
            key::missed(3, b"name"),
            Value::Missed(Missed::new(what, &why))
        )),
        extents().prop_map(|extents| (Class::Content, key::block(3, 4), Value::Block(extents))),
        sum.prop_map(|sum| (Class::Content, key::sum(3), sum)),
        signs().prop_map(|signs| (Class::Sign, key::sign(3, 4), Value::Sign(signs))),
        Just((Class::Handle, key::handle(b"h"), Value::Node { directory: 9, name: b"\xff".to_vec() })),
        (location(), 1..60_000u32).prop_map(|(location, length)| (
            Class::Segment,
            key::segment(&[1; 32]),
            Value::Segment { location, length }
        )),
        Just((Class::Tree, key::inode(3), Value::Tombstone)),
    ]
}

fn decode_at(class: Class, key: &[u8], bytes: &[u8]) -> Result<Value, DecodeError> {
    decode(class, &key::parse(class, key)?, bytes, &packs())
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written((class, key, value) in rows()) {
        let bytes = encode(&value, &mut pack_list());
        prop_assert_eq!(decode_at(class, &key, &bytes), Ok(value));
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_the_one_encoding_of_another_value(
        (class, key, value) in rows(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        end in any::<proptest::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = encode(&value, &mut pack_list());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        if let Ok(other) = decode_at(class, &key, &bytes) {
            prop_assert_eq!(encode(&other, &mut pack_list()), bytes);
        }
    }

    #[test]
    fn every_pack_that_a_value_names_is_visited_and_can_be_replaced((_, _, mut value) in rows()) {
        let mut list = PackList::new();
        encode(&value, &mut list);
        let mut visited = Vec::new();
        value.visit_packs(|pack| visited.push(pack));
        visited.sort();
        visited.dedup();
        let mut named = list.packs().to_vec();
        named.sort();
        prop_assert_eq!(visited, named);
        let other = PackId { session: SessionId([8; 16]), seq: 9 };
        value.map_packs(|_| other);
        value.visit_packs(|pack| assert_eq!(pack, other));
    }
}

fn body(fields: &[u8]) -> Vec<u8> {
    [&[1], fields].concat()
}

#[test]
fn what_a_field_cannot_be_is_refused() {
    let block = key::block(3, 0);
    let inode_with_flags = |flags: u8, rest: &[u8]| body(&[&[0, 0, 0, 0, 1, 0, 0, flags], rest].concat());
    let cases: Vec<(&str, Class, Vec<u8>, Vec<u8>)> = vec![
        ("nothing at all", Class::Content, block.clone(), vec![]),
        ("a kind that is not defined", Class::Content, block.clone(), vec![2]),
        ("a tombstone with a body", Class::Content, block.clone(), vec![0, 0]),
        ("a tombstone of a Head", Class::Content, key::head(3), vec![0]),
        ("a cut in the class tree", Class::Tree, key::head(3), body(&[2, 7])),
        ("a Head flag that is not defined", Class::Sign, key::head(3), body(&[4])),
        ("more extents than there are bytes", Class::Content, block.clone(), body(&[200, 1, 0])),
        ("an extent without bytes", Class::Content, block.clone(), body(&[1, 0, 0, 0])),
        ("an extent beyond page 256", Class::Content, block.clone(), body(&[1, 0x80, 2, 1, 0])),
        ("an extent over the end of the block", Class::Content, block.clone(), body(&[1, 0xff, 1, 0x81, 0x20, 0])),
        ("a pack that is not in the list", Class::Content, block.clone(), body(&[1, 0, 1, 5, 0, 0])),
        ("bytes over the end of a blob", Class::Content, block.clone(), body(&[1, 0, 1, 1, 0, 0x80, 0x80, 0x40])),
        ("something after the value", Class::Content, block, body(&[0, 0])),
        ("touching ranges", Class::Sign, key::sign(3, 0), body(&[&[2, 0, 0, 1, 0][..], &[9; 16]].concat())),
        ("a range beyond page 256", Class::Sign, key::sign(3, 0), body(&[&[1, 255, 1][..], &[9; 16]].concat())),
        ("a signature too few", Class::Sign, key::sign(3, 0), body(&[&[1, 0, 1][..], &[9; 8]].concat())),
        ("permission bits that do not exist", Class::Tree, key::inode(3), body(&[0x80, 0x20, 0, 0, 0, 1, 0, 0, 0])),
        ("an inode flag that is not defined", Class::Tree, key::inode(3), inode_with_flags(128, &[])),
        ("a link target without bytes", Class::Tree, key::inode(3), inode_with_flags(LINK, &[0])),
        ("attributes of which there are none", Class::Tree, key::inode(3), inode_with_flags(ATTRIBUTES, &[0])),
        (
            "an attribute twice",
            Class::Tree,
            key::inode(3),
            inode_with_flags(ATTRIBUTES, &[2, 1, b'a', 0, 0, 1, b'a', 0, 0]),
        ),
        ("a type that is not defined", Class::Tree, key::entry(3, b"a"), body(&[4, 8, 0])),
        ("a child without number", Class::Tree, key::entry(3, b"a"), body(&[0, 1, 0])),
        ("a reason that is not text", Class::Tree, key::missed(3, b"a"), body(&[1, 1, 0xff])),
        ("a name with a slash", Class::Handle, key::handle(b"h"), body(&[1, 1, b'/'])),
        ("a segment of zeros", Class::Segment, key::segment(&[0; 32]), body(&[0, 1])),
        ("a segment without bytes", Class::Segment, key::segment(&[0; 32]), body(&[1, 0, 0, 0])),
    ];
    for (what, class, key, bytes) in cases {
        assert!(decode_at(class, &key, &bytes).is_err(), "{what}");
    }
}

#[test]
fn the_encoding_is_the_one_of_the_format() {
    let pack = packs()[1];
    let extents = vec![
        Extent { first_page: 2, length: 5000, source: Some(Location { pack, blob: 3, offset: 300 }) },
        Extent { first_page: 5, length: 4096, source: None },
    ];
    let bytes = encode(&Value::Block(extents), &mut pack_list());
    assert_eq!(bytes, [1, 2, 2, 0x88, 0x27, 2, 3, 0xac, 2, 1, 0x80, 0x20, 0]);
    let signs = Signs::from_pages([(3, 1), (4, 2), (9, 3)]);
    let bytes = encode(&Value::Sign(signs), &mut pack_list());
    assert_eq!(bytes[..6], [1, 2, 3, 1, 9, 0]);
    assert_eq!(bytes.len(), 6 + 24);
}
