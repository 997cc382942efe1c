//! Damages: what is done to a copy of the golden repository, by name; the name is that of the report in `tests/zoo`.
//!
//! In: the golden repository. Out: its objects, damaged in one way. Never: two damages at once, unless the name says so.

use repository::domain::Domain;
use repository::generated::SeededRandom;
use repository::keys::{Recipient, UpkeepKey, init_repository};
use repository::layout::{self, Mark, MarkRun, REPOSITORY};
use repository::marks::{damage_name, mark_name};
use repository::pack::{Directory, FOOTER_BYTES, Footer};
use repository::read;
use repository::seal::{BlobKind, ObjectKind, Opener};
use repository::session::PointId;
use repository::store::Bytes;

use super::golden::{Golden, Objects};

/// One kind of damage.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) damage: fn(&Golden, &mut Objects),
}

const RUN: MarkRun = MarkRun([0x5a; 16]);

/// All of them.
pub(crate) const CASES: &[Case] = &[
    case("sound", |_, _| {}),
    // Parts of a pack.
    case("pack-magic", |_, objects| flip(objects, &first_pack(objects), 0)),
    case("pack-version", |_, objects| flip(objects, &first_pack(objects), 9)),
    case("pack-kind", |_, objects| flip(objects, &first_pack(objects), 10)),
    case("pack-salt", |_, objects| flip(objects, &first_pack(objects), 20)),
    case("pack-key-id", |_, objects| flip(objects, &first_pack(objects), 53)),
    case("pack-commitment", |_, objects| flip(objects, &first_pack(objects), 70)),
    case("pack-data", |golden, objects| flip_blob(golden, objects, BlobKind::Data)),
    case("pack-segment-list", |golden, objects| flip_blob(golden, objects, BlobKind::Segments)),
    case("pack-table-block", |golden, objects| flip_blob(golden, objects, BlobKind::TableBlock)),
    case("pack-table-index", |golden, objects| flip_blob(golden, objects, BlobKind::TableIndex)),
    case("pack-table-footer", |golden, objects| flip_blob(golden, objects, BlobKind::TableFooter)),
    case("pack-directory", |golden, objects| {
        let name = first_pack(objects);
        let footer = footer(&objects[&name]);
        assert_ne!(directory(&golden.sound(), &name, &objects[&name]).blobs.len(), 0);
        flip(objects, &name, footer.position.offset as usize + 3);
    }),
    case("pack-footer-magic", |_, objects| flip_from_end(objects, FOOTER_BYTES)),
    case("pack-footer-position", |_, objects| flip_from_end(objects, FOOTER_BYTES - 8)),
    case("pack-footer-hash", |_, objects| flip_from_end(objects, 1)),
    // Whole packs.
    case("pack-missing", |_, objects| drop(objects.remove(&first_pack(objects)))),
    case("pack-empty", |_, objects| drop(objects.insert(first_pack(objects), Bytes::new()))),
    case("pack-truncated", |_, objects| {
        change(objects, &first_pack(objects), |bytes| bytes.truncate(bytes.len() - 100))
    }),
    case("pack-longer", |_, objects| change(objects, &first_pack(objects), |bytes| bytes.push(0))),
    case("packs-swapped", |_, objects| {
        let packs = packs(objects);
        let (one, other) = (objects[&packs[0]].clone(), objects[&packs[1]].clone());
        objects.insert(packs[0].clone(), other);
        objects.insert(packs[1].clone(), one);
    }),
    case("pack-replayed", |_, objects| {
        let packs = packs(objects);
        objects.insert(packs[packs.len() - 1].clone(), objects[&packs[0]].clone());
    }),
    case("packs-all-missing", |_, objects| objects.retain(|name, _| !name.contains("/packs/"))),
    // Restore points.
    case("point-header", |golden, objects| flip(objects, &point(golden, 0), 20)),
    case("point-reference", |golden, objects| flip(objects, &point(golden, 0), 200)),
    case("point-runs", |golden, objects| {
        let name = point(golden, 0);
        let length = objects[&name].len();
        flip(objects, &name, length - 5);
    }),
    case("point-truncated", |golden, objects| change(objects, &point(golden, 0), |bytes| bytes.truncate(100))),
    case("point-missing", |golden, objects| drop(objects.remove(&point(golden, 0)))),
    case("point-missing-newest", |golden, objects| drop(objects.remove(&point(golden, 3)))),
    case("point-replayed", |golden, objects| {
        let old = objects[&point(golden, 0)].clone();
        objects.insert(point(golden, 3), old);
    }),
    case("point-bogus", |golden, objects| {
        let bogus = bogus(golden);
        objects.insert(point_name(&golden.sound(), bogus), Bytes::from_static(b"no point"));
    }),
    case("point-bogus-announced", |golden, objects| {
        let (domain, bogus) = (golden.sound(), bogus(golden));
        objects.insert(point_name(&domain, bogus), Bytes::from_static(b"no point"));
        objects.insert(layout::session_open(domain.id(), bogus.session), Bytes::from_static(b"no announcement"));
    }),
    // Announcements.
    case("announcement-flipped", |golden, objects| flip(objects, &open(golden, 0), 120)),
    case("announcement-lost", |golden, objects| drop(objects.remove(&open(golden, 0)))),
    case("announcement-replayed", |golden, objects| {
        let other = objects[&open(golden, 3)].clone();
        objects.insert(open(golden, 0), other);
    }),
    case("session-running", |golden, objects| {
        let (domain, bogus) = (golden.sound(), bogus(golden));
        objects.insert(layout::session_open(domain.id(), bogus.session), objects[&open(golden, 3)].clone());
    }),
    case("point-being-collected", |golden, objects| {
        objects.insert(mark(golden, &upkeep(golden), Mark::Doomed), Bytes::new());
        objects.remove(&open(golden, 0));
    }),
    // Names that do not count.
    case("names-misspelled", |golden, objects| {
        let (domain, id) = (golden.sound(), points(golden)[0]);
        for name in [
            format!("{}.old", point_name(&domain, id)),
            format!("{}.OPEN", layout::session_open(domain.id(), id.session).trim_end_matches(".open")),
            format!("{}0", layout::pack(domain.id(), id.session, 0)),
            format!("{}/note", layout::volume_marks(domain.id(), id.volume)),
            format!("{}/note", layout::damage(domain.id())),
        ] {
            objects.insert(name, Bytes::from_static(b"?"));
        }
    }),
    case("mark-unsigned", |golden, objects| {
        let (domain, id) = (golden.sound(), points(golden)[0]);
        let name = layout::unsigned_mark(domain.id(), id.volume, id.session, Mark::Dead, RUN);
        objects.insert(format!("{name}.{}", "00".repeat(64)), Bytes::new());
    }),
    case("mark-of-another-repository", |golden, objects| {
        objects.insert(mark(golden, &stranger(golden), Mark::Doomed), Bytes::new());
    }),
    case("mark-replayed-for-another-point", |golden, objects| {
        let signed = objects.keys().find(|name| name.contains("/marks/")).expect("the hidden point's mark").clone();
        let (of, to) = (points(golden)[1].session.to_string(), points(golden)[0].session.to_string());
        objects.insert(signed.replace(&of, &to), Bytes::new());
    }),
    case("report-of-another-repository", |golden, objects| {
        let (domain, id) = (golden.sound(), points(golden)[0]);
        let signer = (&stranger(golden), domain.repository());
        let name = damage_name(signer, domain.id(), (id.session, 0), RUN).expect("a signature");
        objects.insert(name, Bytes::new());
    }),
    // Quarantine.
    case("quarantine-of-a-good-pack", |golden, objects| {
        objects.insert(report(golden), Bytes::new());
    }),
    case("quarantine-of-a-damaged-pack", |golden, objects| {
        objects.insert(report(golden), Bytes::new());
        flip_blob(golden, objects, BlobKind::Data);
    }),
    // What opens all of it.
    case("domain-key-old", |_, objects| flip(objects, &domain_key(objects, "/1."), 150)),
    case("domain-key-new", |_, objects| flip(objects, &domain_key(objects, "/2."), 150)),
    case("domain-key-destroyed", |_, objects| drop(objects.remove(&domain_key(objects, "/1.")))),
    case("domain-keys-all-damaged", |_, objects| {
        flip(objects, &domain_key(objects, "/1."), 150);
        flip(objects, &domain_key(objects, "/2."), 150);
    }),
    case("key-file-damaged", |_, objects| {
        let name = objects.keys().find(|name| name.ends_with(".age")).expect("a key file").clone();
        let middle = objects[&name].len() - 20;
        flip(objects, &name, middle);
    }),
    case("description-missing", |_, objects| drop(objects.remove(REPOSITORY))),
    case("description-no-json", |_, objects| flip(objects, REPOSITORY, 0)),
    case("description-newer", |_, objects| replace(objects, "\"version\": 1", "\"version\": 2")),
    case("description-of-another", |golden, objects| {
        let other = golden.store(&Objects::new());
        make_stranger(&other);
        objects.insert(REPOSITORY.to_owned(), other.get(REPOSITORY).expect("an object"));
    }),
    case("feature-read", |_, objects| drop(objects.insert("features/folded.read".into(), Bytes::new()))),
    case("feature-write", |_, objects| drop(objects.insert("features/folded.write".into(), Bytes::new()))),
    case("feature-collect", |_, objects| drop(objects.insert("features/folded.collect".into(), Bytes::new()))),
];

const fn case(name: &'static str, damage: fn(&Golden, &mut Objects)) -> Case {
    Case { name, damage }
}

fn change(objects: &mut Objects, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = objects.get(name).expect("an object").to_vec();
    change(&mut bytes);
    objects.insert(name.to_owned(), Bytes::from(bytes));
}

fn flip(objects: &mut Objects, name: &str, at: usize) {
    change(objects, name, |bytes| bytes[at] ^= 4);
}

fn flip_from_end(objects: &mut Objects, before_end: usize) {
    let name = first_pack(objects);
    let at = objects[&name].len() - before_end;
    flip(objects, &name, at);
}

fn replace(objects: &mut Objects, from: &str, to: &str) {
    let text = String::from_utf8(objects[REPOSITORY].to_vec()).expect("JSON");
    objects.insert(REPOSITORY.to_owned(), Bytes::from(text.replace(from, to)));
}

/// The packs, oldest first.
fn packs(objects: &Objects) -> Vec<String> {
    let mut packs: Vec<String> = objects.keys().filter(|name| name.contains("/packs/")).cloned().collect();
    // Shards are in no order; session ids are.
    packs.sort_by_key(|name| {
        name.rsplit('/').take(2).map(str::to_owned).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>()
    });
    packs
}

fn first_pack(objects: &Objects) -> String {
    packs(objects).remove(0)
}

fn footer(pack: &Bytes) -> Footer {
    Footer::decode(&pack[pack.len() - FOOTER_BYTES..], pack.len() as u64).expect("a footer")
}

fn directory(domain: &Domain, name: &str, pack: &Bytes) -> Directory {
    let opener = Opener::new(domain.binding(ObjectKind::Pack, name), pack, domain.ring()).expect("a header");
    Directory::open(&opener, &footer(pack), pack).expect("a directory")
}

/// The first blob of a kind, in the oldest pack that has one.
fn flip_blob(golden: &Golden, objects: &mut Objects, kind: BlobKind) {
    let domain = golden.sound();
    let found = packs(objects).into_iter().find_map(|name| {
        let directory = directory(&domain, &name, &objects[&name]);
        let entry = directory.blobs.iter().find(|entry| entry.position.label.kind == kind)?;
        Some((name, entry.position.offset as usize + 5))
    });
    let (name, at) = found.unwrap_or_else(|| panic!("no pack has a {kind:?}"));
    flip(objects, &name, at);
}

/// The points: whole, hidden, checkpoint, last; and that of the other volume.
fn points(golden: &Golden) -> Vec<PointId> {
    let list = read::points_with_hidden(&golden.sound(), None).expect("a list of points");
    list.points.into_iter().map(|point| point.id).collect()
}

fn point_name(domain: &Domain, id: PointId) -> String {
    layout::point(domain.id(), id.volume, id.session)
}

fn point(golden: &Golden, number: usize) -> String {
    point_name(&golden.sound(), points(golden)[number])
}

fn open(golden: &Golden, number: usize) -> String {
    layout::session_open(golden.sound().id(), points(golden)[number].session)
}

/// A point that nobody has made.
fn bogus(golden: &Golden) -> PointId {
    PointId { session: model::SessionId([0xb0; 16]), ..points(golden)[0] }
}

fn upkeep(golden: &Golden) -> UpkeepKey {
    golden.open(&golden.store(golden.objects())).and_then(|opened| opened.upkeep()).expect("the upkeep key")
}

/// A mark on the first point.
fn mark(golden: &Golden, upkeep: &UpkeepKey, mark: Mark) -> String {
    let (domain, id) = (golden.sound(), points(golden)[0]);
    mark_name((upkeep, domain.repository()), domain.id(), (id.volume, id.session), mark, RUN).expect("a signature")
}

/// A report on the oldest pack that has content.
fn report(golden: &Golden) -> String {
    let domain = golden.sound();
    let id = points(golden)[0];
    damage_name((&upkeep(golden), domain.repository()), domain.id(), (id.session, 0), RUN).expect("a signature")
}

fn domain_key(objects: &Objects, epoch: &str) -> String {
    objects.keys().find(|name| name.ends_with(".key") && name.contains(epoch)).expect("a key").clone()
}

/// The upkeep key of another repository.
fn stranger(golden: &Golden) -> UpkeepKey {
    make_stranger(&golden.store(&Objects::new()))
}

fn make_stranger(store: &repository::store::Store) -> UpkeepKey {
    let recipients = [(Recipient::Age(age::x25519::Identity::generate().to_public()), "other".to_owned())];
    let created = repository::generated::LogicalClock::default().for_domain()();
    let opened = init_repository(store, &recipients, created, &mut SeededRandom::new(4)).expect("a new repository");
    opened.upkeep().expect("its upkeep key")
}
