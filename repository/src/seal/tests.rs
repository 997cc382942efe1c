//! What has to hold of the module above, one claim per test.

use super::*;
use crate::compress::Compressor;

fn keys() -> [ClassKey; 2] {
    [
        ClassKey::new(KeyClass::Structure, KeyId([1; 16]), [2; 32]),
        ClassKey::new(KeyClass::Metadata, KeyId([1; 16]), [3; 32]),
    ]
}

fn ring(keys: &[ClassKey]) -> KeyRing {
    let mut ring = KeyRing::default();
    keys.iter().for_each(|key| ring.add(key.clone()));
    ring
}

const NAME: Binding<'static> =
    Binding { repository: RepositoryId([9; 32]), kind: ObjectKind::Point, name: "d/x/points/y/z.point" };

fn object(plaintext: &[u8]) -> Vec<u8> {
    let [structure, metadata] = keys();
    let mut writer = SectionWriter::new(Sealer::new(NAME, &[&structure, &metadata], [5; 32]).unwrap());
    writer.add(BlobKind::Reference, plaintext).unwrap();
    writer.add(BlobKind::Description, b"{}").unwrap();
    writer.finish()
}

fn open(name: Binding<'_>, bytes: &[u8], ring: &KeyRing) -> Result<Vec<u8>, Error> {
    let reader = SectionReader::new(name, bytes, ring, &[BlobKind::Reference, BlobKind::Description])?;
    reader.open(1)?;
    reader.open(0)
}

#[test]
fn an_object_opens_under_its_own_name_only() {
    let bytes = object(b"hello");
    let ring = ring(&keys());
    assert_eq!(open(NAME, &bytes, &ring).unwrap(), b"hello");
    assert!(matches!(
        open(Binding { name: "d/x/points/y/other.point", ..NAME }, &bytes, &ring),
        Err(Error::Damaged { .. })
    ));
    let elsewhere = Binding { repository: RepositoryId([8; 32]), ..NAME };
    assert!(matches!(open(elsewhere, &bytes, &ring), Err(Error::WrongKey { .. })));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = object(&b"some content that is long enough to be compressed ".repeat(4));
    let ring = ring(&keys());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(open(NAME, &damaged, &ring).is_err(), "byte {at} bit {bit}");
        }
    }
    for length in 0..bytes.len() {
        assert!(open(NAME, &bytes[..length], &ring).is_err(), "cut to {length}");
    }
}

#[test]
fn a_wrong_key_says_so_and_a_missing_one_is_named() {
    let bytes = object(b"hello");
    let wrong = ring(&[ClassKey::new(KeyClass::Structure, KeyId([1; 16]), [7; 32])]);
    assert!(matches!(open(NAME, &bytes, &wrong), Err(Error::WrongKey { .. })));
    let half = ring(&keys()[..1]);
    assert!(matches!(open(NAME, &bytes, &half), Err(Error::KeyNotAtHand { class: "metadata", .. })));
}

#[test]
fn blobs_of_one_object_never_share_a_number() {
    let [structure, metadata] = keys();
    let mut sealer = Sealer::new(NAME, &[&structure, &metadata], [5; 32]).unwrap();
    let content = Compressor::new(1).unwrap().compress(b"x").unwrap();
    let mut out = Vec::new();
    let numbers: Vec<u32> =
        (0..3).map(|_| sealer.seal(BlobKind::Reference, &content, &mut out).unwrap().0.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
}
