//! Walk: every entry below a directory, directory by directory.
//!
//! In: a view and where to begin. Out: directories in the order of their nodes, in each the entries in the order of their names: the order in which they lie in
//! the metadata and, for the most part, in the packs. Never: more in memory than the directories' names, 40 bytes each and the names themselves.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use crate::Error;
use crate::source::FileType;

use super::path::PathBytes;
use super::view::{Child, DirectoryRows, Found, Item, View};

/// Directories by number, each with its parent and its name. Number 0 is where the walk began.
#[derive(Default)]
pub(super) struct Directories {
    nodes: Vec<u64>,
    parents: Vec<u32>,
    depths: Vec<u32>,
    name_ends: Vec<u64>,
    names: Vec<u8>,
}

impl Directories {
    /// Only the directory where a walk begins.
    pub(super) fn root(node: u64) -> Result<Directories, Error> {
        let mut directories = Directories::default();
        directories.add(node, 0, 0, b"")?;
        Ok(directories)
    }

    fn add(&mut self, node: u64, parent: u32, depth: u32, name: &[u8]) -> Result<u32, Error> {
        let number = u32::try_from(self.nodes.len())
            .map_err(|_| Error::Invalid("more than 2^32 directories cannot be walked at once".into()))?;
        self.nodes.push(node);
        self.parents.push(parent);
        self.depths.push(depth);
        self.names.extend_from_slice(name);
        self.name_ends.push(self.names.len() as u64);
        Ok(number)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, number: u32) -> u64 {
        self.nodes.get(number as usize).copied().unwrap_or(0)
    }

    /// How far below the beginning of the walk.
    pub(super) fn depth(&self, number: u32) -> u32 {
        self.depths.get(number as usize).copied().unwrap_or(0)
    }

    fn name(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.name_ends.get(before)).copied().unwrap_or(0);
        let end = self.name_ends.get(number).copied().unwrap_or(start);
        self.names.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Names from the beginning of the walk to a directory.
    pub(super) fn path(&self, number: u32) -> PathBytes {
        let mut chain = Vec::with_capacity(self.depth(number) as usize);
        let mut at = number;
        // A parent has a lower number than its children, so this ends at 0.
        while at > 0 {
            chain.push(at);
            at = self.parents.get(at as usize).copied().unwrap_or(0);
        }
        let mut path = PathBytes::default();
        chain.iter().rev().for_each(|number| path.push(self.name(*number)));
        path
    }

    /// Names from the beginning of the walk to an entry of a directory.
    pub(super) fn path_of(&self, number: u32, name: &[u8]) -> PathBytes {
        let mut path = self.path(number);
        path.push(name);
        path
    }
}

/// Visits directories; the caller says which children are to be visited too.
pub(super) struct Walker<'a> {
    rows: DirectoryRows<'a>,
    pub(super) directories: Directories,
    /// To be visited, by node.
    pending: BTreeMap<u64, u32>,
    seen: HashSet<u64>,
    current: u32,
    node: u64,
    /// The rows stand at the directory being visited.
    placed: bool,
}

impl<'a> Walker<'a> {
    /// Begins at a directory.
    pub(super) fn new(view: &'a View, node: u64) -> Result<Walker<'a>, Error> {
        Ok(Walker {
            rows: DirectoryRows::new(view),
            directories: Directories::root(node)?,
            pending: BTreeMap::from([(node, 0)]),
            seen: HashSet::from([node]),
            current: 0,
            node: 0,
            placed: false,
        })
    }

    /// Goes to the next directory: upwards by node, and from the lowest again when there is none above, so that nearly everything is one stream.
    pub(super) fn next_directory(&mut self) -> Option<u32> {
        let above = self.pending.range((Bound::Excluded(self.node), Bound::Unbounded)).next();
        let (node, number) = above.or_else(|| self.pending.iter().next()).map(|(node, number)| (*node, *number))?;
        self.pending.remove(&node);
        (self.node, self.current, self.placed) = (node, number, false);
        Some(number)
    }

    /// After a failure: the directory being visited is given up, the others can be visited.
    pub(super) fn give_up(&mut self) {
        self.rows = DirectoryRows::new(self.rows.view());
    }

    /// The next row of the directory being visited.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Error> {
        if !self.placed {
            self.rows.go(self.node)?;
            self.placed = true;
        }
        self.rows.next()
    }

    /// A child of the directory being visited is to be visited too.
    pub(super) fn descend(&mut self, child: &Child) -> Result<u32, Error> {
        let node = child.found.node;
        if !self.seen.insert(node) {
            let path = self.directories.path_of(self.current, &child.name);
            return Err(self
                .rows
                .view()
                .damaged(format!("directory {} is in two places (node {node})", path.display())));
        }
        let depth = self.directories.depth(self.current) + 1;
        let number = self.directories.add(node, self.current, depth, &child.name)?;
        self.pending.insert(node, number);
        Ok(number)
    }
}

/// An entry that a walk came to.
#[derive(Clone, Debug)]
pub struct Visited {
    /// Its names from where the walk began.
    pub path: Vec<Vec<u8>>,
    /// What it is.
    pub found: Found,
    /// True if it may have several names.
    pub shared: bool,
}

/// All entries below a directory, which itself is not among them. See [`View::walk`].
pub struct Walk<'a> {
    walker: Walker<'a>,
    prefix: PathBytes,
    started: bool,
}

impl View {
    /// Every entry below a directory: directories in the order of their nodes, in each the entries in the order of their names.
    pub fn walk(&self, directory: &Found) -> Result<Walk<'_>, Error> {
        if directory.file_type != FileType::Directory {
            return Err(Error::Invalid("only a directory can be walked".into()));
        }
        Ok(Walk { walker: Walker::new(self, directory.node)?, prefix: PathBytes::default(), started: false })
    }
}

impl Walk<'_> {
    fn step(&mut self) -> Result<Option<Visited>, Error> {
        loop {
            if self.started {
                match self.walker.next()? {
                    Some(Item::Child(child)) => {
                        if child.found.file_type == FileType::Directory {
                            self.walker.descend(&child)?;
                        }
                        let mut path: Vec<Vec<u8>> = self.prefix.names().into_iter().map(<[u8]>::to_vec).collect();
                        path.push(child.name);
                        return Ok(Some(Visited { path, found: child.found, shared: child.shared }));
                    }
                    Some(Item::Missed(..)) => continue,
                    Some(Item::Unreadable(_, error)) => return Err(error),
                    None => {}
                }
            }
            let Some(number) = self.walker.next_directory() else { return Ok(None) };
            (self.prefix, self.started) = (self.walker.directories.path(number), true);
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Visited, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
