//! Debian: programs that the distribution has.
//!
//! In: the table below. Out: all of them installed, or one message with the command that does it. Never: asks apt-get when nothing is missing.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `cargo xtask test` and `cargo xtask demo`.
    Test,
    /// `cargo xtask bench`: the peers.
    Bench,
}

/// Package, the program (or module of Python) that tells whether it is there, and who needs it.
const PACKAGES: [(&str, &str, Need); 12] = [
    ("attr", "setfattr", Need::Test),
    ("acl", "setfacl", Need::Test),
    ("sqlite3", "sqlite3", Need::Test),
    ("zstd", "zstd", Need::Test),
    ("e2fsprogs", "mkfs.ext4", Need::Test),
    ("xfsprogs", "mkfs.xfs", Need::Test),
    ("btrfs-progs", "mkfs.btrfs", Need::Test),
    ("fio", "fio", Need::Test),
    ("strace", "strace", Need::Test),
    ("python3-venv", "python3 -m ensurepip", Need::Test),
    ("restic", "restic", Need::Bench),
    ("borgbackup", "borg", Need::Bench),
];

/// Installs what is missing: by itself as root, otherwise it says how.
pub(super) fn install(needs: &[Need]) -> Result<()> {
    let missing = missing(needs, is_there);
    if missing.is_empty() {
        return Ok(());
    }
    let advice = format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    if process::find_program("apt-get").is_none() {
        bail!("missing: {}; there is no apt-get here, install them by your system's own means", missing.join(", "));
    }
    if !process::is_root() {
        bail!("missing: {}; run as root: {advice}", missing.join(", "));
    }
    eprintln!("xtask: installing {} (once)", missing.join(", "));
    apt_get(&["update", "-q"]).with_context(|| format!("by hand: {advice}"))?;
    let arguments = ["install", "-y", "-q", "--no-install-recommends"];
    apt_get(&[&arguments[..], &missing].concat()).with_context(|| format!("by hand: {advice}"))
}

fn is_there(program: &str) -> bool {
    match program.split_once(" -m ") {
        None => process::find_program(program).is_some(),
        Some((python, module)) => {
            process::capture(Command::new(python).args(["-c", &format!("import {module}")])).is_ok()
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    process::capture(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

fn missing(needs: &[Need], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let wanted = PACKAGES.iter().filter(|(_, program, need)| needs.contains(need) && !is_there(program));
    wanted.map(|(package, ..)| *package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_and_missing_is_asked_for() {
        assert_eq!(missing(&[Need::Bench], |_| false), ["restic", "borgbackup"]);
        assert_eq!(missing(&[Need::Test], |program| program != "setfacl"), ["acl"]);
        assert!(missing(&[Need::Test, Need::Bench], |_| true).is_empty());
    }
}
