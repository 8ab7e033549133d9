//! Date (RFC 3261 §20.17): RFC 1123 form, GMT only.

use super::cursor::Cursor;
use super::{TypedHeader, ValueResult};
use crate::sip::error::ValueError;

/// An instant of the Date header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SipDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const WEEKDAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Mon"),
    (Weekday::Tuesday, "Tue"),
    (Weekday::Wednesday, "Wed"),
    (Weekday::Thursday, "Thu"),
    (Weekday::Friday, "Fri"),
    (Weekday::Saturday, "Sat"),
    (Weekday::Sunday, "Sun"),
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAY: i64 = 86_400;

impl SipDate {
    /// 0000-01-01T00:00:00Z, the first instant that the header can hold.
    pub const MIN: Self = Self {
        unix_seconds: -62_167_219_200,
    };
    /// 9999-12-31T23:59:59Z, the last instant that the header can hold.
    pub const MAX: Self = Self {
        unix_seconds: 253_402_300_799,
    };

    /// `Mon, 23 Nov 2026 02:10:33 GMT`. An instant that the header cannot hold gives the nearest
    /// one that it can.
    pub fn format(self) -> String {
        let seconds = self.clamp(Self::MIN, Self::MAX).unix_seconds;
        let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (_, weekday) = WEEKDAYS[weekday_index(days)];
        let month = MONTHS[month - 1];
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// The day of the week of this instant.
    pub fn weekday(self) -> Weekday {
        WEEKDAYS[weekday_index(self.unix_seconds.div_euclid(DAY))].0
    }

    /// Whether a valid value names the day of the week on which its date falls. The grammar does
    /// not ask for it, so [`TypedHeader::parse_value`] does not either.
    pub fn weekday_is_right(value: &[u8]) -> ValueResult<bool> {
        let (date, written) = parse(value)?;
        Ok(date.weekday() == written)
    }
}

impl TypedHeader for SipDate {
    const NAME: &'static str = "Date";

    fn parse_value(value: &[u8]) -> ValueResult<Self> {
        parse(value).map(|(date, _)| date)
    }
}

/// `rfc1123-date`, case and single spaces included (RFC 3261 §20.17, §25.1).
fn parse(value: &[u8]) -> ValueResult<(SipDate, Weekday)> {
    let mut cursor = Cursor::new(value);
    let (weekday, _) = WEEKDAYS[name(
        &mut cursor,
        WEEKDAYS.map(|(_, name)| name),
        "`Mon` to `Sun`",
    )?];
    cursor.expect(b',', "a comma after the day of the week")?;
    cursor.expect(b' ', "one space")?;
    let day_at = cursor.at();
    let day = number(&mut cursor, 2, "a day of two digits")?;
    cursor.expect(b' ', "one space")?;
    let month = name(&mut cursor, MONTHS, "`Jan` to `Dec`")?;
    cursor.expect(b' ', "one space")?;
    let year = number(&mut cursor, 4, "a year of four digits")?;
    cursor.expect(b' ', "one space")?;
    let hour = below(&mut cursor, 24, "an hour, 00 to 23")?;
    cursor.expect(b':', "a colon")?;
    let minute = below(&mut cursor, 60, "a minute, 00 to 59")?;
    cursor.expect(b':', "a colon")?;
    let second = below(&mut cursor, 60, "a second, 00 to 59")?;
    cursor.expect(b' ', "one space")?;
    if cursor.rest() != b"GMT" {
        return cursor.error("`GMT`, the only time zone");
    }
    if day == 0 || day > days_in_month(year, month) {
        return Err(ValueError {
            offset: day_at,
            expected: "a day that the month has",
        });
    }
    let days = days_before(year, month) + day - 1;
    let unix_seconds = days * DAY + hour * 3600 + minute * 60 + second;
    Ok((SipDate { unix_seconds }, weekday))
}

fn name<const N: usize>(
    cursor: &mut Cursor,
    names: [&str; N],
    expected: &'static str,
) -> ValueResult<usize> {
    let start = cursor.clone();
    let written = cursor.take_while(|octet| octet.is_ascii_alphabetic());
    match names.iter().position(|name| name.as_bytes() == written) {
        Some(at) => Ok(at),
        None => start.error(expected),
    }
}

fn number(cursor: &mut Cursor, length: usize, expected: &'static str) -> ValueResult<i64> {
    let start = cursor.clone();
    let written = cursor.take_while(|octet| octet.is_ascii_digit());
    if written.len() != length {
        return start.error(expected);
    }
    Ok(written
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn below(cursor: &mut Cursor, limit: i64, expected: &'static str) -> ValueResult<i64> {
    let start = cursor.clone();
    let found = number(cursor, 2, expected)?;
    if found < limit {
        Ok(found)
    } else {
        start.error(expected)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Month from 0.
pub(crate) fn days_in_month(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of the month (from 0) of a year from 0 to 9999.
pub(crate) fn days_before(year: i64, month: usize) -> i64 {
    // Leap days of the years before this one, year 0 being a leap year.
    let leap_days = if year == 0 {
        0
    } else {
        (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1
    };
    let in_year: i64 = (0..month).map(|before| days_in_month(year, before)).sum();
    year * 365 + leap_days + in_year + SipDate::MIN.unix_seconds / DAY
}

/// Year, month (from 1) and day of a number of days since 1970-01-01, within the years 0 to 9999.
pub(crate) fn civil(days: i64) -> (i64, usize, i64) {
    let since_zero = days - SipDate::MIN.unix_seconds / DAY;
    // Dividing by the mean length of a year misses by one at most.
    let mut year = since_zero * 400 / 146_097;
    if days_before(year, 0) > days {
        year -= 1;
    } else if days_before(year + 1, 0) <= days {
        year += 1;
    }
    let mut day = days - days_before(year, 0);
    let mut month = 0;
    while day >= days_in_month(year, month) {
        day -= days_in_month(year, month);
        month += 1;
    }
    (year, month + 1, day + 1)
}

/// 1970-01-01 was a Thursday.
fn weekday_index(days: i64) -> usize {
    usize::try_from((days + 3).rem_euclid(7)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(value: &str) -> Result<i64, usize> {
        SipDate::parse_value(value.as_bytes())
            .map(|d| d.unix_seconds)
            .map_err(|e| e.offset)
    }

    #[test]
    fn reads_and_writes() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Mon, 23 Nov 2026 02:10:33 GMT", 1_795_399_833),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Sat, 01 Jan 0000 00:00:00 GMT", SipDate::MIN.unix_seconds),
            ("Fri, 31 Dec 9999 23:59:59 GMT", SipDate::MAX.unix_seconds),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ] {
            assert_eq!(read(text), Ok(seconds), "{text}");
            assert_eq!(
                SipDate {
                    unix_seconds: seconds
                }
                .format(),
                text
            );
            assert_eq!(SipDate::weekday_is_right(text.as_bytes()), Ok(true));
        }
        assert_eq!(
            SipDate {
                unix_seconds: i64::MAX
            }
            .format(),
            SipDate::MAX.format()
        );
        assert_eq!(
            SipDate {
                unix_seconds: i64::MIN
            }
            .format(),
            SipDate::MIN.format()
        );
    }

    #[test]
    fn wrong_day_of_the_week_is_read_but_told() {
        let value = b"Mon, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(
            SipDate::parse_value(value).unwrap().weekday(),
            Weekday::Thursday
        );
        assert_eq!(SipDate::weekday_is_right(value), Ok(false));
    }

    #[test]
    fn only_the_strict_form() {
        assert_eq!(read("Fri, 01 Jan 2010 16:00:00 EST"), Err(26));
        assert_eq!(read("Fri, 01 Jan 2010 16:00:00 UTC"), Err(26));
        assert_eq!(read("Fri, 01 Jan 2010 16:00:00 gmt"), Err(26));
        assert_eq!(read("Fri, 01 Jan 2010 16:00:00 +0000"), Err(26));
        assert_eq!(read("Fri, 01 Jan 2010 16:00:00"), Err(25));
        assert_eq!(read("Fri, 1 Jan 2010 16:00:00 GMT"), Err(5));
        assert_eq!(read("fri, 01 Jan 2010 16:00:00 GMT"), Err(0));
        assert_eq!(read("Friday, 01 Jan 2010 16:00:00 GMT"), Err(0));
        assert_eq!(read("Fri 01 Jan 2010 16:00:00 GMT"), Err(3));
        assert_eq!(read("Fri,  01 Jan 2010 16:00:00 GMT"), Err(5));
        assert_eq!(read("Fri, 01 jan 2010 16:00:00 GMT"), Err(8));
        assert_eq!(read("Fri, 01 Jan 10 16:00:00 GMT"), Err(12));
        assert_eq!(read("Fri, 01 Jan 2010 24:00:00 GMT"), Err(17));
        assert_eq!(read("Fri, 01 Jan 2010 23:60:00 GMT"), Err(20));
        assert_eq!(read("Fri, 01 Jan 2010 23:59:60 GMT"), Err(23));
        assert_eq!(read("Fri, 00 Jan 2010 16:00:00 GMT"), Err(5));
        assert_eq!(read("Fri, 31 Apr 2010 16:00:00 GMT"), Err(5));
        assert_eq!(read("Mon, 29 Feb 2100 16:00:00 GMT"), Err(5));
        assert_eq!(read("2010-01-01T16:00:00Z"), Err(0));
        assert_eq!(read(""), Err(0));
    }

    #[test]
    fn every_day_of_four_centuries_and_the_edges() {
        let first = SipDate::MIN.unix_seconds / DAY;
        let last = SipDate::MAX.unix_seconds.div_euclid(DAY);
        for days in (first..first + 1500)
            .chain(-73_100..73_100)
            .chain(last - 1500..=last)
        {
            let date = SipDate {
                unix_seconds: days * DAY + 1,
            };
            assert_eq!(SipDate::parse_value(date.format().as_bytes()), Ok(date));
        }
    }
}
