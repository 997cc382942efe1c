//! Key files: the repository key, wrapped for one recipient as an age file (docs/format.md, section 4.2).
//!
//! In: a repository key and a recipient, or untrusted bytes and a passphrase or identity. Out: a file, or the key that was in it. Never: touches a store, spends more than
//! 1 GiB and the work of 2^20 on a file that somebody planted, or repeats what age says about a failure (its texts are for age's own users).

use std::io::{Read, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};
use model::RepositoryId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secret::{Secret, secret_json};
use super::{KeyError, RepositoryKey};

/// No key file is longer.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// A label says whose key it is, in a line.
const LABEL_BYTES_MAX: usize = 1024;
/// scrypt takes 1 KiB · 2^work factor. 2^15 is 32 MiB, so that opening a repository stays well inside the memory that a backup may use in a small container; each guess
/// costs an attacker the same 32 MiB. What a passphrase lacks in length no work factor makes up for: an age identity has 256 bits.
const WORK_FACTOR_LOG2: u8 = 15;
/// What others may have chosen, up to 1 GiB; above that the file is refused, because anybody who can write to the bucket can plant one.
const WORK_FACTOR_LOG2_MAX: u8 = 20;

/// What a person holds to open a repository.
#[derive(Clone)]
pub enum Unlock {
    /// A passphrase.
    Passphrase(SecretString),
    /// One or more age identities.
    Identities(Vec<x25519::Identity>),
}

/// For whom the repository key is wrapped.
#[derive(Clone)]
pub enum Recipient {
    /// Whoever knows the passphrase.
    Passphrase(SecretString),
    /// Whoever holds the identity of this `age1…` recipient.
    Age(x25519::Recipient),
}

/// How a key file is wrapped, as anybody can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapKind {
    /// For a passphrase; the work is 2^`work_factor_log2`.
    Passphrase {
        /// Logarithm of scrypt's N.
        work_factor_log2: u8,
    },
    /// For an X25519 recipient.
    X25519,
}

/// What was in a key file.
pub(super) struct KeyFile {
    pub(super) key: RepositoryKey,
    /// The repository that it says it is for; a hint for messages, proven by nothing.
    pub(super) made_for: RepositoryId,
    pub(super) label: String,
}

/// Why a key file did not give its key.
pub(super) enum Unopened {
    /// It is for somebody else.
    NotForThis,
    /// Nobody can use it.
    Unusable(String),
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u64,
    repository: RepositoryId,
    key: Secret,
    label: String,
}

impl Unlock {
    /// A passphrase from the bytes of its file: one line; the line break that ends it does not belong to it.
    pub fn from_passphrase_file(bytes: &[u8]) -> Result<Unlock, KeyError> {
        passphrase(bytes).map(Unlock::Passphrase)
    }

    /// Each secret alone.
    pub(super) fn each(&self) -> Vec<Unlock> {
        match self {
            Unlock::Passphrase(_) => vec![self.clone()],
            Unlock::Identities(identities) => {
                identities.iter().map(|identity| Unlock::Identities(vec![identity.clone()])).collect()
            }
        }
    }

    /// Whoever holds this, to wrap something for; each secret of several.
    pub fn recipients(&self) -> Vec<Recipient> {
        match self {
            Unlock::Passphrase(passphrase) => vec![Recipient::Passphrase(passphrase.clone())],
            Unlock::Identities(identities) => {
                identities.iter().map(|identity| Recipient::Age(identity.to_public())).collect()
            }
        }
    }

    /// Identities from a file as age-keygen writes it: one a line, `#` begins a comment.
    pub fn from_identity_file(text: &str) -> Result<Unlock, KeyError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Result<Vec<_>, _> =
            lines.map(|line| x25519::Identity::from_str(line).map_err(|_| KeyError::NotAnIdentity)).collect();
        match identities? {
            none if none.is_empty() => Err(KeyError::NotAnIdentity),
            some => Ok(Unlock::Identities(some)),
        }
    }
}

impl Recipient {
    /// A passphrase from the bytes of its file, as in [`Unlock::from_passphrase_file`].
    pub fn from_passphrase_file(bytes: &[u8]) -> Result<Recipient, KeyError> {
        passphrase(bytes).map(Recipient::Passphrase)
    }
}

impl FromStr for Recipient {
    type Err = KeyError;
    /// `age1…`
    fn from_str(text: &str) -> Result<Recipient, KeyError> {
        let not = || {
            KeyError::NotARecipient(if text.starts_with("AGE-SECRET") {
                "(an identity)".to_owned()
            } else {
                text.chars().take(80).collect()
            })
        };
        x25519::Recipient::from_str(text.trim()).map(Recipient::Age).map_err(|_| not())
    }
}

fn passphrase(bytes: &[u8]) -> Result<SecretString, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::PassphraseNotText)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() { Err(KeyError::EmptyPassphrase) } else { Ok(SecretString::from(line.to_owned())) }
}

/// Wraps the repository key for one recipient.
pub(super) fn wrap(
    key: &RepositoryKey,
    repository: RepositoryId,
    recipient: &Recipient,
    label: &str,
) -> Result<Vec<u8>, KeyError> {
    if label.len() > LABEL_BYTES_MAX {
        return Err(KeyError::LabelTooLong);
    }
    if matches!(recipient, Recipient::Passphrase(passphrase) if passphrase.expose_secret().is_empty()) {
        return Err(KeyError::EmptyPassphrase);
    }
    let plaintext =
        secret_json(&Payload { version: 1, repository, key: key.secret().clone(), label: label.to_owned() })?;
    let age: Box<dyn age::Recipient> = match recipient {
        Recipient::Age(recipient) => Box::new(recipient.clone()),
        Recipient::Passphrase(passphrase) => {
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(WORK_FACTOR_LOG2);
            Box::new(recipient)
        }
    };
    let failed = |_| KeyError::Bug("age did not wrap the repository key");
    let encryptor = Encryptor::with_recipients(std::iter::once(age.as_ref()))
        .map_err(|_| KeyError::Bug("age refused a recipient"))?;
    let mut writer = encryptor.wrap_output(Vec::new()).map_err(failed)?;
    writer.write_all(&plaintext).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// Opens a key file.
pub(super) fn open(bytes: &[u8], unlock: &Unlock) -> Result<KeyFile, Unopened> {
    let unusable = |why: &str| Unopened::Unusable(why.to_owned());
    let kind = kind(bytes).map_err(Unopened::Unusable)?;
    let decryptor = Decryptor::new_buffered(bytes).map_err(|_| unusable("it is not an age file"))?;
    let opened = match (kind, unlock) {
        (WrapKind::Passphrase { work_factor_log2 }, _) if work_factor_log2 > WORK_FACTOR_LOG2_MAX => {
            return Err(Unopened::Unusable(format!(
                "its work factor 2^{work_factor_log2} is above 2^{WORK_FACTOR_LOG2_MAX}"
            )));
        }
        (WrapKind::Passphrase { .. }, Unlock::Passphrase(passphrase)) => {
            let mut identity = scrypt::Identity::new(passphrase.clone());
            identity.set_max_work_factor(WORK_FACTOR_LOG2_MAX);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        (WrapKind::X25519, Unlock::Identities(identities)) => {
            decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity))
        }
        _ => return Err(Unopened::NotForThis),
    };
    let reader = opened.map_err(|error| match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            Unopened::NotForThis
        }
        _ => unusable("its header was altered"),
    })?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize));
    reader
        .take(KEY_FILE_BYTES_MAX)
        .read_to_end(&mut plaintext)
        .map_err(|_| unusable("its content was altered or cut off"))?;
    let payload: Payload =
        serde_json::from_slice(&plaintext).map_err(|_| unusable("its content is not a repository key"))?;
    if payload.version != 1 {
        return Err(unusable("its content is of a newer version; upgrade holdfast"));
    }
    Ok(KeyFile { key: RepositoryKey::from_secret(payload.key), made_for: payload.repository, label: payload.label })
}

/// How a key file is wrapped, from its header alone.
pub(super) fn kind(bytes: &[u8]) -> Result<WrapKind, String> {
    if bytes.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err("it is longer than 64 KiB".to_owned());
    }
    Decryptor::new_buffered(bytes).map_err(|_| "it is not an age file".to_owned())?;
    // The header has been found well-formed, so its first line is the version and each stanza begins a line with "-> ".
    let mut stanzas = bytes.split(|byte| *byte == b'\n').skip(1).take_while(|line| !line.starts_with(b"---"));
    let scrypt = stanzas.find_map(|line| line.strip_prefix(b"-> scrypt "));
    let Some(arguments) = scrypt else { return Ok(WrapKind::X25519) };
    let work =
        arguments.rsplit(|byte| *byte == b' ').next().and_then(|work| std::str::from_utf8(work).ok()?.parse().ok());
    work.map(|work_factor_log2| WrapKind::Passphrase { work_factor_log2 })
        .ok_or_else(|| "its work factor is not a number".to_owned())
}

#[cfg(test)]
pub(super) mod tests;
