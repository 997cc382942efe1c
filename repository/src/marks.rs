//! Marks: what upkeep has said about sessions and restore points (docs/format.md, section 10).
//!
//! In: names that a store listed and the upkeep public key, or a mark to be made and the upkeep key. Out: the marks that count and those that do not, or the name of an
//! object to put. Never: reads or writes the store, or lets a mark count that upkeep did not sign for exactly this place.

use std::collections::BTreeMap;

use model::{DomainId, RepositoryId, SessionId, VolumeId};

use crate::keys::{KeyError, UpkeepKey, UpkeepPublic};
use crate::layout::{self, Mark, MarkRun, ParsedName, Signature};

/// What names are signed with: the repository, and which key says whether a signature is good.
#[derive(Clone, Copy, Debug)]
pub struct MarkVerifier {
    /// The repository.
    pub repository: RepositoryId,
    /// Its upkeep key.
    pub upkeep: UpkeepPublic,
}

/// The marks of one session or restore point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionMarks {
    marks: Vec<(Mark, MarkRun, String)>,
}

/// A name below `marks/` that is no mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMark {
    /// The name, at most 400 characters of it.
    pub name: String,
    /// Why it does not count.
    pub why: InvalidMarkReason,
}

/// Why a mark does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMarkReason {
    /// The name is not spelled like a mark.
    #[error("its name is not spelled like a mark")]
    Misspelled,
    /// It lies elsewhere.
    #[error("it is a mark of another domain or volume than was listed")]
    Elsewhere,
    /// The signature is not good.
    #[error("upkeep of this repository did not sign it")]
    NotSigned,
}

/// The marks of a volume, or of all volumes of a domain.
#[derive(Clone, Debug, Default)]
pub struct MarkSet {
    by_session: BTreeMap<(VolumeId, SessionId), SessionMarks>,
    invalid: Vec<InvalidMark>,
}

/// The name of the mark object to put: empty, its name says everything. `run` is fresh for every run of a collector.
pub fn mark_name(
    upkeep: (&UpkeepKey, RepositoryId),
    domain: DomainId,
    (volume, session): (VolumeId, SessionId),
    mark: Mark,
    run: MarkRun,
) -> Result<String, KeyError> {
    sign(upkeep, layout::unsigned_mark(domain, volume, session, mark, run))
}

/// The name of the object that says that a pack was found damaged.
pub fn damage_name(
    upkeep: (&UpkeepKey, RepositoryId),
    domain: DomainId,
    (session, sequence): (SessionId, u32),
    run: MarkRun,
) -> Result<String, KeyError> {
    sign(upkeep, layout::unsigned_damage(domain, session, sequence, run))
}

fn sign((upkeep, repository): (&UpkeepKey, RepositoryId), unsigned: String) -> Result<String, KeyError> {
    let signature = upkeep.sign(&message(repository, &unsigned))?;
    Ok(format!("{unsigned}.{signature}"))
}

fn message(repository: RepositoryId, unsigned: &str) -> Vec<u8> {
    [b"holdfast v1 mark\0", repository.0.as_slice(), unsigned.as_bytes()].concat()
}

impl MarkVerifier {
    /// True if upkeep of this repository signed this name, a mark's or a damage report's.
    pub fn verifies(&self, name: &ParsedName) -> bool {
        let (unsigned, signature): (String, &Signature) = match name {
            ParsedName::Mark { domain, volume, session, mark, run, signature } => {
                (layout::unsigned_mark(*domain, *volume, *session, *mark, *run), signature)
            }
            ParsedName::Damage { domain, session, sequence, run, signature } => {
                (layout::unsigned_damage(*domain, *session, *sequence, *run), signature)
            }
            _ => return false,
        };
        self.upkeep.verifies(&message(self.repository, &unsigned), signature)
    }
}

impl MarkSet {
    /// From the names that were listed below [`layout::volume_marks`] (`volume` given) or [`layout::marks`] (all volumes).
    pub fn from_listing<'a>(
        names: impl IntoIterator<Item = &'a str>,
        verifier: &MarkVerifier,
        domain: DomainId,
        volume: Option<VolumeId>,
    ) -> MarkSet {
        let mut set = MarkSet::default();
        for name in names {
            if let Err(why) = set.add(name, verifier, domain, volume) {
                set.invalid.push(InvalidMark { name: name.chars().take(400).collect(), why });
            }
        }
        set
    }

    fn add(
        &mut self,
        name: &str,
        verifier: &MarkVerifier,
        domain: DomainId,
        volume: Option<VolumeId>,
    ) -> Result<(), InvalidMarkReason> {
        let parsed = ParsedName::parse(name).map_err(|_| InvalidMarkReason::Misspelled)?;
        let ParsedName::Mark { domain: of_domain, volume: of_volume, session, mark, run, .. } = parsed else {
            return Err(InvalidMarkReason::Misspelled);
        };
        if of_domain != domain || volume.is_some_and(|volume| volume != of_volume) {
            return Err(InvalidMarkReason::Elsewhere);
        }
        if !verifier.verifies(&parsed) {
            return Err(InvalidMarkReason::NotSigned);
        }
        self.by_session.entry((of_volume, session)).or_default().marks.push((mark, run, name.to_owned()));
        Ok(())
    }

    /// The marks of one session of a volume.
    pub fn of(&self, volume: VolumeId, session: SessionId) -> &SessionMarks {
        const NONE: &SessionMarks = &SessionMarks { marks: Vec::new() };
        self.by_session.get(&(volume, session)).unwrap_or(NONE)
    }

    /// All sessions that have marks, in order.
    pub fn iter(&self) -> impl Iterator<Item = (VolumeId, SessionId, &SessionMarks)> {
        self.by_session.iter().map(|((volume, session), marks)| (*volume, *session, marks))
    }

    /// What was listed and does not count; to be reported.
    pub fn invalid(&self) -> &[InvalidMark] {
        &self.invalid
    }
}

impl SessionMarks {
    /// True if this mark was made.
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.iter().any(|(made, _, _)| *made == mark)
    }

    /// True if the restore point is not valid: dead or doomed.
    pub fn invalidates(&self) -> bool {
        self.has(Mark::Dead) || self.has(Mark::Doomed)
    }

    /// True if the restore point is valid but not shown.
    pub fn hides(&self) -> bool {
        self.has(Mark::Retired)
    }

    /// True if a running session must stop: aborted or dead.
    pub fn ends_session(&self) -> bool {
        self.has(Mark::Abort) || self.has(Mark::Dead)
    }

    /// Every mark with the run that made it and its object's name.
    pub fn iter(&self) -> impl Iterator<Item = (Mark, MarkRun, &str)> {
        self.marks.iter().map(|(mark, run, name)| (*mark, *run, name.as_str()))
    }
}

#[cfg(test)]
mod tests;
