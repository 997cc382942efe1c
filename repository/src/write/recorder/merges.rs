//! Merges: at the end of a run, what is due is merged on the way, so that everything is written once.
//!
//! In: the last rows of a class, its runs, and how much dead space hidden rows keep. Out: fewer runs. Never: a merge that changes what any reader sees, or a hint that
//! keeps a pack: Segment rows of packs that no other row names go when they are merged, if it is known which these are.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::point::TableRef;
use crate::table::{TableBuilder, TableFooter, TableRun};
use crate::tree::plan::{DeadSpace, RunSize, plan_merges};
use crate::tree::{Class, Merged, Mode, PackId, Row, Run, Value, VecRun};

use super::super::balance::Balance;
use super::super::space::Space;
use super::Recorder;

/// Rows in memory turn into table rows of about this share of their size.
const ENCODED_SHARE: u64 = 4;

/// What is merged: rows in memory, if given, on top of a range of runs.
struct Inputs {
    memory: Option<Arc<Vec<Row>>>,
    runs: Vec<Vec<TableRef>>,
    /// True if the oldest run is among them.
    lowest: bool,
}

impl Recorder<'_> {
    /// Writes the last rows of one class. `space`: what hidden rows keep, if it is known.
    pub(super) fn finish_class(&mut self, class: Class, rows: Vec<Row>, space: Option<&Space>) -> Result<(), Error> {
        let dead = space.map(|space| space.dead_of(class)).unwrap_or_default();
        let must_merge = self.parts.evacuation.must_merge(class);
        if rows.is_empty() && !self.runs.wrote(class) && dead.hidden_bytes == 0 && !must_merge {
            return Ok(());
        }
        let mut memory = (!rows.is_empty()).then(|| Arc::new(rows));
        let in_memory = usize::from(memory.is_some());
        let mut sizes: Vec<RunSize> = memory.iter().map(|rows| RunSize { stored_bytes: estimate(rows) }).collect();
        let size = |tables: &Vec<TableRef>| RunSize { stored_bytes: tables.iter().map(|table| table.bytes).sum() };
        sizes.extend(self.runs.tree.of(class).iter().map(size));
        // Rows of segments go even where there is nothing to merge with.
        let drops = class == Class::Segment && dead.is_too_much(sizes.iter().map(|size| size.stored_bytes).sum());
        let groups = match must_merge || drops {
            true => std::iter::once(0..sizes.len()).collect(),
            false => plan_groups(sizes, dead),
        };
        // Oldest first, so that the positions of what is still to do stay what they were.
        for group in groups.into_iter().rev().filter(|group| group.len() > 1 || must_merge || drops) {
            let range = group.start.saturating_sub(in_memory)..group.end - in_memory;
            let inputs = Inputs {
                memory: if group.start == 0 { memory.take() } else { None },
                runs: self.runs.tree.of(class)[range.clone()].to_vec(),
                lowest: range.end == self.runs.tree.of(class).len(),
            };
            let tables = self.merge(class, inputs, space)?;
            self.runs.replace(class, range, tables);
        }
        if let Some(rows) = memory {
            self.append(class, Arc::unwrap_or_clone(rows))?;
            self.close(class)?;
        }
        Ok(())
    }

    fn merge(&mut self, class: Class, inputs: Inputs, space: Option<&Space>) -> Result<Vec<TableRef>, Error> {
        if inputs.runs.iter().flatten().any(|table| self.parts.packer.is_open(table.pack)) {
            self.parts.packer.finish()?;
        }
        self.source.add_packs(self.parts.packer.table_packs());
        let mut balance = Balance::default();
        for table in inputs.runs.iter().flatten() {
            let footer = self.source.footer(table)?;
            self.learn(&footer);
            add_footer(&mut balance, &footer);
        }
        let keeps = if class == Class::Segment { self.packs_with_content(space) } else { None };
        let mut runs: Vec<Box<dyn Run<Error = Error>>> = Vec::new();
        if let Some(rows) = inputs.memory {
            rows.iter().for_each(|row| balance.gain_value(&row.value));
            balance.lose_all(&std::mem::take(&mut self.lost[class as usize]));
            runs.push(Box::new(VecRun::new(rows)));
        }
        for tables in inputs.runs {
            runs.push(Box::new(TableRun::new(class, self.source.clone(), tables)));
        }
        let mut merged = Merged::new(class, runs, Mode::Merge { lowest: inputs.lowest });
        let goes = |row: &Row| match (&row.value, &keeps) {
            (Value::Segment { location, .. }, Some(keeps)) => !keeps.contains(&location.pack),
            _ => false,
        };
        let rows = || {
            loop {
                match merged.next()? {
                    Some(row) if goes(&row) => {}
                    row => return Ok(row),
                }
            }
        };
        let counts_losses = class != Class::Segment && !inputs.lowest;
        self.write(class, rows, counts_losses.then_some(balance))
    }

    fn learn(&mut self, footer: &TableFooter) {
        let known = footer.packs.iter().filter(|used| used.summary.is_known());
        self.known.extend(known.map(|used| (used.pack, used.summary)));
    }

    /// Writes sorted rows as one run. `balance`: what the rows that went in named and hid; what is left of it below zero, the last table says as its loss.
    fn write(
        &mut self,
        class: Class,
        mut rows: impl FnMut() -> Result<Option<Row>, Error>,
        mut balance: Option<Balance>,
    ) -> Result<Vec<TableRef>, Error> {
        let mut tables = Vec::new();
        let mut builder = TableBuilder::new(class)?;
        let mut next = rows()?;
        while let Some(row) = next {
            builder.push(&row)?;
            next = rows()?;
            if !builder.is_full() && next.is_some() {
                continue;
            }
            let full = std::mem::replace(&mut builder, TableBuilder::new(class)?);
            let Some(mut table) = full.finish()? else { continue };
            if let Some(balance) = &mut balance {
                table.gained().for_each(|(pack, bytes)| balance.lose(pack, bytes));
            }
            if next.is_none() {
                table = table.with_losses(balance.take().map(Balance::into_lost).unwrap_or_default());
            }
            let known = |pack: PackId| self.known.get(&pack).copied().unwrap_or_default();
            let placed = self.parts.packer.add_table(&table, &known)?;
            self.named.insert((placed.pack, placed.offset), table.packs().to_vec());
            tables.push(placed);
        }
        Ok(tables)
    }

    /// The packs that rows of the classes tree and content name now; `None`: not known without reading every footer.
    fn packs_with_content(&self, space: Option<&Space>) -> Option<HashSet<PackId>> {
        let space = space?;
        let mut packs = HashSet::new();
        for class in [Class::Tree, Class::Content] {
            let mut others = false;
            for table in self.runs.tree.of(class).iter().flatten() {
                match self.named.get(&(table.pack, table.offset)) {
                    Some(named) => packs.extend(named.iter().copied()),
                    None => others = true,
                }
            }
            if others {
                packs.extend(
                    space.packs.iter().filter(|(_, held)| held.named_by.contains(class)).map(|(pack, _)| *pack),
                );
            }
        }
        packs.retain(|pack| !self.parts.evacuation.packs().contains(pack));
        Some(packs)
    }
}

fn add_footer(balance: &mut Balance, footer: &TableFooter) {
    footer.packs.iter().for_each(|used| balance.gain(used.pack, used.gained));
    footer.losses.iter().for_each(|loss| balance.lose(loss.pack, loss.lost));
}

/// Which runs end up as one, when everything that is due is merged: planned on sizes alone, so that no run is written only to be merged again.
fn plan_groups(mut sizes: Vec<RunSize>, dead: DeadSpace) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = (0..sizes.len()).map(|run| run..run + 1).collect();
    while let Some(range) = plan_merges(&sizes, dead).into_iter().next() {
        let merged = RunSize { stored_bytes: sizes[range.clone()].iter().map(|size| size.stored_bytes).sum() };
        let span = groups[range.start].start..groups[range.end - 1].end;
        sizes.splice(range.clone(), [merged]);
        groups.splice(range, [span]);
    }
    groups
}

/// About how many stored bytes rows in memory will take: only the plan of merges depends on it.
fn estimate(rows: &[Row]) -> u64 {
    rows.len() as u64 * (size_of::<Row>() as u64 / ENCODED_SHARE)
}
