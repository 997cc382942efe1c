//! Selection: which volumes are backed up, and why the others are not.
//!
//! In: a snapshot of the node. Out: names and places, and a line for each that is left out. Never: takes what must never be taken, or one that should be mounted and is not.

use std::path::PathBuf;

use crate::discovery::Snapshot;
use crate::discovery::layout::Taking;
use crate::discovery::listing::Kind;
use crate::discovery::snapshot::{State, Volume};
use crate::text::escape;

/// The volumes of this node.
pub(super) struct Selection {
    /// Name, place, and whether something has to be mounted there.
    pub(super) taken: Vec<(String, PathBuf, bool)>,
    /// A line for each of the others.
    pub(super) left_out: Vec<String>,
    /// How many of them should have been taken.
    pub(super) problems: usize,
}

/// Chooses.
pub(super) fn select(snapshot: &Snapshot, opt_in: bool) -> Selection {
    let mut selection = Selection { taken: Vec::new(), left_out: Vec::new(), problems: snapshot.problems.len() };
    selection
        .left_out
        .extend(snapshot.problems.iter().map(|problem| format!("problem: {}", escape(problem.to_string().as_bytes()))));
    for volume in snapshot.volumes.values() {
        let name = volume.key.identity.to_string();
        match place_of(volume, opt_in) {
            Ok((path, is_mount)) => selection.taken.push((name, path, is_mount)),
            Err((why, is_problem)) => {
                selection.problems += usize::from(is_problem);
                selection.left_out.push(format!("{}: not taken: {}", escape(name.as_bytes()), escape(why.as_bytes())));
            }
        }
    }
    selection
}

/// Where to read a volume, or why it is not read, and whether that is as it should be.
fn place_of(volume: &Volume, opt_in: bool) -> Result<(PathBuf, bool), (String, bool)> {
    match volume.taking {
        Taking::Never(why) => return Err((why.to_owned(), false)),
        Taking::OptIn(why) if !opt_in => return Err((format!("{why} (--opt-in takes it)"), false)),
        Taking::OptIn(_) | Taking::Taken => {}
    }
    if let Some(problem) = &volume.problem {
        return Err((problem.to_string(), true));
    }
    match volume.place() {
        None => Err(("it has no place".to_owned(), true)),
        Some(place) => match &place.state {
            State::Mounted(_) => Ok((place.path.clone(), volume.key.kind == Kind::Filesystem)),
            State::Directory => Ok((place.path.clone(), false)),
            State::Unmounted => Err(("it is not mounted".to_owned(), true)),
            State::Unknown => Err(("whether it is mounted could not be found out".to_owned(), true)),
        },
    }
}
