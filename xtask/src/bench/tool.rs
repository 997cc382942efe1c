//! Tool: Holdfast and its peers, each doing the same four things.
//!
//! In: what is installed. Out: the commands for init, backup, restore and check, each with its default settings for local use and the
//! encryption on; the compression is each one's own default, for borg zstd level 1. Never: runs anything that is measured.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{process, program::Holdfast, tools};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Holdfast,
    Restic,
    Borg,
    Rustic,
}

/// A program with a version and where it is.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) kind: Kind,
    pub(super) version: String,
    binary: PathBuf,
}

impl Kind {
    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Holdfast => "holdfast",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Rustic => "rustic",
        }
    }
}

impl Tool {
    /// Looks for it; for a peer that is not there, says how to get it.
    pub(super) fn find(kind: Kind, holdfast: &Path) -> Result<Self, String> {
        let package = "cargo xtask tools, as root, installs it";
        let (binary, word) = match kind {
            Kind::Holdfast => (Some(holdfast.to_owned()), "--version"),
            Kind::Restic => (process::find_program("restic"), "version"),
            Kind::Borg => (process::find_program("borg"), "--version"),
            Kind::Rustic => (tools::present(&tools::RUSTIC), "--version"),
        };
        let binary = binary.ok_or_else(|| match kind {
            Kind::Rustic => "absent: cargo xtask tools --all builds it".to_owned(),
            _ => format!("absent: {package}"),
        })?;
        let version = process::text(Command::new(&binary).arg(word)).map_err(|error| format!("{error:#}"))?;
        let version = version.lines().next().unwrap_or_default().to_owned();
        Ok(Self { kind, version, binary })
    }

    /// A repository of this tool in a fresh folder.
    pub(super) fn site(&self, folder: PathBuf) -> Result<Site> {
        std::fs::create_dir_all(&folder).with_context(|| format!("{} could not be created", folder.display()))?;
        let holdfast = Holdfast::new(&self.binary, &folder)?;
        Ok(Site { kind: self.kind, binary: self.binary.clone(), folder, holdfast })
    }
}

/// One repository of one tool, with its caches.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) kind: Kind,
    binary: PathBuf,
    pub(super) folder: PathBuf,
    holdfast: Holdfast,
}

/// The name under which everything is backed up.
const NAME: &str = "bench";

impl Site {
    /// Where the repository is.
    pub(super) fn repository(&self) -> PathBuf {
        self.holdfast.repository().to_owned()
    }

    /// Makes the repository; not measured.
    pub(super) fn init(&self) -> Result<()> {
        let mut command = match self.kind {
            Kind::Holdfast => return self.holdfast.init(),
            Kind::Restic | Kind::Rustic => self.peer(["init"]),
            Kind::Borg => self.peer(["init", "--encryption", "repokey-blake2"]),
        };
        process::capture(&mut command).map(drop)
    }

    /// Backs up the folder; `run` tells archives apart where the tool wants names.
    pub(super) fn backup(&self, source: &Path, run: usize) -> Command {
        let mut command = match self.kind {
            Kind::Holdfast => {
                return self.holdfast.command([
                    "backup".as_ref(),
                    "--volume".as_ref(),
                    NAME.as_ref(),
                    source.as_os_str(),
                ]);
            }
            Kind::Restic => self.peer(["backup", "--quiet", "."]),
            Kind::Rustic => self.peer(["backup", "."]),
            Kind::Borg => {
                let archive = format!("::{NAME}-{run}");
                self.peer(["create", "--compression", "zstd,1", "--sparse", &archive, "."])
            }
        };
        command.current_dir(source);
        command
    }

    /// Backs up the folder as a volume of another name that is said to be like the first; Holdfast only.
    pub(super) fn backup_clone(&self, source: &Path) -> Command {
        let words = ["backup", "--volume", "clone", "--like", NAME];
        self.holdfast.command(words.map(str::as_ref).into_iter().chain([source.as_os_str()]).collect::<Vec<_>>())
    }

    /// Hides all restore points but the newest; Holdfast only.
    pub(super) fn forget_all_but_newest(&self) -> Command {
        self.holdfast.command(["forget", "--volume", NAME, "--keep-last", "1"])
    }

    /// Deletes at once what no restore point needs that is not hidden, and waits for nobody; Holdfast only.
    pub(super) fn collect(&self) -> Command {
        self.holdfast.command(["gc", "--grace", "0s", "--session-grace", "0s", "--share-max", "100"])
    }

    /// Restores what `backup` with the same `run` has stored into an empty folder.
    pub(super) fn restore(&self, target: &Path, run: usize) -> Command {
        match self.kind {
            // None of the others waits for the disk; how long that takes is measured by itself.
            Kind::Holdfast => self.holdfast.command([
                "restore".as_ref(),
                "latest".as_ref(),
                "--no-sync".as_ref(),
                "--to".as_ref(),
                target.as_os_str(),
            ]),
            Kind::Restic => {
                let mut command = self.peer(["restore", "latest", "--quiet", "--target"]);
                command.arg(target);
                command
            }
            Kind::Rustic => {
                let mut command = self.peer(["restore", "latest"]);
                command.arg(target);
                command
            }
            Kind::Borg => {
                let archive = format!("::{NAME}-{run}");
                let mut command = self.peer(["extract", "--sparse", &archive]);
                command.current_dir(target);
                command
            }
        }
    }

    /// Reads and verifies every byte that is stored.
    pub(super) fn check(&self) -> Command {
        match self.kind {
            Kind::Holdfast => self.holdfast.command(["check", "--read-data"]),
            Kind::Restic => self.peer(["check", "--quiet", "--read-data"]),
            Kind::Rustic => self.peer(["check", "--read-data"]),
            Kind::Borg => self.peer(["check", "--verify-data"]),
        }
    }

    fn peer<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let (repository, cache) = (self.repository(), self.folder.join("cache"));
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        match self.kind {
            Kind::Holdfast => {}
            Kind::Restic => {
                command
                    .env("RESTIC_REPOSITORY", repository)
                    .env("RESTIC_PASSWORD", NAME)
                    .env("RESTIC_CACHE_DIR", cache);
            }
            Kind::Rustic => {
                command
                    .env("RUSTIC_REPOSITORY", repository)
                    .env("RUSTIC_PASSWORD", NAME)
                    .env("RUSTIC_CACHE_DIR", cache);
                command.env("RUSTIC_NO_PROGRESS", "true");
            }
            Kind::Borg => {
                command.env("BORG_REPO", repository).env("BORG_PASSPHRASE", NAME).env("BORG_BASE_DIR", cache);
            }
        }
        command
    }
}
