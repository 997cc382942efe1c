//! Attacker: whoever holds everything that an agent holds - the keys of one domain, and a store that gets, puts and lists - and turns it against the repository.
//!
//! In: a world with a history. Out: nothing gained: no restore point hidden, doomed or aborted, no exchanged byte that passes. Never: the repository key, the upkeep key, a
//! delete. What an agent can do all the same is listed in docs/security.md.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{ErrorClass, SessionId};
use repository::compress::Compressor;
use repository::domain::Domain;
use repository::generated::{Action, GeneratedSource, Moment, Shape, Tree};
use repository::keys::{SystemRandom, UpkeepKey};
use repository::layout::{self, Mark, MarkRun, ParsedName, Signature};
use repository::marks::{damage_name, mark_name};
use repository::pack::{Directory, DirectoryEntry, FOOTER_BYTES, Footer, PackBuilder, Segment, decode_segments};
use repository::point::{PackContent, Point};
use repository::quarantine::Quarantine;
use repository::read::{self, CheckOutcome};
use repository::seal::{BlobKind, BlobLabel, Codec, Header, ObjectKind, Opener, Sealer, SectionWriter};
use repository::session::{Announcement, PointId, Session, marks_of, read_announcement, read_point, read_reference};
use repository::store::{Bytes, Store};
use repository::tree::PackId;
use repository::upkeep::{CollectOptions, Keeper, collect, plan_collection, retire};
use repository::write::backup;

use super::world::{VOLUME, World};

const DAY: Duration = Duration::from_secs(86_400);

/// A repository with two points, and what they hold.
struct History {
    world: World,
    points: Vec<(PointId, Tree)>,
}

fn history() -> History {
    let world = World::new(1, GeneratedSource::new(1, &Shape::tiny()));
    let mut points = Vec::new();
    for round in 0..2u8 {
        let edited = world.source.with(|tree| {
            let inode = tree.file("touched")?;
            tree.edit(inode, |content| content.write(content.size(), &[round; 100_000]))
        });
        edited.expect("an edit");
        points.push((world.backup().point, world.source.snapshot()));
    }
    History { world, points }
}

impl History {
    /// Everything is as it was: listed, valid, restored, and left alone by the collector.
    fn assert_unharmed(&self, what: &str) {
        let listed: Vec<PointId> = self.world.points().iter().map(|point| point.id).collect();
        assert_eq!(listed, self.points.iter().map(|(point, _)| *point).collect::<Vec<_>>(), "{what}");
        let report = collect(&keeper(&self.world), &at_once()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((report.collection.dooms.len(), report.deleted.packs), (0, 0), "{what}: {report:?}");
        for (point, tree) in &self.points {
            self.world.assert_restores(*point, tree, what);
        }
    }
}

fn keeper(world: &World) -> Keeper {
    Keeper::new(world.domain(), Arc::new(world.repository.upkeep().expect("the upkeep key"))).expect("a keeper")
}

/// A collector that waits for nothing, but for sessions.
fn at_once() -> CollectOptions {
    CollectOptions { grace: Duration::ZERO, session_grace: DAY, share_percent_max: 100, ..CollectOptions::default() }
}

fn domain_of(world: &World, name: &str) -> Domain {
    let access = world.repository.domain_or_new(&world.store(), name, &mut SystemRandom).expect("a domain");
    let clock = world.source.clock().for_domain();
    let upkeep = world.repository.manifest.upkeep_public;
    Domain::new(world.store(), access, upkeep, Arc::new(Mutex::new(SystemRandom)), Arc::new(move || clock()))
}

/// Puts a point as its own domain's keys permit: sealed for its name, with an announcement.
fn put_point(domain: &Domain, id: PointId, point: &Point) {
    let keys = domain.writer_keys().expect("keys");
    let name = layout::point(domain.id(), id.volume, id.session);
    let salt = domain.random().expect("a salt");
    let bytes = point.seal(domain.binding(ObjectKind::Point, &name), &keys.structure, &keys.metadata, salt);
    put_announcement(domain, id, Vec::new());
    domain.store().put(&name, Bytes::from(bytes.expect("a point"))).expect("a put");
}

fn put_announcement(domain: &Domain, id: PointId, pins: Vec<PointId>) {
    let announcement = Announcement { volume: id.volume, pins, writer: "attacker".into(), started: String::new() };
    let name = layout::session_open(domain.id(), id.session);
    let keys = domain.writer_keys().expect("keys");
    let sealer =
        Sealer::new(domain.binding(ObjectKind::Session, &name), &[&keys.structure], domain.random().expect("a salt"));
    let mut writer = SectionWriter::new(sealer.expect("a sealer"));
    writer.add(BlobKind::Session, &serde_json::to_vec(&announcement).expect("JSON")).expect("a section");
    domain.store().put(&name, Bytes::from(writer.finish())).expect("a put");
}

/// Every way to come by a mark without the upkeep key, each for one mark on one session.
fn forged(world: &World, at: PointId, mark: Mark, replayed: &[String]) -> Vec<String> {
    let (domain, repository) = (world.domain().id(), world.repository.id());
    let unsigned = layout::unsigned_mark(domain, at.volume, at.session, mark, MarkRun([3; 16]));
    let foreign: UpkeepKey = World::new(9, GeneratedSource::empty()).repository.upkeep().expect("another's key");
    let own = mark_name((&foreign, repository), domain, (at.volume, at.session), mark, MarkRun([4; 16]));
    let signatures = replayed.iter().map(|name| name.rsplit_once('.').expect("a signature").1);
    let mut names: Vec<String> = signatures.map(|signature| format!("{unsigned}.{signature}")).collect();
    names.push(format!("{unsigned}.{}", Signature([0; 64])));
    names.push(own.expect("a signature of somebody else"));
    names.push(unsigned);
    names
}

/// Marks that upkeep really made: of another session, in another domain, in another repository with the same ids.
fn real_marks(world: &World, at: PointId) -> Vec<String> {
    let upkeep = world.repository.upkeep().expect("the key");
    let other_session = SessionId([0xee; 16]);
    let names = Mark::ALL.into_iter().flat_map(|mark| {
        let run = MarkRun([5; 16]);
        let sign = |domain, session, repository| {
            mark_name((&upkeep, repository), domain, (at.volume, session), mark, run).expect("a signature")
        };
        [
            sign(world.domain().id(), other_session, world.repository.id()),
            sign(domain_of(world, "other").id(), at.session, world.repository.id()),
            sign(world.domain().id(), at.session, model::RepositoryId([8; 32])),
        ]
    });
    names.collect()
}

#[test]
fn no_mark_without_the_upkeep_key_hides_dooms_or_aborts_a_restore_point() {
    let history = history();
    let world = &history.world;
    let (point, _) = history.points[0];
    let mut put = 0;
    for mark in Mark::ALL {
        for name in forged(world, point, mark, &real_marks(world, point)) {
            world.put(&name, Bytes::new());
            put += 1;
        }
    }
    // A mark of another domain is copied to where it would count, too.
    let marks = marks_of(&world.domain(), point.volume).expect("a list");
    assert!(!marks.of(point.volume, point.session).has(Mark::Retired), "{marks:?}");
    assert_eq!(marks.invalid().len(), put, "each of them is reported");
    let planned = plan_collection(&world.domain(), &at_once()).expect("a plan");
    assert_eq!(planned.collection.ignored.len(), put, "by the collector too");
    history.assert_unharmed("forged marks");
}

#[test]
fn no_mark_without_the_upkeep_key_ends_a_session_under_way() {
    let history = history();
    let world = &history.world;
    let (store, domain) = (world.store(), world.domain().id());
    let volume = world.domain().volume_id(VOLUME);
    let foreign: UpkeepKey = World::new(9, GeneratedSource::empty()).repository.upkeep().expect("another's key");
    let repository = world.repository.id();
    let change = Action::change(move |_| {
        for session in running(&store, domain) {
            for mark in [Mark::Abort, Mark::Dead, Mark::Doomed] {
                let run = MarkRun([6; 16]);
                let signed = mark_name((&foreign, repository), domain, (volume, session), mark, run);
                store.put(&signed.expect("a signature"), Bytes::new()).expect("a put");
                let unsigned = layout::unsigned_mark(domain, volume, session, mark, run);
                store.put(&format!("{unsigned}.{}", Signature([1; 64])), Bytes::new()).expect("a put");
            }
        }
    });
    world.source.when(Moment::StillThere, None, change, 1);
    let report = world.backup();
    world.assert_restores(report.point, &world.source.snapshot(), "a session that somebody wanted dead");
}

fn running(store: &Store, domain: model::DomainId) -> Vec<SessionId> {
    let listed = store.list(&layout::sessions(domain)).expect("a list");
    let session = |name: &str| match ParsedName::parse(name) {
        Ok(ParsedName::SessionOpen { session, .. }) => Some(session),
        _ => None,
    };
    listed.iter().filter_map(|listed| session(&listed.name)).collect()
}

#[test]
fn nobody_but_upkeep_puts_a_pack_into_quarantine() {
    let history = history();
    let world = &history.world;
    let foreign: UpkeepKey = World::new(9, GeneratedSource::empty()).repository.upkeep().expect("another's key");
    let (pack, _) =
        read_reference(&world.domain(), history.points[0].0).expect("a reference").packs.iter().next().expect("a pack");
    let run = MarkRun([3; 16]);
    let at = (pack.session, pack.seq);
    let signed = damage_name((&foreign, world.repository.id()), world.domain().id(), at, run).expect("a signature");
    let unsigned = layout::unsigned_damage(world.domain().id(), pack.session, pack.seq, run);
    for name in [signed, format!("{unsigned}.{}", Signature([0; 64]))] {
        world.put(&name, Bytes::new());
    }
    let quarantine = Quarantine::list(&world.domain()).expect("a list");
    assert!(quarantine.is_empty());
    assert_eq!(quarantine.invalid().len(), 2);
    history.assert_unharmed("forged damage reports");
}

fn packs(world: &World) -> Vec<PackId> {
    let pack = |name: &String| match ParsedName::parse(name) {
        Ok(ParsedName::Pack { session, sequence, .. }) => Some(PackId { session, seq: sequence }),
        _ => None,
    };
    world.names().iter().filter_map(pack).collect()
}

/// The content of one pack, sealed anew for the name of another or its own, and changed on the way: what the keys of the domain permit.
fn resealed(domain: &Domain, from: PackId, to: PackId, change: impl Fn(&mut Vec<u8>)) -> Bytes {
    let name = domain.pack_name(from);
    let bytes = domain.store().get(&name).expect("a pack");
    let opener = Opener::new(domain.binding(ObjectKind::Pack, &name), &bytes, domain.ring()).expect("a header");
    let footer = Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..], bytes.len() as u64).expect("a footer");
    let directory = Directory::open(&opener, &footer, &bytes).expect("a directory");
    let keys = domain.writer_keys().expect("keys");
    let target = domain.pack_name(to);
    let binding = domain.binding(ObjectKind::Pack, &target);
    // The salt that metadata remembers of the pack that stood there.
    let salt = Header::decode(&target, &domain.store().get(&target).expect("a pack")).expect("a header").0.salt;
    let mut builder =
        PackBuilder::new(binding, &[&keys.structure, &keys.metadata, &keys.data], salt, Vec::new()).expect("a pack");
    let opened = |entry: &DirectoryEntry| {
        let range = entry.position.range();
        opener.open(entry.position.label, &bytes[range.start as usize..range.end as usize]).expect("a blob")
    };
    let list = directory.segment_list().map(opened);
    let list =
        list.map(|plaintext| decode_segments(&plaintext, &directory).expect("a segment list")).unwrap_or_default();
    for entry in &directory.blobs {
        let BlobLabel { kind, number, .. } = entry.position.label;
        if kind == BlobKind::Segments {
            continue;
        }
        let mut plaintext = opened(entry);
        if kind == BlobKind::Data {
            change(&mut plaintext);
        }
        let content = Compressor::new(3).expect("a compressor").compress(&plaintext).expect("bytes");
        match list.iter().find(|(blob, _)| *blob == number) {
            Some((_, segments)) => builder.add_data(&content, &hashed(domain, segments, &plaintext)).expect("room"),
            None => builder.add(kind, &content).expect("room"),
        };
    }
    builder.finish().expect("a pack").0
}

/// The same segments with the hashes of other content.
fn hashed(domain: &Domain, segments: &[Segment], plaintext: &[u8]) -> Vec<Segment> {
    let mut at = 0;
    let mut hashed = Vec::new();
    for segment in segments {
        let end = at + segment.bytes as usize;
        hashed.push(Segment { hash: domain.hashing().segment(&plaintext[at..end]), ..segment.clone() });
        at = end;
    }
    hashed
}

#[test]
fn two_packs_are_not_swapped_unnoticed_not_even_sealed_anew() {
    let history = history();
    let packs = packs(&history.world);
    assert!(packs.len() >= 2);
    for (one, two) in packs.iter().zip(packs.iter().cycle().skip(1)) {
        for anew in [false, true] {
            let world = history.world.copy();
            let domain = world.domain();
            let (first, second) = (domain.pack_name(*one), domain.pack_name(*two));
            let (a, b) = match anew {
                false => (world.object(&second), world.object(&first)),
                true => (resealed(&domain, *two, *one, |_| {}), resealed(&domain, *one, *two, |_| {})),
            };
            world.put(&first, a);
            world.put(&second, b);
            let what = format!("{first} and {second}, anew: {anew}");
            let mut noticed = 0;
            for (point, tree) in &history.points {
                let needed = read_reference(&domain, *point).expect("a reference").packs;
                // A restore gives what was there, or an error: never anything else.
                match world.restore(*point) {
                    Ok(target) => repository::generated::assert_same_tree(tree, &target.snapshot(), &what),
                    Err(error) => {
                        assert!(matches!(error.class(), ErrorClass::Corrupt | ErrorClass::Denied), "{what}: {error}");
                        noticed += 1;
                    }
                }
                assert!(needed.contains(*one) || needed.contains(*two));
            }
            assert!(noticed > 0, "{what}");
            assert_eq!(world.check(true).expect("a report").outcome, CheckOutcome::Damaged, "{what}");
        }
    }
}

#[test]
fn a_pack_sealed_anew_with_other_content_is_not_taken_for_the_first() {
    let history = history();
    let domain = history.world.domain();
    let with_data = |point: PointId| {
        let needed = read_reference(&domain, point).expect("a reference").packs;
        needed.iter().filter(|(_, content)| content.data).map(|(pack, _)| pack).collect::<Vec<_>>()
    };
    let (point, tree) = &history.points[1];
    let packs = with_data(*point);
    let mut same_length = 0;
    for pack in packs {
        let world = history.world.copy();
        // One byte of content; length and everything that the pack says of itself agree.
        let real = world.object(&domain.pack_name(pack));
        let forge = |at: usize| resealed(&domain, pack, pack, |plaintext| plaintext[at] ^= 1);
        let Some(forged) = (0..8).map(forge).find(|forged| forged.len() == real.len()) else { continue };
        same_length += 1;
        world.put(&domain.pack_name(pack), forged);
        match world.restore(*point) {
            Ok(target) => repository::generated::assert_same_tree(tree, &target.snapshot(), "content of a liar"),
            Err(error) => assert_eq!(error.class(), ErrorClass::Corrupt, "{error}"),
        }
        assert_eq!(world.check(true).expect("a report").outcome, CheckOutcome::Damaged);
    }
    assert!(same_length > 0, "no forgery was good enough to prove anything");
}

#[test]
fn an_old_point_under_a_new_name_is_no_restore_point() {
    let history = history();
    let world = &history.world;
    let domain = world.domain();
    let (old, _) = history.points[0];
    let bytes = world.object(&layout::point(domain.id(), old.volume, old.session));
    let new = PointId { volume: old.volume, session: SessionId([0xff; 16]) };
    put_announcement(&domain, new, Vec::new());
    world.put(&layout::point(domain.id(), new.volume, new.session), bytes.clone());
    let list = read::points(&domain, None).expect("a list");
    assert_eq!(list.points.len(), 2);
    assert_eq!(list.unreadable.len(), 1, "it is reported");
    // Nor as the newest: who asks for that is told, instead of being given something older.
    let latest = read::resolve(&domain, None, "latest").expect_err("a point that does not open is the newest by name");
    assert_eq!(latest.class(), ErrorClass::Corrupt);
    assert!(world.restore(new).is_err());
    // Nor in another volume or domain.
    let elsewhere = PointId { volume: domain.volume_id("another"), session: old.session };
    world.put(&layout::point(domain.id(), elsewhere.volume, elsewhere.session), bytes.clone());
    assert!(read_point(&domain, elsewhere).is_err());
    let other = domain_of(world, "other");
    world.put(&layout::point(other.id(), old.volume, old.session), bytes);
    assert!(read_point(&other, old).is_err());
    // The collector does not judge what it cannot read, and says which; upkeep retires it by name, and the rest is as it was.
    let refused = collect(&keeper(world), &at_once()).expect_err("a point that cannot be read");
    assert!(refused.to_string().contains(".point"), "{refused}");
    retire(&keeper(world), &[new, elsewhere]).expect("marks");
    history.world.source.clock().advance(DAY);
    for (point, tree) in &history.points {
        world.assert_restores(*point, tree, "the real ones");
    }
}

#[test]
fn an_announcement_under_another_name_is_not_read_as_that_sessions_pins() {
    let history = history();
    let world = &history.world;
    let domain = world.domain();
    let (pinned, tree) = &history.points[0];
    let session = Session::open(&domain, pinned.volume, vec![*pinned], "a long restore").expect("a session");
    let other = domain_of(world, "other");
    let stranger = PointId { volume: pinned.volume, session: SessionId([0xaa; 16]) };
    put_announcement(&domain, stranger, Vec::new());
    put_announcement(&other, stranger, Vec::new());
    let here = world.object(&layout::session_open(domain.id(), stranger.session));
    let there = world.object(&layout::session_open(other.id(), stranger.session));
    retire(&keeper(world), &[*pinned]).expect("a mark");
    world.source.clock().advance(2 * DAY);
    let name = layout::session_open(domain.id(), session.id());
    let real = world.object(&name);
    for forged in [here, there, Bytes::from_static(b"garbage")] {
        world.put(&name, forged);
        assert!(read_announcement(&domain, session.id()).is_err());
        // What it pins is unknown, so nothing goes.
        let before = packs(world).len();
        if let Ok(report) = collect(&keeper(world), &at_once()) {
            assert_eq!(report.deleted.packs, 0, "{report:?}");
            assert!(report.collection.blocked.is_some(), "{report:?}");
        }
        assert_eq!(packs(world).len(), before);
    }
    world.put(&name, real);
    world.assert_restores(*pinned, tree, "what the session has pinned");
}

#[test]
fn a_bogus_point_with_absurd_references_costs_no_memory_and_is_named() {
    let history = history();
    let world = &history.world;
    let domain = world.domain();
    let (real, _) = history.points[0];
    let mut point = read_point(&domain, real).expect("a point");
    // As many packs as the format permits, of sessions that never were, and all packs of others.
    let content = PackContent { data: true, tables: true };
    let others = packs(world);
    others.iter().for_each(|pack| point.reference.packs.add(*pack, content));
    let room = (4 << 20) - point.reference.packs.len();
    (0..room as u32).for_each(|seq| point.reference.packs.add(PackId { session: SessionId([0xab; 16]), seq }, content));
    let bogus = PointId { volume: real.volume, session: SessionId([0xdd; 16]) };
    put_point(&domain, bogus, &point);
    let object = layout::point(domain.id(), bogus.volume, bogus.session);
    assert!(world.object(&object).len() < 100_000, "a range costs few bytes, in the store and in memory");
    // The collector stops before it deletes, and says what is missing.
    let before = packs(world);
    let refused = collect(&keeper(world), &at_once()).expect_err("packs that are not there");
    assert_eq!(refused.class(), ErrorClass::Corrupt, "{refused}");
    assert_eq!(packs(world), before);
    // Upkeep retires it; then everything goes on, and what the others need has stayed.
    retire(&keeper(world), &[bogus]).expect("a mark");
    world.source.clock().advance(DAY);
    collect(&keeper(world), &at_once()).expect("a run that dooms it");
    collect(&keeper(world), &at_once()).expect("a run that removes it");
    assert!(!world.names().contains(&object));
    history.assert_unharmed("after a bogus point");
}

#[test]
fn an_agent_of_one_domain_opens_nothing_of_another_and_signs_nothing() {
    let history = history();
    let world = &history.world;
    let other = domain_of(world, "other");
    let theirs = backup(&other, &world.source, &world.options()).expect("a backup there");
    let agent = world.domain();
    // It has the other's names from a list, and its objects; not its keys.
    let name = layout::point(other.id(), theirs.point.volume, theirs.point.session);
    let binding = agent.binding(ObjectKind::Point, &name);
    assert!(Point::open_reference(binding, &world.object(&name), agent.ring()).is_err());
    for name in world.names().iter().filter(|name| name.starts_with(&layout::domain_keys(other.id()))) {
        let opened = Opener::new(agent.binding(ObjectKind::DomainKey, name), &world.object(name), agent.ring());
        let opener = opened.expect("a header without a key at hand");
        assert!(opener.header_bytes() > 0);
        let label = BlobLabel { kind: BlobKind::DomainKey, codec: Codec::Stored, number: 0, plaintext_bytes: 1 };
        assert_eq!(opener.open(label, &[0; 17]).expect_err("no wrapping key").class(), ErrorClass::Denied);
    }
}
