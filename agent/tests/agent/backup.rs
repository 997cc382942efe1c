//! Backup: the command on a made kubelet's tree with real mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::mounts::{Mounted, is_root};
use crate::place::{PASSPHRASE, Place};

/// A kubelet's root with one pod.
struct Kubelet(PathBuf);

impl Kubelet {
    fn new(place: &Place) -> Kubelet {
        Kubelet(place.directory("kubelet"))
    }

    fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        let path = self.0.join("pods/0f3c5e9a-1111-4222-8333-944445555666/volumes").join(plugin).join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    fn csi(&self, name: &str, lifecycle: &str) -> PathBuf {
        let folder = self.volume("kubernetes.io~csi", name);
        let facts = format!(
            r#"{{"driverName":"d","specVolID":"{name}","volumeHandle":"{name}","volumeLifecycleMode":"{lifecycle}"}}"#
        );
        fs::write(folder.join("vol_data.json"), facts).expect("a file");
        let mount = folder.join("mount");
        fs::create_dir_all(&mount).expect("a folder");
        mount
    }
}

fn backup(place: &Place, kubelet: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast-agent"))
        .args(["backup", "--patience-seconds", "2", "--kubelet-root"])
        .arg(kubelet)
        .arg("--passphrase-file")
        .arg(place.file("passphrase", PASSPHRASE))
        .arg("--repository")
        .arg(place.path("repository"))
        .arg("--state-dir")
        .arg(place.path("state"))
        .args(more)
        .output()
        .expect("the program runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_volume_that_is_mounted_is_protected_and_what_must_not_be_taken_is_not() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let kubelet = Kubelet::new(&place);
    let mount = kubelet.csi("claim", "Persistent");
    let _mounted = Mounted::tmpfs(&mount);
    fs::write(mount.join("file"), b"content").unwrap();
    for (plugin, name) in [("kubernetes.io~secret", "key"), ("kubernetes.io~projected", "token")] {
        fs::write(kubelet.volume(plugin, name).join("file"), b"a secret").unwrap();
    }
    let ephemeral = kubelet.csi("secrets-store", "Ephemeral");
    let _also_mounted = Mounted::tmpfs(&ephemeral);
    fs::write(kubelet.volume("kubernetes.io~empty-dir", "scratch").join("file"), b"content").unwrap();

    let done = backup(&place, &kubelet.0, &[]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert_eq!(place.protected(), ["csi/d/claim"]);
    for why in ["it is a secret", "secrets-store: not taken", "--opt-in takes it"] {
        assert!(text(&done).contains(why), "{why}: {}", text(&done));
    }
    let done = backup(&place, &kubelet.0, &["--opt-in"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert_eq!(place.protected().len(), 3, "the claim again, and the emptyDir that was asked for");
}

#[test]
fn a_volume_that_is_gone_or_does_not_answer_is_told_and_the_others_are_protected() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let kubelet = Kubelet::new(&place);
    kubelet.csi("unmounted", "Persistent");
    let hung = kubelet.volume("kubernetes.io~nfs", "hung");
    let _hanging = Mounted::hanging(&hung);
    let mount = kubelet.csi("good", "Persistent");
    let _mounted = Mounted::tmpfs(&mount);
    fs::write(mount.join("file"), b"content").unwrap();
    let done = backup(&place, &kubelet.0, &[]);
    assert_eq!(done.status.code(), Some(3), "{}", text(&done));
    assert_eq!(place.protected(), ["csi/d/good"]);
    assert!(text(&done).contains("unmounted: not taken: it is not mounted"), "{}", text(&done));
    assert!(text(&done).contains("HUNG: it did not answer"), "{}", text(&done));
}

#[test]
fn too_little_memory_for_so_many_workers_is_refused_with_what_would_do() {
    let place = Place::new();
    let kubelet = Kubelet::new(&place);
    let refused = backup(&place, &kubelet.0, &["--memory-mib", "128", "--workers", "2"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("192 MiB"), "{}", text(&refused));
}
