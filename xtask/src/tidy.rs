//! Tidy: the rules of the project that the compiler does not know.
//!
//! In: the files that git knows or would take, and cargo's view of the crates. Out: one `Finding` per broken rule, each with the file, the
//! rule and the next step. Never: changes a file.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

mod edges;
mod links;
mod modules;
mod text;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Where, below the root.
    pub(crate) file: PathBuf,
    /// The line, from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    /// The rule.
    pub(crate) rule: String,
    /// What to do.
    pub(crate) next: String,
}

impl Finding {
    fn new(file: &Path, line: usize, rule: impl Into<String>, next: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule: rule.into(), next: next.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}; {}", self.rule, self.next)
    }
}

/// No file that people edit needs more.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file as tidy reads it.
pub(crate) struct Source {
    /// Below the root.
    pub(crate) file: PathBuf,
    /// Its content, where it is text.
    pub(crate) text: String,
}

/// Checks everything and prints what it found; any finding is a failure.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    for file in files {
        match read(workspace, &file)? {
            Ok(Some(text)) => sources.push(Source { file, text }),
            Ok(None) => {}
            Err(finding) => findings.push(finding),
        }
    }
    let packages = workspace.packages()?;
    let roots: Vec<PathBuf> = packages
        .iter()
        .flat_map(|package| &package.targets)
        .map(|target| workspace.relative(&target.src_path).to_owned())
        .collect();
    findings.extend(edges::check(&packages));
    if let Some(deny) = sources.iter().find(|source| source.file == Path::new("deny.toml")) {
        findings.extend(edges::check_bans(&deny.text, &workspace.built_crates()?));
    }
    findings.extend(modules::check(&sources, &roots));
    findings.extend(sources.iter().flat_map(text::check));
    let exists = |path: &Path| workspace.root.join(path).exists();
    findings.extend(sources.iter().flat_map(|source| links::check(source, &exists)));
    findings.extend(crate::bench::stale_document(workspace)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, {} crates, nothing found", sources.len(), packages.len());
        return Ok(());
    }
    bail!("tidy found {}; each line above says what to do", findings.len())
}

/// The text of a file; `None` for one that is not text.
fn read(workspace: &Workspace, file: &Path) -> Result<Result<Option<String>, Finding>> {
    let path = workspace.root.join(file);
    let size = fs::metadata(&path).with_context(|| format!("{} could not be read", path.display()))?.len();
    if size > FILE_BYTES_MAX {
        let rule = format!("is {size} bytes, more than {FILE_BYTES_MAX}");
        return Ok(Err(Finding::new(file, 0, rule, "generate it in a test or a build, or make it smaller")));
    }
    let bytes = fs::read(&path).with_context(|| format!("{} could not be read", path.display()))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Ok(Some(text))),
        Err(_) if file.extension().is_some_and(|extension| extension == "rs") => {
            Ok(Err(Finding::new(file, 0, "is not UTF-8", "save it as UTF-8")))
        }
        Err(_) => Ok(Ok(None)),
    }
}
