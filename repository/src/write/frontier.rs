//! Frontier: directories and names that were found, and whose turn has not come.
//!
//! In: names as the sweep finds them. Out: directories in the order of their nodes, new names by the directory that they are in. Never: more memory than their own
//! bytes and a few beside them, so that a million directories side by side are no burden.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Decoder, Encoder};

use super::path::DirectoryPath;

/// Where a name is: the node and the path of its directory, and the name itself.
pub(super) type At<'a> = (u64, &'a Arc<DirectoryPath>, &'a [u8]);

/// Names with a number each, in one piece of memory.
#[derive(Debug, Default)]
struct Names {
    packed: Encoder,
    popped_bytes: usize,
}

impl Names {
    fn push(&mut self, number: u64, name: &[u8]) {
        self.packed.varint(number).bytes(name);
    }

    fn rest(&self) -> Decoder<'_> {
        Decoder::new(self.packed.out.get(self.popped_bytes..).unwrap_or_default())
    }

    /// The number of the first name.
    fn first(&self) -> Option<u64> {
        self.rest().varint().ok()
    }

    /// Takes the first name.
    fn pop(&mut self) -> Option<Box<[u8]>> {
        let mut rest = self.rest();
        rest.varint().ok()?;
        let name = Box::from(rest.bytes("name", usize::MAX).ok()?);
        self.popped_bytes = self.packed.out.len() - rest.remaining();
        Some(name)
    }
}

/// A directory to be swept.
pub(super) struct Task {
    pub(super) node: u64,
    pub(super) path: Arc<DirectoryPath>,
    /// True if the parent restore point has rows of it.
    pub(super) known: bool,
}

/// Directories in one directory, by ascending node. The number of each name: how far its node is from the one before, doubled; 1 more if it is known.
struct Siblings {
    directory: u64,
    path: Arc<DirectoryPath>,
    names: Names,
    last_node: u64,
}

/// Directories to be swept.
#[derive(Default)]
pub(super) struct Frontier {
    root: Option<Task>,
    /// By the node of their first. The serial number tells apart what damaged metadata gives one node.
    waiting: BTreeMap<(u64, u64), Siblings>,
    /// The youngest, with the node of their first: the next directory may be one of them.
    open: Option<(u64, Siblings)>,
    serial: u64,
}

impl Frontier {
    /// Begins with the root.
    pub(super) fn begin(&mut self, root: Task) {
        self.root = Some(root);
    }

    /// Adds a directory.
    pub(super) fn add(&mut self, at: At<'_>, node: u64, known: bool) {
        let (directory, path, name) = at;
        let (_, siblings) = match &mut self.open {
            Some(open) if open.1.directory == directory && open.1.last_node < node => open,
            _ => {
                self.close();
                let siblings = Siblings { directory, path: path.clone(), names: Names::default(), last_node: node };
                self.open.insert((node, siblings))
            }
        };
        siblings.names.push((node - siblings.last_node) << 1 | u64::from(known), name);
        siblings.last_node = node;
    }

    fn close(&mut self) {
        if let Some((first, mut siblings)) = self.open.take() {
            siblings.names.packed.out.shrink_to_fit();
            self.serial += 1;
            self.waiting.insert((first, self.serial), siblings);
        }
    }

    /// Takes the directory with the smallest node.
    pub(super) fn pop(&mut self) -> Option<Task> {
        if let Some(root) = self.root.take() {
            return Some(root);
        }
        self.close();
        let ((node, serial), mut siblings) = self.waiting.pop_first()?;
        let known = siblings.names.first()? & 1 == 1;
        let path = siblings.path.child(siblings.directory, siblings.names.pop()?);
        if let Some(number) = siblings.names.first() {
            self.waiting.insert((node + (number >> 1), serial), siblings);
        }
        Some(Task { node, path, known })
    }
}

/// New names of one directory.
pub(super) struct NewNames {
    pub(super) directory: u64,
    pub(super) path: Arc<DirectoryPath>,
    names: Names,
}

impl Iterator for NewNames {
    type Item = Box<[u8]>;

    fn next(&mut self) -> Option<Box<[u8]>> {
        self.names.pop()
    }
}

/// Names that the parent restore point does not have, in the order in which they were found.
#[derive(Default)]
pub(super) struct Newcomers {
    by_directory: Vec<NewNames>,
    names: usize,
}

impl Newcomers {
    /// Adds a name.
    pub(super) fn add(&mut self, at: At<'_>) {
        let (directory, path, name) = at;
        if self.by_directory.last().is_none_or(|last| last.directory != directory) {
            self.by_directory.push(NewNames { directory, path: path.clone(), names: Names::default() });
        }
        if let Some(last) = self.by_directory.last_mut() {
            last.names.push(0, name);
        }
        self.names += 1;
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names
    }

    /// All of them.
    pub(super) fn take(&mut self) -> Vec<NewNames> {
        std::mem::take(self).by_directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(task: &Task) -> String {
        task.path.display(b"")
    }

    #[test]
    fn directories_come_in_the_order_of_their_nodes_wherever_they_are() {
        let mut frontier = Frontier::default();
        let root = DirectoryPath::root();
        frontier.begin(Task { node: 1, path: root.clone(), known: false });
        assert_eq!(frontier.pop().unwrap().node, 1);
        for (node, name, known) in [(5, "a", true), (900, "b", false), (7, "c", true), (8, "d", true)] {
            frontier.add((1, &root, name.as_bytes()), node, known);
        }
        let first = frontier.pop().unwrap();
        assert_eq!((first.node, names(&first).as_str(), first.known), (5, "a", true));
        frontier.add((5, &first.path, b"e"), 6, false);
        frontier.add((5, &first.path, b"\xff"), 1000, false);
        let rest: Vec<_> =
            std::iter::from_fn(|| frontier.pop()).map(|task| (task.node, names(&task), task.known)).collect();
        let expected = [(6, "a/e", false), (7, "c", true), (8, "d", true), (900, "b", false), (1000, "a/\\xff", false)];
        assert_eq!(rest, expected.map(|(node, path, known)| (node, path.to_owned(), known)));
    }

    #[test]
    fn two_directories_that_damage_gave_one_node_are_both_swept() {
        let mut frontier = Frontier::default();
        let root = DirectoryPath::root();
        for name in [b"a", b"b"] {
            frontier.add((1, &root, name), 3, true);
        }
        assert_eq!(std::iter::from_fn(|| frontier.pop()).map(|task| names(&task)).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_waiting_directory_takes_its_name_and_three_bytes() {
        let mut frontier = Frontier::default();
        let root = DirectoryPath::root();
        for node in 0..10_000u64 {
            frontier.add((1, &root, format!("{node:08}").as_bytes()), 10 + node, false);
        }
        frontier.close();
        let bytes: usize = frontier.waiting.values().map(|siblings| siblings.names.packed.out.capacity()).sum();
        assert!(bytes <= 10_000 * (8 + 3), "{bytes}");
    }

    #[test]
    fn new_names_are_kept_by_directory() {
        let mut newcomers = Newcomers::default();
        let root = DirectoryPath::root();
        for (directory, name) in [(1, "a"), (1, "b"), (2, "c"), (1, "d")] {
            newcomers.add((directory, &root, name.as_bytes()));
        }
        assert_eq!(newcomers.len(), 4);
        let taken = newcomers.take().into_iter().map(|names| (names.directory, names.count())).collect::<Vec<_>>();
        assert_eq!(taken, [(1, 2), (2, 1), (1, 1)]);
        assert_eq!(newcomers.len(), 0);
    }
}
