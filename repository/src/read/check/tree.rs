//! Every point's tree as a reader sees it: inodes, sums and signatures agree; which paths need what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crate::Error;
use crate::domain::Domain;
use crate::hash::{BLOCK_PAGES, PageSum};
use crate::point::TreeRuns;
use crate::read::cursor::NodeCursor;
use crate::read::view::{Found, View};
use crate::source::FileType;
use crate::tree::overlay::{Place, place_of};
use crate::tree::{AttributeValue, Class, Extent, Row, Signs, Sum, Value, key};

use super::findings::Findings;
use super::packs::BadPacks;
use super::survey::{Survey, Surveyed};
use super::tables::Tables;
use super::{AFFECTED_PATHS_MAX, Affected, CheckOptions, check_cancel};

/// How much of a table is read with one request.
const WINDOW_BYTES: u64 = 2 << 20;

/// Looks at all points; returns those that cannot be restored completely.
pub(super) fn affected(
    domain: &Domain,
    options: &CheckOptions,
    survey: &Survey,
    (tables, bad): (&Tables, &BadPacks),
    findings: &mut Findings,
) -> Result<Vec<Affected>, Error> {
    let mut affected = Vec::new();
    // A run that changed nothing made a point with the same tables: what is true of one is true of the other.
    let mut before: Option<(&TreeRuns, Paths)> = None;
    for surveyed in &survey.points {
        check_cancel(options)?;
        let runs = surveyed.point.as_ref().and_then(|point| point.runs.trees.first());
        let same = before.take().filter(|(seen, _)| Some(*seen) == runs).map(|(_, paths)| paths);
        let paths = match (same, &surveyed.point) {
            (Some(paths), _) => paths,
            // Rows of the other classes serve writers; no restore needs them.
            (None, Some(point)) if !tables.unreadable_for(point, &[Class::Tree, Class::Content]) => {
                let with_signs = !tables.unreadable_for(point, &[Class::Sign]);
                look(domain, (options, with_signs), surveyed, bad, findings)?
            }
            (None, _) => Paths::everything(),
        };
        if paths.count > 0 {
            affected.push(of_point(surveyed, &paths));
        }
        before = runs.map(|runs| (runs, paths));
        options.progress.points.fetch_add(1, Ordering::Relaxed);
    }
    Ok(affected)
}

/// The points that need a bad pack, or cannot be opened themselves; their metadata is not read.
pub(super) fn affected_by_objects(survey: &Survey, bad: &BadPacks) -> Vec<Affected> {
    let needing: BTreeSet<_> =
        bad.iter().flat_map(|pack| survey.needing(pack)).map(|id| (id.volume, id.session)).collect();
    let is_affected =
        |surveyed: &&Surveyed| surveyed.point.is_none() || needing.contains(&(surveyed.id.volume, surveyed.id.session));
    survey.points.iter().filter(is_affected).map(|surveyed| of_point(surveyed, &Paths::everything())).collect()
}

fn of_point(surveyed: &Surveyed, paths: &Paths) -> Affected {
    Affected {
        point: surveyed.id,
        volume: match &surveyed.point {
            Some(point) => point.description.volume.name.clone(),
            None => surveyed.id.volume.to_string(),
        },
        paths: paths.named.clone(),
        paths_count: paths.count,
    }
}

/// Paths that are affected: the first of them, and how many.
#[derive(Clone, Debug, Default)]
struct Paths {
    named: Vec<String>,
    count: u64,
}

impl Paths {
    fn everything() -> Paths {
        Paths { named: vec![".".into()], count: 1 }
    }

    fn add(&mut self, path: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < AFFECTED_PATHS_MAX {
            self.named.push(path());
        }
    }
}

fn look(
    domain: &Domain,
    (options, with_signs): (&CheckOptions, bool),
    surveyed: &Surveyed,
    bad: &BadPacks,
    findings: &mut Findings,
) -> Result<Paths, Error> {
    let looked = findings.twice(&surveyed.object, || {
        let view = View::open(domain, surveyed.id, WINDOW_BYTES)?;
        let contents = Contents::read(&view, options, bad, with_signs)?;
        walk(&view, options, bad, &contents)
    });
    match looked {
        Ok((paths, wrong)) => {
            for what in wrong {
                findings.add(&surveyed.object, &what, [surveyed.id]);
            }
            Ok(paths)
        }
        // Removed since it was listed.
        Err(Error::Missing(_)) => Ok(Paths::default()),
        Err(error) => {
            findings.add_error(&surveyed.object, error, [surveyed.id])?;
            Ok(Paths::everything())
        }
    }
}

/// What is wrong with a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It lies in something damaged.
    Lost,
    /// Its rows contradict each other.
    Rows,
}

/// What the classes content and sign say of nodes.
#[derive(Default)]
struct Contents {
    /// Nodes that have a sum, 64 per entry.
    sums: BTreeMap<u64, u64>,
    troubles: BTreeMap<u64, Trouble>,
}

impl Contents {
    fn has_sum(&self, node: u64) -> bool {
        self.sums.get(&(node / 64)).is_some_and(|bits| bits >> (node % 64) & 1 == 1)
    }

    /// Streams both classes side by side; without signatures, which some table has lost, rows cannot contradict each other.
    fn read(view: &View, options: &CheckOptions, bad: &BadPacks, with_signs: bool) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        let mut rows = view.cursor(Class::Content);
        let mut signs = SignStream::new(with_signs.then(|| view.cursor(Class::Sign)));
        let (mut node, mut next) = (0, rows.next_of_any()?);
        while let Some(row) = next {
            check_cancel(options)?;
            let of = key::node_of(Class::Content, &row.key).unwrap_or(0);
            if of != node {
                contents.end_of(node, &mut signs, view)?;
                node = of;
                signs.go(node)?;
            }
            contents.row(&row, &mut signs, view, bad)?;
            next = rows.next_of_any()?;
        }
        contents.end_of(node, &mut signs, view)?;
        Ok(contents)
    }

    fn row(&mut self, row: &Row, signs: &mut SignStream, view: &View, bad: &BadPacks) -> Result<(), Error> {
        match (key::block_of(Class::Content, &row.key), &row.value) {
            (Some(block), Value::Block(extents)) => {
                signs.up_to(block, view)?;
                if let Some(here) = signs.take(block, view)? {
                    let named = |page: u16| matches!(place_of(extents, page), Place::Stored { .. });
                    if here.pages().any(|(page, signature)| signature != 0 && !named(page)) {
                        signs.contradiction = true;
                    }
                }
                if !bad.is_empty() && lies_in(extents, bad) {
                    self.troubles.insert(signs.node, Trouble::Lost);
                }
            }
            (_, Value::Sum(sum)) => {
                signs.up_to(u64::MAX, view)?;
                *self.sums.entry(signs.node / 64).or_default() |= 1 << (signs.node % 64);
                let Sum { pages, sum: total, .. } = *sum;
                if signs.sum != (PageSum { pages, sum: total }) {
                    signs.contradiction = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of(&mut self, node: u64, signs: &mut SignStream, view: &View) -> Result<(), Error> {
        if node == 0 {
            return Ok(());
        }
        signs.up_to(u64::MAX, view)?;
        if signs.contradiction && signs.rows.is_some() {
            self.troubles.insert(node, Trouble::Rows);
        }
        Ok(())
    }
}

fn lies_in(extents: &[Extent], bad: &BadPacks) -> bool {
    extents.iter().filter_map(|extent| extent.source.as_ref()).any(|at| bad.contains(at))
}

/// The signatures of one node after another, summed up on the way.
struct SignStream {
    /// `None`: they are not at hand.
    rows: Option<NodeCursor>,
    node: u64,
    next: Option<(u64, Signs)>,
    sum: PageSum,
    /// Rows of this node that cannot be true together.
    contradiction: bool,
}

impl SignStream {
    fn new(rows: Option<NodeCursor>) -> SignStream {
        SignStream { rows, node: 0, next: None, sum: PageSum::default(), contradiction: false }
    }

    fn go(&mut self, node: u64) -> Result<(), Error> {
        (self.node, self.sum, self.contradiction) = (node, PageSum::default(), false);
        if let Some(rows) = &mut self.rows {
            rows.go(node)?;
        }
        self.read()
    }

    fn read(&mut self) -> Result<(), Error> {
        self.next = None;
        let Some(rows) = &mut self.rows else { return Ok(()) };
        while let Some(row) = rows.next()? {
            if let (Some(block), Value::Sign(signs)) = (key::block_of(Class::Sign, &row.key), row.value) {
                self.next = Some((block, signs));
                break;
            }
        }
        Ok(())
    }

    /// The signatures of a block, counted in.
    fn take(&mut self, block: u64, view: &View) -> Result<Option<Signs>, Error> {
        let Some((_, signs)) = self.next.take_if(|(at, _)| *at == block) else { return Ok(None) };
        self.count(block, &signs, view);
        self.read()?;
        Ok(Some(signs))
    }

    /// Counts the blocks below one in; they have signatures but no content.
    fn up_to(&mut self, block: u64, view: &View) -> Result<(), Error> {
        while let Some((at, signs)) = self.next.take_if(|(at, _)| *at < block) {
            self.contradiction |= signs.pages().any(|(_, signature)| signature != 0);
            self.count(at, &signs, view);
            self.read()?;
        }
        Ok(())
    }

    fn count(&mut self, block: u64, signs: &Signs, view: &View) {
        let hashing = view.domain().hashing();
        for (page, signature) in signs.pages() {
            self.sum.add(hashing, block * BLOCK_PAGES as u64 + u64::from(page), signature);
        }
    }
}

/// Names what is affected, and what is wrong with the rows themselves.
fn walk(
    view: &View,
    options: &CheckOptions,
    bad: &BadPacks,
    contents: &Contents,
) -> Result<(Paths, Vec<String>), Error> {
    let (mut paths, mut wrong) = (Paths::default(), Vec::new());
    let root = view.root()?;
    if attributes_lie_in(&root, bad) {
        paths.add(|| ".".into());
    }
    for visited in view.walk(&root)? {
        check_cancel(options)?;
        let visited = visited?;
        let trouble = trouble_of(&visited.found, contents, bad);
        if trouble == Some(Trouble::Rows) {
            wrong.push(format!(
                "the rows of {} contradict each other: its sum, its signatures and its extents do not agree",
                visited.display()
            ));
        }
        if trouble.is_some() {
            paths.add(|| visited.display());
        }
    }
    wrong.truncate(AFFECTED_PATHS_MAX);
    Ok((paths, wrong))
}

fn trouble_of(found: &Found, contents: &Contents, bad: &BadPacks) -> Option<Trouble> {
    if attributes_lie_in(found, bad) {
        return Some(Trouble::Lost);
    }
    if found.file_type != FileType::Regular {
        return None;
    }
    match &found.inode.inline {
        Some(inline) => lies_in(&inline.extents, bad).then_some(Trouble::Lost),
        None if found.inode.size > 0 && !found.inode.mixed && !contents.has_sum(found.node) => Some(Trouble::Rows),
        None => contents.troubles.get(&found.node).copied(),
    }
}

fn attributes_lie_in(found: &Found, bad: &BadPacks) -> bool {
    !bad.is_empty()
        && found.inode.attributes.iter().any(|attribute| match &attribute.value {
            AttributeValue::Inline(_) => false,
            AttributeValue::Stored { extents, .. } => lies_in(extents, bad),
        })
}
