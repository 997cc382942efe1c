//! Compress: smaller bytes, proven to come back.
//!
//! In: plaintext of one blob. Out: one zstd frame, or the plaintext itself where compression does not pay. Never: hands out a frame that it has not
//! decoded and compared, or decodes beyond a known length.

use std::cell::RefCell;

use zstd::bulk;

use crate::Error;
use crate::seal::Codec;

/// Stored as it is when compression saves less than one part in this many (3 %): decoding would cost more than the bytes.
const SAVING_MIN_DIVISOR: usize = 32;
/// Below this nothing can be gained.
const COMPRESSIBLE_BYTES_MIN: usize = 32;

/// Bytes ready to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// How.
    pub codec: Codec,
    /// Length before compression, in bytes.
    pub plaintext_bytes: u32,
    /// What will be sealed.
    pub bytes: Vec<u8>,
}

/// Reuses its contexts and buffers over many blobs; one per thread.
pub struct Compressor {
    compressor: bulk::Compressor<'static>,
    decompressor: bulk::Decompressor<'static>,
    frame: Vec<u8>,
    check: Vec<u8>,
}

impl Compressor {
    /// `level` as zstd has it (negative: faster).
    pub fn new(level: i32) -> Result<Compressor, Error> {
        let failed = |error: std::io::Error| Error::Bug(format!("zstd refused to start: {error}"));
        Ok(Compressor {
            compressor: bulk::Compressor::new(level).map_err(failed)?,
            decompressor: bulk::Decompressor::new().map_err(failed)?,
            frame: Vec::new(),
            check: Vec::new(),
        })
    }

    /// Compresses, decodes again and compares, so that neither a fault of the compressor nor of this machine's memory reaches the repository.
    pub fn compress(&mut self, plaintext: &[u8]) -> Result<Compressed, Error> {
        let plaintext_bytes = u32::try_from(plaintext.len()).map_err(|_| Error::Bug("a blob over 4 GiB".into()))?;
        let stored = || Compressed { codec: Codec::Stored, plaintext_bytes, bytes: plaintext.to_vec() };
        if plaintext.len() < COMPRESSIBLE_BYTES_MIN {
            return Ok(stored());
        }
        let Compressor { compressor, decompressor, frame, check } = self;
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
        compressor
            .compress_to_buffer(plaintext, frame)
            .map_err(|error| Error::Bug(format!("zstd failed to compress: {error}")))?;
        if frame.len() > plaintext.len() - plaintext.len() / SAVING_MIN_DIVISOR {
            return Ok(stored());
        }
        check.clear();
        check.reserve(plaintext.len());
        decompressor.decompress_to_buffer(frame.as_slice(), check).map_err(|error| {
            Error::Bug(format!("zstd cannot decode what it wrote ({error}): suspect this machine's memory"))
        })?;
        if check != plaintext {
            return Err(Error::Bug(
                "decoding gave other bytes than were compressed: suspect this machine's memory".into(),
            ));
        }
        // No longer than it is: a table holds thousands of these.
        Ok(Compressed { codec: Codec::Zstd, plaintext_bytes, bytes: frame.as_slice().to_vec() })
    }
}

thread_local! {
    static DECOMPRESSOR: RefCell<Option<bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decodes to exactly `plaintext_bytes` bytes, which the caller has authenticated.
pub fn decompress(codec: Codec, bytes: Vec<u8>, plaintext_bytes: usize) -> Result<Vec<u8>, String> {
    let plaintext = match codec {
        Codec::Stored => bytes,
        Codec::Zstd => {
            DECOMPRESSOR
                .with_borrow_mut(|decompressor| match decompressor {
                    Some(decompressor) => decompressor.decompress(&bytes, plaintext_bytes),
                    // This thread's first: making one clears 160 KiB, which is more work than decoding most blobs.
                    none => none.insert(bulk::Decompressor::new()?).decompress(&bytes, plaintext_bytes),
                })
                .map_err(|error| format!("zstd: {error}"))?
        }
    };
    if plaintext.len() != plaintext_bytes {
        return Err(format!("{} bytes where {plaintext_bytes} were declared", plaintext.len()));
    }
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn text_shrinks_and_noise_is_stored() {
        let mut compressor = Compressor::new(1).unwrap();
        let text = compressor.compress(&b"holdfast ".repeat(1000)).unwrap();
        assert_eq!(text.codec, Codec::Zstd);
        assert!(text.bytes.len() < 200);
        let mut noise = vec![0; 100_000];
        StdRng::seed_from_u64(1).fill(&mut noise[..]);
        let noise = compressor.compress(&noise).unwrap();
        assert_eq!((noise.codec, noise.bytes.len()), (Codec::Stored, 100_000));
    }

    #[test]
    fn what_is_kept_takes_no_more_memory_than_its_bytes() {
        let mut compressor = Compressor::new(1).unwrap();
        for plaintext in [b"holdfast ".repeat(1800), vec![0; 1 << 20], b"a".to_vec()] {
            let compressed = compressor.compress(&plaintext).unwrap();
            assert_eq!(compressed.bytes.capacity(), compressed.bytes.len());
            assert_eq!(decompress(compressed.codec, compressed.bytes, plaintext.len()).unwrap(), plaintext);
        }
    }

    #[test]
    fn decoding_stops_at_the_declared_length() {
        let bomb = Compressor::new(1).unwrap().compress(&vec![0; 1 << 20]).unwrap();
        assert!(decompress(bomb.codec, bomb.bytes.clone(), 4096).is_err());
        assert!(decompress(bomb.codec, bomb.bytes, (1 << 20) + 1).is_err());
    }
}
