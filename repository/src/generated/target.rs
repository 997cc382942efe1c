//! A target that is a tree in memory, and refuses what the contract forbids.
//!
//! In: what a restore writes. Out: a [`Tree`] to compare, what was written, and every breach of the contract of [`Target`]. Never: forgives one: a parent that
//! does not exist, a bad name, a write beyond the size that was announced, two files under way for one name, metadata of another type or size.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::LogicalClock;
use super::content::FileContent;
use super::tree::{Kind, Node, Tree, TreeError};
use crate::source::{FileType, Names, Stat};
use crate::target::{Metadata, Target, TargetError, TargetFile};

/// What was done to a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes made zeros.
    pub zeroed: u64,
    /// Bytes that were reserved.
    pub reserved: u64,
    /// Files made anew.
    pub files_created: u64,
    /// Files opened to be changed in place.
    pub files_opened: u64,
    /// Times it was asked to make sure that everything is on the disk.
    pub syncs: u64,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    /// Files that have a temporary name, by the order in which they were begun.
    pending: BTreeMap<u64, (Vec<Vec<u8>>, FileContent)>,
    begun: u64,
    written: Written,
    breaches: Vec<String>,
    capacity_bytes: u64,
    is_single_file: bool,
}

/// A tree in memory that can be restored into. Clones are the same target.
#[derive(Clone, Debug)]
pub struct MemoryTarget {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryTarget {
    fn default() -> Self {
        MemoryTarget::of(Tree::new(LogicalClock::default(), true))
    }
}

impl MemoryTarget {
    /// One that has something in it already.
    pub fn of(tree: Tree) -> MemoryTarget {
        let state = State {
            tree,
            pending: BTreeMap::new(),
            begun: 0,
            written: Written::default(),
            breaches: Vec::new(),
            capacity_bytes: u64::MAX,
            is_single_file: false,
        };
        MemoryTarget { state: Arc::new(Mutex::new(state)) }
    }

    /// One that calls itself a single file.
    pub fn single_file() -> MemoryTarget {
        let target = MemoryTarget::default();
        target.lock().is_single_file = true;
        target
    }

    /// Its disk is full after so many more bytes.
    pub fn limit(&self, bytes: u64) {
        let mut state = self.lock();
        state.capacity_bytes = state.written.bytes.saturating_add(bytes);
    }

    /// What is in it now.
    pub fn snapshot(&self) -> Tree {
        self.lock().tree.clone()
    }

    /// Looks at the tree, or changes it.
    pub fn with<T>(&self, then: impl FnOnce(&mut Tree) -> T) -> T {
        then(&mut self.lock().tree)
    }

    /// What was written since it was made.
    pub fn written(&self) -> Written {
        self.lock().written
    }

    /// How the contract was broken, and what was begun and left behind.
    pub fn breaches(&self) -> Vec<String> {
        let state = self.lock();
        let left = state.pending.values().map(|(path, _)| format!("{} was begun and not ended", show_owned(path)));
        state.breaches.iter().cloned().chain(left).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(path: &[&[u8]]) -> String {
    format!("/{}", path.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join("/"))
}

fn show_owned(path: &[Vec<u8>]) -> String {
    show(&path.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn refused(path: &[&[u8]], error: TreeError) -> TargetError {
    let (what, why) = (show(path), error.to_string());
    match error {
        TreeError::Exists | TreeError::NotDirectory | TreeError::IsDirectory | TreeError::NotEmpty => {
            TargetError::Occupied { what, why }
        }
        TreeError::Missing | TreeError::WrongType => TargetError::Unwritable { what, why },
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0)
}

impl State {
    fn breach(&mut self, path: &[&[u8]], why: &str) -> TargetError {
        self.breaches.push(format!("{}: {why}", show(path)));
        TargetError::Unsafe { what: show(path), why: why.to_owned() }
    }

    /// The directory that an entry goes into, and its name.
    fn place<'a>(&mut self, path: &[&'a [u8]]) -> Result<(u64, &'a [u8]), TargetError> {
        if let Some(bad) = path.iter().find(|name| !is_name(name)) {
            let why = format!("the name {:?} must not be used", bad.escape_ascii().to_string());
            return Err(self.breach(path, &why));
        }
        let Some((name, above)) = path.split_last() else { return Err(self.breach(path, "the root has no name")) };
        let directory = self.tree.lookup(above).filter(|inode| self.is_directory(*inode));
        match directory {
            Some(directory) => Ok((directory, name)),
            None => Err(self.breach(path, "its directory does not exist")),
        }
    }

    fn is_directory(&self, inode: u64) -> bool {
        self.tree.node(inode).is_some_and(|node| node.entries().is_some())
    }

    /// Removes what a rename over this name would remove.
    fn clear(&mut self, path: &[&[u8]]) -> Result<(u64, Vec<u8>), TargetError> {
        let (directory, name) = self.place(path)?;
        if let Some(there) = self.tree.child(directory, name) {
            if self.is_directory(there) {
                return Err(refused(path, TreeError::IsDirectory));
            }
            self.tree.unlink(directory, name).map_err(|error| refused(path, error))?;
        }
        Ok((directory, name.to_vec()))
    }

    fn apply(&mut self, path: &[&[u8]], inode: u64, metadata: &Metadata) -> Result<(), TargetError> {
        let wrong = self.tree.stat(inode).is_none_or(|stat| stat.file_type != metadata.file_type);
        if wrong {
            return Err(self.breach(path, "its metadata are of another type"));
        }
        let Metadata { mode, uid, gid, mtime, attributes, .. } = metadata.clone();
        if mode > 0o7777 || mtime.nanoseconds >= 1_000_000_000 {
            return Err(self.breach(path, "its mode or time is none"));
        }
        let set = |node: &mut Node| {
            (node.mode, node.uid, node.gid, node.mtime) = (mode, uid, gid, mtime);
            node.extended = attributes.extended.into_iter().collect();
        };
        self.tree.change(inode, set).map_err(|error| refused(path, error))
    }

    fn take_space(&mut self, path: &[&[u8]], bytes: u64) -> Result<(), TargetError> {
        if self.written.bytes + bytes > self.capacity_bytes {
            return Err(TargetError::Full { what: show(path) });
        }
        self.written.bytes += bytes;
        Ok(())
    }
}

impl Target for MemoryTarget {
    fn is_single_file(&self) -> bool {
        self.lock().is_single_file
    }

    fn make_directory(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        let mut state = self.lock();
        if path.is_empty() {
            return Ok(());
        }
        let (directory, name) = state.place(path)?;
        match state.tree.child(directory, name) {
            Some(there) if state.is_directory(there) => Ok(()),
            Some(_) => Err(refused(path, TreeError::NotDirectory)),
            None => {
                let made = state.tree.create(directory, name, Kind::Directory(BTreeMap::new()), 0o700);
                made.map(drop).map_err(|error| refused(path, error))
            }
        }
    }

    fn stat(&self, path: &[&[u8]]) -> Result<Option<Stat>, TargetError> {
        let state = self.lock();
        Ok(state.tree.lookup(path).and_then(|inode| state.tree.stat(inode)))
    }

    fn create_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        let mut state = self.lock();
        state.place(path)?;
        let owned: Vec<Vec<u8>> = path.iter().map(|name| name.to_vec()).collect();
        if state.pending.values().any(|(under_way, _)| *under_way == owned) {
            return Err(state.breach(path, "it is under way already"));
        }
        let mut content = FileContent::default();
        content.set_size(size);
        state.begun += 1;
        state.written.files_created += 1;
        let number = state.begun;
        state.pending.insert(number, (owned.clone(), content));
        Ok(Box::new(MemoryFile { target: self.clone(), path: owned, size, place: Place::Pending(number) }))
    }

    fn open_file(&self, path: &[&[u8]], size: u64) -> Result<Box<dyn TargetFile>, TargetError> {
        let mut state = self.lock();
        let (directory, name) = state.place(path)?;
        let inode = state.tree.child(directory, name).ok_or_else(|| refused(path, TreeError::Missing))?;
        if state.tree.node(inode).and_then(Node::content).is_none() {
            return Err(refused(path, TreeError::Exists));
        }
        if state.tree.stat(inode).is_some_and(|stat| stat.size != size) {
            state.tree.edit(inode, |content| content.set_size(size)).map_err(|error| refused(path, error))?;
        }
        state.written.files_opened += 1;
        let owned = path.iter().map(|name| name.to_vec()).collect();
        Ok(Box::new(MemoryFile { target: self.clone(), path: owned, size, place: Place::InTree(inode) }))
    }

    fn make_node(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        let mut state = self.lock();
        let kind = match (metadata.file_type, metadata.device, &metadata.attributes.link_target) {
            (FileType::Symlink, _, Some(target)) if !target.is_empty() => Kind::Symlink(target.clone()),
            (FileType::Fifo, ..) => Kind::Fifo,
            (FileType::Socket, ..) => Kind::Socket,
            (FileType::CharDevice, Some((major, minor)), _) => Kind::CharDevice(major, minor),
            (FileType::BlockDevice, Some((major, minor)), _) => Kind::BlockDevice(major, minor),
            _ => return Err(state.breach(path, "it is no link, FIFO, socket or device, or lacks what makes it one")),
        };
        let (directory, name) = state.clear(path)?;
        let inode = state.tree.create(directory, &name, kind, 0o600).map_err(|error| refused(path, error))?;
        state.apply(path, inode, metadata)
    }

    fn make_hard_link(&self, path: &[&[u8]], original: &[&[u8]]) -> Result<(), TargetError> {
        let mut state = self.lock();
        let Some(inode) = state.tree.lookup(original) else {
            return Err(state.breach(path, "the file that it is another name of was not restored before"));
        };
        if state.tree.lookup(path) == Some(inode) {
            return Ok(());
        }
        let (directory, name) = state.clear(path)?;
        state.tree.link(directory, &name, inode).map_err(|error| refused(path, error))
    }

    fn finish_directory(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        let mut state = self.lock();
        let inode = state.tree.lookup(path).ok_or_else(|| refused(path, TreeError::Missing))?;
        state.apply(path, inode, metadata)
    }

    fn finish_existing(&self, path: &[&[u8]], metadata: &Metadata) -> Result<(), TargetError> {
        let mut state = self.lock();
        let inode = state.tree.lookup(path).ok_or_else(|| refused(path, TreeError::Missing))?;
        if state.tree.stat(inode).is_some_and(|stat| stat.file_type == FileType::Regular && stat.size != metadata.size)
        {
            return Err(state.breach(path, "it is called complete and has another size"));
        }
        state.apply(path, inode, metadata)
    }

    fn names(&self, path: &[&[u8]]) -> Result<Names, TargetError> {
        let state = self.lock();
        let inode = state.tree.lookup(path).ok_or_else(|| refused(path, TreeError::Missing))?;
        let entries =
            state.tree.node(inode).and_then(Node::entries).ok_or_else(|| refused(path, TreeError::NotDirectory))?;
        let mut names = Names::default();
        if entries.keys().all(|name| names.push(name)) {
            names.sort();
            return Ok(names);
        }
        Err(TargetError::Unwritable { what: show(path), why: "its names take 4 GiB".into() })
    }

    fn remove(&self, path: &[&[u8]]) -> Result<(), TargetError> {
        let mut state = self.lock();
        let (directory, name) = state.place(path)?;
        state.tree.remove(directory, name).map_err(|error| refused(path, error))
    }

    fn sync(&self) -> Result<(), TargetError> {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            return Err(state.breach(&[], "files are under way still"));
        }
        state.written.syncs += 1;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Pending(u64),
    InTree(u64),
}

struct MemoryFile {
    target: MemoryTarget,
    path: Vec<Vec<u8>>,
    size: u64,
    place: Place,
}

impl MemoryFile {
    fn names(&self) -> Vec<&[u8]> {
        self.path.iter().map(Vec::as_slice).collect()
    }

    /// Changes the content, within the size that was announced.
    fn edit(&self, range: (u64, u64), bytes: u64, edit: impl FnOnce(&mut FileContent)) -> Result<(), TargetError> {
        let (path, mut state) = (self.names(), self.target.lock());
        if range.0.checked_add(range.1).is_none_or(|end| end > self.size) {
            return Err(state.breach(&path, &format!("{range:?} is not within its {} bytes", self.size)));
        }
        state.take_space(&path, bytes)?;
        match self.place {
            Place::Pending(number) => match state.pending.get_mut(&number) {
                Some((_, content)) => edit(content),
                None => return Err(state.breach(&path, "it is not under way")),
            },
            Place::InTree(inode) => state.tree.edit(inode, edit).map_err(|error| refused(&path, error))?,
        }
        Ok(())
    }
}

impl TargetFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError> {
        let state = self.target.lock();
        let content = match self.place {
            Place::Pending(number) => state.pending.get(&number).map(|(_, content)| content),
            Place::InTree(inode) => state.tree.node(inode).and_then(Node::content).map(|content| &**content),
        };
        content.map(|content| content.read(offset, buffer)).ok_or_else(|| refused(&self.names(), TreeError::Missing))
    }

    fn reserve(&self, offset: u64, length: u64) -> Result<(), TargetError> {
        self.edit((offset, length), 0, |_| ())?;
        self.target.lock().written.reserved += length;
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        let length = bytes.len() as u64;
        self.edit((offset, length), length, |content| content.write(offset, bytes))
    }

    fn zero(&self, offset: u64, length: u64) -> Result<(), TargetError> {
        self.edit((offset, length), 0, |content| content.punch(offset, length))?;
        self.target.lock().written.zeroed += length;
        Ok(())
    }

    fn commit(self: Box<Self>, metadata: &Metadata) -> Result<(), TargetError> {
        let (path, mut state) = (self.names(), self.target.lock());
        if metadata.size != self.size || metadata.file_type != FileType::Regular {
            return Err(state.breach(&path, "it is committed with another size or type than it was begun with"));
        }
        let inode = match self.place {
            Place::InTree(inode) => inode,
            Place::Pending(number) => {
                let Some((_, content)) = state.pending.remove(&number) else {
                    return Err(state.breach(&path, "it was committed before"));
                };
                let (directory, name) = state.clear(&path)?;
                let kind = Kind::Regular(Arc::new(content));
                state.tree.create(directory, &name, kind, 0o600).map_err(|error| refused(&path, error))?
            }
        };
        state.apply(&path, inode, metadata)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        if let Place::Pending(number) = self.place {
            self.target.lock().pending.remove(&number);
        }
    }
}
