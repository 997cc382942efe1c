//! Engine: content of many files, fetched pack by pack and scattered.
//!
//! In: batches of pieces: which bytes of which blob belong where in which file. Out: files. Never: more fetched bytes in memory than its share of the budget, a
//! blob opened twice in a batch, or a thread that waits for ever when another fails.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use crate::Error;
use crate::read::content::ContentReader;
use crate::read::packs::{OpenBlob, PackIndex};
use crate::read::path::PathBytes;
use crate::read::points::concerns_one_object;
use crate::read::view::{Found, View};
use crate::target::{Metadata, Target, TargetError};
use crate::tree::PackId;

use super::RestoreOptions;
use super::batch::{Batch, Piece};
use super::bounds::Underway;
use super::file::{FileError, FileJob};
use super::lost::LostRanges;
use super::report::{Failed, FailedList};
use crate::parallel::{Budget, Permit};

mod fetch;

/// Threads that wait for the store.
pub(super) const FETCHERS: usize = 4;
/// Blobs that wait for a worker.
const TASKS_MAX: usize = 64;

/// The pieces of one pack.
pub(super) struct PackJob {
    batch: Arc<Batch>,
    pack: PackId,
    pieces: Range<usize>,
}

/// Work for a worker.
pub(super) enum Task {
    Blob(BlobTask),
    /// A file without pieces; the batch is under way as long as it waits.
    File {
        file: Arc<FileJob>,
        _batch: Arc<Batch>,
    },
}

pub(super) struct BlobTask {
    index: Arc<PackIndex>,
    blob: u32,
    sealed: Bytes,
    batch: Arc<Batch>,
    pieces: Range<usize>,
    _permit: Arc<Permit>,
}

/// Shared by the planner, the fetchers and the workers.
pub(super) struct Engine<'a> {
    pub(super) view: &'a View,
    pub(super) target: &'a dyn Target,
    pub(super) options: &'a RestoreOptions,
    budget: Arc<Budget>,
    underway: Arc<Underway>,
    failed: Mutex<FailedList>,
    /// What was lost of files that may have other names, by node.
    lost_of_shared: Mutex<HashMap<u64, LostRanges>>,
    failure: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

/// Where batches go. Dropped, it lets the threads end.
pub(super) struct Submit {
    /// `None`: there are no fetchers, the planner fetches.
    packs: Option<Sender<PackJob>>,
    tasks: Tasks,
}

/// Where the blobs that were fetched go. `None`: there are no workers, whoever fetched a blob opens it.
#[derive(Clone)]
pub(super) struct Tasks(Option<Sender<Task>>);

/// What the threads work from.
pub(super) struct Work {
    pub(super) packs: Receiver<PackJob>,
    pub(super) tasks: Receiver<Task>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(view: &'a View, target: &'a dyn Target, options: &'a RestoreOptions) -> Engine<'a> {
        Engine {
            view,
            target,
            options,
            budget: Budget::new(options.memory_budget_bytes as u64 / 2),
            underway: Arc::default(),
            failed: Mutex::default(),
            lost_of_shared: Mutex::default(),
            failure: Mutex::new(None),
            stopped: AtomicBool::new(false),
        }
    }

    /// The queues between the threads, if there are any.
    pub(super) fn queues(has_threads: bool) -> (Submit, Work) {
        let (packs, pack_jobs) = crossbeam_channel::unbounded();
        let (tasks, work) = crossbeam_channel::bounded(TASKS_MAX);
        let submit = Submit { packs: has_threads.then_some(packs), tasks: Tasks(has_threads.then_some(tasks)) };
        (submit, Work { packs: pack_jobs, tasks: work })
    }

    /// The first failure, or a request to stop.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(session) = self.view.session() {
            session.show_life(0);
        }
        if self.options.cancel.load(Ordering::Relaxed) {
            self.stopped.store(true, Ordering::Release);
            return Err(Error::Cancelled);
        }
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(failure.unwrap_or(Error::Cancelled))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || self.options.cancel.load(Ordering::Relaxed)
    }

    /// Ends the restore: the others throw away what they have.
    pub(super) fn stop(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stopped.store(true, Ordering::Release);
    }

    /// What has failed, at the end.
    pub(super) fn into_failed(self) -> FailedList {
        self.failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records something that could not be restored.
    pub(super) fn record(&self, path: String, reason: String) {
        self.record_failed(Failed::new(path, reason));
    }

    fn record_failed(&self, failed: Failed) {
        tracing::debug!(path = %failed.path, reason = %failed.reason, "not restored");
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).add(failed);
    }

    /// True if the restore goes on in spite of this, which is damage.
    pub(super) fn skips(&self, error: &Error) -> bool {
        self.options.skip_damaged && (concerns_one_object(error) || matches!(error, Error::Missing(_)))
    }

    /// What the target needs to know of an entry. With damage skipped, attributes that cannot be read are left out and listed.
    pub(super) fn metadata(
        &self,
        reader: &mut ContentReader<'_>,
        found: &Found,
        path: &PathBytes,
    ) -> Result<Metadata, Error> {
        reader.metadata(found, &mut |name, error| {
            if !self.skips(&error) {
                return Err(error);
            }
            let name = name.escape_ascii();
            self.record(path.display(), format!("it was restored without its attribute {name}: {error}"));
            Ok(())
        })
    }

    /// A file is there with zeros in place of what could not be read.
    fn record_zeros(&self, file: &FileJob) {
        let Some(lost) = file.take_lost() else { return };
        if let Some(node) = file.shared {
            self.lost_of_shared.lock().unwrap_or_else(PoisonError::into_inner).insert(node, lost.clone());
        }
        self.record_failed(Failed::with_zeros(file.path.display(), lost));
    }

    /// Another name of a file that may have lost something.
    pub(super) fn record_other_name(&self, path: &PathBytes, node: u64) {
        let lost = self.lost_of_shared.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
        if let Some(lost) = lost {
            self.record_failed(Failed::with_zeros(path.display(), lost));
        }
    }

    /// The target did not take something: recorded, and the restore goes on unless the target is full.
    pub(super) fn refused(&self, path: String, error: TargetError) -> Result<(), Error> {
        if matches!(error, TargetError::Full { .. }) {
            return Err(error.into());
        }
        self.record(path, error.to_string());
        Ok(())
    }

    /// Waits until no batch is under way.
    pub(super) fn wait(&self) -> Result<(), Error> {
        self.underway.wait();
        self.check()
    }

    /// Hands a batch over, when the one before it is done.
    pub(super) fn submit(&self, to: &Submit, mut batch: Batch) -> Result<(), Error> {
        self.wait()?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.sort();
        batch._running = Some(self.underway.begin());
        let batch = Arc::new(batch);
        for pieces in batch.groups(0..batch.pieces.len(), |one, other| one.pack == other.pack) {
            let pack = batch.packs[batch.pieces[pieces.start].pack as usize];
            let job = PackJob { batch: batch.clone(), pack, pieces };
            match &to.packs {
                Some(packs) => packs
                    .send(job)
                    .map_err(|_| Error::Bug("the threads of a restore ended before its planner".into()))?,
                None => self.fetch_or_lose(&job, |sent| self.fetch(&job, &to.tasks, sent)),
            }
        }
        for file in &batch.empty {
            self.hand_over(Task::File { file: file.clone(), _batch: batch.clone() }, &to.tasks)?;
        }
        Ok(())
    }

    /// A fetcher: until there are no more packs.
    pub(super) fn run_fetcher(&self, jobs: &Receiver<PackJob>, tasks: &Tasks) {
        for job in jobs {
            self.fetch_or_lose(&job, |sent| guarded(|| self.fetch(&job, tasks, sent)));
        }
    }

    /// `fetch` counts the pieces that it has handed over; if it fails, the others are lost.
    fn fetch_or_lose(&self, job: &PackJob, fetch: impl FnOnce(&mut usize) -> Result<(), Error>) {
        if self.is_stopped() {
            return;
        }
        let mut sent = job.pieces.start;
        if let Err(error) = fetch(&mut sent) {
            self.lose(&job.batch, sent..job.pieces.end, error);
        }
    }

    /// Content cannot be had: the restore ends, or goes on with zeros.
    fn lose(&self, batch: &Batch, pieces: Range<usize>, error: Error) {
        if !self.skips(&error) {
            self.stop(error);
            return;
        }
        let why = error.to_string();
        for piece in &batch.pieces[pieces] {
            let file = &batch.files[piece.file as usize];
            if file.has_failed() {
                continue;
            }
            if let Err(error) = file.leave_zeros(self.target, (piece.at, piece.length), &why) {
                self.file_failed(file, FileError::Target(error));
            }
            self.piece_done(file);
        }
    }

    fn hand_over(&self, task: Task, tasks: &Tasks) -> Result<(), Error> {
        match &tasks.0 {
            Some(tasks) => tasks
                .send(task)
                .map_err(|_| Error::Bug("the workers of a restore ended before what they work from".into())),
            None => {
                self.work_on(&task);
                Ok(())
            }
        }
    }

    /// A worker: until there are no more tasks.
    pub(super) fn run_worker(&self, tasks: &Receiver<Task>) {
        for task in tasks {
            let done = guarded(|| {
                self.work_on(&task);
                Ok(())
            });
            if let Err(error) = done {
                self.stop(error);
            }
        }
    }

    fn work_on(&self, task: &Task) {
        match task {
            _ if self.is_stopped() => {}
            Task::File { file, .. } => self.piece_done(file),
            Task::Blob(task) => self.scatter(task),
        }
    }

    fn scatter(&self, task: &BlobTask) {
        let hashing = self.view.domain().hashing();
        let blob = match self.open(task) {
            Ok(blob) => blob,
            Err(error) => return self.lose(&task.batch, task.pieces.clone(), error),
        };
        for pieces in task.batch.groups(task.pieces.clone(), |one, other| one.file == other.file) {
            if self.is_stopped() {
                return;
            }
            let pieces = &task.batch.pieces[pieces];
            let file = &task.batch.files[pieces[0].file as usize];
            if !file.has_failed() {
                match file.put(self.target, hashing, &blob, pieces) {
                    Ok(written) => self.written(written),
                    Err(error) => self.file_failed(file, error),
                }
            }
            pieces.iter().for_each(|_| self.piece_done(file));
        }
    }

    /// A blob's bytes were sealed by who wrote the restore point. Its segments, which cost a hash of every page for the one that is needed, are checked only where
    /// the sum of the whole file comes too late to say that a writer went wrong: what is written shows at once, or a part may be left out.
    fn open(&self, task: &BlobTask) -> Result<OpenBlob, Error> {
        let mut blob = task.index.open_sealed(task.blob, &task.sealed)?;
        let early = |piece: &Piece| !task.batch.files[piece.file as usize].appears_proven();
        if self.options.skip_damaged
            || self.target.is_single_file()
            || task.batch.pieces[task.pieces.clone()].iter().any(early)
        {
            task.index.prove(self.view.domain().hashing(), task.blob, &mut blob)?;
        }
        Ok(blob)
    }

    fn written(&self, bytes: u64) {
        self.options.progress.bytes_restored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// One piece less to come; the last one finishes the file.
    pub(super) fn piece_done(&self, file: &FileJob) {
        if !file.piece_done() || file.has_failed() || self.is_stopped() {
            return;
        }
        match file.finish(self.target, self.view.domain().hashing()) {
            Ok(written) => {
                self.written(written);
                self.record_zeros(file);
            }
            Err(error) => self.file_failed(file, error),
        }
    }

    /// A file will not be finished.
    pub(super) fn file_failed(&self, file: &FileJob, error: FileError) {
        if !file.fail() {
            return;
        }
        let path = file.path.display();
        let ends = match &error {
            FileError::Target(error) => matches!(error, TargetError::Full { .. }),
            FileError::Damaged(_) => !self.options.skip_damaged,
        };
        let error = error.into_error(&self.view.object(), &path);
        if ends { self.stop(error) } else { self.record(path, error.to_string()) }
    }
}

/// A panic in a stage must end the restore with an error, not leave the planner waiting for ever.
fn guarded(work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::Bug("a thread of the restore panicked".into())))
}

impl Submit {
    /// For fetchers.
    pub(super) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }
}
