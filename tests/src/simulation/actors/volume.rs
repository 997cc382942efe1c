//! Volume: what writers back up: a tree that changes between two backups.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use repository::generated::{Dice, GeneratedSource, Shape, Tree};

/// Longer than the two seconds after which an equal stamp means equal content.
const SETTLED: Duration = Duration::from_secs(10);

/// One volume; clones are the same one.
#[derive(Clone)]
pub(crate) struct Volume {
    /// Its place among the volumes.
    pub(crate) number: usize,
    source: Arc<Mutex<(GeneratedSource, Dice)>>,
}

/// A handful of small files, and one or two that are large enough for blobs of their own.
fn shape() -> Shape {
    Shape { entries: 7, pages_max: 28, attribute_bytes_max: 60, ..Shape::tiny() }
}

impl Volume {
    /// One that follows from a seed.
    pub(crate) fn new(number: usize, seed: u64) -> Volume {
        let source = (GeneratedSource::new(seed, &shape()), Dice::new(!seed));
        Volume { number, source: Arc::new(Mutex::new(source)) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        format!("volume {}", self.number)
    }

    /// Programs change a few files, and everything settles. Returns a snapshot.
    pub(crate) fn change(&self) -> Tree {
        let mut locked = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, dice) = &mut *locked;
        source.clock().advance(SETTLED);
        let count = dice.below(8) as usize;
        source.operate(dice, &shape(), count);
        source.clock().advance(SETTLED);
        source.snapshot()
    }
}
