//! Numbers of octets as scenarios write them (`2048`, `100KiB`, `5MB`), and ranges of octets (`1-4`).

use std::ops::RangeInclusive;

/// Units, longest suffix first so that `KiB` is not read as `B`.
const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Largest body that is generated, and largest count of octets on a connection.
pub const LARGEST: u64 = 1 << 40;

/// For messages.
pub const EXPECTED: &str =
    "a whole number of octets, perhaps with a unit: `2048`, `100KiB`, `64MiB`, `5MB`";

/// Octets of `2048`, `100KiB`, `5MB`; `None` where it is no such number.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, octets)| Some((text.strip_suffix(suffix)?.trim_end(), *octets)))
        .unwrap_or((text, 1));
    whole(number)?.checked_mul(unit)
}

/// First and last octet of `1-4`, or of `5` alone; octets count from 1. `None` where it is no such range.
pub fn parse_range(text: &str) -> Option<RangeInclusive<u64>> {
    let text = text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (whole(first.trim())?, whole(last.trim())?);
    (1 <= first && first <= last).then_some(first..=last)
}

/// Digits only: the standard parser takes a sign, too.
fn whole(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("2048"), Some(2048));
        assert_eq!(parse_size("100KiB"), Some(102_400));
        assert_eq!(parse_size("64 MiB"), Some(67_108_864));
        assert_eq!(parse_size("5MB"), Some(5_000_000));
        assert_eq!(parse_size("7kB"), Some(7_000));
        assert_eq!(parse_size("12B"), Some(12));
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("9223372036854775808"), Some(1 << 63));
    }

    #[test]
    fn what_is_no_size() {
        for text in [
            "",
            "KiB",
            "-1",
            "+1",
            "1.5MiB",
            "5 megabytes",
            "5Mi",
            "1e3",
            "18446744073709551616",
            "99999999999GiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_count_from_one() {
        assert_eq!(parse_range("1-4"), Some(1..=4));
        assert_eq!(parse_range(" 3 - 3 "), Some(3..=3));
        assert_eq!(parse_range("5"), Some(5..=5));
        for text in [
            "", "0-4", "4-1", "1-", "-4", "1-2-3", "1-*", "a-b", "+1-2", "none",
        ] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_size_is_read_back(number in 0u64..10_000, unit in 0..UNITS.len()) {
            let (suffix, octets) = UNITS[unit];
            prop_assert_eq!(parse_size(&format!("{number}{suffix}")), Some(number * octets));
        }

        #[test]
        fn every_range_is_read_back(first in 1u64.., more in 0u64..1_000_000) {
            let last = first.saturating_add(more);
            prop_assert_eq!(parse_range(&format!("{first}-{last}")), Some(first..=last));
        }

        #[test]
        fn never_panics(text in "[0-9a-zA-Z +*-]{0,30}|.{0,20}") {
            let _ = parse_size(&text);
            if let Some(range) = parse_range(&text) {
                prop_assert!(!range.is_empty() && *range.start() > 0);
            }
        }
    }
}
