//! Thin wrappers over system calls that neither the standard library nor `nix` offers, and the one safe way to open a path.
//!
//! In: descriptors and single names. Out: what the kernel said, as plain values or an errno. Never: decides anything.
//!
//! The only module of the project that may hold unsafe code. Every unsafe block says why it is sound.
#![allow(unsafe_code)]

pub(crate) mod cache;
pub(crate) mod device;
pub(crate) mod fanotify;
pub(crate) mod heap;
pub(crate) mod lease;
pub(crate) mod mount;
pub(crate) mod open;
#[cfg(test)]
pub(crate) mod passing;
pub(crate) mod process;
#[cfg(test)]
pub(crate) mod silent;
pub(crate) mod stat;
pub(crate) mod superblock;
pub(crate) mod xattr;

use nix::errno::Errno;

/// Turns the result of a raw call into a value or the errno.
fn checked(result: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// Eight random bytes from the kernel: for names that nobody can have guessed.
pub(crate) fn random() -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the kernel writes at most `len` bytes into a buffer of that length. Requests below 256 bytes are never cut short once the pool is up.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if checked(got as libc::c_long)? != bytes.len() {
        return Err(Errno::EAGAIN);
    }
    Ok(u64::from_le_bytes(bytes))
}
