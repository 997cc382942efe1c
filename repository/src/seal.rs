//! Seal: authenticated encryption of blobs inside one object (docs/format.md, section 3).
//!
//! In: compressed bytes, what they are, and the keys of one domain. Out: sealed bytes, or the plaintext exactly as it was written. Never: a nonce twice, a byte
//! that was not authenticated, an allocation beyond an authenticated or stated length.

mod header;
mod section;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use model::{KeyId, RepositoryId};
use zeroize::Zeroizing;

use crate::Error;

pub use header::{HEADER_BYTES_MAX, Header, ObjectKind};
pub use section::{SectionReader, SectionWriter};

/// The tag that sealing adds.
pub const TAG_BYTES: usize = 16;
/// Plain or compressed (docs/format.md, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Stored = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl Codec {
    /// From its byte.
    pub fn from_byte(byte: u8) -> Option<Codec> {
        [Codec::Stored, Codec::Zstd].into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// What may be known by whom (docs/format.md, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// Wraps domain keys.
    Wrapping = 1,
    /// All that upkeep needs.
    Structure = 2,
    /// Names, attributes, where content lies.
    Metadata = 3,
    /// Content.
    Data = 4,
}

impl KeyClass {
    fn from_byte(byte: u8) -> Option<KeyClass> {
        [KeyClass::Wrapping, KeyClass::Structure, KeyClass::Metadata, KeyClass::Data]
            .into_iter()
            .find(|class| *class as u8 == byte)
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            KeyClass::Wrapping => "wrapping",
            KeyClass::Structure => "structure",
            KeyClass::Metadata => "metadata",
            KeyClass::Data => "data",
        }
    }
}

/// What a sealed blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// Content.
    Data = 1,
    /// Rows.
    TableBlock = 2,
    /// First keys of blocks.
    TableIndex = 3,
    /// Positions and packs of a table.
    TableFooter = 4,
    /// Hashes of segments.
    Segments = 5,
    /// Positions of blobs.
    Directory = 6,
    /// What a restore point needs.
    Reference = 7,
    /// What a restore point is.
    Description = 8,
    /// Where its tables are.
    Runs = 9,
    /// A session's announcement.
    Session = 10,
    /// Keys of a domain.
    DomainKey = 11,
    /// A controller's record.
    Record = 12,
}

impl BlobKind {
    /// All kinds.
    pub const ALL: [BlobKind; 12] = [
        BlobKind::Data,
        BlobKind::TableBlock,
        BlobKind::TableIndex,
        BlobKind::TableFooter,
        BlobKind::Segments,
        BlobKind::Directory,
        BlobKind::Reference,
        BlobKind::Description,
        BlobKind::Runs,
        BlobKind::Session,
        BlobKind::DomainKey,
        BlobKind::Record,
    ];

    /// From its byte.
    pub fn from_byte(byte: u8) -> Option<BlobKind> {
        BlobKind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Which key opens it.
    pub fn class(self) -> KeyClass {
        match self {
            BlobKind::Data => KeyClass::Data,
            BlobKind::TableBlock
            | BlobKind::TableIndex
            | BlobKind::Segments
            | BlobKind::Description
            | BlobKind::Runs
            | BlobKind::Record => KeyClass::Metadata,
            BlobKind::TableFooter | BlobKind::Directory | BlobKind::Reference | BlobKind::Session => {
                KeyClass::Structure
            }
            BlobKind::DomainKey => KeyClass::Wrapping,
        }
    }

    /// The most plaintext that one blob of this kind may have, in bytes.
    pub fn plaintext_bytes_max(self) -> usize {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        match self {
            BlobKind::Data | BlobKind::Session => MIB,
            BlobKind::TableBlock => 256 * KIB,
            BlobKind::TableIndex => 4 * MIB,
            BlobKind::TableFooter
            | BlobKind::Segments
            | BlobKind::Directory
            | BlobKind::Description
            | BlobKind::Record => 16 * MIB,
            BlobKind::Reference | BlobKind::Runs => 64 * MIB,
            BlobKind::DomainKey => 64 * KIB,
        }
    }
}

/// One key of one class.
#[derive(Clone)]
pub struct ClassKey {
    /// Its class.
    pub class: KeyClass,
    /// Its name in headers.
    pub id: KeyId,
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ClassKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClassKey({} {})", self.class.name(), self.id)
    }
}

impl ClassKey {
    /// From 32 secret bytes.
    pub fn new(class: KeyClass, id: KeyId, key: [u8; 32]) -> ClassKey {
        ClassKey { class, id, key: Zeroizing::new(key) }
    }

    /// The secret bytes, for handing the key on.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }
}

/// The keys at hand, by class and id.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<ClassKey>,
}

impl KeyRing {
    /// Adds a key.
    pub fn add(&mut self, key: ClassKey) {
        self.keys.push(key);
    }

    /// A key by class and id.
    pub fn find(&self, class: KeyClass, id: KeyId) -> Option<&ClassKey> {
        self.keys.iter().find(|key| key.class == class && key.id == id)
    }
}

/// What a sealed blob claims to be; all of it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobLabel {
    /// What it holds.
    pub kind: BlobKind,
    /// How it is compressed.
    pub codec: Codec,
    /// Its number in the object.
    pub number: u32,
    /// Length of its plaintext, decompressed, in bytes.
    pub plaintext_bytes: u32,
}

impl BlobLabel {
    fn aad(&self, context: &[u8; 32]) -> [u8; 44] {
        let mut aad = [0; 44];
        aad[..32].copy_from_slice(context);
        aad[32] = self.kind as u8;
        aad[33] = self.codec as u8;
        aad[36..40].copy_from_slice(&self.number.to_le_bytes());
        aad[40..].copy_from_slice(&self.plaintext_bytes.to_le_bytes());
        aad
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.number.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Identity of one object: what its blobs are bound to.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The object's kind.
    pub kind: ObjectKind,
    /// Its full name below the repository's prefix.
    pub name: &'a str,
}

impl Binding<'_> {
    fn context(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"holdfast v1 aad\0").update(&header::VERSION.to_le_bytes());
        hasher.update(&[header::SUITE, self.kind as u8]).update(&self.repository.0).update(self.name.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// The object key and the commitment of one class in one object.
fn object_key(key: &ClassKey, salt: &[u8; 32], repository: RepositoryId) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut hasher = blake3::Hasher::new_keyed(&key.key);
    hasher.update(b"holdfast v1 object\0").update(salt).update(&repository.0).update(&[key.class as u8]);
    let mut output = Zeroizing::new([0; 64]);
    hasher.finalize_xof().fill(output.as_mut());
    let (mut secret, mut commitment) = (Zeroizing::new([0; 32]), [0; 32]);
    secret.copy_from_slice(&output[..32]);
    commitment.copy_from_slice(&output[32..]);
    (secret, commitment)
}

fn aead(secret: &[u8; 32]) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&AES_256_GCM, secret)
        .map(LessSafeKey::new)
        .map_err(|_| Error::Bug("AES-256-GCM refused a 32-byte key".into()))
}

/// Seals the blobs of one new object. Blobs are numbered as they come, so that a nonce cannot recur; it is neither `Clone` nor reusable.
pub struct Sealer {
    header: Vec<u8>,
    context: [u8; 32],
    keys: Vec<(KeyClass, LessSafeKey)>,
    next: u32,
}

impl Sealer {
    /// Begins an object; `salt` is random and fresh.
    pub fn new(object: Binding<'_>, keys: &[&ClassKey], salt: [u8; 32]) -> Result<Sealer, Error> {
        let mut slots = Vec::new();
        let mut aeads = Vec::new();
        for key in keys {
            let (secret, commitment) = object_key(key, &salt, object.repository);
            slots.push(header::Slot { class: key.class, id: key.id, commitment });
            aeads.push((key.class, aead(&secret)?));
        }
        slots.sort_by_key(|slot| slot.class);
        let header = Header { kind: object.kind, salt, slots }.encode();
        Ok(Sealer { header, context: object.context(), keys: aeads, next: 0 })
    }

    /// The bytes that begin the object.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The number of the next blob.
    pub fn next_number(&self) -> u32 {
        self.next
    }

    /// Seals one blob onto the end of `out`; returns its label and its sealed length.
    pub fn seal(
        &mut self,
        kind: BlobKind,
        content: &crate::compress::Compressed,
        out: &mut Vec<u8>,
    ) -> Result<(BlobLabel, u32), Error> {
        let label =
            BlobLabel { kind, codec: content.codec, number: self.next, plaintext_bytes: content.plaintext_bytes };
        let (_, key) = self.keys.iter().find(|(class, _)| *class == kind.class()).ok_or_else(|| {
            Error::Bug(format!("an object without {} key was given a {kind:?} blob", kind.class().name()))
        })?;
        self.next = self.next.checked_add(1).ok_or_else(|| Error::Bug("2^32 blobs in one object".into()))?;
        let start = out.len();
        out.extend_from_slice(&content.bytes);
        let tag = key
            .seal_in_place_separate_tag(label.nonce(), Aad::from(label.aad(&self.context)), &mut out[start..])
            .map_err(|_| Error::Bug("sealing failed".into()))?;
        out.extend_from_slice(tag.as_ref());
        let sealed = u32::try_from(out.len() - start).map_err(|_| Error::Bug("a sealed blob over 4 GiB".into()))?;
        Ok((label, sealed))
    }
}

/// Opens the blobs of one object.
pub struct Opener {
    name: String,
    context: [u8; 32],
    slots: Vec<(KeyClass, KeyId, Option<LessSafeKey>)>,
    header_bytes: usize,
}

impl Opener {
    /// Reads the header at the front of `bytes` and takes the keys that it names from the ring.
    pub fn new(object: Binding<'_>, bytes: &[u8], ring: &KeyRing) -> Result<Opener, Error> {
        let (header, header_bytes) = Header::decode(object.name, bytes)?;
        if header.kind != object.kind {
            return Err(Error::damaged(object.name, "it is an object of another kind"));
        }
        let mut slots = Vec::new();
        for slot in &header.slots {
            let opened = match ring.find(slot.class, slot.id) {
                None => None,
                Some(key) => {
                    let (secret, commitment) = object_key(key, &header.salt, object.repository);
                    aws_lc_rs::constant_time::verify_slices_are_equal(&commitment, &slot.commitment)
                        .map_err(|_| Error::WrongKey { object: object.name.to_owned() })?;
                    Some(aead(&secret)?)
                }
            };
            slots.push((slot.class, slot.id, opened));
        }
        Ok(Opener { name: object.name.to_owned(), context: object.context(), slots, header_bytes })
    }

    /// For a reader that knows an object's salt and key id from elsewhere and has no use for its header.
    pub fn without_header(object: Binding<'_>, salt: &[u8; 32], id: KeyId, ring: &KeyRing) -> Result<Opener, Error> {
        let mut slots = Vec::new();
        for class in [KeyClass::Structure, KeyClass::Metadata, KeyClass::Data] {
            let opened =
                ring.find(class, id).map(|key| aead(&object_key(key, salt, object.repository).0)).transpose()?;
            slots.push((class, id, opened));
        }
        Ok(Opener { name: object.name.to_owned(), context: object.context(), slots, header_bytes: 0 })
    }

    /// Where the header ends.
    pub fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens one sealed blob: authenticates, decompresses to exactly the labelled length.
    pub fn open(&self, label: BlobLabel, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        if label.plaintext_bytes as usize > label.kind.plaintext_bytes_max() {
            return Err(Error::damaged(
                &self.name,
                format!("blob {} claims more than a {:?} blob may have", label.number, label.kind),
            ));
        }
        let class = label.kind.class();
        let key = match self.slots.iter().find(|(slot, _, _)| *slot == class) {
            None => return Err(Error::damaged(&self.name, format!("its header names no {} key", class.name()))),
            Some((_, id, None)) => {
                return Err(Error::KeyNotAtHand { object: self.name.clone(), class: class.name(), key: *id });
            }
            Some((_, _, Some(key))) => key,
        };
        let mut buffer = sealed.to_vec();
        let opened = key
            .open_in_place(label.nonce(), Aad::from(label.aad(&self.context)), &mut buffer)
            .map_err(|_| Error::damaged(&self.name, format!("blob {} fails its authentication", label.number)))?
            .len();
        buffer.truncate(opened);
        crate::compress::decompress(label.codec, buffer, label.plaintext_bytes as usize)
            .map_err(|what| Error::damaged(&self.name, format!("blob {}: {what}", label.number)))
    }
}

#[cfg(test)]
mod tests;
