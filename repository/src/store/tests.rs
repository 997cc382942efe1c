//! The store over memory and directories, with faults and with a server that says no. The contract over real servers is in the `tests` crate.

use std::time::Duration;

use model::ErrorClass;
use object_store::memory::InMemory;

use super::*;

mod answers;

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn memory(runtime: &tokio::runtime::Runtime) -> Store {
    Store::new(Arc::new(InMemory::new()), runtime.handle().clone())
}

/// Eight attempts or so within a tenth of a second.
fn quick() -> RetryPolicy {
    RetryPolicy {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(10),
        budget: Duration::from_millis(100),
        jitter_seed: Some(1),
    }
}

#[test]
fn a_store_that_fails_a_few_times_is_asked_again() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let store = memory(&runtime).with_retry(quick()).with_faults(faults.clone());
    for operation in [Operation::Put, Operation::Get, Operation::List, Operation::Delete] {
        for effect in [Effect::Fail(Failure::Throttled), Effect::LoseAcknowledgement] {
            faults.add(Rule::on(operation, "", effect).times(2));
        }
    }
    store.put("a/b", Bytes::from_static(b"content")).unwrap();
    assert_eq!(store.get("a/b").unwrap(), "content");
    let listed: Vec<(String, u64)> =
        store.list("a").unwrap().into_iter().map(|Listed { name, size, .. }| (name, size)).collect();
    assert_eq!(listed, [("a/b".to_owned(), 7)]);
    let mut streamed = Vec::new();
    store.list_each("a", &mut |listed| streamed.push(listed)).unwrap();
    assert_eq!(streamed, store.list("a").unwrap());
    store.delete("a/b").unwrap();
    assert_eq!(store.list("").unwrap(), []);
    let requests = store.requests();
    assert_eq!((requests.put, requests.get, requests.list, requests.delete), (5, 5, 8, 5), "every attempt is counted");
    assert_eq!(requests.bytes_sent, 5 * 7);
}

#[test]
fn a_body_that_breaks_off_is_read_again() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let store = memory(&runtime).with_retry(quick()).with_faults(faults.clone());
    store.put("a", Bytes::from_static(b"0123456789")).unwrap();
    faults.add(Rule::on(Operation::Get, "", Effect::Truncate).times(2));
    assert_eq!(store.get("a").unwrap(), "0123456789");
    assert_eq!(store.requests().get, 3);
}

#[test]
fn a_store_that_stays_away_is_given_up_after_the_budget() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let store = memory(&runtime).with_retry(quick()).with_faults(faults.clone());
    faults.add(Rule::any("", Effect::Fail(Failure::Unavailable)));
    let error = store.get("a/b").expect_err("it never answers");
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.to_string().contains("a/b"), "{error}");
    assert!((5..40).contains(&store.requests().get), "{:?}", store.requests());
}

#[test]
fn whoever_brings_a_pause_waits_by_nothing_else() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let waited = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let sum = waited.clone();
    let store = memory(&runtime).with_pause(Arc::new(move |delay| *sum.lock().unwrap() += delay));
    let store = store.with_retry(RetryPolicy { jitter_seed: Some(1), ..RetryPolicy::default() });
    let store = store.with_faults(faults.clone());
    faults.add(Rule::any("", Effect::Fail(Failure::Unavailable)));
    // The policy of production, three minutes: a test that really waited would be noticed.
    store.get("a/b").expect_err("it never answers");
    let waited = *waited.lock().unwrap();
    assert!(waited > Duration::from_secs(60) && waited <= Duration::from_secs(180), "{waited:?}");
}

#[test]
fn what_asking_again_cannot_help_is_asked_once() {
    let runtime = runtime();
    for (failure, class) in [(Failure::Denied, ErrorClass::Denied), (Failure::Full, ErrorClass::Invalid)] {
        let faults = Faults::seeded(1);
        let store = memory(&runtime).with_retry(quick()).with_faults(faults.clone());
        faults.add(Rule::any("", Effect::Fail(failure)));
        assert_eq!(store.put("a", Bytes::new()).expect_err("refused").class(), class);
        assert_eq!(store.requests().put, 1);
    }
}

#[test]
fn put_once_is_sent_once() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let store = memory(&runtime).with_retry(quick()).with_faults(faults.clone());
    faults.add(Rule::on(Operation::Put, "", Effect::Fail(Failure::Unavailable)).times(1));
    assert_eq!(store.put_once("a", Bytes::new()).expect_err("it failed").class(), ErrorClass::Retry);
    assert_eq!(store.requests().put, 1);
    store.put_once("a", Bytes::new()).unwrap();
}

#[test]
fn clones_count_together() {
    let runtime = runtime();
    let store = memory(&runtime);
    let before = store.requests();
    let clone = store.clone().with_bandwidth_limit(1 << 30);
    clone.put("a", Bytes::from_static(b"four")).unwrap();
    clone.get("a").unwrap();
    assert_eq!(store.size("a").unwrap(), Some(4));
    let requests = store.requests().since(before);
    assert_eq!(requests, Requests { put: 1, get: 2, bytes_sent: 4, bytes_received: 4, ..Requests::default() });
    assert_eq!(requests.total(), 3);
}

#[test]
fn every_page_of_a_list_counts() {
    let runtime = runtime();
    let store = memory(&runtime);
    for index in 0..1_001 {
        store.put(&format!("a/{index:04}"), Bytes::new()).unwrap();
        if index == 999 {
            assert_eq!(store.list("a").unwrap().len(), 1_000);
            assert_eq!(store.requests().list, 1);
        }
    }
    assert_eq!(store.list("a").unwrap().len(), 1_001);
    assert_eq!(store.requests().list, 3);
}

#[test]
fn an_object_beyond_the_maximum_is_not_read() {
    let runtime = runtime();
    let store = memory(&runtime);
    store.put("a", Bytes::from_static(b"0123456789")).unwrap();
    let error = store.get_at_most("a", 9).expect_err("it has 10");
    assert!(matches!(error, StoreError::TooLarge { bytes: 10, bytes_max: 9, .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Corrupt);
    assert_eq!(store.requests().bytes_received, 0);
    assert_eq!(store.get_at_most("a", 10).unwrap().len(), 10);
}

#[test]
fn a_blocking_call_inside_a_runtime_is_an_error_and_not_a_panic() {
    let runtime = runtime();
    let store = memory(&runtime);
    let (inside, blocking) = runtime.block_on(async {
        let clone = store.clone();
        (store.get("a"), tokio::task::spawn_blocking(move || clone.list("")).await.unwrap())
    });
    assert_eq!(inside.expect_err("it would block").class(), ErrorClass::Bug);
    assert_eq!(blocking.expect_err("it is a thread of the runtime").class(), ErrorClass::Bug);
}

#[test]
fn a_runtime_without_workers_is_an_error_and_not_a_deadlock() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = memory(&runtime).put("a", Bytes::new()).expect_err("nobody would drive it");
    assert_eq!(error.class(), ErrorClass::Bug);
}

#[test]
fn names_that_no_object_has_are_refused_before_anything_is_sent() {
    let runtime = runtime();
    let store = memory(&runtime);
    for name in ["", "a//b", "/a", "a/", "a/../b", "./a"] {
        assert_eq!(store.put(name, Bytes::new()).expect_err(name).class(), ErrorClass::Bug, "{name:?}");
    }
    let backwards = Range { start: 5, end: 3 };
    assert_eq!(store.get_range("a", backwards).expect_err("backwards").class(), ErrorClass::Bug);
    assert_eq!(store.requests().total(), 0);
}

#[test]
fn a_limited_store_takes_its_time() {
    let runtime = runtime();
    let store = memory(&runtime).with_bandwidth_limit(1_000_000);
    let start = tokio::time::Instant::now();
    for name in ["a", "b", "c"] {
        store.put(name, vec![0; 50_000].into()).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(100), "two of three puts wait 50 ms: {:?}", start.elapsed());
}

#[test]
fn a_request_that_stands_still_ends() {
    let runtime = runtime();
    let faults = Faults::seeded(1);
    let patience = deadline::Patience { answer: Duration::from_millis(50), upload_bytes_per_second: 1 << 20 };
    let store = Store { patience, ..memory(&runtime) }.with_retry(RetryPolicy::never()).with_faults(faults.clone());
    store.put("a", Bytes::new()).unwrap();
    faults.add(Rule::any("", Effect::Delay(Duration::from_secs(3_600))));
    let start = tokio::time::Instant::now();
    for ended in
        [store.put("b", Bytes::new()).err(), store.get("a").err(), store.list("").err(), store.delete("a").err()]
    {
        let error = ended.expect("it hangs");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("no progress"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_full_or_read_only_directory_is_named_as_such() {
    let asked = Asked { operation: Operation::Put, name: "packs/00/x/1" };
    for (errno, class) in [
        (28, ErrorClass::Invalid),
        (122, ErrorClass::Invalid),
        (30, ErrorClass::Denied),
        (13, ErrorClass::Denied),
        (5, ErrorClass::Retry),
    ] {
        let io = std::io::Error::from_raw_os_error(errno);
        let error = asked.failed(object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(io) });
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains("packs/00/x/1"), "{error}");
    }
}

#[test]
fn a_delete_in_a_directory_is_acknowledged_also_when_the_object_is_gone() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let base = open(folder.path().to_str().unwrap(), &|_| None, OpenMode::Existing).unwrap();
    let store = Store::new(base, runtime.handle().clone());
    store.put("d/x/a", Bytes::from_static(b"x")).unwrap();
    store.delete("d/x/a").unwrap();
    store.delete("d/x/a").unwrap();
    store.delete("never/was/there").unwrap();
    assert_eq!(store.get("d/x").expect_err("a directory is no object").class(), ErrorClass::Missing);
}

mod probing {
    use super::*;

    #[test]
    fn a_good_store_passes_and_is_left_clean() {
        let runtime = runtime();
        let store = memory(&runtime);
        store.put("other", Bytes::new()).unwrap();
        let report = probe(&store, "t1").unwrap();
        assert_eq!(report.met, Requirement::ALL);
        assert!(report.requests.total() < 100, "{:?}", report.requests);
        assert_eq!(store.list("").unwrap().len(), 1);
    }

    #[test]
    fn a_store_that_lacks_something_is_refused_by_name() {
        let runtime = runtime();
        let cases = [
            (Rule::on(Operation::List, "", Effect::Truncate).after(3), Requirement::PutIsSeenByList),
            (Rule::on(Operation::Put, "", Effect::FlipBit).after(2), Requirement::BytesAreKept),
            (Rule::on(Operation::Put, "", Effect::Truncate), Requirement::BytesAreKept),
            (Rule::on(Operation::Put, "", Effect::Ignore), Requirement::PutIsSeenByGet),
            (Rule::on(Operation::Delete, "", Effect::Ignore).times(1), Requirement::DeleteIsSeenByGet),
        ];
        for (rule, requirement) in cases {
            let faults = Faults::seeded(3);
            let store = memory(&runtime).with_faults(faults.clone());
            faults.add(rule);
            let error = probe(&store, "t2").expect_err("it lacks something");
            assert_eq!(error.class(), ErrorClass::Invalid);
            match &error {
                ProbeError::Lacking { requirement: found, .. } if *found == requirement => {}
                other => panic!("expected {requirement:?}, got {other:?}"),
            }
            faults.clear();
            assert_eq!(store.list("").unwrap(), [], "nothing is left after {requirement:?}");
        }
    }

    #[test]
    fn a_store_that_cannot_be_asked_is_not_called_lacking() {
        let runtime = runtime();
        let faults = Faults::seeded(3);
        let store = memory(&runtime).with_faults(faults.clone());
        faults.add(Rule::on(Operation::Put, "", Effect::Fail(Failure::Denied)));
        assert_eq!(probe(&store, "t3").expect_err("denied").class(), ErrorClass::Denied);
    }
}
