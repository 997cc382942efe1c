//! What has to hold of the module above, one claim per test.

use model::{KeyId, RepositoryId};

use super::*;
use crate::seal::{KeyClass, KeyRing, ObjectKind, Opener};

const NAME: Binding<'static> =
    Binding { repository: RepositoryId([9; 32]), kind: ObjectKind::Pack, name: "d/x/packs/00/s/00000000" };

fn keys() -> [ClassKey; 3] {
    [KeyClass::Structure, KeyClass::Metadata, KeyClass::Data]
        .map(|class| ClassKey::new(class, KeyId([1; 16]), [class as u8; 32]))
}

fn sample() -> (Bytes, PackSummary, Vec<BlobPosition>) {
    let keys = keys();
    let mut builder = PackBuilder::new(NAME, &keys.each_ref(), [5; 32], Vec::new()).unwrap();
    let mut compressor = Compressor::new(1).unwrap();
    let mut positions = Vec::new();
    for n in 0..5u8 {
        let plaintext = vec![n; 1000 * usize::from(n + 1)];
        let segment = Segment { bytes: plaintext.len() as u32, hash: [n; 32], hint: vec![n] };
        positions.push(builder.add_data(&compressor.compress(&plaintext).unwrap(), &[segment]).unwrap());
    }
    positions.push(builder.add(BlobKind::TableBlock, &compressor.compress(b"rows").unwrap()).unwrap());
    let (bytes, summary) = builder.finish().unwrap();
    (bytes, summary, positions)
}

fn open(bytes: &[u8]) -> Result<(Opener, Directory), Error> {
    let mut ring = KeyRing::default();
    keys().into_iter().for_each(|key| ring.add(key));
    let opener = Opener::new(NAME, bytes, &ring)?;
    let tail = bytes.len().checked_sub(FOOTER_BYTES).ok_or_else(|| Error::damaged(NAME.name, "short"))?;
    let footer = Footer::decode(&bytes[tail..], bytes.len() as u64).map_err(Error::decode(NAME.name))?;
    let directory = Directory::open(&opener, &footer, bytes)?;
    Ok((opener, directory))
}

#[test]
fn blobs_are_where_the_directory_says() {
    let (bytes, summary, positions) = sample();
    assert_eq!((summary.pack_bytes, summary.data_bytes), (bytes.len() as u64, 15_000));
    let (opener, directory) = open(&bytes).unwrap();
    assert_eq!(directory.blobs.len(), 7);
    for (n, position) in positions.iter().enumerate().take(5) {
        let entry = directory.data(n as u32).unwrap();
        assert_eq!(entry.position, *position);
        let sealed = &bytes[position.offset as usize..][..position.sealed_bytes as usize];
        assert!(entry.matches(sealed));
        assert_eq!(opener.open(position.label, sealed).unwrap(), vec![n as u8; 1000 * (n + 1)]);
    }
    assert!(directory.data(5).is_none(), "a table block is not content");
    let list = directory.segment_list().unwrap().position;
    let plaintext = opener.open(list.label, &bytes[list.offset as usize..][..list.sealed_bytes as usize]).unwrap();
    let segments = decode_segments(&plaintext, &directory).unwrap();
    assert_eq!(segments.len(), 5);
    assert_eq!(segments[2].1[0].hash, [2; 32]);
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_by_directory_checksum_or_tag() {
    let (bytes, _, _) = sample();
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        let noticed = match open(&damaged) {
            Err(_) => true,
            Ok((_, directory)) => directory.blobs.iter().any(|entry| {
                let range = entry.position.range();
                !entry.matches(&damaged[range.start as usize..range.end as usize])
            }),
        };
        assert!(noticed, "byte {at}");
    }
}

#[test]
fn a_cut_pack_is_refused() {
    let (bytes, _, _) = sample();
    for length in (0..bytes.len()).step_by(7) {
        assert!(open(&bytes[..length]).is_err(), "{length}");
    }
}
