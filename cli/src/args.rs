//! Arguments: the command line as types (docs/cli.md is the contract; scripts rely on it).
//!
//! In: words. Out: [`Arguments`], or clap's usage error. Never: reads the environment ([`crate::settings`] does), or opens anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    backup, cat, check, completion, diff, domain, find, forget, gc, keys, ls, points, repair, replicate, repo, restore,
    scrub, undelete,
};
use crate::quantity::parse_bytes;

/// Backs up directories, files and block devices: deduplicated, compressed and encrypted, to object storage.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
POINT is the id of a restore point, an unambiguous beginning of one, or `latest`.
Exit codes: 0 done, 1 failed, 2 usage, 3 done in part, 4 busy or ended by another, 5 denied or wrong key, 6 not found, 8 damage found.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the repository is: file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix [env: HOLDFAST_REPOSITORY]
    #[arg(short, long, global = true, value_name = "URL")]
    pub(crate) repository: Option<String>,
    /// A file whose only line is the passphrase [env: HOLDFAST_PASSPHRASE_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "identity_file")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A file with an age identity, as age-keygen writes it [env: HOLDFAST_IDENTITY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity_file: Option<PathBuf>,
    /// A key that `keys export` wrote, for a repository that has lost its own
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) exported_key: Option<PathBuf>,
    /// What may be kept on this machine: ids of repositories, caches [env: HOLDFAST_CACHE_DIR] [default: ~/.cache/holdfast]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Memory that the work may take, at least 32MiB [env: HOLDFAST_MEMORY_BUDGET] [default: 128MiB]
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory_budget: Option<u64>,
    /// Bytes a second sent and received together, at most
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) bandwidth_limit: Option<u64>,
    /// The domain: what has keys and deduplication of its own [default: default; for replicate: every domain]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// How results are printed; json: exactly one value on standard output
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
    /// Say more; twice: much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one value.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a repository, or describe one
    #[command(subcommand)]
    Repo(repo::Command),
    /// Who can open the repository
    #[command(subcommand)]
    Keys(keys::Command),
    /// What has keys and deduplication of its own
    #[command(subcommand)]
    Domain(domain::Command),
    /// Back up a directory, a regular file or a block device
    Backup(backup::Options),
    /// List restore points, oldest first
    Points(points::Options),
    /// List what is in a restore point
    Ls(ls::Options),
    /// Print a file of a restore point
    Cat(cat::Options),
    /// Find files by name in all restore points
    Find(find::Options),
    /// Compare two restore points
    Diff(diff::Options),
    /// Restore a restore point, or a part of it
    Restore(restore::Options),
    /// Verify the repository
    Check(check::Options),
    /// Verify a share of the repository, each time the next
    Scrub(scrub::Options),
    /// Bring back from another copy what is damaged or missing
    Repair(repair::Options),
    /// Hide restore points, by name or by what shall stay; `gc` removes them after the grace period
    Forget(forget::Options),
    /// Show a restore point again that was forgotten
    Undelete(undelete::Options),
    /// Remove what no restore point needs
    Gc(gc::Options),
    /// Copy restore points into another store, which becomes a replica
    Replicate(replicate::Options),
    /// Make a replica a repository of its own, for good
    Promote,
    /// Print a completion script for a shell
    Completion(completion::Options),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [["holdfast", "-o", "json", "points"], ["holdfast", "points", "-o", "json"]] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.global.output, Format::Json, "{line:?}");
        }
    }

    #[test]
    fn a_passphrase_and_an_identity_at_once_are_a_usage_error() {
        let line = ["holdfast", "points", "--passphrase-file", "a", "--identity-file", "b"];
        assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2);
    }
}
