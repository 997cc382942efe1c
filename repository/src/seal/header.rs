//! The header that begins every sealed object.

use model::KeyId;

use super::KeyClass;
use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};

const MAGIC: &[u8; 8] = b"HOLDFAST";
pub(super) const VERSION: u16 = 1;
pub(super) const SUITE: u8 = 1;
const SLOTS_MAX: usize = 4;
const FIXED_BYTES: usize = 48;
const SLOT_BYTES: usize = 52;
/// No header is longer.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + SLOTS_MAX * SLOT_BYTES;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Blobs.
    Pack = 1,
    /// A restore point.
    Point = 2,
    /// A session's announcement.
    Session = 3,
    /// Keys of a domain.
    DomainKey = 4,
    /// A controller's record.
    Record = 5,
}

impl ObjectKind {
    fn from_byte(byte: u8) -> Option<ObjectKind> {
        [ObjectKind::Pack, ObjectKind::Point, ObjectKind::Session, ObjectKind::DomainKey, ObjectKind::Record]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One key that an object uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its class.
    pub class: KeyClass,
    /// Its id.
    pub id: KeyId,
    /// Proves that a key at hand is this one.
    pub commitment: [u8; 32],
}

/// A decoded header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the object is.
    pub kind: ObjectKind,
    /// Random, of this object alone.
    pub salt: [u8; 32],
    /// Its keys, by class.
    pub slots: Vec<Slot>,
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .raw(MAGIC)
            .u16(VERSION)
            .u8(self.kind as u8)
            .u8(SUITE)
            .u8(self.slots.len() as u8)
            .raw(&[0; 3])
            .raw(&self.salt);
        for slot in &self.slots {
            encoder.u8(slot.class as u8).raw(&[0; 3]).raw(&slot.id.0).raw(&slot.commitment);
        }
        encoder.finish()
    }

    /// Reads a header from the front of an object; returns how long it is.
    pub fn decode(object: &str, bytes: &[u8]) -> Result<(Header, usize), Error> {
        let mut decoder = Decoder::new(bytes);
        let magic = decoder.array::<8>().map_err(Error::decode(object))?;
        if &magic != MAGIC {
            return Err(Error::damaged(object, "it does not begin as a sealed object"));
        }
        let version = decoder.u16().map_err(Error::decode(object))?;
        if version > VERSION {
            return Err(Error::Newer { object: object.to_owned(), version });
        }
        let header = Header::decode_fields(&mut decoder, version).map_err(Error::decode(object))?;
        Ok((header, bytes.len() - decoder.remaining()))
    }

    fn decode_fields(decoder: &mut Decoder<'_>, version: u16) -> Result<Header, DecodeError> {
        if version != VERSION {
            return Err(DecodeError::Value("format version"));
        }
        let kind = ObjectKind::from_byte(decoder.u8()?).ok_or(DecodeError::Value("object kind"))?;
        if decoder.u8()? != SUITE {
            return Err(DecodeError::Value("suite"));
        }
        let count = usize::from(decoder.u8()?);
        if !(1..=SLOTS_MAX).contains(&count) {
            return Err(DecodeError::Value("key slots"));
        }
        decoder.zeros(3)?;
        let salt = decoder.array()?;
        let mut slots: Vec<Slot> = Vec::with_capacity(count);
        for _ in 0..count {
            let class = KeyClass::from_byte(decoder.u8()?).ok_or(DecodeError::Value("key class"))?;
            if slots.last().is_some_and(|last| last.class >= class) {
                return Err(DecodeError::Value("key class order"));
            }
            decoder.zeros(3)?;
            let slot = Slot { class, id: KeyId(decoder.array()?), commitment: decoder.array()? };
            if slots.last().is_some_and(|last| last.id != slot.id) {
                return Err(DecodeError::Value("key id"));
            }
            slots.push(slot);
        }
        Ok(Header { kind, salt, slots })
    }
}
