//! `vol_data.json`: what the kubelet wrote down about a CSI volume.
//!
//! In: a directory of the kubelet and the path of the file below it. Out: driver, handle and life cycle. Never: crosses into a mount, follows a link, reads more than
//! [`BYTES_MAX`], or guesses: a file that is stale, torn or missing is an error that says so.
//!
//! The file lies beside the volume, not in it, is written before the volume is mounted and removed after it was unmounted; a crash in between leaves a torn or a stale one.
//! Fields as in Kubernetes' `pkg/volume/csi/csi_plugin.go`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};
use serde::{Deserialize, Serialize};

/// Real files have about 400 bytes; a `volumeHandle` may have some hundred more.
pub const BYTES_MAX: u64 = 64 << 10;

/// Why the file tells nothing. Each completes the sentence "(the file) ...".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum VolDataError {
    /// There is none.
    #[error("is missing")]
    Missing,
    /// Somebody planted a link.
    #[error("is a symbolic link, or behind one")]
    Link,
    /// Something is mounted over the kubelet's own directory.
    #[error("is covered by a mount")]
    Covered,
    /// A directory, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The system refused.
    #[error("cannot be read: {0}")]
    Unreadable(&'static str),
    /// Longer than any that a kubelet writes.
    #[error("has more than {BYTES_MAX} bytes")]
    TooLong,
    /// As a crash leaves it.
    #[error("is empty or torn: {0}")]
    Torn(String),
    /// It describes another volume.
    #[error("is stale: it describes {0:?}")]
    Stale(String),
    /// A field that it must have.
    #[error("has no {0}")]
    NoField(&'static str),
    /// A life cycle that this version does not know.
    #[error("has a volumeLifecycleMode that is not known: {0:?}")]
    UnknownLifecycle(String),
}

impl VolDataError {
    fn from_errno(errno: Errno) -> VolDataError {
        match errno {
            Errno::ENOENT => VolDataError::Missing,
            Errno::ELOOP => VolDataError::Link,
            Errno::EXDEV => VolDataError::Covered,
            errno => VolDataError::Unreadable(errno.desc()),
        }
    }
}

/// What a CSI volume is, as its kubelet knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CsiFacts {
    /// The driver's name.
    pub driver: String,
    /// The driver's name for the volume.
    pub handle: String,
    /// Whether it outlives its pod.
    pub lifecycle: Lifecycle,
    /// The attachment to this node, for drivers that attach.
    pub attachment: Option<String>,
}

/// Whether a CSI volume outlives its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// A persistent volume.
    Persistent,
    /// Written in the pod's specification: secrets stores, certificates.
    Ephemeral,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "driverName", default)]
    driver: String,
    #[serde(rename = "volumeHandle", default)]
    handle: String,
    #[serde(rename = "specVolID", default)]
    name: String,
    #[serde(rename = "volumeLifecycleMode", default)]
    lifecycle: String,
    #[serde(rename = "attachmentID", default)]
    attachment: String,
}

/// Reads the file at `path` below `dir`, for the entry called `name`.
pub fn read(dir: impl AsFd, path: &str, name: &str) -> Result<CsiFacts, VolDataError> {
    let file = open(dir, path).map_err(VolDataError::from_errno)?;
    let stat = fstat(&file).map_err(VolDataError::from_errno)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(VolDataError::NotAFile);
    }
    let mut bytes = Vec::new();
    let failed = |error: io::Error| VolDataError::from_errno(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    File::from(file).take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    parse(&bytes, name)
}

/// Does not block on a FIFO; the directory on the way may be what a hanging filesystem is mounted on, and is not entered then.
fn open(dir: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat2(dir, path, OpenHow::new().flags(flags).resolve(stay()))
}

/// How everything below the kubelet's root is opened.
pub(super) fn stay() -> ResolveFlag {
    ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV
}

/// Parses the content of the file for the entry called `name`.
pub fn parse(bytes: &[u8], name: &str) -> Result<CsiFacts, VolDataError> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(VolDataError::TooLong);
    }
    let fields: Fields = serde_json::from_slice(bytes).map_err(|error| VolDataError::Torn(error.to_string()))?;
    if fields.name != name {
        return Err(VolDataError::Stale(fields.name));
    }
    for (field, value) in [("driverName", &fields.driver), ("volumeHandle", &fields.handle)] {
        if value.is_empty() {
            return Err(VolDataError::NoField(field));
        }
    }
    let lifecycle = match fields.lifecycle.as_str() {
        "Persistent" => Lifecycle::Persistent,
        "Ephemeral" => Lifecycle::Ephemeral,
        _ => return Err(VolDataError::UnknownLifecycle(fields.lifecycle)),
    };
    let attachment = (!fields.attachment.is_empty()).then_some(fields.attachment);
    Ok(CsiFacts { driver: fields.driver, handle: fields.handle, lifecycle, attachment })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = r#"{"attachmentID":"csi-5c3e","driverName":"ebs.csi.aws.com","nodeName":"n1","seLinuxMountContext":"","specVolID":"pvc-1","volumeHandle":"vol-0a","volumeLifecycleMode":"Persistent"}"#;

    #[test]
    fn a_real_file_is_read() {
        let facts = parse(REAL.as_bytes(), "pvc-1").unwrap();
        assert_eq!((facts.driver.as_str(), facts.handle.as_str()), ("ebs.csi.aws.com", "vol-0a"));
        assert_eq!((facts.lifecycle, facts.attachment.as_deref()), (Lifecycle::Persistent, Some("csi-5c3e")));
    }

    #[test]
    fn a_file_cut_anywhere_is_named_torn_and_never_half_believed() {
        for length in 0..REAL.len() {
            let error = parse(&REAL.as_bytes()[..length], "pvc-1").unwrap_err();
            assert!(matches!(error, VolDataError::Torn(_)), "{length}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let table = [
            (REAL.replace("pvc-1", "pvc-2"), "is stale: it describes \"pvc-2\""),
            (REAL.replace("ebs.csi.aws.com", ""), "has no driverName"),
            (REAL.replace("vol-0a", ""), "has no volumeHandle"),
            (
                REAL.replace("\"Persistent\"", "\"Sometimes\""),
                "has a volumeLifecycleMode that is not known: \"Sometimes\"",
            ),
            (REAL.replace("volumeLifecycleMode", "other"), "has a volumeLifecycleMode that is not known: \"\""),
            ("7".to_owned(), "is empty or torn"),
            (format!("{REAL}{}", " ".repeat(BYTES_MAX as usize)), "has more than 65536 bytes"),
        ];
        for (text, expected) in table {
            let error = parse(text.as_bytes(), "pvc-1").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn links_and_what_is_no_file_or_too_long_are_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("real"), REAL).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        File::create(at("endless")).unwrap().set_len(1 << 40).unwrap();
        let dir = File::open(scratch.path()).unwrap();
        assert!(read(&dir, "real", "pvc-1").is_ok());
        for (name, expected) in [
            ("link", "is a symbolic link, or behind one"),
            ("directory", "is not a regular file"),
            ("fifo", "is not a regular file"),
            ("nothing", "is missing"),
            ("endless", "has more than 65536 bytes"),
        ] {
            assert_eq!(read(&dir, name, "pvc-1").unwrap_err().to_string(), expected, "{name}");
        }
    }
}
