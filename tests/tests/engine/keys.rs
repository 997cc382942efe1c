//! Keys of a domain: replaced, retired, destroyed, and proven to open from an export.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use age::x25519::Identity;
use model::{ErrorClass, KeyId};
use repository::Error;
use repository::domain::Domain;
use repository::generated::{Action, GeneratedSource, Moment, Shape};
use repository::keys::{
    DomainAccess, KeyError, KeySet, KeyUse, Recipient, SystemRandom, Unlock, destroy_unused_keys, export_key, key_use,
    open_repository_with_export, prove_domain,
};
use repository::layout::{self, ParsedName};
use repository::pack::{Directory, FOOTER_BYTES, Footer};
use repository::point::Point;
use repository::read::{self, CheckOptions, View};
use repository::seal::{BlobKind, Header, ObjectKind, Opener};
use repository::session::{PointId, Session, read_announcement, read_point, read_reference};
use repository::store::{Bytes, Effect, Faults, MeanwhileHook, Operation, Rule};
use repository::upkeep::{
    CollectOptions, Keeper, ReplicateOptions, ScrubOptions, collect, plan_collection, promote, replicate, scrub,
};
use repository::write::{BackupOptions, BackupReport, backup};

use tests::folder::Folder;

use super::world::World;

fn world() -> World {
    let world = World::new(1, GeneratedSource::new(1, &Shape::tiny()));
    world.source.clock().advance(Duration::from_secs(10));
    world
}

fn access(world: &World) -> DomainAccess {
    world.repository.domain(&world.store(), "default").expect("the domain")
}

fn uses(world: &World) -> Vec<KeyUse> {
    key_use(&world.store(), &access(world)).expect("what is in use")
}

fn edit(world: &World) {
    let edited = world.source.with(|tree| {
        let inode = tree.file("touched")?;
        tree.edit(inode, |content| content.write(content.size(), &[7; 100_000]))
    });
    edited.expect("an edit");
}

/// A domain with keys that were given, as a process that opened it earlier has it.
fn domain_of(world: &World, access: DomainAccess) -> Domain {
    let clock = world.source.clock().for_domain();
    Domain::new(
        world.store(),
        access,
        world.repository.manifest.upkeep_public,
        Arc::new(Mutex::new(SystemRandom)),
        Arc::new(move || clock()),
    )
}

/// The sealed objects that were put since, with the id of their keys.
fn keys_since(world: &World, before: &BTreeSet<String>) -> Vec<(String, KeyId)> {
    let sealed = |name: &String| {
        use ParsedName::{Pack, Point, SessionOpen};
        matches!(ParsedName::parse(name), Ok(Pack { .. } | Point { .. } | SessionOpen { .. }))
    };
    let names = world.names().into_iter().filter(|name| !before.contains(name)).filter(sealed);
    names
        .map(|name| (name.clone(), Header::decode(&name, &world.object(&name)).expect("a header").0.slots[0].id))
        .collect()
}

#[test]
fn after_a_rotation_everything_new_is_under_the_new_keys_and_old_points_are_readable() {
    let world = world();
    let first = world.backup();
    let old_tree = world.source.snapshot();
    let before: BTreeSet<String> = world.names().into_iter().collect();
    let old = access(&world).sets()[0];
    let new = world.rotate_keys().sets()[0];
    assert_eq!((old.epoch, new.epoch), (1, 2));
    edit(&world);
    let second = world.backup();
    assert_eq!(second.parent, Some(first.point.session), "a rotation is no reason for a full backup");
    let put = keys_since(&world, &before);
    assert!(put.len() >= 3, "{put:?}");
    assert!(put.iter().all(|(_, key)| *key == new.id), "{put:?}");
    world.assert_restores(first.point, &old_tree, "the old point");
    world.assert_restores(second.point, &world.source.snapshot(), "the new point");
    world.assert_sound("two epochs");
    // The collector opens both with structure keys alone.
    let keeper = Keeper::new(world.domain(), Arc::new(world.repository.upkeep().expect("the key"))).expect("a keeper");
    let collected = collect(&keeper, &CollectOptions::default()).expect("a run");
    assert!(collected.deleted.packs == 0, "{collected:?}");
}

#[test]
fn two_rotations_at_once_leave_writers_that_agree() {
    let world = world();
    let first = world.backup();
    let tree = world.source.snapshot();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| world.rotate_keys());
        }
    });
    let (one, two) = (access(&world), access(&world));
    assert_eq!(one.sets()[0], two.sets()[0]);
    assert_eq!(one.sets().len(), 3);
    edit(&world);
    let second = world.backup();
    world.assert_restores(first.point, &tree, "the old point");
    world.assert_restores(second.point, &world.source.snapshot(), "the new point");
}

#[test]
fn a_writer_that_began_before_a_rotation_gives_up_before_it_has_written_anything() {
    let world = world();
    let first = world.backup();
    let stale = domain_of(&world, access(&world));
    world.rotate_keys();
    edit(&world);
    let before: BTreeSet<String> = world.names().into_iter().collect();
    let error = backup(&stale, &world.source, &world.options()).expect_err("its keys were replaced");
    assert!(matches!(error, Error::Key(KeyError::KeysReplaced { .. })), "{error}");
    assert_eq!(error.class(), ErrorClass::Busy);
    let put: Vec<String> = world.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(put.iter().all(|name| name.ends_with(".open")), "only an announcement was put: {put:?}");
    assert_eq!(world.points().len(), 1);
    let second = world.backup();
    assert_eq!(second.parent, Some(first.point.session));
}

#[test]
fn a_writer_whose_keys_were_destroyed_gives_up() {
    let world = world();
    world.backup();
    let stale = domain_of(&world, access(&world));
    world.repository.destroy_domain(&world.store(), "default").expect("the end");
    let error = backup(&stale, &world.source, &world.options()).expect_err("its keys are gone");
    assert!(matches!(error, Error::Key(KeyError::KeysReplaced { .. })), "{error}");
}

#[test]
fn a_session_under_way_keeps_the_keys_that_it_announced_itself_with() {
    let world = world();
    world.domain();
    let old = access(&world).sets()[0];
    let (store, repository) = (world.store(), world.repository.clone());
    let destroyed = Arc::new(Mutex::new(None));
    let seen = destroyed.clone();
    // Announced, nothing put yet: the keys are replaced, and whoever destroys unused ones comes by.
    let change = Action::change(move |_| {
        let access = repository.rotate_domain(&store, "default", &mut SystemRandom).expect("new keys");
        *seen.lock().expect("no panic") = Some(destroy_unused_keys(&store, &access).expect("a look"));
    });
    world.source.when(Moment::StillThere, None, change, 1);
    let report = world.backup();
    let looked = destroyed.lock().expect("no panic").take().expect("it happened");
    assert!(looked.iter().all(|(_, gone)| !gone), "{looked:?}");
    let announced = looked.iter().find(|(used, _)| used.set == old).expect("the old set");
    assert_eq!(announced.0.objects, 1, "the announcement: {looked:?}");
    world.assert_restores(report.point, &world.source.snapshot(), "under the old keys");
}

#[test]
fn a_run_that_was_killed_goes_on_only_with_the_keys_that_it_announced_itself_with() {
    let world = world();
    let first = world.backup();
    edit(&world);
    let journal = Folder::new("journal");
    let options = BackupOptions { journal_directory: Some(journal.path().to_owned()), ..world.options() };
    let faults = Faults::seeded(1);
    let die = Effect::Crash { applied: true, hook: Arc::new(|| {}) };
    faults.add(Rule::on(Operation::Put, &layout::packs(world.domain().id()), die).times(1));
    let before: BTreeSet<String> = world.names().into_iter().collect();
    backup(&world.faulty_domain(&faults), &world.source, &options).expect_err("killed when a pack was put");
    world.rotate_keys();
    let report = backup(&world.domain(), &world.source, &options).expect("the next run");
    assert_eq!(report.parent, Some(first.point.session));
    let mut keys: BTreeMap<String, BTreeSet<KeyId>> = BTreeMap::new();
    for (name, key) in keys_since(&world, &before) {
        use ParsedName::{Pack, Point, SessionOpen};
        let Ok(Pack { session, .. } | Point { session, .. } | SessionOpen { session, .. }) = ParsedName::parse(&name)
        else {
            continue;
        };
        keys.entry(session.to_string()).or_default().insert(key);
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "an announcement names the keys of its session: {keys:?}");
    world.assert_restores(report.point, &world.source.snapshot(), "after a kill and a rotation");
}

#[test]
fn whoever_opened_a_domain_before_a_rotation_is_told_to_run_again_and_calls_nothing_damaged() {
    let world = world();
    world.backup();
    let stale = domain_of(&world, access(&world));
    world.rotate_keys();
    edit(&world);
    world.backup();
    let keeper = Keeper::new(stale.clone(), Arc::new(world.repository.upkeep().expect("the key"))).expect("a keeper");
    let elsewhere = world.elsewhere();
    let errors = [
        read::points(&stale, None).err(),
        read::check(&stale, &CheckOptions::default()).err(),
        collect(&keeper, &CollectOptions::default()).err(),
        scrub(&keeper, &ScrubOptions::default()).err(),
        replicate(&stale, &elsewhere.store(), &ReplicateOptions::default()).err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Some(Error::Key(KeyError::NewerKeys { .. } | KeyError::KeysReplaced { .. }))),
            "{error:?}"
        );
    }
    world.assert_sound("nobody quarantined anything");
}

#[test]
fn what_half_a_copy_needs_keeps_the_keys_of_a_replica() {
    let world = world();
    world.backup();
    world.rotate_keys();
    edit(&world);
    world.backup();
    // The second point needs packs under both sets.
    let replica = world.elsewhere();
    let faults = Faults::seeded(1);
    let die = Effect::Crash { applied: false, hook: Arc::new(|| {}) };
    faults.add(Rule::on(Operation::Put, &layout::packs(world.domain().id()), die).times(1));
    let killed = replicate(&world.domain(), &replica.store().with_faults(faults), &ReplicateOptions::default());
    killed.expect_err("killed before the first pack");
    let at_replica = || world.repository.domain(&replica.store(), "default").expect("the domain");
    assert_eq!(at_replica().sets().len(), 2);
    let error = destroy_unused_keys(&replica.store(), &at_replica()).expect_err("a replica");
    assert!(matches!(error, Error::Key(KeyError::KeysOfAReplica)), "{error}");
    promote(&replica.store()).expect("promoted");
    let error = destroy_unused_keys(&replica.store(), &at_replica()).expect_err("half a copy");
    assert_eq!(error.class(), ErrorClass::Busy, "{error}");
    replica.names().iter().filter(|name| name.ends_with(".point")).for_each(|name| replica.delete(name));
    let looked = destroy_unused_keys(&replica.store(), &at_replica()).expect("nothing is there any more");
    assert_eq!(looked.iter().filter(|(_, gone)| *gone).count(), 1, "{looked:?}");
}

#[test]
fn old_keys_end_when_nothing_names_them_and_not_before() {
    let world = world();
    let first = world.backup();
    let old = access(&world).sets()[0];
    world.rotate_keys();
    let other = BackupOptions { volume: "other".into(), ..world.options() };
    let second = backup(&world.domain(), &world.source, &other).expect("a backup under new keys");
    let destroy = || destroy_unused_keys(&world.store(), &access(&world)).expect("a look");
    // Each kind of object alone keeps the set: a point that is not valid, too.
    let of_first = |name: &String| name.contains(&first.point.session.to_string());
    let (point, session) = (
        layout::point(world.domain().id(), first.point.volume, first.point.session),
        layout::session_open(world.domain().id(), first.point.session),
    );
    let packs: Vec<String> =
        world.names().into_iter().filter(of_first).filter(|name| *name != point && *name != session).collect();
    assert!(!packs.is_empty());
    for group in [vec![session], packs, vec![point]] {
        assert!(destroy().iter().all(|(_, gone)| !gone), "{group:?}");
        group.iter().for_each(|name| world.delete(name));
    }
    let used = uses(&world);
    assert_eq!(
        used.iter().map(|used| (used.newest, used.objects == 0)).collect::<Vec<_>>(),
        [(true, false), (false, true)]
    );
    let gone: Vec<KeyUse> = destroy().into_iter().filter(|(_, gone)| *gone).map(|(used, _)| used).collect();
    assert_eq!(gone.iter().map(|used| used.set).collect::<Vec<_>>(), [old]);
    assert_eq!(access(&world).sets().len(), 1);
    world.assert_restores(second.point, &world.source.snapshot(), "what is left");
}

#[test]
fn while_anything_is_in_doubt_no_key_is_destroyed() {
    let world = world();
    world.backup();
    world.rotate_keys();
    world.rotate_keys();
    let sets = access(&world).sets().len();
    let garbage = layout::pack(world.domain().id(), world.points()[0].id.session, 77);
    world.put(&garbage, Bytes::from_static(b"garbage"));
    let error = destroy_unused_keys(&world.store(), &access(&world)).expect_err("a pack that says nothing");
    assert!(error.to_string().contains(&garbage), "{error}");
    world.delete(&garbage);
    // A newest epoch that nobody can read: the one before it may be needed after all.
    let planted = layout::domain_key(world.domain().id(), 9, KeyId([9; 16]));
    world.put(&planted, Bytes::from_static(b"garbage"));
    let error = destroy_unused_keys(&world.store(), &access(&world)).expect_err("the newest cannot be read");
    assert!(error.to_string().contains(&planted), "{error}");
    world.delete(&planted);
    assert_eq!(access(&world).sets().len(), sets);
}

#[test]
fn a_destroyed_domain_is_unreadable_for_good_with_everything_else_and_the_repository_key() {
    let world = world();
    let report = world.backup();
    world.rotate_keys();
    edit(&world);
    world.backup();
    let objects: Vec<(String, Bytes)> =
        world.names().into_iter().map(|name| (name.clone(), world.object(&name))).collect();
    let id = world.domain().id();
    let destroyed = world.repository.destroy_domain(&world.store(), "default").expect("the end");
    assert_eq!((destroyed.id, destroyed.keys), (id, 2));
    assert!(!world.names().iter().any(|name| name.starts_with(&layout::domain(id))), "nothing is left");
    // A repository that somebody had copied, all but the key objects.
    for (name, bytes) in &objects {
        if !name.starts_with(&layout::domain_keys(id)) {
            world.put(name, bytes.clone());
        }
    }
    let reopened = world.reopen().expect("the repository opens as ever");
    let refused = |result: Result<DomainAccess, Error>| match result {
        Err(Error::Key(error @ KeyError::KeysLost { .. })) => error.class(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    };
    assert_eq!(refused(reopened.domain(&world.store(), "default")), ErrorClass::Corrupt);
    assert_eq!(refused(reopened.domain_or_new(&world.store(), "default", &mut SystemRandom)), ErrorClass::Corrupt);
    // Not even with new keys under the old ids: they are bound to what was random.
    let elsewhere = World::new(2, GeneratedSource::empty());
    let fresh = reopened.domain_or_new(&elsewhere.store(), "default", &mut SystemRandom).expect("new keys");
    let domain = domain_of(&world, fresh);
    let list = read::points(&domain, None).expect("a list");
    assert_eq!((list.points.len(), list.unreadable.len()), (0, 2), "{list:?}");
    assert_eq!(View::open(&domain, report.point, 1 << 20).err().map(|error| error.class()), Some(ErrorClass::Denied));
    for (name, bytes) in objects.iter().filter(|(name, _)| name.contains("/packs/")) {
        let opener = Opener::new(domain.binding(ObjectKind::Pack, name), bytes, domain.ring()).expect("a header");
        let footer = Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..], bytes.len() as u64).expect("a footer");
        assert!(matches!(Directory::open(&opener, &footer, bytes), Err(Error::KeyNotAtHand { .. })), "{name}");
    }
    // The collector says what it cannot do, and does nothing.
    let error = plan_collection(&domain, &CollectOptions::default()).expect_err("it can judge nothing");
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
}

#[test]
fn destroying_a_domain_touches_no_other_and_goes_on_where_it_was_killed() {
    let world = world();
    world.backup();
    let other = world.repository.domain_or_new(&world.store(), "other", &mut SystemRandom).expect("another");
    let kept = backup(&domain_of(&world, other.clone()), &world.source, &world.options()).expect("a backup there");
    // Killed after the keys went: nobody takes what is left for a new domain.
    let id = world.domain().id();
    for name in world.names().iter().filter(|name| name.starts_with(&layout::domain_keys(id))) {
        world.delete(name);
    }
    let lost = world.repository.domain(&world.store(), "default").err().expect("no keys");
    assert!(matches!(lost, Error::Key(KeyError::KeysLost { .. })), "{lost}");
    let rest = world.repository.destroy_domain(&world.store(), "default").expect("it goes on");
    assert_eq!(rest.keys, 0);
    assert!(rest.objects >= 3);
    let again = world.repository.destroy_domain(&world.store(), "default").expect_err("nothing is left");
    assert_eq!(again.class(), ErrorClass::Missing);
    let point = read_point(&domain_of(&world, other), kept.point).expect("the other domain's point");
    assert!(!point.reference.packs.is_empty());
    assert!(
        world.repository.domain_or_new(&world.store(), "default", &mut SystemRandom).is_ok(),
        "a name may be used again"
    );
}

#[test]
fn an_export_is_proven_to_open_every_domain_and_a_blob_of_its_newest_point() {
    let world = world();
    let report: BackupReport = world.backup();
    world.rotate_keys();
    world.repository.domain_or_new(&world.store(), "empty", &mut SystemRandom).expect("a domain without points");
    let safe = Identity::generate();
    let export = export_key(&world.repository, &Recipient::Age(safe.to_public()), "safe").expect("an export");
    let unlock = Unlock::Identities(vec![safe]);
    let opened =
        open_repository_with_export(&world.store(), &export, &unlock, Some(world.repository.id())).expect("it opens");
    let before = world.store().requests();
    let domains = opened.domains(&world.store()).expect("domains");
    let mut names: Vec<String> = domains.iter().map(|found| found.name.clone().expect("a name")).collect();
    names.sort();
    assert_eq!(names, ["default", "empty"]);
    let prove = |name: &str| prove_domain(&domain_of(&world, opened.domain(&world.store(), name).expect("keys")));
    let proven = prove("default").expect("a proof");
    assert_eq!(proven.point, Some(report.point));
    let pack = proven.pack.expect("a pack with content");
    assert_eq!(prove("empty").expect("nothing to prove").point, None);
    assert_eq!(world.store().requests().since(before).put, 0);
    // Content that does not open is no proof, whatever else opens.
    let name = world.domain().pack_name(pack);
    let mut bytes = world.object(&name).to_vec();
    bytes[300] ^= 1;
    world.put(&name, bytes.into());
    assert_eq!(prove("default").expect_err("damage").class(), ErrorClass::Corrupt);
    // Key objects of another repository name no domain of this one.
    let other = World::new(2, GeneratedSource::empty());
    let theirs = other.repository.domain_or_new(&other.store(), "default", &mut SystemRandom).expect("theirs");
    for name in other.names().iter().filter(|name| name.starts_with(&layout::domain_keys(theirs.id()))) {
        world.put(name, other.object(name));
    }
    let found = opened.domains(&world.store()).expect("domains");
    let foreign = found.iter().find(|found| found.id == theirs.id()).expect("it is there");
    assert!(foreign.name.is_err(), "{foreign:?}");
}

#[test]
fn the_structure_key_alone_opens_what_upkeep_needs_and_nothing_else() {
    let world = world();
    let report = world.backup();
    let full = world.domain();
    let domain = domain_of(&world, access(&world).structure_only());
    // Reference parts, announcements, pack directories, table footers.
    assert_eq!(
        read_reference(&domain, report.point).expect("a reference part"),
        read_point(&full, report.point).expect("all").reference
    );
    assert_eq!(read_announcement(&domain, report.point.session).expect("an announcement").volume, report.point.volume);
    let mut opened = BTreeSet::new();
    for (pack, _) in read_reference(&domain, report.point).expect("a reference part").packs.iter() {
        let name = domain.pack_name(pack);
        let bytes = world.object(&name);
        let opener = Opener::new(domain.binding(ObjectKind::Pack, &name), &bytes, domain.ring()).expect("a header");
        let footer = Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..], bytes.len() as u64).expect("a footer");
        let directory = Directory::open(&opener, &footer, &bytes).expect("its directory");
        for entry in &directory.blobs {
            let range = entry.position.range();
            let sealed = &bytes[range.start as usize..range.end as usize];
            let kind = entry.position.label.kind;
            match opener.open(entry.position.label, sealed) {
                Ok(_) => assert!(opened.insert(kind) || kind == BlobKind::TableFooter, "{kind:?}"),
                Err(Error::KeyNotAtHand { class, .. }) => assert_eq!(class, kind.class().name()),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(opened, BTreeSet::from([BlobKind::TableFooter]));
    // Neither names nor content, nor anything new.
    let name = layout::point(domain.id(), report.point.volume, report.point.session);
    let denied = Point::open(domain.binding(ObjectKind::Point, &name), &world.object(&name), domain.ring());
    assert!(matches!(denied, Err(Error::KeyNotAtHand { class: "metadata", .. })), "{denied:?}");
    assert!(View::open(&domain, report.point, 1 << 20).is_err());
    assert!(domain.writer_keys().is_err());
    // With it alone a collector does its work.
    let keeper = Keeper::new(domain, Arc::new(world.repository.upkeep().expect("the key"))).expect("a keeper");
    let stray = PointId { volume: report.point.volume, session: report.point.session };
    let collected = collect(&keeper, &CollectOptions::default()).expect("a run");
    assert_eq!(collected.deleted.packs, 0);
    world.assert_restores(stray, &world.source.snapshot(), "after a collector without content keys");
}

/// Keys that nothing names: the first set of a domain that got a second one.
fn with_unused_keys() -> (World, KeySet) {
    let world = world();
    world.domain();
    let first = access(&world).sets()[0];
    world.rotate_keys();
    (world, first)
}

#[test]
fn a_key_is_noted_as_destroyed_before_it_goes() {
    let (world, first) = with_unused_keys();
    let access = access(&world);
    let noted = layout::destroyed_key(access.id(), first.id);
    let faults = Faults::seeded(1);
    faults.add(Rule::on(Operation::Put, &noted, Effect::Ignore));
    faults.add(Rule::on(Operation::Delete, "", Effect::Crash { applied: false, hook: Arc::new(|| {}) }));
    destroy_unused_keys(&world.store().with_faults(faults.clone()), &access).expect_err("killed before the key goes");
    assert_eq!(faults.fired(), 2, "the note was put, then the key would have gone");
    destroy_unused_keys(&world.store(), &access).expect("run again");
    let (names, key) = (world.names(), layout::domain_key(access.id(), first.epoch, first.id));
    assert!(names.contains(&noted) && !names.contains(&key), "{names:?}");
}

#[test]
fn keys_that_become_old_while_one_looks_are_not_destroyed() {
    for k in 0.. {
        let world = Arc::new(world());
        world.domain();
        let keys = access(&world);
        let (other, announced) = (world.clone(), Arc::new(Mutex::new(None)));
        let says = announced.clone();
        let hook: MeanwhileHook = Arc::new(move || {
            let session = Session::open(&other.domain(), other.domain().volume_id("volume"), Vec::new(), "somebody");
            *says.lock().expect("no panic") = Some(session.expect("announced").id());
            other.rotate_keys();
        });
        let faults = Faults::seeded(1);
        faults.add(Rule::any("", Effect::Meanwhile(hook)).after(k).times(1));
        destroy_unused_keys(&world.store().with_faults(faults.clone()), &keys).expect("a look");
        let Some(session) = announced.lock().expect("no panic").take() else {
            assert!(k > 4, "{k} requests");
            return;
        };
        read_announcement(&world.domain(), session).unwrap_or_else(|error| panic!("before request {k}: {error}"));
    }
}
