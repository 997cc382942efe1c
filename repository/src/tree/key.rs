//! Row keys (docs/format.md, section 7.3).
//!
//! In: nodes, names, block numbers, handles, hashes; or untrusted key bytes. Out: keys that sort as the format wants, or their parts. Never: panics on a key,
//! or accepts a name that could lead out of a directory.

use crate::codec::DecodeError;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest name of an entry, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest handle of a file, in bytes.
pub const HANDLE_BYTES_MAX: usize = 64;
/// The root directory.
pub const ROOT_NODE: u64 = 1;
/// Blocks of the largest file there can be: 2^64 bytes.
pub const BLOCKS_MAX: u64 = 1 << 44;

const HEAD: u8 = 0x00;
const INODE: u8 = 0x10;
const ENTRY: u8 = 0x20;
const MISSED: u8 = 0x30;
const BLOCK: u8 = 0x10;
const SUM: u8 = 0xf0;
const SIGN: u8 = 0x20;

/// A class of rows: each has its own runs in a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Directories, entries, inodes.
    Tree = 0,
    /// Where the content of files is.
    Content = 1,
    /// Page signatures.
    Sign = 2,
    /// Who had a handle.
    Handle = 3,
    /// Where a segment was stored: hints for deduplication.
    Segment = 4,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Class; 5] = [Class::Tree, Class::Content, Class::Sign, Class::Handle, Class::Segment];

    /// The class of a number; `None`: version 1 has no such class.
    pub fn from_number(number: u8) -> Option<Class> {
        Class::ALL.get(usize::from(number)).copied()
    }

    /// True if keys begin with a node, so that Heads act in this class.
    pub fn has_nodes(self) -> bool {
        matches!(self, Class::Tree | Class::Content | Class::Sign)
    }
}

/// A key taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParsedKey<'a> {
    /// Acts on older rows of the node (classes tree, content, sign).
    Head {
        /// Whose rows.
        node: u64,
    },
    /// The inode of the root or of a file with several links.
    Inode {
        /// Whose.
        node: u64,
    },
    /// A name in a directory.
    Entry {
        /// The directory's node.
        directory: u64,
        /// The name.
        name: &'a [u8],
    },
    /// Something that was not captured.
    Missed {
        /// The directory's node.
        directory: u64,
        /// The name.
        name: &'a [u8],
    },
    /// Extents of one block.
    Block {
        /// Whose.
        node: u64,
        /// Which MiB of it.
        block: u64,
    },
    /// The sum over all pages of a file.
    Sum {
        /// Whose.
        node: u64,
    },
    /// Page signatures of one block.
    Sign {
        /// Whose.
        node: u64,
        /// Which MiB of it.
        block: u64,
    },
    /// Who has a handle.
    Handle {
        /// The handle, 1 to 64 bytes.
        handle: &'a [u8],
    },
    /// Where a segment is.
    Segment {
        /// Its hash.
        hash: [u8; 32],
    },
}

fn node_key(node: u64, tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + rest.len());
    key.extend_from_slice(&node.to_be_bytes());
    key.push(tag);
    key.extend_from_slice(rest);
    key
}

/// Head of a node, in the classes tree, content and sign: sorts before all other rows of the node.
pub fn head(node: u64) -> Vec<u8> {
    node_key(node, HEAD, &[])
}

/// Inode row (class tree).
pub fn inode(node: u64) -> Vec<u8> {
    node_key(node, INODE, &[])
}

/// Entry of a directory (class tree).
pub fn entry(directory: u64, name: &[u8]) -> Vec<u8> {
    node_key(directory, ENTRY, name)
}

/// What was not captured in a directory (class tree).
pub fn missed(directory: u64, name: &[u8]) -> Vec<u8> {
    node_key(directory, MISSED, name)
}

/// Extents of a block (class content).
pub fn block(node: u64, block: u64) -> Vec<u8> {
    node_key(node, BLOCK, &block.to_be_bytes())
}

/// Sum of a file (class content): sorts after all its other rows.
pub fn sum(node: u64) -> Vec<u8> {
    node_key(node, SUM, &[])
}

/// Page signatures of a block (class sign).
pub fn sign(node: u64, block: u64) -> Vec<u8> {
    node_key(node, SIGN, &block.to_be_bytes())
}

/// Who has a handle (class handle). Handles are 1 to 64 bytes; a longer one gives a key that [`parse`] refuses.
pub fn handle(handle: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(handle.len() + 1);
    key.extend_from_slice(handle);
    key.push(handle.len() as u8);
    key
}

/// Where a segment is (class segment).
pub fn segment(hash: &[u8; 32]) -> Vec<u8> {
    hash.to_vec()
}

/// The first key that any row of a node can have, in the classes tree, content and sign: where to seek for all of them.
pub fn first_of_node(node: u64) -> Vec<u8> {
    head(node)
}

/// The node that a key (or the beginning of one) belongs to; `None` in classes without nodes and for what is too short to say.
pub fn node_of(class: Class, key: &[u8]) -> Option<u64> {
    if !class.has_nodes() {
        return None;
    }
    key.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// True if a key is its node's Head.
pub fn is_head(class: Class, key: &[u8]) -> bool {
    class.has_nodes() && key.len() == 9 && key[8] == HEAD
}

/// The block number of a Block or Sign key; `None` for every other key.
pub fn block_of(class: Class, key: &[u8]) -> Option<u64> {
    let tag = match class {
        Class::Content => BLOCK,
        Class::Sign => SIGN,
        Class::Tree | Class::Handle | Class::Segment => return None,
    };
    if key.get(8) != Some(&tag) {
        return None;
    }
    let number: [u8; 8] = key.get(9..)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

/// True if a name can stand in a directory: 1 to 255 bytes, without `/` and NUL, not `.` or `..`.
pub fn is_name(name: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| *byte == b'/' || *byte == 0)
}

/// Takes a key apart; refuses what the format does not know.
pub fn parse(class: Class, key: &[u8]) -> Result<ParsedKey<'_>, DecodeError> {
    match class {
        Class::Handle => parse_handle(key),
        Class::Segment => {
            let hash = key.try_into().map_err(|_| DecodeError::Value("key: segment hash"))?;
            Ok(ParsedKey::Segment { hash })
        }
        Class::Tree | Class::Content | Class::Sign => parse_node_key(class, key),
    }
}

fn parse_handle(key: &[u8]) -> Result<ParsedKey<'_>, DecodeError> {
    let wrong = DecodeError::Value("key: handle");
    let (length, handle) = key.split_last().ok_or(wrong)?;
    if handle.is_empty() || handle.len() > HANDLE_BYTES_MAX || handle.len() != usize::from(*length) {
        return Err(wrong);
    }
    Ok(ParsedKey::Handle { handle })
}

fn parse_node_key(class: Class, key: &[u8]) -> Result<ParsedKey<'_>, DecodeError> {
    let (node, rest) = key.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let (tag, rest) = rest.split_first().ok_or(DecodeError::Truncated)?;
    let node = u64::from_be_bytes(*node);
    if node == 0 {
        return Err(DecodeError::Value("key: node"));
    }
    let parsed = match (class, *tag) {
        (_, HEAD) => ParsedKey::Head { node },
        (Class::Tree, INODE) => ParsedKey::Inode { node },
        (Class::Tree, ENTRY) => return Ok(ParsedKey::Entry { directory: node, name: name(rest)? }),
        (Class::Tree, MISSED) => return Ok(ParsedKey::Missed { directory: node, name: name(rest)? }),
        (Class::Content, BLOCK) => return Ok(ParsedKey::Block { node, block: block_number(rest)? }),
        (Class::Content, SUM) => ParsedKey::Sum { node },
        (Class::Sign, SIGN) => return Ok(ParsedKey::Sign { node, block: block_number(rest)? }),
        _ => return Err(DecodeError::Value("key: tag")),
    };
    if rest.is_empty() { Ok(parsed) } else { Err(DecodeError::Trailing(rest.len())) }
}

fn name(rest: &[u8]) -> Result<&[u8], DecodeError> {
    if is_name(rest) { Ok(rest) } else { Err(DecodeError::Value("key: name")) }
}

fn block_number(rest: &[u8]) -> Result<u64, DecodeError> {
    let number = u64::from_be_bytes(rest.try_into().map_err(|_| DecodeError::Value("key: block"))?);
    if number < BLOCKS_MAX { Ok(number) } else { Err(DecodeError::TooLarge("key: block")) }
}

#[cfg(test)]
mod tests;
