//! Mounts: the mount table, and what is mounted exactly at a path.
//!
//! In: the bytes of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). Out: [`Mounts`], asked by path or by device. Never: touches what is mounted, trusts that a source or a
//! name is text, or fails as a whole: a line that cannot be read is counted.
//!
//! A path may have several mounts on top of each other, and a mount may be hidden under one that was made later on a directory above it. So a path is looked up as the
//! kernel walks it, from mount to child, and not by searching the table for its text.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::problem::Problem;
use crate::text::escape;

/// A mount namespace has at most 100,000 mounts unless somebody raised `fs.mount-max`; a line has 200 bytes, one of an overlay some thousand.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// The kernel hands the table out in pieces: so often it is read until two readings agree.
const READINGS_MAX: usize = 4;

/// Major and minor number of a filesystem, as `stat` would give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Device {
    /// 0: the filesystem is on no block device (or, as btrfs, does not say so).
    pub major: u32,
    /// The second half.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Unique among the mounts of now; used again after this one is gone.
    pub id: u64,
    /// The mount that it is mounted in.
    pub parent: u64,
    /// The filesystem's numbers.
    pub device: Device,
    /// Which directory of the filesystem is mounted; `/` is all of it.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Such as `ext4`.
    pub fs_type: Vec<u8>,
    /// What was mounted; any bytes, a filesystem may print what it likes.
    pub source: Vec<u8>,
    /// This mount cannot be written to.
    pub read_only: bool,
    /// Nor can any other of the same filesystem.
    pub super_read_only: bool,
}

impl Mount {
    /// Whether all of the filesystem is mounted there.
    pub fn is_whole(&self) -> bool {
        self.root.as_os_str().as_bytes() == b"/"
    }

    /// The type as text; real ones are ASCII, a FUSE filesystem's subtype may be anything.
    pub fn type_text(&self) -> String {
        escape(&self.fs_type)
    }
}

/// The mount table of one moment.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    list: Vec<Mount>,
    /// Children by parent (`None`: the parent is not in the table, as that of the root) and by mount point.
    children: HashMap<(Option<u64>, PathBuf), usize>,
    by_device: HashMap<Device, Vec<usize>>,
    unreadable: usize,
}

impl Mounts {
    /// Reads the table of this process.
    pub fn read() -> Result<Mounts, Problem> {
        let failed = |error: io::Error| Problem::Mounts { why: error.kind().to_string() };
        let mut last = table().map_err(failed)?;
        for _ in 1..READINGS_MAX {
            let again = table().map_err(failed)?;
            if again == last {
                break;
            }
            last = again;
        }
        if last.len() as u64 > TABLE_BYTES_MAX {
            return Err(Problem::Mounts { why: format!("it has more than {TABLE_BYTES_MAX} bytes") });
        }
        Ok(Mounts::parse(&last))
    }

    /// Reads a table from its bytes.
    pub fn parse(bytes: &[u8]) -> Mounts {
        let mut mounts = Mounts::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match mount(line) {
                Some(mount) => mounts.list.push(mount),
                None => mounts.unreadable += 1,
            }
        }
        let ids: HashMap<u64, usize> = mounts.list.iter().enumerate().map(|(index, mount)| (mount.id, index)).collect();
        for (index, mount) in mounts.list.iter().enumerate() {
            let parent = (mount.parent != mount.id && ids.contains_key(&mount.parent)).then_some(mount.parent);
            mounts.children.insert((parent, mount.point.clone()), index);
            mounts.by_device.entry(mount.device).or_default().push(index);
        }
        mounts
    }

    /// What is mounted exactly at an absolute path, as a process that opens it would find it.
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        let mut found: Option<&Mount> = None;
        let mut steps = 0;
        for step in way {
            // Mounts on top of each other are children of each other at the same path.
            while let Some(index) = self.children.get(&(found.map(|mount| mount.id), step.to_path_buf())) {
                found = self.list.get(*index);
                steps += 1;
                // A table that goes round in circles is not the kernel's.
                if steps > self.list.len() {
                    return None;
                }
            }
        }
        found.filter(|mount| mount.point == path)
    }

    /// All mounts of one filesystem, hidden ones too.
    pub fn of_device(&self, device: Device) -> impl Iterator<Item = &Mount> {
        self.by_device.get(&device).into_iter().flatten().filter_map(|index| self.list.get(*index))
    }

    /// How many lines could not be read. Not zero: somebody may have mounted what is not in this table.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// All mounts, in the table's order.
    pub fn all(&self) -> &[Mount] {
        &self.list
    }
}

fn table() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open("/proc/self/mountinfo")?.take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One line: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, with any number of fields before the dash.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = path(fields.next()?)?;
    let point = path(fields.next()?)?;
    let options = fields.next()?;
    fields.find(|field| *field == b"-")?;
    let fs_type = unescape(fields.next()?);
    // A filesystem may print an empty source, and then there are two blanks; what follows the last blank are the options.
    let source = unescape(fields.next()?);
    let super_options = fields.next_back()?;
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        fs_type,
        source,
        read_only: has_option(options, b"ro"),
        super_read_only: has_option(super_options, b"ro"),
    })
}

fn has_option(options: &[u8], wanted: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == wanted)
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some(Device { major: number(&field[..colon])?, minor: number(&field[colon + 1..])? })
}

fn path(field: &[u8]) -> Option<PathBuf> {
    let bytes = unescape(field);
    (!bytes.is_empty()).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// `\040` is a blank: the kernel writes blank, tab, newline, backslash and `#` so. What is no such escape is taken as it stands.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, octal(after)) {
            (b'\\', Some(escaped)) => {
                out.push(escaped);
                rest = &after[3..];
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
