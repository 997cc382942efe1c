//! Targets: what the numbers must reach.
//!
//! In: rows of one run. Out: a table of target, measured value, limit and whether it is met. Never: says met for what was not measured.

use super::report::Row;
use crate::{quantity, table::Table};

const MIB: u64 = 1 << 20;
const OWN: &str = "holdfast";
const PEERS: [&str; 3] = ["restic", "borg", "rustic"];

/// A measured value against its limit.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    name: String,
    measured: Option<f64>,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.limit {
            Limit::AtMost(limit) => measured <= limit,
            Limit::AtLeast(limit) => measured >= limit,
        })
    }
}

/// All targets against these rows.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["target", "measured", "limit", "met"]);
    for target in targets(rows) {
        let limit = match target.limit {
            Limit::AtMost(limit) => format!("at most {}", number(limit)),
            Limit::AtLeast(limit) => format!("at least {}", number(limit)),
        };
        let met = target.met().map_or("not measured", |met| if met { "yes" } else { "NO" });
        table.row([target.name, target.measured.map_or_else(|| "-".to_owned(), number), limit, met.to_owned()]);
    }
    table
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let find = |workload: &str, phase: &str, tool: &str| {
        rows.iter().find(|row| row.workload == workload && row.phase == phase && row.tool == tool)
    };
    let own = |workload: &str, phase: &str| find(workload, phase, OWN);
    let best = |workload: &str, phase: &str, field: fn(&Row) -> Option<f64>| {
        PEERS.iter().filter_map(|peer| find(workload, phase, peer).and_then(field)).reduce(f64::min)
    };
    let over = |top: Option<f64>, bottom: Option<f64>| {
        top.zip(bottom).filter(|(_, bottom)| *bottom > 0.0).map(|(top, bottom)| top / bottom)
    };
    let seconds = |row: &Row| row.seconds;
    let cpu = |row: &Row| row.cpu_seconds;
    let restore = |row: &Row| row.restore_seconds;
    let mut targets = Vec::new();
    let mut target = |name: &str, measured: Option<f64>, limit: Limit| {
        targets.push(Target { name: name.to_owned(), measured, limit })
    };

    let increment = own("db", "increment");
    let [added, changed] = [increment.and_then(|row| row.bytes_added), increment.and_then(|row| row.bytes_changed)];
    let as_float = |value: Option<u64>| value.map(|value| value as f64);
    target("db increment: bytes added / bytes changed", over(as_float(added), as_float(changed)), Limit::AtMost(0.65));
    for (workload, limit) in [("db", 0.05), ("small", 0.25)] {
        let share = own(workload, "cycle").and_then(|row| row.metadata_share);
        target(&format!("{workload} cycle: metadata / bytes added"), share, Limit::AtMost(limit));
    }
    let idle = own("nochange", "increment");
    let idle_ratio = over(idle.and_then(seconds), best("nochange", "increment", seconds));
    target("no change: seconds / fastest peer's", idle_ratio, Limit::AtMost(0.5));
    target("no change: requests", as_float(idle.and_then(|row| row.requests)), Limit::AtMost(10.0));
    target("no change: bytes added", as_float(idle.and_then(|row| row.bytes_added)), Limit::AtMost(4095.0));
    let full = own("db", "full");
    target(
        "db full: cheapest peer's CPU seconds / ours",
        over(best("db", "full", cpu), full.and_then(cpu)),
        Limit::AtLeast(1.5),
    );
    let zstd = find("db", "full", "zstd -1").and_then(seconds);
    target("db full: seconds of zstd -1 alone / ours", over(zstd, full.and_then(seconds)), Limit::AtLeast(0.75));
    let small = over(best("small", "full", seconds), own("small", "full").and_then(seconds));
    target("small full: fastest peer's seconds / ours", small, Limit::AtLeast(2.0));
    for workload in ["db", "small"] {
        let ratio = over(best(workload, "increment", restore), own(workload, "increment").and_then(restore));
        target(&format!("{workload} restore: fastest peer's seconds / ours"), ratio, Limit::AtLeast(2.0));
    }
    let copy = over(find("db", "increment", "cp").and_then(restore), increment.and_then(restore));
    target("db restore: seconds of cp / ours", copy, Limit::AtLeast(0.7));
    targets.extend(in_a_row(rows));
    targets.extend(everywhere(rows));
    targets
}

/// What many increments in one repository may cost.
fn in_a_row(rows: &[Row]) -> Vec<Target> {
    let own = |workload: &str, phase: &str| {
        rows.iter().find(|row| row.workload == workload && row.phase == phase && row.tool == OWN)
    };
    let [full, first, series, last, collected, clone] =
        ["full", "first", "series", "last", "collected", "clone"].map(|phase| own("increments", phase));
    let runs = series.map_or(0, |row| row.runs);
    // The data stay as large as they were, so the full says what lives.
    let live = full.and_then(|row| row.bytes_added);
    let over = |top: Option<f64>, bottom: Option<f64>| top.zip(bottom).map(|(top, bottom)| top / bottom);
    let kept = collected.and_then(|row| row.packs_bytes);
    let targets = [
        (
            format!("{runs} increments: bytes added / bytes changed"),
            series.and_then(|row| row.added_per_changed),
            if runs > 100 { 0.85 } else { 0.75 },
        ),
        (
            format!("{runs} increments: restore of the last / of the first, seconds"),
            over(last.and_then(|row| row.restore_seconds), first.and_then(|row| row.restore_seconds)),
            1.5,
        ),
        (
            format!("{runs} increments, only the newest kept, collected: bytes stored / live bytes"),
            over(kept.map(|bytes| bytes as f64), live.map(|bytes| bytes as f64)),
            2.1,
        ),
        (
            "a near-identical clone: bytes added / bytes that differ".to_owned(),
            clone.and_then(|row| row.added_per_changed),
            0.75,
        ),
        (
            format!("{} appends: requests of a restore", own("appends", "series").map_or(0, |row| row.runs)),
            own("appends", "last").and_then(|row| row.restore_requests).map(|requests| requests as f64),
            300.0,
        ),
    ];
    // They run only when asked for: where nobody did, there is nothing to say.
    let measured = targets.into_iter().filter(|(_, measured, _)| measured.is_some());
    measured.map(|(name, measured, limit)| Target { name, measured, limit: Limit::AtMost(limit) }).collect()
}

/// What holds for every workload: memory, and requests of a full.
fn everywhere(rows: &[Row]) -> [Target; 2] {
    let ours = || rows.iter().filter(|row| row.tool == OWN);
    let peak = ours().flat_map(|row| [row.peak_rss_bytes, row.restore_peak_rss_bytes]).flatten().max();
    let fulls = ours().filter(|row| row.phase == "full");
    let surplus =
        fulls.filter_map(|row| Some(row.requests? as f64 - (row.bytes_added? / (24 * MIB)) as f64)).reduce(f64::max);
    [
        Target {
            name: format!("peak RSS anywhere, MiB ({})", peak.map_or_else(|| "-".to_owned(), quantity::bytes)),
            measured: peak.map(|peak| peak as f64 / MIB as f64),
            limit: Limit::AtMost(192.0),
        },
        Target {
            name: "full: requests - bytes added / 24 MiB".to_owned(),
            measured: surplus,
            limit: Limit::AtMost(10.0),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: &str, phase: &str, tool: &str) -> Row {
        Row { workload: workload.to_owned(), phase: phase.to_owned(), tool: tool.to_owned(), ..Row::default() }
    }

    fn met(rows: &[Row], name: &str) -> Option<bool> {
        let targets = targets(rows);
        targets.iter().find(|target| target.name.starts_with(name)).unwrap_or_else(|| panic!("no target {name}")).met()
    }

    #[test]
    fn nothing_is_met_without_a_measurement() {
        assert!(targets(&[]).iter().all(|target| target.met().is_none()));
        let alone = [Row { seconds: Some(1.0), ..row("nochange", "increment", OWN) }];
        assert_eq!(met(&alone, "no change: seconds"), None, "there is no peer to be faster than");
    }

    #[test]
    fn the_fastest_peer_counts() {
        let timed = |tool: &str, seconds| Row { seconds: Some(seconds), ..row("nochange", "increment", tool) };
        assert_eq!(met(&[timed(OWN, 2.0), timed("restic", 9.0), timed("borg", 4.0)], "no change: seconds"), Some(true));
        assert_eq!(
            met(&[timed(OWN, 2.0), timed("restic", 9.0), timed("borg", 3.0)], "no change: seconds"),
            Some(false)
        );
    }

    #[test]
    fn memory_is_judged_by_the_worst_row_and_ours_only() {
        let used =
            |tool: &str, mib: u64| Row { restore_peak_rss_bytes: Some(mib * MIB), ..row("db", "increment", tool) };
        assert_eq!(met(&[used(OWN, 100), used(OWN, 192), used("restic", 900)], "peak RSS"), Some(true));
        assert_eq!(met(&[used(OWN, 100), used(OWN, 193)], "peak RSS"), Some(false));
    }

    #[test]
    fn requests_of_a_full_grow_with_what_is_stored() {
        let full = |requests, mib: u64| Row {
            requests: Some(requests),
            bytes_added: Some(mib * MIB),
            ..row("db", "full", OWN)
        };
        assert_eq!(met(&[full(30, 480)], "full: requests"), Some(true));
        assert_eq!(met(&[full(30, 480), full(31, 480)], "full: requests"), Some(false));
    }
}
