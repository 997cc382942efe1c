//! Merging: what the model (tests/tree_model.rs) does not see: errors, laziness, and the names of the rules in single examples.

use std::sync::Arc;

use super::*;
use crate::tree::row::{Extent, Location, PackId, Sum};
use model::SessionId;

fn head(node: u64, gone: bool, cut: Option<u64>) -> Row {
    Row { key: key::head(node), value: Value::Head(Head { gone, cut }) }
}

fn sum(node: u64, pages: u64) -> Row {
    Row { key: key::sum(node), value: Value::Sum(Sum { pages, sum: 0, blocks: 0 }) }
}

fn block(node: u64, number: u64, pages: u32, blob: u32) -> Row {
    let pack = PackId { session: SessionId([1; 16]), seq: 0 };
    let extent = Extent { first_page: 0, length: pages * 4096, source: Some(Location { pack, blob, offset: 0 }) };
    Row { key: key::block(node, number), value: Value::Block(vec![extent]) }
}

fn merged(runs: &[&[Row]], mode: Mode) -> Merged<VecRun> {
    let runs = runs.iter().map(|rows| VecRun::new(Arc::new(rows.to_vec()))).collect();
    Merged::new(Class::Content, runs, mode)
}

fn rows_of<R: Run>(run: &mut R) -> Vec<Row>
where
    R::Error: std::fmt::Debug,
{
    std::iter::from_fn(|| run.next().expect("a run without errors")).collect()
}

#[test]
fn merged_heads_are_gone_if_any_was_and_cut_where_the_lowest_cut() {
    let newest = [head(1, false, Some(9)), head(2, false, Some(1)), head(3, false, None)];
    let older = [head(1, true, None), head(2, false, Some(7)), block(2, 0, 9, 5)];
    let expected = [head(1, true, Some(9)), head(2, false, Some(1)), block(2, 0, 1, 5)];
    assert_eq!(rows_of(&mut merged(&[&newest, &older], Mode::Merge { lowest: false })), expected);
    assert_eq!(rows_of(&mut merged(&[&newest, &older], Mode::Merge { lowest: true })), [block(2, 0, 1, 5)]);
}

#[test]
fn a_head_leaves_the_rows_of_its_own_run() {
    let newest = [head(1, true, None), block(1, 0, 3, 1), sum(1, 3)];
    let older = [block(1, 0, 9, 2), block(1, 5, 9, 2), sum(1, 18)];
    assert_eq!(rows_of(&mut merged(&[&newest, &older], Mode::Read)), newest[1..]);
}

#[test]
fn a_seek_into_a_node_honours_its_heads_in_both_directions() {
    let newest = [head(1, false, Some(300)), head(2, true, None)];
    let older = [block(1, 0, 9, 1), block(1, 1, 256, 1), block(1, 2, 9, 1), block(2, 0, 9, 1), sum(2, 1), sum(3, 1)];
    let mut reader = merged(&[&newest, &older], Mode::Read);
    for _ in 0..2 {
        reader.seek(&key::block(2, 0)).expect("a seek");
        assert_eq!(rows_of(&mut reader), [sum(3, 1)]);
        reader.seek(&key::block(1, 1)).expect("a seek");
        assert_eq!(rows_of(&mut reader), [block(1, 1, 44, 1), sum(3, 1)]);
        reader.seek(&[]).expect("a seek");
        assert_eq!(rows_of(&mut reader).len(), 3);
    }
}

/// A run that counts what it is asked and fails now and then.
struct Shaky {
    run: VecRun<&'static str>,
    calls: u32,
    seeks: u32,
    fails: bool,
}

impl Shaky {
    fn new(rows: Vec<Row>, fails: bool) -> Shaky {
        Shaky { run: VecRun::new(Arc::new(rows)), calls: 0, seeks: 0, fails }
    }

    fn call(&mut self) -> Result<(), &'static str> {
        self.calls += 1;
        if self.fails && self.calls.is_multiple_of(5) { Err("no answer") } else { Ok(()) }
    }
}

impl Run for &mut Shaky {
    type Error = &'static str;

    fn seek(&mut self, key: &[u8]) -> Result<(), &'static str> {
        self.seeks += 1;
        self.call()?;
        self.run.seek(key)
    }

    fn next(&mut self) -> Result<Option<Row>, &'static str> {
        self.call()?;
        self.run.next()
    }
}

#[test]
fn a_call_that_failed_is_repeated_without_losing_a_row() {
    let mut newest = Shaky::new(vec![head(1, false, Some(1)), block(1, 1, 2, 1), sum(2, 5)], true);
    let mut older = Shaky::new(vec![block(1, 0, 9, 2), block(1, 1, 9, 2), sum(1, 4), sum(3, 6)], true);
    let expected = [block(1, 0, 1, 2), block(1, 1, 2, 1), sum(1, 4), sum(2, 5), sum(3, 6)];
    let mut reader = Merged::new(Class::Content, vec![&mut newest, &mut older], Mode::Read);
    let mut failed = 0;
    for first in [0, 1, 0, 2] {
        reader.seek(&expected[first].key).expect("seeks are remembered, not done");
        let mut rows = Vec::new();
        let mut failures = 0;
        loop {
            match reader.next() {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => break,
                Err(_) => failures += 1,
            }
            if failures > 9 {
                break;
            }
        }
        assert_eq!(rows, expected[first..]);
        failed += failures;
    }
    assert!(failed > 3, "{failed} calls failed");
}

#[test]
fn the_rows_of_a_node_that_is_gone_are_passed_over_by_a_seek() {
    let mut newest = Shaky::new(vec![head(1, true, None)], false);
    let mut older = Shaky::new((0..100_000).map(|number| block(1, number, 1, 1)).chain([sum(2, 1)]).collect(), false);
    let mut reader = Merged::new(Class::Content, vec![&mut newest, &mut older], Mode::Read);
    assert_eq!(reader.next(), Ok(Some(sum(2, 1))));
    drop(reader);
    assert!(older.calls < 100, "{} rows were asked for", older.calls);
}

#[test]
fn a_reader_that_goes_forward_in_small_steps_does_not_seek_in_its_runs() {
    let mut only = Shaky::new((1..100).map(|node| sum(node, 1)).collect(), false);
    let mut other = Shaky::new(vec![sum(1, 2), sum(99, 2)], false);
    let mut reader = Merged::new(Class::Content, vec![&mut only, &mut other], Mode::Read);
    for node in 1..99 {
        reader.seek(&key::head(node)).expect("a seek");
        assert_eq!(reader.next().map(|row| row.map(|row| row.key)), Ok(Some(key::sum(node))));
    }
    drop(reader);
    assert!(other.seeks <= 3, "{} seeks in a run that stood right", other.seeks);
}

#[test]
fn no_runs_are_an_empty_run() {
    assert_eq!(rows_of(&mut merged(&[], Mode::Read)), []);
    assert_eq!(rows_of(&mut merged(&[&[], &[]], Mode::Merge { lowest: true })), []);
}
