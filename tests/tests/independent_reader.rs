//! The format is what docs/format.md says: a reader written from that page alone restores what the engine has stored.
//!
//! In: a real directory that changes between backups, and a Python with the packages of `tests/reader/requirements.txt`, named by
//! `HOLDFAST_TOOL_READER_PYTHON`. Without it the test says SKIP, in CI it fails. Never: reads the repository with the engine's own reader.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use repository::domain::Domain;
use repository::generated::LogicalClock;
use repository::keys::{OpenedRepository, Recipient, SystemRandom, init_repository};
use repository::store::{OpenMode, Store, open};
use repository::write::{BackupOptions, backup};
use tests::folder::Folder;
use tests::server::tool;
use tokio::runtime::Runtime;

#[path = "independent_reader/source.rs"]
mod source;
#[path = "independent_reader/tree.rs"]
mod tree;

use source::Source;

const PASSPHRASE: &str = "nine words that nobody would think of, but one";
/// Enough increments that runs of every class are merged.
const INCREMENTS: u64 = 14;

/// A repository in a directory, whose only key is a passphrase.
struct Repository {
    runtime: Runtime,
    folder: Folder,
    opened: OpenedRepository,
    clock: LogicalClock,
}

impl Repository {
    fn new() -> Repository {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, folder) = (runtime.expect("a runtime"), Folder::new("reader"));
        std::fs::write(folder.path().join("passphrase"), format!("{PASSPHRASE}\n")).expect("the passphrase is written");
        let recipient = Recipient::from_passphrase_file(PASSPHRASE.as_bytes()).expect("a passphrase");
        let store = store(&folder, &runtime);
        let recipients = [(recipient, "test".to_owned())];
        let clock = LogicalClock::default();
        // Later than any stamp of the source, so that what was read once counts as settled and is not read again.
        clock.advance(Duration::from_secs(100 * 365 * 86_400));
        let opened =
            init_repository(&store, &recipients, clock.for_domain()(), &mut SystemRandom).expect("a new repository");
        Repository { runtime, folder, opened, clock }
    }

    /// Backs the source up; returns the point's id.
    fn back_up(&self, source: &Path) -> String {
        let store = store(&self.folder, &self.runtime);
        let access = self.opened.domain_or_new(&store, "default", &mut SystemRandom).expect("the domain");
        let random = Arc::new(Mutex::new(SystemRandom));
        let domain = Domain::new(store, access, self.opened.manifest.upkeep_public, random, self.clock.for_domain());
        self.clock.advance(Duration::from_secs(10));
        let reading =
            volume::open_source(source, &volume::SourceOptions::new(self.clock.stamp())).expect("the source opens");
        let options =
            BackupOptions { workers: 2, memory_budget_bytes: 32 << 20, ..BackupOptions::new("volume", "test") };
        let report = backup(&domain, reading.as_ref(), &options).expect("a backup");
        assert_eq!(report.missed, 0, "nothing changes while it is read");
        report.point.session.to_string()
    }

    fn reader(&self, python: &Path, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/holdfast_reader.py");
        let mut command = Command::new(python);
        command.arg(script).arg(self.folder.path().join("repository"));
        command.arg("--passphrase-file").arg(self.folder.path().join("passphrase")).args(arguments);
        command.output().expect("the reader starts")
    }

    /// The tree that the reader makes of a point.
    fn restored(&self, python: &Path, point: &str) -> tree::Tree {
        let target = self.folder.path().join("restored");
        let output = self.reader(python, &["--restore", point, target.to_str().expect("UTF-8")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "point {point}: {said}");
        let tree = tree::of(&target);
        std::fs::remove_dir_all(&target).expect("the restored tree is removed");
        tree
    }
}

fn store(folder: &Folder, runtime: &Runtime) -> Store {
    let path = folder.path().join("repository");
    let base = open(path.to_str().expect("UTF-8"), &|_| None, OpenMode::Create).expect("a store in a directory");
    Store::new(base, runtime.handle().clone())
}

#[test]
fn every_point_is_restored_by_a_reader_that_knows_only_the_document() {
    let Some(python) = tool("READER_PYTHON") else { return };
    let repository = Repository::new();
    let mut source = Source::new(repository.folder.path().join("source"), 7);
    let mut points = Vec::new();
    for step in 0..INCREMENTS {
        if step > 0 {
            source.change(step);
        }
        points.push((repository.back_up(source.root()), tree::of(source.root())));
    }
    if !points.iter().any(|(_, tree)| tree.has_attributes()) {
        println!("extended attributes were not compared: setfattr and getfattr, or the file system, have none");
    }
    for (step, (point, expected)) in points.iter().enumerate() {
        expected.assert_same(&repository.restored(&python, point), &format!("step {step}, point {point}"));
    }
}

#[test]
fn the_reader_lists_the_points_and_refuses_what_is_damaged() {
    let Some(python) = tool("READER_PYTHON") else { return };
    let repository = Repository::new();
    let folder = repository.folder.path();
    let source = folder.join("source");
    std::fs::create_dir(&source).expect("a source");
    std::fs::write(source.join("file"), vec![7; 3 << 20]).expect("a file");
    let point = repository.back_up(&source);
    let listed = repository.reader(&python, &["--list"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && text.starts_with(&point) && text.contains("complete valid volume"), "{text}");

    let packs = files_below(&folder.join("repository"), "packs");
    assert!(!packs.is_empty(), "a backup leaves packs");
    for pack in packs {
        let whole = std::fs::read(&pack).expect("a pack");
        // A byte in a blob, one in the directory, one in the footer.
        for at in [300, whole.len() - 64 - 10, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&pack, damaged).expect("the pack is damaged");
            let target = folder.join(format!("refused {at}"));
            let output = repository.reader(&python, &["--restore", &point, target.to_str().expect("UTF-8")]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code() == Some(1) && said.contains("damaged"),
                "byte {at} of {}: {said}",
                pack.display()
            );
        }
        std::fs::write(&pack, whole).expect("the pack is as it was");
    }
    repository.restored(&python, &point);
}

/// The files in any folder of this name, at any depth.
fn files_below(folder: &Path, name: &str) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder is read") {
            let path = entry.expect("a name").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.components().any(|part| part.as_os_str() == name) {
                found.push(path);
            }
        }
    }
    found
}
