//! Parallel: one thing done with each of many, by several threads. Each costs a request, and nearly all of that is waiting.
//!
//! In: items, and what to do with one. Out: the results in the order of the items, or the first failure, after which nothing more is begun. Never: more threads than
//! were given, or any for a store of one connection.

mod budget;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Error;

pub(crate) use budget::{Budget, Permit};

/// Requests that are sent at the same time where nothing else says how many.
pub(crate) const REQUESTS: usize = 8;

/// Does `one` with every item; no threads: on the caller's.
pub(crate) fn each<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    one: impl Fn(&I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if threads == 0 {
        return items.iter().map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Result<Vec<(usize, T)>, Error>> = Mutex::new(Ok(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = one(item);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    match (result, &mut *results) {
                        (_, Err(_)) => return,
                        (Ok(result), Ok(all)) => all.push((index, result)),
                        (Err(error), results) => *results = Err(error),
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_whoever_did_them() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [0, 1, 8] {
            let doubled = each(threads, &items, |item| Ok(item * 2)).unwrap();
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>(), "{threads}");
        }
    }

    #[test]
    fn the_first_failure_ends_it() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [0, 8] {
            let begun = AtomicUsize::new(0);
            let result = each(threads, &items, |item| {
                begun.fetch_add(1, Ordering::Relaxed);
                if *item == 3 { Err(Error::Cancelled) } else { Ok(()) }
            });
            assert!(matches!(result, Err(Error::Cancelled)));
            assert!(begun.load(Ordering::Relaxed) < items.len(), "{threads}");
        }
    }

    #[test]
    fn without_threads_the_caller_does_it() {
        let caller = std::thread::current().id();
        let by = each(0, &[1, 2, 3], |_| Ok(std::thread::current().id())).unwrap();
        assert!(by.iter().all(|thread| *thread == caller));
        let by = each(2, &[1, 2, 3], |_| Ok(std::thread::current().id())).unwrap();
        assert!(by.iter().all(|thread| *thread != caller));
    }
}
