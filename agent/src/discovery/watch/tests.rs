//! A kubelet's tree with real mounts, changed under a watch.

use std::time::Duration;

use nix::mount::{MntFlags, umount2};

use super::{Looking, Settings, Signals};
use crate::discovery::layout::Taking;
use crate::discovery::{Identity, Outside, Problem, Snapshot, State};
use crate::testing::{Kubelet, Loop, Mounted, by_handle, by_name, is_mounted, is_root, state_of, vol_data};

/// So long that a test which passes did not wait for it.
const NEVER: Duration = Duration::from_secs(3_600);

#[test]
fn a_volume_is_followed_from_its_pods_birth_to_its_end() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    let mut listener = kubelet.listen(NEVER);
    listener.until("an empty node", |seen| seen.volumes.is_empty());

    let at = kubelet.csi("u1", "pv-1", "h1");
    listener.until("the pod appears", |seen| state_of(by_handle(seen, "h1")) == Some(&State::Unmounted));
    let _first = Mounted::tmpfs(&at);
    listener.until("it is mounted", |seen| is_mounted(by_handle(seen, "h1")));

    umount2(&at, MntFlags::empty()).unwrap();
    listener.until("unmounted is not a directory", |seen| state_of(by_handle(seen, "h1")) == Some(&State::Unmounted));
    let _second = Mounted::tmpfs(&at);
    listener.until("mounted again, the same volume", |seen| is_mounted(by_handle(seen, "h1")));
    assert_eq!(listener.seen.volumes.len(), 1);

    umount2(&at, MntFlags::empty()).unwrap();
    kubelet.remove("pods/u1");
    listener.until("gone", |seen| seen.volumes.is_empty());
}

#[test]
fn a_name_used_again_is_another_volume() {
    let kubelet = Kubelet::new();
    let mut listener = kubelet.listen(NEVER);
    kubelet.csi("u1", "pv-1", "h1");
    listener.until("the first", |seen| by_handle(seen, "h1").is_some());
    kubelet.remove("pods/u1");
    kubelet.csi("u2", "pv-1", "h2");
    listener.until("the second and not the first", |seen| {
        by_handle(seen, "h2").is_some() && by_handle(seen, "h1").is_none()
    });
}

#[test]
fn a_claim_shared_by_two_pods_is_one_volume() {
    if !is_root() {
        return;
    }
    let Some(device) = Loop::ext4() else { return };
    let kubelet = Kubelet::new();
    let mut listener = kubelet.listen(NEVER);
    let staged = kubelet.make("plugins/kubernetes.io/csi/csi.example.org/0a/globalmount");
    let (first, second) = (kubelet.csi("u1", "pv-1", "h1"), kubelet.csi("u2", "pv-1", "h1"));
    let _staged = Mounted::device(&device.path, &staged, "ext4");
    let _second = Mounted::bind(&staged, &second);
    let pods = |seen: &Snapshot| -> Vec<String> {
        let places = by_handle(seen, "h1").map_or(&[][..], |volume| &volume.places);
        places.iter().filter_map(|place| Some(place.pod_uid.clone()?.0)).collect()
    };
    listener.until("the mounted one first", |seen| is_mounted(by_handle(seen, "h1")) && pods(seen) == ["u2", "u1"]);
    let _first = Mounted::bind(&staged, &first);
    listener.until("both are mounted", |seen| pods(seen) == ["u1", "u2"]);
    let exclusive = |seen: &Snapshot| match state_of(by_handle(seen, "h1")) {
        Some(State::Mounted(mounted)) => mounted.exclusive,
        _ => false,
    };
    assert!(exclusive(&listener.seen), "staged and in two pods, and still one volume: {:#?}", listener.seen);
    let outside = kubelet.make("host");
    std::fs::create_dir(staged.join("part")).unwrap();
    let _host = Mounted::bind(&staged.join("part"), &outside);
    listener.until("the node uses a part of it", |seen| is_mounted(by_handle(seen, "h1")) && !exclusive(seen));
}

#[test]
fn what_is_never_taken_is_never_taken_mounted_or_not() {
    let kubelet = Kubelet::new();
    for plugin in ["secret", "configmap", "projected", "downward-api"] {
        kubelet.volume("u1", plugin, plugin);
    }
    kubelet.write("pods/u1/volumes/kubernetes.io~csi/inline/vol_data.json", &vol_data("inline", "h", "Ephemeral"));
    kubelet.write("pods/u1/volumes/kubernetes.io~csi/torn/vol_data.json", "{");
    kubelet.make("pods/u1/volume-subpaths/inline/c/0");
    let check = |snapshot: &Snapshot| {
        assert_eq!(snapshot.volumes.len(), 6, "{snapshot:#?}");
        let never = |volume: &&crate::discovery::Volume| matches!(volume.taking, Taking::Never(_));
        assert_eq!(snapshot.volumes.values().filter(never).count(), 6, "{snapshot:#?}");
    };
    check(&kubelet.look());
    if is_root() {
        let at = |name: &str| kubelet.root().join(format!("pods/u1/volumes/kubernetes.io~{name}"));
        let _mounted =
            ["secret/secret", "projected/projected", "csi/inline", "csi/torn"].map(|name| Mounted::tmpfs(&at(name)));
        check(&kubelet.look());
    }
}

#[test]
fn an_empty_dir_is_a_directory_unless_it_is_in_memory() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    kubelet.volume("u1", "empty-dir", "disk");
    let _memory = Mounted::tmpfs(&kubelet.volume("u1", "empty-dir", "memory"));
    let snapshot = kubelet.look();
    let disk = by_name(&snapshot, "disk").unwrap();
    assert_eq!((state_of(Some(disk)), matches!(disk.taking, Taking::OptIn(_))), (Some(&State::Directory), true));
    let memory = by_name(&snapshot, "memory").unwrap();
    assert_eq!((is_mounted(Some(memory)), matches!(memory.taking, Taking::Never(_))), (true, true));
}

#[test]
fn a_local_volume_is_a_bind_and_never_its_empty_directory() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    let disk = kubelet.make("disks/one");
    let at = kubelet.volume("u1", "local-volume", "local-pv");
    assert_eq!(state_of(by_name(&kubelet.look(), "local-pv")), Some(&State::Unmounted));
    let _bound = Mounted::bind(&disk, &at);
    let snapshot = kubelet.look();
    let volume = by_name(&snapshot, "local-pv").unwrap();
    assert!(matches!(volume.key.identity, Identity::PersistentVolume { .. }));
    match state_of(Some(volume)) {
        // A bind within one filesystem has the device of the directory under it: only the mount table tells.
        Some(State::Mounted(mounted)) => assert!(!mounted.exclusive),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dead_volume_is_told_like_any_other() {
    if !is_root() {
        return;
    }
    let kubelet = Kubelet::new();
    let mut listener = kubelet.listen(NEVER);
    listener.until("an empty node", |_| true);
    let at = kubelet.volume("u1", "nfs", "dead");
    let Some(_dead) = Mounted::dead(&at) else { return eprintln!("SKIP: no FUSE to be had") };
    listener.until("it is mounted", |seen| is_mounted(by_name(seen, "dead")));
    kubelet.volume("u2", "nfs", "alive");
    listener.until("and so is what comes after it", |seen| by_name(seen, "alive").is_some());
}

#[test]
fn thousands_of_pods_at_once_wait_for_a_slow_listener_in_one_update() {
    const PODS: usize = 2_000;
    let kubelet = Kubelet::new();
    let mut listener = kubelet.listen(NEVER);
    listener.until("an empty node", |_| true);
    for pod in 0..PODS {
        kubelet.csi(&format!("u{pod}"), "pv", &format!("h{pod}"));
    }
    // A second watch on the same tree tells when the first has had time to see everything.
    kubelet.listen(NEVER).until("all of them", |seen| seen.volumes.len() == PODS);
    listener.until("all of them", |seen| seen.volumes.len() == PODS);
    assert!(listener.updates <= 4, "{} updates", listener.updates);
    std::fs::rename(kubelet.root().join("pods"), kubelet.root().join("moved")).unwrap();
    listener.until("a tree that is gone is unknown", |seen| {
        seen.volumes.len() == PODS && seen.volumes.values().all(|volume| volume.places[0].state == State::Unknown)
    });
}

#[test]
fn what_happens_between_a_listing_and_its_watch_is_looked_at_again() {
    let kubelet = Kubelet::new();
    let (signals, _due) = Signals::new(Outside::default());
    let mut looking = Looking::new(Settings::new(kubelet.root().to_path_buf()), signals);
    assert!(looking.look().is_some(), "a directory is watched that was not");
    assert!(looking.look().is_none(), "nothing new is watched");
    kubelet.make("pods/u1");
    assert!(looking.look().is_some(), "another one");
}

#[test]
fn a_root_that_comes_later_is_found_by_the_interval() {
    let kubelet = Kubelet::new();
    kubelet.remove("pods");
    let mut listener = kubelet.listen(Duration::from_millis(20));
    listener.until("nothing yet", |seen| matches!(seen.problems.first(), Some(Problem::NoPods { .. })));
    kubelet.csi("u1", "pv", "h1");
    listener.until("there it is", |seen| by_handle(seen, "h1").is_some() && seen.problems.is_empty());
}

#[test]
fn what_comes_from_outside_may_change_under_way() {
    let kubelet = Kubelet::new();
    kubelet.link("/nowhere", "pods/u1/volumeDevices/kubernetes.io~local-volume/pv");
    let mut listener = kubelet.listen(NEVER);
    let taken = |seen: &Snapshot| by_name(seen, "pv").is_some_and(|volume| volume.taking == Taking::Taken);
    listener.until("not without the permission", |seen| by_name(seen, "pv").is_some() && !taken(seen));
    listener.watch.set_outside(Outside { raw_block: true, ..Outside::default() });
    listener.until("with it", taken);
}

#[test]
fn a_watch_that_is_dropped_ends_its_threads() {
    let kubelet = Kubelet::new();
    let updates = kubelet.listen(NEVER).watch.updates().clone();
    // The threads are joined by the drop; what they held is closed.
    assert!(updates.recv().is_err());
}
