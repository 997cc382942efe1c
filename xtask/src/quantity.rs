//! Quantity: numbers as people read them.
//!
//! In: bytes, seconds, counts. Out: short text with a unit. Never: parsed again by anything.

/// Bytes in binary units with three significant digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Seconds; minutes where that reads better.
pub(crate) fn seconds(value: f64) -> String {
    if value >= 120.0 {
        format!("{:.0} min {:02.0} s", (value / 60.0).floor(), (value % 60.0).floor())
    } else {
        format!("{value:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_digits() {
        let cases: [(u64, &str); 6] = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (15_728_640, "15.0 MiB"),
            (536_870_912, "512 MiB"),
            (u64::MAX, "16384 PiB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn long_times_are_minutes() {
        assert_eq!(seconds(0.034), "0.03 s");
        assert_eq!(seconds(119.0), "119.00 s");
        assert_eq!(seconds(185.9), "3 min 05 s");
    }
}
