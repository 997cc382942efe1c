//! `scrub`: a rolling verification; each run goes on where the one before ended.
//!
//! In: a budget of bytes, and from the cache directory where the last run ended. Out: what is damaged or good again, how much of the whole was covered, and exit code 8.
//! Never: needs the place that it remembers: without it a round begins again.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use repository::domain::Domain;
use repository::read::{CheckOutcome, DamagedObject};
use repository::upkeep::{self, ScrubCursor, ScrubOptions, ScrubProgress, ScrubReport};
use serde::{Deserialize, Serialize};

use super::check::report::objects;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::progress;
use crate::quantity::{bytes_text, count_text, parse_bytes};

/// How much is scrubbed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Read at most so many bytes of packs, but at least one pack
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    bytes: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    outcome: CheckOutcome,
    damaged: &'a [DamagedObject],
    repaired: &'a [String],
    transient: &'a [DamagedObject],
    ciphertext_only: Option<&'a str>,
    round: Round,
    statistics: Statistics,
}

#[derive(Serialize)]
struct Round {
    position: Option<String>,
    packs_done: u64,
    packs: u64,
    bytes_done: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Statistics {
    packs: u64,
    bytes: u64,
    seconds: f64,
}

/// Where the last run ended, in the cache directory.
#[derive(Serialize, Deserialize)]
struct Place {
    position: String,
}

/// Scrubs.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let keeper = context.keeper()?;
    let file = place_file(context, keeper.domain())?;
    let progress = Arc::new(ScrubProgress::default());
    let engine = ScrubOptions {
        bytes_max: options.bytes,
        cursor: file.as_ref().and_then(remembered),
        cancel: interrupt::listen(&context.runtime)?,
        progress: progress.clone(),
    };
    let found = progress::shown(&context.output, || line(&progress), || upkeep::scrub(&keeper, &engine))?;
    if let (Some(file), Some(cursor)) = (&file, found.cursor)
        && let Err(error) = remember(file, cursor)
    {
        tracing::warn!(file = %file.display(), %error, "where this scrub ended could not be remembered; the next begins a round again");
    }
    let report = report(&found);
    context.output.value(&report, |out| text(out, &report))?;
    Ok(match found.outcome {
        CheckOutcome::Ok => Exit::Done,
        CheckOutcome::Damaged => Exit::Damaged,
    })
}

fn place_file(context: &Context, domain: &Domain) -> Result<Option<PathBuf>, Failure> {
    Ok(context.cache_folder()?.map(|folder| folder.join(format!("scrub-{}.json", domain.id()))))
}

fn remembered(file: &PathBuf) -> Option<ScrubCursor> {
    let bytes = fs::read(file).ok()?;
    let place: Place = serde_json::from_slice(&bytes).ok()?;
    place.position.parse().ok()
}

fn remember(file: &PathBuf, cursor: ScrubCursor) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let temporary = file.with_extension(format!("{}.new", std::process::id()));
    fs::write(&temporary, serde_json::to_vec(&Place { position: cursor.to_string() })?)?;
    fs::rename(&temporary, file)
}

fn line(progress: &ScrubProgress) -> String {
    let packs = count_text(progress.packs.load(Ordering::Relaxed), "pack", "packs");
    format!("{packs}, {} read", bytes_text(progress.bytes.load(Ordering::Relaxed)))
}

fn report(found: &ScrubReport) -> Report<'_> {
    Report {
        outcome: found.outcome,
        damaged: &found.damaged,
        repaired: &found.repaired,
        transient: &found.transient,
        ciphertext_only: found.ciphertext_only.as_deref(),
        round: Round {
            position: found.cursor.map(|cursor| cursor.to_string()),
            packs_done: found.round.packs_done,
            packs: found.round.packs,
            bytes_done: found.round.bytes_done,
            bytes: found.round.bytes,
        },
        statistics: Statistics { packs: found.packs, bytes: found.bytes, seconds: found.seconds },
    }
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let (round, statistics) = (&report.round, &report.statistics);
    writeln!(
        out,
        "scrubbed {} of {} in {:.1} s; in this round {} of {} ({} of {})",
        count_text(statistics.packs, "pack", "packs"),
        bytes_text(statistics.bytes),
        statistics.seconds,
        round.packs_done,
        count_text(round.packs, "pack", "packs"),
        bytes_text(round.bytes_done),
        bytes_text(round.bytes),
    )?;
    if let Some(why) = report.ciphertext_only {
        writeln!(out, "content was not opened: {}", escape(why.as_bytes()))?;
    }
    objects(out, "bad at the first look and good at the second; look at the network and the store", report.transient)?;
    for repaired in report.repaired {
        writeln!(out, "good again and released from quarantine: {}", escape(repaired.as_bytes()))?;
    }
    if report.outcome == CheckOutcome::Ok {
        return writeln!(out, "ok: nothing that was read is damaged");
    }
    objects(out, "DAMAGED", report.damaged)?;
    writeln!(out, "run `holdfast check` to see which restore points and files this affects")
}
