//! A source that is a tree in memory, with faults at chosen moments.
//!
//! In: a seed and a shape, operations on the tree, and what shall go wrong when. Out: a [`Source`] that answers as a directory on a local file system does:
//! open files survive being unlinked, stamps settle after two seconds, entries vanish between a listing and a read. Never: answers differently for one seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::LogicalClock;
use super::content::FileContent;
use super::dice::Dice;
use super::grow::{Shape, grow};
use super::operations::operate;
use super::tree::{Node, Tree};
use crate::source::{
    Attributes, Consistency, Content, Directory, Names, ReadVerdict, Source, SourceDescription, SourceError,
    SourceKind, Stat,
};

/// A stamp younger than this when the file is opened may belong to a change that is still going on.
const SETTLE_SECONDS: i64 = 2;

/// A step of a backup at which something can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The root directory is asked for its stat.
    Root,
    /// A directory is opened and listed.
    List,
    /// An entry is asked for its stat.
    Stat,
    /// An entry is asked for its attributes.
    Attributes,
    /// A file is opened.
    Open,
    /// A file is read at or beyond this byte.
    Read(u64),
    /// A file has been read.
    Finish,
    /// The source is asked whether it is still there.
    StillThere,
}

/// What happens then.
#[derive(Clone)]
pub enum Action {
    /// It fails with an IO error.
    Unreadable,
    /// The entry is gone, as the kernel tells it.
    Gone,
    /// The whole source is gone.
    SourceGone,
    /// The process has run out of descriptors.
    Exhausted,
    /// The tree changes, and the step goes on with what is there then.
    Change(Arc<dyn Fn(&mut Tree) + Send + Sync>),
}

impl Action {
    /// [`Action::Change`] by a closure.
    pub fn change(change: impl Fn(&mut Tree) + Send + Sync + 'static) -> Action {
        Action::Change(Arc::new(change))
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Action::Unreadable => "Unreadable",
            Action::Gone => "Gone",
            Action::SourceGone => "SourceGone",
            Action::Exhausted => "Exhausted",
            Action::Change(_) => "Change",
        })
    }
}

#[derive(Debug)]
struct Hook {
    moment: Moment,
    /// `None`: whatever it is.
    path: Option<Vec<Vec<u8>>>,
    times: u64,
    action: Action,
}

impl Hook {
    fn fits(&self, moment: Moment, path: &[Vec<u8>]) -> bool {
        let reached = match (self.moment, moment) {
            (Moment::Read(from), Moment::Read(at)) => at >= from,
            (wanted, now) => wanted == now,
        };
        reached && self.times > 0 && self.path.as_deref().is_none_or(|wanted| wanted == path)
    }
}

#[derive(Debug)]
struct State {
    tree: Tree,
    hooks: Vec<Hook>,
    fired: u64,
}

type Shared = Arc<Mutex<State>>;

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is due at a moment happens.
fn happen(shared: &Shared, moment: Moment, path: &[Vec<u8>]) -> Result<(), SourceError> {
    let mut state = locked(shared);
    let mut due = Vec::new();
    for hook in state.hooks.iter_mut().filter(|hook| hook.fits(moment, path)) {
        hook.times -= 1;
        due.push(hook.action.clone());
    }
    for action in due {
        state.fired += 1;
        let what = show(path);
        match action {
            Action::Unreadable => {
                return Err(SourceError::Unreadable { what, why: "injected input/output error".into() });
            }
            Action::Gone => return Err(SourceError::Gone { what }),
            Action::Exhausted => {
                return Err(SourceError::Exhausted { what, why: "injected: too many open files".into() });
            }
            Action::SourceGone => {
                return Err(SourceError::SourceGone { what, why: "injected: it was unmounted".into() });
            }
            Action::Change(change) => change(&mut state.tree),
        }
    }
    Ok(())
}

fn show(path: &[Vec<u8>]) -> String {
    format!("/{}", path.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join("/"))
}

fn gone(path: &[Vec<u8>]) -> SourceError {
    SourceError::Gone { what: show(path) }
}

/// A tree in memory that can be backed up. Clones are the same source.
#[derive(Clone, Debug)]
pub struct GeneratedSource {
    state: Shared,
    location: String,
}

impl GeneratedSource {
    /// A tree that follows from a seed.
    pub fn new(seed: u64, shape: &Shape) -> GeneratedSource {
        let mut tree = Tree::new(LogicalClock::default(), shape.handles);
        grow(&mut tree, &mut Dice::new(seed), shape);
        GeneratedSource::of(tree, format!("generated:{seed}"))
    }

    /// A source of a tree that was made by hand.
    pub fn of(tree: Tree, location: String) -> GeneratedSource {
        GeneratedSource { state: Arc::new(Mutex::new(State { tree, hooks: Vec::new(), fired: 0 })), location }
    }

    /// An empty tree, whose files can be told apart.
    pub fn empty() -> GeneratedSource {
        GeneratedSource::of(Tree::new(LogicalClock::default(), true), "generated".into())
    }

    /// Its clock.
    pub fn clock(&self) -> LogicalClock {
        locked(&self.state).tree.clock().clone()
    }

    /// Looks at the tree, or changes it.
    pub fn with<T>(&self, then: impl FnOnce(&mut Tree) -> T) -> T {
        then(&mut locked(&self.state).tree)
    }

    /// The tree as it is now.
    pub fn snapshot(&self) -> Tree {
        locked(&self.state).tree.clone()
    }

    /// Does `count` operations that follow from the dice; returns what they were, for a person who looks for a bug.
    pub fn operate(&self, dice: &mut Dice, shape: &Shape, count: usize) -> Vec<String> {
        self.with(|tree| operate(tree, dice, shape, count))
    }

    /// Something happens the next `times` times that a step reaches `path` (names joined by `/`; `None`: any).
    pub fn when(&self, moment: Moment, path: Option<&str>, action: Action, times: u64) {
        let path = path.map(|path| path.split('/').filter(|name| !name.is_empty()).map(|name| name.into()).collect());
        locked(&self.state).hooks.push(Hook { moment, path, times, action });
    }

    /// Nothing happens any more; returns how often something did.
    pub fn calm(&self) -> u64 {
        let mut state = locked(&self.state);
        state.hooks.clear();
        std::mem::take(&mut state.fired)
    }
}

impl Source for GeneratedSource {
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            kind: SourceKind::Filesystem,
            location: self.location.clone(),
            consistency: Consistency::Live,
        }
    }

    fn root(&self) -> Result<(Stat, Attributes), SourceError> {
        happen(&self.state, Moment::Root, &[])?;
        let state = locked(&self.state);
        let root = state.tree.root();
        match (state.tree.stat(root), state.tree.node(root)) {
            (Some(stat), Some(node)) => Ok((stat, node.attributes())),
            _ => Err(gone(&[])),
        }
    }

    fn directory(&self, path: &[&[u8]]) -> Result<Box<dyn Directory + '_>, SourceError> {
        let names: Vec<Vec<u8>> = path.iter().map(|name| name.to_vec()).collect();
        let state = locked(&self.state);
        let inode = state.tree.lookup(path).filter(|inode| state.tree.node(*inode).is_some_and(is_directory));
        let inode = inode.ok_or_else(|| gone(&names))?;
        Ok(Box::new(OpenDirectory { shared: self.state.clone(), path: names, inode }))
    }

    fn still_there(&self) -> Result<(), SourceError> {
        happen(&self.state, Moment::StillThere, &[])
    }
}

fn is_directory(node: &Node) -> bool {
    node.entries().is_some()
}

struct OpenDirectory {
    shared: Shared,
    path: Vec<Vec<u8>>,
    inode: u64,
}

impl OpenDirectory {
    fn below(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut path = self.path.clone();
        path.push(name.to_vec());
        path
    }

    /// The entry of this name, if it is still the one in `stat`.
    fn same(&self, name: &[u8], stat: &Stat) -> Result<u64, SourceError> {
        let state = locked(&self.shared);
        let inode = state.tree.child(self.inode, name).filter(|inode| {
            let now = state.tree.stat(*inode);
            now.is_some_and(|now| (now.inode, now.file_type, &now.handle) == (stat.inode, stat.file_type, &stat.handle))
        });
        inode.ok_or_else(|| gone(&self.below(name)))
    }
}

impl Directory for OpenDirectory {
    fn names(&self) -> Result<Names, SourceError> {
        happen(&self.shared, Moment::List, &self.path)?;
        let state = locked(&self.shared);
        let mut names = Names::default();
        for name in state.tree.node(self.inode).and_then(Node::entries).into_iter().flatten().map(|(name, _)| name) {
            if !names.push(name) {
                return Err(SourceError::Unreadable { what: show(&self.path), why: "its names take 4 GiB".into() });
            }
        }
        names.sort();
        Ok(names)
    }

    fn stat(&self, name: &[u8]) -> Result<Option<Stat>, SourceError> {
        happen(&self.shared, Moment::Stat, &self.below(name))?;
        let state = locked(&self.shared);
        Ok(state.tree.child(self.inode, name).and_then(|inode| state.tree.stat(inode)))
    }

    fn attributes(&self, name: &[u8], stat: &Stat) -> Result<Attributes, SourceError> {
        happen(&self.shared, Moment::Attributes, &self.below(name))?;
        let inode = self.same(name, stat)?;
        let state = locked(&self.shared);
        state.tree.node(inode).map(Node::attributes).ok_or_else(|| gone(&self.below(name)))
    }

    fn open(&self, name: &[u8], stat: &Stat) -> Result<Box<dyn Content>, SourceError> {
        let path = self.below(name);
        happen(&self.shared, Moment::Open, &path)?;
        let inode = self.same(name, stat)?;
        let state = locked(&self.shared);
        let content = state.tree.node(inode).and_then(Node::content).ok_or_else(|| gone(&path))?.clone();
        let opened = state.tree.clock().stamp();
        let settled = stat.ctime.seconds < opened.seconds - SETTLE_SECONDS;
        let attributes = state.tree.node(inode).map(Node::attributes).unwrap_or_default();
        Ok(Box::new(OpenFile { shared: self.shared.clone(), path, stat: stat.clone(), settled, content, attributes }))
    }
}

struct OpenFile {
    shared: Shared,
    path: Vec<Vec<u8>>,
    /// As it was before the file was opened.
    stat: Stat,
    settled: bool,
    /// As it was last seen: what an unlinked file still has.
    content: Arc<FileContent>,
    attributes: Attributes,
}

impl OpenFile {
    /// The content now.
    fn look(&mut self) -> &FileContent {
        let state = locked(&self.shared);
        let is_it = state.tree.stat(self.stat.inode).is_some_and(|now| now.handle == self.stat.handle);
        if let Some(node) = state.tree.node(self.stat.inode).filter(|_| is_it)
            && let Some(content) = node.content()
        {
            self.content = content.clone();
            self.attributes = node.attributes();
        }
        &self.content
    }
}

impl Content for OpenFile {
    fn attributes(&mut self) -> Result<Attributes, SourceError> {
        happen(&self.shared, Moment::Attributes, &self.path)?;
        self.look();
        Ok(self.attributes.clone())
    }

    fn next_data(&mut self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        Ok(self.look().next_data(offset))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        happen(&self.shared, Moment::Read(offset), &self.path)?;
        Ok(self.look().read(offset, buffer))
    }

    fn finish(&mut self) -> Result<ReadVerdict, SourceError> {
        happen(&self.shared, Moment::Finish, &self.path)?;
        let now = locked(&self.shared).tree.stat(self.stat.inode);
        Ok(match now {
            Some(now) if now == self.stat && self.settled => ReadVerdict::Settled,
            Some(now) if now == self.stat => ReadVerdict::Unsettled,
            _ => ReadVerdict::Torn,
        })
    }
}
