//! A folder for one test, or a file system of its own.
//!
//! In: the machine's place for temporary files. Out: an empty folder of one's own, removed when dropped; a small file system in memory, unmounted
//! when dropped. Never: reuses a folder that exists.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::skip;

/// An empty folder, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new one; `purpose` is part of its name.
    ///
    /// # Panics
    /// When it cannot be made: without it the test cannot run.
    #[expect(
        clippy::disallowed_methods,
        reason = "creating refuses a path that exists, a link included, so that nobody else's folder is ever used"
    )]
    pub fn new(purpose: &str) -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("holdfast-{purpose}-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Folder { path },
                // Left behind by a process that had the same id and was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file system in memory, of a size that a test can fill.
#[derive(Debug)]
pub struct SmallDisk {
    folder: Folder,
}

impl SmallDisk {
    /// One of `bytes`; None (and the word SKIP) where this process may not mount.
    pub fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = Folder::new("disk");
        match run_mount(&["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"], folder.path()) {
            Ok(()) => Some(SmallDisk { folder }),
            Err(error) => {
                skip(&format!("no file system can be mounted here: {error}"));
                None
            }
        }
    }

    /// Makes it read-only.
    ///
    /// # Panics
    /// When that fails: then the test proves nothing.
    pub fn make_read_only(&self) {
        run_mount(&["-o", "remount,ro"], self.path()).unwrap_or_else(|error| panic!("not read-only: {error}"));
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        match Command::new("umount").arg(self.path()).output() {
            Ok(output) if output.status.success() => {}
            other => eprintln!("{} stays mounted: {other:?}", self.path().display()),
        }
    }
}

fn run_mount(arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(path).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}
