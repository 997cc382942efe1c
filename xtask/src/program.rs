//! Program: Holdfast, under demonstration and measurement, through the interface that scripts rely on.
//!
//! In: its binary and a repository. Out: what its JSON says. Never: looks into the repository, or links any crate of it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{process, workspace::Workspace};

/// The binary, a repository in a folder, and a passphrase.
#[derive(Clone, Debug)]
pub(crate) struct Holdfast {
    binary: PathBuf,
    repository: PathBuf,
    passphrase: PathBuf,
    cache: PathBuf,
}

/// `backup -o json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Backup {
    pub(crate) point: String,
    pub(crate) outcome: String,
    pub(crate) not_captured: Vec<serde_json::Value>,
    pub(crate) statistics: Statistics,
    pub(crate) space: Option<Space>,
}

/// What the packs of a restore point hold.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Space {
    pub(crate) packs_bytes: u64,
}

/// `restore -o json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Restore {
    pub(crate) statistics: RestoreStatistics,
}

/// What a restore cost.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct RestoreStatistics {
    pub(crate) requests: Requests,
}

/// What a backup read and wrote.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Statistics {
    pub(crate) entries: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_changed: u64,
    pub(crate) bytes_stored: u64,
    pub(crate) bytes_stored_metadata: u64,
    pub(crate) seconds: f64,
    pub(crate) requests: Requests,
}

/// Requests to the store.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Requests {
    pub(crate) put: u64,
    pub(crate) get: u64,
    pub(crate) list: u64,
    pub(crate) delete: u64,
}

impl Requests {
    /// All of them.
    pub(crate) fn total(self) -> u64 {
        self.put + self.get + self.list + self.delete
    }
}

/// `check -o json`.
#[derive(Clone, Debug, Deserialize)]
struct Check {
    outcome: String,
    damaged: Vec<serde_json::Value>,
}

/// Exit code of a backup that could not take everything, and says so.
const PARTIAL: i32 = 3;

impl Holdfast {
    /// The binary that was named; otherwise it is built for release.
    pub(crate) fn find(workspace: &Workspace, named: Option<&Path>) -> Result<PathBuf> {
        if let Some(binary) = named {
            return fs::canonicalize(binary).with_context(|| format!("{} is not there", binary.display()));
        }
        process::run(workspace.cargo().args([
            "build",
            "--release",
            "--locked",
            "--package",
            "cli",
            "--bin",
            "holdfast",
        ]))?;
        Ok(workspace.target().join("release").join("holdfast"))
    }

    /// Names a repository, its passphrase and its cache below `folder`; nothing is made but the passphrase.
    pub(crate) fn new(binary: &Path, folder: &Path) -> Result<Self> {
        let passphrase = folder.join("passphrase");
        fs::write(&passphrase, "correct horse battery staple\n")
            .with_context(|| format!("{} could not be written", passphrase.display()))?;
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("{} could not be made private", passphrase.display()))?;
        let (repository, cache) = (folder.join("repository"), folder.join("cache"));
        Ok(Self { binary: binary.to_owned(), repository, passphrase, cache })
    }

    /// Where the repository is.
    pub(crate) fn repository(&self) -> &Path {
        &self.repository
    }

    /// The program, told by the environment which repository to use.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["-o", "json"]).args(arguments);
        command.env("HOLDFAST_REPOSITORY", &self.repository);
        command.env("HOLDFAST_PASSPHRASE_FILE", &self.passphrase).env("HOLDFAST_CACHE_DIR", &self.cache);
        command.env_remove("HOLDFAST_IDENTITY_FILE");
        command
    }

    /// Another program of ours on the same repository.
    pub(crate) fn beside(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOLDFAST_REPOSITORY", &self.repository).env("HOLDFAST_PASSPHRASE_FILE", &self.passphrase);
        command
    }

    /// `repo init`.
    pub(crate) fn init(&self) -> Result<()> {
        process::capture(&mut self.command(["repo", "init"])).map(drop)
    }

    /// `backup`; a partial one is a result, not an error.
    pub(crate) fn backup(&self, volume: &str, path: &Path) -> Result<Backup> {
        let mut command = self.command(["backup".as_ref(), "--volume".as_ref(), volume.as_ref(), path.as_os_str()]);
        let output = command.output().with_context(|| process::cannot_start(&command))?;
        if !output.status.success() && output.status.code() != Some(PARTIAL) {
            bail!(
                "`{}` ended with {}: {}",
                process::display(&command),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        parse(&command, &output.stdout)
    }

    /// `restore` of a whole point.
    pub(crate) fn restore(&self, point: &str, target: &Path) -> Result<()> {
        process::capture(&mut self.command(["restore".as_ref(), point.as_ref(), "--to".as_ref(), target.as_os_str()]))
            .map(drop)
    }

    /// `check --read-data`; damage is an error.
    pub(crate) fn check(&self) -> Result<()> {
        let mut command = self.command(["check", "--read-data"]);
        let output = process::capture(&mut command)?;
        let check: Check = parse(&command, &output.stdout)?;
        if check.outcome != "ok" || !check.damaged.is_empty() {
            bail!("`{}` found damage: {:?}", process::display(&command), check.damaged);
        }
        Ok(())
    }
}

/// The one JSON value on standard output.
pub(crate) fn parse<T: DeserializeOwned>(command: &Command, stdout: &[u8]) -> Result<T> {
    serde_json::from_slice(stdout).with_context(|| {
        let start = String::from_utf8_lossy(&stdout[..stdout.len().min(200)]).into_owned();
        format!("`{}` wrote something else than its documented JSON: {start}", process::display(command))
    })
}
