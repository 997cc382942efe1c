//! What the parent has and the source has not, under the name it had.

use std::collections::HashMap;

use crate::Error;
use crate::source::{FileType, Stat};
use crate::tree::value::{decode, encode};
use crate::tree::{Class, Entry, Head, PackList, Value, key};

use super::Sweep;
use crate::write::content;

/// What a remembered entry takes beside its bytes: two allocations and its place in the map.
const REMEMBERED_BYTES: usize = 96;
/// Entries are remembered as the bytes of their rows. They are the same under any name, so this one stands for all.
const ANY_NAME: key::ParsedKey<'static> = key::ParsedKey::Entry { directory: 0, name: b"any" };

/// An entry as the bytes of its row, and what it is.
type Remembered = (FileType, Box<[u8]>);

/// Vanished entries by handle, so that a new name can turn out to be an old file.
pub(in crate::write) struct Vanished {
    by_handle: HashMap<Box<[u8]>, Remembered>,
    packs: PackList,
    bytes: usize,
    bytes_max: usize,
    /// Nodes of directories that cannot be found again.
    directories: Vec<u64>,
    /// Nodes with several names of which one vanished: gone only if no name is left.
    linked: Vec<u64>,
}

impl Vanished {
    /// `bytes_max`: for entries whose handles are remembered. What vanishes beyond that counts as deleted: a miss costs space, nothing else.
    pub(in crate::write) fn new(bytes_max: usize) -> Vanished {
        let (directories, linked) = (Vec::new(), Vec::new());
        Vanished { by_handle: HashMap::new(), packs: PackList::new(), bytes: 0, bytes_max, directories, linked }
    }

    /// Remembers an entry whose handle may turn up again; otherwise gives it back.
    fn remember(&mut self, entry: Entry) -> Option<Entry> {
        let stamp = entry.inode.as_ref().and_then(|inode| inode.stamp.as_ref());
        let handle: Box<[u8]> = stamp.map(|stamp| stamp.handle.as_slice()).unwrap_or_default().into();
        if handle.is_empty() || self.bytes >= self.bytes_max || self.by_handle.contains_key(&handle) {
            return Some(entry);
        }
        let file_type = entry.file_type;
        let packed = encode(&Value::Entry(entry), &mut self.packs).into_boxed_slice();
        self.bytes += REMEMBERED_BYTES + handle.len() + packed.len();
        self.by_handle.insert(handle, (file_type, packed));
        None
    }

    fn unpack(&self, packed: &[u8]) -> Result<Entry, Error> {
        match decode(Class::Tree, &ANY_NAME, packed, self.packs.packs()) {
            Ok(Value::Entry(entry)) => Ok(entry),
            _ => Err(Error::Bug("a remembered entry cannot be read again".into())),
        }
    }

    /// The vanished entry that this is, under another name.
    pub(super) fn take(&mut self, stat: &Stat) -> Result<Option<Entry>, Error> {
        if self.by_handle.get(&*stat.handle).is_none_or(|(file_type, _)| *file_type != stat.file_type) {
            return Ok(None);
        }
        self.by_handle.remove(&*stat.handle).map(|(_, packed)| self.unpack(&packed)).transpose()
    }

    /// The directories among what has not turned up; everything else stays.
    fn take_directories(&mut self) -> Result<Vec<u64>, Error> {
        let mut directories = std::mem::take(&mut self.directories);
        let remembered: Vec<_> =
            self.by_handle.extract_if(|_, (file_type, _)| *file_type == FileType::Directory).collect();
        for (_, (_, packed)) in remembered {
            directories.push(self.unpack(&packed)?.child);
        }
        directories.sort_unstable();
        Ok(directories)
    }
}

impl Sweep<'_, '_, '_, '_> {
    /// A name is gone; what it stood for may turn up under another.
    pub(super) fn vanish(&mut self, directory: u64, name: &[u8], entry: Entry) -> Result<(), Error> {
        self.parts.pipeline.rows.add(Class::Tree, key::entry(directory, name), Value::Tombstone);
        self.nameless(entry);
        Ok(())
    }

    /// What can turn up again is remembered; of the rest as little as still has to be done, because it may be millions.
    fn nameless(&mut self, entry: Entry) {
        entry.inode.iter().for_each(|inode| self.parts.pipeline.rows.hide(inode));
        if entry.inode.is_none() {
            self.parts.vanished.linked.push(entry.child);
        } else if let Some(entry) = self.parts.vanished.remember(entry) {
            match entry.file_type {
                FileType::Directory => self.parts.vanished.directories.push(entry.child),
                _ => self.forget_content(&entry),
            }
        }
    }

    fn forget_content(&self, entry: &Entry) {
        if entry.file_type == FileType::Regular && content::has_blocks(entry.inode.as_ref()) {
            content::forget(self.parts.pipeline, entry.child);
        }
    }

    /// Directories that did not turn up: their entries have vanished too, and may turn up elsewhere.
    pub(super) fn expand_vanished_directories(&mut self) -> Result<(), Error> {
        loop {
            let gone = self.parts.vanished.take_directories()?;
            if gone.is_empty() {
                return Ok(());
            }
            for directory in gone {
                self.check()?;
                let mut old = self.first_row(directory, true)?;
                while let Some((_, child)) = old {
                    self.nameless(child);
                    self.parts.recorder.flush_if_full(self.parts.pipeline)?;
                    old = self.next_row(directory)?;
                }
                self.parts.pipeline.rows.add(
                    Class::Tree,
                    key::head(directory),
                    Value::Head(Head { gone: true, cut: None }),
                );
                self.parts.recorder.flush_if_full(self.parts.pipeline)?;
            }
        }
    }

    /// What has not turned up is deleted: its rows are hidden.
    pub(super) fn drop_vanished(&mut self) -> Result<(), Error> {
        for (_, packed) in std::mem::take(&mut self.parts.vanished.by_handle).into_values() {
            self.forget_content(&self.parts.vanished.unpack(&packed)?);
            self.parts.recorder.flush_if_full(self.parts.pipeline)?;
        }
        let linked = std::mem::take(&mut self.parts.vanished.linked);
        if self.blind {
            return Ok(());
        }
        let seen: std::collections::HashSet<u64> = self.linked.values().chain(self.kept.keys()).copied().collect();
        for node in linked.into_iter().filter(|node| !seen.contains(node)) {
            let inode = self.lookup.as_mut().map_or(Ok(None), |lookup| lookup.inode(node))?;
            inode.iter().filter(|_| self.hidden.insert(node)).for_each(|inode| self.parts.pipeline.rows.hide(inode));
            self.parts.pipeline.rows.add(Class::Tree, key::inode(node), Value::Tombstone);
            content::forget(self.parts.pipeline, node);
            self.parts.recorder.flush_if_full(self.parts.pipeline)?;
        }
        Ok(())
    }
}
