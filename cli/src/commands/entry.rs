//! An entry of a restore point, as `ls`, `find` and `diff` show it.
//!
//! In: what the reader found. Out: a line like those of `ls -l`, and an object for programs from which nothing is lost. Never: follows a link.

use std::io::{self, Write};

use repository::read::Found;
use repository::source::FileType;
use serde::Serialize;

use crate::output::{Path, escape, hex, mode_text, time_text};

/// One entry.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EntryRow {
    #[serde(flatten)]
    path: Path,
    #[serde(flatten)]
    facts: Facts,
}

/// What is known of an entry apart from its path.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Permission bits in octal, as chmod takes them.
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    links: u64,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
    /// The exact bytes of a target that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target_hex: Option<String>,
    /// Major and minor number.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip)]
    shown_mode: String,
}

impl Facts {
    /// Describes what was found.
    pub(crate) fn new(found: &Found) -> Facts {
        let inode = &found.inode;
        let target = inode.link_target.as_deref();
        Facts {
            kind: kind(found.file_type),
            mode: format!("{:04o}", inode.mode & 0o7777),
            uid: inode.uid,
            gid: inode.gid,
            size: inode.size,
            links: inode.links,
            mtime: time_text(inode.mtime),
            link_target: target.map(|bytes| std::str::from_utf8(bytes).map_or_else(|_| escape(bytes), str::to_owned)),
            link_target_hex: target.filter(|bytes| std::str::from_utf8(bytes).is_err()).map(hex),
            device: inode.device,
            shown_mode: mode_text(found.file_type, inode.mode),
        }
    }
}

impl EntryRow {
    /// Describes what was found at a path.
    pub(crate) fn new(path: Path, found: &Found) -> EntryRow {
        EntryRow { path, facts: Facts::new(found) }
    }

    /// A line like one of `ls -l`.
    pub(crate) fn line(&self, out: &mut dyn Write) -> io::Result<()> {
        let Facts { shown_mode, links, uid, gid, size, mtime, link_target, device, .. } = &self.facts;
        let size = match device {
            Some((major, minor)) => format!("{major}, {minor}"),
            None => size.to_string(),
        };
        let time = mtime.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
        write!(out, "{shown_mode} {links:>3} {uid:>5} {gid:>5} {size:>12} {time} {}", self.path)?;
        match link_target {
            Some(target) => writeln!(out, " -> {}", escape(target.as_bytes())),
            None => writeln!(out),
        }
    }
}

/// The word for a type.
pub(crate) fn kind(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharDevice => "char_device",
        FileType::BlockDevice => "block_device",
    }
}

#[cfg(test)]
mod tests {
    use repository::tree::Inode;

    use super::*;

    fn link(target: &[u8]) -> EntryRow {
        let inode = Inode { mode: 0o777, links: 1, link_target: Some(target.to_vec()), ..Inode::default() };
        EntryRow::new(Path(b"a\nb".to_vec()), &Found { node: 2, file_type: FileType::Symlink, inode })
    }

    #[test]
    fn a_line_shows_what_ls_shows_and_no_control_character() {
        let mut out = Vec::new();
        link(b"to\x1b").line(&mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "lrwxrwxrwx   1     0     0            0 1970-01-01 00:00:00 a\\nb -> to\\u{1b}\n");
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        let json = serde_json::to_value(link(b"\xfe")).unwrap();
        assert_eq!(json["path"], "a\nb");
        assert_eq!(json["type"], "symlink");
        assert_eq!(json["link_target_hex"], "fe");
        assert!(json.get("device").is_none());
    }
}
