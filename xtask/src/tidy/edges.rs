//! Edges: which crate may know which, and which may not be there at all.
//!
//! In: the crates, what they depend on, and the bans of `deny.toml`. Out: a finding per arrow that the design does not allow and per banned
//! crate that is built. Never: judges licences and sources; that is cargo-deny's work.

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

/// Banned crates that are built although `deny.toml` forbids them.
pub(super) fn check_bans(deny: &str, built: &[String]) -> Vec<Finding> {
    let present = bans(deny).filter(|(name, _)| built.iter().any(|built| built == name));
    let finding = |(name, reason): (&str, &str)| {
        let next = format!("find who wants it with `cargo tree --invert {name}` and switch that feature off");
        Finding::new(Path::new("Cargo.lock"), 0, format!("{name} is built but banned ({reason})"), next)
    };
    present.map(finding).collect()
}

/// The lines `{ crate = "name", reason = "why" }`.
fn bans(deny: &str) -> impl Iterator<Item = (&str, &str)> {
    deny.lines().filter_map(|line| {
        let (name, rest) = line.trim().strip_prefix("{ crate = \"")?.split_once('"')?;
        let reason = rest.split_once("reason = \"")?.1.split('"').next()?;
        Some((name, reason))
    })
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
    fn a_banned_crate_is_found_with_its_reason() {
        let deny = "deny = [\n    { crate = \"ring\", reason = \"one provider\" },\n    { crate = \"x\", reason = \"y\" },\n]\n";
        let found: Vec<String> =
            check_bans(deny, &["ring-like".to_owned(), "ring".to_owned()]).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("ring is built but banned (one provider)"), "{found:?}");
    }

    #[test]
    fn our_own_bans_are_readable() {
        let names: Vec<&str> = bans(include_str!("../../../deny.toml")).map(|(name, _)| name).collect();
        assert!(["openssl-sys", "native-tls", "ring"].iter().all(|name| names.contains(name)), "{names:?}");
    }

    #[test]
    fn a_crate_nobody_placed_is_found() {
        assert_eq!(findings("sidecar", &["model"]).len(), 1);
    }
}
