//! Table: rows in blobs of a pack (docs/format.md, section 7.2).
//!
//! In: rows in the order of their keys, or a reference to a table. Out: blocks, index and footer ready for a pack, or the rows again, streamed and sought.
//! Never: holds a whole table's rows decoded, or asks the store for more than it needs.

mod build;
mod footer;
mod run;
mod source;

pub use build::{BuiltTable, TableBuilder};
pub use footer::{PackLoss, PackUse, StoredBlob, TableFooter};
pub use run::TableRun;
pub use source::{TableParts, TableSource};

#[cfg(test)]
mod tests;
