//! Writer: backs one volume up, again and again, with a journal or without.

use std::sync::Arc;

use model::ErrorClass;
use repository::Error;
use repository::generated::GeneratedSource;
use repository::layout::Mark;
use repository::point::Outcome;
use repository::session::PointId;
use repository::write::{BackupOptions, BackupReport, MEMORY_BUDGET_BYTES_MIN, backup};

use super::super::actor::Actor;
use super::super::place::Side;
use super::super::process::Process;
use super::super::truth::Success;
use super::volume::Volume;
use crate::folder::Folder;

/// Backs one volume up.
pub(crate) struct Writer {
    volume: Volume,
    /// Its machine's disk.
    journal: Option<Arc<Folder>>,
    pack_bytes: usize,
    checkpoint_bytes: u64,
    side: Side,
}

impl Writer {
    /// Of this volume.
    pub(crate) fn new(
        volume: Volume,
        journal: Option<Arc<Folder>>,
        pack_bytes: usize,
        checkpoint_bytes: u64,
    ) -> Writer {
        Writer { volume, journal, pack_bytes, checkpoint_bytes, side: Side::Source }
    }

    /// The same, at the target: it waits until that was promoted.
    pub(crate) fn at_target(self) -> Writer {
        Writer { side: Side::Target, ..self }
    }

    fn options(&self, process: &Process) -> BackupOptions {
        BackupOptions {
            process: process.actor as u32,
            memory_budget_bytes: MEMORY_BUDGET_BYTES_MIN,
            pack_bytes: self.pack_bytes,
            checkpoint_bytes: self.checkpoint_bytes,
            journal_directory: self.journal.as_ref().map(|folder| folder.path().to_owned()),
            ..BackupOptions::new(&self.volume.name(), "machine")
        }
    }

    fn succeeded(&self, process: &Process, report: &BackupReport, attempt: &Success) {
        process.count("backup");
        if report.outcome != Outcome::Complete {
            process
                .fail(format!("a backup of a tree in which nothing is unreadable left out {:?}", report.not_captured));
        }
        let mut world = process.surroundings.gate.world(process.actor);
        let held = world.truth().succeed(report.point, attempt);
        world.claim(held);
    }

    fn failed(&self, process: &Process, volume: model::VolumeId, error: &Error) {
        let Error::Aborted { session, .. } = error else { return process.failed("backup failed", error) };
        process.count("backup ended by a collector");
        let mut world = process.surroundings.gate.world(process.actor);
        let own = PointId { volume, session: *session };
        let truth = world.truth();
        // Doomed: it had committed, and was forgotten before it could look.
        if ![Mark::Abort, Mark::Dead, Mark::Doomed].iter().any(|mark| truth.was_marked(own, *mark)) {
            world.fail(format!("a backup says that it was ended, and nobody did: {error}"));
        }
    }
}

impl Actor for Writer {
    fn side(&self) -> Side {
        self.side
    }

    fn act(&mut self, process: &mut Process) {
        if !process.may_write() {
            return;
        }
        let tree = self.volume.change();
        let attempt = Success { tree: Arc::new(tree.clone()) };
        process.surroundings.gate.world(process.actor).standings[process.actor].backing_up = Some(attempt.clone());
        let domain = match process.domain() {
            Ok(domain) => domain,
            Err(error) => return process.not_opened("the domain could not be opened", &error),
        };
        let source = GeneratedSource::of(tree, "volume".into());
        match backup(&domain, &source, &self.options(process)) {
            Ok(report) => self.succeeded(process, &report, &attempt),
            Err(error) if error.class() == ErrorClass::Bug => process.fail(error.to_string()),
            Err(error) => self.failed(process, domain.volume_id(&self.volume.name()), &error),
        }
    }
}
