//! Proof: two folders hold the same, said by other people's programs.
//!
//! In: a folder. Out: its manifest - find's view of every entry, SHA-256 of every file, every extended attribute with the ACLs in it, who
//! shares an inode, how much is allocated - and the first lines where two manifests differ. Never: asks Holdfast.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{process, scratch::Scratch};

/// What there is to say about a folder.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    lines: Vec<Vec<u8>>,
    entries: usize,
    allocated: u64,
}

/// Blocks that filesystems need for other reasons than content: directories, extent trees.
const ALLOCATION_SLACK_BYTES: u64 = 1 << 20;

impl Manifest {
    /// Looks at everything below `folder`, the folder's own attributes included.
    pub(super) fn take(folder: &Path, scratch: &Scratch) -> Result<Self> {
        // Type, mode, owner, time to the nanosecond, size, target, name. The size of a directory is its filesystem's business.
        let directories = find(folder, &["-type", "d", "-printf", "%y %m %U:%G %T+ - %P\\0"])?;
        let others = find(folder, &["!", "-type", "d", "-printf", "%y %m %U:%G %T+ %s -> %l %P\\0"])?;
        let entries = directories.len() + others.len();
        let names = scratch.path.join("names");
        let mut lines: Vec<Vec<u8>> = directories.into_iter().chain(others).collect();
        lines.extend(
            for_each(folder, &["-type", "f"], &names, &["sha256sum", "--zero", "--"])?
                .split(|&byte| byte == 0)
                .map(<[u8]>::to_vec),
        );
        let attributes = for_each(
            folder,
            &[],
            &names,
            &["getfattr", "--no-dereference", "--dump", "--match=-", "--encoding=hex", "--"],
        )?;
        lines.extend(attributes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec));
        lines.extend(shared(folder)?);
        let blocks = find(folder, &["-type", "f", "-printf", "%b\\0"])?;
        let allocated =
            blocks.iter().filter_map(|blocks| std::str::from_utf8(blocks).ok()?.parse::<u64>().ok()).sum::<u64>() * 512;
        Ok(Self { lines, entries, allocated })
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// An error with the first differing lines, as diff shows them, or when the restored files take much more room: then holes were lost.
    pub(super) fn compare(&self, restored: &Self, scratch: &Scratch) -> Result<()> {
        let write = |name: &str, lines: &[Vec<u8>]| -> Result<PathBuf> {
            let path = scratch.path.join(name);
            fs::write(&path, lines.join(&b'\n')).with_context(|| format!("{} could not be written", path.display()))?;
            Ok(path)
        };
        let files = [write("expected", &self.lines)?, write("restored", &restored.lines)?];
        let mut command = Command::new("diff");
        command.args(["--text", "--label", "expected", "--label", "restored", "--unified=0"]).args(&files);
        let output = command.output().with_context(|| process::cannot_start(&command))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            bail!("the proof fails:\n{}", text.lines().take(40).collect::<Vec<_>>().join("\n"));
        }
        if restored.allocated > self.allocated + self.allocated / 50 + ALLOCATION_SLACK_BYTES {
            bail!(
                "the proof fails: {} bytes are allocated where there were {}; holes were filled",
                restored.allocated,
                self.allocated
            );
        }
        Ok(())
    }
}

/// What find prints, one record per entry, sorted.
fn find(folder: &Path, arguments: &[&str]) -> Result<Vec<Vec<u8>>> {
    let output = process::capture(Command::new("find").arg(".").args(arguments).current_dir(folder))?.stdout;
    let mut records: Vec<Vec<u8>> =
        output.split(|&byte| byte == 0).filter(|record| !record.is_empty()).map(<[u8]>::to_vec).collect();
    records.sort();
    Ok(records)
}

/// Runs a program over all names that find selects, in order.
fn for_each(folder: &Path, select: &[&str], names: &Path, program: &[&str]) -> Result<Vec<u8>> {
    let found = find(folder, &[select, &["-print0"]].concat())?;
    fs::write(names, found.join(&0)).with_context(|| format!("{} could not be written", names.display()))?;
    let output =
        process::capture(Command::new("xargs").args(["-0", "-r", "-a"]).arg(names).args(program).current_dir(folder))?;
    Ok(output.stdout)
}

/// One line per inode with several names; the inode's number means nothing on the other side.
fn shared(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for record in find(folder, &["!", "-type", "d", "-links", "+1", "-printf", "%i/%P\\0"])? {
        let Some(at) = record.iter().position(|&byte| byte == b'/') else { continue };
        groups.entry(record[..at].to_vec()).or_default().push(record[at + 1..].to_vec());
    }
    let mut lines: Vec<Vec<u8>> =
        groups.into_values().map(|names| [&b"one inode: "[..], &names.join(&b" = "[..])].concat()).collect();
    lines.sort();
    Ok(lines)
}
