//! Point: a restore point as one object (docs/format.md, section 8).
//!
//! In: what a writer has to say about a volume's state, or the bytes of a point object. Out: the other of the two. Never: talks to a store, or decides whether
//! a point is valid (that is [`crate::session`]).

mod description;
mod packs;
mod runs;

use model::SessionId;

pub use description::{Consistency, Description, Outcome, Requests, SpaceHint, Statistics, VolumeIdentity, VolumeKind};
pub use packs::{PackContent, PackSet};
pub use runs::{Runs, TablePack, TableRef, TreeRuns};
pub(crate) use runs::{decode_summary, encode_summary};

use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::seal::{Binding, BlobKind, ClassKey, KeyRing, Sealer, SectionReader, SectionWriter};

const SECTIONS: [BlobKind; 3] = [BlobKind::Reference, BlobKind::Description, BlobKind::Runs];
const CHECKPOINT: u8 = 1;

/// All that collection needs to know of a point; readable with the structure key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Made on the way, so that a run that is killed need not begin again; never `latest`.
    pub checkpoint: bool,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// The point that this one continued.
    pub parent: Option<SessionId>,
    /// Every pack that this point needs.
    pub packs: PackSet,
}

impl Reference {
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut encoder = Encoder::new();
        encoder.u8(if self.checkpoint { CHECKPOINT } else { 0 }).svarint(self.created_ms);
        match &self.parent {
            None => encoder.u8(0),
            Some(parent) => encoder.u8(1).raw(&parent.0),
        };
        self.packs.encode(&mut encoder)?;
        Ok(encoder.finish())
    }

    /// Reads a reference part's plaintext.
    pub fn decode(plaintext: &[u8]) -> Result<Reference, DecodeError> {
        let mut decoder = Decoder::new(plaintext);
        let flags = decoder.u8()?;
        if flags & !CHECKPOINT != 0 {
            return Err(DecodeError::Value("point flags"));
        }
        let created_ms = decoder.svarint()?;
        let parent = match decoder.u8()? {
            0 => None,
            1 => Some(SessionId(decoder.array()?)),
            _ => return Err(DecodeError::Value("parent")),
        };
        let packs = PackSet::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(Reference { checkpoint: flags & CHECKPOINT != 0, created_ms, parent, packs })
    }
}

/// A whole restore point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// For collection.
    pub reference: Reference,
    /// For people.
    pub description: Description,
    /// For readers.
    pub runs: Runs,
}

impl Point {
    /// The bytes of the object; `salt` is random and fresh. `Invalid`: it would need more packs than a reader takes.
    pub fn seal(
        &self,
        binding: Binding<'_>,
        structure: &ClassKey,
        metadata: &ClassKey,
        salt: [u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let mut writer = SectionWriter::new(Sealer::new(binding, &[structure, metadata], salt)?);
        writer.add(BlobKind::Reference, &self.reference.encode()?)?;
        let description = serde_json::to_vec(&self.description)
            .map_err(|error| Error::Bug(format!("a description is not JSON: {error}")))?;
        writer.add(BlobKind::Description, &description)?;
        writer.add(BlobKind::Runs, &self.runs.encode()?)?;
        Ok(writer.finish())
    }

    /// Opens everything; needs structure and metadata key.
    pub fn open(binding: Binding<'_>, bytes: &[u8], ring: &KeyRing) -> Result<Point, Error> {
        let reader = SectionReader::new(binding, bytes, ring, &SECTIONS)?;
        let reference = Reference::decode(&reader.open(0)?).map_err(Error::decode(binding.name))?;
        let description = serde_json::from_slice(&reader.open(1)?)
            .map_err(|error| Error::damaged(binding.name, format!("its description cannot be read: {error}")))?;
        let runs = Runs::decode(&reader.open(2)?).map_err(Error::decode(binding.name))?;
        Ok(Point { reference, description, runs })
    }

    /// Opens the reference part alone, which the front of the object holds; needs the structure key only.
    pub fn open_reference(binding: Binding<'_>, front: &[u8], ring: &KeyRing) -> Result<Reference, Error> {
        let reader = SectionReader::first(binding, front, ring, BlobKind::Reference)?;
        Reference::decode(&reader.open(0)?).map_err(Error::decode(binding.name))
    }
}

#[cfg(test)]
mod tests;
