//! Identity: which filesystem this is, and since when it has been mounted.
//!
//! In: an open directory of a volume. Out: what tells this filesystem from every other, and this time that it is mounted from every other time. Never: reads content.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, XFS_SUPER_MAGIC, fstatfs};
use serde::{Deserialize, Serialize};

use crate::sys::stat::RawStat;
use crate::sys::superblock;

/// Which filesystem, and which directory of it. Restored, cloned or formatted anew it is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesystemIdentity {
    /// `ext4`, `xfs` or `btrfs`.
    pub kind: String,
    /// Its UUID, in hex; where the kernel does not tell it (before 6.9) what statfs calls the filesystem's id.
    pub id: String,
    /// The volume's root directory: inode number and time of creation.
    pub root: String,
    /// Size of the filesystem in bytes.
    pub bytes: u64,
}

/// One time of being mounted, as far as it can be told; only comparable on one machine between two of its starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The start of the machine, as the kernel names it.
    pub boot: String,
    /// The kernel's own object for the mounted filesystem, which is another one after each mount; unlike the mount's id it is the same for every bind mount, so a pod
    /// that is started anew beside a filesystem that stays mounted changes nothing.
    pub superblock: Option<u64>,
    /// The mount's id.
    pub mount: Option<u64>,
}

/// The identity of the filesystem at `root`, whose stat is `raw`; `None` for kinds whose stamps are not relied on anyway.
pub(crate) fn filesystem(root: impl AsFd, raw: &RawStat) -> Result<Option<FilesystemIdentity>, Errno> {
    let known = fstatfs(&root)?;
    let Some(kind) = kind_of(known.filesystem_type()) else { return Ok(None) };
    let id = match superblock::uuid(&root) {
        Ok(uuid) => hex(&uuid),
        Err(_) => hex(&superblock::statfs_id(&root)?),
    };
    let born = raw.btime.unwrap_or_default();
    let root = format!("{}.{}.{:09}", raw.inode, born.seconds, born.nanoseconds);
    let bytes = known.blocks().saturating_mul(u64::try_from(known.block_size()).unwrap_or(0));
    Ok(Some(FilesystemIdentity { kind: kind.to_owned(), id, root, bytes }))
}

/// Since when it has been mounted.
pub(crate) fn session(filesystem: Option<&FilesystemIdentity>, raw: &RawStat) -> Session {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    Session { boot, superblock: filesystem.and_then(|found| kernel_object(found, raw.on)), mount: raw.mount }
}

fn kind_of(magic: FsType) -> Option<&'static str> {
    match magic {
        EXT4_SUPER_MAGIC => Some("ext4"),
        XFS_SUPER_MAGIC => Some("xfs"),
        BTRFS_SUPER_MAGIC => Some("btrfs"),
        _ => None,
    }
}

/// The inode number of the filesystem's directory in sysfs.
fn kernel_object(filesystem: &FilesystemIdentity, on: (u32, u32)) -> Option<u64> {
    let name = match filesystem.kind.as_str() {
        "btrfs" => uuid_text(&filesystem.id)?,
        _ => {
            let device = std::fs::read_link(format!("/sys/dev/block/{}:{}", on.0, on.1)).ok()?;
            device.file_name()?.to_str()?.to_owned()
        }
    };
    let place = Path::new("/sys/fs").join(&filesystem.kind).join(name);
    std::fs::symlink_metadata(place).ok().map(|found| found.ino())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `8-4-4-4-12` of 32 hexadecimal digits.
fn uuid_text(hex: &str) -> Option<String> {
    let parts = [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..32)?];
    Some(parts.join("-"))
}
