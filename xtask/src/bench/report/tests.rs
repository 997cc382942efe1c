//! Tests of the arithmetic between samples and tables.

use super::*;

fn sample(seconds: f64, stored: u64, metadata: u64) -> Sample {
    let usage = Usage { seconds, cpu_seconds: 2.0 * seconds, peak_rss_bytes: (seconds * 100.0) as u64 };
    Sample {
        usage,
        bytes_added: Some(stored),
        bytes_stored: Some(stored),
        bytes_metadata: Some(metadata),
        ..Sample::default()
    }
}

#[test]
fn medians_ignore_one_bad_run_and_the_peak_does_not() {
    let row = medians(&[sample(1.0, 10, 1), sample(9.0, 30, 2), sample(2.0, 20, 3)]);
    assert_eq!((row.seconds, row.cpu_seconds, row.bytes_added), (Some(2.0), Some(4.0), Some(20)));
    assert_eq!((row.seconds_min, row.seconds_max, row.peak_rss_bytes), (Some(1.0), Some(9.0), Some(900)));
    assert_eq!(median([1.0, 4.0]), Some(2.5));
    assert_eq!(median([]), None);
}

#[test]
fn the_share_of_metadata_is_taken_over_all_runs_together() {
    let row = medians(&[sample(1.0, 100, 1), sample(1.0, 100, 19)]);
    assert_eq!(row.metadata_share, Some(0.1));
    assert_eq!(medians(&[sample(1.0, 0, 0)]).metadata_share, None, "nothing stored has no share");
    let unknown = Sample { bytes_metadata: None, ..sample(1.0, 100, 0) };
    assert_eq!(medians(&[unknown]).metadata_share, None, "a tool that does not tell has no share, not a good one");
}

#[test]
fn ratios_say_how_much_more_a_peer_needs() {
    let row = |tool: &str, seconds| Row {
        workload: "db".to_owned(),
        phase: "full".to_owned(),
        tool: tool.to_owned(),
        seconds: Some(seconds),
        ..Row::default()
    };
    let text = ratio_table(&[row("holdfast", 2.0), row("restic", 5.0)]).plain();
    assert!(text.lines().any(|line| line.contains("restic") && line.contains("2.50x")), "{text}");
    assert_eq!(times(Some(1.0), None), "-");
    assert_eq!(times(Some(1.0), Some(0.0)), "-");
}

#[test]
fn tables_replace_tables_and_nothing_else() {
    let document = format!("# Head\n\n{BEGIN}\nold\n{END}\n\nnotes\n");
    let renewed = with_tables(&document, "new").expect("the markers are there");
    assert_eq!(renewed, format!("# Head\n\n{BEGIN}\n\nnew\n{END}\n\nnotes\n"));
    assert_eq!(with_tables(&renewed, "new").as_deref(), Some(renewed.as_str()));
    assert_eq!(with_tables("no markers", "new"), None);
}

#[test]
fn what_was_not_measured_again_stays_with_its_day_and_commit() {
    let row = |workload: &str, seconds| Row {
        workload: workload.to_owned(),
        tool: "holdfast".to_owned(),
        seconds: Some(seconds),
        ..Row::default()
    };
    let report = |commit: &str, rows| Report {
        date: "2026-01-02".to_owned(),
        commit: commit.to_owned(),
        machine: "one".to_owned(),
        scale: 1.0,
        conditions: String::new(),
        rows,
    };
    let mut now = report("b", vec![row("logs", 1.0)]);
    now.keep(report("a", vec![row("logs", 9.0), row("db", 2.0)]));
    let kept: Vec<_> =
        now.rows.iter().map(|row| (row.workload.as_str(), row.seconds, row.measured.as_deref())).collect();
    assert_eq!(kept, [("db", Some(2.0), Some("2026-01-02, commit a")), ("logs", Some(1.0), None)]);
    assert_eq!(now.notes(), "- db: 2026-01-02, commit a\n");
    let mut elsewhere = Report { machine: "two".to_owned(), ..report("b", vec![row("logs", 1.0)]) };
    elsewhere.keep(report("a", vec![row("db", 2.0)]));
    assert_eq!(elsewhere.rows.len(), 1, "numbers of two machines do not belong into one table");
}
