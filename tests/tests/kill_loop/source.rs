//! A source whose every state is known from a few numbers.
//!
//! In: a seed. Out: files in a folder, and whether another folder holds the same. Never: keeps what it wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

/// Large files: the change of all of them fills several packs.
const LARGE: usize = 12;
const LARGE_BYTES: usize = 4 << 20;
const SMALL: usize = 120;
const SMALL_BYTES_MAX: usize = 5_000;

/// What the files hold: a seed and a length each.
pub(crate) type State = BTreeMap<String, (u64, usize)>;

/// A folder whose state is known.
pub(crate) struct Source {
    folder: PathBuf,
    state: State,
}

impl Source {
    /// The first state, written.
    pub(crate) fn new(folder: PathBuf, dice: &mut SmallRng) -> Source {
        let mut source = Source { folder, state: State::new() };
        (0..LARGE).for_each(|number| source.set(format!("large/{number}"), dice.next_u64(), LARGE_BYTES));
        for number in 0..SMALL {
            let bytes = dice.random_range(0..SMALL_BYTES_MAX);
            source.set(format!("small/{}/{number}", number % 7), dice.next_u64(), bytes);
        }
        source
    }

    /// What it holds.
    pub(crate) fn state(&self) -> State {
        self.state.clone()
    }

    /// Changes a little of it, or nearly everything.
    pub(crate) fn change(&mut self, dice: &mut SmallRng) {
        let large = if dice.random_ratio(1, 3) { LARGE } else { dice.random_range(1..3) };
        for _ in 0..large {
            self.set(format!("large/{}", dice.random_range(0..LARGE)), dice.next_u64(), LARGE_BYTES);
        }
        for _ in 0..dice.random_range(0..20) {
            let number = dice.random_range(0..2 * SMALL);
            let name = format!("small/{}/{number}", number % 7);
            if dice.random_ratio(1, 3) && self.state.remove(&name).is_some() {
                std::fs::remove_file(self.folder.join(name)).expect("a file is removed");
            } else {
                self.set(name, dice.next_u64(), dice.random_range(0..SMALL_BYTES_MAX));
            }
        }
    }

    fn set(&mut self, name: String, seed: u64, bytes: usize) {
        let path = self.folder.join(&name);
        let parent = path.parent().expect("a name has a folder");
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, noise(seed, bytes)))
            .expect("a file is written");
        self.state.insert(name, (seed, bytes));
    }
}

/// A folder must hold exactly this.
pub(crate) fn assert_holds(folder: &Path, state: &State, what: &str) {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        for entry in std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{what}: {}: {error}", path.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("it is below").to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, state.keys().cloned().collect::<Vec<_>>(), "{what}: other files");
    for (name, (seed, bytes)) in state {
        let content = std::fs::read(folder.join(name)).expect("a file is read");
        assert!(content == noise(*seed, *bytes), "{what}: {name} has other content");
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut noise);
    noise
}
