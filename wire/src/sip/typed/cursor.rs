//! A place in a header value, and the steps that every value parser takes from it.

use std::borrow::Cow;

use super::ValueResult;
use crate::sip::error::ValueError;
use crate::sip::text::{is_lws, is_token};

/// Octets of a value and how far they have been read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'v> {
    octets: &'v [u8],
    at: usize,
}

impl<'v> Cursor<'v> {
    pub(crate) fn new(octets: &'v [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// How many octets were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'v [u8] {
        &self.octets[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    /// An error at the present place.
    pub(crate) fn error<T>(&self, expected: &'static str) -> ValueResult<T> {
        Self::error_at(self.at, expected)
    }

    /// An error at another place.
    pub(crate) fn error_at<T>(offset: usize, expected: &'static str) -> ValueResult<T> {
        Err(ValueError { offset, expected })
    }

    /// Reads that many octets, or what is left.
    pub(crate) fn take(&mut self, length: usize) -> &'v [u8] {
        let rest = self.rest();
        let taken = &rest[..length.min(rest.len())];
        self.at += taken.len();
        taken
    }

    /// `SWS`. Line ends count, so that a value that was not unfolded is read all the same.
    pub(crate) fn skip_lws(&mut self) {
        self.take_while(is_lws);
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, octet: u8, expected: &'static str) -> ValueResult<()> {
        if self.eat(octet) {
            Ok(())
        } else {
            self.error(expected)
        }
    }

    pub(crate) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'v [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|o| !class(*o)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// At least one octet of an ASCII class.
    pub(crate) fn word(
        &mut self,
        class: impl Fn(u8) -> bool,
        expected: &'static str,
    ) -> ValueResult<&'v str> {
        let start = self.clone();
        let octets = self.take_while(|octet| octet.is_ascii() && class(octet));
        match std::str::from_utf8(octets) {
            Ok(word) if !word.is_empty() => Ok(word),
            _ => start.error(expected),
        }
    }

    pub(crate) fn token(&mut self, expected: &'static str) -> ValueResult<&'v str> {
        self.word(is_token, expected)
    }

    /// A `quoted-string` from its opening mark; gives what stands in it with the escapes resolved.
    /// Octets beyond ASCII are taken as they are, UTF-8 or not.
    pub(crate) fn quoted_string(&mut self) -> ValueResult<Cow<'v, [u8]>> {
        self.expect(b'"', "a quotation mark")?;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let Some(octet) = self.peek() else {
                return self.error("a closing quotation mark");
            };
            match octet {
                b'"' => break,
                b'\\' => {
                    let before = &self.octets[start..self.at];
                    let text = unescaped.get_or_insert_with(|| before.to_vec());
                    self.at += 1;
                    match self.peek() {
                        // RFC 3261 §25.1: quoted-pair is 7-bit and never a line end.
                        Some(escaped)
                            if escaped.is_ascii() && !matches!(escaped, b'\r' | b'\n') =>
                        {
                            text.push(escaped);
                        }
                        _ => return self.error("an ASCII character after the backslash"),
                    }
                }
                octet if octet.is_ascii_control() && !is_lws(octet) => {
                    return self.error("text or a closing quotation mark");
                }
                octet => {
                    if let Some(text) = &mut unescaped {
                        text.push(octet);
                    }
                }
            }
            self.at += 1;
        }
        let end = self.at;
        self.at += 1;
        Ok(unescaped.map_or(Cow::Borrowed(&self.octets[start..end]), Cow::Owned))
    }

    /// Nothing may follow, white space aside.
    pub(crate) fn finish(&mut self, expected: &'static str) -> ValueResult<()> {
        self.skip_lws();
        if self.rest().is_empty() {
            Ok(())
        } else {
            self.error(expected)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn quoted_strings() {
        let read = |octets: &'static [u8]| {
            let mut cursor = Cursor::new(octets);
            cursor
                .quoted_string()
                .map(|text| (text.into_owned(), cursor.at()))
                .map_err(|e| e.offset)
        };
        assert_eq!(read(br#""a b"c"#), Ok((b"a b".to_vec(), 5)));
        assert_eq!(read(br#""""#), Ok((b"".to_vec(), 2)));
        assert_eq!(read(br#""a\"\\b""#), Ok((br#"a"\b"#.to_vec(), 8)));
        assert_eq!(
            read(b"\"\\\x07\\\x00\\\x7f\""),
            Ok((b"\x07\x00\x7f".to_vec(), 8))
        );
        assert_eq!(read(b"\"\xff\xfe\""), Ok((b"\xff\xfe".to_vec(), 4)));
        assert_eq!(read(br#""a"#), Err(2));
        assert_eq!(read(br#""a\"#), Err(3));
        assert_eq!(read(b"\"a\\\r\n\""), Err(3));
        assert_eq!(read(b"\"a\x00\""), Err(2));
        assert_eq!(read(b"a"), Err(0));
    }
}
