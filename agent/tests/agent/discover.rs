//! Discover: the command on a made kubelet's tree, and what it asks of the system.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const POD: &str = "pods/0f3c5e9a-1111-4222-8333-944445555666";

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn vol_data(name: &str, handle: &str) -> String {
    format!(r#"{{"driverName":"d","specVolID":"{name}","volumeHandle":"{handle}","volumeLifecycleMode":"Persistent"}}"#)
}

fn kubelet() -> TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    write(
        root,
        &format!("{POD}/volumes/kubernetes.io~csi/name-csi/vol_data.json"),
        &vol_data("name-csi", "h\\u001b[2J"),
    );
    write(root, &format!("{POD}/volumes/kubernetes.io~csi/name-csi/mount/inside"), "");
    write(root, &format!("{POD}/volumes/kubernetes.io~nfs/name-nfs/inside"), "");
    write(root, &format!("{POD}/volumes/kubernetes.io~empty-dir/name-empty/inside"), "");
    write(root, &format!("{POD}/volumes/kubernetes.io~secret/name-secret/inside"), "");
    write(root, &format!("{POD}/volume-subpaths/name-csi/c/0/inside"), "");
    write(root, "plugins/kubernetes.io/csi/volumeDevices/name-block/data/vol_data.json", &vol_data("name-block", "b"));
    let devices = root.join(POD).join("volumeDevices/kubernetes.io~csi");
    fs::create_dir_all(&devices).unwrap();
    std::os::unix::fs::symlink("/nowhere", devices.join("name-block")).unwrap();
    scratch
}

fn discover(root: &Path, more: &[&str]) -> Output {
    let agent = env!("CARGO_BIN_EXE_holdfast-agent");
    Command::new(agent).args(["discover", "--kubelet-root"]).arg(root).args(more).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn people_read_what_there_is_and_why_some_is_not_taken() {
    let kubelet = kubelet();
    let output = discover(kubelet.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let root = fs::canonicalize(kubelet.path()).unwrap();
    let text =
        out(&output).replace(&format!("{}/{POD}", root.display()), "POD").replace(&root.display().to_string(), "ROOT");
    let pod = POD.strip_prefix("pods/").unwrap();
    let expected = format!(
        "\
d volume b (raw block)
  never taken: opening raw block devices needs a privileged agent: set agent.rawBlock
  not mounted ROOT/plugins/kubernetes.io/csi/volumeDevices/publish/name-block/{pod}
d volume h\\u{{1b}}[2J
  taken when a policy selects it
  not mounted POD/volumes/kubernetes.io~csi/name-csi/mount
kubernetes.io~empty-dir volume name-empty of pod {pod}
  taken only on request: it is deleted with its pod; ask for it with the pod's annotation
  directory POD/volumes/kubernetes.io~empty-dir/name-empty
kubernetes.io~nfs volume name-nfs of pod {pod}
  taken when a policy selects it
  not mounted POD/volumes/kubernetes.io~nfs/name-nfs
kubernetes.io~secret volume name-secret of pod {pod}
  never taken: it is a secret, and the API server has it
  directory POD/volumes/kubernetes.io~secret/name-secret
"
    );
    assert_eq!(text, expected);
}

#[test]
fn programs_read_one_value() {
    let kubelet = kubelet();
    let output =
        discover(kubelet.path(), &["-o", "json", "--raw-block", "--allow", "/srv", "--host-path", "/srv/data"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let volumes = value["volumes"].as_array().unwrap();
    let taken = |plugin: &str| {
        let volume = volumes.iter().find(|volume| volume["plugin"] == plugin).unwrap();
        (volume["taking"]["is"].as_str().unwrap(), volume["places"][0]["state"]["is"].as_str().unwrap())
    };
    assert_eq!(volumes.len(), 6, "{value:#}");
    assert_eq!(taken("host-path"), ("taken", "directory"));
    assert_eq!(taken("kubernetes.io~secret"), ("never", "directory"));
    assert_eq!(taken("kubernetes.io~csi"), ("taken", "unmounted"));
    assert_eq!(value["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn exit_codes_tell_what_to_do() {
    let kubelet = kubelet();
    let torn = self::kubelet();
    write(torn.path(), &format!("{POD}/volumes/kubernetes.io~csi/name-csi/vol_data.json"), "{");
    let table: [(&Path, &[&str], i32); 6] = [
        (kubelet.path(), &[], 0),
        (torn.path(), &[], 3),
        (Path::new("/nowhere"), &[], 3),
        (kubelet.path(), &["--host-path", "/etc"], 5),
        (kubelet.path(), &["--allow", "relative"], 2),
        (kubelet.path(), &["--no-such-option"], 2),
    ];
    for (root, more, code) in table {
        let output = discover(root, more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {output:?}");
    }
}

/// A dead mount hangs whoever touches it. So what stands for a volume may appear in no system call at all; `vol_data.json` beside a CSI volume is the only exception.
#[test]
fn no_system_call_names_a_volume() {
    let kubelet = kubelet();
    let trace = kubelet.path().join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-y", "-s", "400", "-e", "trace=%file,%desc", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_holdfast-agent"))
        .args(["discover", "--raw-block", "--kubelet-root"])
        .arg(kubelet.path())
        .output();
    let Ok(output) = traced else { return eprintln!("SKIP: there is no strace") };
    if !output.status.success() {
        return eprintln!("SKIP: strace may not trace: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(out(&output).contains("name-nfs"), "nothing was found: {output:?}");
    let calls = fs::read_to_string(&trace).unwrap();
    let printed = |line: &&str| line.contains("write(1<");
    let naming: Vec<&str> = calls.lines().filter(|line| line.contains("name-") && !printed(line)).collect();
    assert!(
        naming.iter().any(|line| line.contains("openat2(") && line.contains("\"name-csi/vol_data.json\"")),
        "{naming:#?}"
    );
    let touching: Vec<&&str> = naming.iter().filter(|line| !line.contains("vol_data.json")).collect();
    assert!(touching.is_empty(), "{touching:#?}");
    assert!(!calls.contains("volume-subpaths"), "subpaths are mounts into volumes");
}
