//! The writer of the model: two states become the rows of a run, by the rules of docs/format.md, section 7.
//!
//! In: what the parent shows and what this restore point must show. Out: rows per class. Where the format leaves a choice (cut or zeros, `gone` and everything anew
//! or only what differs, a page that is written although it is the same) the generator chooses. Never: looks at runs.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;
use repository::tree::{Class, Extent, Head, Row, Signs, Value, key};

use crate::expected::{handle_rows, segment_rows, sum_of, tree_rows};
use crate::state::{BLOCK_PAGES, FILE_PAGES_MAX, File, PAGE, Page, State};

/// What a writer prefers where the format leaves a choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterHabit {
    /// How often a node that stays is written anew as a whole, below a Head that says `gone`.
    pub(crate) gone: f64,
    /// How often a file is cut where nothing asks for it.
    pub(crate) cut: f64,
    /// How often what is so already is written again.
    pub(crate) noise: f64,
}

/// Pages to be written: `None` is zeros.
type Pages = BTreeMap<u64, Option<Page>>;

/// The rows that lead from one state to another, per class.
pub(crate) fn rows_between(old: &State, new: &State, habit: WriterHabit, rng: &mut SmallRng) -> [Vec<Row>; 5] {
    let mut rows: [Vec<Row>; 5] = Default::default();
    let mut nodes: Vec<u64> = old.nodes.keys().chain(new.nodes.keys()).copied().collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        rows[Class::Tree as usize].extend(tree_between(old, new, node, habit, rng));
        let (before, after) = (old.file(node), new.file(node));
        if before != after {
            rows[Class::Content as usize].extend(content_between(node, before, after, habit, rng));
            rows[Class::Sign as usize].extend(signs_between(node, before, after, habit, rng));
        }
    }
    rows[Class::Handle as usize] = difference(&handle_rows(old), &handle_rows(new));
    rows[Class::Segment as usize] = difference(&segment_rows(old), &segment_rows(new));
    rows
}

/// Rows that are new or another, and tombstones for those that went.
fn difference(old: &[Row], new: &[Row]) -> Vec<Row> {
    let old: BTreeMap<&[u8], &Value> = old.iter().map(|row| (row.key.as_slice(), &row.value)).collect();
    let mut rows: BTreeMap<Vec<u8>, Value> = old.keys().map(|key| (key.to_vec(), Value::Tombstone)).collect();
    for row in new {
        match old.get(row.key.as_slice()) {
            Some(value) if **value == row.value => rows.remove(&row.key),
            _ => rows.insert(row.key.clone(), row.value.clone()),
        };
    }
    rows.into_iter().map(|(key, value)| Row { key, value }).collect()
}

fn tree_between(old: &State, new: &State, node: u64, habit: WriterHabit, rng: &mut SmallRng) -> Vec<Row> {
    let (before, after) = (tree_rows(old, node), tree_rows(new, node));
    if before == after && !rng.random_bool(habit.noise / 100.0) {
        return Vec::new();
    }
    let went = !new.nodes.contains_key(&node) && !before.is_empty();
    if (went && rng.random_bool(0.8)) || rng.random_bool(habit.gone) {
        // A directory that went, or one that is written anew as a whole.
        let head = Row { key: key::head(node), value: Value::Head(Head { gone: true, cut: None }) };
        return std::iter::once(head).chain(after).collect();
    }
    difference(&before, &after)
}

/// What happens to the rows of a file in one class: its Head, and the pages to write.
struct Change {
    head: Option<Head>,
    pages: Pages,
}

fn stored_pages(file: Option<&File>) -> Option<&BTreeMap<u64, Page>> {
    file.filter(|file| !file.inline).map(|file| &file.pages)
}

/// None: nothing to write in this class.
fn change_between(
    before: Option<&File>,
    after: Option<&File>,
    habit: WriterHabit,
    rng: &mut SmallRng,
) -> Option<Change> {
    let gone = Some(Head { gone: true, cut: None });
    let all = |pages: &BTreeMap<u64, Page>| pages.iter().map(|(page, place)| (*page, Some(*place))).collect::<Pages>();
    match (stored_pages(before), stored_pages(after)) {
        (None, None) => None,
        (Some(_), None) => {
            let cut = Some(Head { gone: false, cut: Some(0) });
            let head = if after.is_none() || rng.random_bool(0.2) { gone } else { cut };
            Some(Change { head, pages: Pages::new() })
        }
        (None, Some(new)) => Some(Change { head: None, pages: with_noise(all(new), new, habit, rng) }),
        (Some(_), Some(new)) if rng.random_bool(habit.gone) => {
            Some(Change { head: gone, pages: with_noise(all(new), new, habit, rng) })
        }
        (Some(old), Some(new)) => {
            let end = after.map_or(0, File::page_count);
            let shrank = old.keys().next_back().is_some_and(|page| *page >= end);
            let cut = match rng.random_bool(habit.cut) {
                true if rng.random_bool(0.3) => Some(end / BLOCK_PAGES * BLOCK_PAGES),
                true => Some(rng.random_range(0..end + 20)),
                false => (shrank && rng.random_bool(0.75)).then_some(end),
            };
            let from = cut.unwrap_or(u64::MAX);
            let mut pages: Pages = old.keys().filter(|page| **page < from).map(|page| (*page, None)).collect();
            for (page, place) in new {
                match old.get(page) {
                    Some(same) if same == place && *page < from => pages.remove(page),
                    _ => pages.insert(*page, Some(*place)),
                };
            }
            Some(Change {
                head: cut.map(|page| Head { gone: false, cut: Some(page) }),
                pages: with_noise(pages, new, habit, rng),
            })
        }
    }
}

/// A writer may write what is so already.
fn with_noise(mut pages: Pages, new: &BTreeMap<u64, Page>, habit: WriterHabit, rng: &mut SmallRng) -> Pages {
    if rng.random_bool(habit.noise) {
        let first = rng.random_range(0..FILE_PAGES_MAX);
        for page in first..first + rng.random_range(1..6) {
            pages.insert(page, new.get(&page).copied());
        }
    }
    pages
}

fn blocks_of(pages: &Pages) -> BTreeMap<u64, Vec<(u64, Option<Page>)>> {
    let mut blocks: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (page, place) in pages {
        blocks.entry(page / BLOCK_PAGES).or_default().push((page % BLOCK_PAGES, *place));
    }
    blocks
}

/// True if a whole block is zeros, which a tombstone says as well.
fn is_zero_block(after: Option<&File>, block: u64) -> bool {
    let range = block * BLOCK_PAGES..(block + 1) * BLOCK_PAGES;
    stored_pages(after).is_none_or(|pages| pages.range(range).next().is_none())
}

fn head_row(node: u64, head: Option<Head>) -> Option<Row> {
    head.map(|head| Row { key: key::head(node), value: Value::Head(head) })
}

fn content_between(
    node: u64,
    before: Option<&File>,
    after: Option<&File>,
    habit: WriterHabit,
    rng: &mut SmallRng,
) -> Vec<Row> {
    let Some(change) = change_between(before, after, habit, rng) else { return Vec::new() };
    let mut rows: Vec<Row> = head_row(node, change.head).into_iter().collect();
    for (block, pages) in blocks_of(&change.pages) {
        let value = match is_zero_block(after, block) && rng.random_bool(0.3) {
            true => Value::Tombstone,
            false => Value::Block(extents_of(&pages, Some(&mut *rng))),
        };
        rows.push(Row { key: key::block(node, block), value });
    }
    let gone = change.head.is_some_and(|head| head.gone);
    match after.filter(|file| !file.inline) {
        Some(file) => rows.push(Row { key: key::sum(node), value: Value::Sum(sum_of(&file.pages, file.size)) }),
        None if !gone => rows.push(Row { key: key::sum(node), value: Value::Tombstone }),
        None => {}
    }
    rows
}

fn signs_between(
    node: u64,
    before: Option<&File>,
    after: Option<&File>,
    habit: WriterHabit,
    rng: &mut SmallRng,
) -> Vec<Row> {
    let Some(change) = change_between(before, after, habit, rng) else { return Vec::new() };
    let mut rows: Vec<Row> = head_row(node, change.head).into_iter().collect();
    for (block, pages) in blocks_of(&change.pages) {
        let signatures = pages.iter().map(|(page, place)| (*page as u16, place.map_or(0, |place| place.signature())));
        let value = match is_zero_block(after, block) && rng.random_bool(0.3) {
            true => Value::Tombstone,
            false => Value::Sign(Signs::from_pages(signatures)),
        };
        rows.push(Row { key: key::sign(node, block), value });
    }
    rows
}

/// Pages of one block as extents: neighbours in a blob together, but where the generator divides them.
pub(crate) fn extents_of(pages: &[(u64, Option<Page>)], mut rng: Option<&mut SmallRng>) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for (page, place) in pages {
        let first_page = *page as u16;
        let divided = rng.as_mut().is_some_and(|rng| rng.random_bool(0.02));
        let length = place.map_or(PAGE as u32, |place| place.length);
        let source = place.map(|place| place.location);
        match extents.last_mut() {
            Some(last) if !divided && continues(last, first_page, source) => last.length += length,
            _ => extents.push(Extent { first_page, length, source }),
        }
    }
    if let (Some(rng), Some(last)) = (rng, extents.last_mut())
        && last.source.is_none()
        && rng.random_bool(0.2)
    {
        // Zeros may end inside a page, as any extent.
        last.length -= rng.random_range(0..PAGE as u32);
    }
    extents
}

fn continues(last: &Extent, first_page: u16, source: Option<repository::tree::Location>) -> bool {
    let whole = u64::from(last.length).is_multiple_of(PAGE);
    let neighbours = u64::from(last.first_page) + u64::from(last.length) / PAGE == u64::from(first_page);
    whole
        && neighbours
        && match (last.source, source) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one.pack == other.pack && one.blob == other.blob && one.offset + last.length == other.offset
            }
            _ => false,
        }
}
