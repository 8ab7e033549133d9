//! Lengths of time as scenarios write them: `300ms`, `601s`, `30d`.

/// Units, longest suffix first so that `ms` is not read as `s`.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Longest time that can be written: 200 years, beyond the largest Expires (RFC 3261 §20.19: 136 years).
const LONGEST_MS: u64 = 200 * 366 * 86_400_000;

/// For messages.
pub const EXPECTED: &str = "a number with a unit: `300ms`, `601s`, `5m`, `2h` or `30d`";

/// Milliseconds of `601s`, `1.5h`, `300ms`; `None` where it is not a length of time.
pub fn parse_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, ms)| Some((text.strip_suffix(suffix)?.trim_end(), *ms)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut ms = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        ms = ms.checked_add(fraction.parse::<u64>().ok()?.checked_mul(unit)? / scale)?;
    }
    (ms <= LONGEST_MS).then_some(ms)
}

/// The same with a sign: `-58s`, `+1h`.
pub fn parse_shift_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    i64::try_from(parse_ms(rest)?).ok().map(|ms| ms * sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_and_fractions() {
        assert_eq!(parse_ms("300ms"), Some(300));
        assert_eq!(parse_ms("601s"), Some(601_000));
        assert_eq!(parse_ms("1.5h"), Some(5_400_000));
        assert_eq!(parse_ms("30d"), Some(2_592_000_000));
        assert_eq!(parse_ms("4294967295s"), Some(4_294_967_295_000));
        assert_eq!(parse_ms("0.5 s"), Some(500));
    }

    #[test]
    fn what_is_not_a_time() {
        for text in [
            "",
            "s",
            "5",
            "5 minutes",
            "-5s",
            "1.s",
            ".5s",
            "1e3s",
            "99999999999999999999d",
            "ten s",
        ] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }

    #[test]
    fn shifts_have_a_sign() {
        assert_eq!(parse_shift_ms("-58s"), Some(-58_000));
        assert_eq!(parse_shift_ms("+1h"), Some(3_600_000));
        assert_eq!(parse_shift_ms("--1s"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,30}") {
            let _ = parse_ms(&text);
            let _ = parse_shift_ms(&text);
        }
    }
}
