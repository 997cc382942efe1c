//! Fuzz: bytes that nobody meant, into everything that decodes stored bytes.
//!
//! In: the targets below `fuzz/`, with their corpus. Out: nothing found, or the input that broke a target. Never: without a bound on time
//! and memory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{process, tools, workspace::Workspace};

/// What to fuzz.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this target
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 300)]
    seconds: u32,
}

/// Long enough to run the corpus and some thousand mutations of it, short enough for every test run.
const SMOKE_SECONDS: u32 = 5;
/// The test command tries the same inputs every time; finding new ones is what `cargo xtask fuzz` is for.
const SMOKE_SEED: u32 = 1;
/// What a decoder may use at most, in MiB, the fuzzer's own tables included.
const RSS_MIB_MAX: u32 = 1024;
/// Decoders see at most one table block or one header at a time.
const INPUT_BYTES_MAX: u32 = 256 << 10;

/// Where the targets are.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("fuzz")
}

/// Fuzzes for as long as was asked.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(why) = obstacle(workspace) {
        bail!("{why}");
    }
    let targets = match &options.target {
        Some(target) => vec![target.clone()],
        None => targets(&folder(workspace))?,
    };
    fuzz(workspace, &targets, options.seconds, None)
}

/// A few seconds per target; says why when that is not possible here.
pub(crate) fn smoke(workspace: &Workspace) -> Result<Option<String>> {
    if let Some(why) = obstacle(workspace) {
        return Ok(Some(why));
    }
    fuzz(workspace, &targets(&folder(workspace))?, SMOKE_SECONDS, Some(SMOKE_SEED)).map(|()| None)
}

fn obstacle(workspace: &Workspace) -> Option<String> {
    if !folder(workspace).join("Cargo.toml").is_file() {
        return Some("there are no fuzz targets".to_owned());
    }
    let mut probe = Command::new("rustup");
    probe
        .args(["run", "nightly", "rustc", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let there = probe.status().is_ok_and(|status| status.success());
    (!there).then(|| "there is no nightly toolchain; rustup toolchain install nightly --profile minimal".to_owned())
}

/// The targets: one file each.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let listing = folder.join("fuzz_targets");
    let entries = fs::read_dir(&listing).with_context(|| format!("{} could not be read", listing.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{} could not be read", listing.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("{} holds no target", listing.display());
    }
    Ok(names)
}

/// Without a seed, inputs are others every time.
fn fuzz(workspace: &Workspace, targets: &[String], seconds: u32, seed: Option<u32>) -> Result<()> {
    let tool = tools::ensure(workspace, &tools::FUZZ)?;
    let mut broken = Vec::new();
    for target in targets {
        let mut command = workspace.command("rustup");
        command.args(["run", "nightly"]).arg(&tool).args(["fuzz", "run", "--sanitizer", "none", target]);
        corpus(workspace, target, &mut command)?;
        command.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-rss_limit_mb={RSS_MIB_MAX}"));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}")).args([
            "-timeout=10",
            "-verbosity=0",
            "-print_final_stats=0",
        ]);
        command.args(seed.map(|seed| format!("-seed={seed}")));
        // The workspace pins a stable toolchain; what cargo-fuzz starts must stay with the nightly one.
        command.env("RUSTUP_TOOLCHAIN", "nightly");
        if let Err(error) = process::run(&mut command) {
            broken.push(format!("{target}: {error:#}"));
        }
    }
    if broken.is_empty() { Ok(()) } else { bail!("{}; the inputs are below fuzz/artifacts", broken.join("\n")) }
}

/// New inputs go to `fuzz/corpus`, which git ignores; the seeds that come with the project are read only.
fn corpus(workspace: &Workspace, target: &str, command: &mut Command) -> Result<()> {
    let found = folder(workspace).join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("{} could not be created", found.display()))?;
    command.arg(&found);
    let seeds = folder(workspace).join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    Ok(())
}
