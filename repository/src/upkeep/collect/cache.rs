//! Cache: reference parts that this machine has read before. They never change, so a run asks the store only for those of new points.
//!
//! In: a folder that may vanish, rot or fill up at any time. Out: the sealed front of a point, opened by the same tags as if it came from the store. Never: a reference
//! part in the clear, a point that the store did not list, or more than a bounded number of bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::domain::Domain;
use crate::layout;
use crate::point::{Point, Reference};
use crate::seal::ObjectKind;
use crate::session::{PointId, read_reference_front};

/// Nearly all are below a KiB; a longer one costs a request each time.
const FRONT_BYTES_MAX: usize = 256 << 10;
/// The folder is not filled beyond this.
const CACHE_BYTES_MAX: u64 = 256 << 20;

/// Sealed reference parts on this machine's disk.
pub(super) struct ReferenceCache {
    folder: Option<PathBuf>,
    has_room: bool,
}

impl ReferenceCache {
    /// Forgets what is not among the points that were listed. Trouble with the folder means that nothing is kept, no more.
    pub(super) fn open(folder: Option<&Path>, listed: &BTreeSet<PointId>) -> ReferenceCache {
        let Some(folder) = folder else { return ReferenceCache { folder: None, has_room: false } };
        let kept = fs::create_dir_all(folder).and_then(|()| forget_others(folder, listed));
        match kept {
            Ok(bytes) => ReferenceCache { folder: Some(folder.to_owned()), has_room: bytes < CACHE_BYTES_MAX },
            Err(error) => {
                tracing::info!(%error, folder = %folder.display(), "no cache of reference parts: all are read from the store");
                ReferenceCache { folder: None, has_room: false }
            }
        }
    }

    /// A point's reference part.
    pub(super) fn read(&self, domain: &Domain, point: PointId) -> Result<Reference, Error> {
        let name = layout::point(domain.id(), point.volume, point.session);
        let open = |front: &[u8]| Point::open_reference(domain.binding(ObjectKind::Point, &name), front, domain.ring());
        let path = self.folder.as_ref().map(|folder| folder.join(file_name(point)));
        if let Some(reference) = path.as_ref().and_then(|path| open(&fs::read(path).ok()?).ok()) {
            return Ok(reference);
        }
        let front = read_reference_front(domain, point)?;
        let reference = open(&front)?;
        if let Some(path) = path.filter(|_| self.has_room && front.len() <= FRONT_BYTES_MAX)
            && let Err(error) = fs::write(path, &front)
        {
            tracing::debug!(%error, "a reference part was not kept");
        }
        Ok(reference)
    }
}

fn file_name(point: PointId) -> String {
    format!("{}.{}", point.volume, point.session)
}

/// Removes the files of other points; returns how many bytes are left.
fn forget_others(folder: &Path, listed: &BTreeSet<PointId>) -> std::io::Result<u64> {
    let names: BTreeSet<String> = listed.iter().map(|point| file_name(*point)).collect();
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            bytes += entry.metadata()?.len();
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(bytes)
}
