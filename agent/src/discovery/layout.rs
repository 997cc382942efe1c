//! Layout: what each plugin's directory under `pods/<uid>/volumes` means.
//!
//! In: the name of a plugin's directory. Out: its [`Row`] of the one table. Never: looks at the machine.
//!
//! Names as the plugins of Kubernetes' `pkg/volume` give them (`/` becomes `~`); those that left Kubernetes for CSI are kept, because older nodes still have them.

use serde::Serialize;

/// What the name of a volume's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameIs {
    /// The persistent volume's.
    PersistentVolume,
    /// The one in the pod's specification.
    PodVolume,
    /// The persistent volume's for a claim, the pod's own otherwise; only the controller can tell.
    Either,
    /// `vol_data.json` tells: a persistent volume's, or the pod's own if it is ephemeral.
    CsiDecides,
    /// Not a name but a path outside the kubelet's root.
    HostPath,
}

/// How a directory of this plugin looks while its volume is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The directory is there and empty, and nothing is mounted on it. Read as a volume it would look as if everything had been deleted.
    NotMounted,
    /// There is no directory.
    NoDirectory,
}

/// Whether a volume may be backed up, as far as this node can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "reason", rename_all = "snake_case")]
pub enum Taking {
    /// When a policy selects it.
    Taken,
    /// Only when somebody asks for this one; the reason, for people.
    OptIn(&'static str),
    /// Never; the reason, for people.
    Never(&'static str),
}

/// Where the kubelet keeps what stands for a raw block device; all below its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The device is bound to `<here>/<persistent volume>/<pod uid>`.
    pub devices: &'static str,
    /// `vol_data.json` is in `<here>/<persistent volume>/data`, if the plugin has one.
    pub data: Option<&'static str>,
}

/// One plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The directory's name.
    pub plugin: &'static str,
    /// Where the volume is, below the directory that has its name; empty: right there.
    pub inside: &'static str,
    /// What that name is.
    pub name_is: NameIs,
    /// What tells that it is not there.
    pub absent: Absent,
    /// Whether it is taken.
    pub taking: Taking,
    /// Raw block devices, where they are supported.
    pub block: Option<BlockPlace>,
}

impl Row {
    /// Whether `vol_data.json` lies beside its volumes.
    pub fn is_csi(&self) -> bool {
        self.name_is == NameIs::CsiDecides
    }
}

/// Why a volume in memory is left out.
pub const IN_MEMORY: &str = "it lives in memory and is meant to be lost with its pod";
/// Why an ephemeral CSI volume is left out.
pub const EPHEMERAL: &str =
    "it is written in the pod's specification and made anew for every pod; often it holds secrets";
/// Why a CSI volume is left out while nobody knows what it is.
pub const UNKNOWN_CSI: &str =
    "nobody can tell which volume it is, or whether it is ephemeral, before its vol_data.json can be read";
/// Why a raw block device is left out unless the agent may open devices.
pub const NO_RAW_BLOCK: &str = "opening raw block devices needs a privileged agent: set agent.rawBlock";
/// Why a raw block device of a plugin without a place in the table is left out.
pub const UNKNOWN_BLOCK: &str = "raw block devices of this plugin are not supported";
/// Why a wrapped directory is left out.
pub const WRAPPED: &str = "it is the kubelet's own wrapping of a secret, a config map or the like";

/// How the kubelet names the empty directory in which another volume is wrapped; no volume of a pod can be called so.
pub const WRAPPED_PREFIX: &str = "wrapped_";

const SECRET: &str = "it is a secret, and the API server has it";
const CONFIG: &str = "the API server has it, and it is backed up as an object";
const TOKENS: &str = "it is projected from other objects and may hold tokens";
const POD_FIELDS: &str = "it repeats fields of the pod";
const CHECKOUT: &str = "the pod makes it again from a git repository";
const IMAGE: &str = "it is an image, and the registry has it";
const SCRATCH: &str = "it is deleted with its pod; ask for it with the pod's annotation";
const OUTSIDE: &str = "host paths are named by the controller and allowed by configuration, they are not found here";
const NEW_PLUGIN: &str = "its plugin is not known, so nobody can tell when it is not mounted";

/// Every plugin. A name that is not here is a FlexVolume ([`FLEX`]) or unknown ([`UNKNOWN`]).
pub const ROWS: [Row; 23] = [
    Row {
        inside: "mount",
        name_is: NameIs::CsiDecides,
        block: Some(BlockPlace {
            devices: "plugins/kubernetes.io/csi/volumeDevices/publish",
            data: Some("plugins/kubernetes.io/csi/volumeDevices"),
        }),
        ..mounted("kubernetes.io~csi")
    },
    Row {
        // A pod cannot write one into its specification: there is always a persistent volume.
        name_is: NameIs::PersistentVolume,
        block: Some(BlockPlace { devices: "plugins/kubernetes.io~local-volume/volumeDevices", data: None }),
        ..mounted("kubernetes.io~local-volume")
    },
    mounted("kubernetes.io~nfs"),
    mounted("kubernetes.io~iscsi"),
    mounted("kubernetes.io~fc"),
    mounted("kubernetes.io~rbd"),
    mounted("kubernetes.io~cephfs"),
    mounted("kubernetes.io~glusterfs"),
    mounted("kubernetes.io~cinder"),
    mounted("kubernetes.io~azure-disk"),
    mounted("kubernetes.io~azure-file"),
    mounted("kubernetes.io~aws-ebs"),
    mounted("kubernetes.io~gce-pd"),
    mounted("kubernetes.io~vsphere-volume"),
    mounted("kubernetes.io~portworx-volume"),
    // A mount only if its medium is memory or huge pages; the snapshot leaves those out.
    directory("kubernetes.io~empty-dir", Taking::OptIn(SCRATCH)),
    directory("kubernetes.io~host-path", Taking::Never(OUTSIDE)),
    directory("kubernetes.io~secret", Taking::Never(SECRET)),
    directory("kubernetes.io~configmap", Taking::Never(CONFIG)),
    directory("kubernetes.io~projected", Taking::Never(TOKENS)),
    directory("kubernetes.io~downward-api", Taking::Never(POD_FIELDS)),
    directory("kubernetes.io~git-repo", Taking::Never(CHECKOUT)),
    directory("kubernetes.io~image", Taking::Never(IMAGE)),
];

/// A driver of a vendor, `<vendor>~<driver>`.
pub const FLEX: Row = mounted("<vendor>~<driver>");
/// A plugin that is newer than this table.
pub const UNKNOWN: Row = Row { taking: Taking::Never(NEW_PLUGIN), ..mounted("<unknown>") };

/// The row of a plugin's directory.
pub fn row(plugin: &str) -> &'static Row {
    let known = ROWS.iter().find(|row| row.plugin == plugin);
    known.unwrap_or(match plugin.split_once('~') {
        Some((vendor, driver)) if vendor != "kubernetes.io" && !vendor.is_empty() && !driver.is_empty() => &FLEX,
        _ => &UNKNOWN,
    })
}

/// Something is mounted exactly there while the volume is there.
const fn mounted(plugin: &'static str) -> Row {
    Row { plugin, inside: "", name_is: NameIs::Either, absent: Absent::NotMounted, taking: Taking::Taken, block: None }
}

/// A directory on the node's own filesystem.
const fn directory(plugin: &'static str, taking: Taking) -> Row {
    Row { plugin, inside: "", name_is: NameIs::PodVolume, absent: Absent::NoDirectory, taking, block: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Is {
        Taken,
        OptIn,
        Never,
    }

    fn is(taking: Taking) -> Is {
        match taking {
            Taking::Taken => Is::Taken,
            Taking::OptIn(_) => Is::OptIn,
            Taking::Never(_) => Is::Never,
        }
    }

    #[test]
    fn every_plugin_is_where_and_what_kubernetes_makes_it() {
        use Absent::{NoDirectory, NotMounted};
        use NameIs::{CsiDecides, Either, PersistentVolume, PodVolume};
        let table = [
            ("kubernetes.io~csi", "mount", CsiDecides, NotMounted, Is::Taken),
            ("kubernetes.io~local-volume", "", PersistentVolume, NotMounted, Is::Taken),
            ("kubernetes.io~nfs", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~iscsi", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~fc", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~rbd", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~cephfs", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~glusterfs", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~cinder", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~azure-disk", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~azure-file", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~aws-ebs", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~gce-pd", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~vsphere-volume", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~portworx-volume", "", Either, NotMounted, Is::Taken),
            ("kubernetes.io~empty-dir", "", PodVolume, NoDirectory, Is::OptIn),
            ("kubernetes.io~host-path", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~secret", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~configmap", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~projected", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~downward-api", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~git-repo", "", PodVolume, NoDirectory, Is::Never),
            ("kubernetes.io~image", "", PodVolume, NoDirectory, Is::Never),
        ];
        assert_eq!(table.len(), ROWS.len(), "a row without a test");
        for (plugin, inside, name_is, absent, taking) in table {
            let row = row(plugin);
            let found = (row.plugin, row.inside, row.name_is, row.absent, is(row.taking));
            assert_eq!(found, (plugin, inside, name_is, absent, taking));
        }
    }

    #[test]
    fn a_vendors_driver_is_mounted_and_a_plugin_nobody_knows_is_never_taken() {
        for plugin in ["example.com~lvm", "k8s~nfs.sh"] {
            assert_eq!(row(plugin), &FLEX, "{plugin}");
        }
        for plugin in ["kubernetes.io~tomorrow", "kubernetes.io", "", "~", "~x", "x~"] {
            assert_eq!(row(plugin), &UNKNOWN, "{plugin}");
        }
        assert_eq!((FLEX.absent, is(FLEX.taking)), (Absent::NotMounted, Is::Taken));
        assert_eq!((UNKNOWN.absent, is(UNKNOWN.taking)), (Absent::NotMounted, Is::Never));
    }

    #[test]
    fn raw_block_devices_are_found_behind_no_link_of_the_pod() {
        let with: Vec<&str> = ROWS.iter().filter(|row| row.block.is_some()).map(|row| row.plugin).collect();
        assert_eq!(with, ["kubernetes.io~csi", "kubernetes.io~local-volume"]);
        for block in ROWS.iter().filter_map(|row| row.block) {
            assert!(block.devices.starts_with("plugins/"), "{block:?}");
        }
    }

    #[test]
    fn a_reason_reads_as_the_end_of_a_sentence() {
        for row in ROWS.iter().chain([&FLEX, &UNKNOWN]) {
            if let Taking::OptIn(reason) | Taking::Never(reason) = row.taking {
                assert!(!reason.ends_with('.') && reason.len() > 20, "{}: {reason}", row.plugin);
            }
        }
    }
}
