//! Edges: which crate may know which.
//!
//! In: the crates and what they depend on. Out: a finding per arrow that the design does not allow. Never: judges crates that are not ours.

use std::path::Path;

use super::Finding;
use crate::workspace::Package;

/// Every crate and the crates it may depend on, in any kind of dependency. `tests` crosses crates, `xtask` stands outside.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("repository", &["model"]),
    ("proto", &["model"]),
    ("service", &["model"]),
    ("volume", &["model", "repository"]),
    ("controller", &["model", "repository", "proto", "service"]),
    ("agent", &["model", "repository", "proto", "service", "volume"]),
    ("cli", &["model", "repository", "proto", "service", "volume"]),
    ("tests", &["model", "repository", "proto", "service", "volume", "controller", "agent", "cli"]),
    ("xtask", &[]),
];

/// Checks all crates.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(package_findings).collect()
}

fn package_findings(package: &Package) -> Vec<Finding> {
    let manifest = Path::new(&package.name).join("Cargo.toml");
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        let rule = format!("crate {} is not in the table of crates", package.name);
        return vec![Finding::new(&manifest, 0, rule, "add it to xtask/src/tidy/edges.rs and to docs/architecture.md")];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let forbidden = ours.filter(|dependency| !allowed.contains(&dependency.name.as_str()));
    let finding = |name: &str| {
        let rule = format!("{} must not depend on {name}", package.name);
        let may = if allowed.is_empty() { "no crate of ours".to_owned() } else { allowed.join(", ") };
        Finding::new(&manifest, 0, rule, format!("it may know {may}; turn the arrow round or move the code"))
    };
    forbidden.map(|dependency| finding(&dependency.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, ours: &[&str]) -> Package {
        let ours = ours.iter().map(|name| Dependency { name: (*name).to_owned(), path: Some(name.into()) });
        let foreign = [Dependency { name: "serde".to_owned(), path: None }];
        Package { name: name.to_owned(), dependencies: ours.chain(foreign).collect(), targets: Vec::new() }
    }

    fn findings(name: &str, ours: &[&str]) -> Vec<String> {
        package_findings(&package(name, ours)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_of_the_design_pass() {
        assert!(findings("model", &[]).is_empty());
        assert!(findings("cli", &["model", "repository", "volume"]).is_empty());
    }

    #[test]
    fn an_arrow_backwards_is_found() {
        let found = findings("repository", &["model", "volume"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("repository/Cargo.toml: repository must not depend on volume; it may know model"),
            "{found:?}"
        );
    }

    #[test]
    fn siblings_never_meet() {
        assert_eq!(findings("agent", &["controller"]).len(), 1);
        assert_eq!(findings("controller", &["agent", "volume"]).len(), 2);
    }

    #[test]
    fn a_crate_nobody_placed_is_found() {
        assert_eq!(findings("sidecar", &["model"]).len(), 1);
    }
}
