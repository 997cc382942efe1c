//! Sections: the blobs of points, sessions and domain keys, one after another (docs/format.md, section 3.3).

use super::{Binding, BlobKind, BlobLabel, Codec, KeyRing, Opener, Sealer};
use crate::Error;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::compress::Compressor;

/// Kind, codec, number and lengths of a section.
const FRAME_BYTES: usize = 16;

/// Builds an object of sections.
pub struct SectionWriter {
    sealer: Sealer,
    out: Vec<u8>,
}

impl SectionWriter {
    /// Begins with the sealer's header.
    pub fn new(sealer: Sealer) -> SectionWriter {
        let out = sealer.header().to_vec();
        SectionWriter { sealer, out }
    }

    /// Adds a section.
    pub fn add(&mut self, kind: BlobKind, plaintext: &[u8]) -> Result<(), Error> {
        if plaintext.len() > kind.plaintext_bytes_max() {
            return Err(Error::Invalid(format!("a {kind:?} section of {} bytes is over its maximum", plaintext.len())));
        }
        let compressed = Compressor::new(3)?.compress(plaintext)?;
        let mut sealed = Vec::new();
        let (label, sealed_bytes) = self.sealer.seal(kind, &compressed, &mut sealed)?;
        let mut frame = Encoder::new();
        frame
            .u8(label.kind as u8)
            .u8(label.codec as u8)
            .u16(0)
            .u32(label.number)
            .u32(label.plaintext_bytes)
            .u32(sealed_bytes);
        self.out.extend_from_slice(&frame.finish());
        self.out.extend_from_slice(&sealed);
        Ok(())
    }

    /// The object.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Takes the sections of an object apart without opening them yet.
pub struct SectionReader<'a> {
    opener: Opener,
    sections: Vec<(BlobLabel, &'a [u8])>,
}

impl<'a> SectionReader<'a> {
    /// Reads the header and the frames; the kinds must be exactly `kinds`.
    pub fn new(
        object: Binding<'_>,
        bytes: &'a [u8],
        ring: &KeyRing,
        kinds: &[BlobKind],
    ) -> Result<SectionReader<'a>, Error> {
        let (reader, decoder) = SectionReader::begin(object, bytes, ring, kinds)?;
        decoder.finish().map_err(Error::decode(object.name))?;
        Ok(reader)
    }

    /// Reads the header and the first frame, which must be of this kind, whatever follows: of an object that need not be read whole.
    pub fn first(
        object: Binding<'_>,
        bytes: &'a [u8],
        ring: &KeyRing,
        kind: BlobKind,
    ) -> Result<SectionReader<'a>, Error> {
        SectionReader::begin(object, bytes, ring, &[kind]).map(|(reader, _)| reader)
    }

    /// How many bytes of an object [`SectionReader::first`] needs, read off its first bytes: its header and the first frame must be among them.
    pub fn first_needs(object: Binding<'_>, bytes: &[u8], ring: &KeyRing) -> Result<u64, Error> {
        let opener = Opener::new(object, bytes, ring)?;
        let length_at = opener.header_bytes() + FRAME_BYTES - 4;
        let length = bytes.get(length_at..length_at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        let length = length.ok_or_else(|| Error::damaged(object.name, "it ends within its first section"))?;
        Ok((opener.header_bytes() + FRAME_BYTES) as u64 + u64::from(u32::from_le_bytes(*length)))
    }

    fn begin(
        object: Binding<'_>,
        bytes: &'a [u8],
        ring: &KeyRing,
        kinds: &[BlobKind],
    ) -> Result<(SectionReader<'a>, Decoder<'a>), Error> {
        let opener = Opener::new(object, bytes, ring)?;
        let mut decoder = Decoder::new(&bytes[opener.header_bytes()..]);
        let mut sections = Vec::new();
        for kind in kinds {
            let section = decode_frame(&mut decoder, sections.len() as u32).map_err(Error::decode(object.name))?;
            if section.0.kind != *kind {
                return Err(Error::damaged(
                    object.name,
                    format!("a {kind:?} section should be where a {:?} section is", section.0.kind),
                ));
            }
            sections.push(section);
        }
        Ok((SectionReader { opener, sections }, decoder))
    }

    /// Opens the section at `index`.
    pub fn open(&self, index: usize) -> Result<Vec<u8>, Error> {
        let (label, sealed) = self
            .sections
            .get(index)
            .ok_or_else(|| Error::Bug(format!("section {index} of {} was not declared", self.opener.name())))?;
        self.opener.open(*label, sealed)
    }
}

fn decode_frame<'a>(decoder: &mut Decoder<'a>, number: u32) -> Result<(BlobLabel, &'a [u8]), DecodeError> {
    let kind = BlobKind::from_byte(decoder.u8()?).ok_or(DecodeError::Value("blob kind"))?;
    let codec = Codec::from_byte(decoder.u8()?).ok_or(DecodeError::Value("codec"))?;
    decoder.zeros(2)?;
    if decoder.u32()? != number {
        return Err(DecodeError::Value("section number"));
    }
    let plaintext_bytes = decoder.u32()?;
    let sealed_bytes = decoder.u32()?;
    let sealed = decoder.raw(sealed_bytes as usize)?;
    Ok((BlobLabel { kind, codec, number, plaintext_bytes }, sealed))
}
