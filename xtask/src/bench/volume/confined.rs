//! Confined: a command inside a memory control group.
//!
//! In: a limit and a command. Out: the command as it runs in the group, and what the group saw. Never: leaves the group behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// A group of its own; in either version of the interface.
pub(super) struct Group {
    folder: PathBuf,
    names: &'static Names,
}

/// What the files of one version are called.
struct Names {
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
    events: &'static str,
}

const VERSIONS: [Names; 2] = [
    Names { root: "/sys/fs/cgroup", limit: "memory.max", peak: "memory.peak", events: "memory.events" },
    Names {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
        events: "memory.oom_control",
    },
];

impl Group {
    /// A group whose processes and caches together take at most `bytes`.
    pub(super) fn create(name: &str, bytes: u64) -> Result<Group> {
        for names in &VERSIONS {
            let folder = Path::new(names.root).join(format!("holdfast-{name}-{}", std::process::id()));
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Group { folder, names };
            if fs::write(group.folder.join(names.limit), bytes.to_string()).is_ok() {
                return Ok(group);
            }
        }
        bail!("there is no memory control group to be had below /sys/fs/cgroup")
    }

    /// The command, as it enters the group before it begins.
    pub(super) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.folder.display());
        inside.args(["-c", &enter]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).with_context(|| format!("{} could not be read", path.display()))
    }

    /// The most that was charged to it.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        Ok(self.read(self.names.peak)?.trim().parse()?)
    }

    /// How many of its processes the kernel has killed.
    pub(super) fn killed(&self) -> Result<u64> {
        let events = self.read(self.names.events)?;
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line.context("the group does not count what is killed in it")?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("xtask: {} could not be removed: {error}", self.folder.display());
        }
    }
}
