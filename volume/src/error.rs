//! Errors of opening a source or a target, and how an errno and a path are told to people.
//!
//! In: errnos and raw names. Out: [`OpenError`], [`SourceError`] and [`TargetError`]. Never: prints a control character that a file name contains.

use std::path::{Path, PathBuf};

use model::ErrorClass;
use nix::errno::Errno;
use repository::source::SourceError;
use repository::target::TargetError;

/// Why a source or target could not be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing.
    #[error("{} does not exist; check the path", .path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// We may not.
    #[error("{} may not be opened: permission denied; run as its owner or as root", .path.display())]
    Denied {
        /// Where.
        path: PathBuf,
    },
    /// It is something that cannot be backed up or restored into.
    #[error("{} is {what}; name a directory, a regular file or a block device", .path.display())]
    Unsuitable {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A volume was expected to be mounted exactly here.
    #[error("{} is not a mount point: the volume is not mounted", .path.display())]
    NotMounted {
        /// Where.
        path: PathBuf,
    },
    /// Somebody uses the device.
    #[error("{} is in use; unmount it first", .path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// The kernel (or a sandbox) lacks what safe walking needs. There is no unsafe fallback.
    #[error(
        "this system lacks {what}, without which a volume cannot be walked safely; it needs Linux 5.6 or newer, /proc, and a sandbox that permits them"
    )]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("cannot open {}: {}", .path.display(), .errno.desc())]
    System {
        /// Where.
        path: PathBuf,
        /// Its reason.
        errno: Errno,
    },
}

impl OpenError {
    /// What the caller should do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            OpenError::Missing { .. } => ErrorClass::Missing,
            OpenError::Denied { .. } => ErrorClass::Denied,
            OpenError::Unsuitable { .. } | OpenError::Unsupported { .. } => ErrorClass::Invalid,
            OpenError::NotMounted { .. } | OpenError::System { .. } => ErrorClass::Retry,
            OpenError::InUse { .. } => ErrorClass::Busy,
        }
    }

    /// From a failed call on `path`.
    pub(crate) fn from_errno(path: &Path, errno: Errno) -> OpenError {
        let path = path.to_path_buf();
        match errno {
            Errno::ENOENT => OpenError::Missing { path },
            Errno::EACCES | Errno::EPERM => OpenError::Denied { path },
            Errno::EBUSY => OpenError::InUse { path },
            errno => OpenError::System { path, errno },
        }
    }
}

/// What a place is that cannot be used, by its type bits.
pub(crate) fn kind_text(kind: u32) -> &'static str {
    match kind {
        libc::S_IFREG => "a regular file",
        libc::S_IFDIR => "a directory",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFIFO => "a named pipe",
        libc::S_IFSOCK => "a socket",
        libc::S_IFCHR => "a character device",
        libc::S_IFBLK => "a block device",
        _ => "of unknown type",
    }
}

/// `location` and the names below it as text: bytes that are not UTF-8 and control characters are escaped.
pub(crate) fn path_text(location: &str, names: &[&[u8]]) -> String {
    let mut text = location.to_owned();
    for name in names {
        push_name(&mut text, name);
    }
    text
}

/// Adds one name to a path as text.
pub(crate) fn push_name(text: &mut String, name: &[u8]) {
    if !text.ends_with('/') {
        text.push('/');
    }
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
        }
        text.extend(chunk.invalid().iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from));
    }
}

/// Why reading failed: gone, the source gone, or unreadable.
pub(crate) fn source_error(what: String, errno: Errno) -> SourceError {
    match errno {
        // The last two: another kind of thing took its place, which is the same as gone.
        Errno::ENOENT | Errno::ESTALE | Errno::ENOTDIR | Errno::ELOOP => SourceError::Gone { what },
        Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ENODEV | Errno::ENOMEDIUM => {
            SourceError::SourceGone { what, why: errno.desc().to_owned() }
        }
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => SourceError::Exhausted { what, why: errno.desc().to_owned() },
        Errno::EXDEV => SourceError::Unreadable { what, why: MOUNTED_OVER.to_owned() },
        Errno::EPERM => SourceError::Unreadable { what, why: NO_ATIME.to_owned() },
        errno => SourceError::Unreadable { what, why: errno.desc().to_owned() },
    }
}

/// Why an entry that is a mount point is not captured.
pub(crate) const MOUNTED_OVER: &str = "another filesystem is mounted there";
const NO_ATIME: &str = "operation not permitted: only its owner or root may read it without touching its access time";

/// Why writing failed.
pub(crate) fn target_error(what: String, errno: Errno) -> TargetError {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => TargetError::Full { what },
        Errno::EEXIST | Errno::EISDIR | Errno::ENOTEMPTY => {
            TargetError::Occupied { what, why: "a directory stands there".into() }
        }
        Errno::EBUSY => TargetError::Occupied { what, why: "it is in use".into() },
        Errno::EXDEV => TargetError::Unsafe { what, why: MOUNTED_OVER.into() },
        Errno::ELOOP | Errno::ENOTDIR => TargetError::Unsafe {
            what,
            why: "a directory on the way is not a directory, or was replaced by a link".into(),
        },
        errno => TargetError::Unwritable { what, why: errno.desc().to_owned() },
    }
}

/// The errno inside an error of the standard library.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_messages_hold_no_control_character_and_no_broken_text() {
        let text = path_text("/data", &[b"a\nb\x1b[2J", b"\xff\xfe", "ä".as_bytes()]);
        assert_eq!(text, "/data/a\\nb\\u{1b}[2J/\\xff\\xfe/ä");
    }
}
