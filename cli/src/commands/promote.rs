//! `promote`: a replica becomes a repository of its own.
//!
//! In: a replica. Out: the same place, which takes backups from now on and no more copies. Never: can be taken back.

use repository::upkeep;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;

#[derive(Serialize)]
struct Report {
    repository: String,
    location: String,
    /// False: it was before.
    promoted: bool,
}

/// Promotes.
pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    // Only who can open it: an address that is wrong shows here.
    let opened = context.open()?;
    let promoted = upkeep::promote(&opened.store)?;
    let report =
        Report { repository: opened.repository.id().to_string(), location: context.location()?.to_string(), promoted };
    context.output.value(&report, |out| {
        let what = if promoted { "is a repository of its own from now on" } else { "was promoted before" };
        writeln!(
            out,
            "{} {what}: nothing is replicated into it any more, and backups may be made into it",
            report.location
        )
    })?;
    Ok(Exit::Done)
}
