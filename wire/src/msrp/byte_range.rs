//! Byte-Range: which octets of a message a chunk holds (RFC 4975 §7.1.1).
//!
//! The first octet has position 1. What the header claims is the sender's word: a receiver counts
//! the octets that came ([`ByteRange::with_actual_length`], RFC 4975 §7.3.1).

use std::fmt;
use std::str::FromStr;

use super::ValueError;
use crate::sip::typed::ValueResult;
use crate::sip::typed::cursor::Cursor;

/// `start-end/total`, where end and total may be `*`: unknown, or not promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Position of the first octet, from 1.
    pub start: u64,
    /// Position of the last octet; one below `start` where there is none.
    pub end: Option<u64>,
    /// Length of the whole message.
    pub total: Option<u64>,
}

impl ByteRange {
    /// What a chunk without Byte-Range is: it starts with the first octet, the rest is open (RFC
    /// 4975 §7.3.1).
    pub const OPEN: Self = Self {
        start: 1,
        end: None,
        total: None,
    };

    /// Reads a header value. Numbers beyond 64 bits and a start of 0 are errors; that the parts fit
    /// together is not asked ([`Self::is_consistent`]).
    pub fn parse(value: &[u8]) -> ValueResult<Self> {
        let (start, at) = number(value, 0)?;
        let Some(start) = start.filter(|start| *start > 0) else {
            return Cursor::error_at(0, "the position of the first octet, 1 or more");
        };
        let at = after(value, at, b'-', "`-` after the first position")?;
        let (end, at) = number(value, at)?;
        let at = after(value, at, b'/', "`/` after the last position")?;
        let (total, at) = number(value, at)?;
        if at < value.len() {
            return Cursor::error_at(at, "the end of the value");
        }
        Ok(Self { start, end, total })
    }

    /// Offset of the first octet in the message, from 0.
    pub const fn offset(&self) -> u64 {
        self.start.saturating_sub(1)
    }

    /// How many octets the range claims; `None` where it does not say, or ends before it starts.
    pub fn length(&self) -> Option<u64> {
        self.end?.checked_sub(self.offset())
    }

    /// The range of a chunk that in truth held that many octets (RFC 4975 §7.1.4, §7.3.1): start
    /// and total as claimed, end counted. `None` where the end is beyond 64 bits.
    pub fn with_actual_length(&self, octets: u64) -> Option<Self> {
        Some(Self {
            end: Some(self.offset().checked_add(octets)?),
            ..*self
        })
    }

    /// Whether the claims fit together: it ends no earlier than it starts, and within the total.
    pub fn is_consistent(&self) -> bool {
        let from = self.offset();
        let to = self.end.unwrap_or(from);
        to >= from && self.total.is_none_or(|total| to <= total)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        for (part, after) in [(self.end, "/"), (self.total, "")] {
            match part {
                Some(number) => write!(f, "{number}{after}")?,
                None => write!(f, "*{after}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for ByteRange {
    type Err = ValueError;

    fn from_str(text: &str) -> ValueResult<Self> {
        Self::parse(text.as_bytes())
    }
}

/// Reads a number or `*`; gives the offset after it.
fn number(value: &[u8], at: usize) -> ValueResult<(Option<u64>, usize)> {
    let rest = &value[at..];
    if rest.first() == Some(&b'*') {
        return Ok((None, at + 1));
    }
    let length = rest.iter().take_while(|o| o.is_ascii_digit()).count();
    if length == 0 {
        return Cursor::error_at(at, "a number or `*`");
    }
    let read = rest[..length].iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    match read {
        Some(number) => Ok((Some(number), at + length)),
        None => Cursor::error_at(at, "a number below 2^64"),
    }
}

fn after(value: &[u8], at: usize, octet: u8, expected: &'static str) -> ValueResult<usize> {
    if value.get(at) == Some(&octet) {
        Ok(at + 1)
    } else {
        Cursor::error_at(at, expected)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_and_writes_all_forms() {
        for text in [
            "1-25/25",
            "1-*/8",
            "5-8/*",
            "1-*/*",
            "1-0/0",
            "9-2/1",
            "1-9223372036854775808/9223372036854775808",
            "18446744073709551615-18446744073709551615/18446744073709551615",
        ] {
            let range: ByteRange = text.parse().unwrap();
            assert_eq!(range.to_string(), text);
        }
        assert_eq!(
            "007-08/*".parse::<ByteRange>().unwrap().to_string(),
            "7-8/*"
        );
    }

    #[test]
    fn errors_have_their_place() {
        for (text, offset) in [
            ("", 0),
            ("0-1/1", 0),
            ("*-1/1", 0),
            ("-1/1", 0),
            ("1", 1),
            ("1/2", 1),
            ("1-/2", 2),
            ("1-2", 3),
            ("1-2/", 4),
            ("1-2/3 ", 5),
            ("1 -2/3", 1),
            ("1-+2/3", 2),
            ("1-18446744073709551616/*", 2),
            ("1-2/99999999999999999999999", 4),
        ] {
            let error = ByteRange::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let range = |text: &str| text.parse::<ByteRange>().unwrap();
        assert_eq!(range("1-4/*").length(), Some(4));
        assert_eq!(range("1-0/0").length(), Some(0));
        assert_eq!(range("9-2/1").length(), None);
        assert_eq!(range("9-*/1").length(), None);
        let last = range("18446744073709551615-*/*");
        assert_eq!(last.with_actual_length(1).unwrap().end, Some(u64::MAX));
        assert_eq!(last.with_actual_length(2), None);
        assert_eq!(
            range("5-9/12").with_actual_length(0).unwrap(),
            range("5-4/12")
        );
        for (text, consistent) in [
            ("1-25/25", true),
            ("1-0/0", true),
            ("5-4/8", true),
            ("5-3/8", false),
            ("1-9/8", false),
            ("9-*/8", true),
            ("10-*/8", false),
            ("18446744073709551615-*/*", true),
        ] {
            assert_eq!(range(text).is_consistent(), consistent, "{text}");
        }
    }
}
