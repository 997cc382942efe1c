//! The set of inodes in which something changed.
//!
//! In: inode numbers, often the same ones again. Out: each once, in order. Never: takes more than its bound, whatever comes in.
//!
//! A sorted list and not a hash table: 8 bytes per inode instead of 18, and the sweep only ever asks.

use super::Broken;

/// So many numbers are added before the list is put in order again. Sorting notices what is in order already: a million takes a few milliseconds, and half the list again
/// in memory meanwhile.
pub(super) const UNSORTED_MAX: usize = 1 << 16;

/// A set that still grows.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    inodes: Vec<u64>,
    /// How many at the front are in order, and there once.
    sorted: usize,
}

impl Gathered {
    /// Adds one. [`Broken::TooMany`] when there are more than `max`, which is noticed with a delay of [`UNSORTED_MAX`].
    pub(super) fn add(&mut self, inode: u64, max: usize) -> Result<(), Broken> {
        // Most events come in runs about one file.
        if self.inodes.last() == Some(&inode) {
            return Ok(());
        }
        self.inodes.push(inode);
        if self.inodes.len() - self.sorted < UNSORTED_MAX {
            return Ok(());
        }
        self.sort(max)
    }

    pub(super) fn into_set(mut self, max: usize) -> Result<DirtySet, Broken> {
        self.sort(max)?;
        Ok(DirtySet { inodes: self.inodes })
    }

    fn sort(&mut self, max: usize) -> Result<(), Broken> {
        self.inodes.sort();
        self.inodes.dedup();
        self.sorted = self.inodes.len();
        if self.sorted > max { Err(Broken::TooMany) } else { Ok(()) }
    }
}

/// The inodes of one epoch. What is in it is to be looked at; what is not in it may have changed all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirtySet {
    inodes: Vec<u64>,
}

impl DirtySet {
    /// Whether the kernel told of a change of this inode ([`repository::source::Stat::inode`]).
    pub fn contains(&self, inode: u64) -> bool {
        self.inodes.binary_search(&inode).is_ok()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.inodes.len()
    }

    /// True if the kernel told of nothing.
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.inodes.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(inodes: impl Iterator<Item = u64>, max: usize) -> Result<DirtySet, Broken> {
        let mut gathered = Gathered::default();
        for inode in inodes {
            gathered.add(inode, max)?;
        }
        gathered.into_set(max)
    }

    #[test]
    fn an_inode_is_there_once_however_often_and_in_whatever_order_it_came() {
        let set = gathered([7, 7, 3, 7, 1, 3].into_iter(), 3).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 3, 7]);
        assert_eq!((set.contains(3), set.contains(2), set.len()), (true, false, 3));
        assert!(gathered([].into_iter(), 0).unwrap().is_empty());
    }

    #[test]
    fn one_more_than_the_bound_is_too_many() {
        assert_eq!(gathered(1..=4, 3), Err(Broken::TooMany));
        assert_eq!(gathered(0..1 << 20, 1000), Err(Broken::TooMany));
    }

    #[test]
    fn many_events_of_few_files_take_no_room() {
        let mut gathered = Gathered::default();
        for inode in (0..1_000_000).map(|turn| turn % 1000) {
            gathered.add(inode, 1000).unwrap();
        }
        assert!(gathered.inodes.capacity() <= 2 * UNSORTED_MAX, "{}", gathered.inodes.capacity());
        assert_eq!(gathered.into_set(1000).unwrap().len(), 1000);
    }
}
