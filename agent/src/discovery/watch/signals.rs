//! Signals: what the watching threads leave for the one that looks.
//!
//! In: that something changed, that a watch is gone, that signals were lost, and what comes from outside. Out: one wake-up and what was noted. Never: a queue; noting a thing twice is noting it once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::discovery::snapshot::Outside;

/// More directories than this gone at once are not noted one by one: all watches are made anew.
const GONE_MAX: usize = 4_096;

/// Shared between the threads of a watch.
#[derive(Debug)]
pub(super) struct Signals {
    noted: Mutex<Noted>,
    wake: Sender<()>,
}

#[derive(Debug, Default)]
struct Noted {
    gone: BTreeSet<PathBuf>,
    lost: bool,
    ended: bool,
    outside: Outside,
}

/// What became of watches since somebody asked last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watches {
    /// These are gone, because their directories are.
    Gone(BTreeSet<PathBuf>),
    /// None can be relied on.
    Lost,
}

impl Signals {
    /// The receiver wakes up whenever something was noted.
    pub(super) fn new(outside: Outside) -> (Arc<Signals>, Receiver<()>) {
        let (wake, woken) = bounded(1);
        (Arc::new(Signals { noted: Mutex::new(Noted { outside, ..Noted::default() }), wake }), woken)
    }

    /// Makes a listing due.
    pub(super) fn changed(&self) {
        // Full: it is due already.
        let _ = self.wake.try_send(());
    }

    /// A directory that may have been watched is gone.
    pub(super) fn gone(&self, directory: PathBuf) {
        let mut noted = self.noted();
        noted.gone.insert(directory);
        if noted.gone.len() > GONE_MAX {
            noted.gone.clear();
            noted.lost = true;
        }
    }

    /// Signals were lost.
    pub(super) fn lost(&self) {
        self.noted().lost = true;
        self.changed();
    }

    /// The threads end.
    pub(super) fn end(&self) {
        self.noted().ended = true;
        self.changed();
    }

    pub(super) fn ended(&self) -> bool {
        self.noted().ended
    }

    pub(super) fn set_outside(&self, outside: Outside) {
        self.noted().outside = outside;
        self.changed();
    }

    pub(super) fn outside(&self) -> Outside {
        self.noted().outside.clone()
    }

    /// Takes what was noted about watches.
    pub(super) fn take_watches(&self) -> Watches {
        let mut noted = self.noted();
        let gone = std::mem::take(&mut noted.gone);
        if std::mem::take(&mut noted.lost) { Watches::Lost } else { Watches::Gone(gone) }
    }

    /// Nothing here can be half done: a thread that panicked leaves it whole.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_one_wake_up_and_a_bounded_note() {
        let (signals, due) = Signals::new(Outside::default());
        for number in 0..=GONE_MAX {
            signals.gone(PathBuf::from(number.to_string()));
            signals.changed();
        }
        assert_eq!(due.try_iter().count(), 1);
        assert_eq!(signals.take_watches(), Watches::Lost);
        assert_eq!(signals.take_watches(), Watches::Gone(BTreeSet::new()));
    }
}
