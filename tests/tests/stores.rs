//! The contract of a store, claim by claim, over every store there is: memory, a directory, one without conditional writes, and real servers.
//!
//! MinIO and Azurite only run under `cargo xtask test --all`; without versitygw the tests say SKIP, in CI they fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorClass;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use repository::store::{
    Bytes, OpenMode, Requirement, RetryPolicy, Store, StoreError, open, probe, refuse_conditional,
};
use tests::azure::Azurite;
use tests::folder::{Folder, SmallDisk};
use tests::s3::{Minio, Versitygw};
use tokio::runtime::Runtime;

/// Threads that use a store at once, where a claim is about that.
const THREADS: usize = 8;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn opened(runtime: &Runtime, url: &str, environment: &[(String, String)]) -> Store {
    let value = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let base = open(url, &value, OpenMode::Create).unwrap_or_else(|error| panic!("{url}: {error}"));
    Store::new(base, runtime.handle().clone()).with_retry(RetryPolicy::first_contact())
}

fn in_memory(runtime: &Runtime, base: Arc<dyn ObjectStore>) -> Store {
    Store::new(base, runtime.handle().clone())
}

#[test]
fn memory_keeps_the_contract() {
    let runtime = runtime();
    contract(&in_memory(&runtime, Arc::new(InMemory::new())));
}

#[test]
fn a_store_without_conditional_writes_keeps_the_contract() {
    let runtime = runtime();
    contract(&in_memory(&runtime, refuse_conditional(Arc::new(InMemory::new()))));
}

#[test]
fn a_directory_keeps_the_contract() {
    let (runtime, folder) = (runtime(), Folder::new("store"));
    let path = folder.path().join("made/on demand");
    contract(&opened(&runtime, path.to_str().expect("UTF-8"), &[]));
}

#[test]
fn versitygw_keeps_the_contract() {
    let Some(server) = Versitygw::start() else { return };
    let runtime = runtime();
    contract(&opened(&runtime, &server.url("repository"), &server.environment()));
}

#[test]
fn minio_keeps_the_contract() {
    let Some(server) = Minio::start() else { return };
    let runtime = runtime();
    contract(&opened(&runtime, &server.url("repository"), &server.environment()));
}

#[test]
fn azurite_keeps_the_contract() {
    let Some(server) = Azurite::start() else { return };
    let runtime = runtime();
    contract(&opened(&runtime, &server.url("repository"), &server.environment()));
}

/// Every claim, each below a prefix of its own.
fn contract(store: &Store) {
    probe_finds_everything(store);
    absent_objects_are_told_from_empty_ones(store);
    objects_are_read_as_they_were_written(store);
    a_full_pack_is_put_in_one_request(store);
    ranges_are_exact(store);
    names_of_the_format_fit(store);
    lists_are_whole_sorted_and_of_one_prefix(store);
    a_list_longer_than_a_page_is_whole(store);
    what_was_acknowledged_is_seen(store);
    the_same_bytes_may_be_put_by_several_at_once(store);
    deletes_take_one_object_and_may_be_repeated(store);
    a_put_sent_once_is_a_put(store);
    let left: Vec<_> =
        store.list("").expect("list").into_iter().filter(|entry| entry.name.starts_with("probe")).collect();
    assert_eq!(left, [], "the probe cleans up");
}

/// Bytes that differ everywhere and from seed to seed.
fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect::<Vec<u8>>().into()
}

fn put(store: &Store, name: &str, bytes: &Bytes) {
    store.put(name, bytes.clone()).unwrap_or_else(|error| panic!("put {name}: {error}"));
}

fn get(store: &Store, name: &str) -> Bytes {
    store.get(name).unwrap_or_else(|error| panic!("get {name}: {error}"))
}

fn names(store: &Store, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap_or_else(|error| panic!("list {prefix}: {error}"));
    listed.into_iter().map(|entry| entry.name).collect()
}

fn probe_finds_everything(store: &Store) {
    let report = probe(store, "first").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.met, Requirement::ALL);
}

fn absent_objects_are_told_from_empty_ones(store: &Store) {
    put(store, "absent/empty", &Bytes::new());
    assert_eq!(get(store, "absent/empty").len(), 0);
    assert_eq!(store.size("absent/empty").expect("size"), Some(0));
    let not_found = |result: Result<Bytes, StoreError>| {
        let error = result.expect_err("it does not exist");
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.class(), ErrorClass::Missing);
        assert!(error.to_string().contains("absent/other"), "{error}");
    };
    not_found(store.get("absent/other"));
    not_found(store.get_range("absent/other", 0..1));
    not_found(store.get_front("absent/other", 1));
    assert_eq!(store.get_front("absent/empty", 10).expect("the front of nothing").len(), 0);
    assert_eq!(store.size("absent/other").expect("size"), None);
    assert!(!store.exists("absent/other").expect("exists"));
    assert_eq!(store.list("absent/other").expect("an empty prefix is no error"), []);
}

fn objects_are_read_as_they_were_written(store: &Store) {
    for (index, length) in [1, 4_095, 4_096, 65_537, 1 << 20, (5 << 20) + 3].into_iter().enumerate() {
        let (name, bytes) = (format!("written/{index}"), content(index as u64, length));
        put(store, &name, &bytes);
        assert!(get(store, &name) == bytes, "{length} bytes read differently");
        assert_eq!(store.size(&name).expect("size"), Some(length as u64));
        assert!(store.get_at_most(&name, length as u64).expect("it fits exactly") == bytes);
        for front in [1, length - 1, length, length + 1, 10 << 20].into_iter().filter(|front| *front > 0) {
            let expected = &bytes[..front.min(length)];
            assert!(store.get_front(&name, front as u64).expect("a front") == expected, "{front} of {length} bytes");
        }
        let error = store.get_at_most(&name, length as u64 - 1).expect_err("one byte too many");
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    }
}

fn a_full_pack_is_put_in_one_request(store: &Store) {
    let before = store.requests();
    let pack = content(32, 32 << 20);
    put(store, "d/pack/0", &pack);
    let sent = store.requests().since(before);
    assert_eq!((sent.put, sent.total(), sent.bytes_sent), (1, 1, 32 << 20));
    assert!(get(store, "d/pack/0") == pack, "a full pack reads differently");
    let sent = store.requests().since(before);
    assert_eq!((sent.get, sent.bytes_received), (1, 32 << 20));
    assert!(
        store.get_range("d/pack/0", 12_345_678..13_345_678).expect("a range") == pack.slice(12_345_678..13_345_678)
    );
}

fn ranges_are_exact(store: &Store) {
    let bytes = content(7, 100_000);
    put(store, "ranges/a", &bytes);
    for range in [0..1, 0..100_000, 99_999..100_000, 4_096..8_192, 1..99_999] {
        let expected = bytes.slice(range.start as usize..range.end as usize);
        assert!(store.get_range("ranges/a", range.clone()).expect("a range") == expected, "{range:?}");
    }
    assert_eq!(store.get_range("ranges/a", 5..5).expect("nothing").len(), 0);
    for (range, got) in [(99_999..100_001, 1), (100_000..100_001, 0), (0..100_001, 100_000), (200_000..200_010, 0)] {
        match store.get_range("ranges/a", range.clone()) {
            Err(error @ StoreError::Truncated { expected, got: found, .. }) => {
                assert_eq!((expected, found), (range.end - range.start, got), "{range:?}");
                assert_eq!(error.class(), ErrorClass::Corrupt);
            }
            other => panic!("{range:?}: {other:?}"),
        }
    }
}

fn names_of_the_format_fit(store: &Store) {
    let (id, signature) = ("0123456789abcdef".repeat(2), "0123456789abcdef".repeat(8));
    let names = [
        "repository.json".to_owned(),
        format!("keys/{id}.age"),
        format!("d/{id}/keys/1.{id}.key"),
        format!("d/{id}/sessions/{id}.open"),
        format!("d/{id}/sessions/{id}.beat.12"),
        format!("d/{id}/packs/ef/{id}/4711"),
        format!("d/{id}/points/{id}/{id}.point"),
        format!("d/{id}/marks/{id}/{id}.doomed.{id}.{signature}"),
    ];
    for name in &names {
        put(store, name, &content(1, 10));
    }
    for name in &names {
        assert_eq!(get(store, name).len(), 10);
        assert!(self::names(store, "").contains(name), "{name} is not listed as it was put");
    }
}

fn lists_are_whole_sorted_and_of_one_prefix(store: &Store) {
    for name in ["lists/b", "lists/a/2", "lists/a/1", "lists/a/deep/er/3", "lists/a.b", "lists/a-b", "lists/ab/4"] {
        put(store, name, &content(1, 3));
    }
    assert_eq!(names(store, "lists/a"), ["lists/a/1", "lists/a/2", "lists/a/deep/er/3"]);
    let all = ["lists/a-b", "lists/a.b", "lists/a/1", "lists/a/2", "lists/a/deep/er/3", "lists/ab/4", "lists/b"];
    assert_eq!(names(store, "lists"), all);
    let listed = store.list("lists").expect("list");
    assert!(listed.iter().any(|listed| (listed.name.as_str(), listed.size) == ("lists/a/1", 3)), "{listed:?}");
    let mut streamed = Vec::new();
    store.list_each("lists", &mut |listed| streamed.push(listed)).expect("a list");
    streamed.sort();
    assert_eq!(streamed, listed, "one by one the same");
    let (oldest, newest) =
        (listed.iter().map(|listed| listed.modified_ms).min(), listed.iter().map(|listed| listed.modified_ms).max());
    assert!(
        newest.unwrap_or(i64::MAX) - oldest.unwrap_or(0) < 3_600_000,
        "written within the same hour by the store's clock"
    );
    assert_eq!(names(store, "list"), <[&str; 0]>::default(), "a prefix is whole components");
}

fn a_list_longer_than_a_page_is_whole(store: &Store) {
    let expected: Vec<String> = (0..1_040).map(|index| format!("pages/{:02}/{index:04}", index % 7)).collect();
    std::thread::scope(|scope| {
        for part in expected.chunks(expected.len().div_ceil(THREADS)) {
            scope.spawn(move || part.iter().for_each(|name| put(store, name, &Bytes::new())));
        }
    });
    let before = store.requests();
    let listed: BTreeSet<String> = names(store, "pages").into_iter().collect();
    assert_eq!(listed, expected.into_iter().collect());
    assert_eq!(store.requests().since(before).list, 2, "two pages of at most 1,000 names");
}

fn what_was_acknowledged_is_seen(store: &Store) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            scope.spawn(move || {
                for round in 0..8 {
                    let (name, bytes) = (format!("seen/{thread}/{round}"), content(thread * 100 + round, 2_000));
                    assert!(!store.exists(&name).expect("exists"));
                    put(store, &name, &bytes);
                    assert!(get(store, &name) == bytes, "{name} reads differently");
                    assert!(names(store, &format!("seen/{thread}")).contains(&name), "{name} is not listed");
                }
            });
        }
    });
}

fn the_same_bytes_may_be_put_by_several_at_once(store: &Store) {
    let bytes = content(3, 200_000);
    let finished = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (bytes, finished) = (&bytes, &finished);
        for _ in 0..4 {
            scope.spawn(move || {
                (0..5).for_each(|_| put(store, "again/a", bytes));
                finished.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        // Whoever reads meanwhile sees nothing or all of it, never a part.
        while finished.load(std::sync::atomic::Ordering::SeqCst) < 4 {
            match store.get("again/a") {
                Err(error) => assert!(error.is_not_found(), "{error}"),
                Ok(read) => assert!(read == *bytes, "a part of an object was seen"),
            }
        }
    });
    assert!(get(store, "again/a") == bytes);
    assert_eq!(names(store, "again"), ["again/a"]);
}

fn deletes_take_one_object_and_may_be_repeated(store: &Store) {
    for name in ["deletes/a", "deletes/a.b", "deletes/d/1", "deletes/d/2"] {
        put(store, name, &content(1, 3));
    }
    for name in ["deletes/a", "deletes/d/1"] {
        for _ in 0..2 {
            store.delete(name).unwrap_or_else(|error| panic!("delete {name}: {error}"));
            assert!(store.get(name).expect_err("deleted").is_not_found());
            assert!(!names(store, "deletes").contains(&name.to_owned()));
        }
    }
    assert_eq!(names(store, "deletes"), ["deletes/a.b", "deletes/d/2"]);
    store.delete("deletes/d/2").expect("the last of its folder");
    put(store, "deletes/d/3", &content(1, 3));
    assert_eq!(names(store, "deletes/d"), ["deletes/d/3"]);
}

fn a_put_sent_once_is_a_put(store: &Store) {
    store.put_once("once/a", content(1, 3)).expect("put");
    assert_eq!(get(store, "once/a"), content(1, 3));
}

#[test]
fn prefixes_of_one_bucket_are_separate() {
    let Some(server) = Versitygw::start() else { return };
    let runtime = runtime();
    let [one, other] = ["a", "a/b"].map(|prefix| opened(&runtime, &server.url(prefix), &server.environment()));
    put(&one, "x", &content(1, 3));
    put(&other, "y", &content(2, 3));
    assert_eq!(names(&other, ""), ["y"]);
    assert_eq!(names(&one, ""), ["b/y", "x"]);
}

#[test]
fn a_wrong_key_and_a_wrong_bucket_are_told_apart() {
    let Some(server) = Versitygw::start() else { return };
    let runtime = runtime();
    let mut environment = server.environment();
    let store = opened(&runtime, "s3://no-such-bucket/x", &environment);
    for error in [store.put("a", content(1, 3)).err(), store.get("a").err(), store.list("").err()] {
        let error = error.expect("there is no such bucket");
        assert_eq!(error.class(), ErrorClass::Missing, "{error}");
        assert!(error.to_string().contains("bucket"), "{error}");
    }
    for (name, value) in &mut environment {
        if name == "AWS_SECRET_ACCESS_KEY" {
            *value = "mistyped-by-hand".to_owned();
        }
    }
    let store = opened(&runtime, &server.url("x"), &environment);
    for error in
        [store.put("a", content(1, 3)).err(), store.get("a").err(), store.size("a").err(), store.list("").err()]
    {
        let error = error.expect("the key is wrong");
        assert_eq!(error.class(), ErrorClass::Denied, "{error}");
        assert!(!format!("{error:?} {error}").contains("mistyped"), "{error:?}");
    }
    assert_eq!(store.requests().total(), 4, "nobody asks again with a wrong key");
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let Some(mut server) = Versitygw::start() else { return };
    let runtime = runtime();
    let patient = RetryPolicy {
        budget: Duration::from_secs(60),
        longest_delay: Duration::from_millis(250),
        ..RetryPolicy::default()
    };
    let store = opened(&runtime, &server.url("x"), &server.environment()).with_retry(patient);
    put(&store, "a", &content(1, 3));
    server.stop();
    let error = store.clone().with_retry(RetryPolicy::never()).get("a").expect_err("it is down");
    assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&store, "a"));
        server.restart();
        assert_eq!(waiting.join().expect("it came back"), content(1, 3));
    });
}

#[test]
fn a_flipped_bit_in_a_file_of_the_server_is_read_as_it_is() {
    let Some(server) = Versitygw::start() else { return };
    let runtime = runtime();
    let store = opened(&runtime, &server.url("x"), &server.environment());
    let bytes = content(9, 10_000);
    put(&store, "a", &bytes);
    let file = server.bucket_folder().join("x/a");
    let mut stored = std::fs::read(&file).expect("an object is a file");
    stored[5_000] ^= 1;
    std::fs::write(&file, &stored).expect("written");
    // Neither this server nor the transport notices: only the seal of a blob does, one floor up.
    assert!(get(&store, "a") == stored);
}

#[test]
fn a_full_disk_is_named_and_leaves_no_part_of_an_object() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let runtime = runtime();
    let store = opened(&runtime, disk.path().to_str().expect("UTF-8"), &[]);
    put(&store, "d/small", &content(1, 1_000));
    let error = store.put("d/large", content(2, 2 << 20)).expect_err("it does not fit");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("d/large"), "{error}");
    assert_eq!(names(&store, ""), ["d/small"]);
    assert_eq!(std::fs::read_dir(disk.path().join("d")).expect("readable").count(), 1, "what was begun is cleaned up");
    assert_eq!(store.requests().put, 2, "nobody asks a full disk again");
    put(&store, "d/other", &content(3, 100_000));
}

#[test]
fn a_read_only_disk_is_denied_and_still_read() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let runtime = runtime();
    let store = opened(&runtime, disk.path().to_str().expect("UTF-8"), &[]);
    put(&store, "d/a", &content(1, 1_000));
    disk.make_read_only();
    for error in
        [store.put("d/b", content(1, 3)).err(), store.put("new/b", content(1, 3)).err(), store.delete("d/a").err()]
    {
        let error = error.expect("it is read-only");
        assert_eq!(error.class(), ErrorClass::Denied, "{error}");
    }
    assert_eq!(get(&store, "d/a"), content(1, 1_000));
}
