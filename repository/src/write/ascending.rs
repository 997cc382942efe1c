//! Ascending: rows looked up by ascending keys, by reading on where that is cheaper than going there.
//!
//! In: what a reader sees of one class, and keys. Out: the first row that is not below a key. Never: more than one row in memory.

use crate::Error;
use crate::table::TableRun;
use crate::tree::{Merged, Row, Run};

/// So many rows are read over before a seek: about what a request's latency could have brought.
const PASSED_MAX: u32 = 1 << 15;

/// A cursor for look-ups in ascending order; another order works and costs a seek each.
pub(super) struct Ascending {
    rows: Merged<TableRun>,
    /// The first row that is not below `floor`, if `known`.
    ahead: Option<Row>,
    floor: Vec<u8>,
    known: bool,
}

impl Ascending {
    /// Over the rows of one class.
    pub(super) fn new(rows: Merged<TableRun>) -> Ascending {
        Ascending { rows, ahead: None, floor: Vec::new(), known: false }
    }

    /// The first row whose key is not below `key`.
    pub(super) fn first_from(&mut self, key: &[u8]) -> Result<Option<&Row>, Error> {
        if !self.known || self.floor.as_slice() > key {
            self.seek(key)?;
        }
        let mut passed = 0;
        while self.ahead.as_ref().is_some_and(|row| row.key.as_slice() < key) {
            match passed {
                PASSED_MAX => self.seek(key)?,
                _ => self.read()?,
            }
            passed += 1;
        }
        self.floor.clear();
        self.floor.extend_from_slice(key);
        Ok(self.ahead.as_ref())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.known = false;
        self.rows.seek(key)?;
        self.read()
    }

    fn read(&mut self) -> Result<(), Error> {
        self.known = false;
        self.ahead = self.rows.next()?;
        self.known = true;
        Ok(())
    }
}
