//! `find`: files by name, in all restore points.
//!
//! In: a pattern. Out: every entry that matches, with the point that has it, oldest point first. Never: content.

use repository::read::{self, View};
use serde::Serialize;

use super::entry::EntryRow;
use super::point::{self, OfVolume};
use super::points::report_unreadable;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{Path, Rows, escape};

/// What is looked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `*`, `?`, `[a-z]`, `{one,other}`, and `**` for any directories. Without a `/` it is compared with names, otherwise with whole paths
    glob: String,
    /// Only in this restore point
    #[arg(long)]
    point: Option<String>,
    #[command(flatten)]
    volume: OfVolume,
}

#[derive(Serialize)]
struct Row<'a> {
    point: &'a str,
    volume: &'a str,
    #[serde(flatten)]
    entry: EntryRow,
}

/// Finds entries.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    fast_glob::validate(&options.glob)
        .map_err(|error| Failure::Usage(format!("{:?} is not a pattern: {error}", options.glob)))?;
    let domain = context.domain_to_read()?;
    let mut rows = context.output.rows();
    if let Some(text) = &options.point {
        find(&point::open(&domain, &options.volume, text)?, &options.glob, &mut rows)?;
        rows.finish()?;
        return Ok(Exit::Done);
    }
    let list = read::points(&domain, options.volume.name.as_deref())?;
    for point in list.points.iter().filter(|point| !point.checkpoint) {
        let view = View::open(&domain, point.id, read::WINDOW_BYTES_DEFAULT)?;
        find(&view, &options.glob, &mut rows)?;
    }
    rows.finish()?;
    Ok(report_unreadable(context, &list.unreadable))
}

fn find(view: &View, glob: &str, rows: &mut Rows) -> Result<(), Failure> {
    let point = view.id().session.to_string();
    let volume = &view.description().volume.name;
    for visited in view.walk(&view.root()?)? {
        let visited = visited?;
        let path = Path::new(&visited.path);
        if !matches(glob, &path.0) {
            continue;
        }
        let row = Row { point: &point, volume, entry: EntryRow::new(path, &visited.found) };
        rows.push(&row, |out| {
            write!(out, "{point} {}: ", escape(volume.as_bytes()))?;
            row.entry.line(out)
        })?;
    }
    Ok(())
}

/// Whether a path, its names joined by `/`, is looked for.
fn matches(glob: &str, path: &[u8]) -> bool {
    if glob.contains('/') {
        return fast_glob::glob_match(glob.trim_start_matches('/'), path);
    }
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    fast_glob::glob_match(glob, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_about_names_and_one_with_a_slash_about_paths() {
        for (glob, path, expected) in [
            ("*.sql", &b"a/b/dump.sql"[..], true),
            ("*.sql", b"a.sql/b", false),
            ("a/*.sql", b"a/dump.sql", true),
            ("a/*.sql", b"a/b/dump.sql", false),
            ("/a/**/*.sql", b"a/b/c/dump.sql", true),
            ("?.{txt,md}", b"x/b.md", true),
            ("[a-c]*", b"x/dog", false),
            ("*", b"\xff\xfe", true),
            ("caf\u{e9}", "caf\u{e9}".as_bytes(), true),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path:?}");
        }
    }
}
