//! Every row of every table, once, whichever points list the table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::domain::Domain;
use crate::pack::{PACK_BLOBS_MAX, PackSummary};
use crate::point::{PackContent, PackSet, Point, TablePack, TableRef};
use crate::session::PointId;
use crate::table::{PackUse, TableRun, TableSource};
use crate::tree::{Class, PackId, Run};

use super::findings::Findings;
use super::survey::Survey;
use super::{CheckOptions, check_cancel};

/// How much of a table is read with one request.
const WINDOW_BYTES: u64 = 4 << 20;

/// A table by where it is and what its footer hashes to.
type TableKey = (PackId, u64, [u8; 32]);

fn key_of(table: &TableRef) -> TableKey {
    (table.pack, table.offset, table.footer_hash)
}

/// A table that some points list.
struct Listed {
    class: Class,
    table: TableRef,
    points: Vec<PointId>,
}

/// What the tables say.
#[derive(Default)]
pub(super) struct Tables {
    /// Per table the packs that its footer names; `None`: it cannot be read.
    pub(super) tables: HashMap<TableKey, Option<Vec<PackId>>>,
    pub(super) rows: u64,
    /// Per pack and blob: how far rows reach into its plaintext; 0: no row names the blob.
    pub(super) reach: BTreeMap<PackId, Vec<u32>>,
    /// What is known of packs.
    pub(super) summaries: BTreeMap<PackId, PackSummary>,
    /// Packs in which a table cannot be read.
    pub(super) suspicious: BTreeSet<PackId>,
}

impl Tables {
    /// What the points themselves say of the packs that hold their tables; no table is read.
    pub(super) fn of_points(survey: &Survey) -> Tables {
        let mut tables = Tables::default();
        for point in survey.points.iter().filter_map(|surveyed| surveyed.point.as_ref()) {
            for known in point.runs.packs.iter().filter(|pack| pack.summary.is_known()) {
                tables.summaries.insert(known.pack, known.summary);
            }
        }
        tables
    }

    /// True if a point lists a table of one of these classes that cannot be read.
    pub(super) fn unreadable_for(&self, point: &Point, classes: &[Class]) -> bool {
        let runs = point.runs.trees.iter().flat_map(|tree| tree.tables());
        runs.into_iter()
            .any(|(class, table)| classes.contains(&class) && !matches!(self.tables.get(&key_of(table)), Some(Some(_))))
    }
}

/// Reads all tables.
pub(super) fn scan(
    domain: &Domain,
    options: &CheckOptions,
    survey: &Survey,
    findings: &mut Findings,
) -> Result<Tables, Error> {
    let mut listed: BTreeMap<TableKey, Listed> = BTreeMap::new();
    let mut packs: BTreeMap<PackId, TablePack> = BTreeMap::new();
    let mut tables = Tables::of_points(survey);
    for surveyed in &survey.points {
        let Some(point) = &surveyed.point else { continue };
        packs.extend(point.runs.packs.iter().map(|pack| (pack.pack, *pack)));
        for (class, table) in point.runs.trees.iter().flat_map(|tree| tree.tables()) {
            let entry = listed.entry(key_of(table));
            let entry = entry.or_insert_with(|| Listed { class, table: table.clone(), points: Vec::new() });
            entry.points.push(surveyed.id);
        }
    }
    let packs: Vec<TablePack> = packs.into_values().collect();
    // What one look has fetched must not serve the second.
    let source = || Arc::new(TableSource::new(domain, &packs, WINDOW_BYTES));
    let first = source();
    for (key, listed) in listed {
        check_cancel(options)?;
        let name = domain.pack_name(listed.table.pack);
        let mut at_first = Some(first.clone());
        let read = findings.twice(&name, || tables.read(domain, &at_first.take().unwrap_or_else(source), &listed));
        let read = match read {
            Ok(packs) => Some(packs),
            Err(error) => {
                findings.add_error(&name, error, listed.points.iter().copied())?;
                tables.suspicious.insert(listed.table.pack);
                None
            }
        };
        tables.tables.insert(key, read);
        options.progress.tables.fetch_add(1, Ordering::Relaxed);
    }
    compare_references(survey, &tables, findings);
    Ok(tables)
}

impl Tables {
    fn read(&mut self, domain: &Domain, source: &Arc<TableSource>, listed: &Listed) -> Result<Vec<PackId>, Error> {
        let footer = source.footer(&listed.table)?;
        let mut used = BTreeSet::new();
        let mut run = TableRun::new(listed.class, source.clone(), vec![listed.table.clone()]);
        let mut last: Vec<u8> = Vec::new();
        let mut rows = 0;
        let damaged = |what: &str| Error::damaged(&domain.pack_name(listed.table.pack), what);
        while let Some(row) = run.next()? {
            if row.key <= last {
                return Err(damaged("a table's rows are not in order"));
            }
            let mut beyond = false;
            row.value.visit_locations(|location, length| {
                used.insert(location.pack);
                let end = location.offset.saturating_add(length);
                if location.blob >= PACK_BLOBS_MAX {
                    beyond = true;
                    return;
                }
                let reach = self.reach.entry(location.pack).or_default();
                let blob = location.blob as usize;
                if reach.len() <= blob {
                    reach.resize(blob + 1, 0);
                }
                reach[blob] = reach[blob].max(end);
            });
            if beyond {
                return Err(damaged("a row names a blob of a number that no pack has"));
            }
            rows += 1;
            last = row.key;
        }
        self.rows += rows;
        if rows != listed.table.rows {
            return Err(damaged("a table has another number of rows than the restore point says"));
        }
        let named: BTreeSet<PackId> = footer.packs.iter().map(|used| used.pack).collect();
        if named.len() != footer.packs.len() || named != used {
            return Err(damaged("a table footer does not name exactly the packs that its rows refer to"));
        }
        let known = |used: &PackUse| used.summary.is_known().then_some((used.pack, used.summary));
        self.summaries.extend(footer.packs.iter().filter_map(known));
        Ok(named.into_iter().collect())
    }
}

/// A reference part must be the union of what the footers of the listed tables name, and the packs of those tables.
fn compare_references(survey: &Survey, tables: &Tables, findings: &mut Findings) {
    for surveyed in &survey.points {
        let Some(point) = surveyed.point.as_ref().filter(|point| !tables.unreadable_for(point, &Class::ALL)) else {
            continue;
        };
        let mut union = PackSet::default();
        for (_, table) in point.runs.trees.iter().flat_map(|tree| tree.tables()) {
            union.add(table.pack, PackContent { data: false, tables: true });
            let named = tables.tables.get(&key_of(table)).and_then(Option::as_ref);
            for pack in named.into_iter().flatten() {
                union.add(*pack, PackContent { data: true, tables: false });
            }
        }
        if union != point.reference.packs {
            findings.add(
                &surveyed.object,
                "its reference part is not the union of the packs that its tables name: a collector could take what it needs",
                [surveyed.id],
            );
        }
    }
}
