//! `restore`: a restore point, or a part of it, into a directory, a file or a block device.
//!
//! In: a point, perhaps a path in it, and a target. Out: the target, and a report; exit code 3 when something could not be restored. Never: overwrites what exists
//! unless `--in-place` says so, or writes into the repository's own directory.

mod destination;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use repository::point::{Outcome, Requests, VolumeKind};
use repository::read::{self, Failed, Found, RestoreOptions, RestoreProgress, RestoreReport, View, split_path};
use repository::source::FileType;
use repository::store::Location;
use serde::Serialize;

use super::point::{self, OfVolume};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::progress;
use crate::quantity::{bytes_text, count_text};
use destination::{Destination, Restored};

/// So many of the things that could not be restored are shown to people.
const SHOWN_MAX: usize = 20;
/// So many ranges of each file are.
const RANGES_SHOWN_MAX: usize = 4;

/// What is restored, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The restore point, and perhaps a path in it
    #[arg(value_name = "POINT[:PATH]")]
    from: OsString,
    /// Where to: the content of a restored directory appears directly under it; a file becomes it, or appears in it when it is a directory or ends with `/`
    #[arg(long, value_name = "TARGET")]
    to: PathBuf,
    /// Change what exists so that it equals the restore point; only what differs is fetched
    #[arg(long)]
    in_place: bool,
    /// With --in-place: remove what the restore point does not have
    #[arg(long, requires = "in_place")]
    remove_extra: bool,
    /// Leave zeros where stored content is damaged, and list them, instead of ending there
    #[arg(long)]
    skip_damaged: bool,
    /// Do not wait until everything is on the disk, as cp does not
    #[arg(long)]
    no_sync: bool,
    /// Look and compare, but change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    volume: OfVolume,
}

#[derive(Serialize)]
struct Report<'a> {
    point: String,
    volume: &'a str,
    target: String,
    dry_run: bool,
    outcome: Outcome,
    failed: &'a [Failed],
    failed_count: u64,
    statistics: Statistics,
}

#[derive(Serialize)]
struct Statistics {
    entries: u64,
    bytes_restored: u64,
    bytes_fetched: u64,
    bytes_compared_equal: u64,
    files_skipped_equal: u64,
    entries_removed: u64,
    seconds: f64,
    requests: Requests,
}

/// Restores.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let (text, path) = point::split(&options.from)?;
    let names = split_path(path);
    refuse_own_directory(&context.location()?, &options.to)?;
    let domain = context.domain_to_read()?;
    let view = point::open_announced(context, &domain, (&options.volume, text))?;
    let found = view.lookup(&names)?;
    let mut destination = Destination::choose(&options.to, restored(&view, &names, &found), options.dry_run)?;
    if options.no_sync {
        destination = destination.without_sync();
    }
    let progress = Arc::new(RestoreProgress::default());
    let engine = RestoreOptions {
        subpath: names.iter().map(|name| name.to_vec()).collect(),
        in_place: options.in_place,
        remove_extra: options.remove_extra,
        dry_run: options.dry_run,
        skip_damaged: options.skip_damaged,
        memory_budget_bytes: context.settings.memory_budget_bytes,
        cancel: interrupt::listen(&context.runtime)?,
        progress: progress.clone(),
        ..RestoreOptions::default()
    };
    let report = progress::shown(
        &context.output,
        || line(&progress),
        || read::restore(&domain, &view, &engine, destination.target()),
    )?;
    print(context, options, (&view, &report))
}

/// What is restored decides what the target may be.
fn restored(view: &View, names: &[&[u8]], found: &Found) -> Restored {
    match found.file_type {
        FileType::Directory if names.is_empty() && view.description().volume.kind != VolumeKind::Filesystem => {
            Restored::File
        }
        FileType::Directory => Restored::Directory,
        FileType::Regular => Restored::File,
        _ => Restored::Node,
    }
}

fn refuse_own_directory(location: &Location, to: &Path) -> Result<(), Failure> {
    if let Location::Directory(repository) = location
        && let (Ok(repository), Ok(to)) = (repository.canonicalize(), to.canonicalize())
        && to.starts_with(&repository)
    {
        return Err(Failure::Usage(format!(
            "{} is inside of the repository itself; restore to another place",
            to.display()
        )));
    }
    Ok(())
}

fn line(progress: &RestoreProgress) -> String {
    format!(
        "{}, {} restored, {} equal already",
        count_text(progress.entries.load(Ordering::Relaxed), "entry", "entries"),
        bytes_text(progress.bytes_restored.load(Ordering::Relaxed)),
        bytes_text(progress.bytes_compared_equal.load(Ordering::Relaxed)),
    )
}

fn print(context: &Context, options: &Options, (view, report): (&View, &RestoreReport)) -> Result<Exit, Failure> {
    let shown = Report {
        point: view.id().session.to_string(),
        volume: &view.description().volume.name,
        target: escape(options.to.as_os_str().as_bytes()),
        dry_run: options.dry_run,
        outcome: report.outcome,
        failed: &report.failed,
        failed_count: report.failed_count,
        statistics: Statistics {
            entries: report.entries,
            bytes_restored: report.bytes_restored,
            bytes_fetched: report.bytes_fetched,
            bytes_compared_equal: report.bytes_compared_equal,
            files_skipped_equal: report.files_skipped_equal,
            entries_removed: report.entries_removed,
            seconds: report.seconds,
            requests: report.requests,
        },
    };
    context.output.value(&shown, |out| text(out, &shown))?;
    Ok(match report.outcome {
        Outcome::Complete => Exit::Done,
        Outcome::Partial => Exit::Partial,
    })
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let statistics = &report.statistics;
    let done = if report.dry_run { "would restore" } else { "restored" };
    writeln!(
        out,
        "{done} {} of restore point {} of {} to {}",
        count_text(statistics.entries, "entry", "entries"),
        report.point,
        escape(report.volume.as_bytes()),
        report.target,
    )?;
    writeln!(
        out,
        "  {} written, {} and {} equal already; {} fetched in {:.1} s with {} gets, {} lists",
        bytes_text(statistics.bytes_restored),
        count_text(statistics.files_skipped_equal, "file", "files"),
        bytes_text(statistics.bytes_compared_equal),
        bytes_text(statistics.bytes_fetched),
        statistics.seconds,
        statistics.requests.get,
        statistics.requests.list,
    )?;
    if statistics.entries_removed > 0 {
        let removed = if report.dry_run { "would remove" } else { "removed" };
        writeln!(
            out,
            "  {removed} {} that the restore point does not have",
            count_text(statistics.entries_removed, "entry", "entries")
        )?;
    }
    if report.outcome == Outcome::Partial {
        writeln!(
            out,
            "  PARTIAL: {} not restored as in the restore point:",
            count_text(report.failed_count, "thing is", "things are")
        )?;
        for failed in report.failed.iter().take(SHOWN_MAX) {
            writeln!(out, "    {}: {}", escape(failed.path.as_bytes()), escape(failed.reason.as_bytes()))?;
            ranges(out, failed)?;
        }
        let listed = report.failed.len().min(SHOWN_MAX) as u64;
        if report.failed_count > listed {
            writeln!(out, "    and {} more; -o json lists them", report.failed_count - listed)?;
        }
    }
    Ok(())
}

fn ranges(out: &mut dyn Write, failed: &Failed) -> io::Result<()> {
    for range in failed.ranges.iter().take(RANGES_SHOWN_MAX) {
        writeln!(out, "      zeros at bytes {}..{}", range.offset, range.offset + range.length)?;
    }
    match failed.ranges_count.saturating_sub(RANGES_SHOWN_MAX as u64) {
        0 => Ok(()),
        more => writeln!(out, "      and in {more} more ranges; -o json lists them"),
    }
}
