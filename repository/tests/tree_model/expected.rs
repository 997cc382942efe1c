//! Expected: what a reader must see of a state, as plain rows.
//!
//! In: the oracle. Out: per class the visible rows in order of keys, extents taken apart into pages. Never: uses the code under test, beyond the names of types and the building of keys.

use std::collections::BTreeMap;

use repository::tree::row::{FileType, Time};
use repository::tree::{Entry, Inline, Inode, Missed, Row, Sum, Value, key};

use crate::state::{BLOCK_PAGES, Directory, File, Node, Page, ROOT, State};
use crate::writer::extents_of;

/// The inode of a file.
pub(crate) fn file_inode(file: &File) -> Inode {
    let inline = file.inline.then(|| {
        let pages: Vec<(u64, Option<Page>)> = file.pages.iter().map(|(page, place)| (*page, Some(*place))).collect();
        Inline {
            signature: file.pages.values().fold(0, |sum: u64, page| sum.wrapping_add(page.signature())),
            extents: extents_of(&pages, None),
        }
    });
    let mtime = Time { seconds: (file.meta as i64) >> 8, nanoseconds: (file.meta & 0xff) as u32 };
    Inode { mode: 0o640, uid: 1000, gid: 1000, size: file.size, links: file.links, mtime, inline, ..Inode::default() }
}

fn directory_inode(directory: &Directory) -> Inode {
    Inode {
        mode: 0o755,
        links: 2,
        mtime: Time { seconds: (directory.meta as i64) >> 8, nanoseconds: 0 },
        ..Inode::default()
    }
}

fn entry(state: &State, child: u64) -> Entry {
    match state.nodes.get(&child).map(|node| &**node) {
        Some(Node::Directory(directory)) => {
            Entry { child, file_type: FileType::Directory, inode: Some(directory_inode(directory)) }
        }
        Some(Node::File(file)) => {
            let inode = (file.links == 1).then(|| file_inode(file));
            Entry { child, file_type: FileType::Regular, inode }
        }
        None => panic!("the oracle has a name without a node"),
    }
}

/// Rows of the class tree that belong to one node.
pub(crate) fn tree_rows(state: &State, node: u64) -> Vec<Row> {
    let row = |key, value| Row { key, value };
    match state.nodes.get(&node).map(|node| &**node) {
        None => Vec::new(),
        Some(Node::File(file)) if file.links > 1 => vec![row(key::inode(node), Value::Inode(file_inode(file)))],
        Some(Node::File(_)) => Vec::new(),
        Some(Node::Directory(directory)) => {
            let inode = (node == ROOT).then(|| row(key::inode(node), Value::Inode(directory_inode(directory))));
            let entries = directory
                .entries
                .iter()
                .map(|(name, child)| row(key::entry(node, name), Value::Entry(entry(state, *child))));
            let missed = directory
                .missed
                .iter()
                .map(|(name, what)| row(key::missed(node, name), Value::Missed(Missed::new(*what, "busy"))));
            inode.into_iter().chain(entries).chain(missed).collect()
        }
    }
}

/// Rows of the class handle.
pub(crate) fn handle_rows(state: &State) -> Vec<Row> {
    let row = |(handle, (directory, name)): (&Vec<u8>, &(u64, Vec<u8>))| {
        let value = Value::Node { directory: *directory, name: name.clone() };
        Row { key: key::handle(handle), value }
    };
    let mut rows: Vec<Row> = state.handles.iter().map(row).collect();
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    rows
}

/// Rows of the class segment.
pub(crate) fn segment_rows(state: &State) -> Vec<Row> {
    let row = |(hash, (location, length)): (&[u8; 32], &(_, u32))| Row {
        key: key::segment(hash),
        value: Value::Segment { location: *location, length: *length },
    };
    state.segments.iter().map(row).collect()
}

/// The sum over the pages of a file, with a term of the model's own.
pub(crate) fn sum_of(pages: &BTreeMap<u64, Page>, size: u64) -> Sum {
    let mut sum = Sum { blocks: size.div_ceil(BLOCK_PAGES * crate::state::PAGE), ..Sum::default() };
    for (page, place) in pages {
        sum = add_page(sum, *page, place.signature());
    }
    sum
}

/// Counts one page in.
pub(crate) fn add_page(sum: Sum, page: u64, signature: u64) -> Sum {
    let term = u128::from(signature)
        .wrapping_mul(0x1000_0000_01b3)
        .wrapping_add(u128::from(page) << 64 | u128::from(page * page));
    Sum { pages: sum.pages + 1, sum: sum.sum.wrapping_add(term), blocks: sum.blocks }
}
