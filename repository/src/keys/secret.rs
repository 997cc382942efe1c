//! Secret bytes and where they come from.
//!
//! In: a source of randomness. Out: 32 secret bytes that are wiped when dropped. Never: prints them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::KeyError;
use crate::layout::{Hex, hex};

/// Where keys, ids and salts come from: [`SystemRandom`], but for tests and simulations.
pub trait Random {
    /// Fills `out` with bytes that nobody can guess.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), KeyError>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), KeyError> {
        aws_lc_rs::rand::fill(out).map_err(|_| KeyError::NoRandom)
    }
}

/// `N` random bytes: an id, a salt.
pub fn random_array<const N: usize>(random: &mut dyn Random) -> Result<[u8; N], KeyError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}

/// 32 secret bytes.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub(super) fn new(bytes: [u8; 32]) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    pub(super) fn random(random: &mut dyn Random) -> Result<Secret, KeyError> {
        let mut secret = Secret::new([0; 32]);
        random.fill(secret.0.as_mut())?;
        Ok(secret)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(self.bytes()))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The text is not repeated in the error: it may be most of a key.
        hex(&text).map(Secret::new).ok_or_else(|| serde::de::Error::custom("a key is not 64 hexadecimal digits"))
    }
}

/// The JSON of something with secrets in it, in memory that is wiped and was not moved while it grew.
pub(super) fn secret_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const SECRET_JSON_BYTES: usize = 64 * 1024;
    let mut out = Zeroizing::new(Vec::with_capacity(SECRET_JSON_BYTES));
    serde_json::to_writer(&mut *out, value).map_err(|_| KeyError::Bug("a key could not be written as JSON"))?;
    Ok(out)
}
