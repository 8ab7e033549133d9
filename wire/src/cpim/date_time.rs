//! `DateTime` (RFC 3862 §4.4), an instant as RFC 3339 writes it.

use std::fmt;

use super::ValueError;
use crate::sip::typed::cursor::Cursor;
use crate::sip::typed::date::{civil, days_before, days_in_month};
use crate::sip::typed::{SipDate, ValueResult};

/// An instant with the offset it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z. A leap second is the first second of the next minute.
    pub unix_seconds: i64,
    /// Nanoseconds after that second; further digits are cut off.
    pub nanoseconds: u32,
    /// Minutes east of UTC; `None` for `-00:00`, which says that the local offset is not known
    /// (RFC 3339 §4.3).
    pub offset_minutes: Option<i16>,
}

const DAY: i64 = 86_400;

impl DateTime {
    /// Reads `2026-11-23T09:00:00Z` or `2026-11-23T10:00:00.25+01:00`.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let mut cursor = Cursor::new(value.as_bytes());
        let year = number(&mut cursor, 4, 0..=9999, "a year of four digits")?;
        cursor.expect(b'-', "`-` after the year")?;
        let month = number(&mut cursor, 2, 1..=12, "a month, 01 to 12")?;
        cursor.expect(b'-', "`-` after the month")?;
        let before_month = usize::try_from(month - 1).unwrap_or(0);
        let days = days_in_month(year, before_month);
        let day = number(&mut cursor, 2, 1..=days, "a day that the month has")?;
        if !cursor.eat(b'T') {
            // RFC 3339 §5.6: who generates it should use the capital.
            cursor.expect(b't', "`T` before the time")?;
        }
        let hour = number(&mut cursor, 2, 0..=23, "an hour, 00 to 23")?;
        cursor.expect(b':', "a colon")?;
        let minute = number(&mut cursor, 2, 0..=59, "a minute, 00 to 59")?;
        cursor.expect(b':', "a colon")?;
        let second = number(&mut cursor, 2, 0..=60, "a second, 00 to 60")?;
        let nanoseconds = if cursor.eat(b'.') {
            fraction(cursor.word(|o| o.is_ascii_digit(), "digits of a fraction")?)
        } else {
            0
        };
        let offset_minutes = offset(&mut cursor)?;
        if !cursor.rest().is_empty() {
            return cursor.error("the end of the instant");
        }
        let local =
            (days_before(year, before_month) + day - 1) * DAY + hour * 3600 + minute * 60 + second;
        Ok(Self {
            unix_seconds: local - i64::from(offset_minutes.unwrap_or(0)) * 60,
            nanoseconds,
            offset_minutes,
        })
    }

    /// An instant in UTC.
    pub fn utc(unix_seconds: i64) -> Self {
        Self {
            unix_seconds,
            nanoseconds: 0,
            offset_minutes: Some(0),
        }
    }
}

/// As RFC 3339 writes it, in the offset it has. An instant that it cannot write is shown as the
/// nearest one that it can.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = i64::from(self.offset_minutes.unwrap_or(0));
        let local = self
            .unix_seconds
            .saturating_add(offset * 60)
            .clamp(SipDate::MIN.unix_seconds, SipDate::MAX.unix_seconds);
        let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanoseconds > 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        match self.offset_minutes {
            None => f.write_str("-00:00"),
            Some(0) => f.write_str("Z"),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// `Z`, `+hh:mm` or `-hh:mm`
fn offset(cursor: &mut Cursor<'_>) -> ValueResult<Option<i16>> {
    if cursor.eat(b'Z') || cursor.eat(b'z') {
        return Ok(Some(0));
    }
    let sign = match cursor.peek() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return cursor.error("`Z` or an offset such as `+01:00`"),
    };
    cursor.take(1);
    let hours = number(cursor, 2, 0..=23, "hours of the offset, 00 to 23")?;
    cursor.expect(b':', "a colon in the offset")?;
    let minutes = number(cursor, 2, 0..=59, "minutes of the offset, 00 to 59")?;
    let minutes = i16::try_from(hours * 60 + minutes).unwrap_or(0);
    Ok((sign > 0 || minutes > 0).then_some(sign * minutes))
}

/// The digits after the point as nanoseconds.
fn fraction(digits: &str) -> u32 {
    let first = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    first.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

fn number(
    cursor: &mut Cursor<'_>,
    digits: usize,
    range: std::ops::RangeInclusive<i64>,
    expected: &'static str,
) -> ValueResult<i64> {
    let start = cursor.at();
    let octets = cursor.take(digits);
    let number = crate::sip::text::digits(octets).and_then(|it| i64::try_from(it).ok());
    match number {
        Some(number) if octets.len() == digits && range.contains(&number) => Ok(number),
        _ => Cursor::error_at(start, expected),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, unix_seconds, nanoseconds, offset_minutes) in [
            ("1970-01-01T00:00:00Z", 0, 0, Some(0)),
            ("2000-12-13T13:40:00-08:00", 976_743_600, 0, Some(-480)),
            (
                "2026-11-23T10:00:00.25+01:00",
                1_795_424_400,
                250_000_000,
                Some(60),
            ),
            ("2026-11-23T09:00:00-00:00", 1_795_424_400, 0, None),
            (
                "2024-02-29T23:59:59.000000001+05:45",
                1_709_230_499,
                1,
                Some(345),
            ),
            ("0000-01-01T00:00:00+23:59", -62_167_305_540, 0, Some(1439)),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139, 0, Some(-1439)),
        ] {
            let read = DateTime::parse(text).unwrap();
            let expected = DateTime {
                unix_seconds,
                nanoseconds,
                offset_minutes,
            };
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(DateTime::utc(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(DateTime::utc(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(DateTime::utc(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn takes_what_the_grammar_takes() {
        let seconds = |text| DateTime::parse(text).unwrap().unix_seconds;
        assert_eq!(seconds("1970-01-01t00:00:01z"), 1);
        assert_eq!(
            seconds("1990-12-31T23:59:60Z"),
            seconds("1991-01-01T00:00:00Z")
        );
        let long = DateTime::parse("1970-01-01T00:00:00.1234567899999Z").unwrap();
        assert_eq!(long.nanoseconds, 123_456_789);
        assert_eq!(
            DateTime::parse("1970-01-01T00:00:00+00:00")
                .unwrap()
                .offset_minutes,
            Some(0)
        );
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, offset) in [
            ("", 0),
            ("26-11-23T09:00:00Z", 0),
            ("2026-13-23T09:00:00Z", 5),
            ("2026-00-23T09:00:00Z", 5),
            ("2026-02-29T09:00:00Z", 8),
            ("2026-11-00T09:00:00Z", 8),
            ("2026-11-23 09:00:00Z", 10),
            ("2026-11-23T24:00:00Z", 11),
            ("2026-11-23T09:60:00Z", 14),
            ("2026-11-23T09:00:61Z", 17),
            ("2026-11-23T09:00Z", 16),
            ("2026-11-23T09:00:00", 19),
            ("2026-11-23T09:00:00.Z", 20),
            ("2026-11-23T09:00:00,5Z", 19),
            ("2026-11-23T09:00:00+0100", 22),
            ("2026-11-23T09:00:00+24:00", 20),
            ("2026-11-23T09:00:00Z ", 20),
            ("2026-11-2é", 8),
            ("Mon, 23 Nov 2026 09:00:00 GMT", 0),
        ] {
            assert_eq!(DateTime::parse(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
