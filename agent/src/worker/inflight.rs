//! In flight: calls into a volume that have not come back.
//!
//! In: every call of a source. Out: how long the oldest has been under way, in looks. Never: a clock, or a wait: a call that hangs is nobody's business but its supervisor's.

use std::sync::atomic::{AtomicU64, Ordering};

/// More calls at once than threads of a backup that make any.
const SLOTS: usize = 64;

/// Calls under way; each has a slot with a number that never comes again.
#[derive(Debug)]
pub struct InFlight {
    slots: [AtomicU64; SLOTS],
    next: AtomicU64,
}

impl Default for InFlight {
    fn default() -> Self {
        InFlight { slots: [const { AtomicU64::new(0) }; SLOTS], next: AtomicU64::new(1) }
    }
}

/// Frees its slot when the call is back.
struct Call<'a>(Option<&'a AtomicU64>);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::Release);
        }
    }
}

impl InFlight {
    /// Makes a call.
    pub fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let free = |slot: &&AtomicU64| slot.compare_exchange(0, number, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Without a free slot the call is not watched; there are more slots than threads.
        let _call = Call(self.slots.iter().find(free));
        call()
    }

    fn now(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }
}

/// Looks again and again.
#[derive(Debug, Default)]
pub struct Looks {
    /// Calls that were under way at the last look, and at how many looks before.
    seen: Vec<(u64, u64)>,
}

impl Looks {
    /// At how many looks before this one the oldest call was already under way.
    pub fn look(&mut self, calls: &InFlight) -> u64 {
        let before = |number: u64| self.seen.iter().find(|(seen, _)| *seen == number).map_or(0, |(_, looks)| looks + 1);
        self.seen = calls.now().map(|number| (number, before(number))).collect();
        self.seen.iter().map(|(_, looks)| *looks).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_does_not_come_back_grows_old() {
        let (calls, mut looks) = (InFlight::default(), Looks::default());
        for _ in 0..5 {
            calls.during(|| ());
            assert_eq!(looks.look(&calls), 0);
        }
        calls.during(|| {
            assert_eq!(looks.look(&calls), 0);
            for age in 1..5 {
                calls.during(|| assert_eq!(looks.look(&calls), age));
            }
        });
        assert_eq!(looks.look(&calls), 0);
    }

    #[test]
    fn more_calls_than_slots_are_made_all_the_same() {
        fn nested(calls: &InFlight, depth: usize) -> usize {
            if depth == 0 { calls.now().count() } else { calls.during(|| nested(calls, depth - 1)) }
        }
        let calls = InFlight::default();
        assert_eq!(nested(&calls, SLOTS + 10), SLOTS);
        assert_eq!(calls.now().count(), 0);
    }
}
