//! Text: names, modes and times as people and programs can read them.
//!
//! In: raw bytes of names, mode bits, times. Out: text that is safe on a terminal, and for programs a form from which nothing is lost. Never: guesses an encoding.

use repository::source::{FileType, Time};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Bytes of a name as text for a terminal: control characters, what turns the direction of text, and bytes that are no UTF-8 are escaped.
pub(crate) fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_harmless(character) { text.push(character) } else { text.extend(character.escape_default()) }
        }
        text.extend(chunk.invalid().iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from));
    }
    text
}

fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path inside a volume. As JSON the member `path`, and `path_hex` with its exact bytes when they are no UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<u8>);

impl Path {
    /// From names; none: the root, `.`.
    pub(crate) fn new<N: AsRef<[u8]>>(names: &[N]) -> Path {
        if names.is_empty() {
            return Path(b".".to_vec());
        }
        Path(names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(&b'/'))
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match std::str::from_utf8(&self.0) {
            Ok(text) => map.serialize_entry("path", text)?,
            Err(_) => {
                map.serialize_entry("path", &escape(&self.0))?;
                map.serialize_entry("path_hex", &hex(&self.0))?;
            }
        }
        map.end()
    }
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Type and permissions as `ls -l` shows them.
pub(crate) fn mode_text(file_type: FileType, mode: u32) -> String {
    let kind = match file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
    };
    let bit = |mask: u32, letter: char| if mode & mask != 0 { letter } else { '-' };
    let execute = |mask: u32, special: u32, both: char, only: char| match (mode & mask != 0, mode & special != 0) {
        (true, true) => both,
        (false, true) => only,
        (true, false) => 'x',
        (false, false) => '-',
    };
    let letters = [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        execute(0o100, 0o4000, 's', 'S'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        execute(0o010, 0o2000, 's', 'S'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        execute(0o001, 0o1000, 't', 'T'),
    ];
    letters.iter().collect()
}

/// A time in UTC, RFC 3339; one that the calendar does not have as seconds since 1970.
pub(crate) fn time_text(time: Time) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or(0);
    jiff::Timestamp::new(time.seconds, 0)
        .and_then(|second| second.checked_add(jiff::SignedDuration::new(0, nanoseconds)))
        .map_or_else(|_| format!("@{}", time.seconds), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor_or_turn_the_text() {
        assert_eq!(escape(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escape("x\u{202e}gpj.exe".as_bytes()), "x\\u{202e}gpj.exe");
        assert_eq!(escape(b"\xff\xc3\xa4"), "\\xffä");
    }

    #[test]
    fn a_name_that_is_no_text_keeps_its_bytes_in_json() {
        let json = serde_json::to_string(&Path(b"a\xff".to_vec())).unwrap();
        assert_eq!(json, r#"{"path":"a\\xff","path_hex":"61ff"}"#);
        assert_eq!(serde_json::to_string(&Path(b"a\nb".to_vec())).unwrap(), r#"{"path":"a\nb"}"#);
    }

    #[test]
    fn modes_read_like_those_of_ls() {
        assert_eq!(mode_text(FileType::Regular, 0o644), "-rw-r--r--");
        assert_eq!(mode_text(FileType::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode_text(FileType::Regular, 0o6750), "-rwsr-s---");
        assert_eq!(mode_text(FileType::Regular, 0o6640), "-rwSr-S---");
    }

    #[test]
    fn times_before_1970_and_beyond_the_calendar_are_shown() {
        assert_eq!(time_text(Time { seconds: 0, nanoseconds: 5 }), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(time_text(Time { seconds: -1, nanoseconds: 500_000_000 }), "1969-12-31T23:59:59.5Z");
        assert_eq!(time_text(Time { seconds: i64::MAX, nanoseconds: 0 }), format!("@{}", i64::MAX));
    }
}
