//! Records of fanotify: what the kernel wrote into a buffer, as values.
//!
//! In: the bytes of one read. Out: one [`Record`] per event, borrowed from them. Never: relies on a length that it has not compared with what is there, panics, or makes a call.
//!
//! A record is a head of 24 bytes (`struct fanotify_event_metadata`) and then pieces of information, each with a type and a length of its own (`linux/fanotify.h`).
//! The kernel is not an enemy, but a newer one says more than this module knows: types that are unknown are skipped by their length, and a head of another version ends
//! the reading. After [`Malformed`] nothing that follows can be placed, so nothing is guessed.

pub mod handle;
#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod tests;

pub use handle::Handle;

/// `FANOTIFY_METADATA_VERSION`, unchanged since Linux 2.6.37.
const METADATA_VERSION: u8 = 3;
/// `FAN_EVENT_METADATA_LEN`.
const METADATA_BYTES: usize = 24;
/// `struct fanotify_event_info_header`: type, padding, length.
const INFO_HEAD_BYTES: usize = 4;
/// `__kernel_fsid_t`. Skipped: a group of ours watches one filesystem.
const FSID_BYTES: usize = 8;
/// `struct file_handle` without its bytes: their count and the type.
const HANDLE_HEAD_BYTES: usize = 8;

/// One event: what happened, and to what. Which of the parts are there depends on the event and on what the group asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// The `FAN_*` bits. Events of the same object are merged while they wait, so there may be several.
    pub mask: u64,
    /// The object itself (`FID`).
    pub object: Option<Handle<'a>>,
    /// The directory, and the name in it (`DFID_NAME`, `DFID`).
    pub entry: Option<Entry<'a>>,
    /// Where a renamed object was (`OLD_DFID_NAME`).
    pub old: Option<Entry<'a>>,
    /// Where a renamed object is (`NEW_DFID_NAME`).
    pub new: Option<Entry<'a>>,
    /// What the filesystem found wrong with itself (`ERROR`).
    pub error: Option<FilesystemError>,
}

impl<'a> Record<'a> {
    /// What it happened to. Of what happens to a directory itself the kernel tells only the place, by the name `.` or none.
    pub fn subject(&self) -> Option<Handle<'a>> {
        let itself = self.entry.filter(|entry| matches!(entry.name, b"." | b""));
        self.object.or(itself.map(|entry| entry.directory))
    }
}

/// A place in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The directory.
    pub directory: Handle<'a>,
    /// The name, without its NUL: `.` when the directory itself is meant, empty when the kernel gave none.
    pub name: &'a [u8],
}

/// An error of the filesystem (`struct fanotify_event_info_error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemError {
    /// The first errno since the last time this was read.
    pub errno: i32,
    /// How many since then.
    pub count: u32,
}

/// Why bytes are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length points before its own end or past the end of what holds it.
    #[error("the kernel's event is cut short: its {part} does not fit; the change is found by the sweep")]
    Length {
        /// Whose length.
        part: &'static str,
    },
    /// The kernel speaks another version.
    #[error(
        "the kernel writes events in version {found}, this program reads version {METADATA_VERSION}; update it, until then the sweep does the work"
    )]
    Version {
        /// What it writes.
        found: u8,
    },
    /// A name without an end.
    #[error("the kernel's event holds a name without an end; the change is found by the sweep")]
    Name,
}

/// The records in the bytes of one read. Ends after the first that is malformed.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = record(self.rest);
        // A record is at least its head long, so every step shortens the rest.
        self.rest = parsed.as_ref().map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(record, _)| record))
    }
}

/// The record at the front, and what follows it.
fn record(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), Malformed> {
    let mut head = Fields { part: "head", rest: bytes };
    let event_bytes = head.u32()? as usize;
    let [version, _reserved] = head.array()?;
    // Read before any length is believed: another version may keep its lengths elsewhere.
    if version != METADATA_VERSION {
        return Err(Malformed::Version { found: version });
    }
    let head_bytes = usize::from(head.u16()?);
    let mask = head.u64()?;
    if event_bytes < head_bytes || head_bytes < METADATA_BYTES {
        return Err(Malformed::Length { part: "head" });
    }
    let (event, rest) = bytes.split_at_checked(event_bytes).ok_or(Malformed::Length { part: "event" })?;
    let mut record = Record { mask, ..Record::default() };
    let mut infos = &event[head_bytes..];
    while !infos.is_empty() {
        infos = info(infos, &mut record)?;
    }
    Ok((record, rest))
}

/// Adds the piece of information at the front to the record; what follows it.
fn info<'a>(infos: &'a [u8], record: &mut Record<'a>) -> Result<&'a [u8], Malformed> {
    const PART: &str = "information";
    let mut head = Fields { part: PART, rest: infos };
    let [kind, _pad] = head.array()?;
    let info_bytes = usize::from(head.u16()?);
    if info_bytes < INFO_HEAD_BYTES {
        return Err(Malformed::Length { part: PART });
    }
    let (info, rest) = infos.split_at_checked(info_bytes).ok_or(Malformed::Length { part: PART })?;
    let mut fields = Fields { part: PART, rest: &info[INFO_HEAD_BYTES..] };
    match kind {
        libc::FAN_EVENT_INFO_TYPE_FID => record.object = Some(fields.handle()?),
        libc::FAN_EVENT_INFO_TYPE_DFID => record.entry = Some(Entry { directory: fields.handle()?, name: b"" }),
        libc::FAN_EVENT_INFO_TYPE_DFID_NAME => record.entry = Some(fields.entry()?),
        libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => record.old = Some(fields.entry()?),
        libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => record.new = Some(fields.entry()?),
        libc::FAN_EVENT_INFO_TYPE_ERROR => {
            record.error = Some(FilesystemError { errno: fields.u32()?.cast_signed(), count: fields.u32()? });
        }
        _ => {}
    }
    Ok(rest)
}

/// Bytes that are taken from the front, field by field, in the machine's order.
struct Fields<'a> {
    /// What they are, for the error.
    part: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Length { part: self.part })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Length { part: self.part })?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    fn handle(&mut self) -> Result<Handle<'a>, Malformed> {
        self.part = "handle";
        self.bytes(FSID_BYTES)?;
        let [count, kind]: [[u8; 4]; HANDLE_HEAD_BYTES / 4] = [self.array()?, self.array()?];
        let bytes = self.bytes(u32::from_ne_bytes(count) as usize)?;
        Ok(Handle { kind: i32::from_ne_bytes(kind), bytes })
    }

    /// A handle, then a name that ends in NUL, then more NUL as padding.
    fn entry(&mut self) -> Result<Entry<'a>, Malformed> {
        let directory = self.handle()?;
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed::Name)?;
        Ok(Entry { directory, name: &self.rest[..end] })
    }
}
