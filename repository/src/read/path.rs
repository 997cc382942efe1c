//! Path: names from the root of a restore point.
//!
//! In: names. Out: paths for targets and for people. Never: a name that was not looked at by the row that it came from.

/// Names joined for people, whatever is not text escaped; the root is `.`.
pub fn display_path<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> String {
    let joined = names.into_iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join("/");
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// The names of a path as it is written on a command line; empty names and `.` mean nothing, as everywhere.
pub fn split_path(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").collect()
}

/// A path in two allocations, to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathBytes {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl PathBytes {
    /// Appends a name.
    pub(super) fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        // A path of 4 GiB would be 16 million directories deep: no source can make one.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// The names.
    pub(super) fn names(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let name = |(start, end): (u32, &u32)| self.bytes.get(start as usize..*end as usize).unwrap_or_default();
        starts.zip(&self.ends).map(name).collect()
    }

    /// For people.
    pub(super) fn display(&self) -> String {
        display_path(self.names())
    }
}
