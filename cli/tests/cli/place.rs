//! Place: a temporary folder with a repository, a key and a cache, and the binary that works on them.
//!
//! In: words of a command line. Out: exit code and both outputs. Never: lets a variable of the machine through.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

/// A folder in which a test works; the binary is started in it.
pub(crate) struct Place {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    /// With a repository at `repo` that the identity in `identity` opens. (A passphrase is made slow on purpose.)
    pub(crate) fn new() -> Place {
        let place = Place::empty();
        place.run(["repo", "init"]).expect(0);
        place
    }

    /// Without a repository.
    pub(crate) fn empty() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        let identity = age::x25519::Identity::generate();
        std::fs::write(place.path("identity"), identity.to_string().expose_secret()).unwrap();
        place
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary with this place's repository, identity and cache.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.bare(words);
        command.env("HOLDFAST_REPOSITORY", self.path("repo")).env("HOLDFAST_IDENTITY_FILE", self.path("identity"));
        command.env("HOLDFAST_CACHE_DIR", self.path("cache"));
        command
    }

    /// The binary without any variable but PATH.
    pub(crate) fn bare<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(words).current_dir(self.folder.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the binary.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ran {
        ran(&mut self.command(words))
    }

    /// Runs the binary with `-o json`; it must end with `code`, and print exactly one value.
    pub(crate) fn json_with(&self, code: i32, words: &[&str]) -> Value {
        let ran = self.run(["-o", "json"].iter().chain(words));
        ran.expect(code);
        let text = std::str::from_utf8(&ran.stdout).unwrap();
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("{words:?} printed no single JSON value: {error}: {text}"))
    }

    /// The same for what must succeed.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        self.json_with(0, words)
    }

    /// Backs up `source` as `volume`; returns the id of the point.
    pub(crate) fn backup(&self, volume: &str, source: &str) -> String {
        self.json(&["backup", "--volume", volume, source])["point"].as_str().unwrap().to_owned()
    }

    /// Writes a file in the folder, with the directories above it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Every file below a folder of the place.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut pending = vec![self.path(below)];
        let mut files = Vec::new();
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push(path);
            }
        }
        files.sort();
        files
    }
}

impl Ran {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.text(), self.stderr);
    }

    /// It failed with this code, printed nothing as a result, and named its cause.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, cause: &str) {
        self.expect(code);
        assert!(self.stdout.is_empty(), "a failure printed a result: {}", self.text());
        assert!(self.stderr.contains(cause), "{cause:?} is not in: {}", self.stderr);
        assert!(self.stderr.starts_with("holdfast: "), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// True for root; otherwise says what is left out.
pub(crate) fn is_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIP {what}: it needs root");
    }
    root
}
