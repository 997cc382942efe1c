//! Mounts that go away again, also when a test fails.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Says SKIP without root.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIP: mounting needs root");
    }
    root
}

/// A mount.
pub(crate) struct Mounted {
    at: PathBuf,
    /// Of a filesystem in user space: as long as it is open and nobody answers, whoever calls waits.
    _silence: Option<File>,
}

impl Mounted {
    pub(crate) fn tmpfs(at: &Path) -> Mounted {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=64m")).expect("a tmpfs");
        Mounted { at: at.to_owned(), _silence: None }
    }

    /// A filesystem in user space whose server never answers: what a network volume is whose server is gone.
    pub(crate) fn hanging(at: &Path) -> Mounted {
        let silence = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", silence.as_raw_fd());
        mount(Some("nobody"), at, Some("fuse"), MsFlags::empty(), Some(options.as_str())).expect("a mount of fuse");
        Mounted { at: at.to_owned(), _silence: Some(silence) }
    }

    /// As the kubelet does: not when somebody uses it.
    pub(crate) fn unmount(&self) -> nix::Result<()> {
        umount2(&self.at, MntFlags::empty())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A test may have unmounted it.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}
