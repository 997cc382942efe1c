//! Layout: what every object is called (docs/format.md, section 2).
//!
//! In: ids and numbers, or a name that a store listed. Out: the one name of an object, or what a name means. Never: looks into an object, or believes that a name is true
//! (a mark's signature is checked by [`crate::marks`]).
//!
//! Names have one spelling: what [`ParsedName::parse`] accepts, `Display` writes again, byte for byte.

use model::{DomainId, KeyId, ParseIdError, SessionId, VolumeId};
use std::fmt;
use std::str::FromStr;

mod parse;

pub(crate) use parse::hex;

/// The object that makes a prefix a repository.
pub const REPOSITORY: &str = "repository.json";
/// Below it: what a reader, writer or collector must know.
pub const FEATURES: &str = "features";
/// Below it: the repository key, wrapped for one recipient each.
pub const KEYS: &str = "keys";

/// What follows `features/<name>.`: who must know the feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeededBy {
    /// Whoever reads.
    Read,
    /// Whoever writes restore points.
    Write,
    /// Whoever collects garbage.
    Collect,
}

/// What a mark says about a session or its restore point (docs/format.md, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The session shall end without a restore point.
    Abort,
    /// The session has ended without a restore point, for good.
    Dead,
    /// The restore point is hidden; this can be taken back.
    Retired,
    /// The restore point will be deleted; this cannot be taken back.
    Doomed,
}

/// Bytes as they stand in names and JSON: lowercase hexadecimal. Not for secrets.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

/// The collector run that made a mark: 16 random bytes, so that no run overwrites another's mark.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkRun(pub [u8; 16]);

/// An Ed25519 signature as it ends a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

/// The name of an object, by its meaning. The fields are the words of the name, each explained at its type.
#[allow(missing_docs, reason = "a field says no more than the placeholder of the same name in the line above it")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParsedName {
    /// `repository.json`.
    Repository,
    /// `features/<name>.<needed by>`.
    Feature { name: FeatureName, needed_by: NeededBy },
    /// `keys/<key id>.age`.
    RecipientKey(KeyId),
    /// `d/<domain>/keys/<epoch>.<key id>.key`.
    DomainKey { domain: DomainId, epoch: u64, key: KeyId },
    /// `d/<domain>/sessions/<sid>.open`.
    SessionOpen { domain: DomainId, session: SessionId },
    /// `d/<domain>/sessions/<sid>.beat.<n>`.
    SessionBeat { domain: DomainId, session: SessionId, number: u64 },
    /// `d/<domain>/packs/<shard>/<sid>/<seq>`.
    Pack { domain: DomainId, session: SessionId, sequence: u32 },
    /// `d/<domain>/points/<volume>/<sid>.point`.
    Point { domain: DomainId, volume: VolumeId, session: SessionId },
    /// `d/<domain>/marks/<volume>/<sid>.<mark>.<x>.<signature>`.
    Mark { domain: DomainId, volume: VolumeId, session: SessionId, mark: Mark, run: MarkRun, signature: Signature },
    /// `d/<domain>/damage/<sid>.<seq>.<x>.<signature>`.
    Damage { domain: DomainId, session: SessionId, sequence: u32, run: MarkRun, signature: Signature },
}

/// What a repository may need beyond version 1 of the format: `[a-z0-9-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureName(String);

/// A listed name that means nothing to this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownName {
    /// It lies where this version keeps nothing: made by somebody else or by a later version, and to be ignored.
    #[error("{0:?} is not a name of this repository format")]
    Foreign(String),
    /// It lies in a folder of which every name is defined, but it is not spelled like one.
    #[error("{0:?} lies in a folder of this repository but is not spelled like any object there")]
    Misspelled(String),
}

impl ParsedName {
    /// What a listed name means.
    pub fn parse(name: &str) -> Result<ParsedName, UnknownName> {
        parse::object_name(name)
    }
}

impl fmt::Display for ParsedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParsedName::Repository => f.write_str(REPOSITORY),
            ParsedName::Feature { name, needed_by } => f.write_str(&feature(&name.0, *needed_by)),
            ParsedName::RecipientKey(key) => f.write_str(&recipient_key(*key)),
            ParsedName::DomainKey { domain, epoch, key } => f.write_str(&domain_key(*domain, *epoch, *key)),
            ParsedName::SessionOpen { domain, session } => f.write_str(&session_open(*domain, *session)),
            ParsedName::SessionBeat { domain, session, number } => {
                f.write_str(&session_beat(*domain, *session, *number))
            }
            ParsedName::Pack { domain, session, sequence } => f.write_str(&pack(*domain, *session, *sequence)),
            ParsedName::Point { domain, volume, session } => f.write_str(&point(*domain, *volume, *session)),
            ParsedName::Mark { domain, volume, session, mark, run, signature } => {
                write!(f, "{}.{signature}", unsigned_mark(*domain, *volume, *session, *mark, *run))
            }
            ParsedName::Damage { domain, session, sequence, run, signature } => {
                write!(f, "{}.{signature}", unsigned_damage(*domain, *session, *sequence, *run))
            }
        }
    }
}

/// What a reader, a writer or a collector must know.
pub fn feature(name: &str, needed_by: NeededBy) -> String {
    format!("{FEATURES}/{name}.{needed_by}")
}

/// The repository key wrapped for one recipient.
pub fn recipient_key(key: KeyId) -> String {
    format!("{KEYS}/{key}.age")
}

/// Below it: everything of a domain.
pub fn domain(domain: DomainId) -> String {
    format!("d/{domain}")
}

/// Below it: the keys of a domain.
pub fn domain_keys(domain: DomainId) -> String {
    format!("d/{domain}/keys")
}

/// One set of keys of a domain.
pub fn domain_key(domain: DomainId, epoch: u64, key: KeyId) -> String {
    format!("d/{domain}/keys/{epoch}.{key}.key")
}

/// Says that a set of keys was destroyed, and not lost.
pub fn destroyed_key(domain: DomainId, key: KeyId) -> String {
    format!("d/{domain}/destroyed/{key}")
}

/// Below it: the sessions of a domain.
pub fn sessions(domain: DomainId) -> String {
    format!("d/{domain}/sessions")
}

/// The announcement of a session.
pub fn session_open(domain: DomainId, session: SessionId) -> String {
    format!("d/{domain}/sessions/{session}.open")
}

/// A session's sign of life.
pub fn session_beat(domain: DomainId, session: SessionId, number: u64) -> String {
    format!("d/{domain}/sessions/{session}.beat.{number}")
}

/// Below it: the packs of a domain.
pub fn packs(domain: DomainId) -> String {
    format!("d/{domain}/packs")
}

/// Below it: the packs of one session.
pub fn session_packs(domain: DomainId, session: SessionId) -> String {
    // The last byte of a session id is random; the first is a clock and would put everything that is written now into one shard.
    let [.., last] = session.0;
    format!("d/{domain}/packs/{last:02x}/{session}")
}

/// A pack.
pub fn pack(domain: DomainId, session: SessionId, sequence: u32) -> String {
    format!("{}/{sequence:08x}", session_packs(domain, session))
}

/// Below it: the restore points of a domain.
pub fn points(domain: DomainId) -> String {
    format!("d/{domain}/points")
}

/// Below it: the restore points of a volume.
pub fn volume_points(domain: DomainId, volume: VolumeId) -> String {
    format!("d/{domain}/points/{volume}")
}

/// A restore point.
pub fn point(domain: DomainId, volume: VolumeId, session: SessionId) -> String {
    format!("d/{domain}/points/{volume}/{session}.point")
}

/// Below it: the marks of a domain.
pub fn marks(domain: DomainId) -> String {
    format!("d/{domain}/marks")
}

/// Below it: the marks of a volume.
pub fn volume_marks(domain: DomainId, volume: VolumeId) -> String {
    format!("d/{domain}/marks/{volume}")
}

/// The part of a mark's name that is signed.
pub fn unsigned_mark(domain: DomainId, volume: VolumeId, session: SessionId, mark: Mark, run: MarkRun) -> String {
    format!("d/{domain}/marks/{volume}/{session}.{mark}.{run}")
}

/// Below it: the packs of a domain that were found damaged.
pub fn damage(domain: DomainId) -> String {
    format!("d/{domain}/damage")
}

/// The part of a damage report's name that is signed.
pub fn unsigned_damage(domain: DomainId, session: SessionId, sequence: u32, run: MarkRun) -> String {
    format!("d/{domain}/damage/{session}.{sequence:08x}.{run}")
}

impl NeededBy {
    /// All of them.
    pub const ALL: [NeededBy; 3] = [NeededBy::Read, NeededBy::Write, NeededBy::Collect];
}

impl fmt::Display for NeededBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NeededBy::Read => "read",
            NeededBy::Write => "write",
            NeededBy::Collect => "collect",
        })
    }
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 4] = [Mark::Abort, Mark::Dead, Mark::Retired, Mark::Doomed];
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mark::Abort => "abort",
            Mark::Dead => "dead",
            Mark::Retired => "retired",
            Mark::Doomed => "doomed",
        })
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for MarkRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for MarkRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FeatureName {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<FeatureName, ParseIdError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(FeatureName(text.to_owned()));
        }
        Err(ParseIdError { kind: "feature name", length: 64, text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests;
