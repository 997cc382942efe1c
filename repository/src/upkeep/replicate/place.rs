//! Place: what makes a store a replica, before the first point: markers, features, keys, `repository.json`.
//!
//! In: the two places. Out: a target that a collector takes for a replica before there is anything to collect, and that whoever could open the source can open. Never:
//! makes a replica of a place that holds anything else, overwrites, or removes a key (it has no leave to delete).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Error;
use crate::features::{PROMOTED, REPLICA, Standing};
use crate::keys::{KEY_FILE_BYTES_MAX, KEY_OBJECT_BYTES_MAX};
use crate::layout::{self, FEATURES, KEYS, NeededBy, ParsedName, REPOSITORY};

use super::super::copies::{ensure_source, features_of, manifest_of};
use super::Places;
use super::report::{CopySide, ReplicateReport};

/// What is known of both places.
pub(super) struct Found {
    manifest: Bytes,
    /// The target has its `repository.json`.
    complete: bool,
}

/// Looks whether the target is a replica of this source, or can become one.
pub(super) fn inspect(places: &Places) -> Result<Found, Error> {
    let (source, target) = (&places.source, places.target.store());
    let (manifest, _) = ensure_source(source, source.store())?;
    let there = manifest_of(source, target)?;
    if there.as_ref().is_some_and(|there| *there != manifest) {
        let what = format!("it is not the one of the source, although it names the same repository ({target:?})");
        return Err(Error::damaged(REPOSITORY, what));
    }
    let features = features_of(target)?;
    features.check(NeededBy::Collect)?;
    match features.standing() {
        Standing::Replica => {}
        Standing::Promoted => return Err(promoted()),
        Standing::Original if there.is_some() => {
            return Err(Error::Invalid(format!(
                "{target:?} holds this repository and is no replica: it is the source itself, or a copy that was made in another way; choose an empty place"
            )));
        }
        Standing::Original => ensure_empty(places)?,
    }
    Ok(Found { manifest, complete: there.is_some() })
}

pub(super) fn promoted() -> Error {
    Error::Invalid(
        "the target was promoted: it is a repository of its own and takes no more copies; make a new target".to_owned(),
    )
}

fn ensure_empty(places: &Places) -> Result<(), Error> {
    let target = places.target.store();
    let mut first = None;
    target.list_each("", &mut |listed| first = first.take().or(Some(listed.name)))?;
    // Another replicator may have begun since the features were listed.
    match first {
        Some(name) if !target.exists(&layout::feature(REPLICA, NeededBy::Collect))? => Err(Error::Invalid(format!(
            "{target:?} is not empty and holds no replica (there is {name:?}); choose an empty place"
        ))),
        _ => Ok(()),
    }
}

/// The marker first, so that no collector ever takes the target for an original; `repository.json` after the keys that open it.
pub(super) fn prepare(places: &Places, found: &Found, report: &mut ReplicateReport) -> Result<(), Error> {
    let target = places.target.store();
    let there: Vec<String> = target.list(FEATURES)?.into_iter().map(|listed| listed.name).collect();
    let marker = layout::feature(REPLICA, NeededBy::Collect);
    if !there.contains(&marker) {
        target.put(&marker, Bytes::new())?;
    }
    for listed in places.source.store().list(FEATURES)? {
        if !there.contains(&listed.name) && is_copied(&listed.name) {
            target.put(&listed.name, Bytes::new())?;
        }
    }
    copy_keys(places, KEYS, KEY_FILE_BYTES_MAX, report)?;
    if !found.complete {
        if manifest_of(&places.source, places.source.store())?.as_ref() != Some(&found.manifest) {
            return Err(Error::damaged(REPOSITORY, "it does not read the same twice at the source"));
        }
        target.put(REPOSITORY, found.manifest.clone())?;
    }
    Ok(())
}

/// What a place is to its copies is its own affair.
fn is_copied(feature: &str) -> bool {
    let own = [REPLICA, PROMOTED].map(|name| layout::feature(name, NeededBy::Collect));
    !own.iter().any(|own| own == feature)
}

/// Keys of the domain; a set that the source cannot open is damage, and does not spread.
pub(super) fn copy_domain_keys(places: &Places, report: &mut ReplicateReport) -> Result<(), Error> {
    copy_keys(places, &layout::domain_keys(places.source.id()), KEY_OBJECT_BYTES_MAX, report)
}

fn copy_keys(places: &Places, below: &str, bytes_max: u64, report: &mut ReplicateReport) -> Result<(), Error> {
    let keys = |domain: &crate::domain::Domain| -> Result<BTreeMap<String, u64>, Error> {
        let listed = domain.store().list(below)?.into_iter();
        Ok(listed.filter(|listed| is_key(&listed.name)).map(|listed| (listed.name, listed.size)).collect())
    };
    let (source, target) = (keys(&places.source)?, keys(&places.target)?);
    for (name, size) in &source {
        let unreadable = places.source.unreadable_keys().iter().find(|key| key.object == *name);
        match (target.get(name), unreadable) {
            (Some(there), _) if there != size => {
                report.damage(CopySide::Target, name, format!("it has {there} bytes where the source has {size}"));
            }
            (Some(_), _) => {}
            (None, Some(key)) => report.damage(CopySide::Source, name, key.why.clone()),
            (None, None) => {
                let read = || places.source.store().get_at_most(name, bytes_max);
                let (bytes, again) = match (read(), read()) {
                    // Destroyed since it was listed: no point that is valid needs it.
                    (Err(error), _) | (_, Err(error)) if error.is_not_found() => continue,
                    (bytes, again) => (bytes?, again?),
                };
                // Nobody here can open it, so this is all that can be known of what it lost on the way.
                if bytes != again {
                    return Err(Error::damaged(
                        name,
                        "it does not read the same twice at the source; nothing that needs it was copied",
                    ));
                }
                places.target.store().put(name, bytes)?;
                report.copied.keys += 1;
            }
        }
    }
    report.keys_left.extend(target.into_keys().filter(|name| !source.contains_key(name)));
    Ok(())
}

fn is_key(name: &str) -> bool {
    matches!(ParsedName::parse(name), Ok(ParsedName::RecipientKey(_) | ParsedName::DomainKey { .. }))
}
