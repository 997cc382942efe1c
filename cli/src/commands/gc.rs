//! `gc`: what no restore point needs any more is deleted.
//!
//! In: how long things stay. Out: what went and why; with `--dry-run` what would. Never: decides anything; the collector of the engine does.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use repository::store::OpenMode;
use repository::upkeep::{
    CollectOptions, CollectReport, Collection, Deleted, Doom, DoomReason, Ended, collect, plan_collection,
};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::quantity::{bytes_text, count_text, duration_text, parse_duration};

/// How the collector decides.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long a restore point that was forgotten can still be taken back with `undelete`
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "24h")]
    grace: Duration,
    /// How long a backup or restore may show no sign of life before it is ended; while one works it shows one every six hours at least
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "24h")]
    session_grace: Duration,
    /// How much of all stored data may go, in percent, that no restore point, session or mark accounts for
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), default_value_t = 50)]
    share_max: u8,
    /// For a replica: where its source is. Variables for its store begin with HOLDFAST_OTHER_ where they differ
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    /// Why nothing was deleted, if so.
    blocked: Option<&'a str>,
    points_removed: Vec<Removed>,
    packs: Vec<SessionPacks>,
    packs_count: u64,
    packs_bytes: u64,
    deleted: DeletedRow,
    sessions_ended: Vec<EndedRow<'a>>,
    announcements_lost: Vec<String>,
    ignored: Vec<Ignored<'a>>,
    /// Other runs at work; the names of removed restore points wait until one runs alone.
    collectors_running: u64,
    kept: Kept,
}

#[derive(Serialize)]
struct Removed {
    point: String,
    why: DoomReason,
}

#[derive(Serialize)]
struct SessionPacks {
    session: String,
    packs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct DeletedRow {
    packs: u64,
    bytes: u64,
    objects: u64,
}

#[derive(Serialize)]
struct EndedRow<'a> {
    session: String,
    writer: &'a str,
    silent_seconds: u64,
}

#[derive(Serialize)]
struct Ignored<'a> {
    object: &'a str,
    why: String,
}

#[derive(Serialize)]
struct Kept {
    points: u64,
    sessions_running: u64,
    bytes: u64,
}

/// Collects, or says what would be collected.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let keeper = context.keeper()?;
    let references = context.cache_folder()?.map(|folder| folder.join("references"));
    let source = options.source.as_deref().map(|url| context.other_store(url, OpenMode::Existing)).transpose()?;
    let engine = CollectOptions {
        source,
        grace: options.grace,
        session_grace: options.session_grace,
        share_percent_max: options.share_max,
        cache_directory: references.map(|folder| folder.join(keeper.domain().id().to_string())),
        writer: format!("{} (gc, pid {})", context.host, std::process::id()),
        cancel: interrupt::listen(&context.runtime)?,
        ..CollectOptions::default()
    };
    let done = match options.dry_run {
        true => plan_collection(keeper.domain(), &engine)?,
        false => collect(&keeper, &engine)?,
    };
    let report = report(&done, options.dry_run);
    context.output.value(&report, |out| text(out, &report))?;
    Ok(if done.collection.blocked.is_some() { Exit::Partial } else { Exit::Done })
}

fn report(done: &CollectReport, dry_run: bool) -> Report<'_> {
    let CollectReport { collection, deleted: Deleted { packs, bytes, names }, ended } = done;
    Report {
        dry_run,
        blocked: collection.blocked.as_deref(),
        points_removed: collection.dooms.iter().map(removed).collect(),
        packs: by_session(collection),
        packs_count: collection.packs.len() as u64,
        packs_bytes: collection.gone_bytes(),
        deleted: DeletedRow { packs: *packs, bytes: *bytes, objects: *names },
        sessions_ended: if dry_run { &collection.silent } else { ended }.iter().map(ended_row).collect(),
        announcements_lost: collection.lost_announcements.iter().map(|point| point.session.to_string()).collect(),
        ignored: collection
            .ignored
            .iter()
            .map(|invalid| Ignored { object: &invalid.name, why: invalid.why.to_string() })
            .collect(),
        collectors_running: collection.other_runs,
        kept: Kept { points: collection.roots, sessions_running: collection.running, bytes: collection.kept_bytes },
    }
}

fn removed(doom: &Doom) -> Removed {
    Removed { point: doom.point.session.to_string(), why: doom.why }
}

fn ended_row(ended: &Ended) -> EndedRow<'_> {
    EndedRow { session: ended.point.session.to_string(), writer: &ended.writer, silent_seconds: ended.silent_seconds }
}

fn by_session(collection: &Collection) -> Vec<SessionPacks> {
    let mut sessions: BTreeMap<String, SessionPacks> = BTreeMap::new();
    for gone in &collection.packs {
        let session = gone.pack.session.to_string();
        let entry = sessions.entry(session.clone()).or_insert(SessionPacks { session, packs: 0, bytes: 0 });
        entry.packs += 1;
        entry.bytes += gone.bytes;
    }
    sessions.into_values().collect()
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let (would, packs, bytes) = match report.dry_run {
        true => ("would be ", report.packs_count, report.packs_bytes),
        false => ("", report.deleted.packs, report.deleted.bytes),
    };
    for removed in &report.points_removed {
        let why = match removed.why {
            DoomReason::Retired => "it was forgotten",
            DoomReason::CheckpointContinued => "a checkpoint that a later one continued",
            DoomReason::CheckpointExpired => "a checkpoint that nobody continued",
            DoomReason::TooLate => "it came when its backup was over and its keys destroyed",
        };
        writeln!(out, "restore point {} {would}removed: {why}", removed.point)?;
    }
    for ended in &report.sessions_ended {
        writeln!(
            out,
            "session {} of {} {would}ended: no sign of life for {}",
            ended.session,
            escape(ended.writer.as_bytes()),
            duration_text(Duration::from_secs(ended.silent_seconds))
        )?;
    }
    for lost in &report.announcements_lost {
        writeln!(
            out,
            "restore point {lost} has lost its announcement, so nobody can restore it: {would}hidden; `repair` brings it back from a replica"
        )?;
    }
    for ignored in &report.ignored {
        writeln!(out, "ignored: {}: {}", escape(ignored.object.as_bytes()), ignored.why)?;
    }
    if report.collectors_running > 0 {
        writeln!(
            out,
            "{} at work, or killed less than the session grace ago: names of removed restore points stay until one runs alone",
            count_text(report.collectors_running, "other collector", "other collectors")
        )?;
    }
    if let Some(why) = report.blocked {
        writeln!(out, "{}", escape(why.as_bytes()))?;
    }
    writeln!(
        out,
        "{}, {}, {would}deleted; {} with {} and {} stay",
        count_text(packs, "pack", "packs"),
        bytes_text(bytes),
        count_text(report.kept.points, "restore point", "restore points"),
        bytes_text(report.kept.bytes),
        count_text(report.kept.sessions_running, "running session", "running sessions"),
    )
}
