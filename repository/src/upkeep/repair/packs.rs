//! Packs: bytes that only the pack that was written can have.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use model::SessionId;

use crate::Error;
use crate::layout::{self, Mark};
use crate::marks::{MarkSet, MarkVerifier};
use crate::read::{CheckReport, DamagedPack, concerns_one_object};
use crate::session::PointId;

use super::points::Half;
use super::{PINS_MAX, Repairer};
use crate::upkeep::whole::read_whole;

impl Repairer<'_> {
    /// Of every damaged pack one point that needs it, the newest; and the points that are to be put back themselves.
    pub(super) fn pins(&self, found: &CheckReport, halves: &BTreeMap<PointId, Half>) -> Vec<PointId> {
        let needing = found.damaged_packs.iter().filter_map(|damaged| damaged.points.last());
        // What is not announced cannot be pinned; as long as its point is there, it is a root of every collector.
        let announced = halves.iter().filter(|(_, half)| half.announced_here).map(|(id, _)| id);
        let pins: BTreeSet<PointId> = announced.chain(needing).copied().collect();
        pins.into_iter().take(PINS_MAX).collect()
    }

    pub(super) fn repair_packs(&mut self, found: &CheckReport, kept: &BTreeSet<PointId>) -> Result<(), Error> {
        if found.damaged_packs.is_empty() {
            return Ok(());
        }
        let dead = self.dead_sessions()?;
        for damaged in &found.damaged_packs {
            self.show_life();
            let name = self.domain.pack_name(damaged.pack);
            match self.repair_pack(damaged, kept, &dead)? {
                Ok(()) => {
                    let what = found.damaged.iter().find(|one| one.object == name);
                    self.done(name, what.map_or("it was in quarantine".to_owned(), |one| one.what.clone()));
                }
                Err(why) => self.not_done(name, why),
            }
        }
        Ok(())
    }

    fn repair_pack(
        &self,
        damaged: &DamagedPack,
        kept: &BTreeSet<PointId>,
        dead: &HashSet<SessionId>,
    ) -> Result<Result<(), String>, Error> {
        if dead.contains(&damaged.pack.session) {
            return Ok(Err("its session is marked dead".into()));
        }
        if !damaged.points.iter().any(|point| kept.contains(point)) {
            return Ok(Err("no restore point that needs it could be announced; run the repair again".into()));
        }
        if !damaged.summary.is_known() || damaged.summary.directory_hash == [0; 32] {
            return Ok(Err("no metadata that can be read says what its bytes were".into()));
        }
        let looked = read_whole(self.copy.store(), &self.copy, damaged.pack, &damaged.summary);
        let bytes = match looked {
            Ok((verdict, bytes)) if verdict.is_proven() => bytes,
            Ok((verdict, _)) => {
                let why = verdict.ciphertext_only.clone().unwrap_or_else(|| verdict.what());
                return Ok(Err(format!("the other copy's cannot be used: {why}")));
            }
            Err(error) if concerns_one_object(&error) => {
                return Ok(Err(format!("the other copy's cannot be used: {error}")));
            }
            Err(error) => return Err(error),
        };
        if !self.options.dry_run {
            // The one overwrite that is allowed: with the bytes that were written.
            self.domain.store().put(&self.domain.pack_name(damaged.pack), bytes)?;
        }
        Ok(Ok(()))
    }

    /// Sessions that somebody called dead: nothing of theirs comes back. (What a doomed point left in packs may be needed by others.)
    fn dead_sessions(&self) -> Result<HashSet<SessionId>, Error> {
        let listed = self.domain.store().list(&layout::marks(self.domain.id()))?;
        let names = listed.iter().map(|listed| listed.name.as_str());
        let verifier = MarkVerifier { repository: self.domain.repository(), upkeep: *self.domain.upkeep() };
        let marks = MarkSet::from_listing(names, &verifier, self.domain.id(), None);
        Ok(marks.iter().filter(|(_, _, marks)| marks.has(Mark::Dead)).map(|(_, session, _)| session).collect())
    }
}
