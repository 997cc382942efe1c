//! Inode: what the source says of an entry, as rows have it.
//!
//! In: stats and attributes. Out: inodes, and the verdict whether an entry is what the parent has. Pure.

use crate::source::{Attributes, FileType, Stat, Time};
use crate::tree::{Attribute, AttributeValue, Entry, Extent, Inode, Location, Stamp};

use super::block::PENDING;

/// Attributes up to this size together stay in the row; of more, the large values become content.
const ATTRIBUTES_INLINE_BYTES_MAX: usize = 4096;
/// A value is large from here on.
const VALUE_INLINE_BYTES_MAX: usize = 512;
/// A stamp that is not older than this when the run begins may belong to a change that is still going on.
const SETTLE_SECONDS: i64 = 2;

/// Everything but content and attributes.
pub(super) fn inode_of(stat: &Stat, settled: bool) -> Inode {
    Inode {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size,
        links: stat.links,
        mtime: stat.mtime,
        stamp: Some(stamp_of(stat)),
        settled,
        device: stat.device,
        ..Inode::default()
    }
}

fn stamp_of(stat: &Stat) -> Stamp {
    Stamp { handle: stat.handle.clone(), inode: stat.inode, ctime: stat.ctime, btime: stat.btime, blocks: stat.blocks }
}

/// For what is not a regular file: old enough that the next change will show.
pub(super) fn is_settled(stat: &Stat, started: Time) -> bool {
    stat.ctime.seconds < started.seconds - SETTLE_SECONDS
}

/// True if the entry is the very file that the parent has: then an equal name means the same node.
pub(super) fn is_same_file(old_type: FileType, old: Option<&Inode>, stat: &Stat) -> bool {
    let handle = old.and_then(|old| old.stamp.as_ref()).map(|stamp| stamp.handle.as_slice()).unwrap_or_default();
    old_type == stat.file_type && (handle.is_empty() || stat.handle.is_empty() || handle == stat.handle.as_slice())
}

/// True if nothing that a stat shows has changed, and the stamp may be relied on.
pub(super) fn is_unchanged(old: &Inode, stat: &Stat) -> bool {
    let stamp_is_equal = old.stamp.as_ref().is_some_and(|stamp| *stamp == stamp_of(stat));
    old.settled
        && !old.mixed
        && stamp_is_equal
        && old.size == stat.size
        && old.links == stat.links
        && old.mtime == stat.mtime
        && (old.mode, old.uid, old.gid) == (stat.mode, stat.uid, stat.gid)
}

/// Gives the inode its attributes; values that are too large for a row go to the end of `piece`. False: they do not fit there either.
pub(super) fn add_attributes(
    inode: &mut Inode,
    attributes: Attributes,
    piece: &mut Vec<u8>,
    piece_bytes_max: usize,
) -> bool {
    inode.link_target = attributes.link_target;
    let total: usize = attributes.extended.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut fit = true;
    for (name, value) in attributes.extended {
        let value = if total <= ATTRIBUTES_INLINE_BYTES_MAX || value.len() <= VALUE_INLINE_BYTES_MAX {
            AttributeValue::Inline(value)
        } else if piece.len() + value.len() <= piece_bytes_max {
            let (length, offset) = (value.len() as u32, piece.len() as u32);
            piece.extend_from_slice(&value);
            let extent = Extent { first_page: 0, length, source: Some(Location { pack: PENDING, blob: 0, offset }) };
            AttributeValue::Stored { length, extents: vec![extent] }
        } else {
            fit = false;
            continue;
        };
        inode.attributes.push(Attribute { name, value });
    }
    fit
}

/// An entry for a node; files with several names keep their inode in a row of its own.
pub(super) fn entry_of(child: u64, stat: &Stat, inode: Inode) -> (Entry, Option<Inode>) {
    if has_own_row(stat) {
        (Entry { child, file_type: stat.file_type, inode: None }, Some(inode))
    } else {
        (Entry { child, file_type: stat.file_type, inode: Some(inode) }, None)
    }
}

/// True for what can be reached by several names.
pub(super) fn has_own_row(stat: &Stat) -> bool {
    stat.links > 1 && stat.file_type != FileType::Directory
}
