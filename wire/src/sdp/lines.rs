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
    pub(super) text: &'d [u8],
    pub(super) offset: usize,
    pub(super) end: LineEnd,
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
