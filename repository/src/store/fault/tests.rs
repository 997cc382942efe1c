//! Each effect does what it says, and the same seed does it again.

use object_store::memory::InMemory;

use super::super::{RetryPolicy, Store};
use super::*;

struct Bench {
    runtime: tokio::runtime::Runtime,
    base: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
    store: Store,
}

/// A store in memory that sends everything once, and one beside it without faults.
fn bench(seed: u64) -> Bench {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let base: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faults = Faults::seeded(seed);
    let store =
        Store::new(base.clone(), runtime.handle().clone()).with_retry(RetryPolicy::never()).with_faults(faults.clone());
    Bench { runtime, base, faults, store }
}

impl Bench {
    fn plain(&self) -> Store {
        Store::new(self.base.clone(), self.runtime.handle().clone())
    }
}

#[test]
fn a_rule_skips_what_it_should_and_ends_after_its_times() {
    let bench = bench(1);
    bench.faults.add(Rule::on(Operation::Put, "packs/", Effect::Fail(Failure::Unavailable)).after(1).times(2));
    let put = |name: &str| bench.store.put(name, Bytes::from_static(b"x")).is_ok();
    assert_eq!(
        [put("packs/0"), put("packs/1"), put("points/0"), put("packs/2"), put("packs/3")],
        [true, false, true, false, true]
    );
    assert_eq!(bench.faults.fired(), 2);
    assert_eq!(bench.faults.operations(), 5);
    assert!(!bench.plain().exists("packs/1").unwrap(), "what failed was not applied");
}

#[test]
fn a_lost_acknowledgement_was_applied() {
    let bench = bench(1);
    bench.faults.add(Rule::on(Operation::Put, "", Effect::LoseAcknowledgement).times(1));
    let error = bench.store.put("a", Bytes::from_static(b"x")).expect_err("not acknowledged");
    assert_eq!(error.class(), model::ErrorClass::Retry);
    assert_eq!(bench.plain().get("a").unwrap(), "x");
}

#[test]
fn what_lands_late_is_seen_only_then() {
    let bench = bench(1);
    bench.plain().put("b", Bytes::from_static(b"y")).unwrap();
    bench.faults.add(Rule::on(Operation::Put, "", Effect::LandLate).times(1));
    bench.faults.add(Rule::on(Operation::Delete, "", Effect::LandLate).times(1));
    bench.store.put("a", Bytes::from_static(b"x")).expect_err("not acknowledged");
    bench.store.delete("b").expect_err("not acknowledged");
    assert!(!bench.plain().exists("a").unwrap() && bench.plain().exists("b").unwrap());
    assert_eq!(bench.faults.land_late(bench.runtime.handle()).unwrap(), 2);
    assert!(bench.plain().exists("a").unwrap() && !bench.plain().exists("b").unwrap());
    assert_eq!(bench.faults.land_late(bench.runtime.handle()).unwrap(), 0);
}

#[test]
fn a_flipped_bit_is_one_bit() {
    let bench = bench(7);
    let bytes = Bytes::from(vec![0_u8; 4_096]);
    let ones = |bytes: &Bytes| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    bench.faults.add(Rule::on(Operation::Put, "stored", Effect::FlipBit));
    bench.faults.add(Rule::on(Operation::Get, "read", Effect::FlipBit).times(1));
    bench.store.put("stored", bytes.clone()).unwrap();
    bench.store.put("read", bytes.clone()).unwrap();
    assert_eq!(ones(&bench.store.get("stored").unwrap()), 1);
    assert_eq!(ones(&bench.store.get("read").unwrap()), 1);
    assert_eq!(bench.store.get("read").unwrap(), bytes, "what was flipped on the way is whole in the store");
}

#[test]
fn a_truncated_body_is_an_error_and_a_truncated_object_is_short() {
    let bench = bench(1);
    bench.faults.add(Rule::on(Operation::Put, "torn", Effect::Truncate));
    bench.faults.add(Rule::on(Operation::Get, "cut", Effect::Truncate).times(2));
    for name in ["torn", "cut"] {
        bench.store.put(name, Bytes::from_static(b"0123456789")).unwrap();
    }
    assert_eq!(bench.store.get("torn").unwrap(), "01234");
    let error = bench.store.get_range("torn", 2..8).expect_err("it ends at 5");
    assert!(matches!(error, StoreError::Truncated { expected: 6, got: 3, .. }), "{error}");
    for error in [bench.store.get("cut"), bench.store.get_range("cut", 0..4)] {
        assert!(matches!(error, Err(StoreError::Unavailable { .. })), "{error:?}");
    }
    assert_eq!(bench.store.get("cut").unwrap(), "0123456789");
}

#[test]
fn a_truncated_list_is_half_of_it() {
    let bench = bench(1);
    for index in 0..6 {
        bench.store.put(&format!("a/{index}"), Bytes::new()).unwrap();
    }
    bench.faults.add(Rule::on(Operation::List, "a", Effect::Truncate).times(1));
    assert_eq!(bench.store.list("a").unwrap().len(), 3);
    assert_eq!(bench.store.list("a").unwrap().len(), 6);
}

#[test]
fn an_ignored_operation_is_acknowledged_and_changes_nothing() {
    let bench = bench(1);
    bench.store.put("a", Bytes::from_static(b"x")).unwrap();
    bench.faults.add(Rule::any("", Effect::Ignore));
    bench.store.put("b", Bytes::new()).unwrap();
    bench.store.delete("a").unwrap();
    assert!(bench.store.get("a").expect_err("ignored").is_not_found());
    assert_eq!(bench.store.list("").unwrap(), []);
    assert!(bench.plain().exists("a").unwrap() && !bench.plain().exists("b").unwrap());
}

#[test]
fn nothing_is_sent_after_a_crash() {
    for applied in [false, true] {
        let bench = bench(1);
        let called = Arc::new(AtomicU64::new(0));
        let hook = {
            let called = called.clone();
            Arc::new(move || {
                called.fetch_add(1, Ordering::SeqCst);
            })
        };
        bench.faults.add(Rule::any("", Effect::Crash { applied, hook }).after(2));
        bench.store.put("a", Bytes::new()).unwrap();
        bench.store.list("").unwrap();
        let error = bench.store.put("b", Bytes::new()).expect_err("the third operation");
        assert_eq!(error.class(), model::ErrorClass::Cancelled);
        bench.store.get("a").expect_err("dead");
        bench.store.delete("a").expect_err("dead");
        assert_eq!(called.load(Ordering::SeqCst), 1);
        assert!(bench.faults.crashed());
        assert_eq!(bench.plain().exists("b").unwrap(), applied);
        assert!(bench.plain().exists("a").unwrap());
    }
}

#[test]
fn a_hook_that_panics_ends_the_thread_that_asked() {
    let bench = bench(1);
    bench.faults.add(Rule::any("", Effect::Crash { applied: false, hook: Arc::new(|| panic!("killed")) }));
    let store = bench.store.clone();
    assert!(std::thread::spawn(move || store.put("a", Bytes::new())).join().is_err());
    bench.store.get("a").expect_err("dead, and the locks still work");
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    let run = |seed| {
        let bench = bench(seed);
        bench.faults.add(Rule::on(Operation::Put, "", Effect::Fail(Failure::Throttled)).one_in(3));
        (0..200).map(|index| bench.store.put(&format!("a/{index}"), Bytes::new()).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
    let failed = run(42).into_iter().filter(|ok| !ok).count();
    assert!((40..=95).contains(&failed), "one in three of 200 is about 67, not {failed}");
}
