//! What the tests of this crate share: a kubelet's tree in a scratch directory, mounts and devices that go away again, and a listener.
//!
//! Only root can mount. A test that needs it and does not have it says SKIP.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crossbeam_channel::{after, select};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::discovery::delta::apply;
use crate::discovery::listing::{Limits, Listing, list};
use crate::discovery::watch::{Settings, look_once};
use crate::discovery::{Identity, Outside, Snapshot, State, Update, Volume, Watch};

/// Longer than a loaded machine takes for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIP: needs root");
    }
    root
}

/// A kubelet's root directory, with the files and directories that a kubelet makes.
pub(crate) struct Kubelet {
    scratch: TempDir,
}

impl Kubelet {
    pub(crate) fn new() -> Kubelet {
        // In memory where there is any: removing thousands of directories from a disk takes longer than the tests.
        let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(scratch.path().join("pods")).unwrap();
        Kubelet { scratch }
    }

    pub(crate) fn root(&self) -> &Path {
        self.scratch.path()
    }

    /// Makes a directory with all above it.
    pub(crate) fn make(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn link(&self, to: &str, path: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_dir_all(self.root().join(path)).unwrap();
    }

    /// A volume of a plugin without files of its own.
    pub(crate) fn volume(&self, pod: &str, plugin: &str, name: &str) -> PathBuf {
        self.make(&format!("pods/{pod}/volumes/kubernetes.io~{plugin}/{name}"))
    }

    /// A CSI volume as it is before it is mounted; returns where it will be.
    pub(crate) fn csi(&self, pod: &str, name: &str, handle: &str) -> PathBuf {
        let base = format!("pods/{pod}/volumes/kubernetes.io~csi/{name}");
        self.write(&format!("{base}/vol_data.json"), &vol_data(name, handle, "Persistent"));
        self.make(&format!("{base}/mount"))
    }

    pub(crate) fn list(&self) -> Listing {
        list(self.root(), &Limits::default())
    }

    pub(crate) fn look(&self) -> Snapshot {
        look_once(self.root(), &Limits::default(), &Outside::default())
    }

    /// Watches with a short debounce; `reconcile` is so long that only signals count, unless a test is about it.
    pub(crate) fn listen(&self, reconcile: Duration) -> Listener {
        let mut settings = Settings::new(self.root().to_path_buf());
        settings.debounce = Duration::from_millis(5);
        settings.reconcile = reconcile;
        Listener { watch: Watch::start(settings, Outside::default()).unwrap(), seen: Snapshot::default(), updates: 0 }
    }
}

pub(crate) fn vol_data(name: &str, handle: &str, lifecycle: &str) -> String {
    format!(
        r#"{{"driverName":"csi.example.org","nodeName":"n1","specVolID":"{name}","volumeHandle":"{handle}","volumeLifecycleMode":"{lifecycle}"}}"#
    )
}

/// The volume with this handle.
pub(crate) fn by_handle<'a>(snapshot: &'a Snapshot, wanted: &str) -> Option<&'a Volume> {
    snapshot
        .volumes
        .values()
        .find(|volume| matches!(&volume.key.identity, Identity::Csi { handle, .. } if handle == wanted))
}

/// The volume whose first place has this name.
pub(crate) fn by_name<'a>(snapshot: &'a Snapshot, wanted: &str) -> Option<&'a Volume> {
    snapshot.volumes.values().find(|volume| volume.place().is_some_and(|place| place.name == wanted))
}

pub(crate) fn state_of(volume: Option<&Volume>) -> Option<&State> {
    Some(&volume?.place()?.state)
}

pub(crate) fn is_mounted(volume: Option<&Volume>) -> bool {
    matches!(state_of(volume), Some(State::Mounted(_)))
}

/// Somebody who takes updates and applies them.
pub(crate) struct Listener {
    pub(crate) watch: Watch,
    pub(crate) seen: Snapshot,
    pub(crate) updates: usize,
}

impl Listener {
    /// Takes updates until `holds`.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let deadline = after(PATIENCE);
        let updates = self.watch.updates().clone();
        while self.updates == 0 || !holds(&self.seen) {
            select! {
                recv(updates) -> update => self.take(update.unwrap()),
                recv(deadline) -> _ => panic!("in vain: {what}: {:#?}", self.seen),
            }
        }
    }

    fn take(&mut self, update: Update) {
        self.updates += 1;
        match update {
            Update::Snapshot(snapshot) => {
                assert_eq!(self.updates, 1, "a snapshot comes first and once");
                self.seen = snapshot;
            }
            Update::Delta(changes) => {
                assert!(!changes.is_empty(), "an update that says nothing");
                changes.into_iter().for_each(|change| apply(&mut self.seen, change));
            }
        }
    }
}

/// Something mounted, until it is dropped.
pub(crate) struct Mounted {
    at: PathBuf,
    /// What the mount needs as long as it is there.
    _served_by: Option<File>,
}

impl Mounted {
    pub(crate) fn tmpfs(at: &Path) -> Mounted {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).unwrap();
        Mounted { at: at.to_path_buf(), _served_by: None }
    }

    pub(crate) fn bind(from: &Path, at: &Path) -> Mounted {
        mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        Mounted { at: at.to_path_buf(), _served_by: None }
    }

    pub(crate) fn device(device: &Path, at: &Path, fs_type: &str) -> Mounted {
        mount(Some(device), at, Some(fs_type), MsFlags::empty(), None::<&str>).unwrap();
        Mounted { at: at.to_path_buf(), _served_by: None }
    }

    /// A filesystem whose server never answers: whoever touches it waits until it is unmounted.
    pub(crate) fn dead(at: &Path) -> Option<Mounted> {
        let server = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        mount(Some("dead"), at, Some("fuse"), MsFlags::empty(), Some(options.as_str())).ok()?;
        Some(Mounted { at: at.to_path_buf(), _served_by: Some(server) })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It may be unmounted already: that is what some tests do.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

/// A loop device with an ext4 filesystem.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    _scratch: TempDir,
}

impl Loop {
    pub(crate) fn ext4() -> Option<Loop> {
        let scratch = tempfile::tempdir().unwrap();
        let image = scratch.path().join("image");
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        let attached = Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
        match (made, attached) {
            (Ok(made), Ok(attached)) if made.success() && attached.status.success() => {
                let path = String::from_utf8(attached.stdout).unwrap().trim().into();
                Some(Loop { path, _scratch: scratch })
            }
            _ => {
                eprintln!("SKIP: no loop device with ext4 to be had");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}
