//! From what statx says to [`Stat`]: types, identity, and what kind of filesystem it comes from.
//!
//! In: a [`RawStat`]. Out: a [`Stat`], or the reason why the entry is not ours. Never: makes a call of its own after construction.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs};
use repository::source::{FileType, Stat};

use crate::sys::stat::RawStat;

/// What must be known of a filesystem to judge what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filesystem {
    on: (u32, u32),
    mount: Option<u64>,
    /// Inode number and creation time identify a file for ever.
    identifies: bool,
    /// A flush makes stamps tell of every store through a mapping. Measured on ext4, xfs and btrfs; tmpfs, FUSE, NFS, 9p and overlays cannot, others are not known to.
    pub(crate) settles: bool,
}

impl Filesystem {
    /// The filesystem of an open descriptor, whose stat is `raw`.
    pub(crate) fn of(fd: impl AsFd, raw: &RawStat) -> Result<Filesystem, Errno> {
        let kind = fstatfs(fd)?.filesystem_type();
        let settles = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC].contains(&kind);
        Ok(Filesystem { on: raw.on, mount: raw.mount, identifies: settles || kind == TMPFS_MAGIC, settles })
    }

    /// True for what is on another mount than the root.
    pub(crate) fn foreign(&self, raw: &RawStat) -> bool {
        match (self.mount, raw.mount) {
            (Some(ours), Some(theirs)) => ours != theirs,
            // Before Linux 5.8 nothing but the device tells; btrfs subvolumes are then taken for mounts.
            _ => self.on != raw.on,
        }
    }

    /// What the engine sees of an entry. `EXDEV`: something is mounted there. `EINVAL`: its type is unknown.
    pub(crate) fn stat(&self, raw: &RawStat) -> Result<Stat, Errno> {
        if self.foreign(raw) {
            return Err(Errno::EXDEV);
        }
        let mut stat = plain_stat(raw)?;
        if raw.on != self.on {
            stat.inode = folded(raw.inode, raw.subvolume.unwrap_or(u64::from(raw.on.1)));
        }
        if self.identifies && raw.btime.is_some() {
            stat.handle = handle(&stat);
        }
        Ok(stat)
    }
}

/// A stat without identity: what a restore target and a single file need.
pub(crate) fn plain_stat(raw: &RawStat) -> Result<Stat, Errno> {
    let file_type = file_type(raw.kind()).ok_or(Errno::EINVAL)?;
    let is_node = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
    Ok(Stat {
        file_type,
        mode: raw.mode & 0o7777,
        uid: raw.uid,
        gid: raw.gid,
        links: raw.links,
        size: if file_type == FileType::Regular { raw.size } else { 0 },
        blocks: raw.blocks,
        device: is_node.then_some(raw.device),
        mtime: raw.mtime,
        ctime: raw.ctime,
        btime: raw.btime.unwrap_or_default(),
        inode: raw.inode,
        handle: Vec::new(),
    })
}

pub(crate) fn file_type(kind: u32) -> Option<FileType> {
    match kind {
        libc::S_IFREG => Some(FileType::Regular),
        libc::S_IFDIR => Some(FileType::Directory),
        libc::S_IFLNK => Some(FileType::Symlink),
        libc::S_IFIFO => Some(FileType::Fifo),
        libc::S_IFSOCK => Some(FileType::Socket),
        libc::S_IFCHR => Some(FileType::CharDevice),
        libc::S_IFBLK => Some(FileType::BlockDevice),
        _ => None,
    }
}

/// An inode number of a subvolume: btrfs counts inodes from 256 and subvolumes from 256 up, neither near 2^40 and 2^24.
pub(crate) fn folded(inode: u64, subvolume: u64) -> u64 {
    inode ^ (subvolume << 40)
}

fn handle(stat: &Stat) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&stat.inode.to_le_bytes());
    out.extend_from_slice(&stat.btime.seconds.to_le_bytes());
    out.extend_from_slice(&stat.btime.nanoseconds.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use repository::source::Time;

    fn raw(inode: u64, on: (u32, u32), subvolume: u64) -> RawStat {
        let time = Time { seconds: 5, nanoseconds: 7 };
        RawStat {
            mode: libc::S_IFREG | 0o644,
            links: 2,
            uid: 0,
            gid: 0,
            inode,
            size: 1,
            blocks: 8,
            mtime: time,
            ctime: time,
            btime: Some(time),
            on,
            device: (0, 0),
            mount: Some(9),
            subvolume: Some(subvolume),
            mount_root: Some(false),
        }
    }

    #[test]
    fn a_snapshot_inside_the_volume_never_shares_an_inode_with_its_origin() {
        let filesystem = Filesystem { on: (0, 30), mount: Some(9), identifies: true, settles: true };
        let origin = filesystem.stat(&raw(300, (0, 30), 5)).unwrap();
        let snapshot = filesystem.stat(&raw(300, (0, 31), 256)).unwrap();
        let second = filesystem.stat(&raw(300, (0, 32), 257)).unwrap();
        assert_eq!(origin.inode, 300);
        assert_ne!(origin.inode, snapshot.inode);
        assert_ne!(snapshot.inode, second.inode);
        assert_ne!(origin.handle, snapshot.handle);
        assert_eq!(origin.handle.len(), 20);
    }

    #[test]
    fn what_is_mounted_inside_is_not_ours() {
        let filesystem = Filesystem { on: (0, 30), mount: Some(9), identifies: true, settles: true };
        let mut nested = raw(300, (0, 30), 5);
        nested.mount = Some(10);
        assert_eq!(filesystem.stat(&nested), Err(Errno::EXDEV));
    }
}
