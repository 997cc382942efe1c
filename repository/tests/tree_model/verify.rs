//! Verify: what a reader sees of a restore point is what the oracle has.
//!
//! In: a point. Out: nothing, or the first difference. Never: trusts a row that the oracle does not have.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use repository::tree::key::{self, ParsedKey};
use repository::tree::overlay::{Place, place_of};
use repository::tree::rules::Rules;
use repository::tree::{Class, Merged, Mode, Row, Run, Sum, Value};

use crate::Failure;
use crate::expected::{add_page, handle_rows, segment_rows, sum_of, tree_rows};
use crate::points::Point;
use crate::state::{BLOCK_PAGES, File, Node, Page, State};

/// Reads a class of a point from the beginning to the end, and from random places.
pub(crate) fn verify(point: &Point, class: Class, rules: Rules, rng: &mut SmallRng) -> Result<(), Failure> {
    let mut reader = Merged::with_rules(class, point.cursors(class), Mode::Read, rules);
    let mut visible = Vec::new();
    while let Ok(Some(row)) = reader.next() {
        visible.push(row);
    }
    let state = &point.state;
    match class {
        Class::Tree => same_rows(
            class,
            &visible,
            &state.nodes.keys().flat_map(|node| tree_rows(state, *node)).collect::<Vec<_>>(),
        )?,
        Class::Handle => same_rows(class, &visible, &handle_rows(state))?,
        Class::Segment => same_rows(class, &visible, &segment_rows(state))?,
        Class::Content => verify_content(state, &visible)?,
        Class::Sign => verify_signs(state, &visible)?,
    }
    verify_seeks(&mut reader, class, &visible, rng)
}

fn same_rows(class: Class, visible: &[Row], expected: &[Row]) -> Result<(), Failure> {
    if visible == expected {
        return Ok(());
    }
    let differ =
        visible.iter().zip(expected).position(|(one, other)| one != other).unwrap_or(visible.len().min(expected.len()));
    Err(Failure::new(class, format!("visible {:?}, expected {:?}", visible.get(differ), expected.get(differ))))
}

/// Files with rows of their own in the classes content and sign.
fn stored_files(state: &State) -> impl Iterator<Item = (u64, &File)> {
    state.nodes.iter().filter_map(|(number, node)| match &**node {
        Node::File(file) if !file.inline => Some((*number, file)),
        _ => None,
    })
}

fn verify_content(state: &State, visible: &[Row]) -> Result<(), Failure> {
    let wrong = |what| Failure::new(Class::Content, what);
    let mut pages: BTreeMap<(u64, u64), Page> = BTreeMap::new();
    let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
    for row in visible {
        match (key::parse(Class::Content, &row.key), &row.value) {
            (Ok(ParsedKey::Sum { node }), Value::Sum(sum)) => {
                sums.insert(node, *sum);
            }
            (Ok(ParsedKey::Block { node, block }), Value::Block(extents)) => {
                if extents.is_empty() || extents.iter().any(|extent| extent.source.is_none()) {
                    return Err(wrong(format!("a reader sees zeros: {row:?}")));
                }
                for page in 0..BLOCK_PAGES {
                    if let Place::Stored { location, length } = place_of(extents, page as u16) {
                        pages.insert((node, block * BLOCK_PAGES + page), Page { location, length });
                    }
                }
            }
            _ => return Err(wrong(format!("a reader sees {row:?}"))),
        }
    }
    for (node, file) in stored_files(state) {
        let sum = sums.remove(&node);
        if sum != Some(sum_of(&file.pages, file.size)) {
            return Err(wrong(format!("node {node} has the sum {sum:?}")));
        }
        for (page, place) in &file.pages {
            let seen = pages.remove(&(node, *page));
            if seen != Some(*place) {
                return Err(wrong(format!("node {node} page {page} is {seen:?}, expected {place:?}")));
            }
        }
    }
    match (pages.first_key_value(), sums.first_key_value()) {
        (None, None) => Ok(()),
        left => Err(wrong(format!("a reader sees what nobody has any more: {left:?}"))),
    }
}

fn verify_signs(state: &State, visible: &[Row]) -> Result<(), Failure> {
    let wrong = |what| Failure::new(Class::Sign, what);
    let mut signatures: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for row in visible {
        let (Ok(ParsedKey::Sign { node, block }), Value::Sign(signs)) = (key::parse(Class::Sign, &row.key), &row.value)
        else {
            return Err(wrong(format!("a reader sees {row:?}")));
        };
        signatures
            .extend(signs.pages().map(|(page, signature)| ((node, block * BLOCK_PAGES + u64::from(page)), signature)));
    }
    for (node, file) in stored_files(state) {
        // The sum is proven by what a reader has: the signatures that it sees, not the oracle's.
        let seen = signatures.range((node, 0)..=(node, u64::MAX)).map(|((_, page), signature)| (*page, *signature));
        let empty = Sum { blocks: sum_of(&file.pages, file.size).blocks, ..Sum::default() };
        if seen.fold(empty, |sum, (page, signature)| add_page(sum, page, signature)) != sum_of(&file.pages, file.size) {
            return Err(wrong(format!("the signatures of node {node} do not add up to its sum")));
        }
        for (page, place) in &file.pages {
            let seen = signatures.remove(&(node, *page));
            if seen != Some(place.signature()) {
                return Err(wrong(format!("node {node} page {page} has the signature {seen:?}")));
            }
        }
    }
    match signatures.first_key_value() {
        None => Ok(()),
        Some(left) => Err(wrong(format!("a reader sees a signature that nobody has any more: {left:?}"))),
    }
}

/// From wherever a reader begins, it sees the rest of what it would have seen from the beginning.
fn verify_seeks<R: Run>(
    reader: &mut Merged<R>,
    class: Class,
    visible: &[Row],
    rng: &mut SmallRng,
) -> Result<(), Failure> {
    for _ in 0..rng.random_range(1..5) {
        let key = match visible.choose(rng) {
            Some(row) if rng.random_bool(0.7) => row.key.clone(),
            // Between rows, in the middle of nodes that exist or do not.
            _ => match class {
                Class::Tree => key::entry(rng.random_range(1..60), b"ab"),
                Class::Content => key::block(rng.random_range(1..60), rng.random_range(0..3)),
                Class::Sign => key::sign(rng.random_range(1..60), rng.random_range(0..3)),
                Class::Handle | Class::Segment => vec![rng.random(); 9],
            },
        };
        let first = visible.partition_point(|row| row.key < key);
        if reader.seek(&key).is_err() {
            return Err(Failure::new(class, "a seek failed".to_owned()));
        }
        for expected in (first..visible.len() + 1).map(|index| visible.get(index)).take(rng.random_range(1..6)) {
            let seen = reader.next().ok().flatten();
            if seen.as_ref() != expected {
                return Err(Failure::new(
                    class,
                    format!("after a seek to {key:02x?} a reader sees {seen:?}, expected {expected:?}"),
                ));
            }
        }
    }
    Ok(())
}
