//! Journal: what a killed run had sent already, on this machine's disk.
//!
//! In: the session, every pack before it is sent and after it was acknowledged, the sealed restore point before it is sent. Out: after a kill, the session to go on
//! with, the first free pack number, and where its segments are - so that the next run reads again but does not send again; or the restore point to send again.
//! Never: a name, a key or content on disk that is not sealed; a record that this machine did not write whole; a pack number, or the name of a restore point, that may
//! have been sent before with other bytes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::{SessionId, VolumeId};
use serde::{Deserialize, Serialize};

use crate::hash::{Hash, HashingKey, derive};
use crate::layout::Hex;
use crate::session::Announcement;
use crate::tree::{Location, PackId};

/// No journal is larger: 64 MiB are the segments of more than 30 TiB.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// No record is larger.
const RECORD_BYTES_MAX: usize = 8 << 20;
const MAC_BYTES: usize = 32;

/// One segment in an acknowledged pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentSegment {
    pub(super) hash: Hash,
    pub(super) blob: u32,
    pub(super) bytes: u32,
}

#[derive(Serialize, Deserialize)]
enum Record {
    Begin {
        session: SessionId,
        announcement: Announcement,
    },
    Sent {
        seq: u32,
    },
    Acknowledged {
        seq: u32,
        segments: Vec<SentSegment>,
    },
    /// The sealed point in hexadecimal digits; empty: it is too large for a record.
    Committing {
        point: String,
    },
}

/// What a killed run left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resumable {
    pub(super) session: SessionId,
    pub(super) announcement: Announcement,
    /// The first pack number that was never sent.
    pub(super) next_seq: u32,
    pub(super) segments: Vec<(Hash, Location, u32)>,
    /// The sealed restore point, if it may have been sent: nothing else may follow under this session. Empty: its bytes are not known any more.
    pub(super) committing: Option<Vec<u8>>,
}

/// The journal of one volume on this machine, locked as long as it is open.
pub(super) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    key: Hash,
    mac: Hash,
}

impl Journal {
    /// Opens the volume's journal in `directory`. `None`: another run of this volume on this machine holds it.
    pub(super) fn open(
        directory: &Path,
        volume: VolumeId,
        hashing: &HashingKey,
    ) -> std::io::Result<Option<(Journal, Option<Resumable>)>> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(format!("{volume}.journal"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let key = derive(&hashing.0, "holdfast v1 journal", &volume.0);
        let mut bytes = Vec::new();
        (&mut file).take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes)?;
        let resumable = replay(&key, &bytes);
        Ok(Some((Journal { path, state: Mutex::new(State { file, key, mac: [0; 32] }) }, resumable)))
    }

    /// Forgets everything before and begins a session; `segments` are those of an earlier part of the same session.
    pub(super) fn begin(
        &self,
        session: SessionId,
        announcement: &Announcement,
        before: Option<&Resumable>,
    ) -> std::io::Result<()> {
        {
            let mut state = self.lock();
            state.file.set_len(0)?;
            std::io::Seek::rewind(&mut state.file)?;
            state.mac = [0; 32];
        }
        self.append(&Record::Begin { session, announcement: announcement.clone() })?;
        let Some(before) = before.filter(|before| before.session == session) else { return Ok(()) };
        if let Some(seq) = before.next_seq.checked_sub(1) {
            self.append(&Record::Sent { seq })?;
        }
        let mut packs: std::collections::BTreeMap<u32, Vec<SentSegment>> = std::collections::BTreeMap::new();
        for (hash, location, bytes) in &before.segments {
            packs.entry(location.pack.seq).or_default().push(SentSegment {
                hash: *hash,
                blob: location.blob,
                bytes: *bytes,
            });
        }
        packs.into_iter().try_for_each(|(seq, segments)| self.append(&Record::Acknowledged { seq, segments }))
    }

    /// Before a pack is sent: its number is used up, whatever becomes of it.
    pub(super) fn sent(&self, seq: u32) -> std::io::Result<()> {
        self.append(&Record::Sent { seq })?;
        self.lock().file.sync_data()
    }

    /// After a pack was acknowledged.
    pub(super) fn acknowledged(&self, seq: u32, segments: Vec<SentSegment>) -> std::io::Result<()> {
        self.append(&Record::Acknowledged { seq, segments })
    }

    /// Before the restore point is sent: from now on it may land at any time, so no other may be put in its place.
    pub(super) fn committing(&self, sealed: &[u8]) -> std::io::Result<()> {
        let point = if sealed.len() < RECORD_BYTES_MAX / 2 - 64 { format!("{}", Hex(sealed)) } else { String::new() };
        self.append(&Record::Committing { point })?;
        self.lock().file.sync_data()
    }

    /// The session is over; nothing is left to resume.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        self.lock().file.set_len(0)?;
        std::fs::remove_file(&self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, record: &Record) -> std::io::Result<()> {
        let payload = serde_json::to_vec(record)?;
        let mut state = self.lock();
        state.mac = mac(&state.key, &state.mac, &payload);
        let length = u32::try_from(payload.len()).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
        let record = [&length.to_le_bytes()[..], &state.mac, &payload].concat();
        state.file.write_all(&record)
    }
}

/// Each record vouches for all before it.
fn mac(key: &Hash, before: &Hash, payload: &[u8]) -> Hash {
    derive(key, "record", &[before, payload].concat())
}

/// What hexadecimal digits say; the record has been vouched for.
fn bytes_of(digits: &str) -> Vec<u8> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    pairs.iter().filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Reads records up to the first that is not whole.
fn replay(key: &Hash, mut bytes: &[u8]) -> Option<Resumable> {
    let mut resumable: Option<Resumable> = None;
    let mut before = [0; 32];
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((found, rest)) = rest.split_first_chunk::<MAC_BYTES>() else { break };
        if length > RECORD_BYTES_MAX || length > rest.len() {
            break;
        }
        let (payload, rest) = rest.split_at(length);
        before = mac(key, &before, payload);
        if *found != before {
            break;
        }
        let Ok(record) = serde_json::from_slice::<Record>(payload) else { break };
        match (record, &mut resumable) {
            (Record::Begin { session, announcement }, resumable) => {
                *resumable =
                    Some(Resumable { session, announcement, next_seq: 0, segments: Vec::new(), committing: None });
            }
            (Record::Sent { seq }, Some(resumable)) => {
                resumable.next_seq = resumable.next_seq.max(seq.saturating_add(1))
            }
            (Record::Acknowledged { seq, segments }, Some(resumable)) => {
                let pack = PackId { session: resumable.session, seq };
                let place = |sent: SentSegment| (sent.hash, Location { pack, blob: sent.blob, offset: 0 }, sent.bytes);
                resumable.segments.extend(segments.into_iter().map(place));
            }
            (Record::Committing { point }, Some(resumable)) => resumable.committing = Some(bytes_of(&point)),
            (_, None) => break,
        }
        bytes = rest;
    }
    resumable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        Announcement { volume: VolumeId([1; 16]), pins: Vec::new(), writer: "w".into(), started: "t".into() }
    }

    fn open(directory: &Path) -> (Journal, Option<Resumable>) {
        Journal::open(directory, VolumeId([1; 16]), &HashingKey::new([2; 32])).unwrap().unwrap()
    }

    #[test]
    fn a_killed_run_leaves_its_session_its_numbers_and_its_segments() {
        let directory = tempfile::tempdir().unwrap();
        let session = SessionId([9; 16]);
        {
            let (journal, nothing) = open(directory.path());
            assert_eq!(nothing, None);
            journal.begin(session, &announcement(), None).unwrap();
            journal.sent(0).unwrap();
            journal.acknowledged(0, vec![SentSegment { hash: [7; 32], blob: 3, bytes: 100 }]).unwrap();
            journal.sent(1).unwrap();
        }
        let (journal, left) = open(directory.path());
        let left = left.unwrap();
        assert_eq!(
            (left.session, left.next_seq),
            (session, 2),
            "the number that was sent and not acknowledged is not used again"
        );
        let pack = PackId { session, seq: 0 };
        assert_eq!(left.segments, [([7; 32], Location { pack, blob: 3, offset: 0 }, 100)]);
        journal.begin(session, &announcement(), Some(&left)).unwrap();
        drop(journal);
        assert_eq!(open(directory.path()).1.unwrap(), left, "killed again, it leaves the same");
    }

    #[test]
    fn a_journal_is_read_up_to_the_first_record_that_is_not_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, _) = open(directory.path());
        journal.begin(SessionId([9; 16]), &announcement(), None).unwrap();
        journal.sent(0).unwrap();
        journal.sent(1).unwrap();
        let path = journal.path.clone();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let key = derive(&[2; 32], "holdfast v1 journal", &[1; 16]);
        for length in 0..whole.len() {
            let left = replay(&key, &whole[..length]);
            assert!(left.is_none_or(|left| left.next_seq < 2), "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(replay(&key, &damaged).is_none_or(|left| left.next_seq < 2), "byte {at}");
        }
    }

    #[test]
    fn a_point_that_may_have_been_sent_is_kept_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        for sealed in [vec![0, 7, 0xff, 0x10], vec![1; RECORD_BYTES_MAX]] {
            let (journal, _) = open(directory.path());
            journal.begin(SessionId([9; 16]), &announcement(), None).unwrap();
            journal.committing(&sealed).unwrap();
            drop(journal);
            let kept = if sealed.len() < RECORD_BYTES_MAX { sealed } else { Vec::new() };
            assert_eq!(open(directory.path()).1.unwrap().committing, Some(kept));
        }
    }

    #[test]
    fn two_runs_of_one_volume_do_not_share_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let _held = open(directory.path());
        assert!(Journal::open(directory.path(), VolumeId([1; 16]), &HashingKey::new([2; 32])).unwrap().is_none());
    }
}
