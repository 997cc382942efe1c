//! What a node's listing and mount table come to, without a node.

use proptest::prelude::*;

use super::*;
use crate::discovery::allowed::Prefixes;
use crate::discovery::delta::diff;
use crate::discovery::vol_data::VolDataError;

const HOST: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";

fn facts(handle: &str, lifecycle: Lifecycle) -> Option<Result<CsiFacts, Problem>> {
    Some(Ok(CsiFacts { driver: "d".into(), handle: handle.into(), lifecycle, attachment: None }))
}

fn entry(pod: &str, kind: Kind, plugin: &str, name: &str, csi: Option<Result<CsiFacts, Problem>>) -> Entry {
    let id = EntryId { pod_uid: PodUid(pod.into()), plugin: plugin.into(), name: name.into() };
    Entry { id, kind, csi }
}

fn directory(pod: &str, plugin: &str, name: &str) -> Entry {
    entry(pod, Kind::Filesystem, &format!("kubernetes.io~{plugin}"), name, None)
}

fn csi(pod: &str, name: &str, handle: &str) -> Entry {
    entry(pod, Kind::Filesystem, "kubernetes.io~csi", name, facts(handle, Lifecycle::Persistent))
}

fn look(entries: Vec<Entry>, table: &str, outside: &Outside) -> Snapshot {
    let listing = Listing { root: "/k".into(), entries, ..Listing::default() };
    snapshot(&listing, Some(&Mounts::parse(format!("{HOST}{table}").as_bytes())), outside)
}

/// One line per volume, as a table can hold it.
fn lines(snapshot: &Snapshot) -> Vec<String> {
    let line = |volume: &Volume| {
        let identity = match &volume.key.identity {
            Identity::Csi { driver, handle } => format!("csi {driver} {handle}"),
            Identity::PersistentVolume { plugin, name, claim } => format!("pv {plugin} {name} {}", claim.is_some()),
            Identity::PodVolume { pod_uid, plugin, name } => format!("pod {} {plugin} {name}", pod_uid.0),
            Identity::HostPath { path } => format!("host {}", path.display()),
        };
        let taking = match volume.taking {
            Taking::Taken => "taken",
            Taking::OptIn(_) => "opt-in",
            Taking::Never(_) => "never",
        };
        let place = |place: &Place| {
            let state = match &place.state {
                State::Mounted(mounted) => {
                    format!(
                        "{} {}{}",
                        mounted.fs_type,
                        mounted.device,
                        if mounted.exclusive { " exclusive" } else { "" }
                    )
                }
                State::Directory => "directory".into(),
                State::Unmounted => "unmounted".into(),
                State::Unknown => "unknown".into(),
            };
            format!("{} ({state})", place.path.display())
        };
        let places: Vec<String> = volume.places.iter().map(place).collect();
        format!("{identity}: {taking}: {}", places.join(", "))
    };
    snapshot.volumes.values().map(line).collect()
}

/// The tree of a node as a kubelet 1.36 leaves it, with every kind of volume that a pod can have today.
#[test]
fn a_whole_node() {
    const U1: &str = "0f3c5e9a-1111-4222-8333-944445555666";
    const U2: &str = "7a1b2c3d-4444-4555-8666-777788889999";
    let broken = Problem::VolData { path: "/k/x".into(), error: VolDataError::Missing };
    let entries = vec![
        csi(U1, "pvc-aaaa", "vol-1"),
        entry(U1, Kind::Filesystem, "kubernetes.io~csi", "pvc-bbbb", Some(Err(broken))),
        entry(U1, Kind::Filesystem, "kubernetes.io~csi", "secrets-store", facts("csi-7f", Lifecycle::Ephemeral)),
        directory(U1, "configmap", "config"),
        directory(U1, "downward-api", "podinfo"),
        directory(U1, "empty-dir", "cache"),
        directory(U1, "empty-dir", "shm"),
        directory(U1, "local-volume", "local-pv-1"),
        directory(U1, "nfs", "shared"),
        directory(U1, "projected", "kube-api-access-x2x4z"),
        directory(U1, "secret", "tls"),
        entry(U1, Kind::Filesystem, "example.com~lvm", "flex-pv", None),
        entry(U1, Kind::Filesystem, "kubernetes.io~tomorrow", "new", None),
        entry(U1, Kind::Block, "kubernetes.io~csi", "pvc-dddd", facts("vol-4", Lifecycle::Persistent)),
        entry(U1, Kind::Block, "kubernetes.io~iscsi", "lun", None),
        csi(U2, "pvc-aaaa", "vol-1"),
        csi(U2, "pvc-cccc", "vol-3"),
    ];
    let table = format!(
        "2 1 259:1 / /k/plugins/kubernetes.io/csi/d/0a/globalmount rw - ext4 /dev/nvme1n1 rw
3 1 259:1 / /k/pods/{U1}/volumes/kubernetes.io~csi/pvc-aaaa/mount rw - ext4 /dev/nvme1n1 rw
4 1 259:1 / /k/pods/{U2}/volumes/kubernetes.io~csi/pvc-aaaa/mount rw - ext4 /dev/nvme1n1 rw
5 1 0:50 / /k/pods/{U1}/volumes/kubernetes.io~csi/secrets-store/mount rw - tmpfs tmpfs rw
6 1 0:51 / /k/pods/{U1}/volumes/kubernetes.io~empty-dir/shm rw - tmpfs tmpfs rw
7 1 8:1 /mnt/disks/one /k/pods/{U1}/volumes/kubernetes.io~local-volume/local-pv-1 rw - ext4 /dev/sda1 rw
8 1 0:52 / /k/pods/{U1}/volumes/kubernetes.io~nfs/shared rw - nfs4 s:/x rw
9 1 0:53 / /k/pods/{U1}/volumes/kubernetes.io~projected/kube-api-access-x2x4z rw - tmpfs tmpfs rw
10 1 0:54 / /k/pods/{U1}/volumes/kubernetes.io~secret/tls rw - tmpfs tmpfs rw
11 1 0:5 /dm-4 /k/plugins/kubernetes.io/csi/volumeDevices/publish/pvc-dddd/{U1} rw - devtmpfs udev rw"
    );
    let snapshot = look(entries, &table, &Outside::default());
    let expected = [
        "csi d vol-1: taken: /k/pods/U1/volumes/kubernetes.io~csi/pvc-aaaa/mount (ext4 259:1 exclusive), /k/pods/U2/volumes/kubernetes.io~csi/pvc-aaaa/mount (ext4 259:1 exclusive)",
        "csi d vol-3: taken: /k/pods/U2/volumes/kubernetes.io~csi/pvc-cccc/mount (unmounted)",
        "csi d vol-4: never: /k/plugins/kubernetes.io/csi/volumeDevices/publish/pvc-dddd/U1 (devtmpfs 0:5)",
        "pv kubernetes.io~local-volume local-pv-1 false: taken: /k/pods/U1/volumes/kubernetes.io~local-volume/local-pv-1 (ext4 8:1)",
        "pod U1 example.com~lvm flex-pv: taken: /k/pods/U1/volumes/example.com~lvm/flex-pv (unmounted)",
        "pod U1 kubernetes.io~configmap config: never: /k/pods/U1/volumes/kubernetes.io~configmap/config (directory)",
        "pod U1 kubernetes.io~csi pvc-bbbb: never: /k/pods/U1/volumes/kubernetes.io~csi/pvc-bbbb/mount (unmounted)",
        "pod U1 kubernetes.io~csi secrets-store: never: /k/pods/U1/volumes/kubernetes.io~csi/secrets-store/mount (tmpfs 0:50)",
        "pod U1 kubernetes.io~downward-api podinfo: never: /k/pods/U1/volumes/kubernetes.io~downward-api/podinfo (directory)",
        "pod U1 kubernetes.io~empty-dir cache: opt-in: /k/pods/U1/volumes/kubernetes.io~empty-dir/cache (directory)",
        "pod U1 kubernetes.io~empty-dir shm: never: /k/pods/U1/volumes/kubernetes.io~empty-dir/shm (tmpfs 0:51)",
        "pod U1 kubernetes.io~iscsi lun: never: /k/pods/U1/volumeDevices/kubernetes.io~iscsi/lun (unknown)",
        "pod U1 kubernetes.io~nfs shared: taken: /k/pods/U1/volumes/kubernetes.io~nfs/shared (nfs4 0:52)",
        "pod U1 kubernetes.io~projected kube-api-access-x2x4z: never: /k/pods/U1/volumes/kubernetes.io~projected/kube-api-access-x2x4z (tmpfs 0:53)",
        "pod U1 kubernetes.io~secret tls: never: /k/pods/U1/volumes/kubernetes.io~secret/tls (tmpfs 0:54)",
        "pod U1 kubernetes.io~tomorrow new: never: /k/pods/U1/volumes/kubernetes.io~tomorrow/new (unmounted)",
    ];
    let found: Vec<String> = lines(&snapshot).iter().map(|line| line.replace(U1, "U1").replace(U2, "U2")).collect();
    assert_eq!(found, expected);
    let broken = snapshot.volumes.values().filter(|volume| volume.problem.is_some()).count();
    assert_eq!((broken, snapshot.problems.len()), (1, 0));
}

#[test]
fn of_several_places_a_mounted_one_is_used() {
    let entries = || vec![csi("u1", "pv", "h"), csi("u2", "pv", "h"), csi("u3", "pv", "h")];
    let table = "2 1 8:16 / /k/pods/u2/volumes/kubernetes.io~csi/pv/mount rw - ext4 s rw";
    let snapshot = look(entries(), table, &Outside::default());
    let volume = snapshot.volumes.values().next().unwrap();
    let pods: Vec<&str> = volume.places.iter().map(|place| place.pod_uid.as_ref().unwrap().0.as_str()).collect();
    assert_eq!((snapshot.volumes.len(), pods), (1, vec!["u2", "u1", "u3"]));
    let reversed = look(entries().into_iter().rev().collect(), table, &Outside::default());
    assert_eq!(reversed, snapshot);
}

#[test]
fn a_raw_block_device_and_a_filesystem_of_one_handle_are_not_one_volume() {
    let block = entry("u2", Kind::Block, "kubernetes.io~csi", "pv", facts("h", Lifecycle::Persistent));
    let snapshot = look(vec![csi("u1", "pv", "h"), block], "", &Outside { raw_block: true, ..Outside::default() });
    assert_eq!(
        lines(&snapshot),
        [
            "csi d h: taken: /k/pods/u1/volumes/kubernetes.io~csi/pv/mount (unmounted)",
            "csi d h: taken: /k/plugins/kubernetes.io/csi/volumeDevices/publish/pv/u2 (unmounted)",
        ]
    );
}

#[test]
fn what_is_wrapped_is_never_taken() {
    let snapshot = look(vec![directory("u1", "empty-dir", "wrapped_token")], "", &Outside::default());
    assert_eq!(snapshot.volumes.values().next().unwrap().taking, Taking::Never(layout::WRAPPED));
}

#[test]
fn without_a_mount_table_nothing_is_mounted_or_unmounted() {
    let listing = Listing {
        root: "/k".into(),
        entries: vec![csi("u1", "pv", "h"), directory("u1", "empty-dir", "e")],
        ..Listing::default()
    };
    let snapshot = snapshot(&listing, None, &Outside::default());
    assert!(snapshot.volumes.values().all(|volume| volume.places[0].state == State::Unknown));
}

#[test]
fn a_table_that_is_not_whole_is_a_problem() {
    let snapshot = look(vec![], "what is this", &Outside::default());
    assert_eq!(snapshot.problems.len(), 1);
}

#[test]
fn a_claim_makes_a_name_that_could_be_anybodys_a_persistent_volumes() {
    let entries = || vec![directory("u1", "nfs", "share"), directory("u2", "nfs", "share")];
    let claim = ClaimUid("c".into());
    let claims = entries().into_iter().map(|entry| (entry.id, claim.clone())).collect();
    let resolved = look(entries(), "", &Outside { claims, ..Outside::default() });
    assert_eq!((look(entries(), "", &Outside::default()).volumes.len(), resolved.volumes.len()), (2, 1));
    let volume = resolved.volumes.values().next().unwrap();
    assert_eq!((volume.name_is, volume.places.len()), (NameIs::PersistentVolume, 2));
}

#[test]
fn a_host_path_is_a_volume_unless_it_is_really_the_kubelets() {
    // The kubelet's root is configured as /var/lib/kubelet, which is a link to /k.
    let prefixes = Prefixes::new(Path::new("/var/lib/kubelet"), &["/data".into(), "/k".into()]).unwrap();
    let paths = ["/data/db", "/data/disk", "/k/pods"].map(|path| prefixes.admit(Path::new(path)).unwrap()).to_vec();
    let snapshot = look(vec![], "2 1 8:32 / /data/disk rw - ext4 s rw", &Outside { paths, ..Outside::default() });
    assert_eq!(
        lines(&snapshot),
        ["host /data/db: taken: /data/db (directory)", "host /data/disk: taken: /data/disk (ext4 8:32)"]
    );
    let refused: Vec<String> = snapshot.problems.iter().map(ToString::to_string).collect();
    assert!(
        refused.len() == 1 && refused[0].starts_with("\"/k/pods\" overlaps the kubelet's root \"/k\""),
        "{refused:?}"
    );
}

#[test]
fn what_could_not_be_listed_is_unknown_and_what_was_removed_is_gone() {
    let old = look(vec![csi("u1", "pv1", "h1"), csi("u2", "pv2", "h2")], "", &Outside::default());
    let table = [
        (Missed::default(), 0, "both are gone"),
        (Missed { everything: false, pods: BTreeSet::from([PodUid("u1".into())]) }, 1, "one is not known"),
        (Missed { everything: true, pods: BTreeSet::new() }, 2, "nothing is known"),
    ];
    for (missed, expected, why) in table {
        let mut new = look(vec![], "", &Outside::default());
        keep_missed(&mut new, &old, &missed);
        assert_eq!(new.volumes.len(), expected, "{why}");
        assert!(new.volumes.values().all(|volume| volume.places[0].state == State::Unknown), "{why}");
        let once = new.clone();
        keep_missed(&mut new, &once, &missed);
        assert!(diff(&once, &new).is_empty(), "{why}");
    }
}

proptest! {
    #[test]
    fn the_order_of_entries_and_of_the_table_means_nothing(
        entries in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        lines in Just((0..4).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let all = || {
            let of = |pod: usize| [csi(&format!("u{pod}"), "pv", "h"), directory(&format!("u{pod}"), "nfs", "n"), directory(&format!("u{pod}"), "empty-dir", "e")];
            (0..3).flat_map(of).collect::<Vec<Entry>>()
        };
        let table = [
            "2 1 8:16 / /k/pods/u1/volumes/kubernetes.io~csi/pv/mount rw - ext4 s rw",
            "3 1 8:16 / /k/pods/u2/volumes/kubernetes.io~csi/pv/mount rw - ext4 s rw",
            "4 3 8:32 / /k/pods/u2/volumes/kubernetes.io~csi/pv/mount rw - ext4 s rw",
            "5 1 0:50 / /k/pods/u0/volumes/kubernetes.io~empty-dir/e rw - tmpfs s rw",
        ];
        let straight = look(all(), &table.join("\n"), &Outside::default());
        let shuffled: Vec<Entry> = entries.iter().map(|at| all()[*at].clone()).collect();
        let table: Vec<&str> = lines.iter().map(|at| table[*at]).collect();
        prop_assert_eq!(look(shuffled, &table.join("\n"), &Outside::default()), straight);
    }
}
