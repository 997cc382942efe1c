//! Discovery: which volumes there are on this node, and in which state.
//!
//! In: the kubelet's root directory, the mount table, and what configuration and controller add ([`Outside`]). Out: a [`Snapshot`], then what changes.
//! Never: opens, stats or lists a volume. A dead network mount hangs whoever touches it, and this is the process that must not hang.
//!
//! Data meets the stages in this order: [`listing`] reads the tree by the types of directory entries alone (and [`vol_data`], which lies beside a volume), [`mounts`]
//! reads the mount table, [`layout`] says what each plugin's directory means, [`identity`] what makes a volume the same volume, [`exclusive`] whether a filesystem
//! belongs to it alone, [`snapshot`] puts all of it together, [`delta`] compares. Those are functions of their inputs; [`watch`] runs them whenever something may have changed.
//! [`allowed`] decides about paths that lie outside the kubelet's root.

pub mod allowed;
pub mod delta;
pub mod exclusive;
pub mod identity;
pub mod layout;
pub mod listing;
pub mod mounts;
pub mod problem;
pub mod snapshot;
pub mod vol_data;
pub mod watch;

pub use delta::Change;
pub use identity::{ClaimUid, Identity, PodUid};
pub use problem::Problem;
pub use snapshot::{Outside, Place, Snapshot, State, Volume, VolumeKey};
pub use watch::{Update, Watch};
