//! Names in an open directory, sorted.
//!
//! In: an open directory. Out: [`Names`], each once. Never: `.` and `..`.

use nix::dir::Dir;
use nix::errno::Errno;
use repository::source::Names;

/// All names. `EOVERFLOW` past 4 GiB of them.
pub(crate) fn names(directory: &mut Dir) -> Result<Names, Errno> {
    let mut names = Names::default();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !names.push(name) {
            return Err(Errno::EOVERFLOW);
        }
    }
    names.sort();
    unique(names)
}

/// A directory that changes while it is listed may name an entry twice.
fn unique(names: Names) -> Result<Names, Errno> {
    let twice = names.iter().zip(names.iter().skip(1)).any(|(a, b)| a == b);
    if !twice {
        return Ok(names);
    }
    let mut out = Names::default();
    let mut last: Option<&[u8]> = None;
    for name in names.iter() {
        if last != Some(name) && !out.push(name) {
            return Err(Errno::EOVERFLOW);
        }
        last = Some(name);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_listed_twice_is_told_once() {
        let mut names = Names::default();
        for name in [&b"b"[..], b"a", b"b", b"b"] {
            assert!(names.push(name));
        }
        names.sort();
        assert_eq!(unique(names).unwrap().iter().collect::<Vec<_>>(), [&b"a"[..], b"b"]);
    }
}
