//! The repository key: 32 random bytes from which everything else follows (docs/format.md, sections 4.1 and 4.3).
//!
//! In: randomness, or the content of a key file. Out: the repository's id, and keys derived for one purpose each. Never: shows or compares itself.

use model::RepositoryId;
use zeroize::Zeroizing;

use super::secret::{Random, Secret};
use super::{KeyError, UpkeepPublic};
use crate::hash::derive;

/// The repository key `R`. Wiped when dropped; there is no way to print it.
#[derive(Clone)]
pub struct RepositoryKey(Secret);

impl RepositoryKey {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Result<RepositoryKey, KeyError> {
        Secret::random(random).map(RepositoryKey)
    }

    pub(super) fn from_secret(secret: Secret) -> RepositoryKey {
        RepositoryKey(secret)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// The id of the repository that has this key and this upkeep key: it commits to both.
    pub fn repository_id(&self, upkeep: &UpkeepPublic) -> RepositoryId {
        RepositoryId(self.derive("holdfast v1 repository id", &upkeep.0))
    }

    /// A public value.
    pub(super) fn derive(&self, label: &str, message: &[u8]) -> [u8; 32] {
        derive(self.0.bytes(), label, message)
    }

    /// A secret value.
    pub(super) fn derive_secret(&self, label: &str, message: &[u8]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.derive(label, message))
    }
}
