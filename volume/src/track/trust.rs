//! Trust: what a restore point records for the next run.
//!
//! In: a plan and what came of it, or the record of the parent. Out: the record, or what it says. Never: fails on a record that it does not understand: then nothing
//! is known, and everything is read.

use repository::source::{Record, Walked};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::{FilesystemIdentity, Session};
use super::plan::{Asked, Handover, Known, Watching};
use super::scrub::{Pace, Visits};

/// What one run leaves for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trust {
    /// Counts the passes over everything: within one epoch, what was settled is believed.
    pub epoch: u64,
    /// When this run started, by the clock that stamps files; milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// How long the machine had been running then, sleep included.
    pub uptime_ms: Option<u64>,
    /// Where and since when the volume was mounted.
    pub session: Session,
    /// Which filesystem it is.
    pub filesystem: Option<FilesystemIdentity>,
    /// How the volume had come to this machine.
    pub handover: Option<Handover>,
    /// Whether the kernel's events had been heard.
    pub watching: Watching,
    /// The last pass over everything: when, as above, and why.
    pub full_pass: Option<FullPass>,
    /// Why the next run has to read everything.
    pub doubt: Option<String>,
    /// What was read again when.
    pub scrub: Visits,
}

/// A pass over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FullPass {
    /// When it started.
    pub wall_ms: i64,
    /// Why.
    pub why: String,
}

impl Trust {
    /// What a record says; `None` if it says nothing.
    pub fn of(record: &Record) -> Option<Trust> {
        if record.is_empty() {
            return None;
        }
        serde_json::from_value(Value::Object(record.clone())).ok()
    }

    /// As a record.
    pub fn to_record(&self) -> Record {
        match serde_json::to_value(self) {
            Ok(Value::Object(record)) => record,
            _ => Record::new(),
        }
    }

    /// What has to be known after a run that began with `recorded`.
    pub fn after(recorded: Option<&Trust>, now: &Known, asked: &Asked, pace: &Pace, walked: &Walked<'_>) -> Trust {
        let before = recorded.cloned().unwrap_or_default();
        let is_pass = recorded.is_none() || walked.full_pass.is_some();
        let doubt = if walked.silent_changes > 0 && !is_pass {
            Some(format!(
                "{} changed without a sign, found at the restore point before",
                if walked.silent_changes == 1 {
                    "a file".to_owned()
                } else {
                    format!("{} files", walked.silent_changes)
                }
            ))
        } else if walked.full_pass.is_some() && !walked.is_over {
            walked.full_pass.map(str::to_owned)
        } else {
            None
        };
        let is_complete = is_pass && walked.is_over;
        let full_pass =
            FullPass { wall_ms: now.wall_ms, why: walked.full_pass.unwrap_or("the first backup").to_owned() };
        let scrub = match walked.scrubbed_to {
            _ if is_complete || recorded.is_none() => Visits::all(now.wall_ms, walked.content_bytes),
            Some(reached) if !is_pass => before.scrub.after(pace, now.wall_ms, reached, walked),
            _ => before.scrub,
        };
        Trust {
            epoch: before.epoch + u64::from(is_complete),
            wall_ms: now.wall_ms,
            uptime_ms: now.uptime_ms,
            session: now.session.clone(),
            filesystem: now.filesystem.clone(),
            handover: asked.handover,
            watching: asked.watching,
            full_pass: if is_complete { Some(full_pass) } else { before.full_pass },
            doubt,
            scrub,
        }
    }
}
