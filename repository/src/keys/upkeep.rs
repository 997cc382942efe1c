//! The upkeep key: who may mark and delete (docs/format.md, sections 4.1 and 10).
//!
//! In: the repository key and what `repository.json` says. Out: signatures, or whether one is good. Never: leaves the holders of the repository key; an agent has the
//! public half only.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use model::RepositoryId;
use zeroize::Zeroizing;

use super::secret::{Random, Secret, random_array};
use super::{KeyError, RepositoryKey};
use crate::layout::{Hex, Signature};

/// Salt, seed and tag.
pub(super) const SEALED_SEED_BYTES: usize = 32 + 32 + 16;

/// The public half of an upkeep key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UpkeepPublic(pub [u8; 32]);

/// The private half as it stands in `repository.json`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealedUpkeep(pub(super) [u8; SEALED_SEED_BYTES]);

/// The upkeep key itself.
pub struct UpkeepKey {
    pair: Ed25519KeyPair,
    public: UpkeepPublic,
}

impl UpkeepPublic {
    /// True if the holder of the private half signed exactly this.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}

impl std::fmt::Display for UpkeepPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl std::fmt::Debug for UpkeepPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl std::fmt::Debug for SealedUpkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedUpkeep")
    }
}

impl UpkeepKey {
    /// A new upkeep key and the repository id that it and `key` make; sealed for `repository.json`.
    pub(crate) fn generate(
        key: &RepositoryKey,
        random: &mut dyn Random,
    ) -> Result<(UpkeepKey, RepositoryId, SealedUpkeep), KeyError> {
        let seed = Secret::random(random)?;
        let upkeep = UpkeepKey::from_seed(seed.bytes())?;
        let repository = key.repository_id(&upkeep.public);
        let sealed = seal(key, repository, seed.bytes(), random_array(random)?)?;
        Ok((upkeep, repository, sealed))
    }

    /// Opens the private half; `None` if it is not what was sealed, or not the private half of `public`.
    pub(super) fn open(
        key: &RepositoryKey,
        repository: RepositoryId,
        public: UpkeepPublic,
        sealed: &SealedUpkeep,
    ) -> Option<UpkeepKey> {
        let (salt, sealed) = sealed.0.split_first_chunk::<32>()?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let seed = aead(key, repository, salt).ok()?.open_in_place(zero_nonce(), Aad::empty(), &mut buffer).ok()?;
        let upkeep = UpkeepKey::from_seed(seed.first_chunk::<32>()?).ok()?;
        (upkeep.public == public).then_some(upkeep)
    }

    fn from_seed(seed: &[u8; 32]) -> Result<UpkeepKey, KeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Bug("Ed25519 refused a 32-byte seed"))?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError::Bug("an Ed25519 public key has not 32 bytes"))?;
        Ok(UpkeepKey { pair, public: UpkeepPublic(public) })
    }

    /// The public half.
    pub fn public(&self) -> UpkeepPublic {
        self.public
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let signature = self.pair.try_sign(message).map_err(|_| KeyError::Bug("Ed25519 did not sign"))?;
        signature.as_ref().try_into().map(Signature).map_err(|_| KeyError::Bug("an Ed25519 signature has not 64 bytes"))
    }
}

/// The salt makes the key fresh, so that the nonce may be zero.
fn aead(key: &RepositoryKey, repository: RepositoryId, salt: &[u8; 32]) -> Result<LessSafeKey, KeyError> {
    let mut message = [0; 64];
    message[..32].copy_from_slice(salt);
    message[32..].copy_from_slice(&repository.0);
    let secret = key.derive_secret("holdfast v1 upkeep", &message);
    UnboundKey::new(&AES_256_GCM, secret.as_ref())
        .map(LessSafeKey::new)
        .map_err(|_| KeyError::Bug("AES-256-GCM refused a 32-byte key"))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn seal(
    key: &RepositoryKey,
    repository: RepositoryId,
    seed: &[u8; 32],
    salt: [u8; 32],
) -> Result<SealedUpkeep, KeyError> {
    let mut out = [0; SEALED_SEED_BYTES];
    out[..32].copy_from_slice(&salt);
    out[32..64].copy_from_slice(seed);
    let tag = aead(key, repository, &salt)?
        .seal_in_place_separate_tag(zero_nonce(), Aad::empty(), &mut out[32..64])
        .map_err(|_| KeyError::Bug("sealing failed"))?;
    out[64..].copy_from_slice(tag.as_ref());
    Ok(SealedUpkeep(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SystemRandom;

    #[test]
    fn the_private_half_opens_for_its_own_repository_key_and_id_alone() {
        let (key, other) =
            (RepositoryKey::generate(&mut SystemRandom).unwrap(), RepositoryKey::generate(&mut SystemRandom).unwrap());
        let (upkeep, repository, sealed) = UpkeepKey::generate(&key, &mut SystemRandom).unwrap();
        let opened = UpkeepKey::open(&key, repository, upkeep.public(), &sealed).unwrap();
        assert!(upkeep.public().verifies(b"m", &opened.sign(b"m").unwrap()));
        assert!(UpkeepKey::open(&other, repository, upkeep.public(), &sealed).is_none());
        assert!(UpkeepKey::open(&key, RepositoryId([1; 32]), upkeep.public(), &sealed).is_none());
        assert!(UpkeepKey::open(&key, repository, UpkeepPublic([2; 32]), &sealed).is_none());
        for at in 0..SEALED_SEED_BYTES {
            let mut tampered = sealed;
            tampered.0[at] ^= 1;
            assert!(UpkeepKey::open(&key, repository, upkeep.public(), &tampered).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_signature_is_good_for_its_message_and_key_alone() {
        let key = RepositoryKey::generate(&mut SystemRandom).unwrap();
        let (upkeep, _, _) = UpkeepKey::generate(&key, &mut SystemRandom).unwrap();
        let (other, _, _) = UpkeepKey::generate(&key, &mut SystemRandom).unwrap();
        let signature = upkeep.sign(b"this").unwrap();
        assert!(upkeep.public().verifies(b"this", &signature));
        assert!(!upkeep.public().verifies(b"that", &signature));
        assert!(!other.public().verifies(b"this", &signature));
    }
}
