//! Compressed bytes: refused, or exactly as many plaintext bytes as were declared; never memory for more than that.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::compress::decompress;
use repository::seal::Codec;

/// What the largest blob may declare, cut down so that the fuzzer keeps its pace.
const PLAINTEXT_BYTES_MAX: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((declared, bytes)) = data.split_first_chunk::<4>() else { return };
    let declared = u32::from_le_bytes(*declared) as usize;
    if declared > PLAINTEXT_BYTES_MAX {
        return;
    }
    for codec in [Codec::Stored, Codec::Zstd] {
        let bytes = bytes.to_vec();
        let plaintext = within(declared, || decompress(codec, bytes, declared));
        assert!(plaintext.is_err() || plaintext.is_ok_and(|plaintext| plaintext.len() == declared));
    }
});
