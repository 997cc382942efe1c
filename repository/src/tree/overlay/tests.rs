//! Overlay: the newest row that names a page decides, and trimmed extents still say where their bytes are.

use super::*;
use crate::tree::row::PackId;
use model::SessionId;

fn at(blob: u32, offset: u32) -> Location {
    Location { pack: PackId { session: SessionId([1; 16]), seq: 0 }, blob, offset }
}

fn stored(first_page: u16, length: u32, blob: u32, offset: u32) -> Extent {
    Extent { first_page, length, source: Some(at(blob, offset)) }
}

fn zeros(first_page: u16, length: u32) -> Extent {
    Extent { first_page, length, source: None }
}

fn fold(rows: &[(&[Extent], u16)], keep: Zeros) -> Vec<Extent> {
    let mut view = BlockView::new();
    for (extents, pages_visible) in rows {
        view.add_older(extents, *pages_visible);
    }
    view.finish(keep)
}

#[test]
fn an_extent_is_trimmed_to_the_pages_that_are_left_of_it() {
    let long = [stored(2, 4 * PAGE - 100, 1, 1000)];
    let cases: Vec<(&str, Vec<Extent>, u16, Vec<Extent>)> = vec![
        ("alone", vec![], 256, long.to_vec()),
        ("front hidden", vec![zeros(0, 3 * PAGE)], 256, vec![stored(3, 3 * PAGE - 100, 1, 1000 + PAGE)]),
        ("back hidden", vec![zeros(5, 1)], 256, vec![stored(2, 3 * PAGE, 1, 1000)]),
        (
            "middle hidden",
            vec![zeros(3, PAGE)],
            256,
            vec![stored(2, PAGE, 1, 1000), stored(4, 2 * PAGE - 100, 1, 1000 + 2 * PAGE)],
        ),
        ("hidden", vec![zeros(0, 256 * PAGE)], 256, vec![]),
        ("cut inside", vec![], 4, vec![stored(2, 2 * PAGE, 1, 1000)]),
        ("cut behind", vec![], 6, long.to_vec()),
        ("cut before", vec![], 2, vec![]),
    ];
    for (what, newer, pages_visible, expected) in cases {
        assert_eq!(fold(&[(&newer, 256), (&long, pages_visible)], Zeros::Drop), expected, "{what}");
    }
}

#[test]
fn zeros_stay_as_long_as_something_may_be_below() {
    let newer = [zeros(1, PAGE), zeros(2, 10)];
    let older = [stored(0, 3 * PAGE, 1, 0)];
    let rows: [(&[Extent], u16); 2] = [(&newer, 256), (&older, 256)];
    assert_eq!(fold(&rows, Zeros::Keep), [stored(0, PAGE, 1, 0), zeros(1, PAGE + 10)]);
    assert_eq!(fold(&rows, Zeros::Drop), [stored(0, PAGE, 1, 0)]);
}

#[test]
fn neighbours_are_joined_only_where_one_extent_says_the_same() {
    let newer = [stored(1, PAGE, 1, PAGE)];
    let older = [stored(0, PAGE, 1, 0), stored(2, PAGE - 1, 1, 2 * PAGE), stored(3, PAGE, 1, 3 * PAGE)];
    let joined = [stored(0, 3 * PAGE - 1, 1, 0), stored(3, PAGE, 1, 3 * PAGE)];
    assert_eq!(fold(&[(&newer, 256), (&older, 256)], Zeros::Keep), joined);
    let elsewhere = [stored(1, PAGE, 2, PAGE)];
    assert_eq!(fold(&[(&elsewhere, 256), (&older[..1], 256)], Zeros::Keep), [older[0], elsewhere[0]]);
}

#[test]
fn a_page_is_found_where_it_is() {
    let extents = [stored(2, 2 * PAGE - 100, 1, 50), zeros(4, PAGE), stored(6, 1, 2, 0)];
    let stored = |blob, offset, length| Place::Stored { location: at(blob, offset), length };
    let expected = [
        (0, Place::Zeros),
        (2, stored(1, 50, PAGE)),
        (3, stored(1, 50 + PAGE, PAGE - 100)),
        (4, Place::Zeros),
        (5, Place::Zeros),
        (6, stored(2, 0, 1)),
        (7, Place::Zeros),
        (255, Place::Zeros),
    ];
    for (page, place) in expected {
        assert_eq!(place_of(&extents, page), place, "page {page}");
    }
}

#[test]
fn signatures_overlay_page_by_page_below_the_cut() {
    let mut view = SignView::new();
    view.add_older(&Signs::from_pages([(1, 11), (2, 0)]), 256);
    view.add_older(&Signs::from_pages([(0, 20), (1, 21), (2, 22), (3, 23), (255, 24)]), 3);
    assert_eq!(view.finish(Zeros::Keep), Signs::from_pages([(0, 20), (1, 11), (2, 0)]));
    assert_eq!(view.finish(Zeros::Drop), Signs::from_pages([(0, 20), (1, 11)]));
    view.add_older_zeros(5);
    assert_eq!(view.finish(Zeros::Keep).signatures, [20, 11, 0, 0, 0]);
}

#[test]
fn a_cut_leaves_the_pages_of_a_block_that_lie_below_it() {
    let cases =
        [(0, 0, 0), (5, 0, 5), (256, 0, 256), (256, 1, 0), (300, 1, 44), (u64::MAX, 1 << 43, 256), (0, u64::MAX, 0)];
    for (cut, block, pages) in cases {
        assert_eq!(pages_below(cut, block), pages, "cut {cut}, block {block}");
    }
}

#[test]
fn extents_that_no_decoder_gives_do_no_harm() {
    let beyond = [stored(250, 1 << 20, 1, u32::MAX), stored(u16::MAX, u32::MAX, 1, u32::MAX), stored(3, 0, 1, 0)];
    let folded = fold(&[(&[zeros(252, PAGE)], 256), (&beyond, 300)], Zeros::Keep);
    assert!(folded.iter().all(|extent| extent.end_page() <= PAGES));
}
