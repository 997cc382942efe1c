//! `repo adopt`: a raw copy of a repository becomes one that is consistent.
//!
//! In: a copy that was made by other means than `replicate`. Out: which restore points it has whole; the others are taken out. Never: reads a pack: `check` does.

use std::io::{self, Write};

use repository::upkeep::{AdoptReport, Incomplete, adopt, plan_adoption};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::escape;
use crate::quantity::count_text;

/// Whether anything is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only say which restore points are not whole
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    complete: u64,
    incomplete: Vec<Row<'a>>,
    unannounced: u64,
    sessions_running: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    point: String,
    packs: u64,
    what: &'a str,
}

/// Adopts, or says what is missing.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let keeper = context.keeper()?;
    let AdoptReport { complete, incomplete, unannounced, running } = &match options.dry_run {
        true => plan_adoption(keeper.domain())?,
        false => adopt(&keeper)?,
    };
    let report = Report {
        dry_run: options.dry_run,
        complete: *complete,
        incomplete: incomplete.iter().map(row).collect(),
        unannounced: *unannounced,
        sessions_running: *running,
    };
    context.output.value(&report, |out| text(out, &report))?;
    Ok(if report.incomplete.is_empty() { Exit::Done } else { Exit::Partial })
}

fn row(found: &Incomplete) -> Row<'_> {
    Row { point: found.point.session.to_string(), packs: found.packs, what: &found.what }
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let would = if report.dry_run { "would be " } else { "" };
    for row in &report.incomplete {
        writeln!(out, "restore point {} {would}taken out: {}", row.point, escape(row.what.as_bytes()))?;
    }
    writeln!(
        out,
        "{} whole by names and sizes; {} {would}taken out",
        count_text(report.complete, "restore point is", "restore points are"),
        report.incomplete.len(),
    )
}
