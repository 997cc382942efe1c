//! Runs of decoded rows, merged: whatever the rows say, and whichever adjacent runs were merged before, a reader sees the same; a seek finds what a scan finds.
#![no_main]

use std::sync::Arc;

use holdfast_fuzz::{class_and_rest, packs, part};
use libfuzzer_sys::fuzz_target;
use repository::hash::BLOCK_PAGES;
use repository::tree::block::decode_block;
use repository::tree::overlay::{Place, place_of};
use repository::tree::{Class, Merged, Mode, Row, Run, Value, VecRun};

const RUNS_MAX: usize = 5;

type Rows = Arc<Vec<Row>>;

fn all(mut merged: impl Run<Error = std::convert::Infallible>) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Ok(Some(row)) = merged.next() {
        rows.push(row);
    }
    assert!(rows.is_sorted_by(|one: &Row, other| one.key < other.key), "a merged stream ascends");
    rows
}

fn merged(class: Class, runs: &[Rows], mode: Mode) -> Merged<VecRun> {
    Merged::new(class, runs.iter().cloned().map(VecRun::new).collect(), mode)
}

/// What a reader learns: of a block, where each page is, however its extents are cut.
#[derive(Debug, PartialEq)]
enum Seen {
    Pages(Vec<Place>),
    Row(Box<Value>),
}

fn seen(rows: Vec<Row>) -> Vec<(Vec<u8>, Seen)> {
    let view = |value| match value {
        Value::Block(extents) => Seen::Pages((0..BLOCK_PAGES as u16).map(|page| place_of(&extents, page)).collect()),
        other => Seen::Row(Box::new(other)),
    };
    rows.into_iter().map(|row| (row.key, view(row.value))).collect()
}

/// Merges the runs from `first` to before `end` and reads the result in their place.
fn after_merge(class: Class, runs: &[Rows], first: usize, end: usize) -> Vec<(Vec<u8>, Seen)> {
    let lowest = end == runs.len();
    let one: Rows = Arc::new(all(merged(class, &runs[first..end], Mode::Merge { lowest })));
    let left: Vec<Rows> = runs[..first].iter().chain([&one]).chain(&runs[end..]).cloned().collect();
    seen(all(merged(class, &left, Mode::Read)))
}

fn check_seeks(class: Class, runs: &[Rows], scanned: &[Row]) {
    let mut cursor = merged(class, runs, Mode::Read);
    for (number, row) in scanned.iter().enumerate().take(20) {
        // Forwards and backwards by turns.
        let number = if number % 3 == 2 { number / 2 } else { number };
        let row = scanned.get(number).unwrap_or(row);
        let Ok(()) = cursor.seek(&row.key);
        assert_eq!(cursor.next(), Ok(Some(row.clone())), "a seek finds what a scan finds");
        assert_eq!(cursor.next(), Ok(scanned.get(number + 1).cloned()), "and goes on as a scan does");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((class, mut rest)) = class_and_rest(data) else { return };
    let (packs, mut runs) = (packs(), Vec::new());
    while let Some((plain, after)) = part(rest) {
        rest = after;
        let Ok(rows) = decode_block(class, plain, &packs) else { return };
        runs.push(Arc::new(rows));
        if runs.len() == RUNS_MAX {
            break;
        }
    }
    let read = all(merged(class, &runs, Mode::Read));
    check_seeks(class, &runs, &read);
    let expected = seen(read);
    for first in 0..runs.len() {
        for end in first + 1..=runs.len() {
            assert_eq!(after_merge(class, &runs, first, end), expected, "runs {first}..{end} of {}", runs.len());
        }
    }
});
