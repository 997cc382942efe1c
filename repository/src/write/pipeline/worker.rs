//! Worker: one job after the other, from bytes to blobs and rows.
//!
//! In: blocks and bundles. Out: blobs for the packer, rows once their place is known. Never: keeps a buffer longer than its job, or ends the process when a stage panics.

use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use crate::Error;
use crate::compress::{Compressed, Compressor};
use crate::hash::signature_of;
use crate::pack::Segment;
use crate::tree::{Class, Location, PackId, Row, Value, key};
use crate::write::block::{PENDING, compare};
use crate::write::dedup::SEGMENT_BYTES_MIN;

use super::{BlockJob, Bundle, Job, Piece, Pipeline, WORKERS, Waiting};

/// What one job after the other needs.
pub(super) struct Tools {
    compressor: Compressor,
    payload: Vec<u8>,
}

impl Tools {
    pub(super) fn new(level: i32) -> Result<Tools, Error> {
        Ok(Tools { compressor: Compressor::new(level)?, payload: Vec::new() })
    }
}

/// One worker thread's own part.
pub(in crate::write) struct Worker<'a, 'p> {
    pub(super) pipeline: &'a Pipeline<'p>,
    pub(super) tools: Tools,
}

impl<'a, 'p> Worker<'a, 'p> {
    pub(in crate::write) fn new(pipeline: &'a Pipeline<'p>) -> Result<Worker<'a, 'p>, Error> {
        Ok(Worker { pipeline, tools: Tools::new(pipeline.level)? })
    }

    /// Works until there are no more jobs.
    pub(in crate::write) fn run(&mut self, work: &Receiver<Job>, stop: &Receiver<()>) {
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

    pub(super) fn one(&mut self, job: Job) -> Result<(), Error> {
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
