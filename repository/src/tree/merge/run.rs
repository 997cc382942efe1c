//! Runs: what a merge reads.
//!
//! In: a key to go to. Out: rows in order. Never: more than one row at a time.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::tree::row::Row;

/// Rows in strictly ascending order of keys.
pub trait Run {
    /// Why a row could not be read.
    type Error;
    /// Goes to the first row whose key is not below `key`, forwards or backwards. A fresh run stands at its first row. Where a run stands after a seek that
    /// failed is not known; the next call must be a seek.
    fn seek(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// The next row; `None` at the end, and ever after. A call that failed has not moved.
    fn next(&mut self) -> Result<Option<Row>, Self::Error>;
}

impl<R: Run + ?Sized> Run for Box<R> {
    type Error = R::Error;

    fn seek(&mut self, key: &[u8]) -> Result<(), R::Error> {
        (**self).seek(key)
    }

    fn next(&mut self) -> Result<Option<Row>, R::Error> {
        (**self).next()
    }
}

/// A run in memory.
#[derive(Clone, Debug)]
pub struct VecRun<E = Infallible> {
    rows: Arc<Vec<Row>>,
    next: usize,
    error: PhantomData<fn() -> E>,
}

impl<E> VecRun<E> {
    /// Over rows in strictly ascending order of keys.
    pub fn new(rows: Arc<Vec<Row>>) -> VecRun<E> {
        debug_assert!(rows.windows(2).all(|pair| matches!(pair, [one, other] if one.key < other.key)));
        VecRun { rows, next: 0, error: PhantomData }
    }
}

impl<E> Run for VecRun<E> {
    type Error = E;

    fn seek(&mut self, key: &[u8]) -> Result<(), E> {
        self.next = self.rows.partition_point(|row| row.key.as_slice() < key);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Row>, E> {
        let row = self.rows.get(self.next).cloned();
        self.next += usize::from(row.is_some());
        Ok(row)
    }
}
