//! Packer: sealed blobs into packs, packs into the store.
//!
//! In: compressed blobs and tables from any thread. Out: where each went; packs put by a few lanes, each with one request. Never: more packs in memory than one
//! being filled and one per lane, or a number used twice in a session.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use model::SessionId;

use crate::Error;
use crate::compress::Compressed;
use crate::domain::Domain;
use crate::keys::WriterKeys;
use crate::pack::{PackBuilder, PackSummary, Segment};
use crate::point::{TablePack, TableRef};
use crate::seal::ObjectKind;
use crate::table::BuiltTable;
use crate::tree::PackId;

use super::journal::{Journal, SentSegment};

/// How far a pack may go beyond the size at which it is cut: by its last blob, and by its directory.
const OVERSHOOT_BYTES_MAX: usize = 1 << 20;

/// A pack on its way to the store.
struct Outgoing {
    pack: PackId,
    name: String,
    bytes: Bytes,
    segments: Vec<SentSegment>,
}

/// Where complete packs go.
pub(super) enum Destination {
    /// Into the store; what was sent is noted in the journal, if there is one.
    Store(Option<Journal>),
    /// Nowhere: their sizes are all that is wanted.
    Nowhere,
}

/// Bytes that were put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredBytes {
    /// All of them.
    pub(super) total: u64,
    /// Of these, sealed content.
    pub(super) content: u64,
}

struct State {
    session: SessionId,
    next_seq: u32,
    open: Option<OpenPack>,
    /// Packs of this run that are complete.
    summaries: HashMap<PackId, PackSummary>,
    /// Packs of this run that hold tables.
    table_packs: HashMap<PackId, TablePack>,
    in_flight: usize,
    stored: StoredBytes,
    failure: Option<Error>,
    /// Memory for packs that nobody uses now: there is no other, and the kernel need not give and clear it again for each pack.
    rooms: Vec<Vec<u8>>,
}

impl State {
    /// After a failure everybody stops; [`Packer::take_failure`] says why.
    fn check(&self) -> Result<(), Error> {
        if self.failure.is_some() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

fn no_open_pack() -> Error {
    Error::Bug("a pack that was just opened is gone".into())
}

struct OpenPack {
    id: PackId,
    name: String,
    salt: [u8; 32],
    builder: PackBuilder,
    segments: Vec<SentSegment>,
}

/// Fills packs and hands them to the lanes.
pub(super) struct Packer {
    domain: Domain,
    keys: WriterKeys,
    pack_bytes_target: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// `None`: there are none, whoever completes a pack puts it.
    lanes: Option<Sender<Outgoing>>,
    destination: Destination,
}

/// What a lane works from; run it on a thread of its own with [`Packer::run_lane`].
#[derive(Clone)]
pub(super) struct Lane {
    outgoing: Receiver<Outgoing>,
}

impl Packer {
    /// For one run. Packs are cut at `pack_bytes_target`; there is memory for one that is being filled and one for each of the lanes;
    /// without lanes whoever completes a pack puts it.
    pub(super) fn new(
        domain: &Domain,
        session: SessionId,
        pack_bytes_target: usize,
        lanes: usize,
        destination: Destination,
    ) -> Result<(Packer, Lane), Error> {
        let rooms = vec![Vec::new(); lanes + 1];
        let (sender, outgoing) = bounded(0);
        let state = State {
            session,
            next_seq: 0,
            open: None,
            summaries: HashMap::new(),
            table_packs: HashMap::new(),
            in_flight: 0,
            stored: StoredBytes::default(),
            failure: None,
            rooms,
        };
        let packer = Packer {
            domain: domain.clone(),
            keys: domain.writer_keys()?,
            pack_bytes_target,
            state: Mutex::new(state),
            changed: Condvar::new(),
            lanes: (lanes > 0).then_some(sender),
            destination,
        };
        Ok((packer, Lane { outgoing }))
    }

    /// Goes on with a session that was killed: its numbers below `seq` may have been sent.
    pub(super) fn begin_at(&self, seq: u32) {
        self.lock().next_seq = seq;
    }

    /// The journal, if this run has one.
    pub(super) fn journal(&self) -> Option<&Journal> {
        match &self.destination {
            Destination::Store(journal) => journal.as_ref(),
            Destination::Nowhere => None,
        }
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts packs until the packer is dropped.
    pub(super) fn run_lane(&self, lane: &Lane, stop: &Receiver<()>) {
        loop {
            let outgoing = crossbeam_channel::select! {
                recv(lane.outgoing) -> outgoing => outgoing,
                recv(stop) -> _ => return,
            };
            let Ok(mut outgoing) = outgoing else { return };
            // A panic must end the run with an error, not leave the others waiting for ever.
            let result = catch_unwind(AssertUnwindSafe(|| self.deliver(&mut outgoing)));
            self.delivered(outgoing, result.unwrap_or_else(|_| Err(Error::Bug("a lane panicked".into()))));
        }
    }

    fn deliver(&self, outgoing: &mut Outgoing) -> Result<(), Error> {
        match self.destination {
            Destination::Store(_) => self.send(outgoing),
            Destination::Nowhere => Ok(()),
        }
    }

    /// A complete pack is out of the way.
    fn delivered(&self, outgoing: Outgoing, result: Result<(), Error>) {
        let Outgoing { pack, name, bytes, .. } = outgoing;
        let length = bytes.len() as u64;
        let mut state = self.lock();
        state.in_flight -= 1;
        // A request that was given up may still hold it; then it is the next pack that takes new memory.
        state.rooms.push(bytes.try_into_mut().map_or_else(|_| Vec::new(), Vec::from));
        match result {
            Ok(()) => state.stored.total += length,
            Err(error) => {
                tracing::debug!(%name, seq = pack.seq, "a pack could not be put");
                self.fail(&mut state, error);
            }
        }
        self.changed.notify_all();
    }

    /// A number that the journal does not know must not be sent: a later run would use it again.
    fn send(&self, outgoing: &mut Outgoing) -> Result<(), Error> {
        let Outgoing { pack, name, bytes, segments } = outgoing;
        self.note(|journal| journal.sent(pack.seq))?;
        self.domain.store().put(name, bytes.clone())?;
        self.note(|journal| journal.acknowledged(pack.seq, std::mem::take(segments)))
    }

    fn note(&self, write: impl FnOnce(&Journal) -> std::io::Result<()>) -> Result<(), Error> {
        self.journal().map_or(Ok(()), write).map_err(|source| {
            Error::Invalid(format!("the journal cannot be written: {source}; free space in its directory, or choose another with --cache-dir"))
        })
    }

    /// The state with an open pack that has room for this: one that has not is completed, and the next begun as soon as there is memory for it.
    fn pack_for(&self, blobs: u32, bytes: usize) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.lock();
        loop {
            state.check()?;
            match &state.open {
                Some(open) if self.has_room(&open.builder, blobs, bytes) => return Ok(state),
                Some(_) => state = self.cut(state)?,
                None => match state.rooms.pop() {
                    Some(room) => match self.begin(&mut state, room) {
                        Ok(open) => state.open = Some(open),
                        Err(error) => self.fail(&mut state, error),
                    },
                    None => state = self.wait(state),
                },
            }
        }
    }

    /// False if the pack must be cut before so much is added.
    fn has_room(&self, builder: &PackBuilder, blobs: u32, bytes: usize) -> bool {
        let within = builder.bytes() + bytes <= self.pack_bytes_target + OVERSHOOT_BYTES_MAX;
        builder.is_empty() || (within && builder.has_room(blobs, bytes))
    }

    fn begin(&self, state: &mut State, mut room: Vec<u8>) -> Result<OpenPack, Error> {
        let id = PackId { session: state.session, seq: state.next_seq };
        state.next_seq = state.next_seq.checked_add(1).ok_or_else(|| Error::Bug("2^32 packs in one session".into()))?;
        let name = self.domain.pack_name(id);
        let salt = self.domain.random()?;
        let keys = [&self.keys.structure, &self.keys.metadata, &self.keys.data];
        // All of it at once: a vector that grows doubles.
        room.reserve_exact((self.pack_bytes_target + 2 * OVERSHOOT_BYTES_MAX).saturating_sub(room.len()));
        let builder = PackBuilder::new(self.domain.binding(ObjectKind::Pack, &name), &keys, salt, room)?;
        Ok(OpenPack { id, name, salt, builder, segments: Vec::new() })
    }

    /// Adds content: one blob of the segments that cover it. Returns its pack and its number there.
    pub(super) fn add_data(&self, content: &Compressed, segments: &[Segment]) -> Result<(PackId, u32), Error> {
        let mut state = self.pack_for(1, content.bytes.len())?;
        let open = state.open.as_mut().ok_or_else(no_open_pack)?;
        let position = open.builder.add_data(content, segments)?;
        let blob = position.label.number;
        // Only a segment that is its whole blob can be found again.
        if let [only] = segments {
            open.segments.push(SentSegment { hash: only.hash, blob, bytes: only.bytes });
        }
        let (id, full) = (open.id, open.builder.bytes() >= self.pack_bytes_target);
        state.stored.content += u64::from(position.sealed_bytes);
        if full {
            drop(self.cut(state)?);
        }
        Ok((id, position.label.number))
    }

    /// Adds a table. Every pack that it refers to, other than the one it goes into, has been acknowledged when this returns.
    pub(super) fn add_table(
        &self,
        table: &BuiltTable,
        known: &dyn Fn(PackId) -> PackSummary,
    ) -> Result<TableRef, Error> {
        drop(self.pack_for(table.blobs(), table.bytes())?);
        self.drain()?;
        let mut state = self.pack_for(table.blobs(), table.bytes())?;
        let State { open, summaries, table_packs, .. } = &mut *state;
        let open = open.as_mut().ok_or_else(no_open_pack)?;
        let summary = |pack: PackId| summaries.get(&pack).copied().unwrap_or_else(|| known(pack));
        let placed = table.place(&mut open.builder, open.id, &summary)?;
        let pack =
            TablePack { pack: open.id, summary: PackSummary::default(), salt: open.salt, key: self.keys.structure.id };
        table_packs.insert(open.id, pack);
        Ok(placed)
    }

    /// Completes the open pack, if any, and hands it to a lane.
    fn cut<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>, Error> {
        let Some(open) = state.open.take() else { return Ok(state) };
        let (bytes, summary) = match open.builder.finish() {
            Ok(finished) => finished,
            Err(error) => {
                self.fail(&mut state, error);
                return Err(Error::Cancelled);
            }
        };
        state.summaries.insert(open.id, summary);
        if let Some(pack) = state.table_packs.get_mut(&open.id) {
            pack.summary = summary;
        }
        state.in_flight += 1;
        drop(state);
        let mut outgoing = Outgoing { pack: open.id, name: open.name, bytes, segments: open.segments };
        match &self.lanes {
            None => {
                let result = self.deliver(&mut outgoing);
                self.delivered(outgoing, result);
            }
            Some(lanes) => {
                if let Err(unsent) = lanes.send(outgoing) {
                    self.delivered(unsent.0, Err(Error::Bug("the lanes ended before the packer".into())));
                }
            }
        }
        Ok(self.lock())
    }

    /// Waits until every complete pack is acknowledged; the open one stays open.
    pub(super) fn drain(&self) -> Result<(), Error> {
        let mut state = self.lock();
        while state.in_flight > 0 && state.failure.is_none() {
            state = self.wait(state);
        }
        state.check()
    }

    fn fail(&self, state: &mut State, error: Error) {
        state.failure.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Why a run stopped that was not told to.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.lock().failure.as_mut().map(|failure| std::mem::replace(failure, Error::Cancelled))
    }

    /// Completes the open pack and waits until everything is acknowledged.
    pub(super) fn finish(&self) -> Result<(), Error> {
        drop(self.cut(self.lock())?);
        self.drain()
    }

    /// After [`Packer::finish`]: goes on under another session, numbered from 0.
    pub(super) fn next_session(&self, session: SessionId) {
        let mut state = self.lock();
        state.session = session;
        state.next_seq = 0;
    }

    /// True if the pack is still being filled.
    pub(super) fn is_open(&self, pack: PackId) -> bool {
        self.lock().open.as_ref().is_some_and(|open| open.id == pack)
    }

    /// The packs of this run that are complete.
    pub(super) fn summaries(&self) -> Vec<(PackId, PackSummary)> {
        self.lock().summaries.iter().map(|(pack, summary)| (*pack, *summary)).collect()
    }

    /// The packs of this run that hold tables, with what opens them.
    pub(super) fn table_packs(&self) -> Vec<TablePack> {
        self.lock().table_packs.values().copied().collect()
    }

    /// What was put so far.
    pub(super) fn stored(&self) -> StoredBytes {
        self.lock().stored
    }
}
