//! Quantity: amounts of bytes and of time as people write them.
//!
//! In: `128MiB`, `64M`, `1048576`; `24h`, `7d`, `1d12h`. Out: bytes, durations. Never: rounds, or accepts what does not fit into 64 bits.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Reads an amount of bytes: a whole number, and a unit. `K`, `M`, `G`, `T` and `KiB`, `MiB`, `GiB`, `TiB` are powers of 1,024; `kB`, `MB`, `GB`, `TB` of 1,000.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} does not begin with a number; write for example 128MiB"))?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        other => return Err(format!("{other:?} is not a unit of bytes; write for example 128MiB or 2G")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{text} is more than 64 bits can hold"))
}

/// Reads a duration: `30m`, `24h`, `7d`, `2w`, also together (`1d12h`). A day is 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |why: String| format!("{why}; write for example 24h or 7d");
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let span: Span = text.trim().parse().map_err(|error: jiff::Error| wrong(error.to_string()))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| wrong(error.to_string()))?;
    Duration::try_from(duration).map_err(|_| wrong(format!("{text} is negative")))
}

/// A duration for people: `3d 4h`.
pub(crate) fn duration_text(duration: Duration) -> String {
    indicatif::HumanDuration(duration).to_string()
}

/// An amount of bytes for people: `1.50 MiB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// So much of a thing: `1 file`, `2 files`.
pub(crate) fn count_text(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("128MiB", 128 << 20),
            ("64M", 64 << 20),
            ("64 m", 64 << 20),
            ("2g", 2 << 30),
            ("1TiB", 1 << 40),
            ("5kB", 5_000),
            ("3MB", 3_000_000),
            ("7B", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn durations_are_read_with_every_unit() {
        for (text, seconds) in [
            ("0", 0),
            ("90s", 90),
            ("30m", 1_800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "24", "h", "-1h", "1mo", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "M", "-1", "1.5G", "12 apples", "0x10", "99999999999999999999", "17179869184G"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
