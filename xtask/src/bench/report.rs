//! Report: samples become medians, medians become tables and JSON.
//!
//! In: samples by tool and phase. Out: rows; tables for a terminal and for `docs/benchmarks.md`; `docs/benchmarks.json`. Never: measures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{
    measure::Usage,
    targets,
    tool::Tool,
    workload::{self, Workload},
};
use crate::{process, quantity, table::Table, tidy::Finding, workspace::Workspace};

/// One run of one phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) usage: Usage,
    pub(super) bytes_read: Option<u64>,
    pub(super) bytes_changed: Option<u64>,
    pub(super) bytes_added: Option<u64>,
    pub(super) bytes_stored: Option<u64>,
    pub(super) bytes_metadata: Option<u64>,
    pub(super) requests: Option<u64>,
    /// Of the restore point's packs; `collected`: of all that is stored.
    pub(super) packs_bytes: Option<u64>,
}

/// What rows are about, in the order in which it happens.
const PHASES: [&str; 8] = ["full", "increment", "cycle", "first", "series", "last", "collected", "clone"];
/// Phases after which a restore is measured, and what its samples are called.
const RESTORED: [(&str, &str); 4] = [
    ("increment", "restore"),
    ("first", "restore of the first"),
    ("last", "restore of the last"),
    ("collected", "restore of what was kept"),
];

/// All samples of one workload, by tool and phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(BTreeMap<(String, String), Vec<Sample>>);

impl Samples {
    /// Takes one in.
    pub(super) fn add(&mut self, tool: &str, phase: &str, sample: Sample) {
        self.0.entry((tool.to_owned(), phase.to_owned())).or_default().push(sample);
    }

    fn of(&self, tool: &str, phase: &str) -> &[Sample] {
        self.0.get(&(tool.to_owned(), phase.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// Medians of one tool's phase; absent numbers were not measured, or the tool does not tell.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Row {
    /// The day and the commit of the measurement, where it is not the report's.
    #[serde(default)]
    pub(super) measured: Option<String>,
    pub(super) workload: String,
    pub(super) phase: String,
    pub(super) tool: String,
    pub(super) version: String,
    pub(super) runs: usize,
    pub(super) seconds: Option<f64>,
    pub(super) seconds_min: Option<f64>,
    pub(super) seconds_max: Option<f64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) bytes_read: Option<u64>,
    pub(super) bytes_changed: Option<u64>,
    pub(super) bytes_added: Option<u64>,
    pub(super) bytes_metadata: Option<u64>,
    pub(super) metadata_share: Option<f64>,
    pub(super) requests: Option<u64>,
    pub(super) restore_seconds: Option<f64>,
    /// Until what was restored is on the disk.
    pub(super) durable_seconds: Option<f64>,
    pub(super) restore_cpu_seconds: Option<f64>,
    pub(super) restore_peak_rss_bytes: Option<u64>,
    pub(super) check_seconds: Option<f64>,
    /// All that was added by all that was changed.
    pub(super) added_per_changed: Option<f64>,
    /// Packs of the last restore point; `collected`: all that is stored.
    pub(super) packs_bytes: Option<u64>,
    pub(super) restore_requests: Option<u64>,
    pub(super) note: Option<String>,
}

/// Everything of one run of the benchmark.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Report {
    date: String,
    #[serde(default)]
    commit: String,
    machine: String,
    scale: f64,
    conditions: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report about this machine, now.
    pub(super) fn new(workspace: &Workspace, scale: f64, cold: bool, no_disk: Option<&str>) -> Result<Self> {
        let date = process::text(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
        let commit = process::text(workspace.command("git").args(["describe", "--always", "--dirty"]))
            .unwrap_or_else(|_| "unknown".to_owned());
        let caches = if cold { "caches dropped before each run" } else { "caches warm" };
        let source = match no_disk {
            None => {
                "source on an ext4 of its own, bytes read counted by its loop device below the page cache".to_owned()
            }
            Some(why) => format!("source on the machine's own filesystem, bytes read not counted ({why})"),
        };
        let conditions = format!("{caches}; {source}; repository in a local folder");
        Ok(Self { date, commit, machine: machine()?, scale, conditions, rows: Vec::new() })
    }

    /// A tool that is not there still has a row.
    pub(super) fn absent(&mut self, tool: &str, why: &str) {
        let row =
            Row { workload: "all".to_owned(), tool: tool.to_owned(), note: Some(why.to_owned()), ..Row::default() };
        self.rows.push(row);
    }

    /// A workload that could not be measured has a row that says why; returns it for the end of the run.
    pub(super) fn failed(&mut self, workload: Workload, error: &anyhow::Error) -> String {
        let (name, why) = (format!("{workload:?}").to_lowercase(), format!("{error:#}"));
        eprintln!("bench: {name} failed: {why}");
        // The error names paths of this machine, which are nobody's business in a saved report.
        let note = "failed; the run has printed why".to_owned();
        self.rows.push(Row { workload: name.clone(), note: Some(note), ..Row::default() });
        format!("{name}: {why}")
    }

    /// Adds the medians of a workload.
    pub(super) fn add(&mut self, workload: Workload, tools: &[Tool], samples: &Samples) {
        let workload = format!("{workload:?}").to_lowercase();
        let first = self.rows.len();
        let version = |name: &str| tools.iter().find(|tool| tool.kind.name() == name).map(|tool| tool.version.clone());
        for (tool, phase) in samples.0.keys().filter(|(_, phase)| PHASES.contains(&phase.as_str())) {
            let mut row = medians(samples.of(tool, phase));
            if let Some((_, restore)) = RESTORED.iter().find(|(restored, _)| restored == phase) {
                add_restore(&mut row, samples, (tool, restore));
            }
            self.rows.push(Row {
                workload: workload.clone(),
                phase: phase.clone(),
                tool: tool.clone(),
                version: version(tool).unwrap_or_default(),
                ..row
            });
        }
        if !samples.of("cp", "restore").is_empty() {
            let mut row = Row { workload, phase: "increment".to_owned(), tool: "cp".to_owned(), ..Row::default() };
            add_restore(&mut row, samples, ("cp", "restore"));
            self.rows.push(row);
        }
        self.rows[first..].sort_by_key(|row| rank(&row.phase, &row.tool));
    }

    /// Everything for a terminal.
    pub(super) fn tables(&self) -> String {
        let [rows, ratios, targets] = self.all_tables();
        let parts = [rows.plain(), self.notes(), ratios.plain(), targets.plain()];
        let shown = parts.into_iter().filter(|part| !part.is_empty());
        std::iter::once(self.head() + "\n").chain(shown).collect::<Vec<_>>().join("\n")
    }

    fn markdown(&self) -> String {
        let [rows, ratios, targets] = self.all_tables();
        let start = [self.head(), "### Medians".to_owned(), rows.markdown(), self.notes()];
        let end = [
            "### Peers as multiples of Holdfast".to_owned(),
            ratios.markdown(),
            "### Targets".to_owned(),
            targets.markdown(),
        ];
        let parts = start.into_iter().chain(end).filter(|part| !part.is_empty());
        parts.map(|part| part.trim_end().to_owned() + "\n").collect::<Vec<_>>().join("\n")
    }

    /// What has no numbers, one line each.
    fn notes(&self) -> String {
        let noted = self.rows.iter().filter_map(|row| Some((row, row.note.as_ref()?)));
        let noted = noted.map(|(row, note)| format!("- {} {}: {note}\n", row.workload, row.tool).replace(" :", ":"));
        let mut older: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(measured) = &row.measured {
                older.entry(measured).or_default().insert(&row.workload);
            }
        }
        let listed = |workloads: &BTreeSet<&str>| workloads.iter().copied().collect::<Vec<_>>().join(", ");
        let older = older.iter().map(|(measured, workloads)| format!("- {}: {measured}\n", listed(workloads)));
        noted.chain(older).collect()
    }

    /// Keeps what an earlier report on the same machine says of the workloads that were not measured now.
    fn keep(&mut self, earlier: Report) {
        if (&earlier.machine, earlier.scale) != (&self.machine, self.scale) {
            return;
        }
        let measured = format!("{}, commit {}", earlier.date, earlier.commit);
        let now: BTreeSet<String> = self.rows.iter().map(|row| row.workload.clone()).collect();
        let kept = earlier.rows.into_iter().filter(|row| row.note.is_none() && !now.contains(&row.workload));
        self.rows.extend(kept.map(|row| Row { measured: row.measured.or(Some(measured.clone())), ..row }));
        let order: Vec<String> =
            workload::DEFAULT.iter().map(|workload| format!("{workload:?}").to_lowercase()).collect();
        self.rows.sort_by_key(|row| order.iter().position(|name| *name == row.workload));
    }

    fn head(&self) -> String {
        format!("{}, commit {}; {}; scale {}; {}", self.date, self.commit, self.machine, self.scale, self.conditions)
    }

    fn all_tables(&self) -> [Table; 3] {
        [row_table(&self.rows), ratio_table(&self.rows), targets::table(&self.rows)]
    }

    /// The rows as one JSON array.
    pub(super) fn rows_json(&self) -> Result<String> {
        serde_json::to_string_pretty(&self.rows).context("the rows could not be written as JSON")
    }

    /// Writes the JSON and renews the tables in the document of the same name; workloads that were not measured stay as they were.
    pub(super) fn save(mut self, file: &Path) -> Result<()> {
        if let Some(earlier) = fs::read(file).ok().and_then(|saved| serde_json::from_slice(&saved).ok()) {
            self.keep(earlier);
        }
        let json = serde_json::to_string_pretty(&self).context("the report could not be written as JSON")? + "\n";
        fs::write(file, json).with_context(|| format!("{} could not be written", file.display()))?;
        let document = file.with_extension("md");
        let text = fs::read_to_string(&document).unwrap_or_else(|_| format!("# Benchmarks\n\n{BEGIN}\n{END}\n"));
        let text = with_tables(&text, &self.markdown()).with_context(|| no_markers(&document))?;
        fs::write(&document, text).with_context(|| format!("{} could not be written", document.display()))
    }
}

const BEGIN: &str = "<!-- tables: written by `cargo xtask bench --save docs/benchmarks.json` -->";
const END: &str = "<!-- end of tables -->";

fn no_markers(document: &Path) -> String {
    format!("{} lacks the lines {BEGIN} and {END}", document.display())
}

fn with_tables(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
}

/// Whether the tables in the document are those of the saved numbers.
pub(super) fn stale(workspace: &Workspace) -> Result<Vec<Finding>> {
    let (json, document) = (PathBuf::from("docs/benchmarks.json"), PathBuf::from("docs/benchmarks.md"));
    let Ok(saved) = fs::read(workspace.root.join(&json)) else { return Ok(Vec::new()) };
    let finding = |file: PathBuf, rule: String| Finding {
        file,
        line: 0,
        rule,
        next: "run `cargo xtask bench --save docs/benchmarks.json`".to_owned(),
    };
    let report: Report = match serde_json::from_slice(&saved) {
        Ok(report) => report,
        Err(error) => return Ok(vec![finding(json, format!("is not a report of this version: {error}"))]),
    };
    let text = fs::read_to_string(workspace.root.join(&document)).unwrap_or_default();
    if with_tables(&text, &report.markdown()).is_some_and(|current| current == text) {
        return Ok(Vec::new());
    }
    Ok(vec![finding(document, "does not show the numbers of docs/benchmarks.json".to_owned())])
}

fn machine() -> Result<String> {
    let model = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo could not be read")?;
    let name = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").context("/proc/meminfo could not be read")?;
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = name.unwrap_or_else(|| "unknown processor".to_owned());
    Ok(format!(
        "{name}, {cores} cores, {} of memory, Linux {}",
        quantity::bytes(kib.unwrap_or(0) * 1024),
        kernel.trim()
    ))
}

/// The middle one; of an even count the mean of the two in the middle.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

fn medians(samples: &[Sample]) -> Row {
    let float = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
    let whole = |field: fn(&Sample) -> Option<u64>| {
        median(samples.iter().filter_map(field).map(|value| value as f64)).map(|value| value.round() as u64)
    };
    let sum = |field: fn(&Sample) -> Option<u64>| samples.iter().map(field).sum::<Option<u64>>();
    let share = sum(|sample| sample.bytes_metadata).zip(sum(|sample| sample.bytes_stored));
    let seconds = || samples.iter().map(|sample| sample.usage.seconds);
    Row {
        runs: samples.len(),
        seconds: float(|sample| sample.usage.seconds),
        seconds_min: seconds().reduce(f64::min),
        seconds_max: seconds().reduce(f64::max),
        cpu_seconds: float(|sample| sample.usage.cpu_seconds),
        peak_rss_bytes: samples.iter().map(|sample| sample.usage.peak_rss_bytes).max(),
        bytes_read: whole(|sample| sample.bytes_read),
        bytes_changed: whole(|sample| sample.bytes_changed),
        bytes_added: whole(|sample| sample.bytes_added),
        bytes_metadata: whole(|sample| sample.bytes_metadata),
        metadata_share: share
            .filter(|(_, stored)| *stored > 0)
            .map(|(metadata, stored)| metadata as f64 / stored as f64),
        requests: whole(|sample| sample.requests),
        added_per_changed: sum(|sample| sample.bytes_added)
            .zip(sum(|sample| sample.bytes_changed))
            .filter(|(_, changed)| *changed > 0)
            .map(|(added, changed)| added as f64 / changed as f64),
        packs_bytes: samples.last().and_then(|sample| sample.packs_bytes),
        ..Row::default()
    }
}

/// Phases in the order in which they happen, Holdfast before its peers before the references.
fn rank(phase: &str, tool: &str) -> (usize, usize) {
    let place = |order: &[&str], name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
    (place(&PHASES, phase), place(&["holdfast", "restic", "borg", "rustic"], tool))
}

fn add_restore(row: &mut Row, samples: &Samples, (tool, phase): (&str, &str)) {
    let restore = medians(samples.of(tool, phase));
    row.restore_requests = restore.requests;
    row.runs = row.runs.max(restore.runs);
    row.restore_seconds = restore.seconds;
    row.durable_seconds = medians(samples.of(tool, "durable")).seconds;
    row.restore_cpu_seconds = restore.cpu_seconds;
    row.restore_peak_rss_bytes = restore.peak_rss_bytes;
    row.check_seconds = medians(samples.of(tool, "check")).seconds;
}

fn shown<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

fn row_table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "workload",
        "phase",
        "tool",
        "runs",
        "seconds",
        "CPU s",
        "peak RSS",
        "read",
        "changed",
        "added",
        "metadata",
        "requests",
        "restore s",
        "on disk s",
        "restore RSS",
        "check s",
    ]);
    let seconds = |value: Option<f64>| shown(value, |value| format!("{value:.2}"));
    for row in rows.iter().filter(|row| row.note.is_none()) {
        let bytes = |value: Option<u64>| shown(value, quantity::bytes);
        table.row([
            row.workload.clone(),
            row.phase.clone(),
            row.tool.clone(),
            row.runs.to_string(),
            seconds(row.seconds),
            seconds(row.cpu_seconds),
            bytes(row.peak_rss_bytes),
            bytes(row.bytes_read),
            bytes(row.bytes_changed),
            bytes(row.bytes_added),
            shown(row.metadata_share, |share| format!("{:.1} %", share * 100.0)),
            shown(row.requests, |count| count.to_string()),
            seconds(row.restore_seconds),
            seconds(row.durable_seconds),
            bytes(row.restore_peak_rss_bytes),
            seconds(row.check_seconds),
        ]);
    }
    table
}

/// Each peer's numbers divided by Holdfast's: above 1 Holdfast needs less.
fn ratio_table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "workload",
        "phase",
        "tool",
        "seconds",
        "CPU s",
        "peak RSS",
        "read",
        "added",
        "restore s",
        "on disk s",
        "check s",
    ]);
    for row in rows.iter().filter(|row| row.tool != "holdfast" && row.note.is_none()) {
        let Some(own) =
            rows.iter().find(|own| own.tool == "holdfast" && own.workload == row.workload && own.phase == row.phase)
        else {
            continue;
        };
        let float = |field: fn(&Row) -> Option<f64>| times(field(row), field(own));
        let whole = |field: fn(&Row) -> Option<u64>| {
            times(field(row).map(|value| value as f64), field(own).map(|value| value as f64))
        };
        table.row([
            row.workload.clone(),
            row.phase.clone(),
            row.tool.clone(),
            float(|row| row.seconds),
            float(|row| row.cpu_seconds),
            whole(|row| row.peak_rss_bytes),
            whole(|row| row.bytes_read),
            whole(|row| row.bytes_added),
            float(|row| row.restore_seconds),
            float(|row| row.durable_seconds),
            float(|row| row.check_seconds),
        ]);
    }
    table
}

fn times(peer: Option<f64>, own: Option<f64>) -> String {
    let ratio = peer.zip(own).filter(|(_, own)| *own > 0.0).map(|(peer, own)| peer / own);
    shown(ratio, |ratio| if ratio >= 100.0 { format!("{ratio:.0}x") } else { format!("{ratio:.2}x") })
}

#[cfg(test)]
mod tests;
