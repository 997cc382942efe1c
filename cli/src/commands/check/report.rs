//! What a check found, as it is printed.
//!
//! In: the engine's report. Out: the JSON of docs/cli.md, or text for people. Never: judges.

use std::io::{self, Write};

use repository::domain::Domain;
use repository::read::{CheckLevel, CheckOutcome, CheckReport, DamagedObject, IgnoredObject};
use repository::tree::PackId;
use serde::Serialize;

use crate::output::escape;
use crate::quantity::{bytes_text, count_text};

/// So many objects, and paths of each point, are shown to people.
const SHOWN_MAX: usize = 20;

/// The report.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) outcome: CheckOutcome,
    damaged: &'a [DamagedObject],
    affected: Vec<AffectedRow<'a>>,
    transient: &'a [DamagedObject],
    ignored: &'a [IgnoredObject],
    ignored_count: u64,
    unannounced: Vec<UnannouncedRow<'a>>,
    quarantined: Vec<String>,
    released: Vec<String>,
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
struct UnannouncedRow<'a> {
    point: String,
    volume: &'a str,
    what: &'a str,
}

#[derive(Serialize)]
struct Statistics {
    points: u64,
    packs: u64,
    tables: u64,
    rows: u64,
    packs_not_needed: u64,
    sessions_running: u64,
    unknown_objects: u64,
    bytes_read: u64,
    seconds: f64,
}

impl<'a> Report<'a> {
    /// `settled`: quarantine was changed to what the check found.
    pub(crate) fn new(domain: &Domain, found: &'a CheckReport, settled: bool) -> Report<'a> {
        let name = |pack: &PackId| domain.pack_name(*pack);
        let released = found.released.iter().map(|released| &released.pack);
        let mut quarantined: Vec<String> = found.quarantined.iter().map(name).collect();
        match settled {
            true => quarantined.extend(found.to_quarantine.iter().map(name)),
            false => quarantined.extend(released.clone().map(name)),
        }
        quarantined.sort();
        Report {
            outcome: found.outcome,
            damaged: &found.damaged,
            affected: affected(found),
            transient: &found.transient,
            ignored: &found.ignored,
            ignored_count: found.ignored_count,
            unannounced: unannounced(found),
            quarantined,
            released: if settled { released.map(name).collect() } else { Vec::new() },
            statistics: Statistics {
                points: found.points,
                packs: found.packs,
                tables: found.tables,
                rows: found.rows,
                packs_not_needed: found.packs_not_needed,
                sessions_running: found.sessions_running,
                unknown_objects: found.unknown_objects,
                bytes_read: found.bytes_read,
                seconds: found.seconds,
            },
        }
    }
}

fn affected(found: &CheckReport) -> Vec<AffectedRow<'_>> {
    found
        .affected
        .iter()
        .map(|one| AffectedRow {
            point: one.point.session.to_string(),
            volume: &one.volume,
            paths: &one.paths,
            paths_count: one.paths_count,
        })
        .collect()
}

fn unannounced(found: &CheckReport) -> Vec<UnannouncedRow<'_>> {
    found
        .unannounced
        .iter()
        .map(|one| UnannouncedRow { point: one.point.session.to_string(), volume: &one.volume, what: &one.what })
        .collect()
}

/// For people.
pub(crate) fn text(out: &mut dyn Write, report: &Report<'_>, level: CheckLevel) -> io::Result<()> {
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
    objects(out, "bad at the first look and good at the second; look at the network and the store", report.transient)?;
    let ignored = report.ignored.iter().map(|one| (one.object.as_str(), one.why.as_str()));
    list(out, "ignored, which somebody else has put there", ignored, report.ignored_count)?;
    let unannounced = report.unannounced.iter().map(|one| (one.point.as_str(), one.what));
    list(out, "restore points that do not count", unannounced, report.unannounced.len() as u64)?;
    names(out, "in quarantine", &report.quarantined)?;
    names(out, "good again and released from quarantine", &report.released)?;
    if report.outcome == CheckOutcome::Ok {
        let verdict = match level {
            CheckLevel::Objects => "only names and lengths were compared; --level structure reads all metadata",
            CheckLevel::Structure => "--level data tests every stored byte too",
            CheckLevel::Data => "every stored byte was tested",
        };
        return writeln!(out, "ok: nothing is missing and nothing is damaged; {verdict}");
    }
    writeln!(out, "DAMAGED: {}", count_text(report.damaged.len() as u64, "object", "objects"))?;
    for damaged in report.damaged.iter().take(SHOWN_MAX) {
        writeln!(out, "  {}: {}", escape(damaged.object.as_bytes()), escape(damaged.what.as_bytes()))?;
    }
    more(out, report.damaged.len() as u64)?;
    for affected in &report.affected {
        let paths = count_text(affected.paths_count, "path", "paths");
        let volume = escape(affected.volume.as_bytes());
        writeln!(out, "restore point {} of {volume}: {paths} cannot be restored", affected.point)?;
        for path in affected.paths.iter().take(SHOWN_MAX) {
            writeln!(out, "  {}", escape(path.as_bytes()))?;
        }
        more(out, affected.paths_count)?;
    }
    writeln!(out, "everything else restores; `restore --skip-damaged` also what is left of these")
}

/// Objects and what is said of them, if there are any.
pub(crate) fn objects(out: &mut dyn Write, title: &str, objects: &[DamagedObject]) -> io::Result<()> {
    let count = objects.len() as u64;
    list(out, title, objects.iter().map(|one| (one.object.as_str(), one.what.as_str())), count)
}

fn names(out: &mut dyn Write, title: &str, names: &[String]) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for name in names.iter().take(SHOWN_MAX) {
        writeln!(out, "  {}", escape(name.as_bytes()))?;
    }
    more(out, names.len() as u64)
}

fn list<'a>(
    out: &mut dyn Write,
    title: &str,
    rows: impl Iterator<Item = (&'a str, &'a str)>,
    count: u64,
) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for (name, what) in rows.take(SHOWN_MAX) {
        writeln!(out, "  {}: {}", escape(name.as_bytes()), escape(what.as_bytes()))?;
    }
    more(out, count)
}

fn more(out: &mut dyn Write, count: u64) -> io::Result<()> {
    match count.saturating_sub(SHOWN_MAX as u64) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; -o json lists them"),
    }
}
