//! Tally: what the sweep has seen, and what it could not capture.

use crate::point::Outcome;
use crate::tree::{Class, Missed, MissedWhat, Value, key};

use super::rows::Rows;

/// So many are listed by name in the report; all are rows in the restore point.
const LISTED_MAX: usize = 1000;

/// Something that was not captured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NotCaptured {
    /// Its path from the root of the volume; bytes that are not text are escaped.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Counts of one run.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) bytes_scanned: u64,
    pub(super) bytes_read: u64,
    /// Allocated bytes of all regular files.
    pub(super) bytes_content: u64,
    /// Read again although nothing said that it had changed.
    pub(super) bytes_scrubbed: u64,
    pub(super) missed: u64,
    pub(super) listed: Vec<NotCaptured>,
    /// Files whose content differs from the parent's although their stamps are equal.
    pub(super) silent: u64,
    /// The first of them, by path.
    pub(super) silent_listed: Vec<String>,
}

impl Tally {
    /// Records what was not captured, as a row and in the report.
    pub(super) fn miss(&mut self, rows: &Rows, at: (u64, &[u8]), path: String, how: (MissedWhat, &str)) {
        let ((directory, name), (what, why)) = (at, how);
        self.missed += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(NotCaptured { path, reason: why.to_owned() });
        }
        rows.add(Class::Tree, key::missed(directory, name), Value::Missed(Missed::new(what, why)));
    }

    /// Records what was not captured of the root directory, which has no name that a row could have.
    pub(super) fn miss_root(&mut self, why: &str) {
        self.missed += 1;
        self.listed.push(NotCaptured { path: ".".to_owned(), reason: why.to_owned() });
    }

    /// Records a file that changed without a sign.
    pub(super) fn changed_silently(&mut self, path: String) {
        self.silent += 1;
        if self.silent_listed.len() < LISTED_MAX {
            self.silent_listed.push(path);
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        if self.missed == 0 { Outcome::Complete } else { Outcome::Partial }
    }
}
