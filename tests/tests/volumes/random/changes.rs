//! Changes: one operation by the dice.
//!
//! In: dice. Out: an order for the program in `tests/writers`, whose `operations.py` says what it means. Never: a look at the volume; what cannot be done where the dice
//! put it is simply not done.

use rand::Rng;
use rand::rngs::SmallRng;

/// Few names, so that they meet.
const FILES: [&str; 8] = ["a", "b", "c", "d/a", "d/b", "e/a", "e/b", "d/f/a"];
const FOLDERS: [&str; 4] = ["d", "e", "d/f", "g"];
/// Folders that stay empty.
const EMPTY: [&str; 2] = ["in/h", "in/d/h"];
/// What has attributes.
const ATTRIBUTED: [&str; 4] = ["in", "in/a", "in/d", "in/e/a"];
/// Numbers for what stays open, mapped or registered.
const SLOTS: u64 = 3;
/// Files are about as long.
const BYTES: u64 = 150_000;
const PAGES: u64 = BYTES / 4096;
/// Sometimes one is mapped at an address at which a fault can take in a large folio: 4 MiB.
pub(crate) const LARGE_PAGES: u64 = 1024;

/// How often each operation comes.
const WEIGHTS: [(&str, u64); 51] = [
    ("write", 6),
    ("append", 3),
    ("rewrite", 4),
    ("unnoticed", 5),
    ("direct", 3),
    ("splice", 2),
    ("sendfile", 2),
    ("copy", 2),
    ("clone", 3),
    ("reserve", 1),
    ("keep", 1),
    ("punch", 2),
    ("zero", 2),
    ("collapse", 2),
    ("insert", 2),
    ("truncate", 2),
    ("ftruncate", 2),
    ("map", 6),
    ("store", 16),
    ("stores", 6),
    ("msync", 2),
    ("unmap", 2),
    ("hold", 3),
    ("release", 1),
    ("fsync", 1),
    ("aio", 4),
    ("aiodirect", 3),
    ("register", 3),
    ("ring", 5),
    ("loop", 1),
    ("loopwrite", 2),
    ("chmod", 2),
    ("chown", 2),
    ("setxattr", 2),
    ("removexattr", 2),
    ("utime", 2),
    ("chattr", 1),
    ("create", 1),
    ("mkdir", 1),
    ("rmdir", 1),
    ("fifo", 1),
    ("symlink", 1),
    ("link", 4),
    ("unlink", 2),
    ("rename", 4),
    ("exchange", 3),
    ("move", 3),
    ("unnamed", 2),
    ("again", 3),
    ("twins", 3),
    ("turn", 3),
];

/// Every operation.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    WEIGHTS.iter().map(|(name, _)| *name)
}

/// The dice of one sequence.
pub(crate) struct Dice(pub(crate) SmallRng);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    /// An operation.
    pub(crate) fn change(&mut self) -> String {
        let mut at = self.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let chosen = WEIGHTS.iter().find(|(_, weight)| {
            let is_here = at < *weight;
            at = at.saturating_sub(*weight);
            is_here
        });
        let name = chosen.expect("the weights are those that were added").0;
        format!("{name} {}", self.arguments(name))
    }

    fn arguments(&mut self, name: &str) -> String {
        let (seed, slot) = (self.below(1 << 20), self.below(SLOTS));
        match name {
            "write" | "splice" | "aio" => format!("{} {} {} {seed}", self.target(), self.offset(), self.length()),
            "append" | "rewrite" => format!("{} {} {seed}", self.target_by_name(), self.length()),
            "unnoticed" => format!("{} {seed}", self.target()),
            "direct" | "aiodirect" => format!("{} {} {} {seed}", self.target_by_name(), self.page(), 1 + self.below(8)),
            "sendfile" => format!("{} {} {}", self.target(), self.target_by_name(), self.length()),
            "copy" => {
                format!("{} {} {} {}", self.target(), self.offset(), self.target_by_name(), self.length())
            }
            "clone" => format!("{} {}", self.target(), self.target_by_name()),
            "reserve" | "keep" | "punch" | "zero" | "collapse" | "insert" => {
                format!("{} {} {}", self.target(), self.below(8), 1 + self.below(8))
            }
            "truncate" => format!("{} {}", self.target_by_name(), self.offset()),
            "ftruncate" => format!("{} {}", self.target(), self.offset()),
            "map" => format!("{slot} {} {PAGES}", self.target()),
            "store" | "stores" => format!("{} {} {seed}", self.mapping(slot), self.page()),
            "msync" => format!("{slot} {}", self.pick(&[1, 4])),
            "unmap" | "release" => format!("{slot}"),
            "hold" | "register" => format!("{slot} {}", self.target_by_name()),
            "loop" => format!("0 {}", self.target_by_name()),
            "fsync" => self.target(),
            "ring" => format!("{slot} {} {} {seed}", self.offset(), self.length()),
            "loopwrite" => format!("0 {} {seed}", self.below(4)),
            "chmod" => format!("{} {}", self.entry(), self.below(0o10000)),
            "chown" => format!("{} {}", self.entry(), self.below(5)),
            "setxattr" => format!("{} x {} {seed}", self.pick(&ATTRIBUTED), self.pick(&[0, 5, 900])),
            "removexattr" => format!("{} x", self.pick(&ATTRIBUTED)),
            "utime" => format!("{} {seed}", self.entry()),
            "chattr" => self.entry(),
            "create" | "fifo" | "unlink" => self.file(),
            "mkdir" | "rmdir" => self.pick(&EMPTY).to_owned(),
            "symlink" => format!("{} {}", self.file(), self.pick(&["a", "../a", "nowhere"])),
            "link" | "rename" => format!("{} {}", self.file(), self.file()),
            "exchange" if slot == 0 => format!("{} {}", self.file(), self.file()),
            "exchange" | "move" => format!("{} {}", self.folder(), self.folder()),
            "unnamed" => format!("{} {} {seed}", self.file(), self.length()),
            "again" => format!("{} {seed}", self.file()),
            // Twins that lie below change their places, and no stamp of theirs says so.
            "turn" => "in/d in/e".to_owned(),
            "twins" => format!("in/d/{slot} in/e/{slot} {seed}"),
            _ => unreachable!("{name}"),
        }
    }

    fn offset(&mut self) -> u64 {
        self.below(BYTES)
    }

    fn length(&mut self) -> u64 {
        match self.below(3) {
            0 => 1 + self.below(100),
            1 => 1 + self.below(9000),
            _ => 1 + self.below(BYTES),
        }
    }

    /// The first ones more often, so that operations meet.
    fn page(&mut self) -> u64 {
        if self.below(2) == 0 { self.below(4) } else { self.below(PAGES) }
    }

    /// A mapping: one of the slots, or that of the large file.
    fn mapping(&mut self, slot: u64) -> u64 {
        if self.below(5) == 0 { SLOTS } else { slot }
    }

    fn file(&mut self) -> String {
        format!("{}/{}", self.pick(&["in", "in", "in", "in", "out"]), self.pick(&FILES))
    }

    fn folder(&mut self) -> String {
        format!("{}/{}", self.pick(&["in", "in", "out"]), self.pick(&FOLDERS))
    }

    /// A file or a folder.
    fn entry(&mut self) -> String {
        match self.below(6) {
            0 => "in".to_owned(),
            1 => self.folder(),
            _ => self.file(),
        }
    }

    /// A file to write to, perhaps through another mount.
    fn target_by_name(&mut self) -> String {
        if self.below(8) == 0 { format!("bind/{}", self.pick(&FILES)) } else { self.file() }
    }

    /// The same, or one that is held open.
    fn target(&mut self) -> String {
        if self.below(6) == 0 { format!("@{}", self.below(SLOTS)) } else { self.target_by_name() }
    }
}
