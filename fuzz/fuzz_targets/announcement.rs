//! A session's announcement: refused, or the same after it was written and read once more.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::session::Announcement;

fuzz_target!(|data: &[u8]| {
    let Ok(first) = within(16 * data.len(), || serde_json::from_slice::<Announcement>(data)) else { return };
    let written = serde_json::to_vec(&first).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Announcement>(&written).expect("what was written can be read"), first);
});
