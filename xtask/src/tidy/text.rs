//! Text: what may not be written in a file.
//!
//! In: one file. Out: a finding per line. Never: understands the language; what it looks for is the same in code, prose and configuration.

use std::path::Path;

use super::{Finding, Source};

/// Hosts of package registries: which mirror a machine uses is the machine's business. Written in two parts, so that this file passes.
const REGISTRY_HOSTS: [&str; 9] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("proxy.", "golang.org"),
    concat!("sum.", "golang.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("deb.", "debian.org"),
    concat!("rubygems", ".org"),
];

/// Where people's checkouts and homes are.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:", "\\Users"),
];

/// The one source that a lock file may name.
const LOCK_SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let file = source.file.as_path();
    if file.file_name().is_some_and(|name| name == "Cargo.lock") {
        return lock(file, &source.text);
    }
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        findings.extend(words(line).map(|(rule, next)| Finding::new(file, index + 1, rule, next)));
        if is_rust {
            findings.extend(leftover(line).map(|(rule, next)| Finding::new(file, index + 1, rule, next)));
        }
    }
    findings
}

type Broken = (String, &'static str);

fn words(line: &str) -> Option<Broken> {
    if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(**host)) {
        return Some((format!("names the package registry {host}"), "leave it to the configuration of the machine"));
    }
    let path = MACHINE_PATHS.iter().find(|path| contains_path(line, path))?;
    Some((
        format!("names a path of some machine below {path}"),
        "use a path below the checkout, a temporary folder or a variable",
    ))
}

/// Whether `path` occurs as the start of an absolute path, and not as a part of `docs/work/x`.
fn contains_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let inside = before.is_some_and(|c| c.is_alphanumeric() || "._-}*~".contains(c));
        !inside
    })
}

fn leftover(line: &str) -> Option<Broken> {
    let code = line.split("//").next().unwrap_or_default();
    let macros = [concat!("to", "do!("), concat!("db", "g!("), concat!("unimple", "mented!(")];
    if let Some(name) = macros.iter().find(|name| code.contains(**name)) {
        return Some((format!("contains {name}"), "finish it, or return an error that says what is not supported"));
    }
    let comment = line.split_once("//").map(|(_, comment)| comment).unwrap_or_default();
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let note = notes.iter().find(|note| comment.split(|c: char| !c.is_alphanumeric()).any(|word| word == **note))?;
    Some((format!("contains a note {note}"), "do it now or open an issue"))
}

fn lock(file: &Path, text: &str) -> Vec<Finding> {
    let foreign = text.lines().enumerate().filter(|(_, line)| line.starts_with("source = ") && *line != LOCK_SOURCE);
    foreign
        .map(|(index, line)| {
            Finding::new(
                file,
                index + 1,
                format!("takes a dependency from elsewhere: {line}"),
                "use a release from the default registry",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, text: &str) -> Vec<String> {
        check(&Source { file: file.into(), text: text.to_owned() }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn registry_hosts_are_found_in_any_file() {
        let found = findings("docs/x.md", &format!("fine\nsee {}/simple\n", REGISTRY_HOSTS[2]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("docs/x.md:2: names the package registry"), "{found:?}");
    }

    #[test]
    fn machine_paths_are_found_and_relative_ones_are_not() {
        for path in MACHINE_PATHS {
            assert_eq!(findings("a.sh", &format!("cd \"{path}someone\"")).len(), 1, "{path}");
        }
        assert!(findings("a.md", "see docs/work/plan.md and ~/root/x and tests/home/data").is_empty());
        assert!(findings("a.md", "file:///var/backup, /tmp/x, /proc/self").is_empty());
    }

    #[test]
    fn unfinished_code_is_found_in_rust_only() {
        let unfinished = format!("    {}\"later\")", concat!("to", "do!("));
        assert_eq!(findings("a.rs", &unfinished).len(), 1);
        assert!(findings("a.md", &unfinished).is_empty());
        assert!(findings("a.rs", &format!("// never {}x)", concat!("db", "g!("))).is_empty());
    }

    #[test]
    fn notes_in_comments_are_found_and_words_that_contain_them_are_not() {
        assert_eq!(findings("a.rs", concat!("let x = 1; // TO", "DO: later")).len(), 1);
        assert!(findings("a.rs", "let x = \"TODO\"; // a METHODOLOGY").is_empty());
    }

    #[test]
    fn a_lock_file_names_the_default_registry_only() {
        let good = format!("name = \"a\"\n{LOCK_SOURCE}\n");
        assert!(findings("Cargo.lock", &good).is_empty());
        assert_eq!(findings("fuzz/Cargo.lock", &format!("{good}source = \"git+https://example.org/b\"\n")).len(), 1);
    }
}
