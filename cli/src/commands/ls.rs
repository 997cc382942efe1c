//! `ls`: what is in a restore point.
//!
//! In: a point and perhaps a path in it. Out: the entries of the directory, or the one entry. Never: content.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use repository::read::{self, View, split_path};
use repository::source::FileType;

use super::entry::EntryRow;
use super::point::{self, OfVolume};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{Path, Rows, escape};

/// What is listed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The restore point
    point: String,
    /// A path in it [default: its root]
    path: Option<OsString>,
    /// Also everything below
    #[arg(short = 'R', long)]
    recursive: bool,
    #[command(flatten)]
    volume: OfVolume,
}

/// Lists entries.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let path = options.path.as_deref().unwrap_or_default().as_bytes();
    let names = split_path(path);
    let domain = context.domain_to_read()?;
    let view = point::open(&domain, &options.volume, &options.point)?;
    let found = view.lookup(&names)?;
    let mut rows = context.output.rows();
    if found.file_type != FileType::Directory {
        push(&mut rows, EntryRow::new(Path::new(&names), &found))?;
    } else if options.recursive {
        for visited in view.walk(&found)? {
            let visited = visited?;
            let path = names.iter().map(|name| name.to_vec()).chain(visited.path).collect::<Vec<_>>();
            push(&mut rows, EntryRow::new(Path::new(&path), &visited.found))?;
        }
    } else {
        for child in view.entries(found.node)? {
            let child = child?;
            let path = [&names[..], &[&child.name]].concat();
            push(&mut rows, EntryRow::new(Path::new(&path), &child.found))?;
        }
        tell_missed(context, &view, (&names, found.node))?;
    }
    rows.finish()?;
    Ok(Exit::Done)
}

fn push(rows: &mut Rows, row: EntryRow) -> Result<(), Failure> {
    rows.push(&row, |out| row.line(out))
}

/// What was not captured is no entry, but whoever looks should know.
fn tell_missed(context: &Context, view: &View, (names, directory): (&[&[u8]], u64)) -> Result<(), Failure> {
    for missed in view.missed(directory)? {
        let (name, missed) = missed?;
        let path = read::display_path(names.iter().copied().chain([&name[..]]));
        context.output.note(&format!("{path} was not captured: {}", escape(missed.why.as_bytes())));
    }
    Ok(())
}
