//! Confining: a process that works on one volume can do little else, whatever is wrong with our own code.
//!
//! In: what it may read and write, how much memory it gets. Out: the same process without the rest, and what the kernel could not do of it. Never: undone; and what
//! the kernel lacks is told, not passed over.
//!
//! Called before there is a second thread: what a thread gives up, only threads that it starts later lack too.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};
use model::ErrorClass;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use crate::sys::process;

/// Capabilities by their numbers in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Give files to others.
    Chown = 0,
    /// Pass over permissions.
    DacOverride = 1,
    /// Pass over permissions for reading.
    DacReadSearch = 2,
    /// What only owners may; without it the access time of other people's files cannot be left alone.
    Fowner = 3,
    /// Keep set-user-id bits.
    Fsetid = 4,
    /// Attributes `trusted.*`, and a mount of one's own.
    SysAdmin = 21,
    /// Make device nodes.
    Mknod = 27,
    /// Ask who writes to a file of somebody else.
    Lease = 28,
    /// Give files capabilities.
    Setfcap = 31,
}

/// What reading a volume takes.
pub const FOR_BACKUP: &[Capability] =
    &[Capability::DacReadSearch, Capability::Fowner, Capability::SysAdmin, Capability::Lease];

/// What every program needs that talks to a store: names of hosts, certificates, libraries that are loaded late.
const SYSTEM_FILES: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/proc/sys/kernel/random",
    "/proc/pressure",
];
/// The newest interface that is asked for; an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V5;

/// What a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// May be read, with everything below.
    pub readable: Vec<PathBuf>,
    /// May be read and written, with everything below.
    pub writable: Vec<PathBuf>,
    /// What it may do beyond what files' permissions say.
    pub capabilities: Vec<Capability>,
    /// Private memory that it may allocate, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Files that it may have open.
    pub files_max: u64,
}

/// What the kernel could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// What is missing of the sandbox, and why; empty if nothing is.
    pub missing: Vec<String>,
}

/// Why a process could not be confined. It must not go on.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A system call failed.
    #[error("this process cannot {what}: {}; it does not go on without", .errno.desc())]
    System {
        /// What it was to do.
        what: &'static str,
        /// The kernel's reason.
        errno: Errno,
    },
    /// What it was to keep cannot be opened.
    #[error("{} cannot be opened: {why}", .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// The kernel's reason.
        why: String,
    },
    /// The sandbox could not be made.
    #[error("the sandbox could not be made: {0}")]
    Sandbox(#[from] RulesetError),
}

impl ConfineError {
    /// What the caller should do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            ConfineError::System { .. } | ConfineError::Sandbox(_) => ErrorClass::Denied,
            ConfineError::Path { .. } => ErrorClass::Retry,
        }
    }
}

/// Ends with the process that started it, leaves no core, works when nobody else wants to.
pub fn step_back() -> Result<(), ConfineError> {
    let system = |what| move |errno| ConfineError::System { what, errno };
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("ask to end with its supervisor"))?;
    prctl::set_dumpable(false).map_err(system("hide its memory"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(system("forbid core files"))?;
    process::become_idle().map_err(system("take the lowest priority"))
}

/// Gives up everything but what the confinement names.
pub fn confine(keep: &Confinement) -> Result<Confined, ConfineError> {
    let system = |what| move |errno| ConfineError::System { what, errno };
    if let Some(bytes) = keep.memory_bytes_max {
        setrlimit(Resource::RLIMIT_DATA, bytes, bytes).map_err(system("limit its memory"))?;
    }
    setrlimit(Resource::RLIMIT_NOFILE, keep.files_max, keep.files_max).map_err(system("limit its open files"))?;
    let wanted = keep.capabilities.iter().fold(0, |bits, capability| bits | 1 << (*capability as u64));
    process::keep_capabilities(wanted).map_err(system("drop capabilities"))?;
    let mut missing = Vec::new();
    match sandbox(keep)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            missing.push("Landlock: this kernel knows only a part of what was asked for".to_owned());
        }
        RulesetStatus::NotEnforced => {
            missing.push("Landlock: this kernel does not have it, or it is switched off (CONFIG_LSM)".to_owned());
        }
    }
    Ok(Confined { missing })
}

fn sandbox(keep: &Confinement) -> Result<RulesetStatus, ConfineError> {
    let all = AccessFs::from_all(LANDLOCK);
    let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::IoctlDev;
    let mut rules = Ruleset::default().handle_access(all)?.create()?;
    for path in SYSTEM_FILES {
        // What this system does not have, nobody can read.
        if let Ok(opened) = PathFd::new(path) {
            rules = allow(rules, opened, Path::new(path), read | AccessFs::Execute)?;
        }
    }
    for (paths, access) in [(&keep.readable, read), (&keep.writable, all)] {
        for path in paths {
            let opened =
                PathFd::new(path).map_err(|error| ConfineError::Path { path: path.clone(), why: error.to_string() })?;
            rules = allow(rules, opened, path, access)?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// A rule for a file may only name what can be done to a file.
fn allow(
    rules: RulesetCreated,
    opened: PathFd,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
    rules.add_rule(PathBeneath::new(opened, access))
}

#[cfg(test)]
mod tests;
