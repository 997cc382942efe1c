//! Pipeline: the stages between reading and packing, on all cores: page hash, compare, deduplicate, bundle, compress, check.
//!
//! In: blocks of large files and pieces of small content, from the sweep. Out: blobs for the packer, rows once their place is known. Never: more blocks in
//! memory than there are buffers.

mod sum;
mod worker;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use crate::Error;
use crate::hash::{BLOCK_BYTES, HashingKey};
use crate::tree::{Class, Row};

use super::block::Before;
use super::dedup::Dedup;
use super::packer::Packer;
use super::parent::Parent;
use super::rows::Rows;

use worker::Tools;

pub(super) use sum::FileSum;
pub(super) use worker::Worker;

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
        job.file.block_begun();
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
