//! Install: one tool, by the client of its own ecosystem, into a folder.
//!
//! In: a tool and an empty folder. Out: the folder with the binary under the tool's name at its top. Never: writes elsewhere but in the
//! caches of cargo, go, npm and pip.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result};

use super::{Source, Tool, builder};
use crate::{process, workspace::Workspace};

/// Makes the tool in `folder`.
pub(super) fn into(workspace: &Workspace, tool: &Tool, folder: &Path) -> Result<()> {
    match tool.source {
        Source::Cargo { package, arguments, quick } => {
            let mut command = workspace.cargo();
            command
                .args(["install", "--locked", "--quiet", "--no-track", "--version", tool.version, package])
                .args(arguments);
            cargo(command, tool, quick, folder)
        }
        Source::Go { package } => go(workspace, tool, package, folder),
        Source::Npm { program } => npm(workspace, tool, program, folder),
        Source::Python { requirements } => python(workspace, tool, requirements, folder),
    }
}

fn cargo(mut command: Command, tool: &Tool, quick: bool, folder: &Path) -> Result<()> {
    command.arg("--root").arg(folder).arg("--target-dir").arg(folder.join("target"));
    if quick {
        // Nothing measures these tools: two cores are better spent on the project.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    }
    process::run(&mut command)?;
    let made = folder.join("bin").join(tool.name);
    fs::rename(&made, folder.join(tool.name)).with_context(|| format!("{} was not made", made.display()))?;
    fs::remove_dir(folder.join("bin")).context("the folder bin is not empty")?;
    let target = folder.join("target");
    fs::remove_dir_all(&target).with_context(|| format!("{} could not be removed", target.display()))
}

fn go(workspace: &Workspace, tool: &Tool, package: &str, folder: &Path) -> Result<()> {
    let program = builder("go", "install Go 1.24 or newer")?;
    let mut command = workspace.command(program);
    command.arg("install").arg(format!("{package}@{}", tool.version)).env("GOBIN", folder).env("CGO_ENABLED", "0");
    // Debug information is half of such a binary.
    command.env("GOFLAGS", "-ldflags=-s -trimpath");
    process::run(&mut command)
}

fn npm(workspace: &Workspace, tool: &Tool, program: &str, folder: &Path) -> Result<()> {
    let npm = builder("npm", "install Node.js with npm (Debian: apt-get install npm)")?;
    let mut command = workspace.command(npm);
    command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
    process::run(command.arg(format!("{}@{}", tool.name, tool.version)))?;
    let relative = Path::new("node_modules/.bin").join(program);
    symlink(&relative, folder.join(tool.name)).with_context(|| format!("{} could not be linked", relative.display()))
}

fn python(workspace: &Workspace, tool: &Tool, requirements: &str, folder: &Path) -> Result<()> {
    let advice = "install Python 3.11 or newer with venv (Debian: apt-get install python3-venv)";
    let mut make = workspace.command(builder("python3", advice)?);
    process::run(make.args(["-m", "venv"]).arg(folder)).context(advice)?;
    let mut install = workspace.command(folder.join("bin/python"));
    // The list names everything, and nothing in it may run a build.
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    process::run(install.arg("--requirement").arg(requirements))?;
    // A link would not do: Python looks for its packages beside the name by which it was started. The folder is renamed later, so
    // the place is found from the name of the script.
    let script = folder.join(tool.name);
    fs::write(&script, "#!/bin/sh\nexec \"$(dirname \"$0\")/bin/python\" \"$@\"\n")
        .with_context(|| format!("{} could not be written", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} could not be made executable", script.display()))
}
