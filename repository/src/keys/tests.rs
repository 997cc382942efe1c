//! What has to hold of the module above, one claim per test.

use std::sync::{Arc, OnceLock};

use age::x25519;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use super::age_file::tests::passphrase;
use super::*;
use crate::store::{Effect, Failure, Faults, Operation, RetryPolicy, Rule};
use model::{ErrorClass, KeyId};

/// A fresh store in memory.
pub(super) fn memory() -> Store {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    Store::new(Arc::new(InMemory::new()), runtime.handle().clone())
}

/// A repository that `identity` opens; age identities cost no work, so tests use them wherever the kind does not matter.
pub(super) fn repository(store: &Store, identity: &x25519::Identity) -> OpenedRepository {
    init_repository(
        store,
        &[(Recipient::Age(identity.to_public()), "ops".to_owned())],
        Timestamp::UNIX_EPOCH,
        &mut SystemRandom,
    )
    .unwrap()
}

fn unlock(identity: &x25519::Identity) -> Unlock {
    Unlock::Identities(vec![identity.clone()])
}

fn names(store: &Store) -> Vec<String> {
    store.list("").unwrap().into_iter().map(|listed| listed.name).collect()
}

fn copy(from: &Store, to: &Store, prefix: &str) {
    for listed in from.list(prefix).unwrap() {
        to.put(&listed.name, from.get(&listed.name).unwrap()).unwrap();
    }
}

fn refusal(opened: Result<OpenedRepository, Error>) -> KeyError {
    match opened {
        Err(Error::Key(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_repository_opens_with_any_of_its_recipients() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    let secret = Recipient::Passphrase(passphrase("swordfish"));
    let recipients = [(Recipient::Age(identity.to_public()), "escrow".to_owned()), (secret, "ops".to_owned())];
    let made = init_repository(&store, &recipients, Timestamp::UNIX_EPOCH, &mut SystemRandom).unwrap();
    for (unlock, label) in [(unlock(&identity), "escrow"), (Unlock::Passphrase(passphrase("swordfish")), "ops")] {
        let opened = open_repository(&store, &unlock, Some(made.id())).unwrap();
        assert_eq!((opened.id(), opened.label.as_str()), (made.id(), label));
        assert_eq!(opened.key.secret().bytes(), made.key.secret().bytes());
        assert_eq!(opened.upkeep().unwrap().public(), made.manifest.upkeep_public);
        assert_eq!(opened.manifest.created, "1970-01-01T00:00:00Z");
    }
    assert_eq!(names(&store).len(), 3);
}

#[test]
fn two_repositories_share_neither_id_nor_key() {
    let identity = x25519::Identity::generate();
    let (one, two) = (repository(&memory(), &identity), repository(&memory(), &identity));
    assert_ne!(one.id(), two.id());
    assert_ne!(one.key.secret().bytes(), two.key.secret().bytes());
}

#[test]
fn a_wrong_passphrase_or_identity_is_denied_and_says_how_many_keys_were_tried() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    let made = repository(&store, &identity);
    add_recipient(&store, &made, &Recipient::Passphrase(passphrase("right")), "", &mut SystemRandom).unwrap();
    for wrong in [Unlock::Passphrase(passphrase("wrong")), unlock(&x25519::Identity::generate())] {
        let error = refusal(open_repository(&store, &wrong, None));
        assert_eq!(
            error.to_string(),
            "wrong passphrase or identity: none of the 2 keys of this repository opens with it"
        );
        assert_eq!(error.class(), ErrorClass::Denied);
    }
}

#[test]
fn an_empty_place_is_not_a_repository() {
    let error = refusal(open_repository(&memory(), &unlock(&x25519::Identity::generate()), None));
    assert!(matches!(error, KeyError::NoRepository));
    assert_eq!(error.class(), ErrorClass::Missing);
}

#[test]
fn another_id_than_the_remembered_one_is_denied_and_both_are_named() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    let made = repository(&store, &identity);
    let error = refusal(open_repository(&store, &unlock(&identity), Some(RepositoryId([1; 32]))));
    assert_eq!(error.class(), ErrorClass::Denied);
    let text = error.to_string();
    assert!(text.contains(&made.id().to_string()) && text.contains(&RepositoryId([1; 32]).to_string()), "{text}");
}

#[test]
fn a_tampered_id_or_upkeep_key_is_denied() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    repository(&store, &identity);
    let json: serde_json::Value = serde_json::from_slice(&store.get(REPOSITORY).unwrap()).unwrap();
    for member in ["repository", "upkeep_public"] {
        let mut tampered = json.clone();
        tampered[member] = "ab".repeat(32).into();
        store.put(REPOSITORY, Bytes::from(serde_json::to_vec(&tampered).unwrap())).unwrap();
        let error = refusal(open_repository(&store, &unlock(&identity), None));
        assert!(matches!(error, KeyError::ForeignKey { .. }), "{member}: {error}");
        assert_eq!(error.class(), ErrorClass::Denied);
    }
}

#[test]
fn a_swapped_manifest_is_denied_even_if_the_same_identity_opens_both_repositories() {
    let (store, other, identity) = (memory(), memory(), x25519::Identity::generate());
    let (made, swapped) = (repository(&store, &identity), repository(&other, &identity));
    copy(&other, &store, "");
    // Now repository.json is the other's, and both key files are there: it opens as what it says it is, which only a client without memory accepts.
    assert_eq!(open_repository(&store, &unlock(&identity), None).unwrap().id(), swapped.id());
    assert!(matches!(
        refusal(open_repository(&store, &unlock(&identity), Some(made.id()))),
        KeyError::NotThePinned { .. }
    ));
    // With the manifest alone, not even that one.
    let bare = memory();
    repository(&bare, &identity);
    bare.put(REPOSITORY, other.get(REPOSITORY).unwrap()).unwrap();
    assert!(matches!(refusal(open_repository(&bare, &unlock(&identity), None)), KeyError::ForeignKey { .. }));
}

#[test]
fn a_manifest_whose_upkeep_key_was_exchanged_for_garbage_signs_nothing() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    repository(&store, &identity);
    let mut json: serde_json::Value = serde_json::from_slice(&store.get(REPOSITORY).unwrap()).unwrap();
    json["upkeep_private"] = "00".repeat(80).into();
    store.put(REPOSITORY, Bytes::from(serde_json::to_vec(&json).unwrap())).unwrap();
    let opened = open_repository(&store, &unlock(&identity), None).unwrap();
    assert_eq!(opened.upkeep().err().unwrap().class(), ErrorClass::Corrupt);
}

#[test]
fn planted_and_damaged_key_files_do_not_keep_the_right_one_from_opening() {
    let (store, other, identity) = (memory(), memory(), x25519::Identity::generate());
    let made = repository(&store, &identity);
    repository(&other, &identity);
    copy(&other, &store, layout::KEYS);
    for (id, garbage) in [(0, vec![]), (1, b"not age".to_vec()), (255, vec![b'x'; KEY_FILE_BYTES_MAX as usize + 1])] {
        store.put(&layout::recipient_key(KeyId([id; 16])), Bytes::from(garbage)).unwrap();
    }
    store.put("keys/readme.txt", Bytes::from_static(b"hello")).unwrap();
    assert_eq!(open_repository(&store, &unlock(&identity), None).unwrap().id(), made.id());
    let error = refusal(open_repository(&store, &unlock(&x25519::Identity::generate()), None));
    let KeyError::WrongUnlock { keys: 5, unusable } = &error else { panic!("{error}") };
    assert_eq!(unusable.len(), 3, "{error}");
}

#[test]
fn a_repository_without_key_files_says_so_and_opens_with_an_export() {
    let (store, identity, safe) = (memory(), x25519::Identity::generate(), x25519::Identity::generate());
    let made = repository(&store, &identity);
    let export = export_key(&made, &Recipient::Age(safe.to_public()), "safe").unwrap();
    for listed in store.list(layout::KEYS).unwrap() {
        store.delete(&listed.name).unwrap();
    }
    assert!(matches!(refusal(open_repository(&store, &unlock(&identity), None)), KeyError::NoKeys));
    assert!(matches!(
        refusal(open_repository_with_export(&store, &export, &unlock(&identity), None)),
        KeyError::WrongUnlock { .. }
    ));
    assert_eq!(open_repository_with_export(&store, &export, &unlock(&safe), None).unwrap().id(), made.id());
    // It is a key file like the others, under any id.
    store.put(&layout::recipient_key(KeyId([9; 16])), Bytes::from(export)).unwrap();
    assert_eq!(open_repository(&store, &unlock(&safe), Some(made.id())).unwrap().label, "safe");
}

#[test]
fn a_feature_that_readers_must_know_is_refused_before_any_key_is_tried() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    repository(&store, &identity);
    store.put("features/parity.write", Bytes::new()).unwrap();
    let opened = open_repository(&store, &unlock(&identity), None).unwrap();
    assert!(opened.features.check(NeededBy::Write).is_err());
    store.put("features/erasure-codes.read", Bytes::new()).unwrap();
    let error = refusal(open_repository(&store, &unlock(&x25519::Identity::generate()), None));
    assert!(error.to_string().contains("erasure-codes"), "{error}");
}

#[test]
fn a_repository_is_not_made_twice_and_not_without_a_recipient() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    assert!(matches!(
        refusal(init_repository(&store, &[], Timestamp::UNIX_EPOCH, &mut SystemRandom)),
        KeyError::NoRecipient
    ));
    assert!(names(&store).is_empty());
    repository(&store, &identity);
    let before = names(&store);
    let again = init_repository(
        &store,
        &[(Recipient::Age(identity.to_public()), String::new())],
        Timestamp::UNIX_EPOCH,
        &mut SystemRandom,
    );
    let error = refusal(again);
    assert!(matches!(error, KeyError::AlreadyARepository));
    assert_eq!(error.class(), ErrorClass::Invalid);
    assert_eq!(names(&store), before);
}

#[test]
fn an_attempt_that_died_at_any_put_leaves_nothing_that_a_second_one_trips_over() {
    let identity = x25519::Identity::generate();
    let recipients: Vec<_> = (0..2).map(|_| (Recipient::Age(identity.to_public()), String::new())).collect();
    // Two key files, then repository.json; with the third put acknowledged the repository is there.
    for (puts, applied) in (0..3).flat_map(|puts| [(puts, false), (puts, true)]) {
        let store = memory();
        let faults = Faults::seeded(0);
        faults.add(Rule::on(Operation::Put, "", Effect::Crash { applied, hook: Arc::new(|| {}) }).after(puts));
        let dying = store.clone().with_faults(faults).with_retry(RetryPolicy::never());
        assert!(init_repository(&dying, &recipients, Timestamp::UNIX_EPOCH, &mut SystemRandom).is_err());
        let finished = (puts, applied) == (2, true);
        assert_eq!(store.exists(REPOSITORY).unwrap(), finished);
        if finished {
            assert!(open_repository(&store, &unlock(&identity), None).is_ok());
        } else {
            let made = repository(&store, &identity);
            assert_eq!(open_repository(&store, &unlock(&identity), None).unwrap().id(), made.id(), "{puts} {applied}");
        }
    }
}

#[test]
fn who_finds_the_manifest_of_another_after_its_own_put_has_made_nothing() {
    let (store, other, identity) = (memory(), memory(), x25519::Identity::generate());
    let (made, overwriting) = (repository(&store, &identity), repository(&other, &identity));
    assert_eq!(confirm(&store, made.clone()).unwrap().id(), made.id());
    copy(&other, &store, "");
    assert!(matches!(refusal(confirm(&store, made)), KeyError::AlreadyARepository));
    assert_eq!(confirm(&store, overwriting.clone()).unwrap().id(), overwriting.id());
}

/// Randomness that has run out.
struct Exhausted;

impl Random for Exhausted {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), KeyError> {
        Err(KeyError::NoRandom)
    }
}

#[test]
fn without_randomness_nothing_is_made() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    let recipients = [(Recipient::Age(identity.to_public()), String::new())];
    assert!(matches!(
        refusal(init_repository(&store, &recipients, Timestamp::UNIX_EPOCH, &mut Exhausted)),
        KeyError::NoRandom
    ));
    assert!(names(&store).is_empty());
}

#[test]
fn a_store_that_does_not_answer_is_not_taken_for_a_wrong_key() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    repository(&store, &identity);
    for (prefix, failure) in
        [(REPOSITORY, Failure::Denied), (layout::KEYS, Failure::Unavailable), (layout::FEATURES, Failure::Unavailable)]
    {
        let faults = Faults::seeded(0);
        faults.add(Rule::any(prefix, Effect::Fail(failure)));
        let failing = store.clone().with_faults(faults).with_retry(RetryPolicy::never());
        let error = open_repository(&failing, &unlock(&identity), None).err().unwrap();
        assert!(matches!(error, Error::Store(_)), "{prefix}: {error}");
    }
}

#[test]
fn recipients_are_listed_as_anybody_can_see_them() {
    let (store, identity) = (memory(), x25519::Identity::generate());
    let made = repository(&store, &identity);
    let id = add_recipient(&store, &made, &Recipient::Passphrase(passphrase("p")), "", &mut SystemRandom).unwrap();
    store.put(&layout::recipient_key(KeyId([0; 16])), Bytes::from_static(b"garbage")).unwrap();
    let entries = list_recipients(&store).unwrap();
    assert_eq!(entries.len(), 3);
    assert!(entries[0].kind.is_err());
    for entry in &entries[1..] {
        let expected = if entry.id == id { WrapKind::Passphrase { work_factor_log2: 15 } } else { WrapKind::X25519 };
        assert_eq!(entry.kind, Ok(expected));
    }
}

#[test]
fn a_key_is_removed_only_while_another_is_proven_to_open() {
    let (store, mine, new) = (memory(), x25519::Identity::generate(), x25519::Identity::generate());
    let made = repository(&store, &mine);
    let first = list_recipients(&store).unwrap()[0].id;
    let last = |result: Result<(), Error>| matches!(result, Err(Error::Key(KeyError::LastKey { .. })));
    assert!(last(remove_recipient(&store, &made, first, &unlock(&mine))));
    // A second file proves nothing if it is garbage, or if it is for somebody whose identity is not at hand.
    store.put(&layout::recipient_key(KeyId([7; 16])), Bytes::from_static(b"garbage")).unwrap();
    add_recipient(&store, &made, &Recipient::Age(new.to_public()), "new", &mut SystemRandom).unwrap();
    assert!(last(remove_recipient(&store, &made, first, &unlock(&mine))));
    assert!(open_repository(&store, &unlock(&mine), None).is_ok());
    remove_recipient(&store, &made, first, &unlock(&new)).unwrap();
    assert!(matches!(refusal(open_repository(&store, &unlock(&mine), None)), KeyError::WrongUnlock { .. }));
    assert!(open_repository(&store, &unlock(&new), None).is_ok());
    let error = remove_recipient(&store, &made, first, &unlock(&new)).unwrap_err();
    assert!(matches!(error, Error::Key(KeyError::NoSuchKey { .. })));
    assert_eq!(error.class(), ErrorClass::Missing);
}

#[test]
fn a_key_is_put_back_when_the_one_that_should_remain_has_gone_meanwhile() {
    let (store, mine, new) = (memory(), x25519::Identity::generate(), x25519::Identity::generate());
    let made = repository(&store, &mine);
    let first = list_recipients(&store).unwrap()[0].id;
    add_recipient(&store, &made, &Recipient::Age(new.to_public()), "new", &mut SystemRandom).unwrap();
    // The second list, the one after the deletion, lacks its second half: as if somebody else had removed the other key.
    let faults = Faults::seeded(0);
    faults.add(Rule::on(Operation::List, layout::KEYS, Effect::Truncate).after(1));
    let racing = store.clone().with_faults(faults.clone()).with_retry(RetryPolicy::never());
    let refused = remove_recipient(&racing, &made, first, &unlock(&new)).unwrap_err();
    assert!(matches!(refused, Error::Key(KeyError::LastKey { .. })), "{refused}");
    assert_eq!(faults.fired(), 1);
    assert!(open_repository(&store, &unlock(&mine), None).is_ok());
}
