//! Diff: what differs between two restore points.
//!
//! In: two views of one domain. Out: entries that only one of them has, or that differ, directory by directory, in each by name. Never: reads content that signatures
//! tell apart, or holds more than the directories' names.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Error;
use crate::hash::{BLOCK_PAGES, PAGE_BYTES, PageSum};
use crate::source::FileType;
use crate::tree::{Attribute, AttributeValue, Class, Inode, Sum, Value, key};

use super::cat::inline_bytes;
use super::content::ContentReader;
use super::cursor::NodeCursor;
use super::path::display_path;
use super::view::{Child, DirectoryRows, Found, Item, View};

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Its content, link target or device number.
    pub content: bool,
    /// Its mode, owner, time or extended attributes.
    pub metadata: bool,
}

/// What happened to a path from the first restore point to the second.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Only the second has it.
    Added(Found),
    /// Only the first has it.
    Removed(Found),
    /// It is of another type.
    Type {
        /// In the first.
        before: Found,
        /// In the second.
        after: Found,
    },
    /// Both have it.
    Changed {
        /// In the first.
        before: Found,
        /// In the second.
        after: Found,
        /// How it differs.
        changes: Changes,
    },
}

/// Where differences go, each with its path from the root. An error ends the comparison.
pub type DifferenceSink<'s> = &'s mut dyn FnMut(&[Vec<u8>], Difference) -> Result<(), Error>;

/// Shows everything that differs between `a` and `b`, two restore points of one domain. Below a directory that only one of them has, every entry is shown.
pub fn diff(a: &View, b: &View, sink: DifferenceSink<'_>) -> Result<(), Error> {
    if a.domain().id() != b.domain().id() || a.domain().repository() != b.domain().repository() {
        return Err(Error::Invalid(
            "restore points of different domains cannot be compared: nothing in them is named alike".into(),
        ));
    }
    let (root_a, root_b) = (a.root()?, b.root()?);
    let mut both = Both { a: Side::new(a), b: Side::new(b), pending: BTreeMap::new() };
    let changes = both.compare(&root_a, &root_b)?;
    if changes.content || changes.metadata {
        sink(&[], Difference::Changed { before: root_a, after: root_b, changes })?;
    }
    both.pending.insert((key::ROOT_NODE, key::ROOT_NODE), Vec::new());
    both.run(sink)
}

/// One restore point of the two.
struct Side<'a> {
    view: &'a View,
    rows: DirectoryRows<'a>,
    contents: NodeCursor,
    reader: ContentReader<'a>,
    ahead: Option<Child>,
}

impl<'a> Side<'a> {
    fn new(view: &'a View) -> Side<'a> {
        Side {
            view,
            rows: DirectoryRows::new(view),
            contents: view.cursor(Class::Content),
            reader: ContentReader::new(view),
            ahead: None,
        }
    }

    /// Goes to a directory; 0: this side has none there.
    fn go(&mut self, directory: u64) -> Result<(), Error> {
        self.ahead = None;
        if directory == 0 {
            return Ok(());
        }
        self.rows.go(directory)?;
        self.read()
    }

    fn read(&mut self) -> Result<(), Error> {
        self.ahead = match self.rows.next()? {
            Some(Item::Child(child)) => Some(child),
            Some(Item::Unreadable(_, error)) => return Err(error),
            // Missed rows follow the entries.
            _ => None,
        };
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Child>, Error> {
        let child = self.ahead.take();
        if child.is_some() {
            self.read()?;
        }
        Ok(child)
    }

    fn sum(&mut self, node: u64) -> Result<Option<Sum>, Error> {
        Ok(match self.contents.find(&key::sum(node))? {
            Some(row) => match row.value {
                Value::Sum(sum) => Some(sum),
                _ => None,
            },
            None => None,
        })
    }

    fn attribute(&mut self, attribute: &Attribute) -> Result<Vec<u8>, Error> {
        match &attribute.value {
            AttributeValue::Inline(value) => Ok(value.clone()),
            AttributeValue::Stored { length, extents } => self.reader.assemble(extents, *length as usize),
        }
    }

    /// The sum that a small file would have if it were a large one.
    fn sum_of_inline(&mut self, found: &Found) -> Result<Sum, Error> {
        let extents = found.inode.inline.as_ref().map(|inline| inline.extents.clone()).unwrap_or_default();
        let bytes = self.reader.assemble(&extents, inline_bytes(self.view, found, "a file")?)?;
        let (hashing, mut sum) = (self.view.domain().hashing(), PageSum::default());
        for (page, content) in bytes.chunks(PAGE_BYTES).enumerate() {
            sum.add(hashing, page as u64, hashing.signature(content));
        }
        let blocks = (bytes.len().div_ceil(PAGE_BYTES * BLOCK_PAGES)) as u64;
        Ok(Sum { pages: sum.pages, sum: sum.sum, blocks })
    }
}

struct Both<'a> {
    a: Side<'a>,
    b: Side<'a>,
    /// Pairs of directories that are still to be compared, by their nodes (0: not there), with their paths.
    pending: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
}

impl Both<'_> {
    fn run(&mut self, sink: DifferenceSink<'_>) -> Result<(), Error> {
        let mut at = (0, 0);
        loop {
            // Upwards by node, and from the lowest again: nearly one stream.
            let above = self.pending.range((Bound::Excluded(at), Bound::Unbounded)).next();
            let Some(pair) = above.or_else(|| self.pending.iter().next()).map(|(pair, _)| *pair) else { return Ok(()) };
            let path = self.pending.remove(&pair).unwrap_or_default();
            at = pair;
            self.directory(pair, path, sink)?;
        }
    }

    fn directory(&mut self, pair: (u64, u64), mut path: Vec<Vec<u8>>, sink: DifferenceSink<'_>) -> Result<(), Error> {
        self.a.go(pair.0)?;
        self.b.go(pair.1)?;
        loop {
            let order = match (&self.a.ahead, &self.b.ahead) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.name.cmp(&b.name),
            };
            let before = if order.is_le() { self.a.take()? } else { None };
            let after = if order.is_ge() { self.b.take()? } else { None };
            let Some(name) = before.as_ref().or(after.as_ref()).map(|child| child.name.clone()) else { return Ok(()) };
            path.push(name);
            self.entry(before.map(|child| child.found), after.map(|child| child.found), &path, sink)?;
            path.pop();
        }
    }

    fn entry(
        &mut self,
        before: Option<Found>,
        after: Option<Found>,
        path: &[Vec<u8>],
        sink: DifferenceSink<'_>,
    ) -> Result<(), Error> {
        let directory = |found: &Option<Found>| {
            found.as_ref().filter(|found| found.file_type == FileType::Directory).map_or(0, |found| found.node)
        };
        let pair = (directory(&before), directory(&after));
        let difference = match (before, after) {
            (None, Some(after)) => Some(Difference::Added(after)),
            (Some(before), None) => Some(Difference::Removed(before)),
            (Some(before), Some(after)) if before.file_type != after.file_type => {
                Some(Difference::Type { before, after })
            }
            (Some(before), Some(after)) => {
                let changes = self.compare(&before, &after).map_err(|error| in_path(error, path))?;
                let differs = changes.content || changes.metadata;
                differs.then_some(Difference::Changed { before, after, changes })
            }
            (None, None) => None,
        };
        if let Some(difference) = difference {
            sink(path, difference)?;
        }
        if pair != (0, 0) && self.pending.insert(pair, path.to_vec()).is_some() {
            let shown = display_path(path.iter().map(Vec::as_slice));
            return Err(self.b.view.damaged(format!("directory {shown} is in two places")));
        }
        Ok(())
    }

    fn compare(&mut self, before: &Found, after: &Found) -> Result<Changes, Error> {
        let (one, other) = (&before.inode, &after.inode);
        let same_attributes = self.attributes_are_equal(one, other)?;
        let metadata = (one.mode, one.uid, one.gid, one.mtime) != (other.mode, other.uid, other.gid, other.mtime)
            || !same_attributes;
        let content = one.link_target != other.link_target
            || one.device != other.device
            || (before.file_type == FileType::Regular && !self.content_is_equal(before, after)?);
        Ok(Changes { content, metadata })
    }

    fn attributes_are_equal(&mut self, one: &Inode, other: &Inode) -> Result<bool, Error> {
        if one.attributes == other.attributes {
            return Ok(true);
        }
        if one.attributes.len() != other.attributes.len() {
            return Ok(false);
        }
        for (one, other) in one.attributes.iter().zip(&other.attributes) {
            if one.name != other.name || self.a.attribute(one)? != self.b.attribute(other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn content_is_equal(&mut self, before: &Found, after: &Found) -> Result<bool, Error> {
        let (one, other) = (&before.inode, &after.inode);
        if one.size != other.size {
            return Ok(false);
        }
        let unchanged = |inode: &Inode| inode.settled && !inode.mixed && inode.stamp.is_some();
        let same_volume = self.a.view.id().volume == self.b.view.id().volume;
        if same_volume && before.node == after.node && unchanged(one) && unchanged(other) && one.stamp == other.stamp {
            return Ok(true);
        }
        let sums = match (&one.inline, &other.inline) {
            (Some(one), Some(other)) => return Ok(one.signature == other.signature),
            (None, None) => (self.a.sum(before.node)?, self.b.sum(after.node)?),
            (Some(_), None) => (Some(self.a.sum_of_inline(before)?), self.b.sum(after.node)?),
            (None, Some(_)) => (self.a.sum(before.node)?, Some(self.b.sum_of_inline(after)?)),
        };
        let pages = |sum: Option<Sum>| sum.map(|sum| (sum.pages, sum.sum));
        Ok(pages(sums.0) == pages(sums.1))
    }
}

fn in_path(error: Error, path: &[Vec<u8>]) -> Error {
    match error {
        Error::Damaged { object, what } => {
            let shown = display_path(path.iter().map(Vec::as_slice));
            Error::Damaged { object, what: format!("{shown}: {what}") }
        }
        error => error,
    }
}
