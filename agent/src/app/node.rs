//! Node: which volumes a command is about.
//!
//! In: the kubelet's root, and what is allowed outside it. Out: what discovery needs. Never: opens a volume.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::discovery::allowed::Prefixes;
use crate::discovery::listing::Limits;
use crate::discovery::watch::look_once;
use crate::discovery::{Outside, Snapshot};

/// Where volumes are.
#[derive(Debug, Args)]
pub(super) struct Node {
    /// The kubelet's root directory, as its --root-dir says
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub(super) kubelet_root: PathBuf,
    /// What may be taken outside it, once per directory
    #[arg(long, value_name = "PREFIX")]
    allow: Vec<PathBuf>,
    /// A host path that somebody asks for; it must be below an allowed prefix
    #[arg(long, value_name = "PATH")]
    host_path: Vec<PathBuf>,
    /// This agent may open raw block devices
    #[arg(long)]
    raw_block: bool,
}

impl Node {
    /// What the command line adds to what is found.
    pub(super) fn outside(&self) -> Result<Outside, Failure> {
        let prefixes = Prefixes::new(&std::path::absolute(&self.kubelet_root)?, &self.allow)?;
        let paths = self.host_path.iter().map(|path| prefixes.admit(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Outside { paths, raw_block: self.raw_block, ..Outside::default() })
    }

    /// Everything that is there now.
    pub(super) fn look(&self) -> Result<Snapshot, Failure> {
        Ok(look_once(&self.kubelet_root, &Limits::default(), &self.outside()?))
    }
}
