//! Temporary names: how they are made, told apart and swept.
//!
//! In: one random number per restore. Out: `.holdfast-` and 16 hexadecimal digits: eight of the restore, eight that count up.
//! Never: sweeps a name of the restore that is running, or a directory.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};
use repository::source::Names;

use crate::{listing, sys};

const PREFIX: &str = ".holdfast-";
/// A name that exists already belongs to another restore or to somebody who guesses; nobody guesses a hundred in a row.
const TRIES: u32 = 100;

/// The temporary names of one restore.
#[derive(Debug)]
pub(super) struct TemporaryNames {
    tag: u32,
    next: AtomicU32,
}

impl TemporaryNames {
    pub(super) fn new() -> Result<TemporaryNames, Errno> {
        let random = sys::random()?;
        Ok(TemporaryNames { tag: (random >> 32) as u32, next: AtomicU32::new(random as u32) })
    }

    /// Calls `make` with fresh names until it does not say that the name exists.
    pub(super) fn create<T>(&self, mut make: impl FnMut(&str) -> Result<T, Errno>) -> Result<(String, T), Errno> {
        for _ in 0..TRIES {
            let name = format!("{PREFIX}{:08x}{:08x}", self.tag, self.next.fetch_add(1, Ordering::Relaxed));
            match make(&name) {
                Ok(made) => return Ok((name, made)),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EAGAIN)
    }

    fn is_own(&self, name: &[u8]) -> bool {
        name.strip_prefix(PREFIX.as_bytes())
            .is_some_and(|rest| rest.starts_with(format!("{:08x}", self.tag).as_bytes()))
    }

    /// Removes what earlier restores that were killed left in a directory.
    pub(super) fn sweep(&self, directory: OwnedFd) -> Result<(), Errno> {
        let mut directory = Dir::from_fd(directory)?;
        let names = listing::names(&mut directory)?;
        for name in names.iter().filter(|name| is_temporary(name) && !self.is_own(name)) {
            match unlinkat(directory.as_fd(), name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) => {
                    tracing::info!(name = %name.escape_ascii(), "removed what an interrupted restore left behind")
                }
                Err(Errno::ENOENT | Errno::EISDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// All names but those that this restore is writing.
    pub(super) fn without_own(&self, names: Names) -> Result<Names, Errno> {
        if !names.iter().any(|name| self.is_own(name)) {
            return Ok(names);
        }
        let mut out = Names::default();
        for name in names.iter().filter(|name| !self.is_own(name)) {
            if !out.push(name) {
                return Err(Errno::EOVERFLOW);
            }
        }
        Ok(out)
    }
}

fn is_temporary(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|rest| rest.len() == 16 && rest.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exactly_our_names_are_temporary() {
        assert!(is_temporary(b".holdfast-0123456789abcdef"));
        for name in [
            &b".holdfast-0123456789abcde"[..],
            b".holdfast-0123456789abcdef0",
            b".holdfast-0123456789ABCDEF",
            b"holdfast-0123456789abcdef",
            b".holdfast",
        ] {
            assert!(!is_temporary(name), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn names_never_recur_within_a_restore() {
        let names = TemporaryNames::new().unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let (name, ()) = names.create(|_| Ok(())).unwrap();
            assert!(is_temporary(name.as_bytes()) && names.is_own(name.as_bytes()));
            assert!(seen.insert(name));
        }
    }
}
