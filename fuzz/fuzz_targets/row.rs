//! One row's key and value: refused, or built and written again byte for byte.
#![no_main]

use holdfast_fuzz::{class_and_rest, pack_list, packs, part, within};
use libfuzzer_sys::fuzz_target;
use repository::tree::key::{self, ParsedKey};
use repository::tree::{Class, Value, value};

fn rebuilt(parsed: &ParsedKey<'_>) -> Vec<u8> {
    match parsed {
        ParsedKey::Head { node } => key::head(*node),
        ParsedKey::Inode { node } => key::inode(*node),
        ParsedKey::Entry { directory, name } => key::entry(*directory, name),
        ParsedKey::Missed { directory, name } => key::missed(*directory, name),
        ParsedKey::Block { node, block } => key::block(*node, *block),
        ParsedKey::Sum { node } => key::sum(*node),
        ParsedKey::Sign { node, block } => key::sign(*node, *block),
        ParsedKey::Handle { handle } => key::handle(handle),
        ParsedKey::Segment { hash } => key::segment(hash),
    }
}

fn check_key(class: Class, bytes: &[u8], parsed: &ParsedKey<'_>) {
    assert_eq!(rebuilt(parsed), bytes, "a key has one encoding");
    assert_eq!(key::is_head(class, bytes), matches!(parsed, ParsedKey::Head { .. }));
    assert_eq!(key::node_of(class, bytes).is_some(), class.has_nodes());
    let block = match parsed {
        ParsedKey::Block { block, .. } | ParsedKey::Sign { block, .. } => Some(*block),
        _ => None,
    };
    assert_eq!(key::block_of(class, bytes), block);
    if let ParsedKey::Entry { name, .. } | ParsedKey::Missed { name, .. } = parsed {
        assert!(key::is_name(name) && !name.contains(&b'/') && *name != b"..", "a name stays in its directory");
    }
}

fn check_value(value: &Value, bytes: &[u8]) {
    assert_eq!(value::encode(value, &mut pack_list()), bytes, "a value has one encoding");
    let (mut places, mut same, mut copy) = (0, 0, value.clone());
    value.visit_locations(|location, length| {
        assert!(location.offset.checked_add(length).is_some_and(|end| end <= 1 << 20), "it ends in its blob");
        places += 1;
    });
    copy.visit_locations_mut(|_, _| same += 1);
    assert_eq!(places, same);
    copy.map_packs(|pack| pack);
    assert_eq!(copy, *value);
}

fuzz_target!(|data: &[u8]| {
    let Some((class, rest)) = class_and_rest(data) else { return };
    let Some((key, bytes)) = part(rest) else { return };
    let Ok(parsed) = within(0, || key::parse(class, key)) else { return };
    check_key(class, key, &parsed);
    let packs = packs();
    if let Ok(value) = within(64 * bytes.len(), || value::decode(class, &parsed, bytes, &packs)) {
        check_value(&value, bytes);
    }
});
