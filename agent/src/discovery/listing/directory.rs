//! Directory: one level of the tree, opened without leaving it and read without touching what is in it.
//!
//! In: the directory above and a name. Out: names with the types that the directory itself holds. Never: stats an entry - where the filesystem holds no types, the type is
//! not known - and never follows a link or crosses a mount.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, openat2};
use nix::sys::stat::Mode;

use crate::discovery::vol_data::stay;

/// Longest name, in bytes: that of a filesystem. Kubernetes' own are shorter.
const NAME_BYTES_MAX: usize = 255;

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In order of bytes, so that the same tree always gives the same names, however many there are.
    pub(super) kept: BTreeMap<Vec<u8>, Option<Type>>,
    /// There are more than were to be kept.
    pub(super) more: bool,
}

const FLAGS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// Opens the directory of all pods. It may be a filesystem of its own; below it no directory of the kubelet is.
pub(super) fn open_pods(path: &Path) -> Result<OwnedFd, Errno> {
    nix::fcntl::open(path, FLAGS, Mode::empty())
}

/// Opens a directory.
pub(super) fn open(above: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    openat2(above, name, OpenHow::new().flags(FLAGS).resolve(stay()))
}

/// Reads a directory; the first `max` names, by their bytes, are kept.
pub(super) fn read(dir: OwnedFd, max: usize) -> Result<(Dir, Names), Errno> {
    let mut dir = Dir::from_fd(dir)?;
    let mut names = Names::default();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        names.kept.insert(name.to_vec(), entry.file_type());
        if names.kept.len() > max {
            names.kept.pop_last();
            names.more = true;
        }
    }
    Ok((dir, names))
}

/// A name that the kubelet can have given: objects' names, UIDs and plugins are ASCII letters, digits and a few signs.
pub(super) fn kubernetes_name(name: &[u8]) -> Option<String> {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let good = name.len() <= NAME_BYTES_MAX && !name.starts_with(b".") && name.iter().all(harmless);
    good.then(|| String::from_utf8(name.to_vec()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_object_can_have_are_refused() {
        for good in
            ["pvc-0a1b", "0f3c5e9a-1111-4222-8333-944445555666", "kubernetes.io~csi", "wrapped_x", "data.example.org"]
        {
            assert_eq!(kubernetes_name(good.as_bytes()).as_deref(), Some(good));
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in [&b".hidden"[..], b"a b", b"a\nb", b"\xff", "\u{202e}x".as_bytes(), b"..", long.as_bytes()] {
            assert_eq!(kubernetes_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_same_names_are_kept_however_many_there_are() {
        let scratch = tempfile::tempdir().unwrap();
        let above = std::fs::File::open(scratch.path()).unwrap();
        std::fs::create_dir(scratch.path().join("all")).unwrap();
        for name in ["c", "a", "d", "b"] {
            std::fs::write(scratch.path().join("all").join(name), "").unwrap();
        }
        let (_, names) = read(open(&above, "all").unwrap(), 2).unwrap();
        assert!(names.more);
        assert_eq!(names.kept.keys().map(Vec::as_slice).collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(!read(open(&above, "all").unwrap(), 4).unwrap().1.more);
    }
}
