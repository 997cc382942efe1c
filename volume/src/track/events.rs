//! Events: the inodes of one volume in which something changed since the last epoch, as the kernel tells it.
//!
//! In: a directory of the volume, once; then what the kernel queues. Out: a [`DirtySet`] per epoch, or the reason why there is none ([`Broken`]). Never: says that
//! something did *not* change, opens anything in the volume, or keeps it from being unmounted.
//!
//! **Hints.** Stores through a mapping and writes by `io_submit` cause no event at all, nor do changes on another node; so what is in no set is still stat'ed. What is in
//! the set is looked at even if its stamp is unchanged, and earlier. Whatever breaks here costs that earliness and nothing else.
//!
//! **Whom to mark.** The mark is on the whole filesystem, through whichever mount it is written to. The caller marks only a filesystem that belongs to one volume:
//! emptyDir and hostPath lie on the node's own, where a mark would deliver every write of every container.
//!
//! **Who does what.** [`Events::mark`] touches the volume, which may hang: a worker does it, gives the group away ([`Events::into_owned_fd`], `SCM_RIGHTS`), and ends.
//! Everything else touches the descriptor and `/proc` only: the supervisor does it. The group holds no descriptor in the volume and does not pin its mount.
//!
//! **Pace.** The caller drains by a timer, say every 200 ms, and not whenever there is something: 0.6 µs of CPU per event instead of 2 to 4, and events of the same object
//! merge while they wait (Linux 6.18). The pod pays 0.5 to 1.6 µs for each write. A waiting event takes about 96 bytes of kernel memory.

mod dirty;
mod refused;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

pub use crate::sys::fanotify::Detail;
pub use dirty::DirtySet;
pub use refused::Refused;

use crate::fanotify::{Malformed, Record, records};
use crate::sys::fanotify::{EVENT_BYTES_MAX, Group};
use dirty::{Gathered, UNSORTED_MAX};

/// One read takes up to some ten thousand events. Allocated only while something is queued: an idle volume holds no buffer.
const READ_BYTES: usize = 1 << 20;
const _: () = assert!(READ_BYTES >= EVENT_BYTES_MAX);

/// Changes of a directory's own list.
const NAMES_MASK: u64 =
    libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO | libc::FAN_RENAME;

/// What one volume's events may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Inodes in one set, at 8 bytes each and half as much again while they are sorted; more: [`Broken::TooMany`].
    pub inodes_max: usize,
    /// Events that may wait in the kernel, at about 96 bytes each; more: [`Broken::Overflow`]. The queue itself has no limit.
    pub queued_max: u64,
}

impl Default for Limits {
    /// 8 MiB of set, 25 MB of queue. A volume that changes faster is swept from one end to the other anyway.
    fn default() -> Limits {
        Limits { inodes_max: (1 << 20) - UNSORTED_MAX, queued_max: 1 << 18 }
    }
}

/// Why an epoch has no set. The sweep of the next backup finds what changed; nothing is lost but the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Events were lost, or so many waited that they were thrown away.
    #[error("more changed than could be queued; the next backup looks at every file, drain more often if this recurs")]
    Overflow,
    /// More inodes changed than are remembered.
    #[error("more files changed than are remembered; the next backup looks at every file")]
    TooMany,
    /// The filesystem was unmounted, and the kernel removed the mark.
    #[error("the volume was unmounted and is not watched any more; mark it again when it is mounted")]
    MarkGone,
    /// The kernel wrote something that could not be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The group could not be read.
    #[error("the kernel's events cannot be read: {}; mark the volume again", .0.desc())]
    Unreadable(Errno),
}

/// What was read since [`Events::drain`] last told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// How many events were read, merged ones counted once.
    pub events: u64,
    /// How many errors the filesystem reported about itself: its next backup had better be looked at.
    pub filesystem_errors: u64,
}

/// The events of one volume: one group, one mark.
#[derive(Debug)]
pub struct Events {
    group: Group,
    limits: Limits,
    gathered: Gathered,
    broken: Option<Broken>,
    /// What nobody was told yet.
    drained: Drained,
}

impl Events {
    /// Marks the filesystem that `dir` is on; `dir` may be opened with `O_PATH`, and may be closed afterwards. Events from now on are queued.
    pub fn mark(dir: impl AsFd, limits: Limits) -> Result<Events, Refused> {
        let group = Group::new().map_err(Refused::from_errno)?;
        group.mark_filesystem(dir).map_err(Refused::from_errno)?;
        Ok(Events::new(group, limits))
    }

    /// Goes on with a group that another process has marked. What it had gathered is not passed along; what it had not drained is.
    pub fn from_owned_fd(fd: OwnedFd, limits: Limits) -> Result<Events, Refused> {
        let group = Group::from_owned_fd(fd).map_err(|errno| match errno {
            Errno::EINVAL => Refused::NotAGroup,
            errno => Refused::System(errno),
        })?;
        Ok(Events::new(group, limits))
    }

    /// The group, to be passed on. The mark lives as long as any copy of it.
    pub fn into_owned_fd(self) -> OwnedFd {
        self.group.into_owned_fd()
    }

    fn new(group: Group, limits: Limits) -> Events {
        Events { group, limits, gathered: Gathered::default(), broken: None, drained: Drained::default() }
    }

    /// How much this kernel tells.
    pub fn detail(&self) -> Detail {
        self.group.detail()
    }

    /// False once the filesystem was unmounted everywhere. Nobody is told: ask when the table of mounts changes. Touches no volume.
    pub fn still_marked(&self) -> bool {
        self.group.marks_filesystem().unwrap_or(false)
    }

    /// Gathers what was queued when it was called. Never waits, and reads no more than that however fast the volume is written.
    pub fn drain(&mut self) -> Drained {
        self.gather_queue();
        std::mem::take(&mut self.drained)
    }

    /// Ends the epoch and begins the next: everything whose event was queued before this call is in the set, or it is said why there is none.
    ///
    /// Take first, sweep second. A change between the two is stat'ed by the sweep, and its event is in the next epoch as well: looked at twice, never missed. The other way
    /// round, a change after its file was swept and before the take would count for the backup that did not see it.
    pub fn take(&mut self) -> Result<DirtySet, Broken> {
        self.gather_queue();
        let gathered = std::mem::take(&mut self.gathered);
        let broken = self.broken.take();
        if !self.still_marked() {
            return Err(Broken::MarkGone);
        }
        match broken {
            Some(broken) => Err(broken),
            None => gathered.into_set(self.limits.inodes_max),
        }
    }

    fn gather_queue(&mut self) {
        if let Err(broken) = self.read_queue() {
            self.break_off(broken);
        }
    }

    fn read_queue(&mut self) -> Result<(), Broken> {
        let mut left = self.group.queued().map_err(Broken::Unreadable)?;
        if left > self.limits.queued_max {
            self.break_off(Broken::Overflow);
        }
        let mut buffer = if left > 0 { vec![0; READ_BYTES] } else { Vec::new() };
        while left > 0 {
            let read = self.group.read(&mut buffer).map_err(Broken::Unreadable)?;
            if read == 0 {
                break;
            }
            for record in records(&buffer[..read]) {
                self.gather(&record?);
                left = left.saturating_sub(1);
            }
        }
        Ok(())
    }

    fn gather(&mut self, record: &Record<'_>) {
        self.drained.events += 1;
        self.drained.filesystem_errors += u64::from(record.error.map_or(0, |error| error.count));
        if record.mask & libc::FAN_Q_OVERFLOW != 0 {
            self.break_off(Broken::Overflow);
        }
        if self.broken.is_some() {
            return;
        }
        for inode in inodes(record) {
            if let Err(broken) = self.gathered.add(inode, self.limits.inodes_max) {
                self.break_off(broken);
            }
        }
    }

    /// The rest of the epoch is read and forgotten: its queue must not grow. The first reason is the one to be told.
    fn break_off(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
        self.gathered = Gathered::default();
    }
}

/// To be waited for, if need be; the descriptor is readable while something is queued.
impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// The inodes that an event makes worth looking at: what it happened to, and the directories whose list it changed.
fn inodes(record: &Record<'_>) -> impl Iterator<Item = u64> {
    let listed = record.entry.filter(|_| record.mask & NAMES_MASK != 0);
    let directories = [listed, record.old, record.new].into_iter().flatten().map(|entry| entry.directory);
    record.subject().into_iter().chain(directories).filter_map(|handle| handle.inode())
}
