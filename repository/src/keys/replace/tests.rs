//! What has to hold of the module above, one claim per test.

use std::sync::Arc;

use age::x25519;
use bytes::Bytes;
use model::ErrorClass;

use super::*;
use crate::keys::tests::{memory, repository};
use crate::keys::{SystemRandom, list_recipients, open_repository};
use crate::layout;
use crate::store::{Effect, Failure, Faults, Operation, RetryPolicy, Rule};

fn unlock(identity: &x25519::Identity) -> Unlock {
    Unlock::Identities(vec![identity.clone()])
}

/// A repository with data, and what opens it.
fn opened() -> (Store, OpenedRepository, x25519::Identity) {
    let (store, old) = (memory(), x25519::Identity::generate());
    let opened = repository(&store, &old);
    opened.domain_or_new(&store, "default", &mut SystemRandom).unwrap();
    (store, opened, old)
}

fn opens(store: &Store, identity: &x25519::Identity) -> bool {
    open_repository(store, &unlock(identity), None).is_ok()
}

#[test]
fn the_new_secret_opens_the_old_does_not_and_nothing_but_keys_is_touched() {
    let (store, opened, old) = opened();
    let new = x25519::Identity::generate();
    let other = x25519::Identity::generate();
    let theirs = add_recipient(&store, &opened, &crate::keys::Recipient::Age(other.to_public()), "", &mut SystemRandom);
    // A second file of the old secret: it goes too, or the old secret would still open.
    add_recipient(&store, &opened, &crate::keys::Recipient::Age(old.to_public()), "", &mut SystemRandom).unwrap();
    // Any request outside keys/ fails, and there is none.
    let faults = Faults::seeded(0);
    for elsewhere in ["d", layout::REPOSITORY, layout::FEATURES] {
        faults.add(Rule::any(elsewhere, Effect::Fail(Failure::Denied)));
    }
    let watched = store.clone().with_faults(faults.clone()).with_retry(RetryPolicy::never());
    let before = watched.requests();
    let replaced =
        replace_recipient(&watched, &opened, (&unlock(&old), &unlock(&new)), "new", &mut SystemRandom).unwrap();
    assert_eq!(faults.fired(), 0);
    let sent = watched.requests().since(before);
    assert_eq!((sent.put, sent.delete), (1, 2));
    assert_eq!((replaced.added.len(), replaced.removed.len()), (1, 2));
    assert!(opens(&store, &new) && opens(&store, &other) && !opens(&store, &old));
    let left: Vec<KeyId> = list_recipients(&store).unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&theirs.unwrap()) && left.contains(&replaced.added[0]));
}

#[test]
fn killed_at_any_request_one_of_both_opens_and_doing_it_again_ends_it() {
    let new = x25519::Identity::generate();
    let mut requests = 0;
    loop {
        for applied in [false, true] {
            let (store, opened, old) = opened();
            let faults = Faults::seeded(0);
            faults.add(Rule::any(layout::KEYS, Effect::Crash { applied, hook: Arc::new(|| {}) }).after(requests));
            let dying = store.clone().with_faults(faults.clone()).with_retry(RetryPolicy::never());
            let died = replace_recipient(&dying, &opened, (&unlock(&old), &unlock(&new)), "", &mut SystemRandom);
            if died.is_ok() && !faults.crashed() {
                assert!(requests > 8, "{requests}");
                return;
            }
            assert!(opens(&store, &old) || opens(&store, &new), "{requests} {applied}");
            if opens(&store, &old) {
                replace_recipient(&store, &opened, (&unlock(&old), &unlock(&new)), "", &mut SystemRandom).unwrap();
            }
            assert!(opens(&store, &new) && !opens(&store, &old), "{requests} {applied}");
            assert_eq!(list_recipients(&store).unwrap().len(), 1, "{requests} {applied}: what was added is used");
        }
        requests += 1;
    }
}

#[test]
fn a_store_that_keeps_something_else_takes_the_old_secret_from_nobody() {
    let (store, opened, old) = opened();
    let new = x25519::Identity::generate();
    let faults = Faults::seeded(0);
    faults.add(Rule::on(Operation::Put, layout::KEYS, Effect::Ignore));
    let lying = store.clone().with_faults(faults).with_retry(RetryPolicy::never());
    let refused = replace_recipient(&lying, &opened, (&unlock(&old), &unlock(&new)), "", &mut SystemRandom);
    assert!(matches!(refused, Err(Error::Key(KeyError::NotProven))), "{refused:?}");
    assert!(opens(&store, &old));
}

#[test]
fn the_same_secret_again_is_no_replacement() {
    let (store, opened, old) = opened();
    let refused = replace_recipient(&store, &opened, (&unlock(&old), &unlock(&old)), "", &mut SystemRandom);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Key(KeyError::NothingToReplace)), "{refused}");
    assert_eq!(refused.class(), ErrorClass::Invalid);
    assert!(opens(&store, &old));
}

#[test]
fn garbage_and_keys_of_others_are_left_alone() {
    let (store, opened, old) = opened();
    let planted = layout::recipient_key(KeyId([7; 16]));
    store.put(&planted, Bytes::from_static(b"garbage")).unwrap();
    replace_recipient(&store, &opened, (&unlock(&old), &unlock(&x25519::Identity::generate())), "", &mut SystemRandom)
        .unwrap();
    assert!(store.exists(&planted).unwrap());
}
