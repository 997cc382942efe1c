//! Quarantine: packs that verification found damaged (docs/format.md, section 10).
//!
//! In: a domain. Out: the packs that upkeep has signed for as damaged. Never: believes a report that upkeep did not sign, or reads a pack.

use std::collections::BTreeMap;

use crate::Error;
use crate::domain::Domain;
use crate::layout::{self, ParsedName};
use crate::marks::{InvalidMark, InvalidMarkReason, MarkVerifier};
use crate::tree::PackId;

/// The packs of a domain that were found damaged: nothing new refers to them, and what does is written again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// With the names of the reports.
    packs: BTreeMap<PackId, Vec<String>>,
    invalid: Vec<InvalidMark>,
}

impl Quarantine {
    /// As a list shows it, with one request.
    pub fn list(domain: &Domain) -> Result<Quarantine, Error> {
        let verifier = MarkVerifier { repository: domain.repository(), upkeep: *domain.upkeep() };
        let mut quarantine = Quarantine::default();
        for listed in domain.store().list(&layout::damage(domain.id()))? {
            match reported(domain, &verifier, &listed.name) {
                Ok(pack) => quarantine.packs.entry(pack).or_default().push(listed.name),
                Err(why) => quarantine.invalid.push(InvalidMark { name: listed.name.chars().take(400).collect(), why }),
            }
        }
        Ok(quarantine)
    }

    /// True if the pack was found damaged.
    pub fn contains(&self, pack: PackId) -> bool {
        self.packs.contains_key(&pack)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = PackId> {
        self.packs.keys().copied()
    }

    /// The objects that say that a pack is damaged. Removing these, and no others, is right after the pack was read later than they were listed, and was good.
    pub fn reports(&self, pack: PackId) -> impl Iterator<Item = &str> {
        self.packs.get(&pack).into_iter().flatten().map(String::as_str)
    }

    /// True if nothing is damaged.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// What was listed and does not count; to be reported.
    pub fn invalid(&self) -> &[InvalidMark] {
        &self.invalid
    }
}

fn reported(domain: &Domain, verifier: &MarkVerifier, name: &str) -> Result<PackId, InvalidMarkReason> {
    let parsed = ParsedName::parse(name).map_err(|_| InvalidMarkReason::Misspelled)?;
    let ParsedName::Damage { domain: of, session, sequence, .. } = parsed else {
        return Err(InvalidMarkReason::Misspelled);
    };
    if of != domain.id() {
        return Err(InvalidMarkReason::Elsewhere);
    }
    if !verifier.verifies(&parsed) {
        return Err(InvalidMarkReason::NotSigned);
    }
    Ok(PackId { session, seq: sequence })
}
