//! Removing an entry and everything below it.
//!
//! In: an open directory and a name in it. Out: nothing of that name. Never: follows a link, enters another mount, or uses memory by depth beyond the names on the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::open;
use crate::sys::stat::statx;

/// How often a directory that fills again behind us is emptied before we give up.
const PASSES_MAX: u32 = 3;
/// Deeper trees are somebody's attempt to outrun us.
const DEPTH_MAX: usize = 65_536;

/// A directory on the way down.
struct Level {
    name: Vec<u8>,
    /// Directories in it that are still to be removed.
    below: Vec<Vec<u8>>,
    passes: u32,
}

/// Removes `name` in `parent`. That there is none is fine.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(errno),
    }
    let mut levels = vec![level(parent, &[], name.to_vec())?];
    while let Some(top) = levels.last_mut() {
        if let Some(next) = top.below.pop() {
            if levels.len() >= DEPTH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            let entered = level(parent, &levels, next)?;
            levels.push(entered);
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let above = open_level(parent, &levels, OFlag::O_PATH)?;
        match unlinkat(&above, done.name.as_slice(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::ENOTEMPTY) if done.passes < PASSES_MAX => {
                let again = Level { passes: done.passes + 1, ..level(parent, &levels, done.name)? };
                levels.push(again);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Opens the directory that `levels` lead to. Opened anew each time: a descriptor per level would run out in a deep tree.
fn open_level(parent: BorrowedFd<'_>, levels: &[Level], flags: OFlag) -> Result<OwnedFd, Errno> {
    let names: Vec<&[u8]> = levels.iter().map(|level| level.name.as_slice()).collect();
    open::directory(parent, &names, flags)
}

/// Enters a directory: removes what is not a directory and collects what is.
fn level(parent: BorrowedFd<'_>, levels: &[Level], name: Vec<u8>) -> Result<Level, Errno> {
    let mut names: Vec<&[u8]> = levels.iter().map(|level| level.name.as_slice()).collect();
    names.push(&name);
    let mut below = Vec::new();
    match open::directory(parent, &names, OFlag::O_RDONLY) {
        Ok(fd) => empty(&mut Dir::from_fd(fd)?, &mut below)?,
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    Ok(Level { name, below, passes: 0 })
}

fn empty(directory: &mut Dir, below: &mut Vec<Vec<u8>>) -> Result<(), Errno> {
    let fd = directory.as_fd().try_clone_to_owned().map_err(|error| crate::error::errno_of(&error))?;
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let is_directory = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => statx(&fd, name).is_ok_and(|raw| raw.kind() == libc::S_IFDIR),
        };
        if is_directory {
            below.push(name.to_vec());
            continue;
        }
        match unlinkat(&fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => below.push(name.to_vec()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
