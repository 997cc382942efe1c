//! Packs: what the target lacks of them is copied (R3), each once in a run.
//!
//! In: what points need. Out: which packs stand at the target as they stand at the source, and what is wrong with the others. Never: puts a pack that failed its proof,
//! replaces one, or trusts one at the target that the source has no more: the target's collector may take it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::pack::PACK_BYTES_MAX;
use crate::parallel::each;
use crate::point::PackSet;
use crate::tree::PackId;

use super::super::look::Looked;
use super::super::proof::{Read, read_pack};
use super::super::report::{CopySide, ReplicateReport};
use super::Run;

/// Why a pack is not at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The source has it no more.
    Missing,
    /// The source has other bytes than were written.
    Source(String),
    /// The target has other bytes than the source.
    Target(String),
}

impl Trouble {
    /// Whose damage it is, if the point that needs it is still valid at the source.
    pub(super) fn told(&self) -> (CopySide, &str) {
        match self {
            Trouble::Missing => (CopySide::Source, "it is missing, although a valid restore point needs it"),
            Trouble::Source(what) => (CopySide::Source, what),
            Trouble::Target(what) => (CopySide::Target, what),
        }
    }
}

/// What is known of packs in a run.
pub(super) struct Packs<'a> {
    looked: &'a Looked,
    /// Those that this run dealt with.
    done: BTreeMap<PackId, Option<Trouble>>,
}

impl<'a> Packs<'a> {
    pub(super) fn new(looked: &'a Looked) -> Packs<'a> {
        Packs { looked, done: BTreeMap::new() }
    }

    /// R3. When this returns, every pack of `needed` without trouble was acknowledged by the target.
    pub(super) fn copy<'p>(
        &mut self,
        run: &Run<'_>,
        needed: impl Iterator<Item = &'p PackSet>,
        report: &mut ReplicateReport,
    ) -> Result<(), Error> {
        let mut lacking: Vec<PackId> = needed.flat_map(PackSet::iter).map(|(pack, _)| pack).collect();
        lacking.sort_unstable();
        lacking.dedup();
        lacking.retain(|pack| !self.done.contains_key(pack) && !self.is_there(*pack));
        let results = each(run.threads(), &lacking, |pack| {
            run.options.check_cancel()?;
            self.copy_one(run, *pack)
        })?;
        for (pack, result) in lacking.into_iter().zip(results) {
            let trouble = match result {
                Ok(bytes) => {
                    report.copied.packs += 1;
                    report.copied.bytes += bytes;
                    None
                }
                Err(trouble) => trouble,
            };
            self.done.insert(pack, trouble);
        }
        Ok(())
    }

    /// At both places, and of one size.
    fn is_there(&self, pack: PackId) -> bool {
        let there = self.looked.target_packs.size(pack);
        there.is_some() && there == self.looked.source_packs.size(pack)
    }

    /// How many bytes were put; otherwise what is in the way, if anything is.
    fn copy_one(&self, run: &Run<'_>, pack: PackId) -> Result<Result<u64, Option<Trouble>>, Error> {
        let listed = self.looked.source_packs.size(pack).map_or(PACK_BYTES_MAX, u64::from);
        let _room = run.budget.take(listed);
        let bytes = match read_pack(&run.places.source, pack)? {
            Read::Good(bytes) => bytes,
            Read::Missing => return Ok(Err(Some(Trouble::Missing))),
            Read::Damaged(what) => return Ok(Err(Some(Trouble::Source(what)))),
        };
        let size = bytes.len() as u64;
        match self.looked.target_packs.size(pack).map(u64::from) {
            Some(there) if there == size => return Ok(Err(None)),
            Some(there) => {
                let what = format!("it has {there} bytes where the source has {size}, which are good");
                return Ok(Err(Some(Trouble::Target(what))));
            }
            None => {}
        }
        run.places.target.store().put(&run.places.target.pack_name(pack), bytes)?;
        run.options.progress.packs.fetch_add(1, Ordering::Relaxed);
        run.options.progress.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(Ok(size))
    }

    /// The first pack of a point that is not at the target, and why.
    pub(super) fn trouble(&self, needed: &PackSet) -> Option<(PackId, &Trouble)> {
        needed.iter().find_map(|(pack, _)| Some((pack, self.done.get(&pack)?.as_ref()?)))
    }
}
