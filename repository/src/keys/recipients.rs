//! Recipients: who can open a repository, as a list of key files below `keys/`.
//!
//! In: a store and an open repository. Out: key files added, listed, removed, or exported for a safe elsewhere. Never: removes the last key that the caller can prove to
//! open the repository, or touches a key file that it was not asked about.

use bytes::Bytes;
use model::KeyId;

use super::age_file::{self, KEY_FILE_BYTES_MAX, KeyFile, Unopened, WrapKind};
use super::secret::{Random, random_array};
use super::{KeyError, OpenedRepository, Recipient, RepositoryManifest, Unlock};
use crate::Error;
use crate::layout::{self, ParsedName};
use crate::store::{Store, StoreError};

/// A key file as anybody can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientEntry {
    /// Its id.
    pub id: KeyId,
    /// How it is wrapped, or why nobody can use it.
    pub kind: Result<WrapKind, String>,
}

/// The key files of a repository, by id.
pub fn list_recipients(store: &Store) -> Result<Vec<RecipientEntry>, Error> {
    let mut entries = Vec::new();
    for id in key_ids(store)? {
        if let Some(bytes) = key_file(store, id)? {
            entries.push(RecipientEntry { id, kind: bytes.and_then(|bytes| age_file::kind(&bytes)) });
        }
    }
    Ok(entries)
}

/// Lets one more recipient open the repository. The label says whose key it is; it is sealed.
pub fn add_recipient(
    store: &Store,
    opened: &OpenedRepository,
    recipient: &Recipient,
    label: &str,
    random: &mut dyn Random,
) -> Result<KeyId, Error> {
    let bytes = export_key(opened, recipient, label)?;
    let id = KeyId(random_array(random)?);
    store.put(&layout::recipient_key(id), Bytes::from(bytes))?;
    Ok(id)
}

/// The repository key wrapped for `recipient`, to be kept elsewhere: with it and the bucket everything can be restored even if nothing is left below `keys/`
/// ([`super::open_repository_with_export`]); put back there under any id it is a key file like the others.
pub fn export_key(opened: &OpenedRepository, recipient: &Recipient, label: &str) -> Result<Vec<u8>, Error> {
    Ok(age_file::wrap(&opened.key, opened.manifest.repository, recipient, label)?)
}

/// Removes a key file. `unlock` must open one of those that remain: so the last key cannot go, and neither can all but some that nobody remembers.
pub fn remove_recipient(store: &Store, opened: &OpenedRepository, id: KeyId, unlock: &Unlock) -> Result<(), Error> {
    let ids = key_ids(store)?;
    if !ids.contains(&id) {
        return Err(KeyError::NoSuchKey { key: id }.into());
    }
    if !any_opens(store, opened, ids.iter().copied().filter(|other| *other != id), unlock)? {
        return Err(KeyError::LastKey { key: id }.into());
    }
    let removed = key_file(store, id)?;
    store.delete(&layout::recipient_key(id))?;
    // Somebody else may have removed the other one meanwhile; whoever looks second sees that and puts his back.
    if !any_opens(store, opened, key_ids(store)?.into_iter().filter(|other| *other != id), unlock)? {
        if let Some(Ok(bytes)) = removed {
            store.put(&layout::recipient_key(id), bytes)?;
        }
        return Err(KeyError::LastKey { key: id }.into());
    }
    Ok(())
}

fn any_opens(
    store: &Store,
    opened: &OpenedRepository,
    ids: impl Iterator<Item = KeyId>,
    unlock: &Unlock,
) -> Result<bool, Error> {
    for id in ids {
        let Some(Ok(bytes)) = key_file(store, id)? else { continue };
        if age_file::open(&bytes, unlock).is_ok_and(|file| opened.manifest.belongs_to(&file.key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ids of the key files that are listed.
pub(super) fn key_ids(store: &Store) -> Result<Vec<KeyId>, Error> {
    let listed = store.list(layout::KEYS)?;
    let id = |name: &str| match ParsedName::parse(name) {
        Ok(ParsedName::RecipientKey(id)) => Some(id),
        _ => None,
    };
    Ok(listed.iter().filter_map(|listed| id(&listed.name)).collect())
}

/// The bytes of a key file; `None` if it is gone, an inner error if it is too large to be one.
pub(super) fn key_file(store: &Store, id: KeyId) -> Result<Option<Result<Bytes, String>>, Error> {
    match store.get_at_most(&layout::recipient_key(id), KEY_FILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(Ok(bytes))),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error @ StoreError::TooLarge { .. }) => Ok(Some(Err(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// How many key files are held in memory at once (4 MiB); a repository has a handful, but anybody who can write to the bucket can add more.
const KEY_FILES_AT_ONCE: usize = 64;

/// What trying the key files of a repository has shown.
#[derive(Default)]
struct Attempts {
    keys: usize,
    unusable: Vec<String>,
    foreign: Option<KeyError>,
}

/// Opens the first key file that holds the key of the repository that `manifest` describes.
pub(super) fn open_any(store: &Store, manifest: &RepositoryManifest, unlock: &Unlock) -> Result<KeyFile, Error> {
    let mut attempts = Attempts::default();
    for ids in key_ids(store)?.chunks(KEY_FILES_AT_ONCE) {
        for (id, bytes) in attempts.usable(store, ids)? {
            if let Some(file) = attempts.open(manifest, id, &bytes, unlock) {
                return Ok(file);
            }
        }
    }
    Err(attempts.failure().into())
}

/// Opens one key file that was kept outside the repository.
pub(super) fn open_export(export: &[u8], manifest: &RepositoryManifest, unlock: &Unlock) -> Result<KeyFile, Error> {
    let mut attempts = Attempts { keys: 1, ..Attempts::default() };
    attempts.open(manifest, "the exported key", export, unlock).ok_or_else(|| attempts.failure().into())
}

impl Attempts {
    /// Fetches key files. Those that take little work come first, so that whoever plants an expensive one does not make every opening expensive.
    fn usable(&mut self, store: &Store, ids: &[KeyId]) -> Result<Vec<(KeyId, Bytes)>, Error> {
        let mut files = Vec::new();
        for id in ids {
            let Some(bytes) = key_file(store, *id)? else { continue };
            self.keys += 1;
            match bytes.and_then(|bytes| Ok((age_file::kind(&bytes)?, bytes))) {
                Ok((WrapKind::X25519, bytes)) => files.push((0, *id, bytes)),
                Ok((WrapKind::Passphrase { work_factor_log2 }, bytes)) => files.push((work_factor_log2, *id, bytes)),
                Err(why) => self.unusable(id, why),
            }
        }
        files.sort_by_key(|(work, id, _)| (*work, *id));
        Ok(files.into_iter().map(|(_, id, bytes)| (id, bytes)).collect())
    }

    fn open(
        &mut self,
        manifest: &RepositoryManifest,
        name: impl ToString,
        bytes: &[u8],
        unlock: &Unlock,
    ) -> Option<KeyFile> {
        match age_file::open(bytes, unlock) {
            Ok(file) if manifest.belongs_to(&file.key) => return Some(file),
            Ok(file) => {
                let foreign = KeyError::ForeignKey {
                    key: name.to_string(),
                    made_for: file.made_for,
                    repository: manifest.repository,
                };
                self.foreign.get_or_insert(foreign);
            }
            Err(Unopened::NotForThis) => {}
            Err(Unopened::Unusable(why)) => self.unusable(name, why),
        }
        None
    }

    fn unusable(&mut self, name: impl ToString, why: String) {
        self.unusable.push(KeyError::UnusableKey { key: name.to_string(), why }.to_string());
    }

    fn failure(self) -> KeyError {
        match (self.foreign, self.keys) {
            (Some(foreign), _) => foreign,
            (None, 0) => KeyError::NoKeys,
            (None, keys) => KeyError::WrongUnlock { keys, unusable: self.unusable },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::age_file::tests::foreign;
    use crate::keys::tests::memory;

    #[test]
    fn files_that_take_little_work_are_tried_first_whatever_their_ids() {
        let store = memory();
        for (id, work_factor_log2) in [(1, 9), (2, 3), (3, 6), (4, 3)] {
            store
                .put(&layout::recipient_key(KeyId([id; 16])), Bytes::from(foreign(b"{}", "p", work_factor_log2)))
                .unwrap();
        }
        let ids = key_ids(&store).unwrap();
        let order: Vec<u8> =
            Attempts::default().usable(&store, &ids).unwrap().into_iter().map(|(id, _)| id.0[0]).collect();
        assert_eq!(order, [2, 4, 3, 1]);
    }
}
