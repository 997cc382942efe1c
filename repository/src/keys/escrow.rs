//! Escrow: whether a key that is kept elsewhere opens everything.
//!
//! In: a repository that was opened with that key. Out: its domains by name, and for each the proof that its keys open and that one blob of its newest point does. Never: writes,
//! or takes a list for a proof.

use std::collections::BTreeMap;

use model::DomainId;

use super::OpenedRepository;
use super::domain::DomainRoot;
use crate::Error;
use crate::domain::Domain;
use crate::layout::ParsedName;
use crate::pack::{Directory, FOOTER_BYTES, Footer, PACK_BYTES_MAX};
use crate::read;
use crate::seal::{BlobKind, ObjectKind, Opener};
use crate::session::{PointId, read_point};
use crate::store::{Store, StoreError};
use crate::tree::PackId;

/// Below it: all domains.
const DOMAINS: &str = "d";

/// A domain that has key objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDomain {
    /// Its id.
    pub id: DomainId,
    /// Its name; `Err`: why none of its key objects says it.
    pub name: Result<String, String>,
}

/// What a key opened in a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenDomain {
    /// Its newest point; `None` where there is none yet.
    pub point: Option<PointId>,
    /// The pack one of whose blobs of content was opened; `None` where the point has no content.
    pub pack: Option<PackId>,
}

impl OpenedRepository {
    /// The domains of the repository, by the key objects that are there. It lists all objects once: names of domains are known to nobody without the key.
    pub fn domains(&self, store: &Store) -> Result<Vec<FoundDomain>, Error> {
        let mut objects: BTreeMap<DomainId, Vec<String>> = BTreeMap::new();
        store.list_each(DOMAINS, &mut |listed| {
            if let Ok(ParsedName::DomainKey { domain, .. }) = ParsedName::parse(&listed.name) {
                objects.entry(domain).or_default().push(listed.name);
            }
        })?;
        let mut found = Vec::new();
        for (id, objects) in objects {
            if let Some(name) = self.name_of(store, id, &objects)? {
                found.push(FoundDomain { id, name });
            }
        }
        Ok(found)
    }

    /// `None`: all of them have gone since they were listed.
    fn name_of(
        &self,
        store: &Store,
        id: DomainId,
        objects: &[String],
    ) -> Result<Option<Result<String, String>>, Error> {
        let root = DomainRoot::of_id(self, id, "");
        let mut why = None;
        for object in objects {
            match root.name_in(store, object) {
                Ok(name) if DomainRoot::new(self, &name)?.id() == id => return Ok(Some(Ok(name))),
                Ok(_) => why = Some(format!("{object} names another domain")),
                Err(Error::Store(StoreError::NotFound { .. })) => {}
                Err(Error::Store(error)) if error.class() != model::ErrorClass::Corrupt => return Err(error.into()),
                Err(error) => why = Some(error.to_string()),
            }
        }
        Ok(why.map(Err))
    }
}

/// Opens the newest point of a domain, and one blob of content in a pack that it needs.
pub fn prove_domain(domain: &Domain) -> Result<ProvenDomain, Error> {
    let newest = match read::resolve(domain, None, "latest") {
        Err(Error::Missing(_)) => return Ok(ProvenDomain { point: None, pack: None }),
        newest => newest?,
    };
    let point = read_point(domain, newest)?;
    let mut content = point.reference.packs.iter().filter(|(_, content)| content.data).map(|(pack, _)| pack);
    let pack = content.next();
    if let Some(pack) = pack {
        open_one_blob(domain, pack)?;
    }
    Ok(ProvenDomain { point: Some(newest), pack })
}

fn open_one_blob(domain: &Domain, pack: PackId) -> Result<(), Error> {
    let name = domain.pack_name(pack);
    let whole = domain.store().get_at_most(&name, PACK_BYTES_MAX)?;
    let opener = Opener::new(domain.binding(ObjectKind::Pack, &name), &whole, domain.ring())?;
    let begin = whole.len().checked_sub(FOOTER_BYTES);
    let begin = begin.ok_or_else(|| Error::damaged(&name, "it ends before its footer"))?;
    let footer = Footer::decode(&whole[begin..], whole.len() as u64).map_err(Error::decode(&name))?;
    let directory = Directory::open(&opener, &footer, &whole)?;
    let blob = directory.blobs.iter().map(|entry| entry.position).find(|blob| blob.label.kind == BlobKind::Data);
    let blob = blob.ok_or_else(|| Error::damaged(&name, "it holds no content, though a point needs it for that"))?;
    let range = blob.range();
    let sealed = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let sealed = sealed.and_then(|(from, to)| whole.get(from..to));
    let sealed = sealed.ok_or_else(|| Error::damaged(&name, "a blob is not where its directory says"))?;
    opener.open(blob.label, sealed).map(drop)
}
