//! `points`: the restore points there are, oldest first.
//!
//! In: perhaps a volume. Out: a list, and exit code 8 when a point is there that cannot be opened. Never: shows what was made on the way of a run, unless asked.

use std::io::{self, Write};

use repository::point::{Consistency, Outcome, Statistics, VolumeKind};
use repository::read::{self, PointInfo};
use serde::Serialize;

use super::point::OfVolume;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{escape, table};
use crate::quantity::bytes_text;

/// Which are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    volume: OfVolume,
    /// Also those that are hidden, and checkpoints of runs that were stopped
    #[arg(short, long)]
    all: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    point: String,
    volume: &'a str,
    time: &'a str,
    outcome: Outcome,
    parent: Option<String>,
    kind: VolumeKind,
    source: &'a str,
    host: &'a str,
    consistency: Consistency,
    checkpoint: bool,
    hidden: bool,
    not_captured_count: u64,
    statistics: Statistics,
}

/// Lists restore points.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let domain = context.domain_to_read()?;
    let volume = options.volume.name.as_deref();
    let list = if options.all { read::points_with_hidden(&domain, volume) } else { read::points(&domain, volume) }?;
    let shown: Vec<Row<'_>> = list.points.iter().filter(|point| options.all || !point.checkpoint).map(row).collect();
    context.output.value(&shown, |out| text(out, &shown))?;
    Ok(report_unreadable(context, &list.unreadable))
}

/// Names the points that cannot be opened. They are no reason to hide the others.
pub(crate) fn report_unreadable(context: &Context, unreadable: &[(String, String)]) -> Exit {
    for (_, why) in unreadable {
        context.output.note(&escape(format!("a restore point cannot be opened: {why}").as_bytes()));
    }
    if unreadable.is_empty() { Exit::Done } else { Exit::Damaged }
}

fn row(point: &PointInfo) -> Row<'_> {
    let description = &point.description;
    Row {
        point: point.id.session.to_string(),
        volume: &description.volume.name,
        time: &description.time,
        outcome: description.outcome,
        parent: point.parent.map(|parent| parent.to_string()),
        kind: description.volume.kind,
        source: &description.volume.source,
        host: &description.volume.host,
        consistency: description.consistency,
        checkpoint: point.checkpoint,
        hidden: point.hidden,
        not_captured_count: description.missed,
        statistics: description.statistics,
    }
}

fn text(out: &mut dyn Write, rows: &[Row<'_>]) -> io::Result<()> {
    let cells = |row: &Row<'_>| {
        let outcome = match row.outcome {
            _ if row.checkpoint => "checkpoint",
            Outcome::Complete => "complete",
            Outcome::Partial => "partial",
        };
        [
            row.point.clone(),
            escape(row.time.split('.').next().unwrap_or_default().trim_end_matches('Z').as_bytes()),
            outcome.to_owned(),
            bytes_text(row.statistics.bytes_scanned),
            bytes_text(row.statistics.bytes_stored),
            escape(row.volume.as_bytes()),
        ]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    table(out, ["point", "time (UTC)", "outcome", "size", "stored", "volume"], &cells)
}
