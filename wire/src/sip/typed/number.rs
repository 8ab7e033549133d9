//! Headers that are one number.

use super::{TypedHeader, ValueResult};
use crate::sip::error::ValueError;
use crate::sip::text::{digits, trim};

/// Expires (RFC 3261 §20.19): delta-seconds, 0 to 2^32-1. A larger number is an error with offset
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expires(pub u32);
/// Min-Expires (RFC 3261 §20.23): delta-seconds like Expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinExpires(pub u32);
/// Max-Forwards (RFC 3261 §20.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxForwards(pub u8);
/// Content-Length (RFC 3261 §20.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLengthValue(pub u64);

impl TypedHeader for Expires {
    const NAME: &'static str = "Expires";
    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        number(
            value,
            u32::try_from,
            "a number of seconds from 0 to 4294967295",
        )
        .map(Self)
    }
}

impl TypedHeader for MinExpires {
    const NAME: &'static str = "Min-Expires";
    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        number(
            value,
            u32::try_from,
            "a number of seconds from 0 to 4294967295",
        )
        .map(Self)
    }
}

impl TypedHeader for MaxForwards {
    const NAME: &'static str = "Max-Forwards";
    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        number(value, u8::try_from, "a number from 0 to 255").map(Self)
    }
}

impl TypedHeader for ContentLengthValue {
    const NAME: &'static str = "Content-Length";
    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        number(value, u64::try_from, "a number of octets").map(Self)
    }
}

/// `1*DIGIT` within a range. A number that is out of range is wrong as a whole, so its offset is
/// that of the first digit; otherwise the offset is that of the first octet that is no digit.
fn number<T, E>(
    value: &[u8],
    narrow: impl Fn(u128) -> Result<T, E>,
    expected: &'static str,
) -> ValueResult<T> {
    let value = trim(value);
    if let Some(offset) = value.iter().position(|octet| !octet.is_ascii_digit()) {
        return Err(ValueError { offset, expected });
    }
    let too_large = ValueError {
        offset: 0,
        expected,
    };
    // Saturation at `u64::MAX` is told from the number itself by its digits.
    let number = match digits(value) {
        Some(u64::MAX) if !is_u64_max(value) => return Err(too_large),
        Some(number) => u128::from(number),
        None => return Err(too_large),
    };
    narrow(number).map_err(|_| too_large)
}

fn is_u64_max(value: &[u8]) -> bool {
    let zeros = value.iter().take_while(|octet| **octet == b'0').count();
    value[zeros..] == *u64::MAX.to_string().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expires(value: &str) -> Result<u32, usize> {
        Expires::parse_value(value.as_bytes())
            .map(|e| e.0)
            .map_err(|e| e.offset)
    }

    #[test]
    fn expires_over_its_whole_range() {
        assert_eq!(expires("0"), Ok(0));
        assert_eq!(expires("0005"), Ok(5));
        assert_eq!(expires("4294967295"), Ok(u32::MAX));
        assert_eq!(expires("4294967296"), Err(0));
        assert_eq!(expires(&format!("1{}", "0".repeat(100))), Err(0));
        assert_eq!(expires(""), Err(0));
        assert_eq!(expires("-1"), Err(0));
        assert_eq!(expires("3600;x"), Err(4));
        assert_eq!(expires("36 00"), Err(2));
        assert_eq!(expires("Thu, 01 Dec 2040 16:00:00 GMT"), Err(0));
    }

    #[test]
    fn other_numbers_have_their_own_range() {
        assert_eq!(MaxForwards::parse_value(b"0068").map(|m| m.0), Ok(68));
        assert!(MaxForwards::parse_value(b"256").is_err());
        assert_eq!(MinExpires::parse_value(b"60").map(|m| m.0), Ok(60));
        let length = |v: &[u8]| {
            ContentLengthValue::parse_value(v)
                .map(|c| c.0)
                .map_err(|e| e.offset)
        };
        assert_eq!(length(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(length(b"0018446744073709551615"), Ok(u64::MAX));
        assert_eq!(length(b"18446744073709551616"), Err(0));
        assert_eq!(length(b"five"), Err(0));
    }
}
