//! Measure: one run of one command.
//!
//! In: a command. Out: seconds, CPU seconds and peak memory of it and its children, its standard output; what was read from the source's
//! own block device. Never: a sample from a run that failed.
//!
//! The kernel keeps the peak only for *all* children that a process has waited for, so each measured command gets a parent of its own: this
//! program again, as `measure`. Bytes read are counted by the loop device under the source, below the page cache and for every tool alike,
//! metadata and read-ahead included; with the caches dropped before, that is what a run asked of the disk.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use nix::sys::{resource, time::TimeValLike};
use serde::{Deserialize, Serialize};

use crate::{clock::Stopwatch, process, scratch::Disk};

/// The hidden command that runs another one.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the numbers go
    #[arg(long)]
    to: PathBuf,
    /// The command
    #[arg(last = true, required = true)]
    words: Vec<OsString>,
}

/// What one run cost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_rss_bytes: u64,
}

/// Runs the command with our own standard streams, notes its cost, ends with its exit code.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let (program, arguments) = options.words.split_first().context("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let watch = Stopwatch::start();
    let status = command.status().with_context(|| process::cannot_start(&command))?;
    let seconds = watch.seconds();
    let usage = resource::getrusage(resource::UsageWho::RUSAGE_CHILDREN)
        .context("the cost of the command could not be asked for")?;
    let cpu_seconds = (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6;
    let peak_rss_bytes = u64::try_from(usage.max_rss()).unwrap_or(0) * 1024;
    let json = serde_json::to_vec(&Usage { seconds, cpu_seconds, peak_rss_bytes })?;
    fs::write(&options.to, json).with_context(|| format!("{} could not be written", options.to.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Measures commands; a copy of this program does the waiting, so that a rebuild meanwhile does no harm.
#[derive(Debug)]
pub(super) struct Meter {
    program: PathBuf,
    numbers: PathBuf,
    cold: bool,
}

impl Meter {
    /// `cold` drops the kernel's caches before each run.
    pub(super) fn new(folder: &Path, cold: bool) -> Result<Self> {
        let program = folder.join("measure");
        fs::copy("/proc/self/exe", &program).context("this program could not be copied")?;
        Ok(Self { program, numbers: folder.join("usage.json"), cold })
    }

    /// Whether caches are dropped.
    pub(super) fn is_cold(&self) -> bool {
        self.cold
    }

    /// Runs to the end. What an earlier run has left to be written is written first, so that nobody pays for another.
    pub(super) fn run(&self, command: &Command) -> Result<(Usage, Vec<u8>)> {
        process::run(&mut Command::new("sync"))?;
        if self.cold {
            fs::write("/proc/sys/vm/drop_caches", "3")
                .context("the kernel's caches could not be dropped; try --warm")?;
        }
        let mut measured = Command::new(&self.program);
        measured
            .arg("measure")
            .arg("--to")
            .arg(&self.numbers)
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => measured.env(name, value),
                None => measured.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            measured.current_dir(folder);
        }
        let output = measured.output().with_context(|| process::cannot_start(&measured))?;
        if !output.status.success() {
            bail!(
                "`{}` ended with {}: {}",
                process::display(command),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let json = fs::read(&self.numbers).with_context(|| format!("{} could not be read", self.numbers.display()))?;
        Ok((serde_json::from_slice(&json)?, output.stdout))
    }
}

/// What has been read from the disk under the source so far; `None` where the source has no disk of its own.
pub(super) fn bytes_read(disk: Option<&Disk>) -> Result<Option<u64>> {
    let Some(disk) = disk else { return Ok(None) };
    let path = format!("/sys/block/{}/stat", disk.device()?);
    let text = fs::read_to_string(&path).with_context(|| format!("{path} could not be read"))?;
    sectors_read(&text)
        .map(|sectors| Some(sectors * 512))
        .with_context(|| format!("{path} holds something unexpected: {text}"))
}

/// The third number: sectors of 512 bytes, whatever the device's own are.
fn sectors_read(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(2)?.parse().ok()
}

/// The bytes of all files below a folder, as an object store would bill them.
pub(super) fn bytes_stored(folder: &Path) -> Result<u64> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let listing = process::capture(Command::new("find").arg(folder).args(["-type", "f", "-printf", "%s\\n"]))?.stdout;
    let listing = String::from_utf8(listing).context("find wrote something unexpected")?;
    listing.lines().map(|line| line.parse::<u64>().with_context(|| format!("find wrote {line:?} for a size"))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_the_third_number_of_the_kernels_line() {
        assert_eq!(sectors_read("     511        0    40960      120  7 0 8 0 0 0 0\n"), Some(40960));
        assert_eq!(sectors_read("1 2"), None);
    }

    #[test]
    fn stored_bytes_are_lengths_not_blocks() {
        assert_eq!(bytes_stored(Path::new("/nonexistent")).expect("a missing folder holds nothing"), 0);
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(bytes_stored(manifest).expect("our own folder can be listed") > 1000);
    }
}
