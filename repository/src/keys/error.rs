//! What can be wrong with keys, and what to do next.

use model::{ErrorClass, KeyId, RepositoryId};

use crate::layout::NeededBy;

/// A key, identity or repository that is not the right one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No `repository.json`.
    #[error("there is no repository at this place (it has no repository.json); `holdfast repo init` makes one")]
    NoRepository,
    /// `repository.json` is there already.
    #[error(
        "there is a repository at this place already (its repository.json exists); choose an empty place, or use this one as it is"
    )]
    AlreadyARepository,
    /// The format is newer.
    #[error("repository format {version} is newer than this program knows (1); upgrade holdfast")]
    NewerFormat {
        /// The repository's version.
        version: u64,
    },
    /// A feature that this program does not know.
    #[error(
        "this repository has the feature {name:?}, which everybody who wants to {needed_by} must know and this program does not; upgrade holdfast"
    )]
    UnknownFeature {
        /// The feature.
        name: String,
        /// Who must know it.
        needed_by: NeededBy,
    },
    /// A replica takes copies only.
    #[error(
        "this repository is a replica, and only `holdfast replicate` writes into it: back up into its original, or make it a repository of its own with `holdfast promote`"
    )]
    IsAReplica,
    /// A client remembers another id.
    #[error(
        "this is not the repository that is remembered: expected {pinned}, found {found}; somebody may have replaced it. If the change is intended, remove the remembered id"
    )]
    NotThePinned {
        /// What was remembered.
        pinned: RepositoryId,
        /// What is there.
        found: RepositoryId,
    },
    /// Nothing below `keys/`.
    #[error(
        "this repository has no keys left (nothing below keys/); put an exported key back there under a name keys/<32 hexadecimal digits>.age"
    )]
    NoKeys,
    /// No key file opens.
    #[error("wrong passphrase or identity: none of the {keys} keys of this repository opens with it{}", in_parentheses(.unusable))]
    WrongUnlock {
        /// How many there are.
        keys: usize,
        /// Those that nothing could open, and why.
        unusable: Vec<String>,
    },
    /// A key file opened, but holds the key of something else.
    #[error(
        "{key} opens, but what it holds is not the key of this repository ({repository}): it was made for {made_for}. Either it was copied from elsewhere or repository.json was replaced"
    )]
    ForeignKey {
        /// The key file.
        key: String,
        /// Which repository the key file names.
        made_for: RepositoryId,
        /// Which repository this claims to be.
        repository: RepositoryId,
    },
    /// One key file cannot be used by anybody.
    #[error("{key} cannot be used: {why}")]
    UnusableKey {
        /// The key file.
        key: String,
        /// Why.
        why: String,
    },
    /// Nothing would be left that the caller can open.
    #[error(
        "key {key} is the last one that opens with this passphrase or identity, so nothing proves that the repository could be opened without it; add another key, then remove this one with that"
    )]
    LastKey {
        /// The key file.
        key: KeyId,
    },
    /// There is no such key file.
    #[error("this repository has no key {key}; `holdfast keys list` shows those it has")]
    NoSuchKey {
        /// The key file.
        key: KeyId,
    },
    /// A repository needs somebody who can open it.
    #[error("a repository needs at least one recipient: a passphrase or an age recipient")]
    NoRecipient,
    /// A passphrase of no characters.
    #[error("the passphrase is empty; its file must hold one line of text")]
    EmptyPassphrase,
    /// A passphrase that is no text.
    #[error("the passphrase is not UTF-8 text")]
    PassphraseNotText,
    /// Not an age recipient.
    #[error("{0:?} is not an age recipient; it looks like age1… (age-keygen prints it)")]
    NotARecipient(String),
    /// Not an age identity.
    #[error(
        "the identity file has no age identity in it; it needs a line that begins with AGE-SECRET-KEY-1 (age-keygen writes such a file)"
    )]
    NotAnIdentity,
    /// Bytes that are no grant of a domain's keys.
    #[error("these are not the keys of a domain as this version hands them on; both sides must be of one version")]
    NotAGrant,
    /// A label that is no label.
    #[error("the label of a key is longer than 1,024 bytes; it should say in a line whose key it is")]
    LabelTooLong,
    /// A domain's name that is none.
    #[error("a domain's name has 1 to 1,024 bytes")]
    NotADomainName,
    /// The domain has no keys yet.
    #[error("this repository has no domain {name:?}: nothing was backed up into it yet")]
    NoDomain {
        /// The domain.
        name: String,
    },
    /// There are objects, and no key.
    #[error(
        "domain {name:?} has objects and no keys: they were destroyed or lost, and nobody can read what is left. If that was intended, `holdfast domain destroy` removes the rest; if not, bring the objects below d/<domain>/keys/ back from a version or a replica"
    )]
    KeysLost {
        /// The domain.
        name: String,
    },
    /// A rotation came between.
    #[error("the keys of domain {name:?} were replaced while this began; nothing was written, run it again")]
    KeysReplaced {
        /// The domain.
        name: String,
    },
    /// A rotation came between, and somebody has used the new keys already.
    #[error(
        "domain {name:?} has got new keys since this began, and what it has to read is sealed with them; run it again"
    )]
    NewerKeys {
        /// The domain.
        name: String,
    },
    /// Whoever destroys keys at a replica cannot know what is still copied.
    #[error(
        "this repository is a replica: which keys its copies need depends on its source; destroy keys there, or make this a repository of its own with `holdfast promote`"
    )]
    KeysOfAReplica,
    /// Old and new secret are the same, or the old one opens nothing.
    #[error("no key would be replaced: the new secret opens every key that the present one opens")]
    NothingToReplace,
    /// What was put does not open.
    #[error(
        "the new secret does not open the key that was added for it; the old one was left in place. The store may not give back what was put: run `holdfast repo init --dry-run` against it"
    )]
    NotProven,
    /// An exported key does not open everything.
    #[error("the exported key opens this repository but not all of it: {why}")]
    ExportFallsShort {
        /// What it does not open.
        why: String,
    },
    /// The operating system failed.
    #[error("the operating system gave no random bytes")]
    NoRandom,
    /// A cryptographic operation on good input failed.
    #[error("internal rule broken: {0}; please report this")]
    Bug(&'static str),
}

impl KeyError {
    /// The next move.
    pub fn class(&self) -> ErrorClass {
        match self {
            KeyError::NoRepository | KeyError::NoKeys | KeyError::NoSuchKey { .. } | KeyError::NoDomain { .. } => {
                ErrorClass::Missing
            }
            KeyError::NotThePinned { .. }
            | KeyError::WrongUnlock { .. }
            | KeyError::ForeignKey { .. }
            | KeyError::NotProven
            | KeyError::ExportFallsShort { .. } => ErrorClass::Denied,
            KeyError::KeysReplaced { .. } | KeyError::NewerKeys { .. } => ErrorClass::Busy,
            KeyError::UnusableKey { .. } | KeyError::KeysLost { .. } => ErrorClass::Corrupt,
            KeyError::AlreadyARepository
            | KeyError::NewerFormat { .. }
            | KeyError::UnknownFeature { .. }
            | KeyError::IsAReplica
            | KeyError::KeysOfAReplica
            | KeyError::LastKey { .. }
            | KeyError::NoRecipient
            | KeyError::NothingToReplace
            | KeyError::EmptyPassphrase
            | KeyError::PassphraseNotText
            | KeyError::NotARecipient(_)
            | KeyError::NotAnIdentity
            | KeyError::NotAGrant
            | KeyError::LabelTooLong
            | KeyError::NotADomainName => ErrorClass::Invalid,
            KeyError::NoRandom | KeyError::Bug(_) => ErrorClass::Bug,
        }
    }
}

fn in_parentheses(unusable: &[String]) -> String {
    if unusable.is_empty() { String::new() } else { format!(" ({})", unusable.join("; ")) }
}
