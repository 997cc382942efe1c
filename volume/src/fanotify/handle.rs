//! File handles of the kernel, as far as an inode number is in them.
//!
//! In: type and bytes of a `struct file_handle`. Out: the number that [`repository::source::Stat::inode`] holds for the same object. Never: opens a handle; that needs a
//! descriptor inside the volume, and a privilege.
//!
//! The layouts are the filesystems' own (`linux/exportfs.h`, `fs/*/export.c`); the tests compare each with `statx` on a mounted filesystem. A wrong number would do no
//! harm: a hint only ever adds a file to those that are looked at.

use crate::walk::stat::folded;

/// ext4 and most others: inode (32 bits), generation. tmpfs uses the type too, for generation, inode low, inode high.
const FILEID_INO32_GEN: i32 = 1;
/// xfs, and filesystems without handles of their own: inode (64 bits), generation.
const FILEID_INO64_GEN: i32 = 0x81;
/// btrfs: inode (64 bits), subvolume (64 bits), generation; with a parent in the other two.
const FILEID_BTRFS_WITHOUT_PARENT: i32 = 0x4d;
const FILEID_BTRFS_WITH_PARENT: i32 = 0x4e;
const FILEID_BTRFS_WITH_PARENT_ROOT: i32 = 0x4f;
/// `BTRFS_FS_TREE_OBJECTID`: the top level, the only subvolume of which the kernel accepts a mark.
const BTRFS_TOP_LEVEL: u64 = 5;

/// What identifies an object on its filesystem, as the kernel says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle<'a> {
    /// `handle_type`.
    pub kind: i32,
    /// `f_handle`.
    pub bytes: &'a [u8],
}

impl Handle<'_> {
    /// The object's inode number as a walk of the volume tells it, subvolumes folded in. `None`: the filesystem is not known, or the event names no object.
    pub fn inode(&self) -> Option<u64> {
        match (self.kind, self.bytes.len()) {
            (FILEID_INO32_GEN, 8) => self.u32(0),
            (FILEID_INO32_GEN, 12) => Some(self.u32(4)? | self.u32(8)? << 32),
            (FILEID_INO64_GEN, _) => self.u64(0),
            (FILEID_BTRFS_WITHOUT_PARENT | FILEID_BTRFS_WITH_PARENT | FILEID_BTRFS_WITH_PARENT_ROOT, _) => {
                let (inode, subvolume) = (self.u64(0)?, self.u64(8)?);
                Some(if subvolume == BTRFS_TOP_LEVEL { inode } else { folded(inode, subvolume) })
            }
            _ => None,
        }
    }

    fn u32(&self, at: usize) -> Option<u64> {
        let field = self.bytes.get(at..)?.first_chunk()?;
        Some(u64::from(u32::from_ne_bytes(*field)))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let field = self.bytes.get(at..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*field))
    }
}
