//! `replicate`: restore points are copied into another store, which becomes a replica of this repository.
//!
//! In: where the replica is or shall be, and which domains and volumes. Out: what was copied, what was not and why; with `--dry-run` what would be. Never: decides
//! anything; the engine does, domain by domain. A domain that cannot be opened does not hold up the others.

use std::io::{self, Write};
use std::sync::atomic::Ordering;

use repository::store::{OpenError, OpenMode, Requests, Store};
use repository::upkeep::{
    CopySide, DamagedCopy, NotReplicated, ReplicateOptions, ReplicateProgress, ReplicateReport, WhyNot,
    plan_replication, replicate,
};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::{Context, OneDomain};
use crate::output::escape;
use crate::progress;
use crate::quantity::{bytes_text, count_text};

/// What is copied, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the replica is, or shall be: an empty place. Variables for its store begin with HOLDFAST_OTHER_ where they differ
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only restore points of this volume; may be given several times
    #[arg(long, value_name = "NAME")]
    volume: Vec<String>,
    /// Also restore points that were forgotten
    #[arg(long)]
    hidden: bool,
    /// Only say what would be copied
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    domains: Vec<DomainRow<'a>>,
    replicated: Vec<String>,
    present: u64,
    hidden: u64,
    not_replicated: Vec<Left>,
    damaged: &'a [DamagedCopy],
    keys_left: &'a [String],
    statistics: Statistics,
}

#[derive(Serialize)]
struct DomainRow<'a> {
    domain: String,
    name: Option<&'a str>,
    /// Why nothing of it was copied, if so.
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct Left {
    point: String,
    why: WhyNot,
}

#[derive(Serialize)]
struct Statistics {
    packs: u64,
    bytes: u64,
    keys: u64,
    seconds: f64,
    source_requests: Requests,
    target_requests: Requests,
}

/// Replicates, or says what would be copied.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let domains = context.domains_to_read()?;
    let engine = ReplicateOptions {
        hidden: options.hidden,
        memory_budget_bytes: context.settings.memory_budget_bytes as u64,
        cancel: interrupt::listen(&context.runtime)?,
        ..ReplicateOptions::default()
    };
    let target = target(context, options)?;
    let progress = engine.progress.clone();
    let work = || replicate_each(&domains, &target, &engine, options);
    let done = match options.dry_run {
        true => work()?,
        false => progress::shown(&context.output, || line(&progress), work)?,
    };
    let report = report(&done, &domains, options.dry_run);
    context.output.value(&report, |out| text(out, &report))?;
    Ok(match () {
        () if !done.damaged.is_empty() => Exit::Damaged,
        () if domains.iter().any(|domain| domain.opened.is_err()) => Exit::Partial,
        () => Exit::Done,
    })
}

/// One domain after the other, and one report of all.
fn replicate_each(
    domains: &[OneDomain],
    target: &Store,
    engine: &ReplicateOptions,
    options: &Options,
) -> Result<ReplicateReport, Failure> {
    let mut done = ReplicateReport::default();
    for source in domains.iter().filter_map(|domain| domain.opened.as_ref().ok()) {
        let volumes = options.volume.iter().map(|name| source.volume_id(name)).collect();
        let engine = ReplicateOptions { volumes, ..engine.clone() };
        done.add(match options.dry_run {
            true => plan_replication(source, target, &engine)?,
            false => replicate(source, target, &engine)?,
        });
    }
    Ok(done)
}

/// A folder is made where there is none, but not by a dry run.
fn target(context: &Context, options: &Options) -> Result<Store, Failure> {
    let mode = if options.dry_run { OpenMode::Existing } else { OpenMode::Create };
    match context.other_store(&options.to, mode) {
        Err(Failure::Store(OpenError::Absent { .. })) => context.other_store("memory:", OpenMode::Create),
        store => store,
    }
}

fn line(progress: &ReplicateProgress) -> String {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "{} of {} done; {}, {} copied",
        count(&progress.points),
        count_text(count(&progress.points_total), "restore point", "restore points"),
        count_text(count(&progress.packs), "pack", "packs"),
        bytes_text(count(&progress.bytes))
    )
}

fn report<'a>(done: &'a ReplicateReport, domains: &'a [OneDomain], dry_run: bool) -> Report<'a> {
    let left = |left: &NotReplicated| Left { point: left.point.session.to_string(), why: left.why };
    let row = |domain: &'a OneDomain| DomainRow {
        domain: domain.id.to_string(),
        name: domain.name.as_deref(),
        problem: domain.opened.as_ref().err().map(String::as_str),
    };
    Report {
        dry_run,
        domains: domains.iter().map(row).collect(),
        replicated: done.replicated.iter().map(|point| point.session.to_string()).collect(),
        present: done.present,
        hidden: done.hidden,
        not_replicated: done.not_replicated.iter().map(left).collect(),
        damaged: &done.damaged,
        keys_left: &done.keys_left,
        statistics: Statistics {
            packs: done.copied.packs,
            bytes: done.copied.bytes,
            keys: done.copied.keys,
            seconds: done.seconds,
            source_requests: done.source_requests,
            target_requests: done.target_requests,
        },
    }
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let would = if report.dry_run { "would be " } else { "" };
    for DomainRow { domain, name, problem } in &report.domains {
        if let Some(problem) = problem {
            let name = escape(name.unwrap_or(domain).as_bytes());
            writeln!(out, "nothing of domain {name} is replicated: {}", escape(problem.as_bytes()))?;
        }
    }
    for left in &report.not_replicated {
        let why = match left.why {
            WhyNot::DoomedAtTarget => "the replica has removed it before",
            WhyNot::GoneAtSource => "it was removed here meanwhile",
            WhyNot::Damaged => "something that it needs is damaged",
        };
        writeln!(out, "restore point {} is not replicated: {why}", left.point)?;
    }
    for DamagedCopy { at, object, what } in report.damaged {
        let place = match at {
            CopySide::Source => "here",
            CopySide::Target => "at the replica",
        };
        writeln!(out, "DAMAGED {place}: {}: {}", escape(object.as_bytes()), escape(what.as_bytes()))?;
    }
    for key in report.keys_left {
        writeln!(out, "{} opens the replica still, although it was removed here", escape(key.as_bytes()))?;
    }
    writeln!(
        out,
        "{} {would}replicated with {}, {}; {} there before, {} hidden",
        count_text(report.replicated.len() as u64, "restore point", "restore points"),
        count_text(report.statistics.packs, "pack", "packs"),
        bytes_text(report.statistics.bytes),
        report.present,
        report.hidden,
    )
}
