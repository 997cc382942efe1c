//! Every pack that is needed: there, as long as it was, with the blobs that rows name; on request every blob of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crate::Error;
use crate::domain::Domain;
use crate::pack::{FOOTER_BYTES, PACK_BYTES_MAX, PackSummary};
use crate::parallel::{self, each};
use crate::read::packs::{PackIndex, Packs, verify_pack};
use crate::read::points::concerns_one_object;
use crate::tree::{Location, PackId};

use super::findings::{Findings, said_of_object};
use super::report::DamagedPack;
use super::survey::Survey;
use super::tables::Tables;
use super::{CheckLevel, CheckOptions, check_cancel};

/// Our writer's packs are half of this; two are in memory for a moment, the sealed one and what is opened of it.
const PACK_MEMORY_BYTES: usize = 48 << 20;

/// What is wrong with a pack.
#[derive(Debug, Default)]
struct BadPack {
    what: Vec<String>,
    /// Nothing of it can be used.
    unusable: bool,
    /// Otherwise: these blobs cannot.
    blobs: BTreeSet<u32>,
    /// Its bytes are not what was written. Otherwise the rows that refer to it are wrong, or a key is not at hand.
    stored_wrong: bool,
}

/// The packs of which something cannot be used.
#[derive(Debug, Default)]
pub(super) struct BadPacks {
    packs: BTreeMap<PackId, BadPack>,
}

/// What looking at packs found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) bad: BadPacks,
    /// Packs in quarantine that were read whole and are what was written.
    pub(super) good_again: BTreeSet<PackId>,
}

impl BadPack {
    fn unusable(what: impl Into<String>, stored_wrong: bool) -> BadPack {
        BadPack { what: vec![what.into()], unusable: true, blobs: BTreeSet::new(), stored_wrong }
    }

    fn is_none(&self) -> bool {
        self.what.is_empty()
    }
}

impl BadPacks {
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// True if content cannot be had from there.
    pub(super) fn contains(&self, at: &Location) -> bool {
        self.packs.get(&at.pack).is_some_and(|bad| bad.unusable || bad.blobs.contains(&at.blob))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = PackId> {
        self.packs.keys().copied()
    }

    /// Those whose bytes are not what was written, with what they were and who needs them.
    pub(super) fn stored_wrong(&self, survey: &Survey, tables: &Tables) -> Vec<DamagedPack> {
        let damaged = |pack: PackId| DamagedPack {
            pack,
            summary: tables.summaries.get(&pack).copied().unwrap_or_default(),
            points: survey.needing(pack).collect(),
        };
        self.packs.iter().filter(|(_, bad)| bad.stored_wrong).map(|(pack, _)| damaged(*pack)).collect()
    }
}

/// Looks at every pack that is needed, several at a time.
pub(super) fn verify(
    domain: &Domain,
    options: &CheckOptions,
    survey: &Survey,
    tables: &Tables,
    findings: &mut Findings,
) -> Result<Looked, Error> {
    let needed: BTreeSet<PackId> = survey.needed.keys().chain(tables.reach.keys()).copied().collect();
    let needed: Vec<PackId> = needed.into_iter().collect();
    let looker = Looker { domain, options, survey, tables };
    let threads = match options.level {
        CheckLevel::Data => options.workers.min(options.memory_budget_bytes / PACK_MEMORY_BYTES).max(1),
        CheckLevel::Objects | CheckLevel::Structure => parallel::REQUESTS,
    };
    let each_looked = each(domain.store().threads(threads), &needed, |pack| looker.look_twice(*pack))?;
    let mut looked = Looked::default();
    for (pack, two_looks) in needed.into_iter().zip(each_looked) {
        let name = domain.pack_name(pack);
        if let Some(what) = two_looks.transient {
            findings.add_transient(&name, what);
        }
        for what in &two_looks.bad.what {
            findings.add(&name, what, survey.needing(pack));
        }
        if two_looks.read_whole && !two_looks.bad.stored_wrong && survey.quarantine.contains(pack) {
            looked.good_again.insert(pack);
        }
        if !two_looks.bad.is_none() {
            looked.bad.packs.insert(pack, two_looks.bad);
        }
    }
    Ok(looked)
}
/// What two looks at a pack say.
#[derive(Default)]
struct TwoLooks {
    bad: BadPack,
    /// It was bad at the first look and good at the second.
    transient: Option<String>,
    read_whole: bool,
}

/// What looks at one pack after another.
struct Looker<'a> {
    domain: &'a Domain,
    options: &'a CheckOptions,
    survey: &'a Survey,
    tables: &'a Tables,
}

impl Looker<'_> {
    fn look_twice(&self, pack: PackId) -> Result<TwoLooks, Error> {
        check_cancel(self.options)?;
        self.options.progress.packs.fetch_add(1, Ordering::Relaxed);
        let read_whole = self.is_read_whole(pack);
        let first = self.look(pack, self.survey.packs.get(&pack).copied(), read_whole)?;
        if !first.stored_wrong || (self.options.level == CheckLevel::Objects && self.survey.quarantine.contains(pack)) {
            return Ok(TwoLooks { bad: first, transient: None, read_whole });
        }
        let size = self.domain.store().size(&self.domain.pack_name(pack))?;
        let second = self.look(pack, size, read_whole)?;
        let transient = (!second.stored_wrong).then(|| first.what.join("; "));
        Ok(TwoLooks { bad: second, transient, read_whole })
    }

    /// What is suspected is read whole, so that the report is exact and quarantine can end.
    fn is_read_whole(&self, pack: PackId) -> bool {
        match self.options.level {
            CheckLevel::Objects => false,
            CheckLevel::Structure => self.tables.suspicious.contains(&pack) || self.survey.quarantine.contains(pack),
            CheckLevel::Data => true,
        }
    }

    fn look(&self, pack: PackId, size: Option<u64>, read_whole: bool) -> Result<BadPack, Error> {
        let Some(size) = size else { return Ok(BadPack::unusable("it is missing", true)) };
        if !(FOOTER_BYTES as u64..=PACK_BYTES_MAX).contains(&size) {
            return Ok(BadPack::unusable(format!("it has {size} bytes, which no pack can have"), true));
        }
        let unknown = PackSummary { pack_bytes: size, ..Default::default() };
        let known = self.tables.summaries.get(&pack).copied().unwrap_or(unknown);
        if known.pack_bytes != size {
            return Ok(BadPack::unusable(format!("it has {size} bytes where {} were written", known.pack_bytes), true));
        }
        if self.options.level == CheckLevel::Objects {
            let what = "it is in quarantine: verification found it damaged";
            return Ok(match self.survey.quarantine.contains(pack) {
                true => BadPack::unusable(what, true),
                false => BadPack::default(),
            });
        }
        // Of its own, so that what the first look has learned does not serve the second.
        let packs = Packs::new(self.domain, true, &[]);
        packs.learn([(pack, known)]);
        let looked = match read_whole {
            true => self.read_whole(&packs, pack, &known),
            false => packs.index(pack).map(|index| self.rows_against(&index, pack)),
        };
        match looked {
            Ok(bad) => Ok(bad),
            Err(error @ (Error::Damaged { .. } | Error::WrongKey { .. } | Error::Newer { .. } | Error::Store(_)))
                if concerns_one_object(&error) =>
            {
                Ok(BadPack::unusable(said_of_object(&error), true))
            }
            // A key that was destroyed: nothing that an identical copy would change.
            Err(error) if concerns_one_object(&error) => Ok(BadPack::unusable(error.to_string(), false)),
            Err(error) => Err(error),
        }
    }

    /// Every blob of a pack.
    fn read_whole(&self, packs: &Packs, pack: PackId, known: &PackSummary) -> Result<BadPack, Error> {
        let whole = packs.fetch(pack, 0..known.pack_bytes)?;
        self.options.progress.bytes_read.fetch_add(whole.len() as u64, Ordering::Relaxed);
        let verdict = verify_pack(self.domain, pack, &whole, known)?;
        if let Some(what) = verdict.unusable {
            return Ok(BadPack::unusable(what, true));
        }
        if let Some(what) = verdict.ciphertext_only {
            return Ok(BadPack::unusable(what, !verdict.blobs.is_empty()));
        }
        let index = packs.index_of_whole(pack, &whole, known)?;
        let mut bad = self.rows_against(&index, pack);
        bad.stored_wrong = !verdict.blobs.is_empty();
        bad.what.extend(verdict.blobs.values().cloned());
        bad.blobs.extend(verdict.blobs.keys());
        Ok(bad)
    }

    /// The blobs that rows name are there, and as long as the rows say.
    fn rows_against(&self, index: &PackIndex, pack: PackId) -> BadPack {
        let mut bad = BadPack::default();
        let reach = self.tables.reach.get(&pack).map(Vec::as_slice).unwrap_or_default();
        for (blob, end) in (0u32..).zip(reach).filter(|(_, end)| **end > 0) {
            let wrong = match index.data(blob) {
                Err(error) => said_of_object(&error),
                Ok(entry) if entry.position.label.plaintext_bytes < *end => {
                    format!("rows refer to bytes beyond the end of its blob {blob}")
                }
                Ok(_) => continue,
            };
            bad.what.push(wrong);
            bad.blobs.insert(blob);
        }
        bad
    }
}
