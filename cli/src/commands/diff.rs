//! `diff`: what differs between two restore points.
//!
//! In: two points. Out: every path that only one of them has, or that differs, directory by directory. Never: shows content.

use std::io::{self, Write};

use repository::read::{self, Changes, Difference, Found};
use repository::source::FileType;
use serde::Serialize;

use super::entry::Facts;
use super::point::{self, OfVolume};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::output::{Path, Rows};

/// What is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The earlier restore point
    #[arg(value_name = "POINT")]
    before: String,
    /// The later one
    #[arg(value_name = "POINT")]
    after: String,
    #[command(flatten)]
    volume: OfVolume,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    /// Only the later point has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// It is another kind of thing.
    Type,
    /// Its content, link target or device number differs; its metadata may too.
    Content,
    /// Only mode, owner, time or extended attributes differ.
    Metadata,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    path: Path,
    change: Change,
    before: Option<Facts>,
    after: Option<Facts>,
    #[serde(skip)]
    is_directory: bool,
}

/// Compares.
pub(crate) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let domain = context.domain_to_read()?;
    let before = point::open(&domain, &options.volume, &options.before)?;
    let after = point::open(&domain, &options.volume, &options.after)?;
    let mut rows = context.output.rows();
    let mut unprinted = None;
    let compared = read::diff(&before, &after, &mut |names, difference| {
        push(&mut rows, Row::new(Path::new(names), &difference)).map_err(|failure| {
            unprinted = Some(failure);
            repository::Error::Cancelled
        })
    });
    match unprinted {
        Some(failure) => return Err(failure),
        None => compared?,
    }
    rows.finish()?;
    Ok(Exit::Done)
}

fn push(rows: &mut Rows, row: Row) -> Result<(), Failure> {
    rows.push(&row, |out| row.line(out))
}

impl Row {
    fn new(path: Path, difference: &Difference) -> Row {
        let (change, before, after) = match difference {
            Difference::Added(after) => (Change::Added, None, Some(after)),
            Difference::Removed(before) => (Change::Removed, Some(before), None),
            Difference::Type { before, after } => (Change::Type, Some(before), Some(after)),
            Difference::Changed { before, after, changes: Changes { content: true, .. } } => {
                (Change::Content, Some(before), Some(after))
            }
            Difference::Changed { before, after, .. } => (Change::Metadata, Some(before), Some(after)),
        };
        let is_directory = after.or(before).is_some_and(|found: &Found| found.file_type == FileType::Directory);
        Row { path, change, before: before.map(Facts::new), after: after.map(Facts::new), is_directory }
    }

    fn line(&self, out: &mut dyn Write) -> io::Result<()> {
        let sign = match self.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Type => 'T',
            Change::Content => 'M',
            Change::Metadata => 'm',
        };
        writeln!(out, "{sign} {}{}", self.path, if self.is_directory { "/" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use repository::tree::Inode;

    use super::*;

    #[test]
    fn each_difference_has_its_word_and_its_sign() {
        let found = |file_type| Found { node: 2, file_type, inode: Inode::default() };
        let (file, directory) = (found(FileType::Regular), found(FileType::Directory));
        let changed = |content| Difference::Changed {
            before: file.clone(),
            after: file.clone(),
            changes: Changes { content, metadata: true },
        };
        for (difference, expected) in [
            (Difference::Added(directory.clone()), ("added", "+ a/\n")),
            (Difference::Removed(file.clone()), ("removed", "- a\n")),
            (Difference::Type { before: file.clone(), after: directory.clone() }, ("type", "T a/\n")),
            (changed(true), ("content", "M a\n")),
            (changed(false), ("metadata", "m a\n")),
        ] {
            let row = Row::new(Path(b"a".to_vec()), &difference);
            let mut line = Vec::new();
            row.line(&mut line).unwrap();
            let json = serde_json::to_value(&row).unwrap();
            assert_eq!((json["change"].as_str().unwrap(), std::str::from_utf8(&line).unwrap()), expected);
            assert_eq!(json["before"].is_null(), matches!(difference, Difference::Added(_)));
            assert_eq!(json["after"].is_null(), matches!(difference, Difference::Removed(_)));
        }
    }
}
