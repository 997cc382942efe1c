//! Links: what a document points to in the project is there.
//!
//! In: a Markdown file and the names of all files. Out: a finding per link to nothing. Never: looks at the network.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Source};

/// Checks one file.
pub(super) fn check(source: &Source, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    if source.file.extension().is_none_or(|extension| extension != "md") {
        return Vec::new();
    }
    let folder = source.file.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let dead = targets(line).filter(|target| !inside(folder, target).is_some_and(|path| exists(&path)));
        findings.extend(dead.map(|target| {
            let next = "write what it should lead to, or correct the link";
            Finding::new(&source.file, index + 1, format!("links to {target}, which is not there"), next)
        }));
    }
    findings
}

/// The targets of `[text](target)` that are files, without their anchors.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let all = line.match_indices("](").filter_map(|(at, opening)| line[at + opening.len()..].split(')').next());
    let files = all.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| {
        !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' ')
    })
}

/// The path below the root; `None` for one that leaves the project.
fn inside(folder: &Path, target: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir if !path.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(text: &str) -> usize {
        let exists = |path: &Path| [Path::new("docs/a.md"), Path::new("README.md")].contains(&path);
        check(&Source { file: "docs/x.md".into(), text: text.to_owned() }, &exists).len()
    }

    #[test]
    fn links_inside_the_project_must_lead_somewhere() {
        assert_eq!(dead("[a](a.md), [b](a.md#part) and [readme](../README.md)"), 0);
        assert_eq!(dead("[a](b.md) and [c](../docs/c.md)"), 2);
        assert_eq!(dead("[out](../../elsewhere.md)"), 1);
    }

    #[test]
    fn other_links_are_left_alone() {
        assert_eq!(dead("[a](https://example.org/b.md), [c](#here), `x](y z)`"), 0);
    }
}
