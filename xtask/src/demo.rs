//! Demo: real data backed up, changed, backed up again for the price of the change, destroyed, restored and proven identical.
//!
//! In: a release build and a scratch folder. Out: a table with what each step read, changed and stored, and a proof; failure when the proof
//! fails. Never: uses the program's own word for the proof, which is GNU's find, sha256sum, getfattr and diff.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    clock::Stopwatch,
    interrupt,
    program::{Backup, Holdfast},
    quantity,
    scratch::Scratch,
    table::Table,
    tools,
    workspace::Workspace,
};

mod data;
mod proof;

use data::Sources;
use proof::Manifest;

/// How to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Megabytes in the large file and, a quarter of it, in the database
    #[arg(long, default_value_t = 192)]
    megabytes: u64,
    /// Use this binary instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Everything the demonstration works with. Order matters on drop: mounts first, then the folder that holds them.
struct Stage {
    holdfast: Holdfast,
    sources: Sources,
    scratch: Scratch,
    table: Table,
}

/// Runs the whole demonstration.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    interrupt::hold()?;
    tools::ensure_debian(&[tools::Need::Test])?;
    let binary = Holdfast::find(workspace, options.binary.as_deref())?;
    let watch = Stopwatch::start();
    let scratch = Scratch::create(workspace, "demo")?;
    let holdfast = Holdfast::new(&binary, &scratch.path)?;
    say("making data: a SQLite database, a source tree, a filesystem with a large file");
    let sources = Sources::create(workspace, &scratch, options.megabytes)?;
    let table = Table::new([
        "step", "volume", "outcome", "entries", "read", "changed", "stored", "metadata", "requests", "time",
    ]);
    let mut stage = Stage { holdfast, sources, scratch, table };
    let proven = stage.show();
    println!("\n{}", stage.table.plain());
    let proven = proven?;
    println!("{proven}\nall of it in {}", quantity::seconds(watch.seconds()));
    Ok(())
}

fn say(what: &str) {
    println!("demo: {what}");
}

impl Stage {
    fn show(&mut self) -> Result<String> {
        self.holdfast.init()?;
        say("first backup, while something writes to the database");
        let writer = self.sources.start_writer()?;
        self.round("first, under writes")?;
        say(&format!("the writer stops after {} transactions", writer.stop()?));
        let before_points = self.round("again, writer stopped")?;
        let before = self.manifests()?;
        self.round("no change at all")?;
        say("changing a little of everything");
        self.sources.change()?;
        let points = self.round("after the change")?;
        let after = self.manifests()?;
        self.check()?;
        say("destroying all of it");
        self.sources.destroy()?;
        say("restoring the newest state into its places and the state before the change beside it");
        let places = self.sources.places();
        self.restore("restore, newest", &points, &places)?;
        let beside = self.beside()?;
        self.restore("restore, older", &before_points, &beside)?;
        let mut files = self.prove(&after, &places)?;
        files += self.prove(&before, &beside)?;
        self.sources.check_database()?;
        Ok(format!(
            "proven: {files} entries restored byte for byte, with names, links, holes, owners, modes, times, ACLs and attributes; SQLite finds its database intact"
        ))
    }

    /// Backs every source up once.
    fn round(&mut self, step: &str) -> Result<Vec<(String, String)>> {
        let mut points = Vec::new();
        for (volume, path) in self.sources.places() {
            interrupt::check()?;
            let backup = self.holdfast.backup(&volume, &path).with_context(|| format!("{step}, volume {volume}"))?;
            self.record(step, &volume, &backup);
            let live = self.sources.is_written(&volume);
            if backup.outcome != "complete" && !live {
                bail!(
                    "{step}: the backup of {volume}, which nobody writes to, is {}: {:?}",
                    backup.outcome,
                    backup.not_captured
                );
            }
            points.push((volume, backup.point));
        }
        Ok(points)
    }

    fn record(&mut self, step: &str, volume: &str, backup: &Backup) {
        let statistics = &backup.statistics;
        let bytes = [
            statistics.bytes_read,
            statistics.bytes_changed,
            statistics.bytes_stored,
            statistics.bytes_stored_metadata,
        ];
        let start = [step.to_owned(), volume.to_owned(), backup.outcome.clone(), statistics.entries.to_string()];
        let end = [statistics.requests.total().to_string(), quantity::seconds(statistics.seconds)];
        self.table.row(start.into_iter().chain(bytes.map(quantity::bytes)).chain(end));
        for left_out in &backup.not_captured {
            say(&format!("{volume}: not captured: {left_out}"));
        }
    }

    fn note(&mut self, step: &str, what: &str, watch: Stopwatch) {
        let blank = std::iter::repeat_n(String::new(), 7);
        self.table.row(
            [step.to_owned(), what.to_owned()].into_iter().chain(blank).chain([quantity::seconds(watch.seconds())]),
        );
    }

    fn check(&mut self) -> Result<()> {
        let watch = Stopwatch::start();
        self.holdfast.check()?;
        self.note("check, all data read", "all", watch);
        Ok(())
    }

    fn restore(&mut self, step: &str, points: &[(String, String)], places: &[(String, PathBuf)]) -> Result<()> {
        for ((volume, point), (_, place)) in points.iter().zip(places) {
            interrupt::check()?;
            let watch = Stopwatch::start();
            self.holdfast.restore(point, place).with_context(|| format!("{step}, volume {volume}"))?;
            self.note(step, volume, watch);
        }
        Ok(())
    }

    fn manifests(&self) -> Result<Vec<Manifest>> {
        self.sources.places().iter().map(|(_, place)| Manifest::take(place, &self.scratch)).collect()
    }

    /// Places for a second copy.
    fn beside(&self) -> Result<Vec<(String, PathBuf)>> {
        let folder = self.scratch.folder("older")?;
        Ok(self.sources.places().into_iter().map(|(volume, _)| (volume.clone(), folder.join(volume))).collect())
    }

    /// Compares what was with what is there now; returns how many entries were compared.
    fn prove(&self, expected: &[Manifest], places: &[(String, PathBuf)]) -> Result<usize> {
        let mut entries = 0;
        for (expected, (volume, place)) in expected.iter().zip(places) {
            interrupt::check()?;
            let found = Manifest::take(place, &self.scratch)?;
            expected
                .compare(&found, &self.scratch)
                .with_context(|| format!("{volume} restored to {} differs", shown(place)))?;
            entries += found.entries();
        }
        if entries == 0 {
            bail!("nothing was compared: the proof proves nothing");
        }
        Ok(entries)
    }
}

/// The last part of a path, which is all that a reader needs.
fn shown(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Removes what is inside a folder, but not the folder.
fn empty(folder: &Path) -> Result<()> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} could not be listed", folder.display()))?;
    for entry in listing {
        let path = entry.with_context(|| format!("{} could not be listed", folder.display()))?.path();
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("{} could not be removed", path.display()))?;
    }
    Ok(())
}
