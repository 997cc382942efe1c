//! `undelete`: a restore point that was forgotten is shown again.
//!
//! In: a hidden restore point. Out: the id under which its content is shown from now on. Never: takes a mark back: a collector may have decided already.

use repository::read;
use repository::upkeep::{Undeleted, undelete};
use serde::Serialize;

use super::point::OfVolume;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;

/// Which is shown again.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The restore point: its id or the beginning of it; `points --all` lists hidden ones
    #[arg(value_name = "POINT")]
    point: String,
    #[command(flatten)]
    volume: OfVolume,
}

#[derive(Serialize)]
struct Report {
    hidden: String,
    point: String,
}

/// Shows a hidden point again.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let keeper = context.keeper()?;
    let (domain, volume) = (keeper.domain(), options.volume.name.as_deref());
    let id = read::resolve(domain, volume, &options.point)?;
    let listed = read::points_with_hidden(domain, volume)?;
    if !listed.points.iter().any(|point| point.id == id && point.hidden) {
        return Err(Failure::Usage(format!(
            "restore point {} is not hidden: there is nothing to undelete",
            id.session
        )));
    }
    let writer = format!("{} (pid {}), undelete", context.host, std::process::id());
    let Undeleted { hidden, point } = undelete(&keeper, id, &writer)?;
    let report = Report { hidden: hidden.session.to_string(), point: point.session.to_string() };
    context.output.value(&report, |out| {
        writeln!(out, "the content of {} is restore point {} from now on", report.hidden, report.point)
    })?;
    Ok(Exit::Done)
}
