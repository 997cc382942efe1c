//! What has to hold of the module above, one claim per test.

use model::{KeyId, RepositoryId};
use proptest::prelude::*;

use super::*;
use crate::pack::{BlobPosition, PackSummary};
use crate::seal::{BlobLabel, Codec, KeyClass, ObjectKind};
use crate::tree::PackId;

fn pack(session: u8, seq: u32) -> PackId {
    PackId { session: SessionId([session; 16]), seq }
}

fn sample() -> Point {
    let mut packs = PackSet::default();
    for (session, seq, data, tables) in
        [(1, 0, true, false), (1, 1, true, false), (1, 7, true, true), (2, 0, false, true)]
    {
        packs.add(pack(session, seq), PackContent { data, tables });
    }
    let label = BlobLabel { kind: BlobKind::TableFooter, codec: Codec::Zstd, number: 9, plaintext_bytes: 200 };
    let table = TableRef {
        pack: pack(1, 7),
        offset: 1000,
        bytes: 500,
        footer: BlobPosition { label, offset: 1400, sealed_bytes: 100 },
        footer_hash: [3; 32],
        rows: 77,
    };
    let mut tree = TreeRuns { next_node: 12, ..TreeRuns::default() };
    tree.classes[0] = vec![vec![table.clone()], vec![table.clone(), table]];
    let summary = PackSummary { pack_bytes: 5000, data_bytes: 4000, directory_hash: [4; 32] };
    Point {
        reference: Reference { checkpoint: true, created_ms: -5, parent: Some(SessionId([8; 16])), packs },
        description: Description {
            time: "2026-11-22T00:00:00Z".into(),
            volume: VolumeIdentity {
                name: "v".into(),
                kind: VolumeKind::Block,
                source: "/dev/x".into(),
                host: "h".into(),
            },
            parent: Some(SessionId([8; 16])),
            outcome: Outcome::Partial,
            checkpoint: true,
            consistency: Consistency::Live,
            statistics: Statistics { entries: 3, ..Statistics::default() },
            missed: 1,
            space: Some(SpaceHint { packs_bytes: 9, live_bytes: 8, ..Default::default() }),
            trust: serde_json::Map::new(),
            signature: None,
        },
        runs: Runs {
            packs: vec![TablePack { pack: pack(1, 7), summary, salt: [5; 32], key: KeyId([6; 16]) }],
            trees: vec![tree],
        },
    }
}

#[test]
fn a_point_is_read_as_it_was_written_and_its_reference_part_with_one_key() {
    let binding = Binding { repository: RepositoryId([1; 32]), kind: ObjectKind::Point, name: "d/x/points/y/z.point" };
    let [structure, metadata] =
        [KeyClass::Structure, KeyClass::Metadata].map(|class| ClassKey::new(class, KeyId([1; 16]), [class as u8; 32]));
    let point = sample();
    let bytes = point.seal(binding, &structure, &metadata, [6; 32]).unwrap();
    let mut ring = KeyRing::default();
    ring.add(structure);
    assert_eq!(Point::open_reference(binding, &bytes, &ring).unwrap(), point.reference);
    assert!(matches!(Point::open(binding, &bytes, &ring), Err(Error::KeyNotAtHand { class: "metadata", .. })));
    ring.add(metadata);
    assert_eq!(Point::open(binding, &bytes, &ring).unwrap(), point);
}

#[test]
fn a_range_that_claims_more_packs_than_can_be_is_refused() {
    let mut encoder = Encoder::new();
    encoder.varint(1).raw(&[0; 16]).varint(1).varint(0).varint(u64::from(u32::MAX)).u8(1);
    let bytes = encoder.finish();
    assert_eq!(PackSet::decode(&mut Decoder::new(&bytes)), Err(DecodeError::TooLarge("pack range")));
}

proptest! {
    #[test]
    fn a_pack_set_is_read_as_it_was_written(packs: Vec<(u8, u16, bool)>) {
        let mut set = PackSet::default();
        for (session, seq, data) in packs {
            set.add(pack(session, u32::from(seq)), PackContent { data, tables: !data });
        }
        let mut encoder = Encoder::new();
        set.encode(&mut encoder).unwrap();
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(PackSet::decode(&mut decoder), Ok(set));
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
        let _ = Reference::decode(&bytes);
        let _ = Runs::decode(&bytes);
    }
}
