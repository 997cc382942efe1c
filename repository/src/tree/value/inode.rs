//! Inodes in bytes and back (docs/format.md, section 7.3).
//!
//! In: an [`Inode`] and the pack list of its table, or untrusted bytes. Out: bytes, or exactly one inode. Never: see [`super`].

use super::{ATTRIBUTE_BYTES_MAX, LINK_TARGET_BYTES_MAX, VALUE_BYTES_MAX};
use super::{PackList, decode_extents, encode_extents, flags};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::tree::key;
use crate::tree::row::{Attribute, AttributeValue, Inline, Inode, PackId, Stamp, Time};

pub(super) const NANOSECONDS: u32 = 1_000_000_000;
/// Longest name of an extended attribute, in bytes.
const ATTRIBUTE_NAME_BYTES_MAX: usize = 255;

const STAMP: u8 = 1;
const SETTLED: u8 = 2;
const MIXED: u8 = 4;
const INLINE: u8 = 8;
const DEVICE: u8 = 16;
pub(super) const LINK: u8 = 32;
pub(super) const ATTRIBUTES: u8 = 64;
const INODE_FLAGS: u8 = STAMP | SETTLED | MIXED | INLINE | DEVICE | LINK | ATTRIBUTES;

pub(super) fn encode_inode(inode: &Inode, packs: &mut PackList, to: &mut Encoder) {
    to.varint(u64::from(inode.mode)).varint(u64::from(inode.uid)).varint(u64::from(inode.gid));
    to.varint(inode.size).varint(inode.links);
    encode_time(inode.mtime, to);
    let flags = [
        (STAMP, inode.stamp.is_some()),
        (SETTLED, inode.settled),
        (MIXED, inode.mixed),
        (INLINE, inode.inline.is_some()),
        (DEVICE, inode.device.is_some()),
        (LINK, inode.link_target.is_some()),
        (ATTRIBUTES, !inode.attributes.is_empty()),
    ];
    to.u8(flags.iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag));
    if let Some(stamp) = &inode.stamp {
        to.bytes(&stamp.handle).u64(stamp.inode);
        encode_time(stamp.ctime, to);
        encode_time(stamp.btime, to);
        to.varint(stamp.blocks);
    }
    if let Some(inline) = &inode.inline {
        to.u64(inline.signature);
        encode_extents(&inline.extents, packs, to);
    }
    if let Some((major, minor)) = inode.device {
        to.varint(u64::from(major)).varint(u64::from(minor));
    }
    if let Some(target) = &inode.link_target {
        to.bytes(target);
    }
    if !inode.attributes.is_empty() {
        encode_attributes(&inode.attributes, packs, to);
    }
}

pub(super) fn decode_inode(from: &mut Decoder<'_>, packs: &[PackId]) -> Result<Inode, DecodeError> {
    let mut inode = Inode {
        mode: from.varint_u32()?,
        uid: from.varint_u32()?,
        gid: from.varint_u32()?,
        size: from.varint()?,
        links: from.varint()?,
        mtime: decode_time(from)?,
        ..Inode::default()
    };
    if inode.mode > 0o7777 {
        return Err(DecodeError::Value("mode"));
    }
    let flags = flags(from, INODE_FLAGS, "inode: flags")?;
    inode.settled = flags & SETTLED != 0;
    inode.mixed = flags & MIXED != 0;
    if flags & STAMP != 0 {
        inode.stamp = Some(decode_stamp(from)?);
    }
    if flags & INLINE != 0 {
        inode.inline = Some(Inline { signature: from.u64()?, extents: decode_extents(from, packs)? });
    }
    if flags & DEVICE != 0 {
        inode.device = Some((from.varint_u32()?, from.varint_u32()?));
    }
    if flags & LINK != 0 {
        inode.link_target = Some(not_empty(from.bytes("link target", LINK_TARGET_BYTES_MAX)?, "link target")?.to_vec());
    }
    if flags & ATTRIBUTES != 0 {
        inode.attributes = decode_attributes(from, packs)?;
    }
    Ok(inode)
}

fn not_empty<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a [u8], DecodeError> {
    if bytes.is_empty() { Err(DecodeError::Value(field)) } else { Ok(bytes) }
}

fn decode_stamp(from: &mut Decoder<'_>) -> Result<Stamp, DecodeError> {
    Ok(Stamp {
        handle: from.bytes("handle", key::HANDLE_BYTES_MAX)?.to_vec(),
        inode: from.u64()?,
        ctime: decode_time(from)?,
        btime: decode_time(from)?,
        blocks: from.varint()?,
    })
}

fn encode_time(time: Time, to: &mut Encoder) {
    to.svarint(time.seconds).varint(u64::from(time.nanoseconds));
}

fn decode_time(from: &mut Decoder<'_>) -> Result<Time, DecodeError> {
    let time = Time { seconds: from.svarint()?, nanoseconds: from.varint_u32()? };
    if time.nanoseconds < NANOSECONDS { Ok(time) } else { Err(DecodeError::Value("nanoseconds")) }
}

fn encode_attributes(attributes: &[Attribute], packs: &mut PackList, to: &mut Encoder) {
    to.varint(attributes.len() as u64);
    for attribute in attributes {
        to.bytes(&attribute.name);
        match &attribute.value {
            AttributeValue::Inline(value) => {
                to.u8(0).bytes(value);
            }
            AttributeValue::Stored { length, extents } => {
                to.u8(1).varint(u64::from(*length));
                encode_extents(extents, packs, to);
            }
        }
    }
}

fn decode_attributes(from: &mut Decoder<'_>, packs: &[PackId]) -> Result<Vec<Attribute>, DecodeError> {
    let count = from.count("attributes", 4)?;
    if count == 0 {
        return Err(DecodeError::Value("attributes"));
    }
    let mut attributes: Vec<Attribute> = Vec::new();
    for _ in 0..count {
        let name = not_empty(from.bytes("attribute name", ATTRIBUTE_NAME_BYTES_MAX)?, "attribute name")?;
        if attributes.last().is_some_and(|last| last.name.as_slice() >= name) {
            return Err(DecodeError::Value("attribute order"));
        }
        let value = match from.u8()? {
            0 => AttributeValue::Inline(from.bytes("attribute value", VALUE_BYTES_MAX)?.to_vec()),
            1 => {
                let length = from.varint_u32()?;
                if length > ATTRIBUTE_BYTES_MAX as u32 {
                    return Err(DecodeError::TooLarge("attribute value"));
                }
                AttributeValue::Stored { length, extents: decode_extents(from, packs)? }
            }
            _ => return Err(DecodeError::Value("attribute place")),
        };
        attributes.push(Attribute { name: name.to_vec(), value });
    }
    Ok(attributes)
}
