//! The reference part of a restore point: refused, or written again as part of a sealed point, which says the same in at most as many bytes.
#![no_main]

use holdfast_fuzz::{binding, keys, ring, within};
use libfuzzer_sys::fuzz_target;
use repository::point::{
    Consistency, Description, Outcome, Point, Reference, Runs, Statistics, VolumeIdentity, VolumeKind,
};
use repository::seal::{BlobKind, ObjectKind, SectionReader};

/// A set of the most packs that a point may need, one by one; a range of a few bytes can claim them all.
const PACK_SET_BYTES_MAX: usize = 96 << 20;

fn description() -> Description {
    let text = String::new;
    Description {
        time: text(),
        volume: VolumeIdentity { name: text(), kind: VolumeKind::Block, source: text(), host: text() },
        parent: None,
        outcome: Outcome::Complete,
        checkpoint: false,
        consistency: Consistency::Live,
        statistics: Statistics::default(),
        missed: 0,
        trust: serde_json::Map::new(),
        space: None,
        signature: None,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(reference) = within(16 * data.len() + PACK_SET_BYTES_MAX, || Reference::decode(data)) else { return };
    assert_eq!(reference.packs.iter().count(), reference.packs.len());
    if let Some((pack, _)) = reference.packs.iter().last() {
        assert!(reference.packs.contains(pack));
    }
    let point = Point { reference, description: description(), runs: Runs::default() };
    let ([structure, metadata, _], ring) = (keys(), ring());
    let sealed = point.seal(binding(ObjectKind::Point), &structure, &metadata, [5; 32]).expect("it was decoded");
    let kinds = [BlobKind::Reference, BlobKind::Description, BlobKind::Runs];
    let reader = SectionReader::new(binding(ObjectKind::Point), &sealed, &ring, &kinds).expect("it was just sealed");
    // Ranges that touch may be given as one or as several; the writer joins them, and so is shorter wherever it is not equal.
    let written = reader.open(0).expect("it was just sealed");
    assert!(written.len() < data.len() || written == data, "{written:?} for {data:?}");
    assert_eq!(Point::open(binding(ObjectKind::Point), &sealed, &ring).expect("it was just sealed"), point);
});
