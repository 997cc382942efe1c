//! Objects of sections: any bytes, any bytes behind a good header, and a good object with one byte changed, which must never open.
#![no_main]

use holdfast_fuzz::{binding, keys, part, ring, within};
use libfuzzer_sys::fuzz_target;
use repository::seal::{BlobKind, ObjectKind, Sealer, SectionReader, SectionWriter};

const KINDS: [BlobKind; 3] = [BlobKind::Reference, BlobKind::Description, BlobKind::Runs];

/// Opens everything; the plaintexts, if all of it is good.
fn open(object: &[u8]) -> Option<Vec<Vec<u8>>> {
    let ring = ring();
    let reader = SectionReader::new(binding(ObjectKind::Point), object, &ring, &KINDS).ok()?;
    (0..KINDS.len()).map(|index| reader.open(index).ok()).collect()
}

fn sealer(salt: u8) -> Sealer {
    let [structure, metadata, _] = keys();
    Sealer::new(binding(ObjectKind::Point), &[&structure, &metadata], [salt; 32]).expect("two good keys")
}

fn object_of(mut rest: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut writer = SectionWriter::new(sealer(3));
    let mut plaintexts = Vec::new();
    for kind in KINDS {
        let (plaintext, after) = part(rest).unwrap_or((rest, &[]));
        writer.add(kind, plaintext).expect("a section below its maximum");
        plaintexts.push(plaintext.to_vec());
        rest = after;
    }
    (writer.finish(), plaintexts)
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => {
            within(2 * rest.len(), || open(rest));
        }
        1 => {
            let object = [sealer(3).header(), rest].concat();
            within(2 * object.len(), || open(&object));
        }
        _ => {
            let Some(([at_low, at_high, xor], rest)) = rest.split_first_chunk::<3>() else { return };
            let (mut object, plaintexts) = object_of(rest);
            assert_eq!(open(&object), Some(plaintexts), "what was sealed opens");
            let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % object.len();
            object[at] ^= (*xor).max(1);
            let opened = within(4 * (object.len() + rest.len()), || open(&object));
            assert_eq!(opened, None, "byte {at} is not authenticated");
        }
    }
});
