//! Fetch: what is needed of one pack, in few requests.
//!
//! In: the pieces of a pack. Out: its blobs, sealed, each with its pieces. Never: more requests than the blobs need that lie together, or a range beyond its budget.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{BlobTask, Engine, PackJob, Task, Tasks};
use crate::Error;
use crate::pack::PackSummary;
use crate::parallel::Permit;
use crate::read::packs::{PackIndex, slice};

/// Smaller packs are always fetched whole: the directory alone would cost as many requests.
const WHOLE_PACK_BYTES: u64 = 1 << 20;
/// Blobs so close to each other are fetched together with what lies between them.
const GAP_BYTES_MAX: u64 = 1 << 20;
/// No range is larger.
const RANGE_BYTES_MAX: u64 = 16 << 20;
impl Engine<'_> {
    /// Fetches what is needed of a pack and hands its blobs over; `sent` counts the pieces of those.
    pub(super) fn fetch(&self, job: &PackJob, tasks: &Tasks, sent: &mut usize) -> Result<(), Error> {
        let packs = self.view.packs();
        let summary = packs.summary(job.pack)?;
        let blobs = job.batch.groups(job.pieces.clone(), |one, other| one.blob == other.blob);
        if self.is_fetched_whole(job, &summary) {
            let permit = self.budget.take(summary.pack_bytes);
            let whole = packs.fetch(job.pack, 0..summary.pack_bytes)?;
            let index = Arc::new(packs.index_of_whole(job.pack, &whole, &summary)?);
            return self.send_blobs(job, (&index, tasks, sent), blobs, (0, &whole, &permit));
        }
        let index = Arc::new(packs.index(job.pack)?);
        let mut ranges: Vec<(Range<u64>, Vec<Range<usize>>)> = Vec::new();
        for pieces in blobs {
            let range = index.data(job.batch.pieces[pieces.start].blob)?.position.range();
            match ranges.last_mut() {
                Some((last, together))
                    if range.start <= last.end + GAP_BYTES_MAX && range.end - last.start <= RANGE_BYTES_MAX =>
                {
                    last.end = range.end;
                    together.push(pieces);
                }
                _ => ranges.push((range, vec![pieces])),
            }
        }
        for (range, blobs) in ranges {
            if self.is_stopped() {
                return Ok(());
            }
            let permit = self.budget.take(range.end - range.start);
            let bytes = packs.fetch(job.pack, range.clone())?;
            self.send_blobs(job, (&index, tasks, sent), blobs, (range.start, &bytes, &permit))?;
        }
        Ok(())
    }

    fn is_fetched_whole(&self, job: &PackJob, summary: &PackSummary) -> bool {
        let needed: u64 = job.batch.pieces[job.pieces.clone()].iter().map(|piece| u64::from(piece.length)).sum();
        // Without better knowledge: content that does not compress.
        let all = if summary.data_bytes > 0 { summary.data_bytes } else { summary.pack_bytes };
        summary.pack_bytes <= WHOLE_PACK_BYTES || (needed >= all / 2 && summary.pack_bytes <= self.budget.total)
    }

    fn send_blobs(
        &self,
        job: &PackJob,
        (index, tasks, sent): (&Arc<PackIndex>, &Tasks, &mut usize),
        blobs: Vec<Range<usize>>,
        (start, bytes, permit): (u64, &Bytes, &Arc<Permit>),
    ) -> Result<(), Error> {
        for pieces in blobs {
            let blob = job.batch.pieces[pieces.start].blob;
            let sealed = slice(index.name(), bytes, start, &index.data(blob)?.position)?;
            let task = BlobTask {
                index: index.clone(),
                blob,
                sealed,
                batch: job.batch.clone(),
                pieces: pieces.clone(),
                _permit: permit.clone(),
            };
            self.hand_over(Task::Blob(task), tasks)?;
            *sent = pieces.end;
        }
        Ok(())
    }
}
