//! Fields of the codec, in any order: each is refused or written again byte for byte.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::codec::{DecodeError, Decoder, Encoder};

/// The longest byte string that is asked for.
const BYTES_MAX: usize = 300;

fn field(which: u8, from: &mut Decoder<'_>, to: &mut Encoder) -> Result<(), DecodeError> {
    match which % 10 {
        0 => to.u8(from.u8()?),
        1 => to.u16(from.u16()?),
        2 => to.u32(from.u32()?),
        3 => to.u64(from.u64()?),
        4 => to.varint(from.varint()?),
        5 => to.varint(u64::from(from.varint_u32()?)),
        6 => to.svarint(from.svarint()?),
        7 => to.bytes(from.bytes("bytes", BYTES_MAX)?),
        8 => {
            let count = from.count("count", usize::from(which / 10))?;
            assert!(count <= from.remaining() / usize::from(which / 10).max(1), "a count that the rest cannot hold");
            to.varint(count as u64)
        }
        _ => {
            from.zeros(usize::from(which / 10))?;
            to.raw(&vec![0; usize::from(which / 10)])
        }
    };
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let Some((plan, bytes)) = holdfast_fuzz::part(data) else { return };
    within(4 * bytes.len(), || {
        let (mut from, mut to) = (Decoder::new(bytes), Encoder::new());
        for which in plan {
            if field(*which, &mut from, &mut to).is_err() {
                return;
            }
            let used = bytes.len() - from.remaining();
            assert_eq!(to.out, &bytes[..used], "a field has one encoding");
        }
        let left = from.remaining();
        assert_eq!(from.finish().is_ok(), left == 0);
    });
});
