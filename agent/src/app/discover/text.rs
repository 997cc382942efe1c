//! Text: volumes as people read them.
//!
//! In: snapshots and changes. Out: lines. Never: a control character; sources and host paths may hold any byte.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use crate::discovery::layout::Taking;
use crate::discovery::listing::Kind;
use crate::discovery::snapshot::Mounted;
use crate::discovery::{Change, Identity, Place, Snapshot, State, Update, Volume, VolumeKey};
use crate::text::escape;

pub(super) fn snapshot(out: &mut dyn Write, snapshot: &Snapshot) -> io::Result<()> {
    for known in snapshot.volumes.values() {
        volume(out, "", known)?;
    }
    for problem in &snapshot.problems {
        line(out, &format!("problem: {problem}"))?;
    }
    Ok(())
}

pub(super) fn update(out: &mut dyn Write, update: &Update) -> io::Result<()> {
    let changes = match update {
        Update::Snapshot(first) => return snapshot(out, first),
        Update::Delta(changes) => changes,
    };
    for change in changes {
        match change {
            Change::Appeared(known) => volume(out, "appeared: ", known)?,
            Change::Changed(known) => volume(out, "changed: ", known)?,
            Change::Gone(gone) => line(out, &format!("gone: {}", key(gone)))?,
            Change::Problems(problems) if problems.is_empty() => line(out, "no problem any more")?,
            Change::Problems(problems) => {
                for problem in problems {
                    line(out, &format!("problem: {problem}"))?;
                }
            }
        }
    }
    Ok(())
}

fn volume(out: &mut dyn Write, prefix: &str, volume: &Volume) -> io::Result<()> {
    line(out, &format!("{prefix}{}", key(&volume.key)))?;
    match volume.taking {
        Taking::Taken => line(out, "  taken when a policy selects it")?,
        Taking::OptIn(reason) => line(out, &format!("  taken only on request: {reason}"))?,
        Taking::Never(reason) => line(out, &format!("  never taken: {reason}"))?,
    }
    if let Some(problem) = &volume.problem {
        line(out, &format!("  problem: {problem}"))?;
    }
    for place in &volume.places {
        line(out, &format!("  {} {}", state(place), escape(place.path.as_os_str().as_bytes())))?;
    }
    Ok(())
}

fn key(key: &VolumeKey) -> String {
    let kind = match key.kind {
        Kind::Filesystem => "",
        Kind::Block => " (raw block)",
    };
    let identity = match &key.identity {
        Identity::Csi { driver, handle } => format!("{driver} volume {handle}"),
        Identity::PersistentVolume { plugin, name, claim: None } => format!("{plugin} persistent volume {name}"),
        Identity::PersistentVolume { plugin, name, claim: Some(claim) } => {
            format!("{plugin} persistent volume {name} of claim {}", claim.0)
        }
        Identity::PodVolume { pod_uid, plugin, name } => format!("{plugin} volume {name} of pod {}", pod_uid.0),
        Identity::HostPath { path } => format!("host path {}", path.display()),
    };
    format!("{identity}{kind}")
}

fn state(place: &Place) -> String {
    match &place.state {
        State::Mounted(Mounted { fs_type, device, read_only, exclusive, .. }) => {
            let read_only = if *read_only { ", read-only" } else { "" };
            let exclusive = if *exclusive { ", its own filesystem" } else { "" };
            format!("mounted ({fs_type} {device}{read_only}{exclusive})")
        }
        State::Directory => "directory".to_owned(),
        State::Unmounted => "not mounted".to_owned(),
        State::Unknown => "unknown".to_owned(),
    }
}

/// One line, whatever is in it.
fn line(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "{}", escape(text.as_bytes()))
}
