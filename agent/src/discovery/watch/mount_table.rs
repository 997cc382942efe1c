//! Mount table: a signal whenever something was mounted or unmounted.
//!
//! In: `/proc/self/mountinfo`, which poll(2) reports when the table of this mount namespace changed (proc_pid_mounts(5)). Out: signals. Never: reads the table.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::signals::Signals;

/// A thread that waits for changes. Dropped, it ends.
#[derive(Debug)]
pub(super) struct MountTable {
    /// Closed, it wakes the thread.
    open: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl MountTable {
    /// Starts to wait.
    pub(super) fn watch(signals: Arc<Signals>) -> io::Result<MountTable> {
        let table = File::open("/proc/self/mountinfo")?;
        let (closed, open) = pipe2(OFlag::O_CLOEXEC)?;
        let wait = move || while wait(&table, &closed, &signals) {};
        let thread = std::thread::Builder::new().name("mount-table".into()).spawn(wait)?;
        Ok(MountTable { open: Some(open), thread: Some(thread) })
    }
}

/// Waits for one change; false: it is over.
fn wait(table: &File, closed: &OwnedFd, signals: &Signals) -> bool {
    let mut both = [PollFd::new(table.as_fd(), PollFlags::POLLPRI), PollFd::new(closed.as_fd(), PollFlags::POLLIN)];
    match poll(&mut both, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        // The periodic listing finds changes late, which is better than a thread that spins.
        Err(_) => return false,
    }
    let happened = |index: usize| both.get(index).and_then(PollFd::any).unwrap_or(false);
    if happened(1) {
        return false;
    }
    if happened(0) {
        signals.changed();
    }
    true
}

impl Drop for MountTable {
    fn drop(&mut self) {
        self.open = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: whoever hears of it has seen the message already.
            let _ = thread.join();
        }
    }
}
