//! Modules: every Rust file says what it is, is reachable, and has a name that means something.
//!
//! In: the Rust files and the files that cargo starts from. Out: findings. Never: expands macros; a module that only a macro declares is
//! reported as dead, and so is one declared inside an inline module.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{Finding, Source};

/// Names that say nothing about what is inside.
const BANNED: [&str; 9] = ["util", "utils", "helper", "helpers", "common", "manager", "misc", "holdfast", "stuff"];

/// Checks all Rust files; `roots` are the targets that cargo builds, below the workspace's root.
pub(super) fn check(sources: &[Source], roots: &[PathBuf]) -> Vec<Finding> {
    let rust: Vec<&Source> =
        sources.iter().filter(|source| source.file.extension().is_some_and(|extension| extension == "rs")).collect();
    // A crate of its own, such as the fuzz targets: cargo does not list it with ours, so its files are its own roots.
    let outside = |source: &&&Source| source.file.starts_with("fuzz");
    let mut findings: Vec<Finding> =
        rust.iter().flat_map(|source| head(source).into_iter().chain(name(&source.file))).collect();
    let by_file: BTreeMap<&Path, &str> =
        rust.iter().map(|source| (source.file.as_path(), source.text.as_str())).collect();
    let alive = reachable(&by_file, roots);
    for source in rust.iter().filter(|source| !outside(source) && !alive.contains(&source.file)) {
        let next = "declare it with `mod` in the file above it, or delete it";
        findings.push(Finding::new(&source.file, 0, "is reached by no `mod` and is no target", next));
    }
    findings
}

fn head(source: &Source) -> Option<Finding> {
    let mut lines = source.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    let opens = lines.next().is_some_and(|line| line.starts_with("//! ") && line.len() > "//! ".len());
    let next = "open it with `//!`: what comes in, what goes out, what it never does";
    (!opens).then(|| Finding::new(&source.file, 1, "does not say what it is", next))
}

fn name(file: &Path) -> Option<Finding> {
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        return Some(Finding::new(file, 0, "is called mod.rs", "call it after its module: `foo.rs` beside `foo/`"));
    }
    let words = file.components().filter_map(|component| Path::new(component.as_os_str()).file_stem()?.to_str());
    let banned = words.into_iter().find(|word| BANNED.contains(word))?;
    Some(Finding::new(
        file,
        0,
        format!("is called {banned}, which says nothing"),
        "name it after the one thing it is about",
    ))
}

/// Every file that a `mod` leads to from a target.
fn reachable(files: &BTreeMap<&Path, &str>, roots: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut alive = BTreeSet::new();
    let mut queue: Vec<(PathBuf, bool)> = roots.iter().map(|root| (root.clone(), true)).collect();
    while let Some((file, is_root)) = queue.pop() {
        let Some(text) = files.get(file.as_path()) else { continue };
        if !alive.insert(file.clone()) {
            continue;
        }
        let beside = file.parent().unwrap_or(Path::new("")).to_owned();
        let below = if is_root { beside.clone() } else { file.with_extension("") };
        for Declaration { name, path } in declarations(text) {
            let children = match path {
                Some(path) => vec![normal(&beside.join(path))],
                None => vec![below.join(format!("{name}.rs")), below.join(&name).join("mod.rs")],
            };
            queue.extend(children.into_iter().map(|child| (child, false)));
        }
        queue.extend(included(text).map(|path| (normal(&beside.join(path)), false)));
    }
    alive
}

/// Takes `a/../b` to `b`.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    name: String,
    path: Option<String>,
}

/// The `mod name;` lines with their `#[path]`.
fn declarations(text: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let mut path = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.split('"').next().map(str::to_owned);
        } else if let Some(name) = declared(line) {
            found.push(Declaration { name, path: path.take() });
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            path = None;
        }
    }
    found
}

fn declared(line: &str) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default().trim();
    let code = code.rsplit_once(']').map_or(code, |(_, rest)| rest).trim();
    let name = code.strip_suffix(';')?;
    let name = match name.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => name,
    };
    let name = name.trim().strip_prefix("mod ")?.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '#');
    is_name.then(|| name.trim_start_matches("r#").to_owned())
}

fn included(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("include!(\"").filter_map(|(at, opening)| text[at + opening.len()..].split('"').next())
}

#[cfg(test)]
mod tests;
