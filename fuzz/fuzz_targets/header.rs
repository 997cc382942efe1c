//! The header of a sealed object: refused, or written again byte for byte.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::seal::{HEADER_BYTES_MAX, Header};

fuzz_target!(|data: &[u8]| {
    within(0, || {
        if let Ok((header, length)) = Header::decode("object", data) {
            assert!(length <= HEADER_BYTES_MAX);
            assert_eq!(header.encode(), &data[..length], "a header has one encoding");
        }
    });
});
