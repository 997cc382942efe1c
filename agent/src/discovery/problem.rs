//! Problem: what could not be found out, named.
//!
//! In: paths and the system's reasons. Out: one value per thing, fit for a report. Never: ends discovery; one odd pod must not hide the volumes of the others.

use std::path::PathBuf;

use model::ErrorClass;
use serde::{Serialize, Serializer};

use super::allowed::AllowedError;
use super::vol_data::VolDataError;
use crate::text::escape;

/// Something that discovery could not do or does not believe. Two listings of an unchanged tree have equal problems.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Problem {
    /// The kubelet's root, or its `pods` directory, is not there.
    #[error("{} cannot be listed: {why}; check that it is the kubelet's root and mounted here at the same path", .path.display())]
    NoPods {
        /// Which directory.
        path: PathBuf,
        /// The system's reason.
        why: &'static str,
    },
    /// A directory of the kubelet cannot be listed; what was known to be in it is kept as unknown.
    #[error("{} cannot be listed: {why}; its volumes are unknown until it can be", .path.display())]
    Unlisted {
        /// Which directory.
        path: PathBuf,
        /// The system's reason.
        why: &'static str,
    },
    /// Something else stands where the kubelet makes a directory (or, for a raw block device, a link).
    #[error("{} is {what}, which the kubelet never makes there; it was not followed", .path.display())]
    Stranger {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A name that no Kubernetes object can have.
    #[error("{} has a name that Kubernetes does not permit; it was left out", .path.display())]
    StrangeName {
        /// Where.
        path: PathBuf,
    },
    /// More than discovery is willing to hold.
    #[error("{} holds more than {max} {what}; those that sort last were left out", .path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How many are held.
        max: usize,
    },
    /// What a CSI volume is could not be read.
    #[error("{} {error}; the kubelet writes it again when it mounts the volume", .path.display())]
    VolData {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: VolDataError,
    },
    /// The mount table could not be read, or not wholly: what is mounted is not known.
    #[error("the mount table cannot be relied on: {why}; the agent needs /proc of its own mount namespace")]
    Mounts {
        /// What is wrong.
        why: String,
    },
    /// Changes of the tree are not told; they are found by the periodic listing.
    #[error("changes below {} are found late: {why}; if it is a limit, raise fs.inotify.max_user_watches", .path.display())]
    Unwatched {
        /// The kubelet's root.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// A path outside the kubelet's root may not be taken after all.
    #[error(transparent)]
    Refused(#[from] AllowedError),
}

impl Problem {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Problem::NoPods { .. } => ErrorClass::Missing,
            Problem::Unlisted { .. } | Problem::Mounts { .. } | Problem::Unwatched { .. } => ErrorClass::Retry,
            Problem::Stranger { .. } | Problem::StrangeName { .. } | Problem::TooMany { .. } => ErrorClass::Invalid,
            Problem::VolData { .. } => ErrorClass::Corrupt,
            Problem::Refused(error) => error.class(),
        }
    }
}

/// As its message, in one line.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(self.to_string().as_bytes()))
    }
}
