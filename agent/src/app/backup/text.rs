//! Text: what became of each volume, for people.

use std::io::{self, Write};

use repository::point::Outcome as Captured;

use crate::text::escape;
use crate::worker::job::Event;
use crate::worker::supervise::{News, Outcome, Report};

/// So many of the things that a volume did not give are shown.
const SHOWN_MAX: usize = 20;

/// One report, if people want to see it.
pub(super) fn print(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let name = escape(report.volume.as_bytes());
    match &report.news {
        News::Event(Event::Ready { missing }) => {
            missing.iter().try_for_each(|missing| writeln!(out, "{name}: without {}", escape(missing.as_bytes())))
        }
        News::Event(_) => Ok(()),
        News::Ended(Outcome::Done(done)) => {
            let statistics = &done.statistics;
            writeln!(
                out,
                "{name}: restore point {}: {} entries, {} bytes read, {} changed, {} stored in {:.1} s",
                done.point,
                statistics.entries,
                statistics.bytes_read,
                statistics.bytes_changed,
                statistics.bytes_stored,
                statistics.seconds
            )?;
            if let Some(why) = &done.proof.full_pass {
                writeln!(out, "  everything was read: {}", escape(why.as_bytes()))?;
            }
            if done.proof.silent_changes > 0 {
                writeln!(
                    out,
                    "  ALARM: {} files changed although their stamps say nothing did",
                    done.proof.silent_changes
                )?;
            }
            if done.outcome == Captured::Partial {
                writeln!(out, "  PARTIAL: {} not captured:", done.missed)?;
            }
            done.not_captured.iter().take(SHOWN_MAX).try_for_each(|missed| {
                writeln!(out, "    {}: {}", escape(missed.path.as_bytes()), escape(missed.reason.as_bytes()))
            })
        }
        News::Ended(outcome) => writeln!(out, "{name}: {}", escape(outcome_text(outcome).as_bytes())),
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(failed) => format!("FAILED: {}", failed.why),
        Outcome::Hung { silent } => {
            format!("HUNG: it did not answer for {} s; its worker was killed", silent.as_secs())
        }
        Outcome::Died { how } => format!("FAILED: its worker died: {how}"),
        Outcome::Stopped => "stopped before its end; the next run goes on where it was".to_owned(),
        Outcome::TooSoon { wait } => format!("did not answer before; it is tried again in {} s", wait.as_secs()),
    }
}
