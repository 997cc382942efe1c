//! `backup`: a directory, a regular file or a block device becomes a restore point.
//!
//! In: a path. Out: the report, and exit code 3 when something was not captured. Never: touches what it reads.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use repository::point::{Outcome, SpaceHint, Statistics};
use repository::source::Time;
use repository::store::Location;
use repository::write::{self, BackupOptions, BackupReport, NotCaptured, Preview, Progress, Proof};
use serde::Serialize;
use volume::track::scrub::Pace;
use volume::{Asked, Handover, SourceOptions, open_source};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::progress;
use crate::quantity::{bytes_text, count_text};

/// So many of the things that were not captured are shown to people; programs get all that the report has.
const SHOWN_MAX: usize = 20;

/// What is backed up.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The directory, regular file or block device
    path: PathBuf,
    /// The name under which it is protected [default: its absolute path]
    #[arg(long, value_name = "NAME")]
    volume: Option<String>,
    /// The name of a volume that this one is much like, as a clone is: the first backup is compared with its newest restore point, and stores what differs
    #[arg(long, value_name = "NAME")]
    like: Option<String>,
    /// Refuse a directory on which nothing is mounted: an unmounted volume looks like an empty one
    #[arg(long)]
    require_mount: bool,
    /// Read every file, whatever its stamp says; only what differs is stored
    #[arg(long)]
    read_all: bool,
    /// How the volume left the machine that used it before, if somebody watched: anything but clean means that everything is read. Without it, everything is read after
    /// a restart of the machine or a new mount
    #[arg(long, value_name = "HOW", value_enum)]
    handover: Option<HandoverName>,
    /// Files that do not change are read again within so many days, a share of them with each backup, to prove that they have not changed; 0: never
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(0..=3650))]
    reread_days: u16,
    /// zstd level; by default fast for the first backup, a little better for the next
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=19))]
    compression: Option<i32>,
    /// Read and compare as a backup would, but store nothing
    #[arg(long)]
    dry_run: bool,
}

/// What may be said of the time since the last backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HandoverName {
    /// It was unmounted in order, or never left
    Clean,
    /// The machine was lost while the volume was in use, or it was detached by force
    Unclean,
    /// Nobody knows
    Unknown,
}

impl From<HandoverName> for Handover {
    fn from(name: HandoverName) -> Handover {
        match name {
            HandoverName::Clean => Handover::Clean,
            HandoverName::Unclean => Handover::Unclean,
            HandoverName::Unknown => Handover::Unknown,
        }
    }
}

impl Options {
    fn source(&self, context: &Context) -> SourceOptions {
        let started = (context.clock)();
        let nanoseconds = u32::try_from(started.subsec_nanosecond()).unwrap_or(0);
        let round_ms = i64::from(self.reread_days) * 24 * 60 * 60 * 1000;
        SourceOptions {
            must_be_mount_root: self.require_mount,
            uptime_ms: (context.uptime)().map(|uptime| u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)),
            asked: Asked { handover: self.handover.map(Handover::from), read_all: self.read_all, ..Asked::default() },
            pace: Pace { round_ms: (round_ms > 0).then_some(round_ms) },
            ..SourceOptions::new(Time { seconds: started.as_second(), nanoseconds })
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    point: Option<String>,
    dry_run: bool,
    volume: &'a str,
    parent: Option<String>,
    outcome: Outcome,
    not_captured: Vec<NotCaptured>,
    not_captured_count: u64,
    #[serde(flatten)]
    proof: Proof,
    statistics: Statistics,
    space: Option<SpaceHint>,
}

/// Backs up.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let volume = match &options.volume {
        Some(name) if name.is_empty() => return Err(Failure::Usage("the name of the volume is empty".to_owned())),
        Some(name) => name.clone(),
        None => default_name(&options.path)?,
    };
    let source = open_source(&options.path, &options.source(context))?;
    warn_of_itself(context, &options.path)?;
    let domain = if options.dry_run { context.domain_to_preview()? } else { context.domain_to_write()? };
    let progress = Arc::new(Progress::default());
    let engine = BackupOptions {
        memory_budget_bytes: context.settings.memory_budget_bytes,
        level: options.compression,
        like: options.like.clone(),
        journal_directory: context.journals()?,
        cancel: interrupt::listen(&context.runtime)?,
        progress: progress.clone(),
        ..BackupOptions::new(&volume, &context.host)
    };
    let shown = progress::shown(
        &context.output,
        || line(&progress),
        || match options.dry_run {
            true => write::preview(&domain, &*source, &engine).map(|preview| Report::of_preview(&volume, preview)),
            false => write::backup(&domain, &*source, &engine).map(|report| Report::of_backup(&volume, report)),
        },
    )?;
    context.output.value(&shown, |out| text(out, &shown))?;
    Ok(match shown.outcome {
        Outcome::Complete => Exit::Done,
        Outcome::Partial => Exit::Partial,
    })
}

impl<'a> Report<'a> {
    fn of_backup(volume: &'a str, report: BackupReport) -> Report<'a> {
        Report {
            point: Some(report.point.session.to_string()),
            dry_run: false,
            volume,
            parent: report.parent.map(|parent| parent.to_string()),
            outcome: report.outcome,
            not_captured: report.not_captured,
            not_captured_count: report.missed,
            proof: report.proof,
            statistics: report.statistics,
            space: report.space,
        }
    }

    fn of_preview(volume: &'a str, preview: Preview) -> Report<'a> {
        Report {
            point: None,
            dry_run: true,
            volume,
            parent: preview.parent.map(|parent| parent.to_string()),
            outcome: preview.outcome,
            not_captured: preview.not_captured,
            not_captured_count: preview.missed,
            proof: preview.proof,
            statistics: preview.statistics,
            space: None,
        }
    }
}

/// The absolute path, without what may be spelled in several ways.
fn default_name(path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::File { what: "read", path: path.to_owned(), source };
    let absolute = if path.components().any(|part| part == std::path::Component::ParentDir) {
        path.canonicalize().map_err(failed)?
    } else {
        std::path::absolute(path).map_err(failed)?.components().collect()
    };
    absolute.into_os_string().into_string().map_err(|_| {
        Failure::Usage("this path is not UTF-8 text and cannot name the volume: give --volume NAME".to_owned())
    })
}

/// A repository inside of what is backed up grows by itself with every backup.
fn warn_of_itself(context: &Context, path: &Path) -> Result<(), Failure> {
    if let Location::Directory(repository) = context.location()?
        && let (Ok(repository), Ok(source)) = (repository.canonicalize(), path.canonicalize())
        && repository.starts_with(&source)
    {
        context.output.note(&escape(
            format!("the repository {} lies inside of what is backed up, so each backup contains the ones before it; keep it elsewhere", repository.display())
                .as_bytes(),
        ));
    }
    Ok(())
}

fn line(progress: &Progress) -> String {
    format!(
        "{} seen, {} in them, {} read",
        count_text(progress.entries.load(Ordering::Relaxed), "entry", "entries"),
        bytes_text(progress.bytes_scanned.load(Ordering::Relaxed)),
        bytes_text(progress.bytes_read.load(Ordering::Relaxed)),
    )
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let statistics = &report.statistics;
    let requests = &statistics.requests;
    let after = if report.parent.is_some() { "an increment" } else { "the first one" };
    let volume = escape(report.volume.as_bytes());
    match &report.point {
        Some(point) => writeln!(out, "restore point {point} of {volume}, {after}")?,
        None => writeln!(out, "dry run: nothing was stored; a restore point of {volume} would be {after}")?,
    }
    writeln!(
        out,
        "  {}, {} in them: {} read, {} changed, {} of it new",
        count_text(statistics.entries, "entry", "entries"),
        bytes_text(statistics.bytes_scanned),
        bytes_text(statistics.bytes_read),
        bytes_text(statistics.bytes_changed),
        bytes_text(statistics.bytes_new),
    )?;
    writeln!(
        out,
        "  {} stored ({} of it metadata) in {:.1} s with {} puts, {} gets, {} lists",
        bytes_text(statistics.bytes_stored),
        bytes_text(statistics.bytes_stored_metadata),
        statistics.seconds,
        requests.put,
        requests.get,
        requests.list,
    )?;
    if statistics.bytes_moved > 0 {
        writeln!(out, "  {} written again unchanged, so that packs can go", bytes_text(statistics.bytes_moved))?;
    }
    proof_text(out, report)?;
    if report.outcome == Outcome::Partial {
        writeln!(
            out,
            "  PARTIAL: {} not captured:",
            count_text(report.not_captured_count, "thing was", "things were")
        )?;
        for missed in report.not_captured.iter().take(SHOWN_MAX) {
            writeln!(out, "    {}: {}", escape(missed.path.as_bytes()), escape(missed.reason.as_bytes()))?;
        }
        let listed = report.not_captured.len().min(SHOWN_MAX) as u64;
        if report.not_captured_count > listed {
            writeln!(out, "    and {} more; -o json lists them", report.not_captured_count - listed)?;
        }
    }
    Ok(())
}

fn proof_text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let Proof { full_pass, silent_changes, silently_changed } = &report.proof;
    if let Some(why) = full_pass {
        writeln!(out, "  everything was read: {}", escape(why.as_bytes()))?;
    }
    if *silent_changes == 0 {
        return Ok(());
    }
    let files = count_text(*silent_changes, "file", "files");
    let next = if full_pass.is_some() { "" } else { "; the next backup reads everything" };
    writeln!(
        out,
        "  ALARM: {files} changed although the stamps say nothing did; this restore point has the new content, older ones may have either{next}:"
    )?;
    for path in silently_changed.iter().take(SHOWN_MAX) {
        writeln!(out, "    {}", escape(path.as_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_has_one_default_name() {
        let name = default_name(Path::new("/data/db")).unwrap();
        assert_eq!(name, "/data/db");
        assert_eq!(default_name(Path::new("/data//db/")).unwrap(), name);
        assert_eq!(default_name(Path::new("/data/./db/.")).unwrap(), name);
    }

    #[test]
    fn a_path_upwards_is_named_by_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("a")).unwrap();
        assert_eq!(default_name(&folder.join("a/..")).unwrap(), folder.to_str().unwrap());
    }
}
