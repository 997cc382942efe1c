//! Bench: the same work on Holdfast and its peers.
//!
//! In: generated data on a filesystem of its own, the tools that are installed. Out: medians as a table, with ratios and targets, and as
//! JSON. Never: compares numbers of different runs of this program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    clock::Stopwatch,
    interrupt, process,
    program::{Backup, Holdfast, parse},
    quantity,
    scratch::{Disk, Scratch},
    tidy::Finding,
    workspace::Workspace,
};

pub(crate) mod measure;
mod report;
mod series;
mod targets;
mod tool;
mod volume;
mod workload;

use measure::{Meter, Usage, bytes_read, bytes_stored};
use report::{Report, Sample, Samples};
use tool::{Kind, Site, Tool};
use workload::{Sized, Workload};

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Only these; without it, all but `many` and `tebibyte`
    #[arg(long, value_enum)]
    workload: Vec<Workload>,
    /// Size of the data; the targets are about 1
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Runs of each; the table shows medians. The long workloads get at most 3
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Increments in a row over which the share of metadata is averaged; 0 leaves it out
    #[arg(long, default_value_t = 20)]
    cycle: u16,
    /// Increments in a row of `increments` and `appends`, where the targets are about 100 (and 400) and 2,000
    #[arg(long)]
    series: Option<u16>,
    /// Also the peer that has to be built first
    #[arg(long)]
    all: bool,
    /// Without peers
    #[arg(long)]
    alone: bool,
    /// Leave the kernel's caches as they are; default where caches cannot be dropped
    #[arg(long)]
    warm: bool,
    /// `json` prints the rows as one array instead of the tables
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Writes everything to this file, and the tables into the document beside it
    #[arg(long)]
    save: Option<PathBuf>,
    /// Use this binary instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What has no peer.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Large, unchanged and busy volumes, beside the targets
    Volume(volume::Options),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// How long data rests before it is backed up: every tool distrusts files that changed a moment ago, and reads them again next time.
const REST: Duration = Duration::from_secs(3);

/// The findings about the document with the saved tables.
pub(crate) fn stale_document(workspace: &Workspace) -> Result<Vec<Finding>> {
    report::stale(workspace)
}

/// Measures and reports.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(Other::Volume(options)) = &options.other {
        return volume::run(workspace, options);
    }
    interrupt::hold()?;
    let binary = Holdfast::find(workspace, options.binary.as_deref())?;
    let scratch = Scratch::create(workspace, "bench")?;
    let meter = Meter::new(&scratch.path, process::is_root() && !options.warm)?;
    let mut kinds = vec![Kind::Holdfast];
    if !options.alone {
        kinds.extend([Kind::Restic, Kind::Borg]);
        kinds.extend(options.all.then_some(Kind::Rustic));
    }
    let mut report = Report::new(workspace, options.scale, meter.is_cold(), Disk::obstacle())?;
    let mut found = Vec::new();
    for kind in kinds {
        match Tool::find(kind, &binary) {
            Ok(tool) => found.push(tool),
            Err(why) => report.absent(kind.name(), &why),
        }
    }
    let workloads = if options.workload.is_empty() { workload::DEFAULT.to_vec() } else { options.workload.clone() };
    let mut failures = Vec::new();
    for workload in workloads {
        // A folder for each: what a failed one leaves behind is gone before the next.
        let scratch = Scratch::create(workspace, &format!("bench-{workload:?}").to_lowercase())?;
        let bench =
            Bench { sized: Sized::new(workload, options.scale), tools: &found, meter: &meter, scratch, options };
        match bench.measure() {
            Ok(samples) => report.add(workload, &found, &samples),
            Err(error) => failures.push(report.failed(workload, &error)),
        }
        interrupt::check()?;
    }
    match options.output {
        Format::Table => println!("{}", report.tables()),
        Format::Json => println!("{}", report.rows_json()?),
    }
    if let Some(file) = &options.save {
        report.save(&workspace.root.join(file))?;
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// One workload on all tools.
struct Bench<'a> {
    sized: Sized,
    tools: &'a [Tool],
    meter: &'a Meter,
    scratch: Scratch,
    options: &'a Options,
}

/// The data under measurement. The mount goes before the folder that holds its file.
struct Source {
    disk: Option<Disk>,
    folder: PathBuf,
    image: PathBuf,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.disk = None;
        let removed = if self.image.exists() { fs::remove_file(&self.image) } else { fs::remove_dir_all(&self.folder) };
        if let Err(error) = removed {
            eprintln!("xtask: data of the benchmark could not be removed: {error}");
        }
    }
}

impl Bench<'_> {
    fn measure(&self) -> Result<Samples> {
        self.say("generating the data");
        let source = self.source()?;
        let mut samples = Samples::default();
        let runs = self.sized.runs(usize::from(self.options.runs));
        if matches!(self.sized.workload, Workload::Increments | Workload::Appends) {
            self.series(&source, &mut samples)?;
        } else if self.sized.workload == Workload::Nochange {
            self.unchanged(&source, runs, &mut samples)?;
        } else {
            for run in 0..runs {
                self.round(&source, run, &mut samples)?;
            }
        }
        if matches!(self.sized.workload, Workload::Db | Workload::Small) {
            self.references(&source, &mut samples)?;
            self.cycle(&source, runs, &mut samples)?;
        }
        Ok(samples)
    }

    fn say(&self, what: &str) {
        eprintln!("bench: {:?}: {what}", self.sized.workload);
    }

    fn source(&self) -> Result<Source> {
        let (folder, image) = (self.scratch.path.join("source"), self.scratch.path.join("source.img"));
        let mut source = Source { disk: None, folder, image };
        if Disk::obstacle().is_none() {
            let (bytes, inodes) = self.sized.filesystem();
            Disk::format(&source.image, bytes, inodes)?;
            source.disk = Some(Disk::mount(&source.image, &source.folder)?);
        } else {
            fs::create_dir_all(&source.folder)
                .with_context(|| format!("{} could not be created", source.folder.display()))?;
        }
        self.sized.create(&source.folder)?;
        rest()?;
        Ok(source)
    }

    /// The tools in an order that turns with the run, so that none is always first.
    fn turn(&self, run: usize) -> impl Iterator<Item = &Tool> {
        let first = run % self.tools.len().max(1);
        self.tools[first..].iter().chain(&self.tools[..first])
    }

    fn sites(&self, run: usize) -> Result<Vec<Site>> {
        let sites = self.turn(run).map(|tool| tool.site(self.scratch.path.join(format!("{}-{run}", tool.kind.name()))));
        let sites = sites.collect::<Result<Vec<Site>>>()?;
        sites.iter().try_for_each(Site::init)?;
        Ok(sites)
    }

    /// Full, change, increment, restore, check: on every tool, each in a fresh repository.
    fn round(&self, source: &Source, run: usize, samples: &mut Samples) -> Result<()> {
        let sites = self.sites(run)?;
        for site in &sites {
            samples.add(site.kind.name(), "full", self.backup(site, source, 2 * run, "full")?);
        }
        let changed = self.sized.change(&source.folder, run as u64 + 1)?;
        rest()?;
        for site in &sites {
            let sample = self.backup(site, source, 2 * run + 1, "increment")?;
            samples.add(site.kind.name(), "increment", Sample { bytes_changed: Some(changed), ..sample });
        }
        for site in &sites {
            self.restore(site, source, 2 * run + 1, samples)?;
            samples.add(site.kind.name(), "check", self.timed(&site.check(), site.kind.name(), "check")?);
            remove(&site.folder)?;
        }
        Ok(())
    }

    /// One full that is not shown, then nothing but backups of the same.
    fn unchanged(&self, source: &Source, runs: usize, samples: &mut Samples) -> Result<()> {
        let sites = self.sites(0)?;
        sites.iter().try_for_each(|site| self.backup(site, source, 0, "full").map(drop))?;
        for run in 0..runs {
            let first = run % sites.len().max(1);
            for site in sites[first..].iter().chain(&sites[..first]) {
                let sample = self.backup(site, source, run + 1, "no change")?;
                samples.add(site.kind.name(), "increment", Sample { bytes_changed: Some(0), ..sample });
            }
        }
        sites.iter().try_for_each(|site| remove(&site.folder))
    }

    fn timed(&self, command: &Command, tool: &str, what: &str) -> Result<Sample> {
        interrupt::check()?;
        let (usage, _) = self.meter.run(command)?;
        self.say(&format!("{tool}: {what}: {}", quantity::seconds(usage.seconds)));
        Ok(Sample { usage, ..Sample::default() })
    }

    fn backup(&self, site: &Site, source: &Source, run: usize, what: &str) -> Result<Sample> {
        interrupt::check()?;
        self.backup_with(&site.backup(&source.folder, run), site, source, what)
    }

    fn backup_with(&self, command: &Command, site: &Site, source: &Source, what: &str) -> Result<Sample> {
        let stored_before = bytes_stored(&site.repository())?;
        let read_before = bytes_read(source.disk.as_ref())?;
        let (usage, stdout) = self.meter.run(command)?;
        let read =
            bytes_read(source.disk.as_ref())?.zip(read_before).map(|(after, before)| after.saturating_sub(before));
        let added = bytes_stored(&site.repository())?.saturating_sub(stored_before);
        self.say(&format!(
            "{}: {what}: {}, {} added",
            site.kind.name(),
            quantity::seconds(usage.seconds),
            quantity::bytes(added)
        ));
        let bytes_read = read.filter(|_| self.meter.is_cold());
        let mut sample = Sample { usage, bytes_read, bytes_added: Some(added), ..Sample::default() };
        if site.kind == Kind::Holdfast {
            let backup: Backup = parse(command, &stdout)?;
            sample.packs_bytes = backup.space.map(|space| space.packs_bytes);
            sample.requests = Some(backup.statistics.requests.total());
            sample.bytes_stored = Some(backup.statistics.bytes_stored);
            sample.bytes_metadata = Some(backup.statistics.bytes_stored_metadata);
        }
        Ok(sample)
    }

    fn restore(&self, site: &Site, source: &Source, run: usize, samples: &mut Samples) -> Result<()> {
        let target = self.scratch.folder("restored")?;
        self.fill(&site.restore(&target, run), (site.kind.name(), "restore"), &target, samples)?;
        let (expected, found) = (census(&source.folder)?, census(&target)?);
        remove(&target)?;
        anyhow::ensure!(expected == found, "{} restored {found:?} files and bytes of {expected:?}", site.kind.name());
        Ok(())
    }

    /// A command that fills a folder, and then the wait until that is on the disk.
    fn fill(&self, command: &Command, of: (&str, &str), target: &Path, samples: &mut Samples) -> Result<()> {
        let sample = self.timed(command, of.0, of.1)?;
        samples.add(of.0, "restore", sample);
        samples.add(of.0, "durable", synced(sample, target)?);
        Ok(())
    }

    /// What the machine can do at best: zstd alone, and a copy.
    fn references(&self, source: &Source, samples: &mut Samples) -> Result<()> {
        for _ in 0..self.sized.runs(usize::from(self.options.runs)) {
            let target = self.scratch.folder("copied")?;
            let mut copy = Command::new("cp");
            copy.args(["--recursive", "--preserve=mode,timestamps", "--reflink=never"])
                .arg(source.folder.join("."))
                .arg(&target);
            self.fill(&copy, ("cp", "copy"), &target, samples)?;
            remove(&target)?;
            let Some(file) = self.sized.large_file(&source.folder) else { continue };
            let packed = self.scratch.path.join("packed.zst");
            let mut compress = Command::new("zstd");
            compress.args(["-1", "-T0", "-q", "-f", "-o"]).arg(&packed).arg(&file);
            let sample = self.timed(&compress, "zstd -1", "compress")?;
            samples.add("zstd -1", "full", sample);
            samples.add("zstd -1, on disk", "full", synced(sample, &packed)?);
            fs::remove_file(&packed).with_context(|| format!("{} could not be removed", packed.display()))?;
        }
        Ok(())
    }

    /// Many increments in one repository: merges come in cycles, so one increment says little about metadata.
    fn cycle(&self, source: &Source, runs: usize, samples: &mut Samples) -> Result<()> {
        let Some(tool) = self.tools.iter().find(|tool| tool.kind == Kind::Holdfast) else { return Ok(()) };
        if self.options.cycle == 0 {
            return Ok(());
        }
        let site = tool.site(self.scratch.path.join("cycle"))?;
        site.init()?;
        self.backup(&site, source, 0, "full before the cycle")?;
        for step in 1..=usize::from(self.options.cycle) {
            let changed = self.sized.change(&source.folder, (runs + step) as u64)?;
            rest()?;
            let sample = self.backup(&site, source, step, &format!("increment {step} of the cycle"))?;
            samples.add(tool.kind.name(), "cycle", Sample { bytes_changed: Some(changed), ..sample });
        }
        remove(&site.folder)
    }
}

fn rest() -> Result<()> {
    process::run(&mut Command::new("sync"))?;
    std::thread::sleep(REST);
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("{} could not be removed", folder.display()))
}

/// The same command, had it waited until what it wrote below `path` is on the disk.
fn synced(sample: Sample, path: &Path) -> Result<Sample> {
    let watch = Stopwatch::start();
    process::capture(Command::new("sync").arg("--file-system").arg(path))?;
    let seconds = sample.usage.seconds + watch.seconds();
    Ok(Sample { usage: Usage { seconds, ..sample.usage }, ..sample })
}

/// Files and their bytes: a tool that restored nothing must not look fast.
fn census(folder: &Path) -> Result<(usize, u64)> {
    let listing = process::capture(Command::new("find").arg(folder).args(["-type", "f", "-printf", "."]))?.stdout;
    Ok((listing.len(), bytes_stored(folder)?))
}
