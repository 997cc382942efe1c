//! The set of packs that a restore point needs, as sessions and ranges of numbers: memory follows ranges, not packs.

use std::collections::BTreeMap;
use std::ops::Range;

use model::SessionId;

use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::tree::PackId;

/// What a point needs a pack for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    fn or(self, other: PackContent) -> PackContent {
        PackContent { data: self.data || other.data, tables: self.tables || other.tables }
    }
}

/// Packs by session and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackSet {
    sessions: BTreeMap<SessionId, Ranges>,
}

/// Ranges of one session by their first number; they neither overlap nor touch a range of the same content. Ends are exclusive, so they may be 2^32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges {
    by_start: BTreeMap<u64, (u64, PackContent)>,
}

impl Ranges {
    /// Adds a range, or another reason for what is there.
    fn add(&mut self, range: Range<u64>, content: PackContent) {
        // Of ranges that do not overlap only the last that begins before this one can reach into it.
        let first = self.by_start.range(..range.start).next_back().filter(|(_, (end, _))| *end > range.start);
        let from = first.map_or(range.start, |(start, _)| *start);
        let overlapping: Vec<(u64, u64, PackContent)> =
            self.by_start.range(from..range.end).map(|(start, (end, content))| (*start, *end, *content)).collect();
        // All go before any piece comes back: a piece is joined with its neighbours.
        for (start, ..) in &overlapping {
            self.by_start.remove(start);
        }
        let mut at = range.start;
        for (start, end, old) in overlapping {
            self.put(start..range.start, old);
            self.put(at..start, content);
            self.put(start.max(range.start)..end.min(range.end), old.or(content));
            self.put(range.end..end, old);
            at = at.max(end);
        }
        self.put(at..range.end, content);
    }

    /// Puts a range where there is none; an empty one is nothing. Joins it with its neighbours.
    fn put(&mut self, range: Range<u64>, content: PackContent) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        let before = self.by_start.range(..start).next_back().map(|(start, (end, content))| (*start, *end, *content));
        if let Some((earlier, _, _)) = before.filter(|(_, until, same)| *until == start && *same == content) {
            start = earlier;
        }
        if let Some((until, _)) = self.by_start.get(&end).copied().filter(|(_, same)| *same == content) {
            self.by_start.remove(&end);
            end = until;
        }
        self.by_start.insert(start, (end, content));
    }

    fn iter(&self) -> impl Iterator<Item = (Range<u64>, PackContent)> {
        self.by_start.iter().map(|(start, (end, content))| (*start..*end, *content))
    }

    fn get(&self, seq: u32) -> Option<PackContent> {
        let (_, (end, content)) = self.by_start.range(..=u64::from(seq)).next_back()?;
        (u64::from(seq) < *end).then_some(*content)
    }
}

impl PackSet {
    /// Adds a pack, or another reason for one.
    pub fn add(&mut self, pack: PackId, content: PackContent) {
        let start = u64::from(pack.seq);
        self.sessions.entry(pack.session).or_default().add(start..start + 1, content);
    }

    /// Adds all packs of another set.
    pub fn add_all(&mut self, other: &PackSet) {
        for (session, ranges) in &other.sessions {
            let own = self.sessions.entry(*session).or_default();
            ranges.iter().for_each(|(range, content)| own.add(range, content));
        }
    }

    /// True if the point needs the pack.
    pub fn contains(&self, pack: PackId) -> bool {
        self.sessions.get(&pack.session).is_some_and(|packs| packs.get(pack.seq).is_some())
    }

    /// All packs with what they are needed for.
    pub fn iter(&self) -> impl Iterator<Item = (PackId, PackContent)> {
        self.sessions.iter().flat_map(|(session, packs)| {
            packs.iter().flat_map(move |(range, content)| {
                // A range ends at most at 2^32, so each number in it is a u32.
                range.map(move |seq| (PackId { session: *session, seq: seq as u32 }, content))
            })
        })
    }

    /// How many packs.
    pub fn len(&self) -> usize {
        self.sessions.values().flat_map(Ranges::iter).map(|(range, _)| (range.end - range.start) as usize).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Refuses what no reader would take: a restore point must not be committed that nobody can open.
    pub(super) fn encode(&self, encoder: &mut Encoder) -> Result<(), Error> {
        let (packs, sessions) = (self.len() as u64, self.sessions.len());
        if packs > PACKS_MAX || sessions > SESSIONS_MAX {
            return Err(Error::Invalid(format!(
                "this restore point would need {packs} packs of {sessions} sessions, and no reader takes more than {PACKS_MAX} of {SESSIONS_MAX}; nothing was committed: \
                 back up under another volume name, which begins anew, with a larger memory budget so that packs are larger, or divide the source among several volumes"
            )));
        }
        self.write(encoder);
        Ok(())
    }

    fn write(&self, encoder: &mut Encoder) {
        encoder.varint(self.sessions.len() as u64);
        for (session, packs) in &self.sessions {
            encoder.raw(&session.0).varint(packs.by_start.len() as u64);
            let mut end = 0;
            for (range, content) in packs.iter() {
                encoder.varint(range.start - end).varint(range.end - range.start).u8(content.to_byte());
                end = range.end;
            }
        }
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<PackSet, DecodeError> {
        let mut set = PackSet::default();
        let mut packs_total = 0u64;
        let sessions = decoder.count("sessions", 20)?;
        if sessions > SESSIONS_MAX {
            return Err(DecodeError::TooLarge("sessions"));
        }
        for _ in 0..sessions {
            let session = SessionId(decoder.array()?);
            if set.sessions.last_key_value().is_some_and(|(last, _)| *last >= session) {
                return Err(DecodeError::Value("session order"));
            }
            let mut packs = Ranges::default();
            let mut end = 0u64;
            for _ in 0..decoder.count("pack ranges", 3)? {
                let start = end + u64::from(decoder.varint_u32()?);
                let length = u64::from(decoder.varint_u32()?);
                let content = PackContent::from_byte(decoder.u8()?).ok_or(DecodeError::Value("pack content"))?;
                end = start + length;
                packs_total += length;
                if length == 0 || packs_total > PACKS_MAX {
                    return Err(DecodeError::TooLarge("pack range"));
                }
                if end > 1 << 32 {
                    return Err(DecodeError::Number);
                }
                packs.put(start..end, content);
            }
            if packs.by_start.is_empty() {
                return Err(DecodeError::Value("session without packs"));
            }
            set.sessions.insert(session, packs);
        }
        Ok(set)
    }
}

/// The most packs that one point may need: 4 Mi packs of 32 MiB are 128 TiB. A range costs few bytes to claim, so its length is bounded too.
const PACKS_MAX: u64 = 4 << 20;
/// The most sessions that one point may name: a run an hour for 29 years. A session costs a reader some 350 bytes and a liar 20.
const SESSIONS_MAX: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const DATA: PackContent = PackContent { data: true, tables: false };
    const TABLES: PackContent = PackContent { data: false, tables: true };

    fn set_of(ranges: &[(u8, u32, u32, bool)]) -> (PackSet, BTreeMap<PackId, PackContent>) {
        let (mut set, mut expected) = (PackSet::default(), BTreeMap::<PackId, PackContent>::new());
        for (session, start, length, data) in ranges {
            let content = if *data { DATA } else { TABLES };
            let mut one = PackSet::default();
            for seq in *start..start + length {
                let pack = PackId { session: SessionId([*session; 16]), seq };
                one.add(pack, content);
                let entry = expected.entry(pack).or_default();
                *entry = entry.or(content);
            }
            set.add_all(&one);
        }
        (set, expected)
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_packs(ranges in proptest::collection::vec((0u8..3, 0u32..40, 0u32..12, any::<bool>()), 0..24)) {
            let (set, expected) = set_of(&ranges);
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), expected.len());
            for session in 0..3 {
                for seq in 0..60 {
                    let pack = PackId { session: SessionId([session; 16]), seq };
                    prop_assert_eq!(set.contains(pack), expected.contains_key(&pack));
                }
            }
            // One set has one form, however it came about.
            let mut single = PackSet::default();
            expected.iter().rev().for_each(|(pack, content)| single.add(*pack, *content));
            single.sessions.retain(|_, ranges| !ranges.by_start.is_empty());
            let mut whole = set.clone();
            whole.sessions.retain(|_, ranges| !ranges.by_start.is_empty());
            prop_assert_eq!(&single, &whole);
            let mut encoder = Encoder::new();
            whole.encode(&mut encoder).unwrap();
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            prop_assert_eq!(PackSet::decode(&mut decoder), Ok(whole));
        }
    }

    #[test]
    fn a_session_without_packs_is_refused() {
        let mut encoder = Encoder::new();
        encoder.varint(1).raw(&[7; 16]).varint(0).raw(&[0; 3]);
        let bytes = encoder.finish();
        assert_eq!(PackSet::decode(&mut Decoder::new(&bytes)), Err(DecodeError::Value("session without packs")));
    }

    fn written_and_read(set: &PackSet) -> Result<Result<PackSet, DecodeError>, Error> {
        let mut encoder = Encoder::new();
        set.encode(&mut encoder)?;
        Ok(PackSet::decode(&mut Decoder::new(&encoder.finish())))
    }

    /// As somebody writes it who does not care.
    fn forged_and_read(set: &PackSet) -> Result<PackSet, DecodeError> {
        let mut encoder = Encoder::new();
        set.write(&mut encoder);
        PackSet::decode(&mut Decoder::new(&encoder.finish()))
    }

    #[test]
    fn as_many_packs_are_written_as_are_read_and_not_one_more() {
        let mut set = PackSet::default();
        let half = PACKS_MAX / 2;
        for session in [1, 2] {
            set.sessions.entry(SessionId([session; 16])).or_default().add(7..7 + half, DATA);
        }
        assert_eq!(set.len() as u64, PACKS_MAX);
        assert_eq!(written_and_read(&set).unwrap().as_ref(), Ok(&set));
        set.add(PackId { session: SessionId([1; 16]), seq: 0 }, DATA);
        let error = written_and_read(&set).unwrap_err();
        assert!(error.to_string().contains("4194305 packs"), "{error}");
        assert_eq!(forged_and_read(&set), Err(DecodeError::TooLarge("pack range")));
    }

    #[test]
    fn as_many_sessions_are_written_as_are_read_and_not_one_more() {
        let session = |number: usize| SessionId((number as u128).to_be_bytes());
        let mut set = PackSet::default();
        (0..SESSIONS_MAX).for_each(|number| set.add(PackId { session: session(number), seq: 0 }, DATA));
        assert_eq!(written_and_read(&set).unwrap().as_ref(), Ok(&set));
        set.add(PackId { session: session(SESSIONS_MAX), seq: 0 }, DATA);
        let error = written_and_read(&set).unwrap_err();
        assert!(error.to_string().contains("262145 sessions"), "{error}");
        assert_eq!(forged_and_read(&set), Err(DecodeError::TooLarge("sessions")));
    }

    #[test]
    fn the_last_number_of_a_session_is_a_number_like_any_other() {
        let last = PackId { session: SessionId([1; 16]), seq: u32::MAX };
        let mut set = PackSet::default();
        set.add(last, DATA);
        assert!(set.contains(last));
        assert_eq!(set.iter().collect::<Vec<_>>(), [(last, DATA)]);
    }
}
