//! Workspace: where the project is and what belongs to it.
//!
//! In: cargo's and git's own answers. Out: the root folder, the crates, the files that git knows or would take. Never: changes anything.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The checkout and the cargo that runs us.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The folder that holds the virtual manifest.
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The checkout that xtask itself was built from.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().with_context(|| {
            format!("{} has no parent folder; run `cargo xtask` inside the checkout", manifest.display())
        })?;
        Ok(Self { root: root.to_owned() })
    }

    /// `cargo`, in the root folder, by the toolchain that `rust-toolchain.toml` pins.
    pub(crate) fn cargo(&self) -> Command {
        self.command("cargo")
    }

    /// Any program, in the root folder, without what cargo told xtask about xtask.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), |target| self.root.join(target))
    }

    /// The crates of this workspace, as cargo sees them.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let json =
            process::capture(self.cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]))?
                .stdout;
        let metadata: Metadata =
            serde_json::from_slice(&json).context("`cargo metadata` wrote something unexpected")?;
        Ok(metadata.packages)
    }

    /// The names of all crates that are built, ours and others', for this machine.
    pub(crate) fn built_crates(&self) -> Result<Vec<String>> {
        let arguments =
            ["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"];
        let listing = process::text(self.cargo().args(arguments))?;
        let mut names: Vec<String> =
            listing.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Every file that is tracked, or new and not ignored; relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listing = process::capture(self.command("git").args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?
        .stdout;
        let listing = String::from_utf8(listing).context("a file name in the project is not UTF-8; rename it")?;
        let mut files: Vec<PathBuf> = listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The path below the root, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// One crate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it depends on, of every kind.
    pub(crate) dependencies: Vec<Dependency>,
    /// What cargo builds from it.
    pub(crate) targets: Vec<Target>,
}

/// One dependency of a crate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// Its name.
    pub(crate) name: String,
    /// The folder, when it is a crate of ours.
    pub(crate) path: Option<PathBuf>,
}

/// A library, binary, test or benchmark.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// The file its module tree starts in.
    pub(crate) src_path: PathBuf,
}
