//! Identity: what makes a volume the same volume.
//!
//! In: what the listing found, and the claim if the controller has told it. Out: [`Identity`]. Never: a mount id, a device number or an inode: those change when the same
//! volume is mounted again or on another node, and are given to other volumes afterwards.
//!
//! Merging two volumes into one history is worse than splitting one into two. So a name counts only where it cannot be chosen by whoever writes a pod: a directory that may be
//! named after a persistent volume *or* after a pod's own volume is that pod's until the controller says which claim it is.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Serialize;

use super::layout::NameIs;
use super::vol_data::{CsiFacts, Lifecycle};
use crate::text::escape;

/// A pod, as its directory is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PodUid(pub String);

/// A claim, as the controller knows it. A name can be used again, a UID is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClaimUid(pub String);

/// The same for the same volume whenever and wherever it is mounted, and different for what merely has its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Identity {
    /// The driver's own name for it: survives remounting, other nodes, and a claim that is made anew around the same storage.
    Csi {
        /// The CSI driver.
        driver: String,
        /// Its `volumeHandle`.
        handle: String,
    },
    /// A persistent volume of a plugin that has no handle of its own.
    PersistentVolume {
        /// The plugin's directory name.
        plugin: String,
        /// The persistent volume.
        name: String,
        /// Its claim. Persistent volumes that are made by hand are deleted and made again under the same name, for other storage.
        claim: Option<ClaimUid>,
    },
    /// A volume that lives and dies with its pod, or may be one.
    PodVolume {
        /// The pod.
        pod_uid: PodUid,
        /// The plugin's directory name.
        plugin: String,
        /// The name in the pod's specification.
        name: String,
    },
    /// A path of this node. It says nothing about other nodes: whoever collects volumes of several nodes adds the node.
    HostPath {
        /// Where.
        #[serde(serialize_with = "crate::text::serialize_path")]
        path: PathBuf,
    },
}

/// The name under which a volume is protected: parts between slashes, in which a slash is `%2F` and a percent sign `%25`, so that no two volumes share one.
impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
        match self {
            Identity::Csi { driver, handle } => write!(f, "csi/{}/{}", part(driver), part(handle)),
            Identity::PersistentVolume { plugin, name, claim } => {
                write!(f, "pv/{}/{}", part(plugin), part(name))?;
                claim.as_ref().map_or(Ok(()), |ClaimUid(claim)| write!(f, "/{}", part(claim)))
            }
            Identity::PodVolume { pod_uid: PodUid(pod), plugin, name } => {
                write!(f, "pod/{}/{}/{}", part(pod), part(plugin), part(name))
            }
            Identity::HostPath { path } => write!(f, "host-path/{}", escape(path.as_os_str().as_bytes())),
        }
    }
}

/// One directory entry that stands for a volume: what the controller resolves to a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EntryId {
    /// The pod.
    pub pod_uid: PodUid,
    /// The plugin's directory name, such as `kubernetes.io~csi`.
    pub plugin: String,
    /// The entry's name.
    pub name: String,
}

/// The identity of an entry. `csi` is `None` for other plugins and where the driver's facts could not be read.
pub fn identity(entry: &EntryId, name_is: NameIs, csi: Option<&CsiFacts>, resolved: Option<&ClaimUid>) -> Identity {
    let EntryId { pod_uid, plugin, name } = entry.clone();
    match (csi, name_is, resolved) {
        (Some(CsiFacts { driver, handle, lifecycle: Lifecycle::Persistent, .. }), ..) => {
            Identity::Csi { driver: driver.clone(), handle: handle.clone() }
        }
        // A broken file must not lend a volume another history: until it can be read, the entry is nobody's but the pod's.
        (Some(_), ..)
        | (None, NameIs::CsiDecides | NameIs::PodVolume | NameIs::HostPath, _)
        | (None, NameIs::Either, None) => Identity::PodVolume { pod_uid, plugin, name },
        (None, NameIs::PersistentVolume, claim) | (None, NameIs::Either, claim) => {
            Identity::PersistentVolume { plugin, name, claim: claim.cloned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pod: &str, plugin: &str, name: &str) -> EntryId {
        EntryId { pod_uid: PodUid(pod.into()), plugin: plugin.into(), name: name.into() }
    }

    fn csi(driver: &str, handle: &str, lifecycle: Lifecycle) -> CsiFacts {
        CsiFacts { driver: driver.into(), handle: handle.into(), lifecycle, attachment: None }
    }

    fn of_csi(pod: &str, name: &str, facts: &CsiFacts) -> Identity {
        identity(&entry(pod, "kubernetes.io~csi", name), NameIs::CsiDecides, Some(facts), None)
    }

    fn of(pod: &str, name: &str, name_is: NameIs, claim: Option<&str>) -> Identity {
        let claim = claim.map(|uid| ClaimUid(uid.into()));
        identity(&entry(pod, "kubernetes.io~nfs", name), name_is, None, claim.as_ref())
    }

    #[test]
    fn a_csi_volume_is_its_handle_whatever_pod_and_name_it_has() {
        let facts = csi("d", "h", Lifecycle::Persistent);
        assert_eq!(of_csi("pod-a", "pv-1", &facts), of_csi("pod-b", "pv-2", &facts));
    }

    #[test]
    fn a_name_used_again_for_another_handle_or_driver_is_another_volume() {
        let first = of_csi("pod-a", "pv-1", &csi("d", "h", Lifecycle::Persistent));
        assert_ne!(first, of_csi("pod-a", "pv-1", &csi("d", "h2", Lifecycle::Persistent)));
        assert_ne!(first, of_csi("pod-a", "pv-1", &csi("d2", "h", Lifecycle::Persistent)));
    }

    #[test]
    fn no_two_volumes_are_protected_under_one_name() {
        let name =
            |driver: &str, handle: &str| of_csi("p", "v", &csi(driver, handle, Lifecycle::Persistent)).to_string();
        assert_eq!(name("ebs.csi.aws.com", "vol-1"), "csi/ebs.csi.aws.com/vol-1");
        assert_ne!(name("a", "b/c"), name("a/b", "c"));
        assert_ne!(name("a", "b/c"), name("a", "b%2Fc"));
        assert_ne!(of("p", "csi", NameIs::PodVolume, None), of("q", "csi", NameIs::PodVolume, None));
    }

    #[test]
    fn an_ephemeral_csi_volume_belongs_to_its_pod() {
        let facts = csi("d", "h", Lifecycle::Ephemeral);
        assert_ne!(of_csi("pod-a", "v", &facts), of_csi("pod-b", "v", &facts));
    }

    #[test]
    fn a_csi_volume_whose_file_is_broken_lends_itself_no_other_history() {
        let of = |pod| identity(&entry(pod, "kubernetes.io~csi", "pv-1"), NameIs::CsiDecides, None, None);
        assert_ne!(of("pod-a"), of("pod-b"));
    }

    #[test]
    fn a_persistent_volume_is_the_same_in_another_pod_and_another_with_another_claim() {
        let name_is = NameIs::PersistentVolume;
        assert_eq!(of("a", "pv", name_is, None), of("b", "pv", name_is, None));
        assert_eq!(of("a", "pv", name_is, Some("u1")), of("b", "pv", name_is, Some("u1")));
        assert_ne!(of("a", "pv", name_is, Some("u1")), of("a", "pv", name_is, Some("u2")));
    }

    #[test]
    fn a_pod_author_cannot_name_his_way_into_another_volumes_history() {
        let victim = of("a", "pvc-1", NameIs::PersistentVolume, None);
        let inline = of("b", "pvc-1", NameIs::Either, None);
        assert_ne!(victim, inline);
        assert_ne!(inline, of("c", "pvc-1", NameIs::Either, None));
        let (resolved, elsewhere) =
            (of("b", "pvc-1", NameIs::Either, Some("u1")), of("c", "pvc-1", NameIs::Either, Some("u1")));
        assert_eq!(resolved, elsewhere, "the controller said that it is one claim");
    }
}
