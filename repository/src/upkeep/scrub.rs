//! Scrub: a rolling verification with a budget of bytes.
//!
//! In: a domain in the hands of upkeep, a budget, and where the last scrub ended. Out: which packs are damaged or good again, quarantine changed accordingly, and where
//! this one ended. Never: needs more than the structure key (without the others it tests ciphertext by the checksums of the directories), calls a pack damaged after
//! one look, or reads a pack that no valid restore point needs.
//!
//! The order of packs is fixed by a keyed hash of their names, so that new packs fall between the old ones and each is reached once in a round. A round begins at the
//! lowest hash; the cursor is the hash of the last pack. Losing it costs a new beginning, nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Error;
use crate::domain::Domain;
use crate::hash::derive;
use crate::layout::{self, Hex, ParsedName, hex};
use crate::pack::PackSummary;
use crate::quarantine::Quarantine;
use crate::read::{CheckOutcome, DamagedObject, PackVerdict, Released, concerns_one_object, valid_points};
use crate::session::{PointId, read_point, read_reference};
use crate::tree::PackId;

use super::Keeper;
use super::whole::read_whole;

/// A place in the order of packs: the hash of the last pack that was scrubbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrubCursor([u8; 16]);

/// How to scrub.
#[derive(Clone, Default)]
pub struct ScrubOptions {
    /// At most so many bytes of packs, but at least one pack.
    pub bytes_max: u64,
    /// Where the last scrub ended; `None`: a round begins.
    pub cursor: Option<ScrubCursor>,
    /// Set to stop.
    pub cancel: Arc<AtomicBool>,
    /// Shows how far the scrub is.
    pub progress: Arc<ScrubProgress>,
}

/// How far a scrub is; read it from another thread.
#[derive(Debug, Default)]
pub struct ScrubProgress {
    /// Packs that were tested.
    pub packs: AtomicU64,
    /// Bytes of these.
    pub bytes: AtomicU64,
}

/// What a scrub found.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrubReport {
    /// The verdict.
    pub outcome: CheckOutcome,
    /// Packs that are in quarantine now, and restore points that cannot be opened.
    pub damaged: Vec<DamagedObject>,
    /// What was bad once and good when it was read again.
    pub transient: Vec<DamagedObject>,
    /// Packs that were in quarantine and are good again.
    pub repaired: Vec<String>,
    /// Why content was not opened, if a key is not at hand.
    pub ciphertext_only: Option<String>,
    /// Packs that were tested.
    pub packs: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Where the next scrub goes on.
    pub cursor: Option<ScrubCursor>,
    /// What was covered since the round began.
    pub round: ScrubRound,
    /// Duration in seconds.
    pub seconds: f64,
}

/// How far a round is, by what valid restore points need now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubRound {
    /// Packs up to the cursor.
    pub packs_done: u64,
    /// All packs.
    pub packs: u64,
    /// Bytes of packs up to the cursor.
    pub bytes_done: u64,
    /// Bytes of all packs.
    pub bytes: u64,
}

/// A pack in the order in which packs are scrubbed.
#[derive(Clone, Copy, Debug)]
struct Due {
    order: ScrubCursor,
    pack: PackId,
    /// As listed; 0 if it is not there.
    bytes: u64,
}

/// Tests packs until the budget is used up, and changes quarantine to what it found.
pub fn scrub(keeper: &Keeper, options: &ScrubOptions) -> Result<ScrubReport, Error> {
    let domain = keeper.domain();
    let started = domain.now();
    // Before any pack is read: what is reported later stays.
    let quarantine = Quarantine::list(domain)?;
    let mut found = Found::default();
    let (due, known) = find_due(domain, &mut found)?;
    let chosen = plan(&due, options.cursor, options.bytes_max);
    let mut last = options.cursor;
    for index in &chosen {
        if options.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let pack = due[*index];
        found.test(domain, &pack, known.get(&pack.pack).copied().unwrap_or_default())?;
        options.progress.packs.fetch_add(1, Ordering::Relaxed);
        options.progress.bytes.fetch_add(pack.bytes, Ordering::Relaxed);
        last = Some(pack.order);
    }
    let (damaged, repaired) = settle(keeper, &quarantine, &mut found)?;
    Ok(ScrubReport {
        outcome: if damaged.is_empty() { CheckOutcome::Ok } else { CheckOutcome::Damaged },
        damaged,
        transient: found.transient,
        repaired,
        ciphertext_only: found.ciphertext_only,
        packs: chosen.len() as u64,
        bytes: chosen.iter().map(|index| due[*index].bytes).sum(),
        cursor: last,
        round: round(&due, last),
        seconds: (domain.now() - started).total(jiff::Unit::Second).unwrap_or(0.0),
    })
}

/// Every pack that a valid point needs, in order, and what is known of some of them.
fn find_due(domain: &Domain, found: &mut Found) -> Result<(Vec<Due>, HashMap<PackId, PackSummary>), Error> {
    let mut known = HashMap::new();
    let mut needed: BTreeMap<PackId, u64> = BTreeMap::new();
    for point in valid_points(domain, None)? {
        for (pack, summary) in packs_of(domain, point.id, found)? {
            needed.insert(pack, 0);
            if let Some(summary) = summary {
                known.insert(pack, summary);
            }
        }
    }
    // Packs after points: what a point needs was there before the point.
    domain.store().list_each(&layout::packs(domain.id()), &mut |listed| {
        if let Ok(ParsedName::Pack { session, sequence, .. }) = ParsedName::parse(&listed.name)
            && let Some(bytes) = needed.get_mut(&PackId { session, seq: sequence })
        {
            *bytes = listed.size;
        }
    })?;
    let key = derive(&domain.repository().0, "holdfast v1 scrub order", &domain.id().0);
    let order = |pack: PackId| ScrubCursor::of(&key, &domain.pack_name(pack));
    let mut due: Vec<Due> = needed.into_iter().map(|(pack, bytes)| Due { order: order(pack), pack, bytes }).collect();
    due.sort_by_key(|due| due.order);
    Ok((due, known))
}

/// The packs of a point; with the metadata key at hand also what it says of those that hold its tables.
fn packs_of(domain: &Domain, id: PointId, found: &mut Found) -> Result<Vec<(PackId, Option<PackSummary>)>, Error> {
    let read = || match read_point(domain, id) {
        Ok(point) => {
            let summaries: HashMap<PackId, PackSummary> =
                point.runs.packs.iter().map(|pack| (pack.pack, pack.summary)).collect();
            Ok(point.reference.packs.iter().map(|(pack, _)| (pack, summaries.get(&pack).copied())).collect())
        }
        Err(Error::KeyNotAtHand { .. }) => {
            Ok(read_reference(domain, id)?.packs.iter().map(|(pack, _)| (pack, None)).collect())
        }
        Err(error) => Err(error),
    };
    let object = layout::point(domain.id(), id.volume, id.session);
    let first = match read() {
        Err(error) if concerns_one_object(&error) => error,
        // Removed since it was listed.
        Err(Error::Missing(_)) => return Ok(Vec::new()),
        read => return read,
    };
    match read() {
        Err(error) if concerns_one_object(&error) => {
            found.unreadable.push(DamagedObject { object, what: error.to_string() });
            Ok(Vec::new())
        }
        Ok(packs) => {
            found.transient.push(DamagedObject { object, what: first.to_string() });
            Ok(packs)
        }
        Err(error) => Err(error),
    }
}

/// Which packs come now, by index: from the cursor on, once around at most.
fn plan(due: &[Due], cursor: Option<ScrubCursor>, bytes_max: u64) -> Vec<usize> {
    let start = cursor.map_or(0, |cursor| due.partition_point(|due| due.order <= cursor));
    let (mut chosen, mut bytes) = (Vec::new(), 0u64);
    for index in (start..due.len()).chain(0..start) {
        bytes = bytes.saturating_add(due[index].bytes);
        if bytes > bytes_max && !chosen.is_empty() {
            break;
        }
        chosen.push(index);
    }
    chosen
}

fn round(due: &[Due], cursor: Option<ScrubCursor>) -> ScrubRound {
    let done = cursor.map_or(0, |cursor| due.partition_point(|due| due.order <= cursor));
    let bytes = |due: &[Due]| due.iter().map(|due| due.bytes).sum();
    ScrubRound { packs_done: done as u64, packs: due.len() as u64, bytes_done: bytes(&due[..done]), bytes: bytes(due) }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// Points that cannot be opened, and packs that cannot be judged.
    unreadable: Vec<DamagedObject>,
    bad: BTreeMap<PackId, String>,
    proven: BTreeSet<PackId>,
    transient: Vec<DamagedObject>,
    ciphertext_only: Option<String>,
}

impl Found {
    fn test(&mut self, domain: &Domain, due: &Due, known: PackSummary) -> Result<(), Error> {
        let first = look(domain, due.pack, &known)?;
        let said_at_first = match &first {
            Ok(verdict) if verdict.is_good() => None,
            Ok(verdict) => Some(verdict.what()),
            Err(what) => Some(what.clone()),
        };
        let looked = if said_at_first.is_none() { first } else { look(domain, due.pack, &known)? };
        let object = domain.pack_name(due.pack);
        match looked {
            // A header that names a key that is not at hand: nothing that another copy would mend.
            Err(what) => self.unreadable.push(DamagedObject { object, what }),
            Ok(verdict) if !verdict.is_good() => drop(self.bad.insert(due.pack, verdict.what())),
            Ok(verdict) => {
                if let Some(what) = said_at_first {
                    self.transient.push(DamagedObject { object, what });
                }
                if verdict.is_proven() {
                    self.proven.insert(due.pack);
                }
                self.ciphertext_only = self.ciphertext_only.take().or(verdict.ciphertext_only);
            }
        }
        Ok(())
    }
}

/// One look; text: it cannot be judged.
fn look(domain: &Domain, pack: PackId, known: &PackSummary) -> Result<Result<PackVerdict, String>, Error> {
    match read_whole(domain.store(), domain, pack, known) {
        Ok((verdict, _)) => Ok(Ok(verdict)),
        Err(error) if concerns_one_object(&error) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Quarantines what is damaged and still needed, releases what is proven good; says what is damaged and what was repaired.
fn settle(
    keeper: &Keeper,
    quarantine: &Quarantine,
    found: &mut Found,
) -> Result<(Vec<DamagedObject>, Vec<String>), Error> {
    let domain = keeper.domain();
    let needed = if found.bad.is_empty() { BTreeSet::new() } else { still_needed(domain, &found.bad)? };
    let mut damaged = std::mem::take(&mut found.unreadable);
    for (pack, what) in found.bad.iter().filter(|(pack, _)| needed.contains(pack)) {
        if !quarantine.contains(*pack) {
            keeper.quarantine(*pack)?;
        }
        damaged.push(DamagedObject { object: domain.pack_name(*pack), what: what.clone() });
    }
    damaged.sort_by(|one, other| one.object.cmp(&other.object));
    let mut repaired = Vec::new();
    for pack in found.proven.iter().filter(|pack| quarantine.contains(**pack)) {
        let reports = quarantine.reports_of(*pack).map(str::to_owned).collect();
        keeper.release(&Released { pack: *pack, reports })?;
        repaired.push(domain.pack_name(*pack));
    }
    Ok((damaged, repaired))
}

/// Those that a valid point needs now: what a collector took meanwhile was not damaged.
fn still_needed(domain: &Domain, bad: &BTreeMap<PackId, String>) -> Result<BTreeSet<PackId>, Error> {
    let mut needed = BTreeSet::new();
    for point in valid_points(domain, None)? {
        match read_reference(domain, point.id) {
            Ok(reference) => needed.extend(bad.keys().filter(|pack| reference.packs.contains(**pack))),
            Err(Error::Missing(_)) => {}
            Err(error) if concerns_one_object(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(needed)
}

impl ScrubCursor {
    fn of(key: &[u8; 32], name: &str) -> ScrubCursor {
        let mut order = [0; 16];
        order.copy_from_slice(&blake3::keyed_hash(key, name.as_bytes()).as_bytes()[..16]);
        ScrubCursor(order)
    }
}

impl fmt::Display for ScrubCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl FromStr for ScrubCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<ScrubCursor, Error> {
        hex(text).map(ScrubCursor).ok_or_else(|| Error::Invalid(format!("{text:?} is not a place in a scrub")))
    }
}

#[cfg(test)]
mod tests;
