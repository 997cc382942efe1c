//! Verify: what the bytes of a whole pack are worth.
//!
//! In: a pack's bytes, its name, what metadata remembers of it, the keys at hand. Out: a verdict, blob by blob. Never: asks the store, or takes a key that is not at
//! hand for damage: then the ciphertext is tested by the checksums of the directory, which needs the structure key alone.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{PackIndex, footer_of, slice};
use crate::Error;
use crate::domain::Domain;
use crate::pack::{Directory, PackSummary};
use crate::seal::{BlobKind, ObjectKind, Opener};
use crate::tree::PackId;

/// What the bytes of a pack are worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackVerdict {
    /// Nothing of it can be used, and why.
    pub(crate) unusable: Option<String>,
    /// Blobs that are not what was written.
    pub(crate) blobs: BTreeMap<u32, String>,
    /// Why some blobs were tested by their checksums alone: a key is not at hand.
    pub(crate) ciphertext_only: Option<String>,
}

impl PackVerdict {
    /// True if nothing is wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.unusable.is_none() && self.blobs.is_empty()
    }

    /// True if nothing is wrong and nothing is untested: these bytes can only be those that were written.
    pub(crate) fn is_proven(&self) -> bool {
        self.is_good() && self.ciphertext_only.is_none()
    }

    /// All that is wrong, in one line.
    pub(crate) fn what(&self) -> String {
        let all: Vec<&str> = self.unusable.iter().chain(self.blobs.values()).map(String::as_str).collect();
        all.join("; ")
    }

    /// Nothing of the pack can be used.
    pub(crate) fn unusable(what: impl Into<String>) -> PackVerdict {
        PackVerdict { unusable: Some(what.into()), ..PackVerdict::default() }
    }
}

/// Tests header, footer, directory and every blob of a pack that was fetched whole. An error means that the test could not be made.
pub(crate) fn verify_pack(
    domain: &Domain,
    pack: PackId,
    whole: &Bytes,
    known: &PackSummary,
) -> Result<PackVerdict, Error> {
    let name = domain.pack_name(pack);
    if known.is_known() && known.pack_bytes != whole.len() as u64 {
        let (found, written) = (whole.len(), known.pack_bytes);
        return Ok(PackVerdict::unusable(format!("it has {found} bytes where {written} were written")));
    }
    let known = PackSummary { pack_bytes: whole.len() as u64, ..*known };
    let opened = footer_of(&name, whole, &known).and_then(|footer| {
        let opener = Opener::new(domain.binding(ObjectKind::Pack, &name), whole, domain.ring())?;
        let directory = Directory::open(&opener, &footer, whole)?;
        Ok((opener, directory))
    });
    let (opener, directory) = match opened {
        Ok(opened) => opened,
        Err(error) => return unusable_for(error),
    };
    let mut verdict = PackVerdict::default();
    for entry in &directory.blobs {
        let number = entry.position.label.number;
        if !entry.matches(&slice(&name, whole, 0, &entry.position)?) {
            verdict.blobs.insert(number, format!("blob {number} does not have its checksum"));
        }
    }
    open_blobs(domain, (opener, directory), whole, verdict)
}

fn unusable_for(error: Error) -> Result<PackVerdict, Error> {
    match error {
        Error::Damaged { what, .. } => Ok(PackVerdict::unusable(what)),
        Error::WrongKey { .. } => Ok(PackVerdict::unusable(error.to_string())),
        error => Err(error),
    }
}

/// Opens what the keys at hand open, and checks the segments of content.
fn open_blobs(
    domain: &Domain,
    (opener, directory): (Opener, Directory),
    whole: &Bytes,
    mut verdict: PackVerdict,
) -> Result<PackVerdict, Error> {
    let entries = directory.blobs.clone();
    let list = directory.segment_list().copied();
    let index = match list.map(|list| slice(opener.name(), whole, 0, &list.position).map(|sealed| (list, sealed))) {
        None if entries.iter().any(|entry| entry.position.label.kind == BlobKind::Data) => {
            return Ok(PackVerdict::unusable("it has content but no segment list"));
        }
        None => PackIndex::new(opener, directory, &[]),
        Some(Err(error)) => return Err(error),
        Some(Ok((list, _))) if verdict.blobs.contains_key(&list.position.label.number) => {
            return Ok(PackVerdict::unusable(format!("its segment list is damaged; {}", verdict.what())));
        }
        Some(Ok((list, sealed))) => match opener.open(list.position.label, &sealed) {
            Err(error @ Error::KeyNotAtHand { .. }) => {
                verdict.ciphertext_only = Some(error.to_string());
                return Ok(verdict);
            }
            _ => PackIndex::new(opener, directory, &sealed),
        },
    };
    let index = match index {
        Ok(index) => index,
        Err(error) => return unusable_for(error),
    };
    for entry in entries {
        let label = entry.position.label;
        if verdict.blobs.contains_key(&label.number) {
            continue;
        }
        let sealed = slice(index.name(), whole, 0, &entry.position)?;
        let opened = match label.kind {
            BlobKind::Data => index.open(domain.hashing(), label.number, &sealed).map(drop),
            _ => index.opener().open(label, &sealed).map(drop),
        };
        match opened {
            Ok(()) => {}
            Err(Error::Damaged { what, .. }) => drop(verdict.blobs.insert(label.number, what)),
            Err(error @ Error::KeyNotAtHand { .. }) => verdict.ciphertext_only = Some(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(verdict)
}
