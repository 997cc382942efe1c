//! What has to hold of the module above, one claim per test.

use age::x25519;

use super::*;
use crate::keys::SystemRandom;
use crate::keys::tests::{memory, repository};
use crate::store::{Effect, Failure, Faults, Operation, RetryPolicy, Rule};
use model::ErrorClass;

fn opened() -> (Store, OpenedRepository) {
    let store = memory();
    let opened = repository(&store, &x25519::Identity::generate());
    (store, opened)
}

fn key_names(store: &Store, access: &DomainAccess) -> Vec<String> {
    store.list(&layout::domain_keys(access.id())).unwrap().into_iter().map(|listed| listed.name).collect()
}

/// Where an object of a domain is sealed with what a writer uses, in this test: the same bytes for the same keys.
fn seals_alike(one: &DomainAccess, two: &DomainAccess) -> bool {
    let object = Binding { repository: one.repository(), kind: ObjectKind::Session, name: "d/x/sessions/y.open" };
    let sealed = |access: &DomainAccess| {
        let keys = access.writer_keys().unwrap();
        let mut sealer =
            SectionWriter::new(Sealer::new(object, &[&keys.structure, &keys.metadata, &keys.data], [3; 32]).unwrap());
        sealer.add(BlobKind::Session, b"{}").unwrap();
        sealer.add(BlobKind::Description, b"{}").unwrap();
        sealer.finish()
    };
    sealed(one) == sealed(two)
}

#[test]
fn a_domain_that_nobody_used_is_missing_until_it_is_made() {
    let (store, repository) = opened();
    let missing = repository.domain(&store, "default").err().unwrap();
    assert_eq!(missing.class(), ErrorClass::Missing);
    assert!(missing.to_string().contains("\"default\""));
    let made = repository.domain_or_new(&store, "default", &mut SystemRandom).unwrap();
    assert_eq!(made.sets().len(), 1);
    assert_eq!(made.sets()[0].epoch, 1);
    let again = repository.domain_or_new(&store, "default", &mut SystemRandom).unwrap();
    assert!(seals_alike(&made, &again));
    assert_eq!(key_names(&store, &made), [layout::domain_key(made.id(), 1, made.sets()[0].id)]);
}

#[test]
fn names_and_hashes_follow_from_the_names_alone_and_differ_between_domains_and_repositories() {
    let ((store, repository), (other_store, other_repository)) = (opened(), opened());
    let a = repository.domain_or_new(&store, "a", &mut SystemRandom).unwrap();
    let same = repository.domain(&store, "a").unwrap();
    assert_eq!(
        (same.id(), same.volume_id("v"), same.hashing().page(b"x")),
        (a.id(), a.volume_id("v"), a.hashing().page(b"x"))
    );
    assert_ne!(a.volume_id("v"), a.volume_id("w"));
    let b = repository.domain_or_new(&store, "b", &mut SystemRandom).unwrap();
    let elsewhere = other_repository.domain_or_new(&other_store, "a", &mut SystemRandom).unwrap();
    for other in [b, elsewhere] {
        assert_ne!(other.id(), a.id());
        assert_ne!(other.volume_id("v"), a.volume_id("v"));
        assert_ne!(other.hashing().page(b"x"), a.hashing().page(b"x"));
    }
}

/// `B3k(key, message)` of the format, without the code under test.
fn b3k(key: &[u8; 32], message: &[&[u8]]) -> [u8; 32] {
    *blake3::keyed_hash(key, &message.concat()).as_bytes()
}

#[test]
fn every_derivation_is_that_of_the_format() {
    let (store, repository) = opened();
    let key = *repository.key.secret().bytes();
    let (manifest, access) =
        (&repository.manifest, repository.domain_or_new(&store, "default", &mut SystemRandom).unwrap());
    assert_eq!(manifest.repository.0, b3k(&key, &[b"holdfast v1 repository id\0", &manifest.upkeep_public.0]));
    assert_eq!(access.id().0, b3k(&key, &[b"holdfast v1 domain id\0default"])[..16]);
    let root = b3k(&key, &[b"holdfast v1 domain\0", &access.id().0]);
    let naming = b3k(&root, &[b"holdfast v1 naming\0"]);
    assert_eq!(access.volume_id("v").0, b3k(&naming, &[b"holdfast v1 volume id\0v"])[..16]);
    let hashing = b3k(&root, &[b"holdfast v1 hashing\0"]);
    assert_eq!(access.hashing().page(b"x"), b3k(&hashing, &[b"x"]));
    let wrapping = b3k(&root, &[b"holdfast v1 wrapping\0"]);
    let wrapping_id = &b3k(&wrapping, &[b"holdfast v1 key id\0"])[..16];
    let object = store.get(&key_names(&store, &access)[0]).unwrap();
    // The header: magic, version 1, kind 4, suite 1, one slot; at 48 the class, at 52 the key id, at 68 the commitment.
    assert_eq!(object[..16], *b"HOLDFAST\x01\0\x04\x01\x01\0\0\0");
    assert_eq!((object[48], &object[52..68]), (1, wrapping_id));
    let mut derived = [0; 64];
    let message = [b"holdfast v1 object\0", &object[16..48], &manifest.repository.0, &[1]].concat();
    blake3::Hasher::new_keyed(&wrapping).update(&message).finalize_xof().fill(&mut derived);
    assert_eq!(object[68..100], derived[32..]);
}

#[test]
fn writers_use_the_highest_epoch_and_in_it_the_lowest_id_and_readers_keep_every_key() {
    let (store, repository) = opened();
    let first = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let root = DomainRoot::new(&repository, "d").unwrap();
    // Epoch 10 sorts before epoch 2 in a listing; what counts is the number.
    for epoch in [2, 10, 10, 10, 9] {
        root.create_set(&store, epoch, &mut SystemRandom).unwrap();
    }
    let access = repository.domain(&store, "d").unwrap();
    let lowest = access.sets().iter().filter(|set| set.epoch == 10).map(|set| set.id).min().unwrap();
    assert_eq!(access.sets()[0], KeySet { epoch: 10, id: lowest });
    let keys = access.writer_keys().unwrap();
    assert_eq!((keys.structure.id, keys.metadata.id, keys.data.id), (lowest, lowest, lowest));
    for class in [KeyClass::Structure, KeyClass::Metadata, KeyClass::Data] {
        assert!(access.sets().iter().all(|set| access.ring().find(class, set.id).is_some()));
        assert!(access.ring().find(class, first.sets()[0].id).is_some());
    }
}

#[test]
fn rotation_gives_writers_new_keys_and_takes_none_from_readers() {
    let (store, repository) = opened();
    let before = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let after = repository.rotate_domain(&store, "d", &mut SystemRandom).unwrap();
    assert_eq!(after.sets()[0].epoch, 2);
    assert!(!seals_alike(&before, &after));
    assert!(after.ring().find(KeyClass::Data, before.sets()[0].id).is_some());
    assert!(seals_alike(&after, &repository.domain(&store, "d").unwrap()));
}

#[test]
fn an_access_holds_nothing_that_opens_a_key_object() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let name = &key_names(&store, &access)[0];
    let object = Binding { repository: access.repository(), kind: ObjectKind::DomainKey, name };
    let bytes = store.get(name).unwrap();
    let opened =
        SectionReader::new(object, &bytes, access.ring(), &[BlobKind::DomainKey]).and_then(|sections| sections.open(0));
    assert!(matches!(opened, Err(Error::KeyNotAtHand { class: "wrapping", .. })));
}

#[test]
fn an_unreadable_key_object_is_reported_and_stops_only_who_would_need_it() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    store.put(&layout::domain_key(access.id(), 1, KeyId([0; 16])), Bytes::from_static(b"garbage")).unwrap();
    let with_an_old_one = repository.domain(&store, "d").unwrap();
    assert_eq!(with_an_old_one.unreadable().len(), 1);
    assert!(seals_alike(&access, &with_an_old_one));
    let newest = layout::domain_key(access.id(), 2, KeyId([0; 16]));
    store.put(&newest, Bytes::from(vec![0; KEY_OBJECT_BYTES_MAX as usize + 1])).unwrap();
    let with_a_new_one = repository.domain(&store, "d").unwrap();
    assert!(with_a_new_one.ring().find(KeyClass::Data, access.sets()[0].id).is_some());
    let refused = with_a_new_one.writer_keys().err().unwrap();
    assert_eq!(refused.class(), ErrorClass::Corrupt);
    assert!(refused.to_string().contains(&newest), "{refused}");
}

#[test]
fn a_key_object_under_another_name_or_of_another_repository_gives_no_keys() {
    let ((store, repository), (other_store, other_repository)) = (opened(), opened());
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let other = other_repository.domain_or_new(&other_store, "d", &mut SystemRandom).unwrap();
    let own = store.get(&key_names(&store, &access)[0]).unwrap();
    let foreign = other_store.get(&key_names(&other_store, &other)[0]).unwrap();
    store.put(&layout::domain_key(access.id(), 5, access.sets()[0].id), own.clone()).unwrap();
    store.put(&layout::domain_key(access.id(), 1, KeyId([0; 16])), own).unwrap();
    store.put(&layout::domain_key(access.id(), 6, other.sets()[0].id), foreign).unwrap();
    let read = repository.domain(&store, "d").unwrap();
    assert_eq!(read.sets(), access.sets());
    assert_eq!(read.unreadable().len(), 3);
}

#[test]
fn every_flipped_bit_of_a_key_object_is_noticed() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let name = &key_names(&store, &access)[0];
    let bytes = store.get(name).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        store.put(name, Bytes::from(damaged)).unwrap();
        let read = repository.domain(&store, "d").unwrap();
        assert!(read.sets().is_empty() && read.unreadable().len() == 1, "byte {at}");
    }
}

#[test]
fn a_store_that_does_not_answer_is_not_taken_for_a_damaged_key() {
    let (store, repository) = opened();
    repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let faults = Faults::seeded(0);
    faults.add(Rule::on(Operation::Get, "d/", Effect::Fail(Failure::Unavailable)));
    let failing = store.clone().with_faults(faults).with_retry(RetryPolicy::never());
    assert!(matches!(repository.domain(&failing, "d"), Err(Error::Store(_))));
}

#[test]
fn keys_that_the_store_did_not_acknowledge_are_not_used() {
    let (store, repository) = opened();
    let faults = Faults::seeded(0);
    faults.add(Rule::on(Operation::Put, "d/", Effect::LoseAcknowledgement));
    let failing = store.clone().with_faults(faults).with_retry(RetryPolicy::never());
    assert!(matches!(repository.domain_or_new(&failing, "d", &mut SystemRandom), Err(Error::Store(_))));
    // They arrived all the same; whoever comes next finds them acknowledged by the list and uses them.
    let found = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    assert_eq!((found.sets().len(), key_names(&store, &found).len()), (1, 1));
}

#[test]
fn a_domain_needs_a_name_of_sensible_length() {
    let (store, repository) = opened();
    for name in [String::new(), "x".repeat(DOMAIN_NAME_BYTES_MAX + 1)] {
        let refused = repository.domain_or_new(&store, &name, &mut SystemRandom).err().unwrap();
        assert!(matches!(refused, Error::Key(KeyError::NotADomainName)));
    }
    assert!(repository.domain_or_new(&store, &"x".repeat(DOMAIN_NAME_BYTES_MAX), &mut SystemRandom).is_ok());
}

#[test]
fn what_remains_derivable_after_a_domain_was_destroyed_opens_nothing() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    let set = access.sets()[0];
    let keys = access.writer_keys().unwrap();
    let object = Binding { repository: access.repository(), kind: ObjectKind::Session, name: "d/x/sessions/y.open" };
    let mut writer =
        SectionWriter::new(Sealer::new(object, &[&keys.structure, &keys.metadata, &keys.data], [3; 32]).unwrap());
    writer.add(BlobKind::Session, b"{}").unwrap();
    let bytes = writer.finish();
    assert!(SectionReader::new(object, &bytes, access.ring(), &[BlobKind::Session]).unwrap().open(0).is_ok());
    repository.destroy_domain(&store, "d").unwrap();
    let key = *repository.key.secret().bytes();
    let root = b3k(&key, &[b"holdfast v1 domain\0", &access.id().0]);
    let labels = ["naming", "hashing", "wrapping", "structure", "metadata", "data"];
    let derived = labels.map(|label| b3k(&root, &[b"holdfast v1 ", label.as_bytes(), b"\0"]));
    for candidate in derived.into_iter().chain([key, root]) {
        for class in [KeyClass::Structure, KeyClass::Metadata, KeyClass::Data] {
            let mut ring = KeyRing::default();
            ring.add(ClassKey::new(class, set.id, candidate));
            assert!(matches!(
                SectionReader::new(object, &bytes, &ring, &[BlobKind::Session]).err(),
                Some(Error::WrongKey { .. })
            ));
        }
    }
    assert!(matches!(repository.domain(&store, "d"), Err(Error::Key(KeyError::NoDomain { .. }))));
}

#[test]
fn a_domain_with_objects_and_without_keys_is_reported_and_not_begun_anew() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    store.put(&layout::session_open(access.id(), model::SessionId([1; 16])), Bytes::from_static(b"x")).unwrap();
    for name in key_names(&store, &access) {
        store.delete(&name).unwrap();
    }
    for result in [repository.domain(&store, "d"), repository.domain_or_new(&store, "d", &mut SystemRandom)] {
        let error = result.err().unwrap();
        assert!(matches!(error, Error::Key(KeyError::KeysLost { .. })), "{error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
    }
    assert!(key_names(&store, &access).is_empty());
}

#[test]
fn keys_that_somebody_made_between_the_lists_are_found() {
    let (store, repository) = opened();
    repository.domain_or_new(&store, "d", &mut SystemRandom).unwrap();
    // The first list of keys came too early: it shows none of them.
    let faults = Faults::seeded(0);
    faults.add(Rule::on(Operation::List, "d", Effect::Truncate).times(1));
    let early = store.clone().with_faults(faults.clone()).with_retry(RetryPolicy::never());
    let access = repository.domain(&early, "d").unwrap();
    assert_eq!((faults.fired(), access.sets().len()), (1, 1));
}

#[test]
fn a_grant_opens_one_domain_and_tells_nothing_of_another() {
    let (store, repository) = opened();
    let access = repository.domain_or_new(&store, "a", &mut SystemRandom).unwrap();
    let grant = DomainGrant { access: access.clone(), upkeep: repository.manifest.upkeep_public };
    let bytes = grant.to_bytes().unwrap();
    let granted = DomainGrant::from_bytes(&bytes).unwrap();
    assert!(seals_alike(&access, &granted.access));
    assert_eq!(granted.access.volume_id("v"), access.volume_id("v"));
    assert_eq!((granted.access.id(), granted.access.name()), (access.id(), "a"));
    assert_eq!(granted.upkeep, repository.manifest.upkeep_public);
    assert_eq!(format!("{granted:?}"), "DomainGrant(a)", "keys are never shown");
    // Keys of a later epoch are not in it, and it is noticed.
    let rotated = repository.rotate_domain(&store, "a", &mut SystemRandom).unwrap();
    assert_ne!(rotated.sets(), granted.access.sets());
}

#[test]
fn what_is_not_a_grant_is_refused_without_repeating_it() {
    for bytes in [&b""[..], b"{}", br#"{"version":1,"naming":"secret"}"#] {
        let refused = DomainGrant::from_bytes(bytes).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Invalid);
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}
