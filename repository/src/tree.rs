//! Tree: the metadata of a volume as sorted rows, pure (docs/format.md, sections 5.2 and 7).
//!
//! In: rows, or the plaintext of table blocks. Out: rows, keys, folded views, merged streams, and plans which runs to merge. Never: IO, encryption, or the
//! decision what a backup changes.
//!
//! - [`key`]: the keys of the five classes, built and parsed.
//! - [`row`]: what stands under a key; [`value`]: its encoding.
//! - [`block`]: rows in the plaintext of table blocks, and the index over them.
//! - [`overlay`]: the rows of one block of a file folded into one.
//! - [`merge`]: several runs as one, for a reader or for the next run. [`rules`]: the rules it keeps, by name.
//! - [`plan`]: which runs are worth merging.
//!
//! Invariant: merging any adjacent runs changes nothing that any reader of any restore point sees (`tests/tree_model.rs` proves it, rule by rule).

pub mod block;
pub mod key;
pub mod merge;
pub mod overlay;
pub mod plan;
pub mod row;
pub mod rules;
pub mod value;

pub use key::Class;
pub use merge::{Merged, Mode, Run, VecRun};
pub use row::{
    Attribute, AttributeValue, Entry, Extent, Head, Inline, Inode, Location, Missed, MissedWhat, PackId, Row,
    SignRange, Signs, Stamp, Sum, Value,
};
pub use value::PackList;
