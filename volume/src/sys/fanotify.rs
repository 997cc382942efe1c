//! fanotify(7): a group, a mark on a whole filesystem, and reading what the kernel queued.
//!
//! In: a descriptor inside a volume, a buffer. Out: a group, bytes for [`crate::fanotify`], or the kernel's errno. Never: asks for permission events, which would make
//! every access of the pod wait for us.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::open::descriptor_path;

/// How much events tell; fuller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Directory, name and object of everything; a rename is one event with both places. Linux 5.17.
    Targets,
    /// Directory and name; the object only of what happens to itself. Linux 5.9.
    Names,
    /// The object alone; of what is created, removed or renamed the directory alone. Linux 5.1.
    Objects,
}

impl Detail {
    const ALL: [Detail; 3] = [Detail::Targets, Detail::Names, Detail::Objects];

    /// The flags for fanotify_init(2) that ask for it.
    fn flags(self) -> libc::c_uint {
        match self {
            Detail::Targets => libc::FAN_REPORT_DFID_NAME_TARGET,
            Detail::Names => libc::FAN_REPORT_DFID_NAME | libc::FAN_REPORT_FID,
            Detail::Objects => libc::FAN_REPORT_FID,
        }
    }

    /// Every event that a change of the volume can cause, in its cheapest form.
    fn mask(self) -> u64 {
        let content = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE | libc::FAN_ATTRIB;
        let names = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_DELETE_SELF | libc::FAN_MOVE_SELF;
        let moves = match self {
            // One event instead of two, and it came to Linux together with the objects' handles.
            Detail::Targets => libc::FAN_RENAME,
            Detail::Names | Detail::Objects => libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO,
        };
        content | names | moves | libc::FAN_ONDIR
    }
}

/// The longest event, rounded up: a head, an object, and two places in directories with names of 255 bytes and handles of 128. A smaller buffer is refused.
pub(crate) const EVENT_BYTES_MAX: usize = 4096;

/// Events only, no permission; closed at exec; a read never waits.
const BASE_FLAGS: libc::c_uint = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;

/// A fanotify group: the descriptor that events are read from.
#[derive(Debug)]
pub(crate) struct Group {
    fd: OwnedFd,
    detail: Detail,
}

impl Group {
    /// The group that tells most on this kernel: flags are tried, because a kernel's version
    /// does not tell what was ported back to it. Needs `CAP_SYS_ADMIN`.
    pub(crate) fn new() -> Result<Group, Errno> {
        for detail in Detail::ALL {
            match Group::with(detail, libc::FAN_UNLIMITED_QUEUE) {
                Err(Errno::EINVAL) => {}
                result => return result,
            }
        }
        Err(Errno::EINVAL)
    }

    /// A group with exactly this detail.
    pub(crate) fn with(detail: Detail, more_flags: libc::c_uint) -> Result<Group, Errno> {
        let flags = BASE_FLAGS | detail.flags() | more_flags;
        // SAFETY: takes numbers only.
        let fd = Errno::result(unsafe { libc::fanotify_init(flags, libc::O_RDONLY as libc::c_uint) })?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows its number.
        Ok(Group { fd: unsafe { OwnedFd::from_raw_fd(fd) }, detail })
    }

    /// A group that another process has made. `EINVAL`: the descriptor is something else, or a read of it would wait.
    pub(crate) fn from_owned_fd(fd: OwnedFd) -> Result<Group, Errno> {
        let flags = parse_state(&state_text(fd.as_fd())?).ok_or(Errno::EINVAL)?.flags;
        let detail = Detail::ALL.into_iter().find(|detail| flags & detail.flags() == detail.flags());
        match detail {
            Some(detail) if flags & libc::FAN_NONBLOCK != 0 => Ok(Group { fd, detail }),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn into_owned_fd(self) -> OwnedFd {
        self.fd
    }

    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    /// Marks the whole filesystem that `dir` is on, with its errors if this kernel can tell them (5.16). `dir` may be opened with `O_PATH`.
    pub(crate) fn mark_filesystem(&self, dir: impl AsFd) -> Result<(), Errno> {
        let mask = self.detail.mask();
        match self.add_mark(&dir, mask | libc::FAN_FS_ERROR) {
            Err(Errno::EINVAL) => self.add_mark(&dir, mask),
            result => result,
        }
    }

    fn add_mark(&self, dir: impl AsFd, mask: u64) -> Result<(), Errno> {
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        // By path: the call does not take an `O_PATH` descriptor. The path ends at the inode itself.
        let path = CString::new(descriptor_path(dir)).map_err(|_| Errno::EINVAL)?;
        // SAFETY: `path` ends in NUL and lives through the call; the rest are numbers.
        let result = unsafe { libc::fanotify_mark(self.fd.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr()) };
        Errno::result(result).map(drop)
    }

    /// Events that are queued now, into `buffer`, which has at least [`EVENT_BYTES_MAX`] bytes; how many bytes. 0: there are none.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match nix::unistd::read(&self.fd, buffer) {
                Err(Errno::EAGAIN) => return Ok(0),
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    /// How many events are queued. The kernel counts them one by one, 50 ns each, and nobody can queue another meanwhile: 13 ms for the most that we let wait.
    pub(crate) fn queued(&self) -> Result<u64, Errno> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        Errno::result(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
        // It answers in bytes, as if each event were a head alone (fs/notify/fanotify/fanotify_user.c).
        Ok(u64::from(bytes.cast_unsigned()) / size_of::<libc::fanotify_event_metadata>() as u64)
    }

    /// True while a filesystem is marked: the kernel removes the mark when the filesystem is unmounted everywhere, and tells nobody. Reads `/proc`, touches no volume.
    pub(crate) fn marks_filesystem(&self) -> Result<bool, Errno> {
        Ok(parse_state(&state_text(self.fd.as_fd())?).ok_or(Errno::EINVAL)?.marks_filesystem)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What `/proc/self/fdinfo` tells of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    flags: libc::c_uint,
    marks_filesystem: bool,
}

fn state_text(fd: BorrowedFd<'_>) -> Result<String, Errno> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    std::fs::read_to_string(path).map_err(|error| crate::error::errno_of(&error))
}

/// The lines that begin `fanotify` (fs/notify/fdinfo.c): one with the flags, then one for each mark, which names an inode, a mount or the device of a filesystem.
/// `None`: not a group.
fn parse_state(text: &str) -> Option<State> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("fanotify "));
    let flags = lines.next()?.strip_prefix("flags:")?.split_whitespace().next()?;
    let flags = libc::c_uint::from_str_radix(flags, 16).ok()?;
    Some(State { flags, marks_filesystem: lines.any(|mark| mark.starts_with("sdev:")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_state_is_read_from_what_the_kernel_prints() {
        let marked = "pos:\t0\nflags:\t02004002\nfanotify flags:1e12 event-flags:0\nfanotify sdev:700000 mflags:0 mask:1000cdce ignored_mask:0\n";
        let inode = "fanotify flags:0 event-flags:0\nfanotify ino:2 sdev:700000 mflags:0 mask:2 ignored_mask:0 fhandle-bytes:8\n";
        assert_eq!(parse_state(marked), Some(State { flags: 0x1e12, marks_filesystem: true }));
        assert_eq!(parse_state(inode), Some(State { flags: 0, marks_filesystem: false }));
        assert_eq!(parse_state("pos:\t0\nflags:\t02\n"), None, "some other descriptor");
        assert_eq!(parse_state("fanotify flags:x\n"), None);
    }
}
