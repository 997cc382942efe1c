//! The tree that a seed stands for.
//!
//! In: dice and a shape. Out: directories, files, links and nodes. Never: more than the shape permits.

use std::time::Duration;

use super::dice::Dice;
use super::operations::{create, operate};
use super::tree::Tree;

/// What kind of tree a seed makes, and what may happen to it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Entries to begin with.
    pub entries: usize,
    /// Pages of the largest file.
    pub pages_max: u64,
    /// One in so many files is a file of holes up to 1 TiB long with a few pages (0: none).
    pub sparse_one_in: u64,
    /// Largest extended attribute, in bytes.
    pub attribute_bytes_max: u64,
    /// Whether names may be any bytes.
    pub odd_names: bool,
    /// Whether files can be told apart by more than their inode number, as with file handles.
    pub handles: bool,
}

impl Shape {
    /// A handful of small files: for loops over every possible crash.
    pub fn tiny() -> Shape {
        Shape {
            entries: 12,
            pages_max: 40,
            sparse_one_in: 0,
            attribute_bytes_max: 200,
            odd_names: false,
            handles: true,
        }
    }

    /// Everything that there is, a little of it.
    pub fn mixed() -> Shape {
        Shape {
            entries: 60,
            pages_max: 600,
            sparse_one_in: 12,
            attribute_bytes_max: 64 << 10,
            odd_names: true,
            handles: true,
        }
    }

    /// Many small files.
    pub fn many() -> Shape {
        Shape { entries: 400, pages_max: 20, sparse_one_in: 0, ..Shape::mixed() }
    }

    /// The same, on a file system whose files cannot be told apart by a handle.
    #[must_use]
    pub fn without_handles(self) -> Shape {
        Shape { handles: false, ..self }
    }
}

/// Makes entries, lets some time pass, and changes a few of them.
pub(super) fn grow(tree: &mut Tree, dice: &mut Dice, shape: &Shape) {
    for _ in 0..shape.entries {
        create(tree, dice, shape);
        tree.clock().advance(Duration::from_millis(dice.below(20)));
    }
    operate(tree, dice, shape, shape.entries / 4);
    tree.clock().advance(Duration::from_secs(10));
}
