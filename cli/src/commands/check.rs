//! `check`: whether everything that restore points need is there and is what was written.
//!
//! In: perhaps a volume, perhaps `--read-data`. Out: what is damaged and which restore points that affects, and exit code 8. Never: changes anything.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use repository::read::{self, CheckOptions, CheckOutcome, CheckProgress, CheckReport, DamagedObject};
use serde::Serialize;

use super::point::OfVolume;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::progress;
use crate::quantity::{bytes_text, count_text};

/// So many objects, and paths of each point, are shown to people.
const SHOWN_MAX: usize = 20;

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fetch every pack that is needed and test every byte; without it only metadata is read
    #[arg(long)]
    read_data: bool,
    #[command(flatten)]
    volume: OfVolume,
}

#[derive(Serialize)]
struct Report<'a> {
    outcome: CheckOutcome,
    damaged: &'a [DamagedObject],
    affected: Vec<AffectedRow<'a>>,
    statistics: Statistics,
}

#[derive(Serialize)]
struct AffectedRow<'a> {
    point: String,
    volume: &'a str,
    paths: &'a [String],
    paths_count: u64,
}

#[derive(Serialize)]
struct Statistics {
    points: u64,
    packs: u64,
    tables: u64,
    rows: u64,
    packs_not_needed: u64,
    unknown_objects: u64,
    bytes_read: u64,
    seconds: f64,
}

/// Checks.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let domain = context.domain_to_read()?;
    let progress = Arc::new(CheckProgress::default());
    let engine = CheckOptions {
        read_data: options.read_data,
        volume: options.volume.name.clone(),
        memory_budget_bytes: context.settings.memory_budget_bytes,
        cancel: interrupt::listen(&context.runtime)?,
        progress: progress.clone(),
        ..CheckOptions::default()
    };
    let found = progress::shown(&context.output, || line(&progress), || read::check(&domain, &engine))?;
    let report = report(&found);
    context.output.value(&report, |out| text(out, &report, options.read_data))?;
    Ok(match found.outcome {
        CheckOutcome::Ok => Exit::Done,
        CheckOutcome::Damaged => Exit::Damaged,
    })
}

fn line(progress: &CheckProgress) -> String {
    format!(
        "{}, {}, {} of data read",
        count_text(progress.tables.load(Ordering::Relaxed), "table", "tables"),
        count_text(progress.packs.load(Ordering::Relaxed), "pack", "packs"),
        bytes_text(progress.bytes_read.load(Ordering::Relaxed)),
    )
}

fn report(found: &CheckReport) -> Report<'_> {
    Report {
        outcome: found.outcome,
        damaged: &found.damaged,
        affected: found
            .affected
            .iter()
            .map(|one| AffectedRow {
                point: one.point.session.to_string(),
                volume: &one.volume,
                paths: &one.paths,
                paths_count: one.paths_count,
            })
            .collect(),
        statistics: Statistics {
            points: found.points,
            packs: found.packs,
            tables: found.tables,
            rows: found.rows,
            packs_not_needed: found.packs_not_needed,
            unknown_objects: found.unknown_objects,
            bytes_read: found.bytes_read,
            seconds: found.seconds,
        },
    }
}

fn text(out: &mut dyn Write, report: &Report<'_>, read_data: bool) -> io::Result<()> {
    let statistics = &report.statistics;
    writeln!(
        out,
        "checked {}: {}, {} with {}; {} read in {:.1} s",
        count_text(statistics.points, "restore point", "restore points"),
        count_text(statistics.packs, "pack", "packs"),
        count_text(statistics.tables, "table", "tables"),
        count_text(statistics.rows, "row", "rows"),
        bytes_text(statistics.bytes_read),
        statistics.seconds,
    )?;
    if report.outcome == CheckOutcome::Ok {
        let verdict =
            if read_data { "every stored byte was tested" } else { "--read-data tests every stored byte too" };
        return writeln!(out, "ok: nothing is missing and nothing is damaged; {verdict}");
    }
    writeln!(out, "DAMAGED: {}", count_text(report.damaged.len() as u64, "object", "objects"))?;
    for damaged in report.damaged.iter().take(SHOWN_MAX) {
        writeln!(out, "  {}: {}", escape(damaged.object.as_bytes()), escape(damaged.what.as_bytes()))?;
    }
    more(out, report.damaged.len() as u64)?;
    for affected in &report.affected {
        let paths = count_text(affected.paths_count, "path", "paths");
        writeln!(
            out,
            "restore point {} of {}: {paths} cannot be restored",
            affected.point,
            escape(affected.volume.as_bytes())
        )?;
        for path in affected.paths.iter().take(SHOWN_MAX) {
            writeln!(out, "  {}", escape(path.as_bytes()))?;
        }
        more(out, affected.paths_count)?;
    }
    writeln!(out, "everything else restores; `restore --skip-damaged` also what is left of these")
}

fn more(out: &mut dyn Write, count: u64) -> io::Result<()> {
    match count.saturating_sub(SHOWN_MAX as u64) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; -o json lists them"),
    }
}
