//! The end of a pack: its footer, its directory and its segment list, each refused or the one encoding that docs/format.md gives it (written down here a
//! second time, so that a change of the decoder alone is noticed).
#![no_main]

use holdfast_fuzz::{binding, keys, ring, within};
use libfuzzer_sys::fuzz_target;
use repository::codec::Encoder;
use repository::compress::Compressor;
use repository::hash::sealed_hash;
use repository::pack::{
    BlobPosition, Directory, FOOTER_BYTES, Footer, PACK_BLOBS_MAX, PACK_BYTES_MAX, Segment, decode_segments,
};
use repository::seal::{BlobKind, ObjectKind, Opener, Sealer};

fn encode_footer(footer: &Footer) -> Vec<u8> {
    let BlobPosition { label, offset, sealed_bytes } = footer.position;
    let mut to = Encoder::new();
    to.raw(b"HFPACKFT").u64(offset).u32(sealed_bytes).u32(label.plaintext_bytes).u32(label.number);
    to.u8(label.codec as u8).raw(&[0; 3]).raw(&footer.directory_hash);
    to.finish()
}

fn encode_directory(directory: &Directory) -> Vec<u8> {
    let mut to = Encoder::new();
    to.varint(directory.blobs.len() as u64);
    for blob in &directory.blobs {
        let BlobPosition { label, sealed_bytes, .. } = blob.position;
        to.u8(label.kind as u8).u8(label.codec as u8).varint(u64::from(sealed_bytes));
        to.varint(u64::from(label.plaintext_bytes)).raw(&blob.checksum);
    }
    to.finish()
}

fn encode_segments(blobs: &[(u32, Vec<Segment>)]) -> Vec<u8> {
    let mut to = Encoder::new();
    for (_, segments) in blobs {
        to.varint(segments.len() as u64);
        for segment in segments {
            to.varint(u64::from(segment.bytes)).raw(&segment.hash).bytes(&segment.hint);
        }
    }
    to.finish()
}

fn footer(data: &[u8]) {
    let Some((pack_bytes, bytes)) = data.split_first_chunk::<8>() else { return };
    let pack_bytes = u64::from_le_bytes(*pack_bytes);
    within(0, || {
        if let Ok(footer) = Footer::decode(bytes, pack_bytes) {
            assert_eq!(encode_footer(&footer), bytes, "a footer has one encoding");
            assert_eq!(footer.position.range().end + FOOTER_BYTES as u64, pack_bytes);
            assert!(pack_bytes <= PACK_BYTES_MAX);
        }
    });
}

/// The directory sealed as a pack has it, and opened from its tail: it must say the same as its plaintext alone.
fn sealed(plaintext: &[u8], end: u64, number: u32) {
    let keys = keys();
    let mut sealer = Sealer::new(binding(ObjectKind::Pack), &keys.each_ref(), [4; 32]).expect("three good keys");
    let header = sealer.header().to_vec();
    let compressed = Compressor::new(1).and_then(|mut compressor| compressor.compress(plaintext)).expect("a plaintext");
    let mut tail = Vec::new();
    let (mut label, sealed_bytes) = sealer.seal(BlobKind::Directory, &compressed, &mut tail).expect("a structure key");
    label.number = if number == 0 { 0 } else { number };
    let position = BlobPosition { label, offset: end, sealed_bytes };
    let footer = Footer { position, directory_hash: sealed_hash(&tail) };
    tail.extend_from_slice(&encode_footer(&footer));
    let ring = ring();
    let opener = Opener::new(binding(ObjectKind::Pack), &header, &ring).expect("the header that was just made");
    let alone = Directory::decode(plaintext, header.len() as u64, end).ok();
    let opened = within(16 * plaintext.len() + 4 * tail.len(), || Directory::open(&opener, &footer, &tail)).ok();
    // Sealed as blob 0, so it opens only where it says that no blob is before it.
    assert_eq!(opened, alone.filter(|directory| directory.blobs.len() as u32 == number && number == 0));
    for cut in [0, FOOTER_BYTES, tail.len() / 2] {
        assert!(Directory::open(&opener, &footer, &tail[..cut.min(tail.len() - 1)]).is_err());
    }
}

fn directory(data: &[u8]) {
    let Some((end, rest)) = data.split_first_chunk::<4>() else { return };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return };
    let Some((plaintext, list)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { return };
    let end = u64::from(u32::from_le_bytes(*end));
    let decoded = within(8 * plaintext.len(), || Directory::decode(plaintext, HEADER_BYTES, end));
    let Ok(directory) = decoded else { return };
    assert_eq!(encode_directory(&directory), plaintext, "a directory has one encoding");
    assert!(directory.blobs.len() as u32 <= PACK_BLOBS_MAX);
    for (number, blob) in directory.blobs.iter().enumerate() {
        assert!(blob.position.range().end <= end);
        assert_eq!(directory.data(number as u32).is_some(), blob.position.label.kind == BlobKind::Data);
    }
    let segments = within(8 * (plaintext.len() + list.len()), || decode_segments(list, &directory));
    if let Ok(segments) = segments {
        assert_eq!(encode_segments(&segments), list, "a segment list has one encoding");
    }
    let _ = directory.segment_list();
}

/// A header with three keys.
const HEADER_BYTES: u64 = 48 + 3 * 52;

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => footer(rest),
        1 => directory(rest),
        _ => {
            let Some((numbers, plaintext)) = rest.split_first_chunk::<5>() else { return };
            let [number, end @ ..] = *numbers;
            sealed(plaintext, u64::from(u32::from_le_bytes(end)), u32::from(number));
        }
    }
});
