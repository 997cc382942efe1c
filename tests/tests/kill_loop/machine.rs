//! A machine: the program, its repository, its source, and what it was told that it has.
//!
//! In: where the repository is. Out: commands that run to their end or are killed. Never: waits for a killed command longer than for its last breath.

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

/// Where the repository is.
pub(crate) enum Place {
    Directory,
    Server(Versitygw),
}

/// A restore point that was reported.
pub(crate) struct Reported {
    pub(crate) point: String,
    pub(crate) state: State,
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
    pub(crate) reported: Vec<Reported>,
    /// A command takes about this long.
    usual: Duration,
    pub(crate) killed: u64,
    pub(crate) survived: u64,
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
        let (reported, usual, round) = (Vec::new(), Duration::from_millis(600), String::new());
        let python = tool("READER_PYTHON");
        let machine =
            Machine { binary, python, folder, place, dice, source, reported, usual, killed: 0, survived: 0, round };
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
        format!("{} commands were killed, {} came to their end before it", self.killed, self.survived)
    }

    /// A path in the machine's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn repository(&self) -> String {
        match &self.place {
            Place::Directory => self.path("repository").to_str().expect("UTF-8").to_owned(),
            Place::Server(server) => server.url("killed"),
        }
    }

    /// The repository's objects as files.
    fn objects(&self) -> PathBuf {
        match &self.place {
            Place::Directory => self.path("repository"),
            Place::Server(server) => server.bucket_folder().join("killed"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["-o", "json", "--quiet"]).args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("HOLDFAST_REPOSITORY", self.repository()).env("HOLDFAST_IDENTITY_FILE", self.path("identity"));
        command.env("HOLDFAST_CACHE_DIR", self.path("cache")).env("HOLDFAST_MEMORY_BUDGET", "32MiB");
        if let Place::Server(server) = &self.place {
            command.envs(server.environment());
        }
        command
    }

    /// Runs a command to its end; it must end with `code`, and what it prints is one value.
    pub(crate) fn json(&self, code: i32, words: &[&str]) -> Value {
        let output = self.command(words).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{}: {words:?}: {said}", self.round);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {words:?} printed no JSON value: {error}: {said}", self.round))
    }

    /// Starts a command.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Kills a command at a random instant; what it printed if it came to its end before, with its exit code.
    pub(crate) fn kill(&mut self, mut child: Child) -> Option<(i32, Vec<u8>, String)> {
        let delay = self.usual.mul_f64(self.dice.random_range(0.0..1.2));
        // A random instant is the point of it: there is nothing to wait for.
        std::thread::sleep(delay);
        let ended = child.try_wait().expect("its state").is_some();
        if !ended {
            child.kill().expect("it is killed");
        }
        let output = child.wait_with_output().expect("it is waited for");
        match output.status.code() {
            Some(code) => {
                self.survived += 1;
                self.usual = self.usual.mul_f64(0.9).max(DELAY_MIN);
                Some((code, output.stdout, String::from_utf8_lossy(&output.stderr).into_owned()))
            }
            None => {
                self.killed += 1;
                self.usual = self.usual.mul_f64(1.08).min(DELAY_MAX);
                None
            }
        }
    }

    /// Restores a point by the reader that knows the format from its document alone.
    pub(crate) fn read_independently(&self, point: &str, target: &Path) -> bool {
        let Some(python) = &self.python else { return false };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/holdfast_reader.py");
        let mut command = Command::new(python);
        command.arg(script).arg(self.objects()).arg("--passphrase-file").arg(self.path("passphrase"));
        let output = command.arg("--restore").arg(point).arg(target).output().expect("the reader starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: point {point}: {said}", self.round);
        true
    }
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
