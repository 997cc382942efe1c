//! Pipeline: the stages between reading and packing, on all cores: page hash, compare, deduplicate, bundle, compress, check.
//!
//! In: blocks of large files and pieces of small content, from the sweep. Out: blobs for the packer, rows once their place is known. Never: more blocks in
//! memory than there are buffers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use crate::Error;
use crate::compress::{Compressed, Compressor};
use crate::hash::{BLOCK_BYTES, HashingKey, PageSum, signature_of};
use crate::pack::Segment;
use crate::tree::{Class, Location, PackId, Row, Sum, Value, key};

use super::block::{Before, PENDING, compare};
use super::dedup::{Dedup, SEGMENT_BYTES_MIN};
use super::packer::Packer;
use super::parent::Parent;
use super::rows::Rows;

/// A blob of bundled pieces has at most this much plaintext.
const BUNDLE_BYTES_MAX: usize = 1 << 20;

const SWEEP: usize = 0;
const WORKERS: usize = 1;

/// What the workers count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_changed: AtomicU64,
    /// Put as content.
    pub(super) bytes_put: AtomicU64,
    /// Of these, what the repository has elsewhere.
    pub(super) bytes_moved: AtomicU64,
}

/// The sum of a large file while its blocks are on their way.
pub(super) struct FileSum {
    node: u64,
    state: Mutex<FileSumState>,
}

struct FileSumState {
    sum: PageSum,
    pending: usize,
    changed: bool,
    /// Set when all blocks have been handed over: how many there are.
    blocks: Option<u64>,
}

impl FileSum {
    /// Begins with what the parent has.
    pub(super) fn new(node: u64, sum: PageSum) -> Arc<FileSum> {
        Arc::new(FileSum { node, state: Mutex::new(FileSumState { sum, pending: 0, changed: false, blocks: None }) })
    }

    fn lock(&self) -> MutexGuard<'_, FileSumState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the sum.
    pub(super) fn add(&self, change: PageSum) {
        let mut state = self.lock();
        state.sum.merge(change);
        state.changed = true;
    }

    /// Says that the row must be written whatever the blocks say.
    pub(super) fn mark_changed(&self) {
        self.lock().changed = true;
    }

    /// All blocks have been handed over.
    pub(super) fn finish(&self, blocks: u64, rows: &Rows) {
        let mut state = self.lock();
        state.blocks = Some(blocks);
        self.emit_if_done(&mut state, rows);
    }

    /// The row as it stands, for a checkpoint in the middle of the file (when nothing is on its way).
    pub(super) fn emit_interim(&self, blocks: u64, rows: &Rows) {
        let state = self.lock();
        emit(self.node, state.sum, blocks, rows);
    }

    fn block_done(&self, rows: &Rows) {
        let mut state = self.lock();
        state.pending -= 1;
        self.emit_if_done(&mut state, rows);
    }

    fn emit_if_done(&self, state: &mut FileSumState, rows: &Rows) {
        if let (0, true, Some(blocks)) = (state.pending, state.changed, state.blocks) {
            emit(self.node, state.sum, blocks, rows);
        }
    }
}

fn emit(node: u64, sum: PageSum, blocks: u64, rows: &Rows) {
    rows.add(Class::Content, key::sum(node), Value::Sum(Sum { pages: sum.pages, sum: sum.sum, blocks }));
}

/// One block of a large file.
pub(super) struct BlockJob {
    pub(super) file: Arc<FileSum>,
    pub(super) block: u64,
    /// The bytes that were read; what is missing up to `bytes` is a hole.
    pub(super) data: Vec<u8>,
    pub(super) bytes: usize,
    pub(super) before: Box<Before>,
}

/// A piece of a bundle: small content, and the row that waits for its place.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) class: Class,
    pub(super) row: Row,
    /// The first so many bytes are a small file's content, whose signature the row still lacks.
    pub(super) sign_bytes: usize,
}

#[derive(Default)]
pub(super) struct Bundle {
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    class: Class,
    row: Row,
    start: usize,
    sign_bytes: usize,
}

pub(super) enum Job {
    Block(BlockJob),
    Bundle(Bundle),
}

#[derive(Default)]
struct Outstanding {
    jobs: usize,
    failure: Option<Error>,
}

/// Shared by the sweep and all workers.
pub(super) struct Pipeline<'a> {
    pub(super) hashing: HashingKey,
    pub(super) level: i32,
    pub(super) packer: &'a Packer,
    pub(super) rows: &'a Rows,
    pub(super) parent: Option<&'a Parent>,
    pub(super) dedup: Dedup,
    pub(super) counters: Counters,
    /// `None`: there are no workers, whoever hands over a job does it.
    jobs: Option<Sender<Job>>,
    /// What such a job needs, as long as nobody uses it.
    spare: Mutex<Option<Tools>>,
    buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    /// One for the sweep, so that its bundles are the same when a killed run is repeated; one for the workers.
    bundles: [Mutex<Bundle>; 2],
    outstanding: Mutex<Outstanding>,
    changed: Condvar,
}

/// What a pipeline is built from.
pub(super) struct Parts<'a> {
    pub(super) hashing: HashingKey,
    pub(super) level: i32,
    pub(super) packer: &'a Packer,
    pub(super) rows: &'a Rows,
    pub(super) parent: Option<&'a Parent>,
    pub(super) dedup: Dedup,
    /// How many blocks may be in memory.
    pub(super) buffers: usize,
    /// False if nobody will run a [`Worker`].
    pub(super) has_workers: bool,
}

impl<'a> Pipeline<'a> {
    /// The pipeline, and where its workers take their jobs.
    pub(super) fn new(parts: Parts<'a>) -> (Pipeline<'a>, Receiver<Job>) {
        let (jobs, work) = crossbeam_channel::bounded(parts.buffers);
        let buffers = crossbeam_channel::bounded(parts.buffers);
        for _ in 0..parts.buffers {
            // The channel has room for all of them.
            let _ = buffers.0.try_send(Vec::new());
        }
        let Parts { hashing, level, packer, rows, parent, dedup, has_workers, .. } = parts;
        let pipeline = Pipeline {
            hashing,
            level,
            packer,
            rows,
            parent,
            dedup,
            counters: Counters::default(),
            jobs: has_workers.then_some(jobs),
            spare: Mutex::default(),
            buffers,
            bundles: Default::default(),
            outstanding: Mutex::default(),
            changed: Condvar::new(),
        };
        (pipeline, work)
    }

    /// A buffer of one block, when one is free.
    pub(super) fn take_buffer(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        let mut buffer = self.buffers.1.recv().map_err(|_| Error::Bug("the buffers are gone".into()))?;
        buffer.resize(BLOCK_BYTES, 0);
        Ok(buffer)
    }

    /// Gives a buffer back.
    pub(super) fn return_buffer(&self, buffer: Vec<u8>) {
        let _ = self.buffers.0.try_send(buffer);
    }

    /// Hands a block to the workers; its data came from [`Pipeline::take_buffer`].
    pub(super) fn submit(&self, job: BlockJob) -> Result<(), Error> {
        job.file.lock().pending += 1;
        self.send(Job::Block(job))
    }

    /// Adds a piece to the bundle being filled; a full bundle goes to the workers.
    pub(super) fn add_piece(&self, piece: Piece) -> Result<(), Error> {
        match self.bundle_with(SWEEP, piece) {
            None => Ok(()),
            Some(full) => self.send(Job::Bundle(full)),
        }
    }

    /// Waits until every job is done and every piece is in a blob.
    pub(super) fn drain(&self) -> Result<(), Error> {
        self.wait()?;
        for bundle in &self.bundles {
            let last = std::mem::take(&mut *bundle.lock().unwrap_or_else(PoisonError::into_inner));
            if !last.waiting.is_empty() {
                self.send(Job::Bundle(last))?;
            }
        }
        self.wait()
    }

    /// A failure of a worker, if there was one.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.outstanding().failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn outstanding(&self) -> MutexGuard<'_, Outstanding> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Result<(), Error> {
        let mut outstanding = self.outstanding();
        while outstanding.jobs > 0 {
            outstanding = self.changed.wait(outstanding).unwrap_or_else(PoisonError::into_inner);
        }
        drop(outstanding);
        self.check()
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.check()?;
        let Some(jobs) = &self.jobs else { return self.do_at_once(job) };
        self.outstanding().jobs += 1;
        jobs.send(job).map_err(|_| {
            self.outstanding().jobs -= 1;
            Error::Bug("the workers ended before the sweep".into())
        })
    }

    fn do_at_once(&self, job: Job) -> Result<(), Error> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = spare().take().map_or_else(|| Tools::new(self.level), Ok)?;
        let mut worker = Worker { pipeline: self, tools };
        let result = worker.one(job);
        *spare() = Some(worker.tools);
        result
    }

    fn bundle_with(&self, which: usize, piece: Piece) -> Option<Bundle> {
        let mut bundle = self.bundles[which].lock().unwrap_or_else(PoisonError::into_inner);
        let full = (bundle.bytes.len() + piece.bytes.len() > BUNDLE_BYTES_MAX).then(|| std::mem::take(&mut *bundle));
        let Piece { bytes, class, row, sign_bytes } = piece;
        let start = bundle.bytes.len();
        bundle.waiting.push(Waiting { class, row, start, sign_bytes });
        bundle.bytes.extend_from_slice(&bytes);
        full
    }
}

/// What one job after the other needs.
struct Tools {
    compressor: Compressor,
    payload: Vec<u8>,
}

impl Tools {
    fn new(level: i32) -> Result<Tools, Error> {
        Ok(Tools { compressor: Compressor::new(level)?, payload: Vec::new() })
    }
}

/// One worker thread's own part.
pub(super) struct Worker<'a, 'p> {
    pipeline: &'a Pipeline<'p>,
    tools: Tools,
}

impl<'a, 'p> Worker<'a, 'p> {
    pub(super) fn new(pipeline: &'a Pipeline<'p>) -> Result<Worker<'a, 'p>, Error> {
        Ok(Worker { pipeline, tools: Tools::new(pipeline.level)? })
    }

    /// Works until there are no more jobs.
    pub(super) fn run(&mut self, work: &Receiver<Job>, stop: &Receiver<()>) {
        loop {
            let job = crossbeam_channel::select! {
                recv(work) -> job => job,
                recv(stop) -> _ => return,
            };
            let Ok(job) = job else { return };
            // A panic in a stage must end the run with an error, not leave the sweep waiting for ever.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.one(job)))
                .unwrap_or_else(|_| Err(Error::Bug("a worker panicked".into())));
            let mut outstanding = self.pipeline.outstanding();
            outstanding.jobs -= 1;
            if let Err(error) = result {
                outstanding.failure.get_or_insert(error);
            }
            self.pipeline.changed.notify_all();
        }
    }

    fn one(&mut self, job: Job) -> Result<(), Error> {
        match job {
            Job::Bundle(bundle) => self.bundle(bundle),
            Job::Block(job) => {
                let file = job.file.clone();
                let result = self.block(job);
                file.block_done(self.pipeline.rows);
                result
            }
        }
    }

    fn block(&mut self, job: BlockJob) -> Result<(), Error> {
        let BlockJob { file, block, mut data, bytes, before } = job;
        let pipeline = self.pipeline;
        let Some(change) = compare(&pipeline.hashing, block, &data, bytes, &before) else {
            pipeline.return_buffer(data);
            return Ok(());
        };
        pipeline.counters.bytes_changed.fetch_add(change.bytes_changed, Ordering::Relaxed);
        pipeline.counters.bytes_moved.fetch_add(change.bytes_moved, Ordering::Relaxed);
        self.tools.payload.clear();
        match change.pieces.as_slice() {
            // All of it differs, as in every first backup: the buffers change places.
            [(0, end)] if *end == data.len() => std::mem::swap(&mut self.tools.payload, &mut data),
            pieces => pieces.iter().for_each(|(start, end)| {
                // What lies beyond the data that was read is a hole inside the last page.
                let present = data.get(*start..(*end).min(data.len())).unwrap_or_default();
                self.tools.payload.extend_from_slice(present);
                self.tools.payload.resize(self.tools.payload.len() + (end - start - present.len()), 0);
            }),
        }
        pipeline.return_buffer(data);
        if !change.signs.signatures.is_empty() {
            file.add(change.sum);
            pipeline.rows.add(Class::Sign, key::sign(file.node, block), Value::Sign(change.signs));
        }
        let row = Row { key: key::block(file.node, block), value: Value::Block(change.extents) };
        if self.tools.payload.is_empty() {
            pipeline.rows.add(Class::Content, row.key, row.value);
            return Ok(());
        }
        if self.tools.payload.len() < SEGMENT_BYTES_MIN {
            let piece = Piece { bytes: self.tools.payload.clone(), class: Class::Content, row, sign_bytes: 0 };
            return match pipeline.bundle_with(WORKERS, piece) {
                None => Ok(()),
                Some(full) => self.bundle(full),
            };
        }
        let hash = pipeline.hashing.segment_of_pages(&change.hashes);
        self.segment(hash, row)
    }

    /// A payload that is large enough for a blob, and a row, of its own.
    fn segment(&mut self, hash: [u8; 32], mut row: Row) -> Result<(), Error> {
        let pipeline = self.pipeline;
        let length = self.tools.payload.len() as u32;
        let location = match pipeline.dedup.find(&hash, length, pipeline.parent)? {
            Some(location) => location,
            None => {
                let content = self.tools.compressor.compress(&self.tools.payload)?;
                let location = self.put(&content, hash, row.key.clone())?;
                pipeline.dedup.remember(hash, location, length);
                pipeline.rows.add(Class::Segment, key::segment(&hash), Value::Segment { location, length });
                location
            }
        };
        settle(&mut row.value, location.pack, location.blob, location.offset);
        pipeline.rows.add(Class::Content, row.key, row.value);
        Ok(())
    }

    fn put(&mut self, content: &Compressed, hash: [u8; 32], hint: Vec<u8>) -> Result<Location, Error> {
        let segment = Segment { bytes: content.plaintext_bytes, hash, hint };
        self.pipeline.counters.bytes_put.fetch_add(u64::from(content.plaintext_bytes), Ordering::Relaxed);
        let (pack, blob) = self.pipeline.packer.add_data(content, &[segment])?;
        Ok(Location { pack, blob, offset: 0 })
    }

    fn bundle(&mut self, bundle: Bundle) -> Result<(), Error> {
        let Bundle { bytes, mut waiting } = bundle;
        let pipeline = self.pipeline;
        if !bytes.is_empty() {
            let hash = pipeline.hashing.segment(&bytes);
            // A bundle is found again only when a killed run is repeated; it is too much of a mixture to be worth a row.
            let location = match pipeline.dedup.find(&hash, bytes.len() as u32, None)? {
                Some(location) => location,
                None => {
                    let content = self.tools.compressor.compress(&bytes)?;
                    let hint = waiting.first().map(|waiting| waiting.row.key.clone()).unwrap_or_default();
                    self.put(&content, hash, hint)?
                }
            };
            for waiting in &mut waiting {
                settle(&mut waiting.row.value, location.pack, location.blob, waiting.start as u32);
            }
        }
        for Waiting { class, mut row, start, sign_bytes } in waiting {
            if sign_bytes > 0 {
                let content = bytes
                    .get(start..start + sign_bytes)
                    .ok_or_else(|| Error::Bug("a piece outside its bundle".into()))?;
                sign(&mut row.value, signature_of(&pipeline.hashing.segment(content)));
            }
            pipeline.rows.add(class, row.key, row.value);
        }
        Ok(())
    }
}

/// Replaces pending places by real ones.
fn settle(value: &mut Value, pack: PackId, blob: u32, offset: u32) {
    value.visit_locations_mut(|location, _| {
        if location.pack == PENDING {
            *location = Location { pack, blob, offset: location.offset + offset };
        }
    });
}

/// Fills in the signature of a small file's content.
fn sign(value: &mut Value, signature: u64) {
    let inode = match value {
        Value::Inode(inode) => Some(inode),
        Value::Entry(entry) => entry.inode.as_mut(),
        _ => None,
    };
    if let Some(inline) = inode.and_then(|inode| inode.inline.as_mut()) {
        inline.signature = signature;
    }
}
