//! Parent: the restore point that a backup continues.
//!
//! In: a pinned point. Out: its rows, by sequence or by key, and the packs that may be referred to. Never: anything that the pin does not protect.

use std::sync::Arc;

use model::VolumeId;

use crate::Error;
use crate::domain::Domain;
use crate::point::{PackSet, Point, TreeRuns};
use crate::session::{PointId, read_point};
use crate::table::{TableRun, TableSource};
use crate::tree::{Class, Extent, Inode, Merged, Mode, Run, Signs, Sum, Value, key};

use super::ascending::Ascending;

/// A pinned restore point, open.
pub(super) struct Parent {
    id: PointId,
    point: Point,
    tables: Arc<TableSource>,
    is_foreign: bool,
}

impl Parent {
    /// Reads the point for a backup of `volume`; fails if it has another number of trees than one.
    pub(super) fn open(domain: &Domain, volume: VolumeId, id: PointId, window_bytes: u64) -> Result<Parent, Error> {
        let point = read_point(domain, id)?;
        if point.runs.trees.len() != 1 {
            return Err(Error::Invalid(format!(
                "restore point {} has {} trees; this program continues points of one",
                id.session,
                point.runs.trees.len()
            )));
        }
        let tables = Arc::new(TableSource::new(domain, &point.runs.packs, window_bytes));
        Ok(Parent { id, point, tables, is_foreign: id.volume != volume })
    }

    /// True if it is a state of another volume: a basis to compare with, of whose stamps and handles nothing follows.
    pub(super) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    pub(super) fn id(&self) -> PointId {
        self.id
    }

    pub(super) fn point(&self) -> &Point {
        &self.point
    }

    pub(super) fn tree(&self) -> &TreeRuns {
        // `open` made sure that there is exactly one.
        &self.point.runs.trees[0]
    }

    pub(super) fn packs(&self) -> &PackSet {
        &self.point.reference.packs
    }

    /// Where its tables are read from.
    pub(super) fn tables(&self) -> &Arc<TableSource> {
        &self.tables
    }

    /// The runs of one class, newest first, each at its first row.
    pub(super) fn runs(&self, class: Class) -> Vec<TableRun> {
        self.tree().of(class).iter().map(|tables| TableRun::new(class, self.tables.clone(), tables.clone())).collect()
    }

    /// What a reader sees of one class.
    pub(super) fn read(&self, class: Class) -> Merged<TableRun> {
        Merged::new(class, self.runs(class), Mode::Read)
    }
}

/// Look-ups of single nodes in the parent; each class has a cursor of its own that remembers where it was.
pub(super) struct Lookup {
    tree: Merged<TableRun>,
    content: Merged<TableRun>,
    signs: Merged<TableRun>,
    /// Beside `content`, because sums are looked up in between.
    blocks: Ascending,
}

impl Lookup {
    pub(super) fn new(parent: &Parent) -> Lookup {
        Lookup {
            tree: parent.read(Class::Tree),
            content: parent.read(Class::Content),
            signs: parent.read(Class::Sign),
            blocks: Ascending::new(parent.read(Class::Content)),
        }
    }

    /// The first block from this one on of which the file has something: its number and its extents. Blocks are best asked for in ascending order.
    pub(super) fn next_block(&mut self, node: u64, block: u64) -> Result<Option<(u64, &[Extent])>, Error> {
        let Some(row) = self.blocks.first_from(&key::block(node, block))? else { return Ok(None) };
        let same_node = key::node_of(Class::Content, &row.key) == Some(node);
        Ok(match (key::block_of(Class::Content, &row.key), &row.value) {
            (Some(block), Value::Block(extents)) if same_node => Some((block, extents)),
            _ => None,
        })
    }

    /// The signatures of one block of a file.
    pub(super) fn signs_of(&mut self, node: u64, block: u64) -> Result<Option<Signs>, Error> {
        self.signs.seek(&key::sign(node, block))?;
        Ok(self.next_signs(node)?.filter(|(found, _)| *found == block).map(|(_, signs)| signs))
    }

    /// The inode of a file with several links, or of the root.
    pub(super) fn inode(&mut self, node: u64) -> Result<Option<Inode>, Error> {
        let wanted = key::inode(node);
        self.tree.seek(&wanted)?;
        Ok(match self.tree.next()? {
            Some(row) if row.key == wanted => match row.value {
                Value::Inode(inode) => Some(inode),
                _ => None,
            },
            _ => None,
        })
    }

    /// The sum of a file's pages.
    pub(super) fn sum(&mut self, node: u64) -> Result<Option<Sum>, Error> {
        let wanted = key::sum(node);
        self.content.seek(&wanted)?;
        Ok(match self.content.next()? {
            Some(row) if row.key == wanted => match row.value {
                Value::Sum(sum) => Some(sum),
                _ => None,
            },
            _ => None,
        })
    }

    /// Goes to the first page signatures of a file from this block on.
    pub(super) fn go_to_signs(&mut self, node: u64, block: u64) -> Result<(), Error> {
        self.signs.seek(&key::sign(node, block))
    }

    /// The signatures of the next block of the file that has any.
    pub(super) fn next_signs(&mut self, node: u64) -> Result<Option<(u64, Signs)>, Error> {
        Ok(match self.signs.next()? {
            Some(row) if key::node_of(Class::Sign, &row.key) == Some(node) => {
                match (key::block_of(Class::Sign, &row.key), row.value) {
                    (Some(block), Value::Sign(signs)) => Some((block, signs)),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}
