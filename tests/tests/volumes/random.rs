//! Random: any changes in any order, with backups anywhere between them.
//!
//! In: a seed. Out: after each backup a restore that equals the volume by the word of GNU tools. Never: a run that cannot be replayed: `HOLDFAST_SEED=7 HOLDFAST_SEEDS=1` is
//! seed 7 alone, `HOLDFAST_SEEDS=1000` a campaign.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;

use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use repository::point::Outcome;

use crate::compare::account;
use crate::mounted::{Kind, Volume, can_mount};
use crate::protected::Protected;

const SEEDS: u64 = 1;
const BACKUPS: u32 = 6;
const CHANGES: u32 = 12;
/// Few names, so that they meet.
const NAMES: [&str; 6] = ["a", "b", "c", "folder/a", "folder/b", "folder/inner/c"];
const FILE_BYTES_MAX: u64 = 3 << 20;

/// A volume, and the dice that change it.
struct Changing<'a> {
    volume: &'a Volume,
    dice: SmallRng,
}

impl Changing<'_> {
    fn name(&mut self) -> PathBuf {
        self.volume.at(NAMES[self.dice.random_range(0..NAMES.len())])
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.dice.random_range(1..most) as usize];
        self.dice.fill_bytes(&mut bytes);
        bytes
    }

    /// One change. What cannot be done - there is no such file, or a folder stands there - is simply not done.
    fn change(&mut self) -> std::io::Result<()> {
        let (one, other) = (self.name(), self.name());
        let open = |path: &PathBuf| File::options().read(true).write(true).open(path);
        let at = self.dice.random_range(0..FILE_BYTES_MAX);
        match self.dice.random_range(0..18) {
            0..3 => fs::write(&one, self.bytes(FILE_BYTES_MAX)),
            3 => fs::write(&one, self.bytes(9000)),
            4..7 => open(&one)?.write_all_at(&self.bytes(9000), at),
            // As large and as old as before.
            7..9 => {
                let file = open(&one)?;
                let found = file.metadata()?;
                let bytes = self.bytes(found.len().clamp(2, 9000));
                file.write_all_at(&bytes, at % (found.len().max(bytes.len() as u64 + 1) - bytes.len() as u64))?;
                file.set_len(found.len())?;
                file.set_modified(found.modified()?)
            }
            9 => open(&one)?.set_len(at),
            10 => {
                let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                Ok(fallocate(open(&one)?, how, at as i64, 70_000)?)
            }
            11 => Ok(fallocate(open(&one)?, FallocateFlags::empty(), at as i64, 70_000)?),
            12 => fs::rename(&one, &other),
            13 => Ok(renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE)?),
            14 => fs::hard_link(&one, &other),
            15 => fs::remove_file(&one),
            16 => symlink("a", &one),
            _ => match self.dice.random() {
                true => fs::set_permissions(&one, fs::Permissions::from_mode(self.dice.random_range(0..0o10000))),
                false => fs::rename(self.volume.at("folder/inner"), self.volume.at("moved"))
                    .and_then(|()| fs::create_dir(self.volume.at("folder/inner"))),
            },
        }
    }
}

fn comes_back_after_any_changes(kind: Kind, seed: u64) {
    let (volume, target, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
    fs::create_dir_all(volume.at("folder/inner")).expect("folders");
    let mut changing = Changing { volume: &volume, dice: SmallRng::seed_from_u64(seed) };
    for round in 0..BACKUPS {
        let changes = changing.dice.random_range(1..CHANGES);
        // Some cannot be done, and that is fine.
        let done = (0..changes).filter(|_| changing.change().is_ok()).count();
        if kind != Kind::Tmpfs && changing.dice.random_range(0..3) == 0 {
            volume.remount();
        }
        let what = format!("{kind:?}, HOLDFAST_SEED={seed}, backup {round} after {done} changes");
        let report = protected.try_back_up(&volume.root(), &protected.clean()).expect("a backup");
        assert_eq!((report.outcome, report.proof.silent_changes), (Outcome::Complete, 0), "{what}");
        let restored = protected.restore(&report, &target.root(), true).expect("a restore");
        assert_eq!(restored.outcome, Outcome::Complete, "{what}: {:?}", restored.failed);
        account(&volume.root()).assert_same(&target.root(), &what);
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("HOLDFAST_SEED").unwrap_or(1);
    first..first + number("HOLDFAST_SEEDS").unwrap_or(SEEDS)
}

#[test]
fn a_volume_comes_back_after_any_changes_in_any_order() {
    if !can_mount() {
        return;
    }
    for seed in seeds() {
        Kind::ALL.into_iter().for_each(|kind| comes_back_after_any_changes(kind, seed));
    }
}
