//! Allowed: which paths outside the kubelet's root may be taken.
//!
//! In: prefixes from the configuration and a path that the controller asks for. Out: an [`AdmittedPath`], or a refusal that names the prefixes. Never: looks at the path. The check
//! is of its words alone; a link below a prefix is the business of the worker that opens it, with openat2 and no links followed, from the prefix down.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::ErrorClass;

/// Why a path outside the kubelet's root is not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AllowedError {
    /// The path, or a prefix, is not written as one.
    #[error("{path:?} is not an absolute path without `.`, `..` and NUL; write it out")]
    NotPlain {
        /// What was given.
        path: PathBuf,
    },
    /// A prefix that allows everything allows the secrets of every pod.
    #[error("the prefix {path:?} would allow the whole node; name the directories that pods use")]
    EverythingAllowed {
        /// What was given.
        path: PathBuf,
    },
    /// Host paths are not a way round what is never taken.
    #[error(
        "{path:?} overlaps the kubelet's root {root:?}, where volumes are found by themselves and secrets are never taken; name another path"
    )]
    KubeletRoot {
        /// What was asked for.
        path: PathBuf,
        /// The kubelet's root.
        root: PathBuf,
    },
    /// No prefix covers it.
    #[error("{path:?} is not below an allowed prefix ({}); allow one with --allow", list(.prefixes))]
    NotAllowed {
        /// What was asked for.
        path: PathBuf,
        /// What is allowed.
        prefixes: Vec<PathBuf>,
    },
}

impl AllowedError {
    /// What the caller should do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            AllowedError::NotPlain { .. } | AllowedError::EverythingAllowed { .. } => ErrorClass::Invalid,
            AllowedError::KubeletRoot { .. } | AllowedError::NotAllowed { .. } => ErrorClass::Denied,
        }
    }
}

fn list(prefixes: &[PathBuf]) -> String {
    if prefixes.is_empty() {
        return "there is none".to_owned();
    }
    prefixes.iter().map(|prefix| format!("{prefix:?}")).collect::<Vec<_>>().join(", ")
}

/// A path that was checked; there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdmittedPath {
    path: PathBuf,
    prefix: PathBuf,
}

impl AdmittedPath {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The prefix that covers it: the operator's word, so links in it may be followed. Below it, none may.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }
}

/// What the configuration allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    kubelet_root: PathBuf,
    prefixes: Vec<PathBuf>,
}

impl Prefixes {
    /// From the configuration.
    pub fn new(kubelet_root: &Path, prefixes: &[PathBuf]) -> Result<Prefixes, AllowedError> {
        let kubelet_root = plain(kubelet_root)?;
        let mut plain_prefixes = prefixes.iter().map(|prefix| plain(prefix)).collect::<Result<Vec<_>, _>>()?;
        if let Some(prefix) = plain_prefixes.iter().find(|prefix| prefix.parent().is_none()) {
            return Err(AllowedError::EverythingAllowed { path: prefix.clone() });
        }
        plain_prefixes.sort();
        plain_prefixes.dedup();
        Ok(Prefixes { kubelet_root, prefixes: plain_prefixes })
    }

    /// Checks a path, whole names at a time: `/data` covers `/data/a`, not `/database`.
    pub fn admit(&self, path: &Path) -> Result<AdmittedPath, AllowedError> {
        let path = plain(path)?;
        let root = &self.kubelet_root;
        if path.starts_with(root) || root.starts_with(&path) {
            return Err(AllowedError::KubeletRoot { path, root: root.clone() });
        }
        match self.prefixes.iter().find(|prefix| path.starts_with(prefix)) {
            Some(prefix) => Ok(AdmittedPath { path, prefix: prefix.clone() }),
            None => Err(AllowedError::NotAllowed { path, prefixes: self.prefixes.clone() }),
        }
    }
}

/// The path without doubled and trailing slashes. `..` is refused and not resolved: behind a link it means something else than its words.
fn plain(path: &Path) -> Result<PathBuf, AllowedError> {
    let bytes = path.as_os_str().as_bytes();
    let bad = |name: &[u8]| matches!(name, b"." | b"..") || name.contains(&0);
    if !bytes.starts_with(b"/") || bytes.split(|byte| *byte == b'/').any(bad) {
        return Err(AllowedError::NotPlain { path: path.to_path_buf() });
    }
    let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    Ok(names.fold(PathBuf::from("/"), |path, name| path.join(OsStr::from_bytes(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(list: &[&str]) -> Prefixes {
        let list: Vec<PathBuf> = list.iter().map(PathBuf::from).collect();
        Prefixes::new(Path::new("/var/lib/kubelet"), &list).unwrap()
    }

    #[test]
    fn a_path_is_admitted_by_whole_names() {
        let allowed = prefixes(&["/data/", "/srv//apps", "/var"]);
        for (asked, expected) in
            [("/data", "/data"), ("/data/a/b", "/data/a/b"), ("/srv/apps//x/", "/srv/apps/x"), ("/var/log", "/var/log")]
        {
            assert_eq!(allowed.admit(Path::new(asked)).unwrap().path(), Path::new(expected), "{asked}");
        }
        for refused in ["/database", "/srv", "/srv/app", "/", "/etc/shadow"] {
            let error = allowed.admit(Path::new(refused)).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Denied, "{refused}: {error}");
        }
    }

    #[test]
    fn words_that_lead_elsewhere_are_refused() {
        for asked in ["/data/../etc/shadow", "/data/..", "/data/./a", "data/a", "", "/data/a\0b", "..", "/data/a/.."] {
            let error = prefixes(&["/data"]).admit(Path::new(asked)).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Invalid, "{asked:?}: {error}");
        }
        // Three dots and dots in names are names.
        assert!(prefixes(&["/data"]).admit(Path::new("/data/.../..a/b..")).is_ok());
    }

    #[test]
    fn the_kubelets_root_cannot_be_reached_by_a_wide_prefix() {
        for asked in ["/var", "/var/lib", "/var/lib/kubelet", "/var/lib/kubelet/pods/u/volumes/kubernetes.io~secret/s"]
        {
            let error = prefixes(&["/var"]).admit(Path::new(asked)).unwrap_err();
            assert!(matches!(error, AllowedError::KubeletRoot { .. }), "{asked}: {error}");
        }
        assert!(prefixes(&["/var"]).admit(Path::new("/var/lib/kubelet-data")).is_ok());
    }

    #[test]
    fn a_refusal_names_what_is_allowed() {
        let error = prefixes(&["/srv", "/data"]).admit(Path::new("/etc")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"/etc\" is not below an allowed prefix (\"/data\", \"/srv\"); allow one with --allow"
        );
        let error = prefixes(&[]).admit(Path::new("/etc")).unwrap_err();
        assert!(error.to_string().contains("there is none"), "{error}");
    }

    #[test]
    fn everything_is_no_prefix() {
        for prefix in ["/", "//"] {
            let error = Prefixes::new(Path::new("/k"), &[PathBuf::from(prefix)]).unwrap_err();
            assert!(matches!(error, AllowedError::EverythingAllowed { .. }), "{error}");
        }
    }
}
