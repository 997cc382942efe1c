//! A tree of files in memory, with the stamps that a kernel would set.
//!
//! In: the operations of a file system. Out: stats, content and names. Never: a stamp that a kernel would not set: every change of an inode moves its ctime,
//! every change of a directory its mtime too, and a freed inode number is used again under another generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::LogicalClock;
use super::content::FileContent;
use crate::source::{Attributes, FileType, Stat, Time};

/// Why an operation was refused; as errno would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// ENOENT.
    #[error("there is no such entry")]
    Missing,
    /// EEXIST.
    #[error("an entry of that name exists")]
    Exists,
    /// ENOTDIR.
    #[error("it is not a directory")]
    NotDirectory,
    /// EISDIR.
    #[error("it is a directory")]
    IsDirectory,
    /// ENOTEMPTY.
    #[error("the directory is not empty")]
    NotEmpty,
    /// EINVAL.
    #[error("it is not possible with an entry of this type")]
    WrongType,
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory: names and inode numbers.
    Directory(BTreeMap<Vec<u8>, u64>),
    /// A regular file.
    Regular(Arc<FileContent>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
}

impl Kind {
    /// As a stat says it.
    pub fn file_type(&self) -> FileType {
        match self {
            Kind::Directory(_) => FileType::Directory,
            Kind::Regular(_) => FileType::Regular,
            Kind::Symlink(_) => FileType::Symlink,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::CharDevice(..) => FileType::CharDevice,
            Kind::BlockDevice(..) => FileType::BlockDevice,
        }
    }
}

/// One inode.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Time,
    /// Extended attributes.
    pub extended: BTreeMap<Vec<u8>, Vec<u8>>,
    ctime: Time,
    btime: Time,
    generation: u32,
    links: u64,
}

impl Node {
    /// Link target and extended attributes.
    pub fn attributes(&self) -> Attributes {
        let link_target = if let Kind::Symlink(target) = &self.kind { Some(target.clone()) } else { None };
        let extended = self.extended.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Attributes { link_target, extended }
    }

    /// The content of a regular file.
    pub fn content(&self) -> Option<&Arc<FileContent>> {
        if let Kind::Regular(content) = &self.kind { Some(content) } else { None }
    }

    /// The names in a directory.
    pub fn entries(&self) -> Option<&BTreeMap<Vec<u8>, u64>> {
        if let Kind::Directory(entries) = &self.kind { Some(entries) } else { None }
    }
}

/// A tree of files. Cloning it is a snapshot: contents are shared until they change.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<u64, Node>,
    free: Vec<u64>,
    next_inode: u64,
    next_generation: u32,
    clock: LogicalClock,
    handles: bool,
}

/// The inode number of every tree's root, as on ext4.
const ROOT: u64 = 2;

impl Tree {
    /// An empty root directory. `handles`: whether files can be told apart by more than their inode number.
    pub fn new(clock: LogicalClock, handles: bool) -> Tree {
        let mut tree =
            Tree { nodes: BTreeMap::new(), free: Vec::new(), next_inode: ROOT, next_generation: 1, clock, handles };
        tree.add_node(Kind::Directory(BTreeMap::new()), 0o755);
        tree
    }

    fn add_node(&mut self, kind: Kind, mode: u32) -> u64 {
        let inode = self.free.pop().unwrap_or_else(|| {
            self.next_inode += 1;
            self.next_inode - 1
        });
        let now = self.clock.stamp();
        let generation = self.next_generation;
        self.next_generation += 1;
        let node = Node {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: now,
            extended: BTreeMap::new(),
            ctime: now,
            btime: now,
            generation,
            links: 1,
        };
        self.nodes.insert(inode, node);
        inode
    }

    /// Its clock.
    pub fn clock(&self) -> &LogicalClock {
        &self.clock
    }

    /// The root directory's inode number.
    pub fn root(&self) -> u64 {
        ROOT
    }

    /// How many inodes there are.
    pub fn inodes(&self) -> usize {
        self.nodes.len()
    }

    /// One inode.
    pub fn node(&self, inode: u64) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    /// What lies at a path (none: the root).
    pub fn lookup(&self, path: &[&[u8]]) -> Option<u64> {
        path.iter().try_fold(ROOT, |inode, name| self.child(inode, name))
    }

    /// What a directory has under a name.
    pub fn child(&self, directory: u64, name: &[u8]) -> Option<u64> {
        self.node(directory)?.entries()?.get(name).copied()
    }

    /// As a kernel would tell it.
    pub fn stat(&self, inode: u64) -> Option<Stat> {
        let node = self.node(inode)?;
        let (size, pages) = node.content().map_or((0, 0), |content| (content.size(), content.allocated_pages()));
        let device = match node.kind {
            Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => Some((major, minor)),
            _ => None,
        };
        Some(Stat {
            file_type: node.kind.file_type(),
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            links: node.links,
            size,
            blocks: pages * 8,
            device,
            mtime: node.mtime,
            ctime: node.ctime,
            btime: node.btime,
            inode,
            handle: if self.handles {
                [&inode.to_le_bytes()[..], &node.generation.to_le_bytes()].concat()
            } else {
                Vec::new()
            },
        })
    }

    /// Every name in the tree: its directory, the name, and what it is; directories before what is in them.
    pub fn names(&self) -> Vec<(u64, Vec<u8>, u64)> {
        let mut found = Vec::new();
        let mut open = vec![ROOT];
        while let Some(directory) = open.pop() {
            for (name, child) in self.node(directory).and_then(Node::entries).into_iter().flatten() {
                found.push((directory, name.clone(), *child));
                if self.node(*child).is_some_and(|node| node.entries().is_some()) {
                    open.push(*child);
                }
            }
        }
        found
    }

    fn entries_mut(&mut self, directory: u64) -> Result<&mut BTreeMap<Vec<u8>, u64>, TreeError> {
        let now = self.clock.stamp();
        let node = self.nodes.get_mut(&directory).ok_or(TreeError::Missing)?;
        let Kind::Directory(entries) = &mut node.kind else { return Err(TreeError::NotDirectory) };
        (node.mtime, node.ctime) = (now, now);
        Ok(entries)
    }

    fn vacant(&self, directory: u64, name: &[u8]) -> Result<(), TreeError> {
        let entries = self.node(directory).ok_or(TreeError::Missing)?.entries().ok_or(TreeError::NotDirectory)?;
        if entries.contains_key(name) { Err(TreeError::Exists) } else { Ok(()) }
    }

    /// Makes an entry.
    pub fn create(&mut self, directory: u64, name: &[u8], kind: Kind, mode: u32) -> Result<u64, TreeError> {
        self.vacant(directory, name)?;
        let inode = self.add_node(kind, mode);
        self.entries_mut(directory)?.insert(name.to_vec(), inode);
        Ok(inode)
    }

    /// Makes another name of what is not a directory.
    pub fn link(&mut self, directory: u64, name: &[u8], inode: u64) -> Result<(), TreeError> {
        self.vacant(directory, name)?;
        if self.node(inode).ok_or(TreeError::Missing)?.entries().is_some() {
            return Err(TreeError::IsDirectory);
        }
        self.entries_mut(directory)?.insert(name.to_vec(), inode);
        self.change(inode, |node| node.links += 1)
    }

    /// Changes an inode, and its ctime.
    pub fn change(&mut self, inode: u64, change: impl FnOnce(&mut Node)) -> Result<(), TreeError> {
        let now = self.clock.stamp();
        let node = self.nodes.get_mut(&inode).ok_or(TreeError::Missing)?;
        change(node);
        node.ctime = now;
        Ok(())
    }

    /// Changes the content of a regular file, its mtime and its ctime.
    pub fn edit(&mut self, inode: u64, edit: impl FnOnce(&mut FileContent)) -> Result<(), TreeError> {
        let now = self.clock.stamp();
        let node = self.nodes.get_mut(&inode).ok_or(TreeError::Missing)?;
        let Kind::Regular(content) = &mut node.kind else { return Err(TreeError::WrongType) };
        edit(Arc::make_mut(content));
        (node.mtime, node.ctime) = (now, now);
        Ok(())
    }

    /// Changes the content of a regular file through a mapping: no stamp moves until the pages are written back.
    pub fn edit_unseen(&mut self, inode: u64, edit: impl FnOnce(&mut FileContent)) -> Result<(), TreeError> {
        let node = self.nodes.get_mut(&inode).ok_or(TreeError::Missing)?;
        let Kind::Regular(content) = &mut node.kind else { return Err(TreeError::WrongType) };
        edit(Arc::make_mut(content));
        Ok(())
    }

    /// Removes a name; a directory must be empty.
    pub fn unlink(&mut self, directory: u64, name: &[u8]) -> Result<(), TreeError> {
        let inode = self.child(directory, name).ok_or(TreeError::Missing)?;
        if self.node(inode).and_then(Node::entries).is_some_and(|entries| !entries.is_empty()) {
            return Err(TreeError::NotEmpty);
        }
        self.entries_mut(directory)?.remove(name);
        self.change(inode, |node| node.links -= 1)?;
        if self.node(inode).is_some_and(|node| node.links == 0) {
            self.nodes.remove(&inode);
            self.free.push(inode);
        }
        Ok(())
    }

    /// Removes a name and everything below it.
    pub fn remove(&mut self, directory: u64, name: &[u8]) -> Result<(), TreeError> {
        let inode = self.child(directory, name).ok_or(TreeError::Missing)?;
        let names: Vec<Vec<u8>> =
            self.node(inode).and_then(Node::entries).into_iter().flatten().map(|(name, _)| name.clone()).collect();
        for below in names {
            self.remove(inode, &below)?;
        }
        self.unlink(directory, name)
    }

    /// True if `inode` is `directory` or above it.
    pub fn is_above(&self, inode: u64, directory: u64) -> bool {
        inode == directory
            || self
                .node(inode)
                .and_then(Node::entries)
                .is_some_and(|entries| entries.values().any(|child| self.is_above(*child, directory)))
    }

    /// Renames; what has the new name goes, if it is not a directory with entries.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), TreeError> {
        let inode = self.child(from.0, from.1).ok_or(TreeError::Missing)?;
        let is_directory = self.node(inode).ok_or(TreeError::Missing)?.entries().is_some();
        if is_directory && self.is_above(inode, to.0) {
            return Err(TreeError::WrongType);
        }
        match self.child(to.0, to.1) {
            Some(same) if same == inode => return Ok(()),
            Some(other) => {
                let other_is_directory = self.node(other).is_some_and(|node| node.entries().is_some());
                match (is_directory, other_is_directory) {
                    (true, false) => return Err(TreeError::NotDirectory),
                    (false, true) => return Err(TreeError::IsDirectory),
                    _ => self.unlink(to.0, to.1)?,
                }
            }
            None => {}
        }
        self.entries_mut(to.0)?.insert(to.1.to_vec(), inode);
        self.entries_mut(from.0)?.remove(from.1);
        self.change(inode, |_| {})
    }

    /// Exchanges what two names stand for.
    pub fn exchange(&mut self, one: (u64, &[u8]), other: (u64, &[u8])) -> Result<(), TreeError> {
        let first = self.child(one.0, one.1).ok_or(TreeError::Missing)?;
        let second = self.child(other.0, other.1).ok_or(TreeError::Missing)?;
        if self.is_above(first, other.0) || self.is_above(second, one.0) {
            return Err(TreeError::WrongType);
        }
        self.entries_mut(one.0)?.insert(one.1.to_vec(), second);
        self.entries_mut(other.0)?.insert(other.1.to_vec(), first);
        self.change(first, |_| {})?;
        self.change(second, |_| {})
    }

    /// A regular file at a path given as text, made with its directories if it is not there.
    pub fn file(&mut self, path: &str) -> Result<u64, TreeError> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.directory(above)?;
        match self.child(directory, name.as_bytes()) {
            Some(inode) => Ok(inode),
            None => self.create(directory, name.as_bytes(), Kind::Regular(Arc::default()), 0o644),
        }
    }

    /// A directory at a path given as text, made with those above it if it is not there.
    pub fn directory(&mut self, path: &str) -> Result<u64, TreeError> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(ROOT, |inode, name| {
            match self.child(inode, name.as_bytes()) {
                Some(child) => Ok(child),
                None => self.create(inode, name.as_bytes(), Kind::Directory(BTreeMap::new()), 0o755),
            }
        })
    }
}
