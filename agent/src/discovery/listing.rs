//! Listing: the kubelet's tree, read by the types of its directory entries.
//!
//! In: the kubelet's root. Out: one [`Entry`] per volume directory or device link, which directories were read (for the watch), and what was wrong.
//! Never: opens, stats or follows an entry that stands for a volume; of a CSI volume only the `vol_data.json` beside its mount. Never enters `volume-subpaths`: those are mounts
//! *into* volumes. Never takes "cannot be read" for "empty".
//!
//! ```text
//! pods/<uid>/volumes/<plugin>/<name>          a volume, or the directory that holds it
//! pods/<uid>/volumeDevices/<plugin>/<name>    a link to a raw block device
//! ```

mod directory;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;

use super::identity::{EntryId, PodUid};
use super::layout;
use super::problem::Problem;
use super::vol_data::{self, CsiFacts};
use directory::{Names, kubernetes_name};

/// What a volume offers to whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A directory tree.
    Filesystem,
    /// A raw block device.
    Block,
}

/// How much of a tree is held. Real nodes have some hundred pods with some ten volumes each; the limits keep a runaway from taking the agent's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pods.
    pub pods: usize,
    /// Plugins in one directory of one pod.
    pub plugins: usize,
    /// Volumes of the whole node.
    pub volumes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pods: 8_192, plugins: 256, volumes: 65_536 }
    }
}

/// One directory entry that stands for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: EntryId,
    /// In which of the two trees it stands.
    pub kind: Kind,
    /// What the kubelet wrote about it, for CSI.
    pub csi: Option<Result<CsiFacts, Problem>>,
}

/// What could not be listed this time, so that its volumes are neither there nor gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// The whole tree.
    pub everything: bool,
    /// These pods, or a part of them.
    pub pods: BTreeSet<PodUid>,
}

/// The tree of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The kubelet's root without links in its path: so the mount table names it.
    pub root: PathBuf,
    /// Sorted by pod, tree, plugin and name.
    pub entries: Vec<Entry>,
    /// Every directory that was read.
    pub directories: BTreeSet<PathBuf>,
    /// What was wrong.
    pub problems: Vec<Problem>,
    /// What is not known.
    pub missed: Missed,
}

/// Lists the tree below `root`, which is the operator's word: links in it are followed.
pub fn list(root: &Path, limits: &Limits) -> Listing {
    let mut listing = Listing { root: root.to_path_buf(), ..Listing::default() };
    let opened = std::fs::canonicalize(root).and_then(|real| {
        let fd = File::open(&real)?;
        Ok((real, fd))
    });
    match opened {
        Ok((real, fd)) => {
            listing.root = real;
            Lister { root: fd.as_fd(), limits, listing: &mut listing }.pods();
        }
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            listing.problems.push(Problem::NoPods { path: root.to_path_buf(), why: errno.desc() });
            listing.missed.everything = true;
        }
    }
    listing
}

struct Lister<'a> {
    root: BorrowedFd<'a>,
    limits: &'a Limits,
    listing: &'a mut Listing,
}

impl Lister<'_> {
    fn pods(&mut self) {
        let path = self.listing.root.join("pods");
        let (pods, names) = match directory::open_pods(&path).and_then(|pods| directory::read(pods, self.limits.pods)) {
            Ok(read) => read,
            Err(errno) => {
                self.listing.problems.push(Problem::NoPods { path, why: errno.desc() });
                self.listing.missed.everything = true;
                return;
            }
        };
        self.listing.directories.insert(path.clone());
        for name in self.directories_in(&path, names, "pods", self.limits.pods) {
            self.pod(pods.as_fd(), &path, PodUid(name));
        }
    }

    /// A pod is looked into by the names that the kubelet gives; what else lies there is none of our business.
    fn pod(&mut self, pods: BorrowedFd<'_>, above: &Path, pod_uid: PodUid) {
        let path = above.join(&pod_uid.0);
        // Noted for the watch even while it is empty: `volumes` comes later.
        let Some(pod) = self.open(pods, &pod_uid.0, &path, &pod_uid) else { return };
        for (tree, kind) in [("volumes", Kind::Filesystem), ("volumeDevices", Kind::Block)] {
            let path = path.join(tree);
            let Some((dir, names)) = self.read(pod.as_fd(), tree, &path, &pod_uid, self.limits.plugins) else {
                continue;
            };
            for plugin in self.directories_in(&path, names, "plugins", self.limits.plugins) {
                self.plugin(dir.as_fd(), &path.join(&plugin), &pod_uid, &plugin, kind);
            }
        }
    }

    /// The level at which nothing may be touched any more: the entries are volumes.
    fn plugin(&mut self, tree: BorrowedFd<'_>, path: &Path, pod_uid: &PodUid, plugin: &str, kind: Kind) {
        let room = self.limits.volumes.saturating_sub(self.listing.entries.len());
        let Some((dir, names)) = self.read(tree, plugin, path, pod_uid, room) else { return };
        if names.more {
            let (path, max) = (self.listing.root.clone(), self.limits.volumes);
            self.problem_once(Problem::TooMany { path, what: "volumes", max });
        }
        for (name, found) in names.kept {
            let Some(name) = self.kubernetes_name(path, &name) else { continue };
            let expected = if kind == Kind::Block { Type::Symlink } else { Type::Directory };
            // A filesystem that tells no types leaves it to the worker that opens the volume, which looks before it opens.
            if found.is_some_and(|found| found != expected) {
                self.stranger(&path.join(name), found);
                continue;
            }
            let id = EntryId { pod_uid: pod_uid.clone(), plugin: plugin.to_owned(), name };
            let csi = layout::row(plugin).is_csi().then(|| self.csi(dir.as_fd(), path, &id, kind));
            self.listing.entries.push(Entry { id, kind, csi });
        }
    }

    fn csi(&self, plugin: BorrowedFd<'_>, path: &Path, id: &EntryId, kind: Kind) -> Result<CsiFacts, Problem> {
        let name = &id.name;
        let data = layout::row(&id.plugin).block.and_then(|block| block.data);
        let (from, above, below) = match (kind, data) {
            (Kind::Block, Some(data)) => {
                (self.root, self.listing.root.clone(), format!("{data}/{name}/data/vol_data.json"))
            }
            _ => (plugin, path.to_path_buf(), format!("{name}/vol_data.json")),
        };
        vol_data::read(from, &below, name).map_err(|error| Problem::VolData { path: above.join(&below), error })
    }

    /// The names of what are directories in `path`; everything else is a problem.
    fn directories_in(&mut self, path: &Path, names: Names, what: &'static str, max: usize) -> Vec<String> {
        if names.more {
            self.listing.problems.push(Problem::TooMany { path: path.to_path_buf(), what, max });
        }
        let mut directories = Vec::with_capacity(names.kept.len());
        for (name, found) in names.kept {
            let Some(name) = self.kubernetes_name(path, &name) else { continue };
            match found {
                Some(Type::Directory) | None => directories.push(name),
                other => self.stranger(&path.join(name), other),
            }
        }
        directories
    }

    fn kubernetes_name(&mut self, path: &Path, name: &[u8]) -> Option<String> {
        let known = kubernetes_name(name);
        if known.is_none() {
            let path = path.join(OsStr::from_bytes(name));
            self.listing.problems.push(Problem::StrangeName { path });
        }
        known
    }

    fn open(&mut self, above: BorrowedFd<'_>, name: &str, path: &Path, pod: &PodUid) -> Option<OwnedFd> {
        let opened = directory::open(above, name);
        self.note(opened, path, pod)
    }

    fn read(
        &mut self,
        above: BorrowedFd<'_>,
        name: &str,
        path: &Path,
        pod: &PodUid,
        max: usize,
    ) -> Option<(Dir, Names)> {
        let read = directory::open(above, name).and_then(|dir| directory::read(dir, max));
        self.note(read, path, pod)
    }

    /// What went away meanwhile is no problem; what cannot be read leaves its pod unknown.
    fn note<T>(&mut self, result: Result<T, Errno>, path: &Path, pod: &PodUid) -> Option<T> {
        match result {
            Ok(value) => {
                self.listing.directories.insert(path.to_path_buf());
                Some(value)
            }
            Err(Errno::ENOENT) => None,
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                self.stranger(path, None);
                None
            }
            Err(errno) => {
                self.listing.problems.push(Problem::Unlisted { path: path.to_path_buf(), why: errno.desc() });
                self.listing.missed.pods.insert(pod.clone());
                None
            }
        }
    }

    fn stranger(&mut self, path: &Path, found: Option<Type>) {
        let what = match found {
            Some(Type::Symlink) => "a symbolic link",
            Some(Type::File) => "a file",
            Some(Type::Directory) => "a directory",
            Some(Type::Fifo | Type::Socket) => "a pipe or a socket",
            Some(Type::BlockDevice | Type::CharacterDevice) => "a device",
            None => "no directory",
        };
        self.listing.problems.push(Problem::Stranger { path: path.to_path_buf(), what });
    }

    fn problem_once(&mut self, problem: Problem) {
        if !self.listing.problems.contains(&problem) {
            self.listing.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests;
