//! A machine: the program, its repository and a replica of it, its source, and what it was told that it has.
//!
//! In: where the repository is. Out: commands that run to their end or are killed. Never: waits for a killed command longer than for its last breath.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use age::secrecy::ExposeSecret;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tests::folder::Folder;
use tests::s3::Versitygw;
use tests::server::{skip, tool};

use super::source::{Source, State};

/// What opens the repository for the independent reader.
const PASSPHRASE: &str = "a few words for a reader in another language";
/// The shortest and the longest time after which a command is killed; in between it follows how long commands take.
const DELAY_MIN: Duration = Duration::from_millis(5);
const DELAY_MAX: Duration = Duration::from_secs(20);

/// How long a command is thought to take before one of its name has come to its end.
const USUAL: Duration = Duration::from_millis(300);
/// One that was killed would have taken longer.
const GROWTH: f64 = 1.08;
/// Between two looks whether a command has come to its end.
const LOOK: Duration = Duration::from_millis(1);

/// Where the repository and its replica are.
pub(crate) enum Place {
    Directory,
    Server(Versitygw),
}

/// Which of the two a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Original,
    Replica,
}

/// A command at work.
pub(crate) struct Running {
    name: String,
    child: Child,
}

/// What a command said that came to its end.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) said: String,
}

/// Commands of one name: how many were killed, how many ended before it, and how long they take about.
struct Kind {
    killed: u64,
    survived: u64,
    usual: Duration,
}

/// The program and everything around it.
pub(crate) struct Machine {
    binary: PathBuf,
    python: Option<PathBuf>,
    folder: Folder,
    place: Place,
    pub(crate) dice: SmallRng,
    pub(crate) source: Source,
    /// Restore points that were reported as complete and not forgotten, oldest first.
    pub(crate) reported: Vec<String>,
    /// Restore points that the replica is known to have and has not forgotten, oldest first.
    pub(crate) copies: BTreeSet<String>,
    /// What each restore point holds that was ever reported; a backup that was killed may have made others.
    pub(crate) states: BTreeMap<String, State>,
    kinds: BTreeMap<String, Kind>,
    round: String,
}

impl Machine {
    /// With a new repository; None (and the word SKIP) where the program was not built.
    pub(crate) fn new(place: Place, seed: u64) -> Option<Machine> {
        let binary = program()?;
        let folder = Folder::new("kill");
        let mut dice = SmallRng::seed_from_u64(seed);
        let identity = age::x25519::Identity::generate();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file is written");
        write("identity", identity.to_string().expose_secret());
        write("passphrase", PASSPHRASE);
        let source = Source::new(folder.path().join("source"), &mut dice);
        let machine = Machine {
            binary,
            python: tool("READER_PYTHON"),
            folder,
            place,
            dice,
            source,
            reported: Vec::new(),
            copies: BTreeSet::new(),
            states: BTreeMap::new(),
            kinds: BTreeMap::new(),
            round: String::new(),
        };
        machine.json(0, &["repo", "init"]);
        machine.json(0, &["keys", "add", "--new-passphrase-file", "passphrase"]);
        Some(machine)
    }

    /// What is going on, for whoever reads a failure.
    pub(crate) fn say(&mut self, round: String) {
        self.round = round;
    }

    /// See [`Machine::say`].
    pub(crate) fn round(&self) -> &str {
        &self.round
    }

    /// How often something was killed.
    pub(crate) fn counts(&self) -> String {
        let text = |(name, kind): (&String, &Kind)| {
            format!("{name}: {} killed, {} came to their end before it", kind.killed, kind.survived)
        };
        self.kinds.iter().map(text).collect::<Vec<_>>().join("; ")
    }

    /// A path in the machine's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where one of the two is.
    pub(crate) fn url(&self, which: Which) -> String {
        match &self.place {
            Place::Directory => self.path(which.name()).to_str().expect("UTF-8").to_owned(),
            Place::Server(server) => server.url(which.name()),
        }
    }

    /// Its objects as files.
    fn objects(&self, which: Which) -> PathBuf {
        match &self.place {
            Place::Directory => self.path(which.name()),
            Place::Server(server) => server.bucket_folder().join(which.name()),
        }
    }

    /// The packs of one of the two by name, with their sizes, as the disk has them.
    pub(crate) fn packs(&self, which: Which) -> BTreeMap<PathBuf, u64> {
        let mut packs = BTreeMap::new();
        let mut waiting = vec![self.objects(which)];
        while let Some(folder) = waiting.pop() {
            // A folder of which nothing is left may go while it is read.
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.map(|entry| entry.expect("an entry").path()) {
                if path.is_dir() {
                    waiting.push(path);
                } else if is_pack(&path)
                    && let Ok(file) = path.metadata()
                {
                    packs.insert(path, file.len());
                }
            }
        }
        packs
    }

    /// A request of a killed command may still be under way.
    pub(crate) fn requests_may_land_late(&self) -> bool {
        matches!(self.place, Place::Server(_))
    }

    fn command(&self, which: Which, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["-o", "json", "--quiet"]).args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("HOLDFAST_REPOSITORY", self.url(which)).env("HOLDFAST_IDENTITY_FILE", self.path("identity"));
        command.env("HOLDFAST_CACHE_DIR", self.path("cache")).env("HOLDFAST_MEMORY_BUDGET", "32MiB");
        if let Place::Server(server) = &self.place {
            command.envs(server.environment());
        }
        command
    }

    /// Runs a command to its end; it must end with `code`, and what it prints is one value.
    pub(crate) fn json(&self, code: i32, words: &[&str]) -> Value {
        self.json_of(Which::Original, code, words)
    }

    /// The same on either of the two.
    pub(crate) fn json_of(&self, which: Which, code: i32, words: &[&str]) -> Value {
        let output = self.command(which, words).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{}: {which:?}: {words:?}: {said}", self.round);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {words:?} printed no JSON value: {error}: {said}", self.round))
    }

    /// Starts a command.
    pub(crate) fn start(&self, which: Which, words: &[&str]) -> Running {
        let child = self.command(which, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let at = if which == Which::Replica { " at the replica" } else { "" };
        Running { name: format!("{}{at}", words[0]), child: child.expect("the program starts") }
    }

    /// Kills a command at a random instant; what it said if it came to its end before.
    pub(crate) fn kill(&mut self, running: Running) -> Option<Ended> {
        let Running { name, mut child } = running;
        let kind = self.kinds.entry(name).or_insert(Kind { killed: 0, survived: 0, usual: USUAL });
        let delay = kind.usual.mul_f64(self.dice.random_range(0.0..1.2));
        let mut took = Duration::ZERO;
        while took < delay && child.try_wait().expect("its state").is_none() {
            std::thread::sleep(LOOK);
            took += LOOK;
        }
        if child.try_wait().expect("its state").is_none() {
            child.kill().expect("it is killed");
        }
        let ended = ended_of(child);
        match &ended {
            Some(_) => (kind.survived, kind.usual) = (kind.survived + 1, took.max(DELAY_MIN)),
            None => (kind.killed, kind.usual) = (kind.killed + 1, kind.usual.mul_f64(GROWTH).min(DELAY_MAX)),
        }
        ended
    }

    /// Waits until a command has come to its end.
    pub(crate) fn end(&self, running: Running) -> Ended {
        ended_of(running.child).unwrap_or_else(|| panic!("{}: {} was killed by another", self.round, running.name))
    }

    /// Restores a point by the reader that knows the format from its document alone.
    pub(crate) fn read_independently(&self, which: Which, point: &str, target: &Path) -> bool {
        let Some(python) = &self.python else { return false };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/holdfast_reader.py");
        let mut command = Command::new(python);
        command.arg(script).arg(self.objects(which)).arg("--passphrase-file").arg(self.path("passphrase"));
        let output = command.arg("--restore").arg(point).arg(target).output().expect("the reader starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {which:?}: point {point}: {said}", self.round);
        true
    }
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::Original => "killed",
            Which::Replica => "replica",
        }
    }
}

/// `None`: it was killed.
fn ended_of(child: Child) -> Option<Ended> {
    let output = child.wait_with_output().expect("it is waited for");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.code().map(|code| Ended { code, stdout: output.stdout, said })
}

/// `packs/<shard>/<session>/<8 hexadecimal digits>`; what is being put has a longer name, or lies elsewhere.
fn is_pack(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path.ancestors().nth(3).and_then(Path::file_name);
    folder.is_some_and(|folder| folder == "packs")
        && name.len() == 8
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The program of this build: it lies beside the tests.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().expect("this test has a path");
    let binary = test.parent().and_then(Path::parent).expect("a folder of builds").join("holdfast");
    if binary.is_file() {
        return Some(binary);
    }
    skip(&format!("{} was not built; `cargo xtask test` builds it", binary.display()));
    None
}
