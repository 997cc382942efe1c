//! Why a filesystem cannot be watched.
//!
//! In: the errno of fanotify_init(2) or fanotify_mark(2). Out: a [`Refused`] that a person understands. Never: a reason not to back up.

use nix::errno::Errno;

/// Why there are no events of a volume. Its backups are as complete as any: the sweep finds what changed, only nobody knows before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `EPERM`.
    #[error(
        "watching a filesystem needs CAP_SYS_ADMIN, which this process does not have; the sweep finds what changed"
    )]
    NotPermitted,
    /// `ENODEV`: a filesystem without an id, such as most of FUSE.
    #[error(
        "this filesystem has no id by which events could name its files (FUSE is such); the sweep finds what changed"
    )]
    NoFileHandles,
    /// `EXDEV`: a btrfs subvolume other than the top level.
    #[error(
        "this is a btrfs subvolume, of which the kernel accepts no mark (only of the top level, subvolid=5); the sweep finds what changed"
    )]
    Subvolume,
    /// `EOPNOTSUPP`, `EINVAL`, `ENOSYS`: an overlay, `/proc`, a kernel before 5.1.
    #[error("this kernel or filesystem does not name files in events; the sweep finds what changed")]
    Unsupported,
    /// `EMFILE`, `ENOSPC`, `ENOMEM`: as many groups or marks as a user may have.
    #[error(
        "no more filesystems can be watched; raise fs.fanotify.max_user_groups or max_user_marks, until then the sweep finds what changed"
    )]
    Limit,
    /// What was passed on is not what [`super::Events::into_owned_fd`] gave away.
    #[error("the descriptor is no fanotify group that names files; pass the one that marked the volume")]
    NotAGroup,
    /// Something else.
    #[error("this filesystem cannot be watched: {}; the sweep finds what changed", .0.desc())]
    System(Errno),
}

impl Refused {
    pub(super) fn from_errno(errno: Errno) -> Refused {
        match errno {
            Errno::EPERM => Refused::NotPermitted,
            Errno::ENODEV => Refused::NoFileHandles,
            Errno::EXDEV => Refused::Subvolume,
            Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS => Refused::Unsupported,
            Errno::EMFILE | Errno::ENOSPC | Errno::ENOMEM => Refused::Limit,
            errno => Refused::System(errno),
        }
    }
}
