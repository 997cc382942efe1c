//! Codec: fields to bytes and back (docs/format.md, section 1).
//!
//! In: integers and byte strings, or untrusted bytes. Out: their encoding, or exactly the fields. Never: panics on input, or allocates more than the input holds.

/// Bytes that are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a field.
    #[error("it ends inside a field")]
    Truncated,
    /// Something follows the last field.
    #[error("{0} bytes follow where it should end")]
    Trailing(usize),
    /// A number is not in its shortest form or does not fit.
    #[error("a number is not in its shortest form or does not fit")]
    Number,
    /// A field has a value that the format does not allow.
    #[error("its field {0:?} has a value that the format does not allow")]
    Value(&'static str),
    /// A length or count is above its maximum.
    #[error("its field {0:?} is above its maximum")]
    TooLarge(&'static str),
}

/// Appends fields to a byte vector.
#[derive(Debug, Default)]
pub struct Encoder {
    /// What was written so far.
    pub out: Vec<u8>,
}

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Unsigned LEB128.
    pub fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
        self
    }

    /// Zigzag LEB128.
    pub fn svarint(&mut self, value: i64) -> &mut Self {
        self.varint(((value << 1) ^ (value >> 63)) as u64)
    }

    /// Length and bytes.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.varint(value.len() as u64).raw(value)
    }

    /// Bytes without a length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.out.extend_from_slice(value);
        self
    }

    /// The encoding.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Takes fields from the front of untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Begins at the front.
    pub fn new(input: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: input }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (front, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(front)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (front, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*front)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Unsigned LEB128 in its shortest form.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Number);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(DecodeError::Number) } else { Ok(value) };
            }
        }
        Err(DecodeError::Number)
    }

    /// A varint that fits u32.
    pub fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::Number)
    }

    /// Zigzag LEB128.
    pub fn svarint(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Length and bytes, of at most `length_max` bytes.
    pub fn bytes(&mut self, field: &'static str, length_max: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::TooLarge(field))?;
        if length > length_max {
            return Err(DecodeError::TooLarge(field));
        }
        self.raw(length)
    }

    /// How many items follow. Each takes at least `item_bytes_min` (≥ 1) bytes, so a count that the rest cannot hold is refused before anything is allocated.
    pub fn count(&mut self, field: &'static str, item_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::TooLarge(field))?;
        if count > self.rest.len() / item_bytes_min.max(1) {
            return Err(DecodeError::TooLarge(field));
        }
        Ok(count)
    }

    /// `length` zero bytes.
    pub fn zeros(&mut self, length: usize) -> Result<(), DecodeError> {
        if self.raw(length)?.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Value("reserved"));
        }
        Ok(())
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(a: u64, b: i64, c: Vec<u8>, d: u32) {
            let mut encoder = Encoder::new();
            encoder.varint(a).svarint(b).bytes(&c).u32(d);
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            prop_assert_eq!(decoder.varint(), Ok(a));
            prop_assert_eq!(decoder.svarint(), Ok(b));
            prop_assert_eq!(decoder.bytes("c", usize::MAX), Ok(&c[..]));
            prop_assert_eq!(decoder.u32(), Ok(d));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn a_number_has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut decoder = Decoder::new(&bytes);
            if let Ok(value) = decoder.varint() {
                let used = bytes.len() - decoder.remaining();
                let mut encoder = Encoder::new();
                encoder.varint(value);
                prop_assert_eq!(encoder.finish(), &bytes[..used]);
            }
        }
    }

    #[test]
    fn a_count_that_cannot_be_there_is_refused() {
        let mut encoder = Encoder::new();
        encoder.varint(1 << 40).raw(&[0; 10]);
        let bytes = encoder.finish();
        assert_eq!(Decoder::new(&bytes).count("rows", 1), Err(DecodeError::TooLarge("rows")));
    }
}
