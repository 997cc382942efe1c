//! Mounted: a filesystem of one's own, in a sparse image.
//!
//! In: its kind. Out: an empty volume, mounted. Never: left mounted, or its loop device attached, after the drop, also of a test that panics.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::folder::{Folder, SmallDisk};
use tests::server::skip;

use crate::program::run;

/// What volumes are formatted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
    Tmpfs,
}

impl Kind {
    /// Those with a disk below them.
    pub(crate) const ON_DISK: [Kind; 3] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs];
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs, Kind::Tmpfs];

    fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Tmpfs => "tmpfs",
        }
    }
}

/// Sparse: what it takes is what is written.
pub(crate) const IMAGE_BYTES: u64 = 512 << 20;
/// Without these no test here can run.
const TOOLS: [&str; 9] =
    ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "xfs_io", "debugfs", "setfattr", "setfacl", "fio", "python3"];

/// True if volumes can be mounted; says SKIP if not.
pub(crate) fn can_mount() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &&&str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let missing: Vec<&str> = TOOLS.iter().filter(|tool| !is_there(tool)).copied().collect();
    if !missing.is_empty() {
        skip(&format!("missing: {}; `cargo xtask test` installs them", missing.join(", ")));
        return false;
    }
    if !Path::new("/dev/loop-control").exists() {
        skip("there are no loop devices");
        return false;
    }
    // Says itself what is in the way, if anything.
    SmallDisk::mount(1 << 20).is_some()
}

/// A mounted filesystem, unmounted when dropped.
pub(crate) struct Volume {
    pub(crate) kind: Kind,
    folder: Folder,
}

impl Volume {
    /// A new and empty one, mounted.
    pub(crate) fn new(kind: Kind) -> Volume {
        let volume = Volume::unmounted(kind);
        let image = volume.image();
        if kind != Kind::Tmpfs {
            File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES)).expect("an image");
        }
        match kind {
            // Values of more than a block need inodes of their own.
            Kind::Ext4 => drop(run("mkfs.ext4", &["-q", "-F", "-O", "ea_inode", text(&image)])),
            Kind::Xfs => drop(run("mkfs.xfs", &["-q", "-f", text(&image)])),
            Kind::Btrfs => drop(run("mkfs.btrfs", &["-q", "-f", text(&image)])),
            Kind::Tmpfs => {}
        }
        volume.mount();
        volume
    }

    /// A copy of the image of another as it is on the disk at this moment, not mounted.
    pub(crate) fn copy_of(other: &Volume) -> Volume {
        let volume = Volume::unmounted(other.kind);
        run("cp", &["--sparse=always", text(&other.image()), text(&volume.image())]);
        volume
    }

    fn unmounted(kind: Kind) -> Volume {
        let volume = Volume { kind, folder: Folder::new("volume") };
        std::fs::create_dir(volume.root()).expect("a mount point");
        volume
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The file that it lives in.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Mounts it.
    pub(crate) fn mount(&self) {
        self.mount_with("relatime");
    }

    /// Mounts it with options of its own.
    pub(crate) fn mount_with(&self, options: &str) {
        let root = self.root();
        match self.kind {
            Kind::Tmpfs => run("mount", &["-t", "tmpfs", "-o", "size=512m", "holdfast", text(&root)]),
            kind => {
                let options = format!("loop,{options}");
                run("mount", &["-t", kind.name(), "-o", &options, text(&self.image()), text(&root)])
            }
        };
    }

    /// Unmounts it; the loop device goes with the mount.
    pub(crate) fn unmount(&self) {
        run("umount", &[text(&self.root())]);
    }

    /// Unmounts it and mounts it again.
    pub(crate) fn remount(&self) {
        self.unmount();
        self.mount();
    }

    /// The loop device below it.
    pub(crate) fn device(&self) -> String {
        run("findmnt", &["-n", "-o", "SOURCE", "--target", text(&self.root())]).trim().to_owned()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let is_mounted = Command::new("mountpoint").arg("-q").arg(self.root()).status();
        if !is_mounted.is_ok_and(|status| status.success()) {
            return;
        }
        // Recursive: a test may have mounted something inside. Lazy only where somebody still has a file open, so that a test that panics leaves nothing either.
        let unmount = |how: &str| Command::new("umount").arg(how).arg(self.root()).output();
        if !unmount("-R").is_ok_and(|output| output.status.success()) {
            match unmount("-Rl") {
                Ok(output) if output.status.success() => {}
                other => eprintln!("{} stays mounted: {other:?}", self.root().display()),
            }
        }
    }
}

/// A path of the temporary folder, which is text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
