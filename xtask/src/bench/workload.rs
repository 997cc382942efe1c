//! Workload: the data that is measured, and how it changes.
//!
//! In: a seed and a scale. Out: files below a folder, and after each change how many bytes differ. Never: depends on the machine or on the
//! run before it, except that each step continues where the one before ended.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::seed::Seed;

/// What kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Workload {
    /// A database file of 1 GiB, 1 % of its 8 KiB pages overwritten
    Db,
    /// 200,000 small files, 1 % of them changed
    Small,
    /// A sparse image of 8 GiB, a sixteenth of it in use, 1 % of that overwritten
    Sparse,
    /// Logs of 512 MiB, 1 % appended
    Logs,
    /// 200,000 small files, nothing changed
    Nochange,
    /// The database again, 100 increments in a row, then a clone of it; only when asked for by name
    Increments,
    /// A log to which 200 KiB are appended 2,000 times; only when asked for by name
    Appends,
    /// 5 million files, most of them empty; only when asked for by name
    Many,
    /// A sparse image of 1 TiB; only when asked for by name
    Tebibyte,
}

/// Without `--workload`.
pub(super) const DEFAULT: [Workload; 5] =
    [Workload::Db, Workload::Small, Workload::Sparse, Workload::Logs, Workload::Nochange];

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The page that databases overwrite.
const PAGE: u64 = 8192;
const PAGE_LEN: usize = 8192;
const FILES_PER_FOLDER: u64 = 100;
const LOG_FILES: u64 = 8;
const SEED: u64 = 20_241_122;
/// What an hourly run of a small volume finds.
const APPENDED: u64 = 200 << 10;

/// A workload at its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sized {
    pub(super) workload: Workload,
    scale: f64,
}

impl Sized {
    /// `scale` 1 is the size that the targets are about.
    pub(super) fn new(workload: Workload, scale: f64) -> Self {
        Self { workload, scale }
    }

    fn scaled(self, size: u64) -> u64 {
        ((size as f64 * self.scale) as u64).max(1)
    }

    /// Whole pages of the file that is overwritten.
    fn pages(self) -> u64 {
        let bytes = match self.workload {
            Workload::Db | Workload::Increments => GIB,
            Workload::Sparse => 8 * GIB,
            _ => 1 << 40,
        };
        (self.scaled(bytes) / PAGE).max(100)
    }

    /// How many files there are.
    fn files(self) -> u64 {
        self.scaled(if self.workload == Workload::Many { 5_000_000 } else { 200_000 })
    }

    /// Bytes and inodes that a filesystem for it needs, with room to grow.
    pub(super) fn filesystem(self) -> (u64, u64) {
        let bytes = match self.workload {
            Workload::Db | Workload::Increments => self.pages() * PAGE * 3 / 2,
            Workload::Appends => self.series(None) as u64 * APPENDED * 3 / 2,
            Workload::Small | Workload::Nochange => self.files() * 14_000,
            Workload::Many => self.files() * 1_500,
            Workload::Logs => self.scaled(GIB),
            Workload::Sparse | Workload::Tebibyte => self.pages() * PAGE / 4,
        };
        let inodes = match self.workload {
            Workload::Small | Workload::Nochange | Workload::Many => self.files() * 11 / 10 + 10_000,
            _ => 1024,
        };
        (bytes + 256 * MIB, inodes)
    }

    /// Runs that a long workload gets at most.
    pub(super) fn runs(self, asked: usize) -> usize {
        match self.workload {
            Workload::Db | Workload::Logs | Workload::Nochange => asked,
            Workload::Small | Workload::Sparse => asked.min(3),
            Workload::Many | Workload::Tebibyte | Workload::Increments | Workload::Appends => 1,
        }
    }

    /// How many increments in one repository are measured, unless somebody asks for another number.
    pub(super) fn series(self, asked: Option<u16>) -> usize {
        let usual = match self.workload {
            Workload::Increments => 100,
            Workload::Appends => usize::try_from(self.scaled(2000)).unwrap_or(2000),
            _ => 0,
        };
        asked.map_or(usual, usize::from)
    }

    /// Makes the data in an empty folder.
    pub(super) fn create(self, folder: &Path) -> Result<()> {
        match self.workload {
            Workload::Appends => self.change(folder, 0).map(drop),
            Workload::Db | Workload::Increments => rows(&folder.join("data.db"), self.pages() * PAGE),
            Workload::Small | Workload::Nochange | Workload::Many => {
                (0..self.files()).try_for_each(|number| self.write_small(folder, number, 0))
            }
            Workload::Sparse | Workload::Tebibyte => self.create_image(&folder.join("disk.img")),
            Workload::Logs => (0..LOG_FILES).try_for_each(|log| self.append(folder, log, 0).map(drop)),
        }
    }

    /// Changes it for step `step`, from 1; returns how many bytes are new.
    pub(super) fn change(self, folder: &Path, step: u64) -> Result<u64> {
        match self.workload {
            Workload::Appends => {
                append_rows(&folder.join("hourly.log"), APPENDED, Seed::new(SEED, step)).map(|()| APPENDED)
            }
            Workload::Db | Workload::Increments => {
                let pages = Seed::new(SEED, step).choose(self.pages() / 100, self.pages());
                overwrite(&folder.join("data.db"), &pages, step)
            }
            Workload::Small => {
                let chosen = Seed::new(SEED, step).choose(self.files().div_ceil(100), self.files());
                chosen.iter().try_for_each(|&number| self.write_small(folder, number, step))?;
                Ok(chosen.iter().map(|&number| small_len(number, step)).sum())
            }
            Workload::Sparse | Workload::Tebibyte => {
                let used = self.used_pages();
                let chosen = Seed::new(SEED, step).choose(used.len() as u64 / 100, used.len() as u64);
                let pages: Vec<u64> =
                    chosen.iter().filter_map(|&index| used.get(usize::try_from(index).ok()?).copied()).collect();
                overwrite(&folder.join("disk.img"), &pages, step)
            }
            Workload::Logs => (0..LOG_FILES).map(|log| self.append(folder, log, step)).sum(),
            Workload::Nochange | Workload::Many => Ok(0),
        }
    }

    /// The file whose restore is compared with a copy.
    pub(super) fn large_file(self, folder: &Path) -> Option<PathBuf> {
        (self.workload == Workload::Db).then(|| folder.join("data.db"))
    }

    fn write_small(self, folder: &Path, number: u64, step: u64) -> Result<()> {
        let folder = folder
            .join(format!("{:03}", number / FILES_PER_FOLDER / 100))
            .join(format!("{:05}", number / FILES_PER_FOLDER));
        if number.is_multiple_of(FILES_PER_FOLDER) {
            fs::create_dir_all(&folder).with_context(|| format!("{} could not be created", folder.display()))?;
        }
        let is_empty = self.workload == Workload::Many && !number.is_multiple_of(64);
        let mut content = vec![0; if is_empty { 0 } else { usize::try_from(small_len(number, step))? }];
        Seed::new(SEED ^ number, step).fill_rows(&mut content);
        let path = folder.join(format!("{number:07}.json"));
        fs::write(&path, content).with_context(|| format!("{} could not be written", path.display()))
    }

    /// Runs of 1 MiB that the image's filesystem would use: spread over all of it.
    fn used_pages(self) -> Vec<u64> {
        let run = MIB / PAGE;
        let runs = self.pages() / run;
        let share = if self.workload == Workload::Sparse { 16 } else { 4096 };
        let chosen = Seed::new(SEED, u64::MAX).choose((runs / share).max(1), runs);
        chosen.iter().flat_map(|&first| first * run..(first + 1) * run).collect()
    }

    fn create_image(self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("{} could not be created", path.display()))?;
        file.set_len(self.pages() * PAGE).with_context(|| format!("{} could not be extended", path.display()))?;
        drop(file);
        overwrite(path, &self.used_pages(), 0).map(drop)
    }

    fn append(self, folder: &Path, log: u64, step: u64) -> Result<u64> {
        let whole = self.scaled(512 * MIB) / LOG_FILES;
        let bytes = if step == 0 { whole } else { whole / 100 };
        append_rows(&folder.join(format!("{log}.log")), bytes, Seed::new(SEED ^ log, step))?;
        Ok(bytes)
    }
}

fn append_rows(path: &Path, bytes: u64, seed: Seed) -> Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("{} could not be opened", path.display()))?;
    fill(file, path, bytes, seed)
}

/// 0 to 8 KiB, 4 KiB on average, and another length after a change.
fn small_len(number: u64, step: u64) -> u64 {
    Seed::new(SEED ^ number, step.wrapping_add(1 << 40)).below(8192)
}

fn rows(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("{} could not be created", path.display()))?;
    fill(file, path, bytes, Seed::new(SEED, 0))
}

fn fill(file: File, path: &Path, bytes: u64, mut seed: Seed) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut page = [0; PAGE_LEN];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left.min(PAGE))?;
        seed.fill_rows(&mut page[..length]);
        out.write_all(&page[..length]).with_context(|| format!("{} could not be written", path.display()))?;
        left -= length as u64;
    }
    out.flush().with_context(|| format!("{} could not be written", path.display()))
}

fn overwrite(path: &Path, pages: &[u64], step: u64) -> Result<u64> {
    let file =
        File::options().write(true).open(path).with_context(|| format!("{} could not be opened", path.display()))?;
    let mut bytes = [0; PAGE_LEN];
    for &page in pages {
        Seed::new(SEED ^ page.rotate_left(20), step).fill_rows(&mut bytes);
        file.write_all_at(&bytes, page * PAGE).with_context(|| format!("{} could not be written", path.display()))?;
    }
    Ok(pages.len() as u64 * PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_changes_one_hundredth_of_the_pages() {
        let sized = Sized::new(Workload::Db, 0.01);
        let pages = Seed::new(SEED, 1).choose(sized.pages() / 100, sized.pages());
        assert_eq!(pages.len() as u64, sized.pages() / 100);
        assert_ne!(pages, Seed::new(SEED, 2).choose(sized.pages() / 100, sized.pages()));
    }

    #[test]
    fn an_image_uses_a_sixteenth_and_the_same_part_every_time() {
        let sized = Sized::new(Workload::Sparse, 0.1);
        let used = sized.used_pages();
        let share = used.len() as f64 / sized.pages() as f64;
        assert!((share - 1.0 / 16.0).abs() < 0.01, "{share}");
        assert_eq!(used, sized.used_pages());
        assert!(used.iter().all(|&page| page < sized.pages()));
    }

    #[test]
    fn long_workloads_get_fewer_runs() {
        assert_eq!(Sized::new(Workload::Db, 1.0).runs(5), 5);
        assert_eq!(Sized::new(Workload::Small, 1.0).runs(5), 3);
        assert_eq!(Sized::new(Workload::Many, 1.0).runs(5), 1);
    }
}
