//! Text: names and paths as a terminal and a program can read them.
//!
//! In: raw bytes of paths. Out: text without control characters. Never: guesses an encoding.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serializer;

/// Bytes as text for a terminal: control characters, what turns the direction of text, and bytes that are no UTF-8 are escaped.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
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

/// A path as JSON: escaped, because a path need not be UTF-8 and one odd path must not cost the whole answer.
pub(crate) fn serialize_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escape(path.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_reaches_a_terminal() {
        assert_eq!(escape(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escape("x\u{202e}gpj.exe".as_bytes()), "x\\u{202e}gpj.exe");
        assert_eq!(escape(b"\xff\xc3\xa4"), "\\xffä");
    }
}
