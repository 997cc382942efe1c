//! A mount of one's own: a detached, read-only copy of where a volume is mounted.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::checked;

/// linux/mount.h.
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOUNT_ATTR_RDONLY: u64 = 0x0000_0001;
const MOUNT_ATTR_NOSUID: u64 = 0x0000_0002;
const MOUNT_ATTR_NODEV: u64 = 0x0000_0004;
const MOUNT_ATTR_NOEXEC: u64 = 0x0000_0008;
const MOUNT_ATTR_ATIME_MASK: u64 = 0x0000_0070;
const MOUNT_ATTR_NOATIME: u64 = 0x0000_0010;
const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// A copy of the mount that the directory `dir` is on, rooted there and attached nowhere: nothing can be written or followed through it, no access time changes, and
/// whoever unmounts the original need not wait for us - only the device stays in use until the copy is closed. Needs `CAP_SYS_ADMIN` and Linux 5.12.
pub(crate) fn detached(dir: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the path is an empty string that ends in NUL; the rest are numbers.
    let opened = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
    let opened = RawFd::try_from(checked(opened)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    let copy = unsafe { OwnedFd::from_raw_fd(opened) };
    let attributes = Attributes {
        set: MOUNT_ATTR_RDONLY
            | MOUNT_ATTR_NOSUID
            | MOUNT_ATTR_NODEV
            | MOUNT_ATTR_NOEXEC
            | MOUNT_ATTR_NOATIME
            | MOUNT_ATTR_NOSYMFOLLOW,
        clear: MOUNT_ATTR_ATIME_MASK,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path as above; `attributes` is a mount_attr of the size given, which lives through the call.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            copy.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    checked(set)?;
    Ok(copy)
}
