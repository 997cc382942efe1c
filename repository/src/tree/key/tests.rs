//! Keys: what is built is what is parsed, and nothing else is.

use super::*;
use proptest::prelude::*;

#[test]
fn a_key_is_parsed_as_it_was_built() {
    let longest = [b'x'; NAME_BYTES_MAX];
    let cases = [
        (Class::Tree, head(7), ParsedKey::Head { node: 7 }),
        (Class::Content, head(7), ParsedKey::Head { node: 7 }),
        (Class::Sign, head(u64::MAX), ParsedKey::Head { node: u64::MAX }),
        (Class::Tree, inode(1), ParsedKey::Inode { node: 1 }),
        (Class::Tree, entry(2, b"\xffname"), ParsedKey::Entry { directory: 2, name: b"\xffname" }),
        (Class::Tree, entry(2, &longest), ParsedKey::Entry { directory: 2, name: &longest }),
        (Class::Tree, missed(2, b"..."), ParsedKey::Missed { directory: 2, name: b"..." }),
        (Class::Content, block(3, 9), ParsedKey::Block { node: 3, block: 9 }),
        (Class::Content, sum(3), ParsedKey::Sum { node: 3 }),
        (Class::Sign, sign(3, BLOCKS_MAX - 1), ParsedKey::Sign { node: 3, block: BLOCKS_MAX - 1 }),
        (Class::Handle, handle(b"h"), ParsedKey::Handle { handle: b"h" }),
        (Class::Handle, handle(&[0; 64]), ParsedKey::Handle { handle: &[0; 64] }),
        (Class::Segment, segment(&[5; 32]), ParsedKey::Segment { hash: [5; 32] }),
    ];
    for (class, key, parsed) in cases {
        assert_eq!(parse(class, &key), Ok(parsed));
    }
}

#[test]
fn what_the_format_does_not_know_is_refused() {
    let with_nothing_after = |key: Vec<u8>| [key, vec![0]].concat();
    let cases: Vec<(Class, Vec<u8>)> = vec![
        (Class::Tree, vec![]),
        (Class::Tree, head(0)),
        (Class::Tree, head(1)[..8].to_vec()),
        (Class::Tree, with_nothing_after(head(1))),
        (Class::Tree, with_nothing_after(inode(1))),
        (Class::Tree, entry(1, b"")),
        (Class::Tree, entry(1, b".")),
        (Class::Tree, entry(1, b"..")),
        (Class::Tree, entry(1, b"a/b")),
        (Class::Tree, entry(1, b"a\0")),
        (Class::Tree, entry(1, &[b'x'; 256])),
        (Class::Tree, sum(1)),
        (Class::Content, sign(1, 0)),
        (Class::Content, block(1, 0)[..16].to_vec()),
        (Class::Content, block(1, BLOCKS_MAX)),
        (Class::Sign, block(1, 0)),
        (Class::Handle, handle(b"")),
        (Class::Handle, handle(&[1; 65])),
        (Class::Handle, b"ab\x01".to_vec()),
        (Class::Segment, vec![0; 31]),
    ];
    for (class, key) in cases {
        assert!(parse(class, &key).is_err(), "{class:?} {key:02x?}");
    }
}

#[test]
fn a_head_sorts_before_and_a_sum_after_all_other_rows_of_a_node() {
    let node = 0x0102;
    let keys = [head(node), inode(node), block(node, 0), block(node, BLOCKS_MAX - 1), sum(node), head(node + 1)];
    assert!(keys.is_sorted());
    assert!(first_of_node(node) > sum(node - 1) && entry(node - 1, b"\xff\xff") < first_of_node(node));
}

proptest! {
    #[test]
    fn every_key_that_is_parsed_is_rebuilt_from_its_parts(class in 0u8..5, key: Vec<u8>) {
        let class = Class::from_number(class).expect("a class");
        let rebuilt = match parse(class, &key) {
            Err(_) => return Ok(()),
            Ok(ParsedKey::Head { node }) => head(node),
            Ok(ParsedKey::Inode { node }) => inode(node),
            Ok(ParsedKey::Entry { directory, name }) => entry(directory, name),
            Ok(ParsedKey::Missed { directory, name }) => missed(directory, name),
            Ok(ParsedKey::Block { node, block: number }) => block(node, number),
            Ok(ParsedKey::Sum { node }) => sum(node),
            Ok(ParsedKey::Sign { node, block: number }) => sign(node, number),
            Ok(ParsedKey::Handle { handle: bytes }) => handle(bytes),
            Ok(ParsedKey::Segment { hash }) => segment(&hash),
        };
        prop_assert_eq!(rebuilt, key);
    }
}
