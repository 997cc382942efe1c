//! Giving an inode its metadata: owner, extended attributes, mode, capabilities, times, in this order.
//!
//! In: a descriptor and what the entry shall look like. Out: that, or what could not be given. Never: names a path, changes what is right already,
//! or leaves an entry open to more people than its restored owner and ACL say.
//!
//! Why this order: a change of owner clears set-id bits and capabilities; an ACL must be there before the mode's group bits, which are its mask, open the file.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid};
use repository::source::{FileType, Time};
use repository::target::{Metadata, TargetError};

use crate::error::target_error;
use crate::sys::open::descriptor_path;
use crate::sys::stat::{RawStat, statx};
use crate::sys::xattr::{Owner, XATTR_BYTES_MAX};

const CAPABILITY: &[u8] = b"security.capability";
const ACL_PREFIX: &[u8] = b"system.posix_acl_";

/// Whose metadata is set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// A regular file that is open for writing.
    Open(BorrowedFd<'a>),
    /// Anything, by an `O_PATH` descriptor.
    Path(BorrowedFd<'a>),
}

impl Subject<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Subject::Open(fd) | Subject::Path(fd) => *fd,
        }
    }

    fn owner(&self) -> Owner<'_> {
        match self {
            Subject::Open(fd) => Owner::Open(*fd),
            Subject::Path(fd) => Owner::Path(*fd),
        }
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        // The system call takes -1 for "leave it as it is".
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Subject::Open(fd) => fchown(fd, uid, gid),
            Subject::Path(fd) => fchownat(fd, "", uid, gid, AtFlags::AT_EMPTY_PATH),
        }
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_bits_truncate(mode);
        match self {
            Subject::Open(fd) => fchmod(fd, mode),
            Subject::Path(fd) => fchmodat(AT_FDCWD, descriptor_path(fd).as_str(), mode, FchmodatFlags::FollowSymlink),
        }
    }

    fn set_times(&self, time: Time) -> Result<(), Errno> {
        // Larger values mean "now" and "leave it".
        if time.nanoseconds > 999_999_999 {
            return Err(Errno::EINVAL);
        }
        let time = TimeSpec::new(time.seconds, i64::from(time.nanoseconds));
        match self {
            Subject::Open(fd) => futimens(fd, &time, &time),
            Subject::Path(fd) => {
                utimensat(AT_FDCWD, descriptor_path(fd).as_str(), &time, &time, UtimensatFlags::FollowSymlink)
            }
        }
    }
}

/// What could not be given, each with the system's reason.
#[derive(Default)]
struct Faults {
    why: Vec<String>,
    /// The owner or the ACL is not what it shall be: nobody but the owner may be let in.
    exposed: bool,
}

impl Faults {
    fn note(&mut self, what: &str, errno: Errno) {
        // An attribute list is bounded, but a message about all of it helps nobody.
        if self.why.len() < 4 {
            self.why.push(format!("{what}: {}", errno.desc()));
        }
    }
}

/// Makes the entry look as `metadata` says. On an error everything else has been done nevertheless.
pub(super) fn apply(subject: Subject<'_>, metadata: &Metadata, text: &str) -> Result<(), TargetError> {
    let now = statx(subject.fd(), b"").map_err(|errno| target_error(text.to_owned(), errno))?;
    let mut faults = Faults::default();
    let mut mode_is_right = now.mode & 0o7777 == metadata.mode & 0o7777;
    if (now.uid, now.gid) != (metadata.uid, metadata.gid) {
        mode_is_right = false;
        if let Err(errno) = subject.set_owner(metadata.uid, metadata.gid) {
            faults.note(&format!("owner {}:{}", metadata.uid, metadata.gid), errno);
            faults.exposed = true;
        }
    }
    let mut buffer = Vec::new();
    if reconcile(subject.owner(), metadata, &mut buffer, &mut faults) {
        mode_is_right = false;
    }
    if metadata.file_type != FileType::Symlink && (!mode_is_right || faults.exposed) {
        let mode = if faults.exposed { metadata.mode & 0o700 } else { metadata.mode & 0o7777 };
        if let Err(errno) = subject.set_mode(mode) {
            faults.note("mode", errno);
        }
    }
    let capability = metadata.attributes.extended.iter().find(|(name, _)| name == CAPABILITY);
    if let (Some((_, value)), false) = (capability, faults.exposed)
        && !has_value(subject.owner(), CAPABILITY, value, &mut buffer)
    {
        set_one(subject.owner(), CAPABILITY, value, &mut faults);
    }
    if now.mtime != metadata.mtime
        && let Err(errno) = subject.set_times(metadata.mtime)
    {
        faults.note("time", errno);
    }
    outcome(faults, text)
}

fn outcome(faults: Faults, text: &str) -> Result<(), TargetError> {
    if faults.why.is_empty() {
        return Ok(());
    }
    let closed = if faults.exposed { "; only its owner may use it until that is repaired" } else { "" };
    let why = format!("it is restored, but not its {}{closed}", faults.why.join(", "));
    Err(TargetError::Unwritable { what: text.to_owned(), why })
}

/// Removes what is not wanted and sets what is, capabilities excepted. Returns whether an ACL was touched, which moves the mode.
fn reconcile(owner: Owner<'_>, metadata: &Metadata, buffer: &mut Vec<u8>, faults: &mut Faults) -> bool {
    let wanted = &metadata.attributes.extended;
    let present = match list(owner, buffer) {
        Ok(present) => present,
        Err(errno) => {
            faults.note("extended attributes", errno);
            Vec::new()
        }
    };
    let mut touched_acl = false;
    for name in present.iter().filter(|name| is_removable(name)) {
        if !wanted.iter().any(|(wanted, _)| wanted == name) {
            touched_acl |= name.starts_with(ACL_PREFIX);
            match owner.remove(name) {
                Ok(()) | Err(Errno::ENODATA) => {}
                Err(errno) => note_attribute(faults, name, errno),
            }
        }
    }
    for (name, value) in wanted.iter().filter(|(name, _)| name != CAPABILITY) {
        let is_right = present.contains(name) && has_value(owner, name, value, buffer);
        if !is_right {
            touched_acl |= name.starts_with(ACL_PREFIX);
            set_one(owner, name, value, faults);
        }
    }
    touched_acl
}

fn list(owner: Owner<'_>, buffer: &mut Vec<u8>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut few = [0_u8; 256];
    let length = match owner.list(&mut few) {
        Ok(0) | Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        Ok(length) => {
            buffer.clear();
            buffer.extend_from_slice(&few);
            length
        }
        Err(Errno::ERANGE) => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            owner.list(buffer)?
        }
        Err(errno) => return Err(errno),
    };
    Ok(buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

fn has_value(owner: Owner<'_>, name: &[u8], value: &[u8], buffer: &mut Vec<u8>) -> bool {
    buffer.resize(XATTR_BYTES_MAX, 0);
    owner.get(name, buffer).is_ok_and(|size| &buffer[..size] == value)
}

fn set_one(owner: Owner<'_>, name: &[u8], value: &[u8], faults: &mut Faults) {
    if let Err(errno) = owner.set(name, value) {
        note_attribute(faults, name, errno);
    }
}

fn note_attribute(faults: &mut Faults, name: &[u8], errno: Errno) {
    faults.exposed |= name.starts_with(ACL_PREFIX);
    faults.note(&format!("extended attribute {}", name.escape_ascii()), errno);
}

/// Labels of the system's own security modules come and go by its policy, not by ours.
fn is_removable(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || name.starts_with(ACL_PREFIX) || name == CAPABILITY
}

/// An existing directory that its owner closed to himself is opened for the time of the restore. Root needs no permission.
pub(super) fn make_enterable(fd: BorrowedFd<'_>, raw: &RawStat) -> Result<(), Errno> {
    if geteuid().is_root() || raw.mode & 0o700 == 0o700 {
        return Ok(());
    }
    Subject::Path(fd).set_mode(raw.mode & 0o7777 | 0o700)
}
