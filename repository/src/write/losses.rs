//! Losses: what rows of blocks hide in the restore point that a run continues, by pack.
//!
//! In: new rows of the class content, in the order of their keys. Out: for each pack how many plaintext bytes are not needed there any more: the hints of table
//! footers. Never: rows of other classes (of entries the sweep knows what it hides), or rows that this run wrote itself.

use crate::Error;
use crate::hash::PAGE_BYTES;
use crate::tree::overlay::{PAGES, PageSet, pages_below};
use crate::tree::{Class, Extent, Head, Row, Value, key};

use super::ascending::Ascending;
use super::balance::Lost;
use super::parent::Parent;

/// Looks up what new rows hide.
pub(super) struct Losses {
    /// What the parent has; `None`: there is none.
    old: Option<Ascending>,
}

impl Losses {
    pub(super) fn new(parent: Option<&Parent>) -> Losses {
        Losses { old: parent.map(|parent| Ascending::new(parent.read(Class::Content))) }
    }

    /// Adds what these rows hide; the class is content, keys ascend.
    pub(super) fn add(&mut self, rows: &[Row], lost: &mut Lost) -> Result<(), Error> {
        let Some(old) = &mut self.old else { return Ok(()) };
        let node_of = |row: &Row| key::node_of(Class::Content, &row.key);
        rows.chunk_by(|one, next| node_of(one) == node_of(next)).try_for_each(|rows| add_node(old, rows, lost))
    }
}

/// What the rows of one node hide.
fn add_node(old: &mut Ascending, rows: &[Row], lost: &mut Lost) -> Result<(), Error> {
    let Some(node) = rows.first().and_then(|row| key::node_of(Class::Content, &row.key)) else { return Ok(()) };
    let head = match rows.first() {
        Some(Row { value: Value::Head(head), .. }) => *head,
        _ => Head::default(),
    };
    // Pages from here on go whatever the new rows say of them.
    let cut = if head.gone { 0 } else { head.cut.unwrap_or(u64::MAX) };
    for row in rows {
        let Some(block) = key::block_of(Class::Content, &row.key).filter(|block| pages_below(cut, *block) > 0) else {
            continue;
        };
        if let Some(Row { key, value: Value::Block(extents) }) = old.first_from(&row.key)?
            && *key == row.key
        {
            let mut hidden = named_by(&row.value);
            (pages_below(cut, block)..PAGES).for_each(|page| hidden.insert(page));
            hide(extents, &hidden, lost);
        }
    }
    match cut {
        u64::MAX => Ok(()),
        cut => add_cut(old, (node, rows), cut, lost),
    }
}

/// What a Head hides in blocks that no new row stands for; those that have one are done.
fn add_cut(old: &mut Ascending, (node, rows): (u64, &[Row]), cut: u64, lost: &mut Lost) -> Result<(), Error> {
    let mut next = key::block(node, cut / u64::from(PAGES));
    while let Some(row) = old.first_from(&next)?.filter(|row| key::node_of(Class::Content, &row.key) == Some(node)) {
        let block = key::block_of(Class::Content, &row.key);
        let below = block.map_or(0, |block| pages_below(cut, block));
        let is_done = below > 0 && rows.binary_search_by(|new| new.key.cmp(&row.key)).is_ok();
        if let (Value::Block(extents), false) = (&row.value, is_done) {
            let mut hidden = PageSet::default();
            (below..PAGES).for_each(|page| hidden.insert(page));
            hide(extents, &hidden, lost);
        }
        next.clone_from(&row.key);
        next.push(0);
    }
    Ok(())
}

/// The pages for which a new row decides.
fn named_by(value: &Value) -> PageSet {
    let mut named = PageSet::default();
    match value {
        Value::Block(extents) => {
            extents.iter().flat_map(|extent| extent.first_page..extent.end_page()).for_each(|page| named.insert(page));
        }
        _ => (0..PAGES).for_each(|page| named.insert(page)),
    }
    named
}

/// Counts what extents name in some of their pages.
fn hide(extents: &[Extent], hidden: &PageSet, lost: &mut Lost) {
    for extent in extents {
        let Some(source) = &extent.source else { continue };
        for page in (extent.first_page..extent.end_page()).filter(|page| hidden.contains(*page)) {
            let before = u32::from(page - extent.first_page) * PAGE_BYTES as u32;
            *lost.entry(source.pack).or_default() += u64::from((extent.length - before).min(PAGE_BYTES as u32));
        }
    }
}

#[cfg(test)]
mod tests;
