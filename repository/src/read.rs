//! Read: a restore point is listed, walked, shown, compared, restored and checked.
//!
//! In: a domain and a restore point. Out: its entries and content, on request or into a target. Never: writes into the repository, apart from announcing a long
//! read; hands out a byte that did not pass its tag and its segment hash; needs memory in proportion to the volume.
//!
//! - [`points`]: which restore points there are; [`resolve`]: which one a text means.
//! - [`View`]: one restore point, open: look-ups, listings, walks. [`cat`], [`find()`], [`diff()`]: on top of it.
//! - [`restore()`]: into a target, pack by pack.
//! - [`check()`]: whether all of it is there and is what was written.
//! - `packs`, `content`: blobs opened and checked.

mod cat;
mod check;
mod content;
mod cursor;
mod diff;
mod find;
mod listing;
mod packs;
mod path;
mod points;
mod restore;
mod view;
mod walk;

pub use cat::{CatError, cat};
pub use check::{
    AFFECTED_PATHS_MAX, Affected, CheckLevel, CheckOptions, CheckOutcome, CheckProgress, CheckReport, DamagedObject,
    IgnoredObject, Released, Unannounced, check,
};
pub use diff::{Changes, Difference, DifferenceSink, diff};
pub use find::find;
pub(crate) use listing::{Listing, valid_points};
pub(crate) use packs::{PackVerdict, verify_pack};
pub use path::{display_path, split_path};
pub(crate) use points::concerns_one_object;
pub use points::{PointInfo, PointList, points, points_with_hidden, resolve};
pub use restore::{
    ByteRange, Failed, LOST_RANGES_MAX, RESTORE_MEMORY_BYTES_MIN, RestoreOptions, RestoreProgress, RestoreReport,
    restore,
};
pub use view::{Blocks, Child, Entries, Found, MissedEntries, View, WINDOW_BYTES_DEFAULT};
pub use walk::{Visited, Walk};

#[cfg(test)]
pub(crate) mod tests;
