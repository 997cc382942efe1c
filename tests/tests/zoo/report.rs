//! Report: all that `check` says of a repository at every level, as JSON; or why it cannot be opened.
//!
//! In: objects. Out: the report without what depends on the machine. Never: judges.

use repository::Error;
use repository::domain::Domain;
use repository::layout::NeededBy;
use repository::read::{CheckLevel, CheckOptions, CheckReport, check};
use repository::tree::PackId;
use serde_json::{Value, json};

use super::golden::{Golden, Objects};

/// What is said of these objects.
pub(crate) fn of(golden: &Golden, objects: Objects) -> Value {
    let store = golden.store(&objects);
    let (opened, domain) = match golden.domain(&store) {
        Ok(opened) => opened,
        Err(error) => return json!({"opened": failure(&error)}),
    };
    let refused = |needed_by| opened.features.check(needed_by).err().map(|error| failure(&error.into()));
    let at = |level| match check(&domain, &CheckOptions { level, workers: 1, ..CheckOptions::default() }) {
        Ok(report) => of_report(&domain, &report),
        Err(error) => failure(&error),
    };
    json!({
        "opened": null,
        "write": refused(NeededBy::Write),
        "collect": refused(NeededBy::Collect),
        "objects": at(CheckLevel::Objects),
        "structure": at(CheckLevel::Structure),
        "data": at(CheckLevel::Data),
    })
}

fn failure(error: &Error) -> Value {
    json!({"class": format!("{:?}", error.class()), "error": error.to_string()})
}

fn of_report(domain: &Domain, report: &CheckReport) -> Value {
    let name = |pack: &PackId| domain.pack_name(*pack);
    let affected = report.affected.iter().map(|one| {
        json!({
            "point": one.point.session.to_string(),
            "volume": one.volume,
            "paths": one.paths,
            "paths_count": one.paths_count,
        })
    });
    let unannounced = report
        .unannounced
        .iter()
        .map(|one| json!({"point": one.point.session.to_string(), "volume": one.volume, "what": one.what}));
    json!({
        "outcome": report.outcome,
        "damaged": report.damaged,
        "affected": affected.collect::<Vec<_>>(),
        "transient": report.transient,
        "ignored": report.ignored,
        "ignored_count": report.ignored_count,
        "unannounced": unannounced.collect::<Vec<_>>(),
        "sessions_running": report.sessions_running,
        "quarantined": report.quarantined.iter().map(name).collect::<Vec<_>>(),
        "to_quarantine": report.to_quarantine.iter().map(name).collect::<Vec<_>>(),
        "released": report.released.iter().map(|released| name(&released.pack)).collect::<Vec<_>>(),
        "points": report.points,
        "packs": report.packs,
        "tables": report.tables,
        "rows": report.rows,
        "packs_not_needed": report.packs_not_needed,
        "unknown_objects": report.unknown_objects,
    })
}
