//! Parallel: the same work for many items, several at once. Each costs a request, and nearly all of that is waiting.
//!
//! In: items and what to do with one. Out: results in the order of the items, or the first failure. Never: more threads than items, or a new item after a failure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// Requests that are sent at the same time where nothing else says how many.
pub(crate) const REQUESTS: usize = 8;

/// Does something with every item.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], threads: usize, one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = one(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Does something with every item until one fails; what is under way then is finished.
pub(crate) fn try_each<T: Sync>(
    items: &[T],
    threads: usize,
    one: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let failed: Mutex<Option<Error>> = Mutex::default();
    map(items, threads, |item| {
        let has_failed = || failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if has_failed() {
            return;
        }
        if let Err(error) = one(item) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [1, 8, 200] {
            let doubled = map(&items, threads, |item| {
                // The first ones take longest.
                (0..(100 - item) * 100).for_each(|_| std::hint::spin_loop());
                item * 2
            });
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>(), "{threads}");
        }
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..1000).collect();
        let result = try_each(&items, 1, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(begun.load(Ordering::Relaxed), 4);
    }
}
