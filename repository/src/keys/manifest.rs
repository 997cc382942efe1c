//! The manifest: `repository.json` (docs/format.md, section 4.1).
//!
//! In: untrusted bytes. Out: what a repository says of itself before any key is known. Never: believes it; [`super::open_repository`] proves the id with the key.

use model::RepositoryId;
use serde::{Deserialize, Serialize};

use super::upkeep::{SEALED_SEED_BYTES, SealedUpkeep};
use super::{KeyError, RepositoryKey, UpkeepKey, UpkeepPublic};
use crate::Error;
use crate::layout::{Hex, REPOSITORY, hex};

/// The version that this program writes, and the highest it reads.
pub const REPOSITORY_VERSION: u64 = 1;
/// No `repository.json` is longer.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// What `repository.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryManifest {
    /// The id: a commitment to the repository key and the upkeep key.
    pub repository: RepositoryId,
    /// When it was made; informative.
    pub created: String,
    /// Verifies marks.
    pub upkeep_public: UpkeepPublic,
    pub(super) upkeep_private: SealedUpkeep,
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Members {
    format: String,
    version: u64,
    repository: RepositoryId,
    created: String,
    parameters: serde_json::Map<String, serde_json::Value>,
    upkeep_public: String,
    upkeep_private: String,
}

impl RepositoryManifest {
    /// Reads `repository.json`.
    pub fn parse(bytes: &[u8]) -> Result<RepositoryManifest, Error> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(damaged("it is longer than 64 KiB"));
        }
        // Members that this version does not know are JSON too: skipped ones are not looked at, and another reader would refuse what this one accepts.
        let _: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        let preamble: Preamble = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        if preamble.format != "holdfast" {
            return Err(damaged("its member \"format\" is not \"holdfast\", so it belongs to another program"));
        }
        if preamble.version > REPOSITORY_VERSION {
            return Err(KeyError::NewerFormat { version: preamble.version }.into());
        }
        if preamble.version != REPOSITORY_VERSION {
            return Err(damaged("its member \"version\" is 0"));
        }
        let members: Members = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        let public = hex::<32>(&members.upkeep_public)
            .ok_or_else(|| damaged("its member \"upkeep_public\" is not 32 bytes in hex"))?;
        let private = hex::<SEALED_SEED_BYTES>(&members.upkeep_private)
            .ok_or_else(|| damaged("its member \"upkeep_private\" is not 80 bytes in hex"))?;
        Ok(RepositoryManifest {
            repository: members.repository,
            created: members.created,
            upkeep_public: UpkeepPublic(public),
            upkeep_private: SealedUpkeep(private),
        })
    }

    /// The bytes of `repository.json`.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, KeyError> {
        let members = Members {
            format: "holdfast".to_owned(),
            version: REPOSITORY_VERSION,
            repository: self.repository,
            created: self.created.clone(),
            parameters: serde_json::Map::new(),
            upkeep_public: self.upkeep_public.to_string(),
            upkeep_private: Hex(&self.upkeep_private.0).to_string(),
        };
        let mut json = serde_json::to_vec_pretty(&members)
            .map_err(|_| KeyError::Bug("repository.json could not be written as JSON"))?;
        json.push(b'\n');
        Ok(json)
    }

    /// True if this is the manifest of the repository whose key is `key`.
    pub(super) fn belongs_to(&self, key: &RepositoryKey) -> bool {
        key.repository_id(&self.upkeep_public) == self.repository
    }

    /// The key that signs marks.
    pub(super) fn open_upkeep(&self, key: &RepositoryKey) -> Result<UpkeepKey, Error> {
        UpkeepKey::open(key, self.repository, self.upkeep_public, &self.upkeep_private)
            .ok_or_else(|| damaged("its member \"upkeep_private\" does not open with the repository key"))
    }
}

fn damaged(what: &str) -> Error {
    Error::damaged(REPOSITORY, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SystemRandom;
    use model::ErrorClass;

    fn manifest() -> (RepositoryKey, RepositoryManifest) {
        let key = RepositoryKey::generate(&mut SystemRandom).unwrap();
        let (upkeep, repository, upkeep_private) = UpkeepKey::generate(&key, &mut SystemRandom).unwrap();
        (
            key,
            RepositoryManifest {
                repository,
                created: "2026-01-02T03:04:05Z".to_owned(),
                upkeep_public: upkeep.public(),
                upkeep_private,
            },
        )
    }

    fn with(member: &str, value: serde_json::Value) -> Result<RepositoryManifest, Error> {
        let mut json: serde_json::Value = serde_json::from_slice(&manifest().1.to_json().unwrap()).unwrap();
        json[member] = value;
        RepositoryManifest::parse(&serde_json::to_vec(&json).unwrap())
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let (key, manifest) = manifest();
        let read = RepositoryManifest::parse(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(read, manifest);
        assert!(read.belongs_to(&key));
        assert_eq!(read.open_upkeep(&key).unwrap().public(), manifest.upkeep_public);
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number_even_if_its_members_are_others() {
        let error = RepositoryManifest::parse(br#"{"format":"holdfast","version":2,"all":"new"}"#).unwrap_err();
        assert_eq!(error.to_string(), "repository format 2 is newer than this program knows (1); upgrade holdfast");
        assert_eq!(error.class(), ErrorClass::Invalid);
    }

    #[test]
    fn unknown_members_and_parameters_are_ignored() {
        assert!(with("colour", "blue".into()).is_ok());
        assert!(with("parameters", serde_json::json!({"x": [1]})).is_ok());
    }

    #[test]
    fn what_is_ignored_is_json_all_the_same() {
        let text = String::from_utf8(manifest().1.to_json().unwrap()).unwrap();
        let with = |value: &[u8]| [b"{\"colour\":", value, b",", text.trim_start_matches('{').as_bytes()].concat();
        assert!(RepositoryManifest::parse(&with(b"\"blue\"")).is_ok());
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        for value in [&b"\"\xaa\""[..], b"1e999", &deep] {
            let error = RepositoryManifest::parse(&with(value)).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Corrupt, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_as_described_is_damage() {
        let bad = [
            ("format", "restic"),
            ("repository", "00"),
            ("upkeep_public", "zz"),
            ("upkeep_private", "00"),
            ("parameters", "none"),
            ("version", "1"),
        ];
        for (member, value) in bad {
            assert_eq!(with(member, value.into()).unwrap_err().class(), ErrorClass::Corrupt, "{member}");
        }
        assert_eq!(with("version", 0.into()).unwrap_err().class(), ErrorClass::Corrupt);
        let long = vec![b' '; MANIFEST_BYTES_MAX as usize + 1];
        for bytes in [&b""[..], b"{", b"[]", b"\xff", &long] {
            assert_eq!(RepositoryManifest::parse(bytes).unwrap_err().class(), ErrorClass::Corrupt);
        }
    }

    #[test]
    fn another_upkeep_key_makes_it_another_repository() {
        let (key, mut manifest) = manifest();
        manifest.upkeep_public.0[0] ^= 1;
        assert!(!manifest.belongs_to(&key));
    }
}
