//! Damage stays where it is: it is reported, it is not copied, and it holds up no other point. Strangers' objects at the replica are reported and not replaced.

use repository::layout::{self, Mark, MarkRun};
use repository::marks::mark_name;
use repository::session::{PointId, read_reference};
use repository::store::{Bytes, Effect, Faults, Operation, Rule};
use repository::tree::PackId;
use repository::upkeep::{CopySide, ReplicateReport, WhyNot};
use repository::write::{BackupOptions, backup};

use super::super::world::World;
use super::pair::{Pair, points, world};

/// Two volumes that share nothing.
fn two_volumes() -> (Pair, PointId, PointId) {
    let source = world(1);
    let first = points(&source, 1)[0].0;
    let options = BackupOptions { volume: "other".to_owned(), ..source.options() };
    let second = backup(&source.domain(), &source.source, &options).expect("a backup").point;
    (Pair::new(source), first, second)
}

fn packs(world: &World, point: PointId) -> Vec<PackId> {
    read_reference(&world.domain(), point).expect("a reference").packs.iter().map(|(pack, _)| pack).collect()
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// Only the second point was replicated, and this object is named.
fn only_the_second(
    pair: &Pair,
    report: &ReplicateReport,
    (first, second): (PointId, PointId),
    at: CopySide,
    object: &str,
) {
    assert_eq!(report.replicated, [second], "{object}: {report:?}");
    assert_eq!(
        report.not_replicated.iter().map(|left| (left.point, left.why)).collect::<Vec<_>>(),
        [(first, WhyNot::Damaged)]
    );
    assert_eq!(report.damaged.iter().map(|damaged| (damaged.at, &*damaged.object)).collect::<Vec<_>>(), [(at, object)]);
    assert_eq!(pair.valid_at_replica(), [second].into());
}

#[test]
fn damage_at_the_source_does_not_spread() {
    let (pristine, first, second) = two_volumes();
    let domain = pristine.source.domain();
    let pack = domain.pack_name(packs(&pristine.source, first)[0]);
    let point = layout::point(domain.id(), first.volume, first.session);
    let open = layout::session_open(domain.id(), first.session);
    for name in [&pack, &point, &open] {
        let bytes = pristine.source.object(name);
        // In front of the object, in the middle, at its end: header, blobs or sections, footer.
        for at in [20, 40, bytes.len() / 2, bytes.len() - 20] {
            let is_metadata = *name == point && at > bytes.len() / 4;
            let pair = Pair { source: pristine.source.copy(), replica: pristine.source.elsewhere() };
            pair.source.put(name, flipped(&bytes, at));
            let report = match is_metadata {
                // What the structure key does not open is proven by those who have the others.
                true => {
                    repository::upkeep::replicate(&pair.source.domain(), &pair.replica.store(), &Default::default())
                        .expect("a replication")
                }
                false => pair.replicate(),
            };
            only_the_second(&pair, &report, (first, second), CopySide::Source, name);
            assert!(!pair.replica.names().contains(name), "{name} at {at}: damage was copied");
        }
    }
    let pair = pristine;
    let bytes = pair.source.object(&pack);
    pair.source.delete(&pack);
    only_the_second(&pair, &pair.replicate(), (first, second), CopySide::Source, &pack);
    pair.source.put(&pack, bytes);
    assert_eq!(pair.replicate().replicated, [first], "when it is whole again, so is the replica");
}

#[test]
fn what_is_bad_once_and_good_when_read_again_is_no_damage() {
    let (pair, ..) = two_volumes();
    let faults = Faults::seeded(3);
    let domain = pair.source.domain().id();
    for prefix in [layout::packs(domain), layout::points(domain), layout::sessions(domain)] {
        faults.add(Rule::on(Operation::Get, &prefix, Effect::FlipBit).times(1));
    }
    let report = pair.faulty_actor(&faults).replicate().expect("a replication");
    assert_eq!((report.replicated.len(), report.damaged.len(), faults.fired()), (2, 0, 3), "{report:?}");
    pair.assert_complete(&pair.source, "after three flipped bits");
}

#[test]
fn a_pack_of_another_size_at_the_replica_is_reported_and_not_replaced() {
    let (pair, first, second) = two_volumes();
    pair.replicate();
    let name = pair.source.domain().pack_name(packs(&pair.source, first)[0]);
    let pair = Pair { replica: pair.source.elsewhere(), ..pair };
    // The marker comes first, so a stranger can come in between.
    pair.replica.put("features/replica.collect", Bytes::new());
    pair.replica.put(&name, Bytes::from_static(b"a stranger's"));
    let report = pair.replicate();
    only_the_second(&pair, &report, (first, second), CopySide::Target, &name);
    assert_eq!(pair.replica.object(&name), Bytes::from_static(b"a stranger's"));
    pair.replica.delete(&name);
    assert_eq!(pair.replicate().replicated, [first]);
}

#[test]
fn a_pack_that_the_source_lost_by_accident_is_not_relied_upon_at_the_replica() {
    // The replica's collector may take what its source has lost: were the point copied, it could be left without.
    let pair = Pair::new(world(1));
    let first = points(&pair.source, 1)[0].0;
    pair.replicate();
    let second = pair.actor().undelete_at_source(first);
    let name = pair.source.domain().pack_name(packs(&pair.source, second)[0]);
    pair.source.delete(&name);
    let report = pair.replicate();
    assert_eq!((report.present, &report.replicated), (1, &vec![]), "{report:?}");
    assert_eq!(
        report.not_replicated.iter().map(|left| (left.point, left.why)).collect::<Vec<_>>(),
        [(second, WhyNot::Damaged)]
    );
    assert_eq!(
        report.damaged.iter().map(|damaged| (damaged.at, &damaged.object)).collect::<Vec<_>>(),
        [(CopySide::Source, &name)]
    );
}

#[test]
fn other_sizes_of_what_is_there_are_reported() {
    let (pair, first, _) = two_volumes();
    pair.replicate();
    let name = layout::point(pair.source.domain().id(), first.volume, first.session);
    pair.replica.put(&name, Bytes::from_static(b"short"));
    let report = pair.replicate();
    assert_eq!((report.present, report.copied.packs), (2, 0));
    assert_eq!(
        report.damaged.iter().map(|damaged| (damaged.at, &damaged.object)).collect::<Vec<_>>(),
        [(CopySide::Target, &name)]
    );
    assert_eq!(pair.replica.object(&name), Bytes::from_static(b"short"), "that is for `repair`");
}

#[test]
fn marks_of_strangers_change_nothing_at_either_place() {
    let (pair, first, second) = two_volumes();
    let stranger = world(99).repository.upkeep().expect("a key");
    for (world, point) in [(&pair.source, first), (&pair.replica, second)] {
        if std::ptr::eq(world, &pair.replica) {
            world.put("features/replica.collect", Bytes::new());
        }
        for mark in [Mark::Doomed, Mark::Dead, Mark::Retired] {
            let place = (&stranger, pair.source.repository.id());
            let name =
                mark_name(place, pair.source.domain().id(), (point.volume, point.session), mark, MarkRun([1; 16]));
            world.put(&name.expect("a name"), Bytes::new());
        }
    }
    let report = pair.replicate();
    assert_eq!(report.replicated, [first, second], "{report:?}");
    let collected = pair.actor().collect_replica().expect("a collector run");
    assert_eq!((collected.collection.ignored.len(), collected.deleted.packs), (3, 0));
    assert_eq!(pair.valid_at_replica(), [first, second].into());
}

#[test]
fn keys_that_the_source_has_no_more_are_named() {
    let (pair, ..) = two_volumes();
    pair.replicate();
    let key = pair.source.names().into_iter().find(|name| name.starts_with("keys/")).expect("a key");
    pair.source.delete(&key);
    let report = pair.replicate();
    assert_eq!(report.keys_left, std::slice::from_ref(&key));
    assert!(pair.replica.names().contains(&key), "a replicator deletes nothing");
}

#[test]
fn keys_that_cannot_be_opened_are_not_copied() {
    let (pair, first, second) = two_volumes();
    let name = layout::domain_key(pair.source.domain().id(), 1, model::KeyId([0xff; 16]));
    pair.source.put(&name, Bytes::from_static(b"no keys"));
    let report = pair.replicate();
    assert_eq!(
        report.damaged.iter().map(|damaged| (damaged.at, &damaged.object)).collect::<Vec<_>>(),
        [(CopySide::Source, &name)]
    );
    assert!(!pair.replica.names().contains(&name));
    assert_eq!(report.replicated, [first, second], "nothing needs them");
}

#[test]
fn what_is_damaged_on_its_way_is_not_kept_at_the_replica() {
    let source = world(1);
    points(&source, 1);
    let pristine = Pair::new(source);
    for seed in 0..4 {
        for k in 0.. {
            let pair = Pair { source: pristine.source.copy(), replica: pristine.source.elsewhere() };
            let faults = Faults::seeded(seed);
            faults.add(Rule::on(Operation::Get, "", Effect::FlipBit).after(k).times(1));
            let result = pair.faulty_actor(&faults).replicate();
            let originals = pristine.source.names();
            for name in pair.replica.names().iter().filter(|name| originals.contains(name)) {
                assert_eq!(pair.replica.object(name), pristine.source.object(name), "{name}, seed {seed}, get {k}");
            }
            if faults.fired() == 0 {
                result.expect("a replication that nothing disturbed");
                assert!(k > 8, "{k} gets");
                break;
            }
        }
    }
}
