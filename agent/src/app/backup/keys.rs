//! Keys: from the secret of the command line to the keys of one domain.
//!
//! In: a repository and a secret. Out: the bytes of a grant, for workers. Never: gives a worker more than that.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use repository::keys::{DomainGrant, SystemRandom, Unlock, open_repository};
use repository::layout::NeededBy;
use repository::store::{self, OpenMode, RetryPolicy, Store};
use zeroize::Zeroizing;

use super::Options;
use crate::app::Failure;

/// A passphrase or a few identities are shorter.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The keys of the domain, which is made if nobody has used it yet.
pub(super) fn grant(options: &Options, settings: &BTreeMap<String, String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(folder) = &options.state_dir {
        std::fs::create_dir_all(folder.join("journals"))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let setting = |name: &str| settings.get(name).cloned();
    let opened = store::open(&options.repository, &setting, OpenMode::Existing)?;
    let store = Store::new(opened, runtime.handle().clone());
    let unlock = match (&options.passphrase_file, &options.identity_file) {
        (Some(file), _) => Unlock::from_passphrase_file(&secret(file)?).map_err(repository::Error::from)?,
        (None, Some(file)) => {
            let bytes = secret(file)?;
            let text = std::str::from_utf8(&bytes);
            let text = text.map_err(|_| Failure::Usage(format!("{} is not text", file.display())))?;
            Unlock::from_identity_file(text).map_err(repository::Error::from)?
        }
        (None, None) => return Err(Failure::Usage("give --passphrase-file or --identity-file".to_owned())),
    };
    let repository = open_repository(&store.clone().with_retry(RetryPolicy::first_contact()), &unlock, None)?;
    repository.features.check(NeededBy::Write).map_err(repository::Error::from)?;
    let access = repository.domain_or_new(&store, &options.domain, &mut SystemRandom)?;
    let bytes = DomainGrant { access, upkeep: repository.manifest.upkeep_public }.to_bytes();
    runtime.shutdown_background();
    Ok(bytes?)
}

fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error| Failure::File { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    // The buffer never moves, so no copy of the secret is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 2));
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > SECRET_BYTES_MAX {
        true => Err(Failure::Usage(format!("{} is longer than 64 KiB: it is not what holds a secret", path.display()))),
        false => Ok(bytes),
    }
}
