//! Scratch: folders and mounts that are gone afterwards, whatever happened.
//!
//! In: a name. Out: a folder below cargo's target folder; an ext4 in a file, mounted. Never: leaves a mount, a loop device or a folder behind,
//! unless it is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{process, workspace::Workspace};

/// A folder that is removed on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Scratch {
    /// A fresh folder for this process.
    pub(crate) fn create(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.target().join("xtask").join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("{} could not be created", path.display()))?;
        Ok(Self { path })
    }

    /// A fresh folder inside.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("{} could not be created", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("xtask: {} could not be removed: {error}", self.path.display());
        }
    }
}

/// An ext4 in a sparse file, mounted through a loop device that the kernel frees with the mount.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Where it is mounted.
    pub(crate) path: PathBuf,
}

impl Disk {
    /// Why there can be no loop-mounted filesystem here.
    pub(crate) fn obstacle() -> Option<&'static str> {
        if !process::is_root() {
            return Some("only root may mount");
        }
        if process::find_program("mkfs.ext4").is_none() {
            return Some("mkfs.ext4 is missing (Debian: e2fsprogs)");
        }
        let free = process::find_program("losetup").is_some_and(|losetup| {
            let mut probe = Command::new(losetup);
            probe.arg("--find").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        });
        (!free).then_some("there is no free loop device")
    }

    /// Makes a filesystem of `bytes` with room for `inodes` in the file `image`.
    pub(crate) fn format(image: &Path, bytes: u64, inodes: u64) -> Result<()> {
        let file = fs::File::create(image).with_context(|| format!("{} could not be created", image.display()))?;
        file.set_len(bytes).with_context(|| format!("{} could not be made {bytes} bytes long", image.display()))?;
        let program = process::find_program("mkfs.ext4").context("mkfs.ext4 is missing (Debian: e2fsprogs)")?;
        // Tables are written now, or the kernel would do it in the background of what is measured.
        let mut command = Command::new(program);
        command.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-N", &inodes.to_string()]);
        process::run(command.arg(image))
    }

    /// Mounts the file `image` at the folder `path`.
    pub(crate) fn mount(image: &Path, path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("{} could not be created", path.display()))?;
        process::run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(image).arg(path))?;
        let disk = Self { path: path.to_owned() };
        let lost = disk.path.join("lost+found");
        if lost.is_dir() {
            fs::remove_dir(&lost).with_context(|| format!("{} could not be removed", lost.display()))?;
        }
        Ok(disk)
    }

    /// The name of the loop device, such as `loop0`.
    pub(crate) fn device(&self) -> Result<String> {
        let source =
            process::text(Command::new("findmnt").args(["-n", "-o", "SOURCE", "--mountpoint"]).arg(&self.path))?;
        Ok(source.trim_start_matches("/dev/").to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let gently = process::capture(Command::new("umount").arg(&self.path));
        if let Err(error) = gently {
            eprintln!("xtask: {error:#}; detaching it lazily");
            if let Err(error) = process::capture(Command::new("umount").arg("--lazy").arg(&self.path)) {
                eprintln!("xtask: {error:#}; unmount it by hand: umount {}", self.path.display());
            }
        }
    }
}
