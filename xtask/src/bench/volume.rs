//! Volume: what a large, an unchanged and a busy volume cost, beside the targets.
//!
//! In: generated volumes on an ext4 of their own. Out: a row per measurement, as a table and as JSON. Never: a target that is asserted; the reader decides.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::measure::{Meter, Usage};
use crate::{
    interrupt, process,
    program::{Backup, Holdfast, parse},
    quantity,
    scratch::{Disk, Scratch},
    seed::Seed,
    table::Table,
    workspace::Workspace,
};

mod busy;
mod confined;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Size of the data; the targets are about 1
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Runs of what is repeated; the busy volume gets three times as many pairs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Seconds of load in each run beside the busy volume
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Print the rows as one JSON array
    #[arg(long)]
    json: bool,
    /// The folder with the binaries `holdfast` and `holdfast-agent`, instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A million entries, nothing changed, in the kernel's caches
    Entries,
    /// Ten million entries inside a memory control group of 1 GiB
    Memory,
    /// A file of 4 GiB, 1 % of its pages overwritten
    Pages,
    /// A file that is written all the time, with and without a backup beside it
    Busy,
}

/// One number and what it should be.
#[derive(Debug, Serialize)]
struct Row {
    part: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    target: Option<f64>,
}

const MIB: f64 = (1 << 20) as f64;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;
const FILES_PER_FOLDER: u64 = 100;
/// Every so many files have content: what is counted is entries.
const FILES_PER_CONTENT: u64 = 64;

/// Measures and reports.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    interrupt::hold()?;
    if let Some(obstacle) = Disk::obstacle() {
        bail!("these measurements need an ext4 of their own: {obstacle}");
    }
    let binaries = match &options.binaries {
        Some(folder) => folder.clone(),
        None => {
            let build = ["build", "--release", "--locked", "--package", "cli", "--package", "agent"];
            process::run(workspace.cargo().args(build))?;
            workspace.target().join("release")
        }
    };
    let scratch = Scratch::create(workspace, "bench-volume")?;
    let bench = Bench { binaries, scratch, options };
    let parts = if options.part.is_empty() { Part::value_variants().to_vec() } else { options.part.clone() };
    let mut rows = Vec::new();
    for part in parts {
        interrupt::check()?;
        rows.extend(match part {
            Part::Entries => bench.entries()?,
            Part::Memory => bench.memory()?,
            Part::Pages => bench.pages()?,
            Part::Busy => busy::measure(&bench)?,
        });
    }
    if options.json {
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let mut table = Table::new(["measurement", "value", "target"]);
    for row in &rows {
        let target = row.target.map_or_else(String::new, |target| format!("{target} {}", row.unit));
        table.row([format!("{}: {}", row.part, row.what), format!("{:.2} {}", row.value, row.unit), target]);
    }
    print!("{}", table.plain());
    Ok(())
}

struct Bench<'a> {
    binaries: PathBuf,
    scratch: Scratch,
    options: &'a Options,
}

/// A volume on a disk of its own, which goes when this does.
struct Volume {
    /// Unmounted before the file below it is removed.
    disk: Option<Disk>,
    image: PathBuf,
    folder: PathBuf,
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.disk = None;
        if let Err(error) = fs::remove_file(&self.image) {
            eprintln!("xtask: {} could not be removed: {error}", self.image.display());
        }
    }
}

impl Bench<'_> {
    fn scaled(&self, size: u64) -> u64 {
        ((size as f64 * self.options.scale) as u64).max(1)
    }

    fn say(&self, what: &str) {
        eprintln!("bench: {what}");
    }

    fn volume(&self, bytes: u64, inodes: u64) -> Result<Volume> {
        let (image, folder) = (self.scratch.path.join("volume.img"), self.scratch.path.join("volume"));
        Disk::format(&image, bytes, inodes)?;
        let disk = Disk::mount(&image, &folder)?;
        Ok(Volume { disk: Some(disk), image, folder })
    }

    /// A repository of its own for each measurement.
    fn holdfast(&self, name: &str) -> Result<Holdfast> {
        let holdfast = Holdfast::new(&self.binaries.join("holdfast"), &self.scratch.folder(name)?)?;
        holdfast.init()?;
        Ok(holdfast)
    }

    fn backup(&self, holdfast: &Holdfast, volume: &Volume) -> Result<(Usage, Backup)> {
        let command =
            holdfast.command(["backup".as_ref(), "--volume".as_ref(), "v".as_ref(), volume.folder.as_os_str()]);
        let (usage, stdout) = Meter::new(&self.scratch.path, false)?.run(&command)?;
        let backup = parse(&command, &stdout)?;
        self.say(&format!("{} CPU, {}", quantity::seconds(usage.cpu_seconds), quantity::bytes(usage.peak_rss_bytes)));
        Ok((usage, backup))
    }

    fn entries(&self) -> Result<Vec<Row>> {
        let files = self.scaled(1_000_000);
        self.say(&format!("{files} files are made"));
        let volume = self.volume(files * 1500 + GIB, files * 11 / 10 + 10_000)?;
        fill(&volume.folder, files)?;
        let holdfast = self.holdfast("entries")?;
        self.backup(&holdfast, &volume)?;
        let mut runs = Vec::new();
        for _ in 0..self.options.runs {
            runs.push(self.backup(&holdfast, &volume)?);
        }
        let median = |of: &dyn Fn(&(Usage, Backup)) -> f64| median(runs.iter().map(of).collect());
        let row = |what: &str, value, unit, target| Row { part: "entries", what: what.to_owned(), value, unit, target };
        Ok(vec![
            row("CPU of an unchanged run, median", median(&|run| run.0.cpu_seconds), "s", Some(10.0)),
            row("seconds of it", median(&|run| run.0.seconds), "s", None),
            row("its requests", median(&|run| run.1.statistics.requests.total() as f64), "", None),
            row("bytes it stores", median(&|run| run.1.statistics.bytes_stored as f64), "B", None),
            row("its peak memory", median(&|run| run.0.peak_rss_bytes as f64) / MIB, "MiB", None),
        ])
    }

    fn memory(&self) -> Result<Vec<Row>> {
        let files = self.scaled(10_000_000);
        self.say(&format!("{files} files are made"));
        let volume = self.volume(files * 600 + 2 * GIB, files * 11 / 10 + 10_000)?;
        fill(&volume.folder, files)?;
        let holdfast = self.holdfast("memory")?;
        let group = confined::Group::create("bench", GIB)?;
        let mut rows = Vec::new();
        for what in ["first run", "unchanged run"] {
            // What earlier work left in the caches is charged to nobody.
            fs::write("/proc/sys/vm/drop_caches", "3").context("the kernel's caches could not be dropped")?;
            let words = ["backup".as_ref(), "--volume".as_ref(), "v".as_ref(), volume.folder.as_os_str()];
            let command = group.inside(&holdfast.command(words));
            let (usage, stdout) = Meter::new(&self.scratch.path, false)?.run(&command)?;
            let backup: Backup = parse(&command, &stdout)?;
            let row = |of: &str, value, unit, target| Row {
                part: "memory",
                what: format!("{of}, {what}"),
                value,
                unit,
                target,
            };
            rows.extend([
                row("peak memory of the process", usage.peak_rss_bytes as f64 / MIB, "MiB", Some(192.0)),
                row("peak of the group of 1 GiB", group.peak_bytes()? as f64 / MIB, "MiB", None),
                row("processes killed in it", group.killed()? as f64, "", Some(0.0)),
                row("entries", backup.statistics.entries as f64, "", None),
                row("CPU", usage.cpu_seconds, "s", None),
                row("seconds", usage.seconds, "s", None),
            ]);
        }
        Ok(rows)
    }

    fn pages(&self) -> Result<Vec<Row>> {
        let pages = self.scaled(4 * GIB) / PAGE;
        let volume = self.volume(pages * PAGE * 5 / 4 + GIB, 1024)?;
        let path = volume.folder.join("file");
        let mut file = File::create(&path).context("the file could not be made")?;
        let mut seed = Seed::new(1, 1);
        let mut block = vec![0; 1 << 20];
        for _ in 0..pages * PAGE / block.len() as u64 {
            seed.fill(&mut block);
            file.write_all(&block).context("the file could not be written")?;
        }
        let holdfast = self.holdfast("pages")?;
        self.backup(&holdfast, &volume)?;
        let changed = pages / 100;
        let mut page = vec![0; PAGE as usize];
        for at in seed.choose(changed, pages) {
            seed.fill(&mut page);
            file.write_all_at(&page, at * PAGE).context("the file could not be changed")?;
        }
        let (usage, backup) = self.backup(&holdfast, &volume)?;
        let statistics = backup.statistics;
        let row = |what: &str, value, unit, target| Row { part: "pages", what: what.to_owned(), value, unit, target };
        Ok(vec![
            row("read per byte of the file", statistics.bytes_read as f64 / (pages * PAGE) as f64, "", Some(1.0)),
            row("changed per byte changed", statistics.bytes_changed as f64 / (changed * PAGE) as f64, "", Some(1.0)),
            row("stored per byte changed", statistics.bytes_stored as f64 / (changed * PAGE) as f64, "", None),
            row("CPU", usage.cpu_seconds, "s", None),
            row("peak memory", usage.peak_rss_bytes as f64 / MIB, "MiB", None),
        ])
    }
}

/// Folders of 100 files in folders of 1,000.
fn fill(root: &Path, files: u64) -> Result<()> {
    for folder in 0..files.div_ceil(FILES_PER_FOLDER) {
        let path = root.join(format!("{:05}", folder / 1000)).join(format!("{:03}", folder % 1000));
        fs::create_dir_all(&path).with_context(|| format!("{} could not be made", path.display()))?;
        for file in 0..FILES_PER_FOLDER.min(files - folder * FILES_PER_FOLDER) {
            let mut made = File::create(path.join(format!("file-{file:03}"))).context("a file could not be made")?;
            if file % FILES_PER_CONTENT == 0 {
                write!(made, "content of file {file} in folder {folder}").context("a file could not be written")?;
            }
        }
        if folder % 1000 == 0 {
            interrupt::check()?;
        }
    }
    process::run(&mut Command::new("sync"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
