//! The lines of a session description as they stand, for evidence and strictness.

use std::ops::Range;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// CR LF, as the grammar wants (RFC 8866 §9).
    CrLf,
    /// LF alone, which receivers should take as well (RFC 8866 §5).
    Lf,
    /// The description ends without a line end.
    Missing,
}

/// One line, borrowed from the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'d> {
    text: &'d [u8],
    offset: usize,
    end: LineEnd,
}

impl<'d> Line<'d> {
    /// The letter before the equals sign; `None` where the line has no such form.
    pub fn kind(&self) -> Option<u8> {
        match self.text {
            [kind, b'=', ..] => Some(*kind),
            _ => None,
        }
    }

    /// What follows the equals sign, or the whole line where there is none in its place.
    pub fn value(&self) -> &'d [u8] {
        match self.text {
            [_, b'=', value @ ..] => value,
            text => text,
        }
    }

    /// The line without its line end.
    pub fn text(&self) -> &'d [u8] {
        self.text
    }

    /// Offset of its first octet in the description.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Its octets in the description, the line end not included.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.text.len()
    }

    /// The same line in octets of which those it was found in are the part from `start`.
    pub(super) fn shifted(self, start: usize) -> Self {
        Self {
            offset: self.offset + start,
            ..self
        }
    }

    /// How it ends.
    pub fn line_end(&self) -> LineEnd {
        self.end
    }
}

/// Every line of `octets`. Nothing is left out: the texts and line ends put together are the
/// octets.
pub fn lines(octets: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = octets.get(offset..).filter(|rest| !rest.is_empty())?;
        let start = offset;
        let (text, end, length) = match memchr::memchr(b'\n', rest) {
            Some(at) if at > 0 && rest[at - 1] == b'\r' => (&rest[..at - 1], LineEnd::CrLf, at + 1),
            Some(at) => (&rest[..at], LineEnd::Lf, at + 1),
            None => (rest, LineEnd::Missing, rest.len()),
        };
        offset += length;
        Some(Line {
            text,
            offset: start,
            end,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_every_line_feed_and_loses_nothing() {
        let octets = b"v=0\r\n\no=\n\rx\r\r\n=y\na=b=c";
        let found: Vec<_> = lines(octets)
            .map(|line| (line.offset(), line.text(), line.line_end()))
            .collect();
        assert_eq!(
            found,
            [
                (0, &b"v=0"[..], LineEnd::CrLf),
                (5, b"", LineEnd::Lf),
                (6, b"o=", LineEnd::Lf),
                (9, b"\rx\r", LineEnd::CrLf),
                (14, b"=y", LineEnd::Lf),
                (17, b"a=b=c", LineEnd::Missing),
            ]
        );
        let kinds: Vec<_> = lines(octets).map(|line| line.kind()).collect();
        assert_eq!(
            kinds,
            [Some(b'v'), None, Some(b'o'), None, None, Some(b'a')]
        );
        let values: Vec<_> = lines(octets).map(|line| line.value()).collect();
        assert_eq!(values, [&b"0"[..], b"", b"", b"\rx\r", b"=y", b"b=c"]);
        assert_eq!(lines(b"").count(), 0);
    }
}
