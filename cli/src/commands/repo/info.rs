//! `repo info`: what a repository is and how much is in it.
//!
//! In: an open repository and a list of its objects. Out: id, features, counts and sizes, and who can open it. Never: reads a restore point.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use model::DomainId;
use repository::keys::{RecipientEntry, list_recipients};
use repository::layout::ParsedName;
use repository::store::Listed;
use serde::Serialize;

use crate::commands::keys::{KeyRow, key_row};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opening::Context;
use crate::quantity::{bytes_text, count_text};

#[derive(Serialize)]
struct Info {
    repository: String,
    location: String,
    format: u64,
    created: String,
    domains: Vec<DomainInfo>,
    volumes: u64,
    points: u64,
    packs: u64,
    objects: u64,
    bytes: u64,
    features: Vec<String>,
    keys: Vec<KeyRow>,
}

/// What one domain holds. Its name is not stored in the clear: only the one that this run was given is known.
#[derive(Default, Serialize)]
struct DomainInfo {
    domain: String,
    name: Option<String>,
    volumes: u64,
    points: u64,
    packs: u64,
    pack_bytes: u64,
}

/// Describes the repository.
pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let keys = list_recipients(&opened.store)?;
    let listed = opened.store.list("")?;
    let named = match opened.repository.domain(&opened.store, context.settings.one_domain()) {
        Ok(access) => Some((access.id(), context.settings.one_domain())),
        Err(error) if error.class() == model::ErrorClass::Missing => None,
        Err(error) => return Err(error.into()),
    };
    let domains = domains(&listed, named);
    let manifest = &opened.repository.manifest;
    let sum = |count: fn(&DomainInfo) -> u64| domains.iter().map(count).sum();
    let info = Info {
        repository: manifest.repository.to_string(),
        location: context.location()?.to_string(),
        format: repository::keys::REPOSITORY_VERSION,
        created: manifest.created.clone(),
        volumes: sum(|domain| domain.volumes),
        points: sum(|domain| domain.points),
        packs: sum(|domain| domain.packs),
        objects: listed.len() as u64,
        bytes: listed.iter().map(|object| object.size).sum(),
        features: features(&listed),
        keys: keys.iter().map(|entry: &RecipientEntry| key_row(entry)).collect(),
        domains,
    };
    context.output.value(&info, |out| text(out, &info))?;
    Ok(Exit::Done)
}

fn features(listed: &[Listed]) -> Vec<String> {
    let name = |object: &Listed| object.name.strip_prefix("features/").map(str::to_owned);
    listed.iter().filter_map(name).collect()
}

/// Counts by domain, from names alone.
fn domains(listed: &[Listed], named: Option<(DomainId, &str)>) -> Vec<DomainInfo> {
    let mut domains: BTreeMap<DomainId, DomainInfo> = BTreeMap::new();
    let mut volumes = BTreeSet::new();
    for object in listed {
        match ParsedName::parse(&object.name) {
            Ok(ParsedName::DomainKey { domain, .. }) => {
                domains.entry(domain).or_default();
            }
            Ok(ParsedName::Pack { domain, .. }) => {
                let info = domains.entry(domain).or_default();
                info.packs += 1;
                info.pack_bytes += object.size;
            }
            Ok(ParsedName::Point { domain, volume, .. }) => {
                let info = domains.entry(domain).or_default();
                info.points += 1;
                info.volumes += u64::from(volumes.insert((domain, volume)));
            }
            _ => {}
        }
    }
    let name = |id| named.filter(|(known, _)| *known == id).map(|(_, name)| name.to_owned());
    domains.into_iter().map(|(id, info)| DomainInfo { domain: id.to_string(), name: name(id), ..info }).collect()
}

fn text(out: &mut dyn Write, info: &Info) -> io::Result<()> {
    writeln!(out, "repository {} (format {}), made {}", info.repository, info.format, info.created)?;
    writeln!(
        out,
        "at {}: {} in {}",
        info.location,
        bytes_text(info.bytes),
        count_text(info.objects, "object", "objects")
    )?;
    for domain in &info.domains {
        writeln!(
            out,
            "domain {}: {}, {}, {} with {}",
            domain.name.as_deref().unwrap_or(&domain.domain),
            count_text(domain.volumes, "volume", "volumes"),
            count_text(domain.points, "restore point", "restore points"),
            count_text(domain.packs, "pack", "packs"),
            bytes_text(domain.pack_bytes),
        )?;
    }
    for feature in &info.features {
        writeln!(out, "feature {feature}")?;
    }
    for key in &info.keys {
        writeln!(out, "key {}: {}", key.key, key.description())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_from_names_alone() {
        let domain = DomainId([1; 16]);
        let volume = model::VolumeId([2; 16]);
        let object = |name: String| Listed { name, size: 10, modified_ms: 0 };
        let session = |n: u8| model::SessionId([n; 16]);
        let listed = [
            object(repository::layout::pack(domain, session(1), 0)),
            object(repository::layout::pack(domain, session(1), 1)),
            object(repository::layout::point(domain, volume, session(1))),
            object(repository::layout::point(domain, volume, session(2))),
            object("d/rubbish".to_owned()),
        ];
        let found = domains(&listed, Some((domain, "default")));
        assert_eq!(found.len(), 1);
        let info = &found[0];
        assert_eq!((info.volumes, info.points, info.packs, info.pack_bytes), (1, 2, 2, 20));
        assert_eq!(info.name.as_deref(), Some("default"));
    }
}
