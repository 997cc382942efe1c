//! statx(2): everything about an entry in one call, mount and subvolume included.

use std::os::fd::{AsFd, AsRawFd};

use nix::NixPath;
use nix::errno::Errno;
use repository::source::Time;

/// What statx said. Fields that the filesystem does not know are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawStat {
    /// Type and permission bits, as in `st_mode`.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) btime: Option<Time>,
    /// Device numbers of the filesystem.
    pub(crate) on: (u32, u32),
    /// Device numbers that a device node stands for.
    pub(crate) device: (u32, u32),
    pub(crate) mount: Option<u64>,
    pub(crate) subvolume: Option<u64>,
    /// True if something is mounted exactly here; `None` on kernels before 5.8.
    pub(crate) mount_root: Option<bool>,
}

impl RawStat {
    /// The type bits alone (`S_IFREG` and so on).
    pub(crate) fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
}

/// Stats `name` in `dir`, not following a link and not waking an automount; an empty name means `dir` itself.
pub(crate) fn statx(dir: impl AsFd, name: &[u8]) -> Result<RawStat, Errno> {
    // A kernel that knows ids of mounts that never come again (6.8) gives one of those; before, an id may come again after an unmount.
    let wanted = libc::STATX_BASIC_STATS
        | libc::STATX_BTIME
        | libc::STATX_MNT_ID
        | libc::STATX_MNT_ID_UNIQUE
        | libc::STATX_SUBVOL;
    let mut flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    if name.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    // SAFETY: statx is plain numbers; all zeros is a value of it.
    let mut out: libc::statx = unsafe { std::mem::zeroed() };
    name.with_nix_path(|name| {
        // SAFETY: `name` is terminated by NUL and lives through the call; `out` is a statx that the kernel may fill.
        let result = unsafe { libc::statx(dir.as_fd().as_raw_fd(), name.as_ptr(), flags, wanted, &mut out) };
        Errno::result(result)
    })??;
    Ok(convert(&out))
}

fn convert(raw: &libc::statx) -> RawStat {
    let knows = |bit: libc::c_uint| raw.stx_mask & bit != 0;
    let mount_root = libc::STATX_ATTR_MOUNT_ROOT as u64;
    RawStat {
        mode: u32::from(raw.stx_mode),
        links: u64::from(raw.stx_nlink),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        inode: raw.stx_ino,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        mtime: time(&raw.stx_mtime),
        ctime: time(&raw.stx_ctime),
        btime: knows(libc::STATX_BTIME).then(|| time(&raw.stx_btime)),
        on: (raw.stx_dev_major, raw.stx_dev_minor),
        device: (raw.stx_rdev_major, raw.stx_rdev_minor),
        mount: knows(libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE).then_some(raw.stx_mnt_id),
        subvolume: knows(libc::STATX_SUBVOL).then_some(raw.stx_subvol),
        mount_root: (raw.stx_attributes_mask & mount_root != 0).then_some(raw.stx_attributes & mount_root != 0),
    }
}

fn time(raw: &libc::statx_timestamp) -> Time {
    // A network filesystem could say anything; the rest of the program may rely on the bound.
    Time { seconds: raw.tv_sec, nanoseconds: raw.tv_nsec.min(999_999_999) }
}

/// The kernel's own handle of an entry: not used, only measured (`walk` says why).
#[cfg(test)]
pub(crate) fn file_handle(dir: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        handle: [u8; 128],
    }
    let mut out = Handle { bytes: 128, kind: 0, handle: [0; 128] };
    let mut mount: libc::c_int = 0;
    name.with_nix_path(|name| {
        // SAFETY: `name` ends in NUL; `out` says how much room it has and has it; both live through the call.
        let result = unsafe {
            libc::name_to_handle_at(dir.as_fd().as_raw_fd(), name.as_ptr(), (&raw mut out).cast(), &raw mut mount, 0)
        };
        Errno::result(result)
    })??;
    Ok(out.handle[..out.bytes as usize].to_vec())
}
