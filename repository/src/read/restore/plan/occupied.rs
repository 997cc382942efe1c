//! Occupied: what stands in the target where something is to be made, and what the restore point has not.
//!
//! In: names. Out: leave to make them, or a refusal that names what is in the way. Never: removes anything that was not asked for, or on a dry run.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use crate::Error;
use crate::read::path::{PathBytes, display_path};
use crate::read::view::Child;
use crate::source::{FileType, Names, Stat};
use crate::target::TargetError;

use super::Planner;

/// So many conflicts are named before giving up.
const CONFLICTS_NAMED_MAX: usize = 3;

impl Planner<'_, '_> {
    /// Before anything is written: no name that will be made exists already, unless existing files are to be changed in place.
    ///
    /// An empty directory is not in the way of a directory: there is nothing in it to lose, and a new ext4 filesystem has `lost+found`, as the restored one had.
    pub(super) fn refuse_existing(&self, children: impl Iterator<Item = Result<Child, Error>>) -> Result<(), Error> {
        let target = self.engine.target;
        if self.engine.options.in_place {
            return Ok(());
        }
        let mut conflicts = Vec::new();
        if target.is_single_file() {
            // A device has no allocated blocks of its own; overwriting one is what naming it asks for.
            if target.stat(&[])?.is_some_and(|stat| stat.blocks > 0) {
                conflicts.push("the file".to_owned());
            }
        } else {
            let existing = target.names(&[])?;
            let existing: HashSet<&[u8]> = existing.iter().collect();
            for child in children {
                let child = match child {
                    // What cannot be read cannot be in the way: it is not restored either.
                    Err(error) if self.engine.skips(&error) => break,
                    child => child?,
                };
                if existing.contains(child.name.as_slice()) && !self.is_made_already(&child)? {
                    conflicts.push(display_path([child.name.as_slice()]));
                }
                if conflicts.len() > CONFLICTS_NAMED_MAX {
                    break;
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        let more = if conflicts.len() > CONFLICTS_NAMED_MAX { " and more" } else { "" };
        conflicts.truncate(CONFLICTS_NAMED_MAX);
        Err(Error::Invalid(format!(
            "{}{more} exists in the target already and nothing was written; restore into an empty place, or in place (--in-place), which also continues an interrupted restore",
            conflicts.join(", ")
        )))
    }

    /// True for a directory where an empty one stands.
    fn is_made_already(&self, child: &Child) -> Result<bool, Error> {
        let (target, path) = (self.engine.target, [child.name.as_slice()]);
        let is_directory = |stat: Option<Stat>| stat.is_some_and(|stat| stat.file_type == FileType::Directory);
        Ok(child.found.file_type == FileType::Directory
            && is_directory(target.stat(&path)?)
            && target.names(&path).is_ok_and(|names| names.is_empty()))
    }

    /// Removes what the restore point has not; a dry run only counts it.
    pub(super) fn remove(&self, path: &PathBytes) -> Result<(), Error> {
        let (target, options) = (self.engine.target, self.engine.options);
        if !options.dry_run
            && let Err(error) = target.remove(&path.names())
        {
            return self.engine.refused(path.display(), error);
        }
        options.progress.entries_removed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What the target has in a directory, to be removed unless the restore point has it too.
    pub(super) fn extra_names(&self, path: &PathBytes) -> Result<BTreeSet<Vec<u8>>, Error> {
        let (target, options) = (self.engine.target, self.engine.options);
        if !options.remove_extra {
            return Ok(BTreeSet::new());
        }
        let names = match options.dry_run {
            true => self.names_if_directory(path),
            false => target.names(&path.names()),
        };
        match names {
            Ok(names) => Ok(names.iter().map(<[u8]>::to_vec).collect()),
            Err(error) => {
                self.engine.refused(path.display(), error)?;
                Ok(BTreeSet::new())
            }
        }
    }

    /// On a dry run a directory of the restore point may not exist, or something else stands there.
    fn names_if_directory(&self, path: &PathBytes) -> Result<Names, TargetError> {
        let target = self.engine.target;
        match target.stat(&path.names())? {
            Some(stat) if stat.file_type == FileType::Directory => target.names(&path.names()),
            _ => Ok(Names::default()),
        }
    }

    /// Makes a directory, or finds it there; what stands in its way is removed if that was asked for.
    pub(super) fn made_directory(&self, path: &PathBytes) -> Result<(), TargetError> {
        let target = self.engine.target;
        match target.make_directory(&path.names()) {
            Err(TargetError::Occupied { .. }) if self.engine.options.remove_extra => {
                target.remove(&path.names())?;
                target.make_directory(&path.names())
            }
            made => made,
        }
    }

    /// What stands where an entry should go; a directory in the way is removed if that was asked for.
    pub(super) fn existing(&self, path: &PathBytes) -> Result<Option<Stat>, TargetError> {
        let (target, options) = (self.engine.target, self.engine.options);
        if !options.in_place {
            return Ok(None);
        }
        let Some(stat) = target.stat(&path.names())? else { return Ok(None) };
        if stat.file_type != FileType::Directory {
            return Ok(Some(stat));
        }
        if options.remove_extra && !options.dry_run {
            target.remove(&path.names())?;
            return Ok(None);
        }
        Err(TargetError::Occupied { what: path.display(), why: "a directory stands there".into() })
    }
}
