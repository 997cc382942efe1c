//! What the protocol requires of a store, tried out before a repository is made in it.
//!
//! In: a store and a token that nobody has used. Out: a [`ProbeReport`], or the requirement that the store does not meet, by name. Never: touches
//! anything outside `probe/<token>/`, or leaves anything there. It can only find what shows in a moment: a store that is consistent today
//! and not tomorrow passes.

use bytes::Bytes;
use model::ErrorClass;

use super::{Requests, Store, StoreError};

/// What a store must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// A get that starts after a put was acknowledged sees the object, also when it was asked for before it existed.
    PutIsSeenByGet,
    /// A list that starts after a put was acknowledged names the object, with its size.
    PutIsSeenByList,
    /// An object is read as it was written, an empty one too.
    BytesAreKept,
    /// A range is answered with exactly its bytes, and one beyond the end is not.
    RangesAreExact,
    /// The same bytes may be put again under the same name.
    SameBytesMayBePutAgain,
    /// A list of a prefix is recursive and names nothing outside it.
    ListsAreOfOnePrefix,
    /// A get that starts after a delete was acknowledged finds nothing.
    DeleteIsSeenByGet,
    /// A list that starts after a delete was acknowledged does not name the object.
    DeleteIsSeenByList,
    /// Deleting what does not exist is no error.
    AbsentMayBeDeleted,
}

impl Requirement {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Requirement; 9] = [
        Requirement::PutIsSeenByGet,
        Requirement::BytesAreKept,
        Requirement::PutIsSeenByList,
        Requirement::RangesAreExact,
        Requirement::SameBytesMayBePutAgain,
        Requirement::ListsAreOfOnePrefix,
        Requirement::DeleteIsSeenByGet,
        Requirement::DeleteIsSeenByList,
        Requirement::AbsentMayBeDeleted,
    ];
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Requirement::PutIsSeenByGet => "an acknowledged put is seen by every get that starts later",
            Requirement::PutIsSeenByList => "an acknowledged put is seen by every list that starts later",
            Requirement::BytesAreKept => "an object is read as it was written",
            Requirement::RangesAreExact => "a range is answered with exactly its bytes",
            Requirement::SameBytesMayBePutAgain => "the same bytes may be put again under the same name",
            Requirement::ListsAreOfOnePrefix => "a list is recursive and names nothing outside its prefix",
            Requirement::DeleteIsSeenByGet => "an acknowledged delete is seen by every get that starts later",
            Requirement::DeleteIsSeenByList => "an acknowledged delete is seen by every list that starts later",
            Requirement::AbsentMayBeDeleted => "deleting what does not exist is no error",
        })
    }
}

/// A store that met every requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ProbeReport {
    /// What was tried.
    pub met: Vec<Requirement>,
    /// What it took.
    pub requests: Requests,
}

/// Why a store cannot hold a repository.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// It does not do what the protocol rests on.
    #[error(
        "this store cannot hold a repository, it lacks: {requirement} ({saw}); choose another store, or its strongest consistency"
    )]
    Lacking {
        /// What it does not do.
        requirement: Requirement,
        /// What it did instead.
        saw: String,
    },
    /// A request failed.
    #[error("the store could not be tried out: {0}")]
    Store(#[from] StoreError),
}

impl ProbeError {
    /// The next move after this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            ProbeError::Lacking { .. } => ErrorClass::Invalid,
            ProbeError::Store(error) => error.class(),
        }
    }
}

/// Puts are checked this often: a store that answers from several servers may show it only now and then.
const ROUNDS: usize = 4;

/// Tries out what the protocol requires. `token` is fresh, and fit for a name: letters, digits, `-`.
pub fn probe(store: &Store, token: &str) -> Result<ProbeReport, ProbeError> {
    let before = store.requests();
    let root = format!("probe/{token}");
    let tried = Probe { store, root: &root }.run();
    let cleaned = clean(store, &root);
    tried?;
    cleaned?;
    Ok(ProbeReport { met: Requirement::ALL.to_vec(), requests: store.requests().since(before) })
}

/// Removes what the probe wrote, by the names that it may have written: a list may be what the store does wrong.
fn clean(store: &Store, root: &str) -> Result<(), StoreError> {
    let names =
        (0..ROUNDS).map(|round| format!("a/{round}")).chain(["a/empty", "ab/other", "a/deep/er"].map(str::to_owned));
    for name in names {
        store.delete(&format!("{root}/{name}"))?;
    }
    Ok(())
}

struct Probe<'a> {
    store: &'a Store,
    root: &'a str,
}

impl Probe<'_> {
    fn run(&self) -> Result<(), ProbeError> {
        self.puts()?;
        self.ranges()?;
        self.put_again()?;
        self.prefixes()?;
        self.deletes()
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// 1,000 bytes that differ from round to round.
    fn content(&self, round: usize) -> Bytes {
        (0..1_000).map(|index| ((index * 7 + round * 31) % 251) as u8).collect::<Vec<_>>().into()
    }

    fn puts(&self) -> Result<(), ProbeError> {
        for round in 0..ROUNDS {
            let (name, content) = (self.name(&format!("a/{round}")), self.content(round));
            // Asked for before it exists, so that a cached "not found" shows.
            require(Requirement::PutIsSeenByGet, !self.store.exists(&name)?, || {
                format!("{name} exists before it was put")
            })?;
            self.store.put(&name, content.clone())?;
            match self.store.get(&name) {
                Err(error) if error.is_not_found() => {
                    return lacking(Requirement::PutIsSeenByGet, format!("{name} is not found after it was put"));
                }
                read => require(Requirement::BytesAreKept, read? == content, || format!("{name} reads differently"))?,
            }
            let size = self.store.size(&name)?;
            require(Requirement::PutIsSeenByGet, size == Some(1_000), || {
                format!("the size of {name} is {size:?}, not 1000")
            })?;
            self.listed(&name)?;
        }
        let empty = self.name("a/empty");
        self.store.put(&empty, Bytes::new())?;
        let read = self.store.get(&empty)?;
        require(Requirement::BytesAreKept, read.is_empty(), || format!("the empty {empty} has {} bytes", read.len()))
    }

    fn listed(&self, name: &str) -> Result<(), ProbeError> {
        let listed = self.store.list(&self.name("a"))?;
        let size = listed.iter().find(|entry| entry.name == name).map(|entry| entry.size);
        require(Requirement::PutIsSeenByList, size == Some(1_000), || match size {
            None => format!("{name} is not listed after it was put"),
            Some(size) => format!("{name} is listed with {size} bytes instead of 1000"),
        })
    }

    fn ranges(&self) -> Result<(), ProbeError> {
        let (name, content) = (self.name("a/0"), self.content(0));
        for range in [0..1, 1..999, 999..1_000, 0..1_000, 250..251] {
            let expected = content.slice(range.start as usize..range.end as usize);
            let read = match self.store.get_range(&name, range.clone()) {
                Err(error) if matches!(error.class(), ErrorClass::Invalid | ErrorClass::Corrupt) => {
                    return lacking(Requirement::RangesAreExact, format!("bytes {range:?} of {name}: {error}"));
                }
                read => read?,
            };
            require(Requirement::RangesAreExact, read == expected, || {
                format!("bytes {range:?} of {name} read differently")
            })?;
        }
        for beyond in [500..1_001, 1_000..1_001, 5_000..5_010] {
            match self.store.get_range(&name, beyond.clone()) {
                Err(StoreError::Truncated { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    return lacking(Requirement::RangesAreExact, format!("bytes {beyond:?} of 1000 were answered"));
                }
            }
        }
        Ok(())
    }

    fn put_again(&self) -> Result<(), ProbeError> {
        let (name, content) = (self.name("a/0"), self.content(0));
        match self.store.put(&name, content.clone()) {
            Err(error) if error.class() != ErrorClass::Retry => {
                return lacking(Requirement::SameBytesMayBePutAgain, error.to_string());
            }
            put => put?,
        }
        let read = self.store.get(&name)?;
        require(Requirement::SameBytesMayBePutAgain, read == content, || format!("{name} reads differently afterwards"))
    }

    fn prefixes(&self) -> Result<(), ProbeError> {
        self.store.put(&self.name("ab/other"), self.content(0))?;
        self.store.put(&self.name("a/deep/er"), self.content(1))?;
        let names: Vec<_> = self.store.list(&self.name("a"))?.into_iter().map(|entry| entry.name).collect();
        let mut expected: Vec<_> = (0..ROUNDS).map(|round| self.name(&format!("a/{round}"))).collect();
        expected.extend([self.name("a/deep/er"), self.name("a/empty")]);
        expected.sort();
        require(Requirement::ListsAreOfOnePrefix, names == expected, || {
            format!("expected {expected:?}, listed {names:?}")
        })
    }

    fn deletes(&self) -> Result<(), ProbeError> {
        for round in 0..ROUNDS {
            let name = self.name(&format!("a/{round}"));
            self.store.delete(&name)?;
            let read = self.store.get(&name);
            let gone = matches!(&read, Err(error) if error.is_not_found());
            if let (Err(error), false) = (read, gone) {
                return Err(error.into());
            }
            require(Requirement::DeleteIsSeenByGet, gone, || format!("{name} is read after it was deleted"))?;
            let listed = self.store.list(&self.name("a"))?.iter().any(|entry| entry.name == name);
            require(Requirement::DeleteIsSeenByList, !listed, || format!("{name} is listed after it was deleted"))?;
            self.store.delete(&name).or_else(|error| lacking(Requirement::AbsentMayBeDeleted, error.to_string()))?;
        }
        Ok(())
    }
}

fn require(requirement: Requirement, met: bool, saw: impl FnOnce() -> String) -> Result<(), ProbeError> {
    if met { Ok(()) } else { lacking(requirement, saw()) }
}

fn lacking<T>(requirement: Requirement, saw: String) -> Result<T, ProbeError> {
    Err(ProbeError::Lacking { requirement, saw })
}
