//! Real trees, with what does not belong there.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::discovery::vol_data::Lifecycle;
use crate::testing::{Kubelet, Mounted, is_root, vol_data};

fn names(listing: &Listing) -> Vec<String> {
    let name = |entry: &Entry| format!("{}/{}/{}", entry.id.pod_uid.0, entry.id.plugin, entry.id.name);
    listing.entries.iter().map(name).collect()
}

fn problems(listing: &Listing) -> Vec<String> {
    let root = format!("{}/", listing.root.display());
    listing.problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect()
}

#[test]
fn volumes_and_devices_are_listed_and_nothing_else_of_a_pod() {
    let kubelet = Kubelet::new();
    kubelet.csi("u1", "pv-1", "h1");
    kubelet.volume("u1", "empty-dir", "cache");
    kubelet.volume("u1", "secret", "token");
    kubelet.link("/nowhere", "pods/u1/volumeDevices/kubernetes.io~csi/pv-2");
    kubelet.write(
        "plugins/kubernetes.io/csi/volumeDevices/pv-2/data/vol_data.json",
        &vol_data("pv-2", "h2", "Persistent"),
    );
    kubelet.make("pods/u1/volume-subpaths/pv-1/c/0");
    kubelet.write("pods/u1/etc-hosts", "");
    kubelet.make("pods/u1/containers/c");
    kubelet.make("pods/u1/plugins/kubernetes.io~empty-dir/wrapped_token");
    kubelet.make("pods/u2");
    let listing = kubelet.list();
    assert_eq!(
        names(&listing),
        [
            "u1/kubernetes.io~csi/pv-1",
            "u1/kubernetes.io~empty-dir/cache",
            "u1/kubernetes.io~secret/token",
            "u1/kubernetes.io~csi/pv-2"
        ]
    );
    assert_eq!(listing.problems, []);
    assert_eq!(listing.missed, Missed::default());
    let handles: Vec<Option<&str>> =
        listing.entries.iter().map(|e| Some(e.csi.as_ref()?.as_ref().ok()?.handle.as_str())).collect();
    assert_eq!(handles, [Some("h1"), None, None, Some("h2")]);
    let directories: Vec<String> =
        listing.directories.iter().map(|d| d.strip_prefix(&listing.root).unwrap().display().to_string()).collect();
    assert_eq!(
        directories,
        [
            "pods",
            "pods/u1",
            "pods/u1/volumeDevices",
            "pods/u1/volumeDevices/kubernetes.io~csi",
            "pods/u1/volumes",
            "pods/u1/volumes/kubernetes.io~csi",
            "pods/u1/volumes/kubernetes.io~empty-dir",
            "pods/u1/volumes/kubernetes.io~secret",
            "pods/u2",
        ]
    );
}

#[test]
fn links_and_files_where_a_directory_belongs_are_named_and_not_followed() {
    let kubelet = Kubelet::new();
    kubelet.volume("u1", "empty-dir", "good");
    kubelet.make("elsewhere/volumes/kubernetes.io~empty-dir/stolen");
    kubelet.link("../elsewhere", "pods/u2");
    kubelet.link("../../elsewhere/volumes", "pods/u3/volumes");
    kubelet.link("../../../elsewhere/volumes/kubernetes.io~empty-dir", "pods/u4/volumes/kubernetes.io~empty-dir");
    kubelet.link("../good", "pods/u1/volumes/kubernetes.io~empty-dir/link");
    kubelet.write("pods/u5", "");
    kubelet.write("pods/u6/volumes", "");
    kubelet.make("pods/u7/volumeDevices/kubernetes.io~csi/pv");
    let listing = kubelet.list();
    assert_eq!(names(&listing), ["u1/kubernetes.io~empty-dir/good"]);
    let strangers = [
        ("pods/u2", "a symbolic link"),
        ("pods/u5", "a file"),
        ("pods/u1/volumes/kubernetes.io~empty-dir/link", "a symbolic link"),
        ("pods/u3/volumes", "no directory"),
        ("pods/u4/volumes/kubernetes.io~empty-dir", "a symbolic link"),
        ("pods/u6/volumes", "no directory"),
        ("pods/u7/volumeDevices/kubernetes.io~csi/pv", "a directory"),
    ];
    let expected: Vec<String> = strangers
        .iter()
        .map(|(path, what)| format!("{path} is {what}, which the kubelet never makes there; it was not followed"))
        .collect();
    assert_eq!(problems(&listing), expected);
    assert_eq!(listing.missed, Missed::default(), "a stranger hides nothing");
}

#[test]
fn a_csi_volume_whose_file_cannot_be_believed_is_listed_with_what_is_wrong() {
    let kubelet = Kubelet::new();
    let base = |name: &str| format!("pods/u1/volumes/kubernetes.io~csi/{name}");
    kubelet.make(&format!("{}/mount", base("a-missing")));
    kubelet.write(&format!("{}/vol_data.json", base("b-torn")), &vol_data("b-torn", "h", "Persistent")[..30]);
    kubelet.write(&format!("{}/vol_data.json", base("c-stale")), &vol_data("other", "h", "Persistent"));
    kubelet.write("secret.json", &vol_data("d-link", "h", "Persistent"));
    kubelet.link("../../../../../secret.json", &format!("{}/vol_data.json", base("d-link")));
    kubelet.write(&format!("{}/vol_data.json", base("e-inline")), &vol_data("e-inline", "h", "Ephemeral"));
    let listing = kubelet.list();
    let wrong: Vec<String> = listing
        .entries
        .iter()
        .map(|entry| match entry.csi.as_ref().unwrap() {
            Ok(facts) => format!("{:?}", facts.lifecycle),
            Err(Problem::VolData { error, .. }) => error.to_string(),
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(wrong.len(), 5);
    assert_eq!(wrong[0], "is missing");
    assert!(wrong[1].starts_with("is empty or torn"), "{}", wrong[1]);
    assert_eq!(wrong[2], "is stale: it describes \"other\"");
    assert_eq!(wrong[3], "is a symbolic link, or behind one");
    assert_eq!(wrong[4], format!("{:?}", Lifecycle::Ephemeral));
}

#[test]
fn names_that_are_not_kubernetes_own_are_left_out_and_named() {
    let kubelet = Kubelet::new();
    kubelet.volume("u1", "empty-dir", "a\x1b[2J");
    kubelet.make("pods/.hidden");
    std::fs::create_dir(kubelet.root().join("pods").join(OsStr::from_bytes(b"\xff"))).unwrap();
    let listing = kubelet.list();
    assert_eq!(names(&listing), [""; 0]);
    assert_eq!(listing.problems.len(), 3, "{:?}", listing.problems);
    assert!(listing.problems.iter().all(|problem| matches!(problem, Problem::StrangeName { .. })));
}

#[test]
fn too_many_are_a_problem_and_always_the_same_are_kept() {
    let kubelet = Kubelet::new();
    for pod in 0..5 {
        kubelet.volume(&format!("u{pod}"), "empty-dir", "a");
        kubelet.volume(&format!("u{pod}"), "empty-dir", "b");
    }
    let limits = Limits { pods: 4, plugins: 1, volumes: 5 };
    let listing = list(kubelet.root(), &limits);
    assert_eq!(listing.entries.len(), 5);
    assert_eq!(names(&listing)[4], "u2/kubernetes.io~empty-dir/a");
    let root = listing.root.display().to_string();
    assert_eq!(
        problems(&listing),
        [
            "pods holds more than 4 pods; those that sort last were left out".to_owned(),
            format!("{root} holds more than 5 volumes; those that sort last were left out"),
        ]
    );
    assert_eq!(listing, list(kubelet.root(), &limits));
}

#[test]
fn a_root_that_is_not_there_is_a_problem_and_not_an_empty_node() {
    let kubelet = Kubelet::new();
    kubelet.remove("pods");
    let listing = kubelet.list();
    assert!(listing.missed.everything);
    assert!(matches!(listing.problems[..], [Problem::NoPods { .. }]), "{:?}", listing.problems);
    let nowhere = list(Path::new("/nowhere/at/all"), &Limits::default());
    assert!(nowhere.missed.everything);
    assert!(nowhere.problems[0].to_string().contains("No such file"), "{}", nowhere.problems[0]);
}

#[test]
fn a_pod_behind_a_mount_is_unknown_and_not_empty() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    let tree = kubelet.make("pods/u1/volumes");
    kubelet.volume("u2", "empty-dir", "a");
    let _mounted = Mounted::tmpfs(&tree);
    let listing = kubelet.list();
    assert_eq!(names(&listing), ["u2/kubernetes.io~empty-dir/a"]);
    assert_eq!(listing.missed.pods, BTreeSet::from([PodUid("u1".into())]));
    assert!(matches!(listing.problems[..], [Problem::Unlisted { .. }]), "{:?}", listing.problems);
}

#[test]
fn dead_mounts_do_not_hang_the_listing() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    let points = [
        kubelet.volume("u1", "nfs", "dead"),
        kubelet.csi("u1", "dead-inside", "h1"),
        // Not where anybody mounts; if somebody does, even the kubelet's own file is behind it.
        kubelet.make("pods/u1/volumes/kubernetes.io~csi/dead-itself"),
        kubelet.volume("u1", "empty-dir", "dead"),
    ];
    let _dead: Vec<Mounted> = match points.iter().map(|point| Mounted::dead(point)).collect() {
        Some(dead) => dead,
        None => return eprintln!("SKIP: no FUSE to be had"),
    };
    let (done, listed) = mpsc::channel();
    let root = kubelet.root().to_path_buf();
    std::thread::spawn(move || drop(done.send(list(&root, &Limits::default()))));
    let listing = listed.recv_timeout(Duration::from_secs(30)).expect("the listing touched a dead mount");
    assert_eq!(listing.entries.len(), 4);
    let behind = listing.entries.iter().find(|entry| entry.id.name == "dead-itself").unwrap();
    assert!(behind.csi.as_ref().unwrap().as_ref().unwrap_err().to_string().contains("is covered by a mount"));
}
