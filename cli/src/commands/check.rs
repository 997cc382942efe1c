//! `check`: whether everything that restore points need is there and is what was written.
//!
//! In: a level, perhaps a volume, perhaps `--quarantine`. Out: what is damaged and which restore points that affects, and exit code 8. Never: changes anything but
//! quarantine, and that only when it is asked to.

pub(crate) mod report;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use repository::read::{self, CheckLevel, CheckOptions, CheckOutcome, CheckProgress};

use super::point::OfVolume;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening::Context;
use crate::progress;
use crate::quantity::{bytes_text, count_text};
use report::Report;

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How deep to look
    #[arg(long, value_enum, default_value_t, conflicts_with = "read_data")]
    level: Level,
    /// The same as --level data
    #[arg(long)]
    read_data: bool,
    /// Put packs that are damaged into quarantine, so that the next backups write again what was in them, and release those that are good again
    #[arg(long)]
    quarantine: bool,
    #[command(flatten)]
    volume: OfVolume,
}

/// How deep a check looks.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Level {
    /// Everything that restore points need exists; no pack is read
    Objects,
    /// All metadata is read, and every pack looked at
    #[default]
    Structure,
    /// Every stored byte is read and tested
    Data,
}

impl From<Level> for CheckLevel {
    fn from(level: Level) -> CheckLevel {
        match level {
            Level::Objects => CheckLevel::Objects,
            Level::Structure => CheckLevel::Structure,
            Level::Data => CheckLevel::Data,
        }
    }
}

/// Checks.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let level = if options.read_data { CheckLevel::Data } else { options.level.into() };
    let keeper = options.quarantine.then(|| context.keeper()).transpose()?;
    let domain = match &keeper {
        Some(keeper) => keeper.domain().clone(),
        None => context.domain_to_read()?,
    };
    let progress = Arc::new(CheckProgress::default());
    let engine = CheckOptions {
        level,
        volume: options.volume.name.clone(),
        memory_budget_bytes: context.settings.memory_budget_bytes,
        cancel: interrupt::listen(&context.runtime)?,
        progress: progress.clone(),
        ..CheckOptions::default()
    };
    let found = progress::shown(&context.output, || line(&progress), || read::check(&domain, &engine))?;
    if let Some(keeper) = &keeper {
        keeper.settle(&found)?;
    }
    let report = Report::new(&domain, &found, keeper.is_some());
    context.output.value(&report, |out| report::text(out, &report, level))?;
    Ok(match found.outcome {
        CheckOutcome::Ok => Exit::Done,
        CheckOutcome::Damaged => Exit::Damaged,
    })
}

pub(crate) fn line(progress: &CheckProgress) -> String {
    format!(
        "{}, {}, {} of data read",
        count_text(progress.tables.load(Ordering::Relaxed), "table", "tables"),
        count_text(progress.packs.load(Ordering::Relaxed), "pack", "packs"),
        bytes_text(progress.bytes_read.load(Ordering::Relaxed)),
    )
}
