//! What identifies a filesystem.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `struct fsuuid2` of linux/fs.h.
#[repr(C)]
struct Uuid {
    length: u8,
    uuid: [u8; 16],
}

nix::ioctl_read!(get_uuid, 0x15, 0, Uuid);

/// The UUID of the filesystem that an open file or directory is on. Linux 6.9; `ENOTTY` before.
pub(crate) fn uuid(fd: impl AsFd) -> Result<[u8; 16], Errno> {
    let mut out = Uuid { length: 0, uuid: [0; 16] };
    // SAFETY: the kernel writes one `fsuuid2` into `out`, which has its layout and lives through the call.
    unsafe { get_uuid(fd.as_fd().as_raw_fd(), &raw mut out) }?;
    if out.length != 16 || out.uuid == [0; 16] { Err(Errno::ENODATA) } else { Ok(out.uuid) }
}

/// What statfs(2) calls the filesystem's id: of the UUID on ext4 and btrfs, of the device's number on xfs.
pub(crate) fn statfs_id(fd: impl AsFd) -> Result<[u8; 8], Errno> {
    // SAFETY: statfs is plain numbers; all zeros is a value of it.
    let mut out: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `out` is a statfs that the kernel may fill.
    Errno::result(unsafe { libc::fstatfs(fd.as_fd().as_raw_fd(), &raw mut out) })?;
    // SAFETY: `fsid_t` is two C ints and nothing else; its field is private.
    Ok(unsafe { std::mem::transmute::<libc::fsid_t, [u8; 8]>(out.f_fsid) })
}
