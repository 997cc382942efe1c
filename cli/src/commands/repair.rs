//! `repair`: what is damaged or missing comes back from another copy of the repository.
//!
//! In: the URL of a replica or a copy. Out: what was put back, what could not be, and a check of what is left, with exit code 8 if something is. Never: takes anything
//! from the other copy that the keys of this repository do not prove.

use std::io::{self, Write};
use std::sync::Arc;

use repository::read::{CheckOptions, CheckOutcome, CheckProgress, DamagedObject};
use repository::store::OpenMode;
use repository::upkeep::{self, KeysToRepair, NotRepaired, RepairOptions, repair_keys};
use serde::Serialize;

use super::check::{self, Level, report};
use super::point::OfVolume;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::output::escape;
use crate::progress;

/// From where, and how deep to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where a replica or a copy of this repository is
    #[arg(long, value_name = "URL")]
    from: String,
    /// How deep to look for damage; packs in quarantine are read in any case
    #[arg(long, value_enum, default_value_t)]
    level: Level,
    /// Bring back keys that are missing here too; not if they were destroyed on purpose
    #[arg(long)]
    missing_keys: bool,
    /// Only say what could be repaired
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    volume: OfVolume,
}

#[derive(Serialize)]
struct Report<'a> {
    outcome: CheckOutcome,
    dry_run: bool,
    repaired: &'a [DamagedObject],
    not_repaired: &'a [NotRepaired],
    check: report::Report<'a>,
}

/// Repairs.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let other =
        (context.open_store)(&options.from, OpenMode::Existing)?.with_bandwidth_limit(context.settings.bandwidth_bytes);
    let opened = context.open_for_upkeep()?;
    let keys = KeysToRepair { missing: options.missing_keys, dry_run: options.dry_run };
    let stores = (&opened.store, &other);
    // Before the domain is opened: with its keys.
    let (mut repaired, mut not_repaired) =
        repair_keys(&opened.repository, context.settings.one_domain(), stores, keys)?;
    let keeper = context.keeper_of(&opened)?;
    let progress = Arc::new(CheckProgress::default());
    let engine = RepairOptions {
        check: CheckOptions {
            level: options.level.into(),
            volume: options.volume.name.clone(),
            memory_budget_bytes: context.settings.memory_budget_bytes,
            cancel: interrupt::listen(&context.runtime)?,
            progress: progress.clone(),
            ..CheckOptions::default()
        },
        dry_run: options.dry_run,
        writer: format!("{} (repair, pid {})", context.host, std::process::id()),
    };
    let found =
        progress::shown(&context.output, || check::line(&progress), || upkeep::repair(&keeper, &other, &engine))?;
    repaired.extend(found.repaired);
    not_repaired.extend(found.not_repaired);
    let report = Report {
        outcome: found.left.outcome,
        dry_run: options.dry_run,
        repaired: &repaired,
        not_repaired: &not_repaired,
        check: report::Report::new(keeper.domain(), &found.left, !options.dry_run),
    };
    context.output.value(&report, |out| text(out, &report, options))?;
    Ok(match report.outcome {
        CheckOutcome::Ok => Exit::Done,
        CheckOutcome::Damaged => Exit::Damaged,
    })
}

fn text(out: &mut dyn Write, report: &Report<'_>, options: &Options) -> io::Result<()> {
    let done = if report.dry_run { "could be repaired" } else { "repaired" };
    report::objects(out, done, report.repaired)?;
    for one in report.not_repaired {
        writeln!(out, "not repaired: {}: {}", escape(one.object.as_bytes()), escape(one.why.as_bytes()))?;
    }
    report::text(out, &report.check, options.level.into())
}
