//! Series: many increments in one repository, and what the last restore point costs then.
//!
//! In: a workload that goes on changing. Out: samples of the first increment, of all of them and of the last, with a restore after the first and the last, of
//! what is stored when only the last is kept, and of a clone. Never: takes a restore for good that has other files or bytes.

use anyhow::{Context, Result};

use super::measure::bytes_stored;
use super::report::{Sample, Samples};
use super::tool::{Kind, Site};
use super::workload::Workload;
use super::{Bench, Source, census, remove, rest};
use crate::program::{Restore, parse};
use crate::{interrupt, process};

/// Restores of one point; the table shows medians.
const RESTORES: usize = 3;

impl Bench<'_> {
    /// Holdfast alone: no peer has a target here.
    pub(super) fn series(&self, source: &Source, samples: &mut Samples) -> Result<()> {
        let tool = self.tools.iter().find(|tool| tool.kind == Kind::Holdfast).context("Holdfast is not there")?;
        let (name, count) = (tool.kind.name(), self.sized.series(self.options.series));
        let site = tool.site(self.scratch.path.join("series"))?;
        site.init()?;
        samples.add(name, "full", self.backup(&site, source, 0, "full")?);
        for step in 1..=count {
            // What is younger than two seconds is read again next time: here everything is, so nothing has to rest.
            let changed = self.sized.change(&source.folder, step as u64)?;
            let sample = self.backup(&site, source, step, &format!("increment {step} of {count}"))?;
            let sample = Sample { bytes_changed: Some(changed), ..sample };
            samples.add(name, "series", sample);
            for (at, phase) in [(1, "first"), (count, "last")] {
                if step == at {
                    samples.add(name, phase, sample);
                    self.restores(&site, source, &format!("restore of the {phase}"), samples)?;
                }
            }
        }
        self.collected(&site, source, samples)?;
        if self.sized.workload == Workload::Increments {
            self.clone(&site, source, count, samples)?;
        }
        remove(&site.folder)
    }

    fn restores(&self, site: &Site, source: &Source, phase: &str, samples: &mut Samples) -> Result<()> {
        for _ in 0..RESTORES {
            interrupt::check()?;
            let target = self.scratch.folder("restored")?;
            let command = site.restore(&target, 0);
            let (usage, stdout) = self.meter.run(&command)?;
            let restored: Restore = parse(&command, &stdout)?;
            let requests = Some(restored.statistics.requests.total());
            samples.add(site.kind.name(), phase, Sample { usage, requests, ..Sample::default() });
            let (expected, found) = (census(&source.folder)?, census(&target)?);
            remove(&target)?;
            anyhow::ensure!(expected == found, "restored {found:?} files and bytes of {expected:?}");
        }
        Ok(())
    }

    /// Only the newest restore point is kept, and what nobody needs is deleted.
    fn collected(&self, site: &Site, source: &Source, samples: &mut Samples) -> Result<()> {
        process::capture(&mut site.forget_all_but_newest())?;
        // Restores keep what they read for as long as they may still be at work; the first run ends them.
        process::capture(&mut site.collect())?;
        let sample = self.timed(&site.collect(), site.kind.name(), "collect")?;
        let packs_bytes = Some(bytes_stored(&site.repository())?);
        samples.add(site.kind.name(), "collected", Sample { packs_bytes, ..sample });
        self.restores(site, source, "restore of what was kept", samples)
    }

    /// The same data with one change more, as another volume.
    fn clone(&self, site: &Site, source: &Source, count: usize, samples: &mut Samples) -> Result<()> {
        let changed = self.sized.change(&source.folder, count as u64 + 1)?;
        rest()?;
        let sample = self.backup_with(&site.backup_clone(&source.folder), site, source, "a clone")?;
        samples.add(site.kind.name(), "clone", Sample { bytes_changed: Some(changed), ..sample });
        Ok(())
    }
}
