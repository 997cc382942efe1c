//! The oracle: a tree of files as nested maps, without runs, Heads or overlays.
//!
//! In: nothing. Out: what a restore point must show. Never: knows how rows are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::SessionId;
use repository::tree::{Location, MissedWhat, PackId};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Pages of a block.
pub(crate) const BLOCK_PAGES: u64 = 256;
/// Pages of the largest file that may be inline.
pub(crate) const INLINE_PAGES_MAX: u64 = 12;
/// Pages of the largest file of the model: a bit more than two blocks, so that block boundaries are inside files.
pub(crate) const FILE_PAGES_MAX: u64 = 520;
/// The root directory.
pub(crate) const ROOT: u64 = 1;

/// A page that is not zeros: its identity is where it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) location: Location,
    pub(crate) length: u32,
}

impl Page {
    /// A signature that is a function of the content, and never 0.
    pub(crate) fn signature(&self) -> u64 {
        let location = &self.location;
        let mut mixed = u64::from(location.pack.seq) << 40
            ^ u64::from(location.blob) << 32
            ^ u64::from(location.offset)
            ^ u64::from(self.length) << 20;
        mixed = (mixed ^ mixed >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).max(1)
    }
}

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) meta: u64,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) inline: bool,
    pub(crate) pages: BTreeMap<u64, Page>,
}

impl File {
    pub(crate) fn page_count(&self) -> u64 {
        self.size.div_ceil(PAGE)
    }
}

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) meta: u64,
    pub(crate) entries: BTreeMap<Vec<u8>, u64>,
    pub(crate) missed: BTreeMap<Vec<u8>, MissedWhat>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(File),
    Directory(Directory),
}

/// Everything that a restore point shows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) nodes: BTreeMap<u64, Arc<Node>>,
    /// Handle to directory and name.
    pub(crate) handles: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    /// Hash to place and length.
    pub(crate) segments: BTreeMap<[u8; 32], (Location, u32)>,
    pub(crate) next_node: u64,
    next_blob: u32,
}

impl State {
    /// Before the first backup: not even a root.
    pub(crate) fn nothing() -> State {
        State {
            nodes: BTreeMap::new(),
            handles: BTreeMap::new(),
            segments: BTreeMap::new(),
            next_node: ROOT + 1,
            next_blob: 0,
        }
    }

    /// An empty root directory.
    pub(crate) fn empty() -> State {
        let root = Arc::new(Node::Directory(Directory::default()));
        State { nodes: BTreeMap::from([(ROOT, root)]), ..State::nothing() }
    }

    pub(crate) fn file(&self, node: u64) -> Option<&File> {
        match self.nodes.get(&node).map(Arc::as_ref) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(crate) fn file_mut(&mut self, node: u64) -> Option<&mut File> {
        match self.nodes.get_mut(&node).map(Arc::make_mut) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(crate) fn directory(&self, node: u64) -> Option<&Directory> {
        match self.nodes.get(&node).map(Arc::as_ref) {
            Some(Node::Directory(directory)) => Some(directory),
            _ => None,
        }
    }

    pub(crate) fn directory_mut(&mut self, node: u64) -> Option<&mut Directory> {
        match self.nodes.get_mut(&node).map(Arc::make_mut) {
            Some(Node::Directory(directory)) => Some(directory),
            _ => None,
        }
    }

    pub(crate) fn files(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| matches!(***node, Node::File(_))).map(|(number, _)| *number).collect()
    }

    pub(crate) fn directories(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| matches!(***node, Node::Directory(_))).map(|(number, _)| *number).collect()
    }

    /// All names: directory, name, child.
    pub(crate) fn names(&self) -> Vec<(u64, Vec<u8>, u64)> {
        let mut names = Vec::new();
        for (number, node) in &self.nodes {
            if let Node::Directory(directory) = &**node {
                names.extend(directory.entries.iter().map(|(name, child)| (*number, name.clone(), *child)));
            }
        }
        names
    }

    pub(crate) fn new_node(&mut self, node: Node) -> u64 {
        let number = self.next_node;
        self.next_node += 1;
        self.nodes.insert(number, Arc::new(node));
        number
    }

    /// A new blob; pages follow each other in it.
    pub(crate) fn new_blob(&mut self) -> Location {
        let number = self.next_blob;
        self.next_blob += 1;
        let pack = PackId { session: SessionId([(number >> 12) as u8; 16]), seq: number >> 6 };
        Location { pack, blob: number & 63, offset: 0 }
    }

    /// Takes one name of a node away; with the last one the node goes, and everything below it.
    pub(crate) fn unlink(&mut self, directory: u64, name: &[u8]) {
        let Some(child) = self.directory_mut(directory).and_then(|directory| directory.entries.remove(name)) else {
            return;
        };
        if let Some(file) = self.file_mut(child) {
            file.links -= 1;
            if file.links > 0 {
                self.settle_handle(child);
                return;
            }
        }
        let below = self.directory(child).map(|directory| directory.entries.keys().cloned().collect::<Vec<_>>());
        for name in below.unwrap_or_default() {
            self.unlink(child, &name);
        }
        self.nodes.remove(&child);
        self.handles.remove(&handle_of(child));
    }

    /// A handle that is known names one of its file's names.
    pub(crate) fn settle_handle(&mut self, node: u64) {
        let handle = handle_of(node);
        if self.handles.contains_key(&handle)
            && let Some((directory, name, _)) = self.names().into_iter().find(|(_, _, child)| *child == node)
        {
            self.handles.insert(handle, (directory, name));
        }
    }
}

/// The handle of a node: of differing lengths, so that keys of the class differ in length as well.
pub(crate) fn handle_of(node: u64) -> Vec<u8> {
    let mut handle = node.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    handle.extend(std::iter::repeat_n(7, (node % 3) as usize));
    handle
}
