//! The description of a restore point: refused, or the same after it was written and read once more.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::point::{Description, Statistics};

fuzz_target!(|data: &[u8]| {
    let Ok(first) = within(128 * data.len(), || serde_json::from_slice::<Description>(data)) else { return };
    let written = serde_json::to_vec(&first).expect("what was read can be written");
    let second: Description = serde_json::from_slice(&written).expect("what was written can be read");
    // JSON's decimal fractions come back to within one unit in the last place; everything else comes back exactly.
    let (one, other) = (first.statistics.seconds, second.statistics.seconds);
    assert!((one - other).abs() <= one.abs() * 4.0 * f64::EPSILON + f64::MIN_POSITIVE, "{one} {other}");
    assert_eq!(first.trust.len(), second.trust.len());
    let exact = |description: Description| Description {
        statistics: Statistics { seconds: 0.0, ..description.statistics },
        trust: serde_json::Map::new(),
        ..description
    };
    assert_eq!(exact(first), exact(second));
});
