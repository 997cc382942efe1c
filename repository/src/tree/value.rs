//! Values: a row's body in bytes and back (docs/format.md, sections 5.2 and 7.3).
//!
//! In: a [`Value`] and the pack list of its table, or untrusted bytes. Out: bytes, or exactly one value. Never: panics on input, allocates more than a small
//! multiple of the input, or accepts two encodings of one value.

use std::collections::HashMap;

use super::key::{self, Class, ParsedKey};
use super::row::{Entry, Extent, FileType, Head, Location, Missed, MissedWhat, PackId, SignRange, Signs, Sum, Value};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::hash::{BLOCK_BYTES, BLOCK_PAGES};

mod inode;

use inode::{decode_inode, encode_inode};

/// Largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest reason of a Missed row, in bytes.
pub const WHY_BYTES_MAX: usize = 1024;
/// Longest target of a symbolic link, in bytes.
pub const LINK_TARGET_BYTES_MAX: usize = 4095;
/// Longest value of an extended attribute, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1 << 20;

const GONE: u8 = 1;
const CUT: u8 = 2;

/// The packs that rows of one table name, numbered in the order of their first use.
#[derive(Clone, Debug, Default)]
pub struct PackList {
    packs: Vec<PackId>,
    numbers: HashMap<PackId, usize>,
}

impl PackList {
    /// An empty list.
    pub fn new() -> PackList {
        PackList::default()
    }

    /// The number of a pack, which is added if it is new.
    pub fn number(&mut self, pack: PackId) -> usize {
        let PackList { packs, numbers } = self;
        *numbers.entry(pack).or_insert_with(|| {
            packs.push(pack);
            packs.len() - 1
        })
    }

    /// The packs, by number.
    pub fn packs(&self) -> &[PackId] {
        &self.packs
    }
}

/// The bytes of a value.
pub fn encode(value: &Value, packs: &mut PackList) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, packs, &mut out);
    out
}

/// Appends the bytes of a value. What a field cannot hold comes out as bytes that [`decode`] refuses; [`super::block::BlockBuilder`] looks.
pub fn encode_into(value: &Value, packs: &mut PackList, out: &mut Vec<u8>) {
    let mut to = Encoder { out: std::mem::take(out) };
    to.u8(u8::from(*value != Value::Tombstone));
    match value {
        Value::Tombstone => {}
        Value::Head(head) => encode_head(head, &mut to),
        Value::Inode(inode) => encode_inode(inode, packs, &mut to),
        Value::Entry(entry) => {
            to.varint(entry.child).u8(type_number(entry.file_type)).u8(u8::from(entry.inode.is_some()));
            if let Some(inode) = &entry.inode {
                encode_inode(inode, packs, &mut to);
            }
        }
        Value::Missed(missed) => {
            to.u8(missed_number(missed.what)).bytes(missed.why.as_bytes());
        }
        Value::Block(extents) => encode_extents(extents, packs, &mut to),
        Value::Sum(sum) => {
            to.varint(sum.pages).raw(&sum.sum.to_le_bytes()).varint(sum.blocks);
        }
        Value::Sign(signs) => encode_signs(signs, &mut to),
        Value::Node { directory, name } => {
            to.varint(*directory).bytes(name);
        }
        Value::Segment { location, length } => {
            encode_location(location, packs, &mut to);
            to.varint(u64::from(*length));
        }
    }
    *out = to.finish();
}

/// Reads the value that stands under a key. `packs` is the table's pack list.
pub fn decode(class: Class, key: &ParsedKey<'_>, bytes: &[u8], packs: &[PackId]) -> Result<Value, DecodeError> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(DecodeError::TooLarge("value"));
    }
    let mut from = Decoder::new(bytes);
    let value = match (from.u8()?, key) {
        // All Heads above a row act, so a Head that another hides would be a contradiction.
        (0, ParsedKey::Head { .. }) => return Err(DecodeError::Value("head: tombstone")),
        (0, _) => Value::Tombstone,
        (1, _) => decode_body(class, key, &mut from, packs)?,
        _ => return Err(DecodeError::Value("value: kind")),
    };
    from.finish()?;
    Ok(value)
}

fn decode_body(
    class: Class,
    key: &ParsedKey<'_>,
    from: &mut Decoder<'_>,
    packs: &[PackId],
) -> Result<Value, DecodeError> {
    Ok(match key {
        ParsedKey::Head { .. } => Value::Head(decode_head(class, from)?),
        ParsedKey::Inode { .. } => Value::Inode(decode_inode(from, packs)?),
        ParsedKey::Entry { .. } => Value::Entry(decode_entry(from, packs)?),
        ParsedKey::Missed { .. } => Value::Missed(decode_missed(from)?),
        ParsedKey::Block { .. } => Value::Block(decode_extents(from, packs)?),
        ParsedKey::Sum { .. } => {
            let pages = from.varint()?;
            Value::Sum(Sum { pages, sum: u128::from_le_bytes(from.array()?), blocks: from.varint()? })
        }
        ParsedKey::Sign { .. } => Value::Sign(decode_signs(from)?),
        ParsedKey::Handle { .. } => {
            let directory = node(from.varint()?)?;
            let name = from.bytes("name", key::NAME_BYTES_MAX)?;
            if !key::is_name(name) {
                return Err(DecodeError::Value("name"));
            }
            Value::Node { directory, name: name.to_vec() }
        }
        ParsedKey::Segment { .. } => {
            let location = decode_location(from, packs)?.ok_or(DecodeError::Value("segment: source"))?;
            let length = length(from, location.offset)?;
            Value::Segment { location, length }
        }
    })
}

fn node(number: u64) -> Result<u64, DecodeError> {
    if number == 0 { Err(DecodeError::Value("node")) } else { Ok(number) }
}

fn encode_head(head: &Head, to: &mut Encoder) {
    to.u8(if head.gone { GONE } else { 0 } | if head.cut.is_some() { CUT } else { 0 });
    if let Some(page) = head.cut {
        to.varint(page);
    }
}

fn decode_head(class: Class, from: &mut Decoder<'_>) -> Result<Head, DecodeError> {
    let known = if class == Class::Tree { GONE } else { GONE | CUT };
    let flags = flags(from, known, "head: flags")?;
    let cut = if flags & CUT != 0 { Some(from.varint()?) } else { None };
    Ok(Head { gone: flags & GONE != 0, cut })
}

fn flags(from: &mut Decoder<'_>, known: u8, field: &'static str) -> Result<u8, DecodeError> {
    let flags = from.u8()?;
    if flags & !known == 0 { Ok(flags) } else { Err(DecodeError::Value(field)) }
}

fn encode_extents(extents: &[Extent], packs: &mut PackList, to: &mut Encoder) {
    to.varint(extents.len() as u64);
    let mut end = 0;
    for extent in extents {
        // A list out of order gives a gap that no decoder accepts.
        to.varint(u64::from(extent.first_page.wrapping_sub(end))).varint(u64::from(extent.length));
        match &extent.source {
            None => {
                to.varint(0);
            }
            Some(location) => encode_location(location, packs, to),
        }
        end = extent.end_page();
    }
}

fn decode_extents(from: &mut Decoder<'_>, packs: &[PackId]) -> Result<Vec<Extent>, DecodeError> {
    let count = from.count("extents", 3)?;
    if count > BLOCK_PAGES {
        return Err(DecodeError::TooLarge("extents"));
    }
    let mut extents = Vec::with_capacity(count);
    let mut end = 0usize;
    for _ in 0..count {
        let gap = usize::try_from(from.varint()?).map_err(|_| DecodeError::TooLarge("gap"))?;
        let first = end.checked_add(gap).filter(|first| *first < BLOCK_PAGES).ok_or(DecodeError::TooLarge("gap"))?;
        let first_page = u16::try_from(first).map_err(|_| DecodeError::TooLarge("gap"))?;
        let length = length(from, 0)?;
        let source = decode_location(from, packs)?;
        if source.is_some_and(|location| location.offset > BLOCK_BYTES as u32 - length) {
            return Err(DecodeError::TooLarge("offset"));
        }
        let extent = Extent { first_page, length, source };
        end = usize::from(extent.end_page());
        if end > BLOCK_PAGES {
            return Err(DecodeError::TooLarge("length"));
        }
        extents.push(extent);
    }
    Ok(extents)
}

/// A length of at least one byte that ends in the same blob as it begins.
fn length(from: &mut Decoder<'_>, offset: u32) -> Result<u32, DecodeError> {
    let length = from.varint_u32()?;
    let most = (BLOCK_BYTES as u32).saturating_sub(offset);
    if length == 0 {
        Err(DecodeError::Value("length"))
    } else if length > most {
        Err(DecodeError::TooLarge("length"))
    } else {
        Ok(length)
    }
}

fn encode_location(location: &Location, packs: &mut PackList, to: &mut Encoder) {
    let number = packs.number(location.pack) as u64 + 1;
    to.varint(number).varint(u64::from(location.blob)).varint(u64::from(location.offset));
}

fn decode_location(from: &mut Decoder<'_>, packs: &[PackId]) -> Result<Option<Location>, DecodeError> {
    let source = from.varint()?;
    if source == 0 {
        return Ok(None);
    }
    let number = usize::try_from(source - 1).map_err(|_| DecodeError::TooLarge("source"))?;
    let pack = *packs.get(number).ok_or(DecodeError::TooLarge("source"))?;
    Ok(Some(Location { pack, blob: from.varint_u32()?, offset: from.varint_u32()? }))
}

fn encode_signs(signs: &Signs, to: &mut Encoder) {
    to.varint(signs.ranges.len() as u64);
    for range in &signs.ranges {
        to.u8(range.first_page as u8).u8(range.pages.wrapping_sub(1) as u8);
    }
    for signature in &signs.signatures {
        to.u64(*signature);
    }
}

fn decode_signs(from: &mut Decoder<'_>) -> Result<Signs, DecodeError> {
    let count = from.count("ranges", 2)?;
    let mut ranges = Vec::with_capacity(count.min(BLOCK_PAGES));
    let mut pages = 0usize;
    let mut previous: Option<u16> = None;
    for _ in 0..count {
        let first_page = u16::from(from.u8()?);
        let range = SignRange { first_page, pages: u16::from(from.u8()?) + 1 };
        let end = range.first_page + range.pages;
        if usize::from(end) > BLOCK_PAGES || previous.is_some_and(|previous| first_page <= previous) {
            return Err(DecodeError::Value("ranges"));
        }
        previous = Some(end);
        pages += usize::from(range.pages);
        ranges.push(range);
    }
    let mut signatures = Vec::with_capacity(pages.min(from.remaining() / 8));
    for _ in 0..pages {
        signatures.push(from.u64()?);
    }
    Ok(Signs { ranges, signatures })
}

fn decode_entry(from: &mut Decoder<'_>, packs: &[PackId]) -> Result<Entry, DecodeError> {
    let child = node(from.varint()?)?;
    let file_type = type_of_number(from.u8()?)?;
    let inode = match flags(from, 1, "entry: flags")? {
        0 => None,
        _ => Some(decode_inode(from, packs)?),
    };
    Ok(Entry { child, file_type, inode })
}

fn type_number(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::Symlink => 3,
        FileType::Fifo => 4,
        FileType::Socket => 5,
        FileType::CharDevice => 6,
        FileType::BlockDevice => 7,
    }
}

fn type_of_number(number: u8) -> Result<FileType, DecodeError> {
    Ok(match number {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::Symlink,
        4 => FileType::Fifo,
        5 => FileType::Socket,
        6 => FileType::CharDevice,
        7 => FileType::BlockDevice,
        _ => return Err(DecodeError::Value("entry: type")),
    })
}

fn missed_number(what: MissedWhat) -> u8 {
    match what {
        MissedWhat::Absent => 1,
        MissedWhat::OlderContent => 2,
        MissedWhat::Mixed => 3,
    }
}

fn decode_missed(from: &mut Decoder<'_>) -> Result<Missed, DecodeError> {
    let what = match from.u8()? {
        1 => MissedWhat::Absent,
        2 => MissedWhat::OlderContent,
        3 => MissedWhat::Mixed,
        _ => return Err(DecodeError::Value("missed: what")),
    };
    let why = std::str::from_utf8(from.bytes("why", WHY_BYTES_MAX)?).map_err(|_| DecodeError::Value("why"))?;
    Ok(Missed { what, why: why.to_owned() })
}

#[cfg(test)]
mod tests;
