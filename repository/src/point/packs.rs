//! The set of packs that a restore point needs, as sessions and ranges of numbers.

use std::collections::BTreeMap;

use model::SessionId;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::tree::PackId;

/// What a point needs a pack for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackContent {
    /// Rows refer to content in it.
    pub data: bool,
    /// Tables lie in it.
    pub tables: bool,
}

impl PackContent {
    fn to_byte(self) -> u8 {
        u8::from(self.data) | u8::from(self.tables) << 1
    }

    fn from_byte(byte: u8) -> Option<PackContent> {
        (1..=3).contains(&byte).then_some(PackContent { data: byte & 1 != 0, tables: byte & 2 != 0 })
    }
}

/// Packs by session and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackSet {
    sessions: BTreeMap<SessionId, BTreeMap<u32, PackContent>>,
}

impl PackSet {
    /// Adds a pack, or another reason for one.
    pub fn add(&mut self, pack: PackId, content: PackContent) {
        let entry = self
            .sessions
            .entry(pack.session)
            .or_default()
            .entry(pack.seq)
            .or_insert(PackContent { data: false, tables: false });
        entry.data |= content.data;
        entry.tables |= content.tables;
    }

    /// True if the point needs the pack.
    pub fn contains(&self, pack: PackId) -> bool {
        self.sessions.get(&pack.session).is_some_and(|packs| packs.contains_key(&pack.seq))
    }

    /// All packs with what they are needed for.
    pub fn iter(&self) -> impl Iterator<Item = (PackId, PackContent)> {
        self.sessions.iter().flat_map(|(session, packs)| {
            packs.iter().map(|(seq, content)| (PackId { session: *session, seq: *seq }, *content))
        })
    }

    /// How many packs.
    pub fn len(&self) -> usize {
        self.sessions.values().map(BTreeMap::len).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        encoder.varint(self.sessions.len() as u64);
        for (session, packs) in &self.sessions {
            let mut ranges: Vec<(u32, u32, PackContent)> = Vec::new();
            for (seq, content) in packs {
                match ranges.last_mut() {
                    Some((start, length, last)) if *start + *length == *seq && last == content => *length += 1,
                    _ => ranges.push((*seq, 1, *content)),
                }
            }
            encoder.raw(&session.0).varint(ranges.len() as u64);
            let mut end = 0;
            for (start, length, content) in ranges {
                encoder.varint(u64::from(start - end)).varint(u64::from(length)).u8(content.to_byte());
                end = start + length;
            }
        }
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<PackSet, DecodeError> {
        let mut sessions: BTreeMap<SessionId, BTreeMap<u32, PackContent>> = BTreeMap::new();
        let mut packs_total = 0u64;
        for _ in 0..decoder.count("sessions", 20)? {
            let session = SessionId(decoder.array()?);
            if sessions.last_key_value().is_some_and(|(last, _)| *last >= session) {
                return Err(DecodeError::Value("session order"));
            }
            let mut packs = BTreeMap::new();
            let mut end = 0u32;
            for _ in 0..decoder.count("pack ranges", 3)? {
                let start = end.checked_add(decoder.varint_u32()?).ok_or(DecodeError::Number)?;
                let length = decoder.varint_u32()?;
                let content = PackContent::from_byte(decoder.u8()?).ok_or(DecodeError::Value("pack content"))?;
                end = start.checked_add(length).ok_or(DecodeError::Number)?;
                packs_total += u64::from(length);
                if length == 0 || packs_total > PACKS_MAX {
                    return Err(DecodeError::TooLarge("pack range"));
                }
                packs.extend((start..end).map(|seq| (seq, content)));
            }
            sessions.insert(session, packs);
        }
        Ok(PackSet { sessions })
    }
}

/// The most packs that one point may need: 4 Mi packs of 32 MiB are 128 TiB. A range costs few bytes to claim, so its length is bounded too.
const PACKS_MAX: u64 = 4 << 20;
