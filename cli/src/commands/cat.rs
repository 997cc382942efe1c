//! `cat`: one file of a restore point on standard output.
//!
//! In: a point and a path. Out: the file's bytes, whatever `--output` says. Never: a byte that was not verified.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use repository::read::{self, CatError, split_path};

use super::point::{self, OfVolume};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;

/// Which file.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The restore point
    point: String,
    /// The file in it
    path: OsString,
    #[command(flatten)]
    volume: OfVolume,
}

/// Prints the file.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let domain = context.domain_to_read()?;
    let view = point::open(&domain, &options.volume, &options.point)?;
    let mut out = io::stdout().lock();
    let printed = read::cat(&view, &split_path(options.path.as_bytes()), &mut out);
    printed.map_err(|error| match error {
        CatError::Read(error) => error.into(),
        CatError::Output(error) => Failure::from(error),
    })?;
    out.flush()?;
    Ok(Exit::Done)
}
