//! Snapshot: every volume of this node, once, with the places where it is.
//!
//! In: a listing, the mount table, and what comes from outside. Out: a [`Snapshot`]; equal inputs give equal snapshots, in whatever order they were found.
//! Never: looks at the machine, or takes a volume that may be one of those that are never taken.
//!
//! A state is a hint of the moment it was read. Whoever opens the volume asks again, of the open directory itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::allowed::{AdmittedPath, AllowedError};
use super::exclusive::{Owners, is_exclusive};
use super::identity::{ClaimUid, EntryId, Identity, PodUid, identity};
use super::layout::{self, Absent, NameIs, Taking};
use super::listing::{Entry, Kind, Listing, Missed};
use super::mounts::{Device, Mount, Mounts};
use super::problem::Problem;
use super::vol_data::{CsiFacts, Lifecycle};
use crate::text::escape;

/// The plugin of paths outside the kubelet's root.
pub const HOST_PATH: &str = "host-path";

/// Filesystems that keep their content in memory.
const MEMORY_FILESYSTEMS: [&str; 3] = ["tmpfs", "ramfs", "hugetlbfs"];

/// What configuration and controller add to what is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Paths outside the kubelet's root, admitted by [`super::allowed::Prefixes`].
    pub paths: Vec<AdmittedPath>,
    /// Claims, as far as the controller has resolved entries. A claim that becomes known changes the identity of volumes whose name alone did not tell it.
    pub claims: BTreeMap<EntryId, ClaimUid>,
    /// Whether this agent may open raw block devices.
    pub raw_block: bool,
}

/// What a volume is called inside the agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VolumeKey {
    /// What makes it this volume.
    pub identity: Identity,
    /// How it is offered.
    pub kind: Kind,
}

/// One volume, however many pods use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// What it is.
    pub key: VolumeKey,
    /// The plugin's directory name, or [`HOST_PATH`].
    pub plugin: String,
    /// What the names of its places are.
    pub name_is: NameIs,
    /// What the kubelet wrote about it, for CSI.
    pub csi: Option<CsiFacts>,
    /// Whether it is taken.
    pub taking: Taking,
    /// What could not be found out about it.
    pub problem: Option<Problem>,
    /// Where it is, at least one; the first is the one to use: one that is mounted, if any is.
    pub places: Vec<Place>,
}

impl Volume {
    /// The place to use. A volume always has one; the caller need not prove it.
    pub fn place(&self) -> Option<&Place> {
        self.places.first()
    }
}

/// One place of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The pod that it was made for; none for a path outside the kubelet's root.
    pub pod_uid: Option<PodUid>,
    /// The name of its entry.
    pub name: String,
    /// What a worker opens: never a link of the kubelet, and never opened by this process.
    #[serde(serialize_with = "crate::text::serialize_path")]
    pub path: PathBuf,
    /// How it is there.
    pub state: State,
}

/// How a volume is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Something is mounted exactly there.
    Mounted(Mounted),
    /// A directory on a filesystem that it shares with others.
    Directory,
    /// Its directory is there and it is not. Read as it stands it would look empty.
    Unmounted,
    /// It could not be found out.
    Unknown,
}

/// A mount, as far as a worker must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mounted {
    /// Another number is another mount. The same number proves nothing: the kernel gives it away again, even at once, so a volume that was mounted anew between two
    /// looks may look as before. Whoever relies on an unbroken mount asks the kernel for the unique one, of the open volume.
    pub mount: u64,
    /// The filesystem's numbers; those of the node's device directory for a raw block device.
    pub device: Device,
    /// Such as `ext4`.
    pub fs_type: String,
    /// It cannot be written to here.
    pub read_only: bool,
    /// The filesystem is this volume and nothing else: it may be frozen, synced and watched as a whole.
    pub exclusive: bool,
}

/// Every volume of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// By what they are.
    #[serde(serialize_with = "as_list")]
    pub volumes: BTreeMap<VolumeKey, Volume>,
    /// What was wrong with the tree, the mount table or what was asked for.
    pub problems: BTreeSet<Problem>,
}

fn as_list<S: Serializer>(volumes: &BTreeMap<VolumeKey, Volume>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(volumes.values())
}

/// Puts together what is known. Without `mounts` nothing is known to be mounted, or not to be.
pub fn snapshot(listing: &Listing, mounts: Option<&Mounts>, outside: &Outside) -> Snapshot {
    let mut snapshot = Snapshot { problems: listing.problems.iter().cloned().collect(), ..Snapshot::default() };
    let found: Vec<Found<'_>> = listing.entries.iter().map(|entry| Found::new(entry, listing, outside)).collect();
    let owners = owners(listing, &found);
    for found in &found {
        let volume = found.volume(mounts, &owners);
        match snapshot.volumes.get_mut(&volume.key) {
            Some(known) => known.places.extend(volume.places),
            None => drop(snapshot.volumes.insert(volume.key.clone(), volume)),
        }
    }
    for path in &outside.paths {
        match host_path(path, &listing.root, mounts) {
            Ok(volume) => drop(snapshot.volumes.insert(volume.key.clone(), volume)),
            Err(problem) => drop(snapshot.problems.insert(problem)),
        }
    }
    if let Some(unreadable) = mounts.map(Mounts::unreadable).filter(|lines| *lines > 0) {
        snapshot.problems.insert(Problem::Mounts { why: format!("{unreadable} of its lines cannot be read") });
    }
    for volume in snapshot.volumes.values_mut() {
        volume.places.sort_by(|a, b| a.order().cmp(&b.order()));
    }
    snapshot
}

/// Keeps what `old` knew of what was missed: a directory that cannot be listed is not a volume that is gone.
pub fn keep_missed(snapshot: &mut Snapshot, old: &Snapshot, missed: &Missed) {
    let is_missed = |place: &Place| match &place.pod_uid {
        Some(pod) => missed.everything || missed.pods.contains(pod),
        None => false,
    };
    for (key, volume) in &old.volumes {
        if snapshot.volumes.contains_key(key) {
            continue;
        }
        let mut kept = volume.clone();
        kept.places.retain(is_missed);
        kept.places.iter_mut().for_each(|place| place.state = State::Unknown);
        if !kept.places.is_empty() {
            snapshot.volumes.insert(key.clone(), kept);
        }
    }
}

impl Place {
    /// What is mounted first, and then always the same.
    fn order(&self) -> (u8, &Option<PodUid>, &str) {
        let rank = match self.state {
            State::Mounted(_) => 0,
            State::Directory => 1,
            State::Unmounted => 2,
            State::Unknown => 3,
        };
        (rank, &self.pod_uid, &self.name)
    }
}

/// An entry, and what follows from it alone.
struct Found<'a> {
    entry: &'a Entry,
    key: VolumeKey,
    path: PathBuf,
    name_is: NameIs,
    taking: Taking,
    absent: Option<Absent>,
}

impl<'a> Found<'a> {
    fn new(entry: &'a Entry, listing: &Listing, outside: &Outside) -> Found<'a> {
        let row = layout::row(&entry.id.plugin);
        let claim = outside.claims.get(&entry.id);
        let facts = entry.csi.as_ref().and_then(|csi| csi.as_ref().ok());
        let key = VolumeKey { identity: identity(&entry.id, row.name_is, facts, claim), kind: entry.kind };
        let name_is = match (facts, row.name_is, claim) {
            (Some(CsiFacts { lifecycle: Lifecycle::Persistent, .. }), ..) | (None, NameIs::Either, Some(_)) => {
                NameIs::PersistentVolume
            }
            (Some(CsiFacts { lifecycle: Lifecycle::Ephemeral, .. }), ..) => NameIs::PodVolume,
            (None, name_is, _) => name_is,
        };
        let (path, absent) = place_of(entry, &listing.root);
        Found { entry, key, path, name_is, taking: taking_of(entry, outside.raw_block), absent }
    }

    fn volume(&self, mounts: Option<&Mounts>, owners: &Owners<'_, &VolumeKey>) -> Volume {
        let id = &self.entry.id;
        let state = self.state(mounts, owners);
        let in_memory = match &state {
            State::Mounted(mounted) => MEMORY_FILESYSTEMS.contains(&mounted.fs_type.as_str()),
            _ => false,
        };
        let taking = match self.taking {
            Taking::OptIn(_) if in_memory => Taking::Never(layout::IN_MEMORY),
            taking => taking,
        };
        let (csi, problem) = match self.entry.csi.clone() {
            Some(Ok(facts)) => (Some(facts), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let place = Place { pod_uid: Some(id.pod_uid.clone()), name: id.name.clone(), path: self.path.clone(), state };
        Volume {
            key: self.key.clone(),
            plugin: id.plugin.clone(),
            name_is: self.name_is,
            csi,
            taking,
            problem,
            places: vec![place],
        }
    }

    fn state(&self, mounts: Option<&Mounts>, owners: &Owners<'_, &VolumeKey>) -> State {
        let (Some(mounts), Some(absent)) = (mounts, self.absent) else { return State::Unknown };
        match (mounts.at(&self.path), absent) {
            (Some(mount), _) => mounted(mount, is_exclusive(mount, &&self.key, mounts, owners)),
            (None, Absent::NotMounted) => State::Unmounted,
            (None, Absent::NoDirectory) => State::Directory,
        }
    }
}

/// What a worker opens for an entry, and how that looks while the volume is not there; `None`: nobody knows.
fn place_of(entry: &Entry, root: &Path) -> (PathBuf, Option<Absent>) {
    let EntryId { pod_uid, plugin, name } = &entry.id;
    let row = layout::row(plugin);
    let pod = root.join("pods").join(&pod_uid.0);
    match (entry.kind, row.block) {
        (Kind::Filesystem, _) => {
            let path = pod.join("volumes").join(plugin).join(name);
            let path = if row.inside.is_empty() { path } else { path.join(row.inside) };
            (path, Some(row.absent))
        }
        (Kind::Block, Some(block)) => (root.join(block.devices).join(name).join(&pod_uid.0), Some(Absent::NotMounted)),
        (Kind::Block, None) => (pod.join("volumeDevices").join(plugin).join(name), None),
    }
}

fn taking_of(entry: &Entry, raw_block: bool) -> Taking {
    let row = layout::row(&entry.id.plugin);
    match (&entry.csi, row.taking) {
        _ if entry.id.name.starts_with(layout::WRAPPED_PREFIX) => Taking::Never(layout::WRAPPED),
        (Some(Err(_)), _) => Taking::Never(layout::UNKNOWN_CSI),
        (Some(Ok(CsiFacts { lifecycle: Lifecycle::Ephemeral, .. })), _) => Taking::Never(layout::EPHEMERAL),
        (_, never @ Taking::Never(_)) => never,
        _ if entry.kind == Kind::Block && row.block.is_none() => Taking::Never(layout::UNKNOWN_BLOCK),
        _ if entry.kind == Kind::Block && !raw_block => Taking::Never(layout::NO_RAW_BLOCK),
        (_, taking) => taking,
    }
}

fn owners<'a>(listing: &'a Listing, found: &'a [Found<'_>]) -> Owners<'a, &'a VolumeKey> {
    let mut owners = Owners { root: &listing.root, points: HashMap::new(), entries: HashMap::new() };
    for found in found.iter().filter(|found| found.entry.kind == Kind::Filesystem) {
        let id = &found.entry.id;
        owners.points.insert(found.path.clone(), &found.key);
        owners.entries.insert((id.pod_uid.0.clone(), id.name.clone()), &found.key);
    }
    owners
}

fn mounted(mount: &Mount, exclusive: bool) -> State {
    State::Mounted(Mounted {
        mount: mount.id,
        device: mount.device,
        fs_type: mount.type_text(),
        read_only: mount.read_only || mount.super_read_only,
        exclusive,
    })
}

/// The words of the path were checked against the kubelet's root as it is configured; this is where it really is.
fn host_path(admitted: &AdmittedPath, root: &Path, mounts: Option<&Mounts>) -> Result<Volume, Problem> {
    use std::os::unix::ffi::OsStrExt;
    let path = admitted.path().to_path_buf();
    if path.starts_with(root) || root.starts_with(&path) {
        return Err(AllowedError::KubeletRoot { path, root: root.to_path_buf() }.into());
    }
    let state = match mounts.map(|mounts| mounts.at(&path)) {
        Some(Some(mount)) => mounted(mount, false),
        Some(None) => State::Directory,
        None => State::Unknown,
    };
    let name = escape(path.as_os_str().as_bytes());
    Ok(Volume {
        key: VolumeKey { identity: Identity::HostPath { path: path.clone() }, kind: Kind::Filesystem },
        plugin: HOST_PATH.to_owned(),
        name_is: NameIs::HostPath,
        csi: None,
        taking: Taking::Taken,
        problem: None,
        places: vec![Place { pod_uid: None, name, path, state }],
    })
}

#[cfg(test)]
mod tests;
