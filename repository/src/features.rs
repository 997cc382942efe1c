//! Features: what a repository needs beyond version 1 of the format (docs/format.md, section 2).
//!
//! In: the names below `features/`. Out: leave to go on, or the name of what this program does not know; and whether this is a replica. Never: reads the store, or goes on in doubt.

use crate::keys::KeyError;
use crate::layout::{NeededBy, ParsedName};

/// The name of the feature of a repository that is a replica: its collector needs the source, and nobody writes into it.
pub const REPLICA: &str = "replica";
/// The name of the feature of a replica that is a repository of its own now, for good.
pub const PROMOTED: &str = "promoted";

/// The features that this program knows.
const KNOWN: [(&str, NeededBy); 2] = [(REPLICA, NeededBy::Collect), (PROMOTED, NeededBy::Collect)];

/// What a repository is to its copies (docs/protocol.md, Replication).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Writers and collectors come here first.
    Original,
    /// It holds copies of points of one source.
    Replica,
    /// It was a replica.
    Promoted,
}

/// The features of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    needed: Vec<(String, NeededBy)>,
}

impl Features {
    /// From the names that were listed below `features/`.
    pub fn from_listing<'a>(names: impl IntoIterator<Item = &'a str>) -> Features {
        Features { needed: names.into_iter().filter_map(feature).collect() }
    }

    /// Refuses when `needed_by` would have to know something that this program does not, and a writer where the repository is a replica. Whoever writes or collects
    /// also reads.
    pub fn check(&self, needed_by: NeededBy) -> Result<(), KeyError> {
        self.check_against(needed_by, &KNOWN)?;
        match (needed_by, self.standing()) {
            (NeededBy::Write, Standing::Replica) => Err(KeyError::IsAReplica),
            _ => Ok(()),
        }
    }

    /// What the repository is to its copies.
    pub fn standing(&self) -> Standing {
        let has = |feature: &str| self.needed.iter().any(|(name, by)| name == feature && *by == NeededBy::Collect);
        match (has(REPLICA), has(PROMOTED)) {
            (_, true) => Standing::Promoted,
            (true, false) => Standing::Replica,
            (false, false) => Standing::Original,
        }
    }

    fn check_against(&self, needed_by: NeededBy, known: &[(&str, NeededBy)]) -> Result<(), KeyError> {
        let concerns = |other: NeededBy| other == NeededBy::Read || other == needed_by;
        let is_known = |name: &str, by: NeededBy| known.contains(&(name, by));
        match self.needed.iter().find(|(name, other)| concerns(*other) && !is_known(name, *other)) {
            None => Ok(()),
            Some((name, needed_by)) => Err(KeyError::UnknownFeature { name: name.clone(), needed_by: *needed_by }),
        }
    }
}

/// A feature by its name. One that is misspelled but ends like a feature still counts: to refuse too much is safe, to overlook is not.
fn feature(name: &str) -> Option<(String, NeededBy)> {
    if let Ok(ParsedName::Feature { name, needed_by }) = ParsedName::parse(name) {
        return Some((name.to_string(), needed_by));
    }
    let (stem, suffix) = name.strip_prefix("features/")?.rsplit_once('.')?;
    let needed_by = NeededBy::ALL.into_iter().find(|known| known.to_string() == suffix)?;
    Some((stem.chars().take(80).collect(), needed_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(names: &[&str], needed_by: NeededBy, known: &[(&str, NeededBy)]) -> Option<String> {
        Features::from_listing(names.iter().copied())
            .check_against(needed_by, known)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_reader_refuses_what_readers_must_know_and_nothing_else() {
        let names = ["features/erasure.write", "features/tape.collect"];
        assert_eq!(refused(&names, NeededBy::Read, &[]), None);
        assert!(refused(&names, NeededBy::Write, &[]).unwrap().contains("erasure"));
        assert!(refused(&names, NeededBy::Collect, &[]).unwrap().contains("tape"));
        for needed_by in NeededBy::ALL {
            assert!(refused(&["features/zip.read"], needed_by, &[]).unwrap().contains("zip"), "{needed_by}");
        }
    }

    #[test]
    fn a_known_feature_is_not_refused() {
        let known = [("zip", NeededBy::Read), ("tape", NeededBy::Collect)];
        assert_eq!(refused(&["features/zip.read", "features/tape.collect"], NeededBy::Collect, &known), None);
        assert!(refused(&["features/tape.read"], NeededBy::Collect, &known).unwrap().contains("tape"));
    }

    #[test]
    fn a_misspelled_feature_is_refused_all_the_same() {
        assert!(
            refused(&["features/Zip V2.read"], NeededBy::Read, &[("zip", NeededBy::Read)]).unwrap().contains("Zip V2")
        );
    }

    #[test]
    fn what_no_part_of_this_version_can_mean_is_ignored() {
        assert_eq!(refused(&["features/readme", "features/zip.restore", "other/zip.read"], NeededBy::Write, &[]), None);
    }

    #[test]
    fn this_version_knows_replicas_and_nothing_else() {
        assert!(Features::from_listing(["features/zip.read"]).check(NeededBy::Read).is_err());
        for name in ["features/replica.read", "features/promoted.write"] {
            assert!(Features::from_listing([name]).check(NeededBy::Write).is_err(), "{name}");
        }
    }

    #[test]
    fn nobody_writes_into_a_replica_until_it_is_promoted() {
        let standing = |names: &[&str]| {
            let features = Features::from_listing(names.iter().copied());
            let allowed = NeededBy::ALL.map(|needed_by| features.check(needed_by).is_ok());
            (features.standing(), allowed)
        };
        assert_eq!(standing(&[]), (Standing::Original, [true; 3]));
        let replica = "features/replica.collect";
        assert_eq!(standing(&[replica]), (Standing::Replica, [true, false, true]));
        assert_eq!(standing(&[replica, "features/promoted.collect"]), (Standing::Promoted, [true; 3]));
    }
}
