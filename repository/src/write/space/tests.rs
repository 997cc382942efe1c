//! Space: what counts as needed, and when it is worth a look.

use super::*;
use crate::seal::Codec;
use crate::table::{PackLoss, PackUse, StoredBlob};
use model::SessionId;

fn id(number: u32) -> PackId {
    PackId { session: SessionId([1; 16]), seq: number }
}

fn footer(class: Class, gained: &[(u32, u64)], losses: &[(u32, u64)]) -> TableFooter {
    let blob = StoredBlob { sealed_bytes: 10, plaintext_bytes: 10, codec: Codec::Stored };
    let summary = PackSummary { pack_bytes: 100, data_bytes: 200, directory_hash: [1; 32] };
    TableFooter {
        class,
        offset: 0,
        number: 0,
        blocks: vec![blob],
        index: blob,
        packs: gained.iter().map(|(pack, gained)| PackUse { pack: id(*pack), summary, gained: *gained }).collect(),
        losses: losses.iter().map(|(pack, lost)| PackLoss { pack: id(*pack), lost: *lost }).collect(),
    }
}

#[test]
fn what_was_hidden_is_not_needed_and_hints_of_segments_keep_nothing() {
    let mut space = Space::default();
    space.add_footer(Class::Content, &footer(Class::Content, &[(1, 200), (2, 50)], &[]));
    space.add_footer(Class::Content, &footer(Class::Content, &[(3, 200)], &[(1, 150), (2, 50)]));
    space.add_footer(Class::Tree, &footer(Class::Tree, &[(1, 10)], &[]));
    space.add_footer(Class::Segment, &footer(Class::Segment, &[(2, 200), (4, 200)], &[]));
    let live: Vec<u64> = space.packs.values().map(PackSpace::live_bytes).collect();
    assert_eq!(live, [30, 0, 100, 0]);
    let dead: Vec<PackId> = space.packs.iter().filter(|(_, held)| held.is_dead()).map(|(pack, _)| *pack).collect();
    assert_eq!(dead, [id(2), id(4)]);
    let of = |class| (space.dead_of(class).hidden_bytes, space.dead_of(class).hidden_packs);
    assert_eq!([of(Class::Content), of(Class::Tree), of(Class::Segment)], [(100, 1), (0, 0), (200, 2)]);
    assert_eq!(space.totals(|_| true).live_bytes, 130);
}

#[test]
fn too_much_hidden_in_one_class_does_not_hide_what_another_needs() {
    let mut space = Space::default();
    space.add_footer(Class::Content, &footer(Class::Content, &[(1, 100)], &[]));
    space.add_footer(Class::Tree, &footer(Class::Tree, &[(1, 10)], &[(1, 1_000)]));
    assert_eq!(space.packs[&id(1)].content_bytes(), 100);
}

#[test]
fn a_pack_with_a_listed_table_is_not_dead() {
    let mut space = Space::default();
    space.add_footer(Class::Content, &footer(Class::Content, &[(1, 100)], &[(1, 100)]));
    space.add_table(Class::Sign, id(1), 7);
    assert!(!space.packs[&id(1)].is_dead());
    assert_eq!(space.packs[&id(1)].live_bytes(), 7);
    space.relist(std::iter::empty());
    assert!(space.packs[&id(1)].is_dead());
}

#[test]
fn a_look_is_due_when_it_may_find_something() {
    const MIB: u64 = 1 << 20;
    let hint = SpaceHint {
        packs_bytes: 160 * MIB,
        live_bytes: 100 * MIB,
        content_bytes: 200 * MIB,
        hidden_bytes: 0,
        small_packs: 256,
    };
    let due = |change: &dyn Fn(&mut SpaceHint), new_bytes: u64| {
        let mut hint = hint;
        change(&mut hint);
        is_survey_due(Some(&hint), new_bytes)
    };
    assert!(!due(&|_| {}, 14 * MIB));
    assert!(due(&|_| {}, 14 * MIB + 1), "this run goes beyond 1.7 times what lives, and the slack");
    assert!(due(&|hint| hint.small_packs = 257, 0));
    assert!(!due(&|hint| (hint.packs_bytes, hint.hidden_bytes) = (150 * MIB, 33 * MIB / 2), 0));
    assert!(
        due(&|hint| (hint.packs_bytes, hint.hidden_bytes) = (150 * MIB, 33 * MIB / 2 + 1), 0),
        "a sixteenth was hidden since"
    );
    assert!(
        due(&|hint| (hint.packs_bytes, hint.hidden_bytes) = (165 * MIB, 12 * MIB), 0),
        "hidden content is not live"
    );
    assert!(is_survey_due(None, 0), "nobody has looked yet");
    assert!(!is_survey_due(Some(&SpaceHint::default()), MIB));
}
