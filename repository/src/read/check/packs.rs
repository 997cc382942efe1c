//! Every pack that is needed: there, as long as it was, with the blobs that rows name; on request every blob of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crate::Error;
use crate::domain::Domain;
use crate::pack::PackSummary;
use crate::parallel::each;
use crate::read::packs::{PackIndex, Packs, slice};
use crate::read::points::concerns_one_object;
use crate::seal::BlobKind;
use crate::tree::{Location, PackId};

use super::findings::Findings;
use super::survey::Survey;
use super::tables::Tables;
use super::{CheckOptions, check_cancel};

/// Our writer's packs are half of this; two are in memory for a moment, the sealed one and what is opened of it.
const PACK_MEMORY_BYTES: usize = 48 << 20;
/// Threads that only ask for the directories of packs.
const LOOKERS: usize = 8;

/// What is wrong with a pack.
#[derive(Debug)]
struct BadPack {
    what: Vec<String>,
    /// `None`: nothing of it can be used.
    blobs: Option<BTreeSet<u32>>,
}

/// The packs of which something cannot be used.
#[derive(Debug, Default)]
pub(super) struct BadPacks {
    packs: BTreeMap<PackId, BadPack>,
}

impl BadPacks {
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// True if content cannot be had from there.
    pub(super) fn contains(&self, at: &Location) -> bool {
        self.packs.get(&at.pack).is_some_and(|bad| bad.blobs.as_ref().is_none_or(|blobs| blobs.contains(&at.blob)))
    }
}

/// Looks at every pack that is needed, several at a time.
pub(super) fn verify(
    domain: &Domain,
    options: &CheckOptions,
    survey: &Survey,
    tables: &Tables,
    findings: &mut Findings,
) -> Result<BadPacks, Error> {
    let packs = Packs::new(domain, true, &[]);
    let needed: BTreeSet<PackId> = survey.needed.keys().chain(tables.reach.keys()).copied().collect();
    let needed: Vec<PackId> = needed.into_iter().collect();
    let threads = match options.read_data {
        true => options.workers.min(options.memory_budget_bytes / PACK_MEMORY_BYTES).max(1),
        false => LOOKERS,
    };
    let looked = each(domain.store().threads(threads), &needed, |pack| look(options, survey, tables, &packs, *pack))?;
    let bad = needed.into_iter().zip(looked).filter_map(|(pack, bad)| Some((pack, bad?)));
    let bad = BadPacks { packs: bad.collect() };
    for (pack, bad) in &bad.packs {
        for what in &bad.what {
            findings.add(&domain.pack_name(*pack), what, survey.needing(*pack));
        }
    }
    Ok(bad)
}

fn look(
    options: &CheckOptions,
    survey: &Survey,
    tables: &Tables,
    packs: &Packs,
    pack: PackId,
) -> Result<Option<BadPack>, Error> {
    check_cancel(options)?;
    options.progress.packs.fetch_add(1, Ordering::Relaxed);
    let unusable = |what: String| Ok(Some(BadPack { what: vec![what], blobs: None }));
    let Some(size) = survey.packs.get(&pack).copied() else { return unusable("it is missing".into()) };
    let known = tables.summaries.get(&pack).copied().unwrap_or(PackSummary { pack_bytes: size, ..Default::default() });
    if known.pack_bytes != size {
        return unusable(format!("it has {size} bytes where {} were written", known.pack_bytes));
    }
    packs.learn([(pack, known)]);
    let reach = tables.reach.get(&pack).map(Vec::as_slice).unwrap_or_default();
    let looked = match options.read_data {
        true => test_all(options, packs, pack, &known, reach),
        false => packs.index(pack).map(|index| test_reach(&index, reach)),
    };
    match looked {
        Ok(bad) if bad.is_empty() => Ok(None),
        Ok(bad) => {
            let (blobs, what): (BTreeSet<u32>, Vec<String>) = bad.into_iter().unzip();
            Ok(Some(BadPack { what, blobs: Some(blobs) }))
        }
        Err(Error::Damaged { what, .. }) => unusable(what),
        Err(error) if concerns_one_object(&error) => unusable(error.to_string()),
        Err(error) => Err(error),
    }
}

/// The blobs that rows name are there, and as long as the rows say.
fn test_reach(index: &PackIndex, reach: &[u32]) -> Vec<(u32, String)> {
    let mut bad = Vec::new();
    for (blob, end) in (0u32..).zip(reach).filter(|(_, end)| **end > 0) {
        match index.data(blob) {
            Err(Error::Damaged { what, .. }) => bad.push((blob, what)),
            Err(error) => bad.push((blob, error.to_string())),
            Ok(entry) if entry.position.label.plaintext_bytes < *end => {
                bad.push((blob, format!("rows refer to bytes beyond the end of its blob {blob}")));
            }
            Ok(_) => {}
        }
    }
    bad
}

/// Every blob of a pack.
fn test_all(
    options: &CheckOptions,
    packs: &Packs,
    pack: PackId,
    known: &PackSummary,
    reach: &[u32],
) -> Result<Vec<(u32, String)>, Error> {
    let whole = packs.fetch(pack, 0..known.pack_bytes)?;
    options.progress.bytes_read.fetch_add(whole.len() as u64, Ordering::Relaxed);
    let index = packs.index_of_whole(pack, &whole, known)?;
    let mut bad = test_reach(&index, reach);
    let hashing = packs.domain().hashing();
    for entry in &index.directory().blobs {
        check_cancel(options)?;
        let label = entry.position.label;
        let sealed = slice(index.name(), &whole, 0, &entry.position)?;
        let tested = match label.kind {
            _ if !entry.matches(&sealed) => {
                Err(Error::damaged(index.name(), format!("blob {} does not have its checksum", label.number)))
            }
            BlobKind::Data => index.open(hashing, label.number, &sealed).map(drop),
            _ => index.opener().open(label, &sealed).map(drop),
        };
        match tested {
            Ok(()) => {}
            Err(Error::Damaged { what, .. }) => bad.push((label.number, what)),
            Err(error) => bad.push((label.number, error.to_string())),
        }
    }
    Ok(bad)
}
