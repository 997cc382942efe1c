//! What has to hold of the module above, one claim per test.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::SessionId;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::Error;
use crate::domain::Domain;
use crate::keys::{Recipient, SystemRandom, init_repository};
use crate::pack::{PackBuilder, PackSummary};
use crate::point::{TablePack, TableRef};
use crate::seal::ObjectKind;
use crate::store::Store;
use crate::tree::{Class, Location, PackId, Row, Run, Value, VecRun, key};

const SESSION: SessionId = SessionId([3; 16]);

struct Fixture {
    domain: Domain,
    packs: Vec<TablePack>,
    tables: Vec<TableRef>,
    rows: Vec<Row>,
    _runtime: tokio::runtime::Runtime,
}

fn row(number: u64) -> Row {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    // Bytes that do not compress, so that tables have some size.
    hash[8..].copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..24]);
    let location =
        Location { pack: PackId { session: SESSION, seq: (number % 7) as u32 }, blob: number as u32, offset: 0 };
    Row { key: key::segment(&hash), value: Value::Segment { location, length: 70_000 } }
}

/// Rows 0, 3, 6, … in tables of `rows_per_table`, each in a pack of its own.
fn fixture(rows: u64, rows_per_table: usize) -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Store::new(Arc::new(InMemory::new()), runtime.handle().clone());
    let recipient = Recipient::Age(age::x25519::Identity::generate().to_public());
    let now = jiff::Timestamp::UNIX_EPOCH;
    let opened = init_repository(&store, &[(recipient, "test".into())], now, &mut SystemRandom).unwrap();
    let access = opened.domain_or_new(&store, "default", &mut SystemRandom).unwrap();
    let domain = Domain::new(
        store,
        access,
        opened.manifest.upkeep_public,
        Arc::new(Mutex::new(SystemRandom)),
        Arc::new(move || now),
    );
    let rows: Vec<Row> = (0..rows).map(|number| row(number * 3)).collect();
    let keys = domain.writer_keys().unwrap();
    let (mut packs, mut tables) = (Vec::new(), Vec::new());
    for (seq, chunk) in rows.chunks(rows_per_table).enumerate() {
        let mut builder = TableBuilder::new(Class::Segment).unwrap();
        chunk.iter().for_each(|row| builder.push(row).unwrap());
        let built = builder.finish().unwrap().unwrap();
        let pack = PackId { session: SESSION, seq: seq as u32 };
        let name = domain.pack_name(pack);
        let salt = domain.random().unwrap();
        let binding = domain.binding(ObjectKind::Pack, &name);
        let mut filled =
            PackBuilder::new(binding, &[&keys.structure, &keys.metadata, &keys.data], salt, Vec::new()).unwrap();
        tables.push(built.place(&mut filled, pack, &|_| PackSummary::default()).unwrap());
        let (bytes, summary) = filled.finish().unwrap();
        domain.store().put(&name, bytes).unwrap();
        packs.push(TablePack { pack, summary, salt, key: keys.structure.id });
    }
    Fixture { domain, packs, tables, rows, _runtime: runtime }
}

fn run(fixture: &Fixture, window_bytes: u64) -> TableRun {
    let source = Arc::new(TableSource::new(&fixture.domain, &fixture.packs, window_bytes));
    TableRun::new(Class::Segment, source, fixture.tables.clone())
}

#[test]
fn a_run_of_tables_reads_as_the_rows_that_went_in() {
    let fixture = fixture(20_000, 6_000);
    for window in [64 << 10, 8 << 20] {
        let mut run = run(&fixture, window);
        for expected in &fixture.rows {
            assert_eq!(run.next().unwrap().as_ref(), Some(expected));
        }
        assert_eq!(run.next().unwrap(), None);
        assert_eq!(run.next().unwrap(), None);
    }
}

#[test]
fn seeks_and_reads_in_any_order_agree_with_the_rows_in_memory() {
    let fixture = fixture(9_000, 2_500);
    let mut random = StdRng::seed_from_u64(7);
    let mut stored = run(&fixture, 64 << 10);
    let mut memory = VecRun::<Error>::new(Arc::new(fixture.rows.clone()));
    let mut near = 0u64;
    for step in 0..4_000 {
        if random.random_bool(0.6) {
            // Often a little ahead, sometimes anywhere, also before the first and behind the last row.
            near = if random.random_bool(0.7) {
                near + random.random_range(0..400)
            } else {
                random.random_range(0..28_000)
            };
            let wanted = row(near).key;
            stored.seek(&wanted).unwrap();
            memory.seek(&wanted).unwrap();
        }
        for _ in 0..random.random_range(0..4) {
            assert_eq!(stored.next().unwrap(), memory.next().unwrap(), "step {step}");
        }
    }
}

#[test]
fn a_table_that_fits_the_window_costs_one_request_for_all_cursors() {
    let fixture = fixture(2_000, 2_000);
    let before = fixture.domain.store().requests();
    let source = Arc::new(TableSource::new(&fixture.domain, &fixture.packs, 8 << 20));
    for _ in 0..3 {
        let mut run = TableRun::new(Class::Segment, source.clone(), fixture.tables.clone());
        while run.next().unwrap().is_some() {}
        run.seek(&row(3).key).unwrap();
    }
    assert_eq!(fixture.domain.store().requests().since(before).total(), 1);
}

#[test]
fn seeking_forward_in_small_steps_costs_no_more_requests_than_reading() {
    let fixture = fixture(100_000, 100_000);
    assert!(fixture.tables[0].bytes > 2 << 20, "{}", fixture.tables[0].bytes);
    let cost = |read: &dyn Fn(&mut TableRun)| {
        let before = fixture.domain.store().requests();
        read(&mut run(&fixture, 1 << 20));
        fixture.domain.store().requests().since(before).total()
    };
    let reading = cost(&|run| while run.next().unwrap().is_some() {});
    // As a sweep does: what belongs to the next directory is taken too, and sought again.
    let seeking = cost(&|run| {
        for row in fixture.rows.iter().step_by(10) {
            run.seek(&row.key).unwrap();
            (0..11).for_each(|_| drop(run.next().unwrap()));
        }
    });
    assert!(seeking <= reading, "{seeking} requests where reading takes {reading}");
    assert!(reading <= 8, "{reading}");
}

#[test]
fn a_flipped_bit_in_a_table_is_damage_and_never_another_row() {
    let fixture = fixture(300, 300);
    let table = &fixture.tables[0];
    let name = fixture.domain.pack_name(table.pack);
    let whole = fixture.domain.store().get(&name).unwrap();
    for at in (table.offset..table.offset + table.bytes).step_by(97) {
        let mut damaged = whole.to_vec();
        damaged[at as usize] ^= 4;
        fixture.domain.store().put(&name, Bytes::from(damaged)).unwrap();
        let mut run = run(&fixture, 8 << 20);
        let mut rows = 0;
        let error = loop {
            match run.next() {
                Ok(Some(row)) => assert_eq!(row, fixture.rows[rows]),
                Ok(None) => panic!("byte {at} was not noticed"),
                Err(error) => break error,
            }
            rows += 1;
        };
        assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
    }
}

#[test]
fn losses_come_back_and_nothing_else_is_one() {
    let loss = |session: u8, seq, lost| PackLoss { pack: PackId { session: SessionId([session; 16]), seq }, lost };
    let blob = StoredBlob { sealed_bytes: 100, plaintext_bytes: 90, codec: crate::seal::Codec::Stored };
    let footer = TableFooter {
        class: Class::Content,
        offset: 7,
        number: 3,
        blocks: vec![blob],
        index: blob,
        packs: Vec::new(),
        losses: vec![loss(1, 0, 5), loss(1, 1, 1 << 40), loss(1, 9, 1), loss(2, 3, 7)],
    };
    let encoded = footer.encode();
    assert_eq!(TableFooter::decode(&encoded).unwrap(), footer);
    let empty = TableFooter { losses: Vec::new(), ..footer.clone() };
    let front = empty.encode().len() - 1;
    let with = |bytes: &[u8]| TableFooter::decode(&[&encoded[..front], bytes].concat());
    assert_eq!(with(&[0]).unwrap(), empty);
    let sid = |session: u8| [session; 16];
    let one = |session: u8, rest: &[u8]| [&sid(session)[..], rest].concat();
    assert!(with(&[&[1][..], &one(1, &[1, 4, 1])].concat()).is_ok());
    for (what, bytes) in [
        ("no pack", [&[1][..], &one(1, &[0])].concat()),
        ("nothing lost", [&[1][..], &one(1, &[1, 4, 0])].concat()),
        ("one sid twice", [&[2][..], &one(1, &[1, 4, 1]), &one(1, &[1, 9, 1])].concat()),
        ("descending", [&[2][..], &one(2, &[1, 4, 1]), &one(1, &[1, 9, 1])].concat()),
        ("cut", [&[2][..], &one(1, &[1, 4, 1])].concat()),
        ("more", [&[1][..], &one(1, &[1, 4, 1, 0])].concat()),
    ] {
        assert!(with(&bytes).is_err(), "{what}");
    }
}
