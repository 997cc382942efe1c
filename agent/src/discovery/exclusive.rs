//! Exclusive: whether a filesystem belongs to one volume alone.
//!
//! In: the mount of a volume, the mount table, and which volume owns which mount point. Out: yes or no. Never: yes on doubt. Freezing, `syncfs` and filesystem-wide marks act on the
//! whole filesystem: on the node's own they would stop or burden the node.
//!
//! The mount table is the agent's: in a container it does not show all of the node's mounts. A part of a filesystem is told by its root all the same, and a filesystem that is
//! mounted whole as a volume is that volume, whoever else looks at it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::mounts::{Mount, Mounts};

/// Filesystems of a block device that have one superblock each and can be frozen. Network filesystems say "/" whatever part they mount; FUSE says what it likes.
const ON_A_DEVICE: [&[u8]; 6] = [b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs"];

/// Who owns what below the kubelet's root. `V` names a volume.
#[derive(Debug)]
pub struct Owners<'a, V> {
    /// The kubelet's root.
    pub root: &'a Path,
    /// The mount points of volumes.
    pub points: HashMap<PathBuf, V>,
    /// Volumes by pod and name of the entry, for the mounts into them that the kubelet makes.
    pub entries: HashMap<(String, String), V>,
}

/// Whether the filesystem under `mount`, a place of `volume`, is that volume and nothing else.
pub fn is_exclusive<V: PartialEq>(mount: &Mount, volume: &V, mounts: &Mounts, owners: &Owners<'_, V>) -> bool {
    // The mount itself is one of its device's: a part of a filesystem is refused there too.
    ON_A_DEVICE.contains(&mount.fs_type.as_slice())
        && mounts.unreadable() == 0
        && mounts.of_device(mount.device).all(|other| is_harmless(other, volume, owners))
}

fn is_harmless<V: PartialEq>(other: &Mount, volume: &V, owners: &Owners<'_, V>) -> bool {
    // The kubelet itself, and with it every directory volume, lives there.
    if owners.root.starts_with(&other.point) {
        return false;
    }
    let Ok(below) = other.point.strip_prefix(owners.root) else {
        // A disk that the node mounts, of which the volume is all and not a part.
        return other.is_whole();
    };
    let mut names = below.components().map(Component::as_os_str);
    match names.next().and_then(OsStr::to_str) {
        // Where a driver stages a volume before its pods have it.
        Some("plugins") => other.is_whole(),
        Some("pods") if other.is_whole() && owners.points.get(&other.point) == Some(volume) => true,
        Some("pods") => subpath(names).is_some_and(|entry| owners.entries.get(&entry) == Some(volume)),
        _ => false,
    }
}

/// The pod and the entry of `<uid>/volume-subpaths/<entry>/<container>/<index>`.
fn subpath<'a>(mut names: impl Iterator<Item = &'a OsStr>) -> Option<(String, String)> {
    let pod = names.next()?.to_str()?;
    (names.next()? == "volume-subpaths").then_some(())?;
    let entry = names.next()?.to_str()?;
    Some((pod.to_owned(), entry.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str = "/k/pods/u1/volumes/kubernetes.io~csi/pv/mount";

    /// Whether volume 1, mounted at `POINT`, owns its filesystem, with these further lines.
    fn exclusive(fs_type: &str, root: &str, more: &str) -> bool {
        let text = format!("1 0 8:1 / / rw - ext4 s rw\n2 1 8:16 {root} {POINT} rw - {fs_type} s rw\n{more}\n");
        let mounts = Mounts::parse(text.as_bytes());
        let second = PathBuf::from("/k/pods/u2/volumes/kubernetes.io~csi/pv/mount");
        let other = PathBuf::from("/k/pods/u3/volumes/kubernetes.io~csi/pv2/mount");
        let owners = Owners {
            root: Path::new("/k"),
            points: HashMap::from([(POINT.into(), 1), (second, 1), (other, 2)]),
            entries: HashMap::from([(("u1".into(), "pv".into()), 1), (("u3".into(), "pv2".into()), 2)]),
        };
        let mount = mounts.all().iter().find(|mount| mount.id == 2).unwrap();
        is_exclusive(mount, &1, &mounts, &owners)
    }

    #[test]
    fn only_a_whole_filesystem_of_a_device_can_belong_to_a_volume() {
        for fs_type in ["ext4", "xfs", "btrfs"] {
            assert!(exclusive(fs_type, "/", ""), "{fs_type}");
        }
        for fs_type in ["tmpfs", "nfs4", "fuse.bindfs", "overlay", "ceph", "zfs"] {
            assert!(!exclusive(fs_type, "/", ""), "{fs_type}");
        }
        assert!(!exclusive("ext4", "/local/pv", ""), "a directory of a filesystem");
        assert!(!exclusive("btrfs", "/subvolume", ""), "a subvolume");
    }

    #[test]
    fn what_else_is_mounted_of_the_filesystem_decides() {
        let table = [
            ("3 1 8:16 / /k/plugins/kubernetes.io/csi/d/x/globalmount rw - ext4 s rw", true, "staged by its driver"),
            (
                "3 1 8:16 / /k/pods/u2/volumes/kubernetes.io~csi/pv/mount rw - ext4 s rw",
                true,
                "the same volume in another pod",
            ),
            ("3 1 8:16 /a /k/pods/u1/volume-subpaths/pv/c/0 rw - ext4 s rw", true, "a subpath of the same volume"),
            ("3 1 8:16 / /mnt/disks/ssd1 rw - ext4 s rw", true, "a disk of the node that is the volume"),
            ("3 1 8:32 / /k/pods/u3/volumes/kubernetes.io~csi/pv2/mount rw - ext4 s rw", true, "another filesystem"),
            ("3 1 8:16 / /k/pods/u3/volumes/kubernetes.io~csi/pv2/mount rw - ext4 s rw", false, "another volume"),
            ("3 1 8:16 /b /k/pods/u3/volume-subpaths/pv2/c/0 rw - ext4 s rw", false, "a subpath of another volume"),
            (
                "3 1 8:16 /b /k/pods/u3/volumes/kubernetes.io~local-volume/pv3 rw - ext4 s rw",
                false,
                "a part is another volume",
            ),
            (
                "3 1 8:16 /b /k/pods/u1/volumes/kubernetes.io~csi/pv/mount/in rw - ext4 s rw",
                false,
                "mounted in itself, for whatever reason",
            ),
            ("3 1 8:16 /pv2 /mnt/disks/pv2 rw - ext4 s rw", false, "a part is something else to the node"),
            ("3 1 8:16 /x /k/plugins/d/pv2 rw - ext4 s rw", false, "a part is staged"),
            ("3 1 8:16 / /k rw - ext4 s rw", false, "the kubelet lives there"),
            ("3 1 8:16 / / rw - ext4 s rw", false, "and so does the node"),
            ("3 1 8:16 / /k/elsewhere rw - ext4 s rw", false, "who knows"),
            ("what is this", false, "a table that is not whole"),
        ];
        for (line, expected, why) in table {
            assert_eq!(exclusive("ext4", "/", line), expected, "{why}");
        }
    }
}
