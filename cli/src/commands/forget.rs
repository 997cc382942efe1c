//! `forget`: restore points are hidden, by name or by a policy; the collector removes them after the grace period.
//!
//! In: restore points, or what to keep. Out: what stays and what goes, each with its reason. Never: deletes anything, or decides about one volume by another.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Span;
use jiff::tz::TimeZone;
use model::retention::{Candidate, Decision, KeepCount, Policy, Verdict, decide};
use repository::domain::Domain;
use repository::point::Outcome;
use repository::read::{self, PointInfo};
use repository::session::PointId;
use repository::upkeep::retire;
use serde::Serialize;

use super::point::OfVolume;
use super::points::report_unreadable;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{escape, table};

/// What goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The restore points to forget; without any, what stays is said by the `--keep-` options
    #[arg(value_name = "POINT", conflicts_with = "Keep")]
    points: Vec<String>,
    #[command(flatten)]
    volume: OfVolume,
    #[command(flatten)]
    keep: Keep,
    /// Only say what would stay and what would go
    #[arg(long)]
    dry_run: bool,
}

/// What stays, of each volume by itself. A restore point stays if any rule keeps it. N is a number or `all`.
#[derive(Debug, clap::Args)]
#[group(id = "Keep", multiple = true)]
struct Keep {
    /// The newest N
    #[arg(long, value_name = "N")]
    keep_last: Option<KeepCount>,
    /// The newest of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    keep_hourly: Option<KeepCount>,
    /// The newest of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<KeepCount>,
    /// The newest of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    keep_weekly: Option<KeepCount>,
    /// The newest of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<KeepCount>,
    /// The newest of each of the last N years that have one
    #[arg(long, value_name = "N")]
    keep_yearly: Option<KeepCount>,
    /// Everything that is not older than the newest by more than this, such as 14d or "1y 6mo"
    #[arg(long, value_name = "SPAN")]
    keep_within: Option<Span>,
    /// What is younger stays, and pushes nobody out
    #[arg(long, value_name = "SPAN")]
    minimum_age: Option<Span>,
    /// Where days begin, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = time_zone, default_value = "UTC")]
    time_zone: TimeZone,
}

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    kept: Vec<Row<'a>>,
    forgotten: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    point: String,
    volume: &'a str,
    time: &'a str,
    reasons: Vec<String>,
}

/// Forgets.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    match options.points.as_slice() {
        [] => by_policy(context, options),
        points => by_name(context, options, points),
    }
}

fn by_name(context: &Context, options: &Options, points: &[String]) -> Result<Exit, Failure> {
    let keeper = context.keeper()?;
    let volume = options.volume.name.as_deref();
    let named = points.iter().map(|text| read::resolve(keeper.domain(), volume, text));
    let named = named.collect::<Result<Vec<PointId>, _>>()?;
    if !options.dry_run {
        retire(&keeper, &named)?;
    }
    let row = |point: &PointId| Row {
        point: point.session.to_string(),
        volume: volume.unwrap_or_default(),
        time: "",
        reasons: vec!["named".to_owned()],
    };
    let report = Report { dry_run: options.dry_run, kept: Vec::new(), forgotten: named.iter().map(row).collect() };
    context.output.value(&report, |out| text(out, &report))?;
    Ok(Exit::Done)
}

fn by_policy(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let policy = options.keep.policy();
    if policy.keeps_nothing() {
        return Err(Failure::Usage(
            "nothing says what stays: name restore points, or give --keep-last N or another --keep- option".to_owned(),
        ));
    }
    let keeper = context.keeper()?;
    let list = read::points(keeper.domain(), options.volume.name.as_deref())?;
    let decided = decide_each(keeper.domain(), &policy, &list.points);
    let (kept, forgotten): (Vec<_>, Vec<_>) = decided.into_iter().partition(|(_, decision)| decision.verdict.keeps());
    let going: Vec<PointId> = forgotten.iter().map(|(point, _)| point.id).collect();
    if !options.dry_run {
        retire(&keeper, &going)?;
    }
    let report = Report {
        dry_run: options.dry_run,
        kept: kept.iter().map(|(point, decision)| row(point, decision)).collect(),
        forgotten: forgotten.iter().map(|(point, decision)| row(point, decision)).collect(),
    };
    context.output.value(&report, |out| text(out, &report))?;
    Ok(report_unreadable(context, &list.unreadable))
}

/// Each volume by itself.
fn decide_each<'a>(domain: &Domain, policy: &Policy, points: &'a [PointInfo]) -> Vec<(&'a PointInfo, Decision)> {
    let mut volumes: BTreeMap<_, Vec<&PointInfo>> = BTreeMap::new();
    for point in points {
        volumes.entry(point.id.volume).or_default().push(point);
    }
    let now_ms = domain.now().as_millisecond();
    let mut decided = Vec::with_capacity(points.len());
    for points in volumes.into_values() {
        let candidates: Vec<Candidate> = points.iter().map(|point| candidate(point)).collect();
        for decision in decide(policy, &candidates, now_ms) {
            decided.extend(points.iter().find(|point| point.id.session == decision.id).map(|point| (*point, decision)));
        }
    }
    decided
}

fn candidate(point: &PointInfo) -> Candidate {
    Candidate {
        id: point.id.session,
        created_ms: point.created_ms,
        arrived_ms: Some(point.arrived_ms),
        parent: point.parent,
        complete: point.description.outcome == Outcome::Complete,
        checkpoint: point.checkpoint,
        // Nothing records yet what was verified, and nobody can hold a point without a controller.
        verified: false,
        held: false,
        aborted: point.aborted,
    }
}

fn row<'a>(point: &'a PointInfo, decision: &Decision) -> Row<'a> {
    Row {
        point: point.id.session.to_string(),
        volume: &point.description.volume.name,
        time: &point.description.time,
        reasons: reasons(&decision.verdict),
    }
}

fn reasons(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
        Verdict::Retire(reason) => vec![reason.to_string()],
    }
}

impl Keep {
    fn policy(&self) -> Policy {
        let count = |count: Option<KeepCount>| count.unwrap_or(KeepCount::NONE);
        Policy {
            last: count(self.keep_last),
            hourly: count(self.keep_hourly),
            daily: count(self.keep_daily),
            weekly: count(self.keep_weekly),
            monthly: count(self.keep_monthly),
            yearly: count(self.keep_yearly),
            within: self.keep_within,
            minimum_age: self.minimum_age,
            time_zone: self.time_zone.clone(),
        }
    }
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|error| format!("{error}; write for example UTC or Europe/Berlin"))
}

fn text(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let cells = |verdict: &str, row: &Row<'_>| {
        [
            verdict.to_owned(),
            row.point.clone(),
            escape(row.time.split('.').next().unwrap_or_default().trim_end_matches('Z').as_bytes()),
            escape(row.volume.as_bytes()),
            row.reasons.join(", "),
        ]
    };
    let kept = report.kept.iter().map(|row| cells("keep", row));
    let forgotten = report.forgotten.iter().map(|row| cells("forget", row));
    let rows: Vec<_> = kept.chain(forgotten).collect();
    table(out, ["", "point", "time (UTC)", "volume", "why"], &rows)?;
    let would = if report.dry_run { "would be " } else { "" };
    writeln!(
        out,
        "{} {would}kept, {} {would}forgotten: `undelete` takes one back until `gc` has removed it",
        report.kept.len(),
        report.forgotten.len()
    )
}
