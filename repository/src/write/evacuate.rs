//! Evacuate: which packs a run empties, and what lies in them.
//!
//! In: the restore point that a run continues, its space, and the packs that are damaged. Out: packs that nothing new refers to, and for every entry and block whether
//! the sweep has to write it again. Never: reads a pack. What a new point needs is what the source has, so that is where every byte comes from: a page that is written
//! again is read there, and one that turns out to differ is a change like any other. What cannot be read stays where it is, and is said to be older.
//!
//! What it costs beside the bytes: the footers ([`Space::survey`]) when the parent's hint says that there may be something to do, and one pass over the rows of blocks
//! when something is to be moved. The plan moves at least as many bytes as that pass reads, so looking never costs more than what is done.

mod plan;

use std::collections::{BTreeSet, HashSet};

use crate::Error;
use crate::point::Statistics;
use crate::quarantine::Quarantine;
use crate::tree::overlay::PageSet;
use crate::tree::{Class, Extent, Inode, PackId, Run, Value, key};

use super::parent::Parent;
use super::space::{ClassSet, Space, is_survey_due};

pub(super) use plan::SMALL_PACKS_MAX;

/// Large files with pages in packs that are emptied.
#[derive(Debug, Default)]
enum Nodes {
    /// No file has any.
    #[default]
    None,
    /// These, ascending.
    These(Vec<u64>),
    /// More than may be remembered: each has to be looked at.
    Any,
}

/// What a run empties.
#[derive(Default)]
pub(super) struct Evacuation {
    packs: HashSet<PackId>,
    nodes: Nodes,
    /// Classes that have to be merged whole, because a damaged pack is named by a table or holds one.
    must_merge: ClassSet,
    /// What is known of the parent's packs, if its footers were read.
    space: Option<Space>,
}

impl Evacuation {
    /// Decides what a run does beside its own change. `nodes_max`: so many files may be remembered.
    pub(super) fn begin(
        parent: Option<&Parent>,
        quarantine: &Quarantine,
        nodes_max: usize,
    ) -> Result<Evacuation, Error> {
        let Some(parent) = parent else { return Ok(Evacuation::default()) };
        let damaged: BTreeSet<PackId> = quarantine.iter().filter(|pack| parent.packs().contains(*pack)).collect();
        let description = &parent.point().description;
        // A clone does not tidy up after the volume that it came from.
        let new_bytes = new_bytes(&description.statistics);
        let may_tidy = !parent.is_foreign() && is_survey_due(description.space.as_ref(), new_bytes);
        if damaged.is_empty() && !may_tidy {
            return Ok(Evacuation::default());
        }
        let space = Space::survey(parent)?;
        let scan_bytes = parent.tree().of(Class::Content).iter().flatten().map(|table| table.bytes).sum();
        let moved = match may_tidy {
            true => plan::packs_to_empty(&space, &damaged, new_bytes, scan_bytes),
            false => Vec::new(),
        };
        let mut must_merge = ClassSet::default();
        for pack in damaged.iter().filter_map(|pack| space.packs.get(pack)) {
            let concerned = |class: &Class| pack.named_by.contains(*class) || pack.holds.contains(*class);
            Class::ALL.into_iter().filter(concerned).for_each(|class| must_merge.insert(class));
        }
        let packs: HashSet<PackId> = damaged.iter().copied().chain(moved).collect();
        if !packs.is_empty() {
            tracing::info!(packs = packs.len(), damaged = damaged.len(), "what these packs hold is written again");
        }
        let named = |pack: &PackId| space.packs.get(pack).is_some_and(|pack| pack.named_by.contains(Class::Content));
        let nodes = if packs.iter().any(named) { nodes_in(parent, &packs, nodes_max)? } else { Nodes::None };
        Ok(Evacuation { packs, nodes, must_merge, space: Some(space) })
    }

    /// The packs that are emptied: nothing new refers to them.
    pub(super) fn packs(&self) -> &HashSet<PackId> {
        &self.packs
    }

    /// What is known of the parent's packs.
    pub(super) fn space(&self) -> Option<&Space> {
        self.space.as_ref()
    }

    /// True if all runs of a class have to become one, so that the new point names no damaged pack.
    pub(super) fn must_merge(&self, class: Class) -> bool {
        self.must_merge.contains(class)
    }

    /// True if a row has to be written again.
    pub(super) fn concerns(&self, inode: &Inode) -> bool {
        let mut concerned = false;
        if !self.packs.is_empty() {
            inode.visit_locations(|location, _| concerned |= self.packs.contains(&location.pack));
        }
        concerned
    }

    /// True if the content of a small file has to be.
    pub(super) fn concerns_content(&self, inode: &Inode) -> bool {
        inode.inline.as_ref().is_some_and(|inline| !self.pages(&inline.extents).is_empty())
    }

    /// True if a large file may have blocks to be written again.
    pub(super) fn may_concern(&self, node: u64) -> bool {
        match &self.nodes {
            Nodes::None => false,
            Nodes::These(nodes) => nodes.binary_search(&node).is_ok(),
            Nodes::Any => true,
        }
    }

    /// The pages of a block that have to be written again.
    pub(super) fn pages(&self, extents: &[Extent]) -> PageSet {
        let mut pages = PageSet::default();
        let leaves = |extent: &&Extent| extent.source.is_some_and(|source| self.packs.contains(&source.pack));
        for extent in extents.iter().filter(leaves) {
            (extent.first_page..extent.end_page()).for_each(|page| pages.insert(page));
        }
        pages
    }
}

/// Of what a run has stored, the content that was new then.
fn new_bytes(of: &Statistics) -> u64 {
    let content = of.bytes_stored.saturating_sub(of.bytes_stored_metadata);
    let share = u128::from(content) * u128::from(of.bytes_new) / u128::from((of.bytes_new + of.bytes_moved).max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The files that have blocks in these packs: one pass over the rows of blocks.
fn nodes_in(parent: &Parent, packs: &HashSet<PackId>, nodes_max: usize) -> Result<Nodes, Error> {
    let mut nodes: Vec<u64> = Vec::new();
    let mut rows = parent.read(Class::Content);
    while let Some(row) = rows.next()? {
        let (Value::Block(extents), Some(node)) = (&row.value, key::node_of(Class::Content, &row.key)) else {
            continue;
        };
        let here = |extent: &Extent| extent.source.is_some_and(|source| packs.contains(&source.pack));
        if nodes.last() != Some(&node) && extents.iter().any(here) {
            if nodes.len() == nodes_max {
                return Ok(Nodes::Any);
            }
            nodes.push(node);
        }
    }
    Ok(if nodes.is_empty() { Nodes::None } else { Nodes::These(nodes) })
}
