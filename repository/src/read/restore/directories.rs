//! Directories: their metadata, after everything in them is done.
//!
//! In: the inodes of directories as the planner comes to them. Out: mode, owner and times on the target, the deepest directories first. Never: more inodes in memory
//! than a share of the budget; beyond it they are read again, a few levels at a time.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Error;
use crate::codec::DecodeError;
use crate::read::content::ContentReader;
use crate::read::path::PathBytes;
use crate::read::view::{DirectoryRows, Found, Item};
use crate::read::walk::Directories;
use crate::source::FileType;
use crate::target::Metadata;
use crate::tree::{Class, Entry, PackList, Value, key, value};

use super::engine::Engine;

/// About what one directory takes when its inode is read again.
const REREAD_BYTES: usize = 1024;

/// Inodes of directories, encoded as in rows: about 100 bytes each.
pub(super) struct Spool {
    bytes: Vec<u8>,
    entries: Vec<Spooled>,
    packs: PackList,
    bytes_max: usize,
    overflowed: bool,
}

struct Spooled {
    depth: u32,
    number: u32,
    range: Range<usize>,
}

impl Spool {
    pub(super) fn new(bytes_max: usize) -> Spool {
        Spool { bytes: Vec::new(), entries: Vec::new(), packs: PackList::new(), bytes_max, overflowed: false }
    }

    /// Remembers a directory, if there is room.
    pub(super) fn add(&mut self, depth: u32, number: u32, found: &Found) {
        if self.overflowed {
            return;
        }
        let start = self.bytes.len();
        let entry = Entry { child: found.node, file_type: found.file_type, inode: Some(found.inode.clone()) };
        value::encode_into(&Value::Entry(entry), &mut self.packs, &mut self.bytes);
        self.entries.push(Spooled { depth, number, range: start..self.bytes.len() });
        if self.bytes.len() + self.entries.len() * size_of::<Spooled>() > self.bytes_max {
            self.overflowed = true;
            (self.bytes, self.entries) = (Vec::new(), Vec::new());
        }
    }

    fn found(&self, spooled: &Spooled) -> Result<Found, DecodeError> {
        // Any entry's key will do: the value is what was put in.
        let key = key::ParsedKey::Entry { directory: key::ROOT_NODE, name: b"d" };
        let bytes = self.bytes.get(spooled.range.clone()).unwrap_or_default();
        match value::decode(Class::Tree, &key, bytes, self.packs.packs())? {
            Value::Entry(Entry { child, file_type, inode: Some(inode) }) => Ok(Found { node: child, file_type, inode }),
            _ => Err(DecodeError::Value("spooled directory")),
        }
    }
}

/// Gives all directories below the one where the restore began their metadata.
pub(super) fn finish(
    engine: &Engine<'_>,
    directories: &Directories,
    mut spool: Spool,
    reader: &mut ContentReader<'_>,
) -> Result<(), Error> {
    if spool.overflowed {
        return finish_by_level(engine, directories, spool.bytes_max, reader);
    }
    let mut entries = std::mem::take(&mut spool.entries);
    entries.sort_by_key(|spooled| std::cmp::Reverse(spooled.depth));
    for spooled in &entries {
        engine.check()?;
        let found = spool.found(spooled).map_err(|error| Error::Bug(format!("a spooled directory: {error}")))?;
        let path = directories.path(spooled.number);
        let metadata = engine.metadata(reader, &found, &path)?;
        finish_one(engine, &path, &metadata)?;
    }
    Ok(())
}

fn finish_one(engine: &Engine<'_>, path: &PathBytes, metadata: &Metadata) -> Result<(), Error> {
    match engine.target.finish_directory(&path.names(), metadata) {
        Ok(()) => Ok(()),
        Err(error) => engine.refused(path.display(), error),
    }
}

/// Reads the inodes again: so many levels at a time as memory allows; a level that is too large by itself needs no order.
fn finish_by_level(
    engine: &Engine<'_>,
    directories: &Directories,
    bytes_max: usize,
    reader: &mut ContentReader<'_>,
) -> Result<(), Error> {
    let mut levels: BTreeMap<u32, usize> = BTreeMap::new();
    for number in 1..directories.len() as u32 {
        *levels.entry(directories.depth(number)).or_default() += 1;
    }
    let mut numbers: Vec<u32> = (0..directories.len() as u32).collect();
    numbers.sort_by_key(|number| directories.node(*number));
    for group in group_levels(&levels, (bytes_max / REREAD_BYTES).max(1)) {
        let one_level = group.len() == 1;
        let mut waiting: Vec<(u32, PathBytes, Metadata)> = Vec::new();
        each_below(engine, directories, &numbers, &group, |depth, path, found| {
            engine.check()?;
            let metadata = engine.metadata(reader, found, &path)?;
            if one_level {
                return finish_one(engine, &path, &metadata);
            }
            waiting.push((depth, path, metadata));
            Ok(())
        })?;
        waiting.sort_by_key(|(depth, ..)| std::cmp::Reverse(*depth));
        for (_, path, metadata) in &waiting {
            finish_one(engine, path, metadata)?;
        }
    }
    Ok(())
}

/// Levels from the deepest to the first, together as long as no more than `directories_max` directories are on them.
fn group_levels(levels: &BTreeMap<u32, usize>, directories_max: usize) -> Vec<Range<u32>> {
    let mut groups: Vec<Range<u32>> = Vec::new();
    let mut in_group = 0;
    for (depth, count) in levels.iter().rev() {
        match groups.last_mut() {
            Some(last) if in_group + count <= directories_max => {
                last.start = *depth;
                in_group += count;
            }
            _ => {
                groups.push(*depth..*depth + 1);
                in_group = *count;
            }
        }
    }
    groups
}

/// Shows every directory on some levels: the entries of the directories one level above.
fn each_below(
    engine: &Engine<'_>,
    directories: &Directories,
    by_node: &[u32],
    levels: &Range<u32>,
    mut show: impl FnMut(u32, PathBytes, &Found) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = DirectoryRows::new(engine.view);
    for number in by_node {
        let depth = directories.depth(*number) + 1;
        if !levels.contains(&depth) {
            continue;
        }
        let mut each = || {
            rows.go(directories.node(*number))?;
            while let Some(item) = rows.next()? {
                if let Item::Child(child) = item
                    && child.found.file_type == FileType::Directory
                {
                    show(depth, directories.path_of(*number, &child.name), &child.found)?;
                }
            }
            Ok(())
        };
        match each() {
            // The planner has listed what is missing here.
            Err(error) if engine.skips(&error) => rows = DirectoryRows::new(engine.view),
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_together_as_long_as_they_fit_and_the_deepest_come_first() {
        let levels = BTreeMap::from([(1, 3), (2, 5), (3, 100), (4, 2), (5, 1)]);
        assert_eq!(group_levels(&levels, 10), [4..6, 3..4, 1..3]);
        assert_eq!(group_levels(&levels, 1), [5..6, 4..5, 3..4, 2..3, 1..2]);
        assert_eq!(group_levels(&BTreeMap::new(), 10), []);
    }
}
