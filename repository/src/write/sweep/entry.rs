//! Entries: rows of what a name stands for.
//!
//! In: a stat, attributes, and a piece of content that the row refers to. Out: rows, at once or when their piece has its place. Never: reads content.

use crate::Error;
use crate::source::{SourceError, Stat};
use crate::tree::{Class, Inode, MissedWhat, Row, Value, key};

use super::{ATTRIBUTES_TOO_LARGE, Old, OpenDirectory, PIECE_BYTES_MAX, Sweep};
use crate::write::frontier::At;
use crate::write::inode::{add_attributes, entry_of, has_own_row, inode_of, is_settled};
use crate::write::pipeline::Piece;

impl<'s> Sweep<'s, '_, '_, '_> {
    /// Anything without content: attributes and stat. `old`: what the parent has under this name.
    pub(super) fn other(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        child: u64,
        old: Option<&Old>,
    ) -> Result<(), Error> {
        let (node, path, name) = at;
        let mut inode = inode_of(stat, is_settled(stat, self.parts.started));
        let mut piece = Vec::new();
        if self.attributes((node, path, name), directory, stat, (&mut inode, &mut piece))? {
            if has_own_row(stat) {
                self.linked.insert(stat.inode, child);
            }
            old.into_iter().for_each(|old| self.hide(old));
            self.entry((node, name), stat, (child, inode), piece, 0)?;
        }
        Ok(())
    }

    /// Reads attributes into the inode; false: the entry is gone.
    pub(super) fn attributes(
        &mut self,
        at: At<'_>,
        directory: &OpenDirectory<'s>,
        stat: &Stat,
        into: (&mut Inode, &mut Vec<u8>),
    ) -> Result<bool, Error> {
        let (node, path, name) = at;
        match directory.attributes(name, stat) {
            Ok(attributes) => {
                if !add_attributes(into.0, attributes, into.1, PIECE_BYTES_MAX) {
                    self.miss((node, path, name), MissedWhat::Mixed, ATTRIBUTES_TOO_LARGE);
                }
                Ok(true)
            }
            Err(SourceError::Gone { .. }) => Ok(false),
            Err(error) if error.ends_the_run() => Err(error.into()),
            Err(error) => {
                into.0.settled = false;
                self.miss((node, path, name), MissedWhat::Mixed, &error.to_string());
                Ok(true)
            }
        }
    }

    /// Writes an entry, and its inode where that belongs.
    pub(super) fn entry(
        &mut self,
        at: (u64, &[u8]),
        stat: &Stat,
        inode: (u64, Inode),
        piece: Vec<u8>,
        sign_bytes: usize,
    ) -> Result<(), Error> {
        let (child, inode) = inode;
        let (entry, own_row) = entry_of(child, stat, inode);
        let entry_key = key::entry(at.0, at.1);
        match own_row {
            None => {
                // The last name of several takes the inode into its own row.
                if self.kept.contains_key(&child) {
                    self.add(Class::Tree, key::inode(child), Value::Tombstone, Vec::new(), 0)?;
                }
                self.add(Class::Tree, entry_key, Value::Entry(entry), piece, sign_bytes)
            }
            Some(inode) => {
                self.add(Class::Tree, entry_key, Value::Entry(entry), Vec::new(), 0)?;
                self.add(Class::Tree, key::inode(child), Value::Inode(inode), piece, sign_bytes)
            }
        }
    }

    /// Adds a row: at once, or when the piece that it refers to is in a blob.
    pub(super) fn add(
        &mut self,
        class: Class,
        key: Vec<u8>,
        value: Value,
        piece: Vec<u8>,
        sign_bytes: usize,
    ) -> Result<(), Error> {
        if piece.is_empty() {
            self.parts.pipeline.rows.add(class, key, value);
            return Ok(());
        }
        self.parts.pipeline.add_piece(Piece { bytes: piece, class, row: Row { key, value }, sign_bytes })
    }
}
