//! Ids: fixed-size byte strings that are written as lowercase hex.
//!
//! In: bytes or hex. Out: newtypes that cannot be confused with each other. Never: generates a random value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: expected {length} lowercase hexadecimal characters")]
pub struct ParseIdError {
    /// Which id was expected.
    pub kind: &'static str,
    /// The length of such an id, in characters.
    pub length: usize,
    /// What was given.
    pub text: String,
}

fn parse_hex<const N: usize>(kind: &'static str, text: &str) -> Result<[u8; N], ParseIdError> {
    let wrong = || ParseIdError { kind, length: 2 * N, text: text.chars().take(80).collect() };
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(wrong());
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex($kind, text).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A repository: a commitment to its key and to its upkeep public key (docs/format.md, "Keys").
    RepositoryId, 32, "repository id"
);
id!(
    /// A deduplication and key boundary inside a repository: a keyed hash of its name.
    DomainId, 16, "domain id"
);
id!(
    /// One protected thing inside a domain: a keyed hash of its name.
    VolumeId, 16, "volume id"
);

impl VolumeId {
    /// Stands for every volume of a domain; no volume has it, because theirs are keyed hashes.
    pub const ALL: VolumeId = VolumeId([0; 16]);
}

id!(
    /// A session and, when it committed, its restore point: a UUIDv7 whose time means nothing to correctness.
    SessionId, 16, "session id"
);
id!(
    /// A key, or a set of keys that were made together.
    KeyId, 16, "key id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = SessionId([0xab; 16]);
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
    }

    #[test]
    fn what_is_not_exactly_an_id_is_refused() {
        for text in ["", "ab", "ABABABABABABABABABABABABABABABAB", "é".repeat(16).as_str(), "+b".repeat(16).as_str()] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}
