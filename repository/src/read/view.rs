//! View: one restore point, open for reading.
//!
//! In: a domain and a point. Out: its root, entries by path, the rows of directories and files in order. Never: reads content (that is [`super::content`]), or
//! remembers more than one row per run.

use std::sync::{Arc, Mutex, PoisonError};

use model::ErrorClass;

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::point::{Description, Point, Reference, TreeRuns};
use crate::session::{PointId, Session, read_point};
use crate::source::FileType;
use crate::table::{TableRun, TableSource};
use crate::tree::key::ROOT_NODE;
use crate::tree::{Class, Extent, Inode, Merged, Missed, Mode, Row, Sum, Value, key};

use super::cursor::NodeCursor;
use super::packs::Packs;
use super::path::display_path;

/// How much of one table is read with one request, unless told otherwise.
pub const WINDOW_BYTES_DEFAULT: u64 = 2 << 20;

/// An entry that was looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its node.
    pub node: u64,
    /// What it is.
    pub file_type: FileType,
    /// Everything else about it.
    pub inode: Inode,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its name: 1 to 255 bytes, not `.` or `..`, without `/` and NUL.
    pub name: Vec<u8>,
    /// What it stands for.
    pub found: Found,
    /// True if the inode has a row of its own: it may have several names.
    pub shared: bool,
}

/// A restore point, open. Reading is possible from several threads; each iterator has cursors of its own.
pub struct View {
    id: PointId,
    point: Point,
    tables: Arc<TableSource>,
    packs: Packs,
    session: Option<Session>,
    lookups: Mutex<NodeCursor>,
}

impl View {
    /// Opens a point without announcing it: a collector may take it away while it is read.
    pub fn open(domain: &Domain, id: PointId, window_bytes: u64) -> Result<View, Error> {
        View::new(domain, id, window_bytes, None)
    }

    /// Announces a long read, so that the point stays, then opens it. With credentials that cannot write it is read unannounced.
    pub fn announced(domain: &Domain, id: PointId, writer: &str) -> Result<View, Error> {
        let session = match Session::open(domain, id.volume, vec![id], writer) {
            Ok(session) if session.pins().is_empty() => {
                return Err(Error::Missing(format!("restore point {} was removed meanwhile", id.session)));
            }
            Ok(session) => Some(session),
            Err(error) if error.class() == ErrorClass::Denied => {
                tracing::info!(%error, "these credentials cannot announce a reader; reading without");
                None
            }
            Err(error) => return Err(error),
        };
        View::new(domain, id, WINDOW_BYTES_DEFAULT, session)
    }

    fn new(domain: &Domain, id: PointId, window_bytes: u64, session: Option<Session>) -> Result<View, Error> {
        let point = read_point(domain, id)?;
        if point.runs.trees.len() != 1 {
            return Err(Error::Invalid(format!(
                "restore point {} has {} trees; this program reads points of one",
                id.session,
                point.runs.trees.len()
            )));
        }
        let tables = Arc::new(TableSource::new(domain, &point.runs.packs, window_bytes));
        let packs = Packs::new(domain, session.is_some(), &point.runs.packs);
        let lookups = Mutex::new(cursor(&point.runs.trees[0], &tables, Class::Tree));
        Ok(View { id, point, tables, packs, session, lookups })
    }

    /// Which point it is.
    pub fn id(&self) -> PointId {
        self.id
    }

    /// What the point says of itself.
    pub fn description(&self) -> &Description {
        &self.point.description
    }

    /// When it was made, what it continued, which packs it needs.
    pub fn reference(&self) -> &Reference {
        &self.point.reference
    }

    /// The session that keeps the point while it is read, if there is one.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Where it is.
    pub fn domain(&self) -> &Domain {
        self.packs.domain()
    }

    /// The name of the point's object, for errors.
    pub(super) fn object(&self) -> String {
        layout::point(self.domain().id(), self.id.volume, self.id.session)
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(&self.object(), what)
    }

    pub(super) fn packs(&self) -> &Packs {
        &self.packs
    }

    pub(super) fn tables(&self) -> &Arc<TableSource> {
        &self.tables
    }

    pub(super) fn runs(&self) -> &TreeRuns {
        // `new` made sure that there is exactly one.
        &self.point.runs.trees[0]
    }

    /// A cursor over one class.
    pub(super) fn cursor(&self, class: Class) -> NodeCursor {
        cursor(self.runs(), &self.tables, class)
    }

    /// The root directory.
    pub fn root(&self) -> Result<Found, Error> {
        let inode = self.own_inode(ROOT_NODE)?.ok_or_else(|| self.damaged("its root directory has no inode"))?;
        Ok(Found { node: ROOT_NODE, file_type: FileType::Directory, inode })
    }

    fn own_inode(&self, node: u64) -> Result<Option<Inode>, Error> {
        let mut rows = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        inode_row(&mut rows, node)
    }

    /// The entry at a path, by its names from the root (none: the root). Symbolic links are not followed.
    pub fn lookup(&self, path: &[&[u8]]) -> Result<Found, Error> {
        let mut at = self.root()?;
        for (depth, name) in path.iter().enumerate() {
            let so_far = || display_path(path.iter().copied().take(depth));
            let shown = || display_path(path.iter().copied());
            if at.file_type != FileType::Directory {
                return Err(Error::Missing(format!(
                    "there is no {} in this restore point: {} is not a directory",
                    shown(),
                    so_far()
                )));
            }
            at = self.child(at.node, name)?.ok_or_else(|| {
                Error::Missing(format!("there is no {} in restore point {}", shown(), self.id.session))
            })?;
        }
        Ok(at)
    }

    fn child(&self, directory: u64, name: &[u8]) -> Result<Option<Found>, Error> {
        if !key::is_name(name) {
            return Ok(None);
        }
        let row = {
            let mut rows = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
            rows.find(&key::entry(directory, name))?
        };
        let Some(Row { value: Value::Entry(entry), .. }) = row else { return Ok(None) };
        let inode = match entry.inode {
            Some(inode) => inode,
            None => self.own_inode(entry.child)?.ok_or_else(|| self.without_inode(entry.child, name))?,
        };
        Ok(Some(Found { node: entry.child, file_type: entry.file_type, inode }))
    }

    fn without_inode(&self, node: u64, name: &[u8]) -> Error {
        self.damaged(format!("the inode of {:?} (node {node}) is missing", name.escape_ascii().to_string()))
    }

    /// The entries of a directory, in the order of their names.
    pub fn entries(&self, directory: u64) -> Result<Entries<'_>, Error> {
        let mut rows = DirectoryRows::new(self);
        rows.go(directory)?;
        Ok(Entries { rows })
    }

    /// What was not captured in a directory, in the order of the names.
    pub fn missed(&self, directory: u64) -> Result<MissedEntries<'_>, Error> {
        let mut rows = DirectoryRows::new(self);
        rows.go(directory)?;
        Ok(MissedEntries { rows })
    }

    /// Where the content of a regular file is: blocks in ascending order, each with its extents. What no extent names is zeros.
    pub fn extents_of(&self, found: &Found) -> Result<Blocks, Error> {
        let mut blocks = BlockRows::new(self);
        blocks.go(found)?;
        Ok(Blocks { rows: blocks })
    }
}

fn cursor(tree: &TreeRuns, tables: &Arc<TableSource>, class: Class) -> NodeCursor {
    let runs = tree.of(class).iter().map(|run| TableRun::new(class, tables.clone(), run.clone())).collect();
    NodeCursor::new(class, Merged::new(class, runs, Mode::Read))
}

fn inode_row(rows: &mut NodeCursor, node: u64) -> Result<Option<Inode>, Error> {
    rows.go(node)?;
    Ok(match rows.next()? {
        Some(Row { value: Value::Inode(inode), .. }) => Some(inode),
        _ => None,
    })
}

/// A row of a directory.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and nearly always the large one")]
pub(super) enum Item {
    /// An entry.
    Child(Child),
    /// What was not captured.
    Missed(Vec<u8>, Missed),
    /// An entry whose inode has a row of its own, which cannot be read.
    Unreadable(Vec<u8>, Error),
}

/// The rows of directories, one directory after another.
pub(super) struct DirectoryRows<'a> {
    view: &'a View,
    rows: NodeCursor,
    /// For inodes that have rows of their own.
    inodes: Option<NodeCursor>,
}

impl<'a> DirectoryRows<'a> {
    pub(super) fn new(view: &'a View) -> DirectoryRows<'a> {
        DirectoryRows { view, rows: view.cursor(Class::Tree), inodes: None }
    }

    pub(super) fn view(&self) -> &'a View {
        self.view
    }

    /// Goes to a directory.
    pub(super) fn go(&mut self, directory: u64) -> Result<(), Error> {
        self.rows.go(directory)
    }

    /// Its next row: entries first, then what was missed.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Error> {
        while let Some(Row { key, value }) = self.rows.next()? {
            match (key::parse(Class::Tree, &key), value) {
                (Ok(key::ParsedKey::Entry { name, .. }), Value::Entry(entry)) => {
                    let shared = entry.inode.is_none();
                    let inode = match entry.inode {
                        Some(inode) => inode,
                        None => match self.own_inode(entry.child, name) {
                            Ok(inode) => inode,
                            Err(error) => {
                                // What failed half-way is not asked again.
                                self.inodes = None;
                                return Ok(Some(Item::Unreadable(name.to_vec(), error)));
                            }
                        },
                    };
                    let found = Found { node: entry.child, file_type: entry.file_type, inode };
                    return Ok(Some(Item::Child(Child { name: name.to_vec(), found, shared })));
                }
                (Ok(key::ParsedKey::Missed { name, .. }), Value::Missed(missed)) => {
                    return Ok(Some(Item::Missed(name.to_vec(), missed)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn own_inode(&mut self, node: u64, name: &[u8]) -> Result<Inode, Error> {
        let inodes = self.inodes.get_or_insert_with(|| self.view.cursor(Class::Tree));
        inode_row(inodes, node)?.ok_or_else(|| self.view.without_inode(node, name))
    }
}

/// See [`View::entries`].
pub struct Entries<'a> {
    rows: DirectoryRows<'a>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Child, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.next() {
            Ok(Some(Item::Child(child))) => Some(Ok(child)),
            // Missed rows follow the entries.
            Ok(Some(Item::Missed(..)) | None) => None,
            Ok(Some(Item::Unreadable(_, error))) | Err(error) => Some(Err(error)),
        }
    }
}

/// See [`View::missed`].
pub struct MissedEntries<'a> {
    rows: DirectoryRows<'a>,
}

impl Iterator for MissedEntries<'_> {
    type Item = Result<(Vec<u8>, Missed), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rows.next() {
                Ok(Some(Item::Missed(name, missed))) => return Some(Ok((name, missed))),
                Ok(Some(Item::Child(_) | Item::Unreadable(..))) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The content rows of files, one file after another.
pub(super) struct BlockRows {
    rows: NodeCursor,
    inline: Option<Vec<Extent>>,
    blocks: bool,
    sum: Option<Sum>,
}

impl BlockRows {
    pub(super) fn new(view: &View) -> BlockRows {
        BlockRows { rows: view.cursor(Class::Content), inline: None, blocks: false, sum: None }
    }

    /// Goes to a file.
    pub(super) fn go(&mut self, found: &Found) -> Result<(), Error> {
        self.inline = found.inode.inline.as_ref().map(|inline| inline.extents.clone());
        self.blocks = self.inline.is_none() && found.file_type == FileType::Regular;
        self.sum = None;
        if self.blocks { self.rows.go(found.node) } else { Ok(()) }
    }

    /// Its next block that has extents.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Vec<Extent>)>, Error> {
        if let Some(inline) = self.inline.take().filter(|extents| !extents.is_empty()) {
            return Ok(Some((0, inline)));
        }
        while self.blocks {
            let Some(row) = self.rows.next()? else { break };
            match (key::block_of(Class::Content, &row.key), row.value) {
                (Some(block), Value::Block(extents)) => return Ok(Some((block, extents))),
                (_, Value::Sum(sum)) => self.sum = Some(sum),
                _ => {}
            }
        }
        Ok(None)
    }

    /// After the last block: the file's sum.
    pub(super) fn sum(&self) -> Option<Sum> {
        self.sum
    }
}

/// See [`View::extents_of`].
pub struct Blocks {
    rows: BlockRows,
}

impl Iterator for Blocks {
    type Item = Result<(u64, Vec<Extent>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().transpose()
    }
}
