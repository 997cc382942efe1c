//! Opening: from settings to a repository and a domain.
//!
//! In: settings, and from [`crate::app`] the store, clock and randomness. Out: an opened repository, whose id is the one that this machine remembers. Never: names a
//! concrete store, clock or generator.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::DomainId;
use repository::domain::{Clock, Domain};
use repository::keys::{
    self, DomainAccess, FoundDomain, KeyError, OpenedRepository, Random, Recipient, Unlock, open_repository,
    open_repository_with_export,
};
use repository::layout::{NeededBy, REPOSITORY};
use repository::store::{Location, OpenMode, RetryPolicy, Store};
use repository::upkeep::Keeper;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::Output;
use crate::pins::{self, Pin, address};
use crate::prompt;
use crate::settings::{Environment, SecretFrom, Settings};

/// A passphrase, a few identities, or an exported key; all of them are shorter.
const SECRET_FILE_BYTES_MAX: u64 = keys::KEY_FILE_BYTES_MAX;

/// Opens the store at a URL.
pub(crate) type OpenStore = dyn Fn(&str, OpenMode) -> Result<Store, repository::store::OpenError>;

/// What commands work with.
pub(crate) struct Context {
    /// What the command line says.
    pub(crate) settings: Settings,
    /// Where results go.
    pub(crate) output: Output,
    /// Runs requests and listens for signals.
    pub(crate) runtime: Handle,
    /// Tells the time.
    pub(crate) clock: Clock,
    /// How long this machine has been running, sleep included.
    pub(crate) uptime: Arc<dyn Fn() -> Option<Duration>>,
    /// Where keys and ids come from.
    pub(crate) random: Arc<Mutex<dyn Random + Send>>,
    /// Variables.
    pub(crate) environment: Box<Environment>,
    /// Opens stores.
    pub(crate) open_store: Box<OpenStore>,
    /// Opens stores of other repositories: replicas, sources.
    pub(crate) open_other_store: Box<OpenStore>,
    /// The name of this machine.
    pub(crate) host: String,
}

/// A domain that is there.
pub(crate) struct OneDomain {
    /// Its id.
    pub(crate) id: DomainId,
    /// Its name, if anything says it.
    pub(crate) name: Option<String>,
    /// `Err`: why it cannot be opened.
    pub(crate) opened: Result<Domain, String>,
}

/// A repository, open.
pub(crate) struct Opened {
    /// Where its objects are.
    pub(crate) store: Store,
    /// Its keys.
    pub(crate) repository: OpenedRepository,
    /// What opened it.
    pub(crate) unlock: Unlock,
}

impl Context {
    /// The URL of the repository.
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        self.settings.repository.as_deref().ok_or_else(|| {
            Failure::Usage("no repository is named: give --repository URL, or set HOLDFAST_REPOSITORY".to_owned())
        })
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<Location, Failure> {
        Ok(self.url()?.parse()?)
    }

    /// The store of the repository.
    pub(crate) fn store(&self, mode: OpenMode) -> Result<Store, Failure> {
        Ok((self.open_store)(self.url()?, mode)?.with_bandwidth_limit(self.settings.bandwidth_bytes))
    }

    /// The store of another repository.
    pub(crate) fn other_store(&self, url: &str, mode: OpenMode) -> Result<Store, Failure> {
        Ok((self.open_other_store)(url, mode)?.with_bandwidth_limit(self.settings.bandwidth_bytes))
    }

    /// Opens the repository and checks that it is the one that was there before.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        self.open_with(self.settings.exported_key.as_deref())
    }

    /// The same with a key that was exported, whatever keys the repository has.
    pub(crate) fn open_with_export(&self, export: &Path) -> Result<Opened, Failure> {
        self.open_with(Some(export))
    }

    fn open_with(&self, export: Option<&Path>) -> Result<Opened, Failure> {
        let store = self.store(OpenMode::Existing)?;
        // Somebody waits, and a wrong address is as likely as a busy store.
        let contact = store.clone().with_retry(RetryPolicy::first_contact());
        if self.settings.secret == SecretFrom::Terminal && prompt::possible() && !contact.exists(REPOSITORY)? {
            return Err(KeyError::NoRepository.into());
        }
        let unlock = self.unlock()?;
        let pin = self.pin()?;
        let pinned = pin.as_ref().and_then(Pin::read);
        let opened = match export {
            None => open_repository(&contact, &unlock, pinned),
            Some(path) => open_repository_with_export(&contact, &read_secret(path)?, &unlock, pinned),
        };
        let repository = opened.map_err(|error| match (error, &pin) {
            (repository::Error::Key(cause @ KeyError::NotThePinned { .. }), Some(pin)) => {
                Failure::Pinned { cause, file: pin.file().to_owned() }
            }
            (error, _) => error.into(),
        })?;
        if let (None, Some(pin)) = (pinned, &pin) {
            pin.write(repository.id());
        }
        Ok(Opened { store, repository, unlock })
    }

    /// What remembers the id of the repository; `None`: nothing can be kept on this machine.
    pub(crate) fn pin(&self) -> Result<Option<Pin>, Failure> {
        let address = address(&self.location()?, &*self.environment);
        if self.settings.cache_dir.is_none() {
            tracing::warn!(
                "no cache directory is known (neither HOME nor XDG_CACHE_HOME is set): the id of this repository is not checked; give --cache-dir"
            );
        }
        Ok(self.settings.cache_dir.as_deref().map(|cache| Pin::new(cache, address)))
    }

    /// What this machine keeps about this repository. By address: what was sent to one place is not at another, though it be a copy of the first.
    pub(crate) fn cache_folder(&self) -> Result<Option<PathBuf>, Failure> {
        let address = address(&self.location()?, &*self.environment);
        Ok(self.settings.cache_dir.as_deref().map(|cache| pins::folder(cache, &address)))
    }

    /// Where journals of backups into this repository are kept.
    pub(crate) fn journals(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(self.cache_folder()?.map(|folder| folder.join("journals")))
    }

    fn unlock(&self) -> Result<Unlock, Failure> {
        let unlock = match &self.settings.secret {
            SecretFrom::PassphraseFile(path) => Unlock::from_passphrase_file(&read_secret(path)?)?,
            SecretFrom::IdentityFile(path) => identities(path)?,
            SecretFrom::Terminal if prompt::possible() => {
                Unlock::from_passphrase_file(&prompt::passphrase(&self.output, "Passphrase")?)?
            }
            SecretFrom::Terminal => return Err(no_secret()),
        };
        Ok(unlock)
    }

    /// For whom a new repository is made: whoever holds the secret of the command line.
    pub(crate) fn new_recipients(&self) -> Result<Vec<Recipient>, Failure> {
        match &self.settings.secret {
            SecretFrom::PassphraseFile(path) => Ok(vec![Recipient::from_passphrase_file(&read_secret(path)?)?]),
            SecretFrom::IdentityFile(path) => Ok(identities(path)?.recipients()),
            SecretFrom::Terminal if prompt::possible() => {
                Ok(vec![Recipient::from_passphrase_file(&prompt::new_passphrase(&self.output)?)?])
            }
            SecretFrom::Terminal => Err(no_secret()),
        }
    }

    /// Work with randomness.
    pub(crate) fn with_random<T>(&self, work: impl FnOnce(&mut dyn Random) -> T) -> T {
        work(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A domain whose keys are at hand.
    pub(crate) fn domain_with(&self, store: &Store, repository: &OpenedRepository, access: DomainAccess) -> Domain {
        let upkeep = repository.manifest.upkeep_public;
        Domain::new(store.clone(), access, upkeep, self.random.clone(), self.clock.clone())
    }

    /// The domain, for reading.
    pub(crate) fn domain_to_read(&self) -> Result<Domain, Failure> {
        let Opened { store, repository, .. } = self.open()?;
        let access = repository.domain(&store, self.settings.one_domain())?;
        Ok(self.domain_with(&store, &repository, access))
    }

    /// For reading, the domain that was named, or if none was, every domain of the repository; there is at least one.
    pub(crate) fn domains_to_read(&self) -> Result<Vec<OneDomain>, Failure> {
        let opened = self.open()?;
        let mut domains = Vec::new();
        if self.settings.domain.is_none() {
            for found in opened.repository.domains(&opened.store)? {
                domains.extend(self.found_domain(&opened, found)?);
            }
        }
        if domains.is_empty() {
            let access = opened.repository.domain(&opened.store, self.settings.one_domain())?;
            let domain = self.domain_with(&opened.store, &opened.repository, access);
            domains.push(OneDomain { id: domain.id(), name: Some(domain.name().to_owned()), opened: Ok(domain) });
        }
        Ok(domains)
    }

    /// `None`: it was destroyed since it was listed. What is wrong with one domain keeps nobody from the others; what is wrong with the store does.
    fn found_domain(&self, opened: &Opened, found: FoundDomain) -> Result<Option<OneDomain>, Failure> {
        let FoundDomain { id, name } = found;
        let name = match name {
            Ok(name) => name,
            Err(why) => return Ok(Some(OneDomain { id, name: None, opened: Err(why) })),
        };
        let domain = match opened.repository.domain(&opened.store, &name) {
            Ok(access) => Ok(self.domain_with(&opened.store, &opened.repository, access)),
            Err(repository::Error::Key(KeyError::NoDomain { .. })) => return Ok(None),
            Err(error @ repository::Error::Key(KeyError::KeysLost { .. })) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(OneDomain { id, name: Some(name), opened: domain }))
    }

    /// The domain, for writing; made if nobody has used it yet.
    pub(crate) fn domain_to_write(&self) -> Result<Domain, Failure> {
        let Opened { store, repository, .. } = self.open()?;
        repository.features.check(NeededBy::Write)?;
        let access = self.with_random(|random| repository.domain_or_new(&store, self.settings.one_domain(), random))?;
        Ok(self.domain_with(&store, &repository, access))
    }

    /// The domain, in the hands of upkeep: only who holds the repository key can mark and delete.
    pub(crate) fn keeper(&self) -> Result<Keeper, Failure> {
        self.keeper_of(&self.open_for_upkeep()?)
    }

    /// The repository, for who marks and deletes.
    pub(crate) fn open_for_upkeep(&self) -> Result<Opened, Failure> {
        let opened = self.open()?;
        opened.repository.features.check(NeededBy::Collect)?;
        Ok(opened)
    }

    /// The domain of a repository that is open, in the hands of upkeep.
    pub(crate) fn keeper_of(&self, opened: &Opened) -> Result<Keeper, Failure> {
        let Opened { store, repository, .. } = opened;
        let access = repository.domain(store, self.settings.one_domain())?;
        let domain = self.domain_with(store, repository, access);
        Ok(Keeper::new(domain, Arc::new(repository.upkeep()?))?)
    }

    /// The domain, for looking at what a backup would do. If nobody has used it yet, it is made in memory.
    pub(crate) fn domain_to_preview(&self) -> Result<Domain, Failure> {
        let Opened { store, repository, .. } = self.open()?;
        repository.features.check(NeededBy::Write)?;
        let access = match repository.domain(&store, self.settings.one_domain()) {
            Err(error) if error.class() == model::ErrorClass::Missing => {
                let nowhere = (self.open_store)("memory:", OpenMode::Create)?;
                self.with_random(|random| repository.domain_or_new(&nowhere, self.settings.one_domain(), random))?
            }
            access => access?,
        };
        Ok(self.domain_with(&store, &repository, access))
    }
}

fn no_secret() -> Failure {
    Failure::Usage(
        "nothing to open the repository with: give --passphrase-file or --identity-file, or set HOLDFAST_PASSPHRASE_FILE (there is no terminal to ask at)"
            .to_owned(),
    )
}

/// Reads age identities.
pub(crate) fn identities(path: &Path) -> Result<Unlock, Failure> {
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyError::NotAnIdentity)?;
    Ok(Unlock::from_identity_file(text)?)
}

/// Reads a small file that is, or may be, secret.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |source| Failure::File { what: "read", path: PathBuf::from(path), source };
    let file = fs::File::open(path).map_err(failed)?;
    // One byte of room more than may be read: the buffer never moves, so no copy of the secret is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_FILE_BYTES_MAX as usize + 2));
    file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("{} is longer than 64 KiB: it is not what holds a secret", path.display())));
    }
    Ok(bytes)
}
