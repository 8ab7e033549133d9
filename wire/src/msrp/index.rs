//! The index of a head: where its start line and header fields lie in the octets, and how it ends.
//!
//! A head is read line by line as its octets arrive, each octet once, however small the pieces.
//! Reading a whole frame is the same walk with everything there. Lines may end in LF alone: there
//! is no doubt about what is meant, and a tester must keep evidence of what a server sends.

use std::ops::Range;

use memchr::memchr;

use super::end::{Found, HYPHENS, Line, at_line_start};
use super::{Limits, ParseError};
use crate::sip::text::{is_token, is_wsp};

/// A part of the octets.
pub(crate) type Span = (u32, u32);

/// Where the parts of a head lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) line: Span,
    pub(crate) transaction_id: Span,
    pub(crate) start: Start,
    pub(crate) fields: Vec<Field>,
    /// Offset of the first octet after the last header field: of the empty line, or of the end.
    pub(crate) end: u32,
}

/// What the rest of the first line is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Request { method: Span },
    Response { status: u16, comment: Option<Span> },
}

impl Default for Start {
    fn default() -> Self {
        Self::Request { method: (0, 0) }
    }
}

/// One header field, without its line end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    /// After the colon.
    pub(crate) value: u32,
    pub(crate) end: u32,
}

pub(crate) fn range(span: Span) -> Range<usize> {
    span.0 as usize..span.1 as usize
}

/// How the header section ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeadEnd {
    /// With an empty line; the body starts at that offset.
    Body(usize),
    /// With the end line: there is no body.
    Frame(Found),
}

/// Reads a head as it arrives.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    index: Index,
    started: bool,
    /// Where the line starts that is not complete.
    line: usize,
    /// No LF stands between `line` and here.
    searched: usize,
}

/// Where and what is wrong.
type Fault = (usize, &'static str);

impl HeadReader {
    /// Reads on in `octets`, which begin where the head begins and have grown since the last call.
    /// `None` when the head is not complete.
    pub(crate) fn advance(
        &mut self,
        octets: &[u8],
        limits: &Limits,
    ) -> Result<Option<HeadEnd>, ParseError> {
        self.walk(octets, limits)
            .map_err(|(at, expected)| ParseError::at(octets, at, expected))
    }

    /// The transaction id, once the start line was read.
    pub(crate) fn transaction_id<'o>(&self, octets: &'o [u8]) -> &'o [u8] {
        &octets[range(self.index.transaction_id)]
    }

    /// Where the transaction id stands, once the start line was read.
    pub(crate) fn transaction_id_range(&self) -> Range<usize> {
        range(self.index.transaction_id)
    }

    /// The index of a head that is complete.
    pub(crate) fn into_index(self) -> Index {
        self.index
    }

    /// Whether nothing but empty lines came so far.
    pub(crate) fn is_before_start(&self, octets: &[u8]) -> bool {
        !self.started && octets[self.line..].iter().all(|octet| *octet == b'\r')
    }

    /// What is missing where the octets end.
    pub(crate) fn missing(&self, octets: &[u8]) -> &'static str {
        if self.started {
            "a header field, an empty line or the end line"
        } else if self.is_before_start(octets) {
            "a start line"
        } else {
            "the end of the start line"
        }
    }

    fn walk(&mut self, octets: &[u8], limits: &Limits) -> Result<Option<HeadEnd>, Fault> {
        loop {
            let Some(length) = memchr(b'\n', &octets[self.searched..]) else {
                self.searched = octets.len();
                self.within(octets.len(), limits)?;
                return Ok(None);
            };
            let next = self.searched + length + 1;
            self.within(next, limits)?;
            let start = self.line;
            let line = &octets[start..next - 1];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !self.started {
                if !line.is_empty() {
                    start_line(&mut self.index, line, start)?;
                    // What most heads have, in one step.
                    self.index.fields.reserve(8);
                    self.started = true;
                }
            } else if line.is_empty() {
                self.index.end = offset(start);
                return Ok(Some(HeadEnd::Body(next)));
            } else {
                let id = &octets[range(self.index.transaction_id)];
                if let Line::End(flag, length) = at_line_start(&octets[start..next], id) {
                    self.index.end = offset(start);
                    let line = start..start + length;
                    return Ok(Some(HeadEnd::Frame(Found { flag, line })));
                }
                if self.index.fields.len() >= limits.headers {
                    return Err((start, "no more header fields (limit)"));
                }
                self.index.fields.push(field(line, start)?);
            }
            self.line = next;
            self.searched = next;
        }
    }

    /// Whether octets up to `to` are within the limits.
    fn within(&self, to: usize, limits: &Limits) -> Result<(), Fault> {
        // Offsets are kept in 32 bits, whatever the limits.
        let head = limits.head.min(u32::MAX as usize);
        if to > head {
            Err((head, "the head to end here (limit)"))
        } else if to - self.line > limits.line {
            Err((self.line + limits.line, "the line to end here (limit)"))
        } else {
            Ok(())
        }
    }
}

/// Safe because the head is within 32 bits ([`HeadReader::within`]).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller checked that all offsets fit"
)]
const fn offset(at: usize) -> u32 {
    at as u32
}

/// `MSRP id METHOD` or `MSRP id status comment`; more than one space between them leaves no doubt.
fn start_line(index: &mut Index, line: &[u8], at: usize) -> Result<(), Fault> {
    let span = |start: usize, end: usize| (offset(at + start), offset(at + end));
    if !line.starts_with(b"MSRP") {
        return Err((
            at,
            "`MSRP`, a transaction id, and a method or a status code",
        ));
    }
    let id = after_spaces(line, 4).ok_or((at + 4, "a space after `MSRP`"))?;
    let id_end = id + run(&line[id..], |octet| octet.is_ascii_graphic());
    if id_end == id {
        return Err((at + id, "a transaction id"));
    }
    let word =
        after_spaces(line, id_end).ok_or((at + id_end, "a space and a method or a status code"))?;
    let word_end = word + run(&line[word..], |octet| !is_wsp(octet));
    index.line = span(0, line.len());
    index.transaction_id = span(id, id_end);
    index.start = match line[word..word_end] {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
            Start::Response {
                status: digits[0] * 100 + digits[1] * 10 + digits[2],
                // A space at the end of the line is the front of an empty comment.
                comment: (word_end < line.len()).then(|| span(word_end + 1, line.len())),
            }
        }
        [b'0'..=b'9', ..] => return Err((at + word, "a status code of three digits")),
        _ => {
            let length = run(&line[word..word_end], is_token);
            if length == 0 {
                return Err((at + word, "a method or a status code"));
            }
            let end = word + length;
            if run(&line[end..], is_wsp) < line.len() - end {
                return Err((at + end, "a method, and nothing after it"));
            }
            Start::Request {
                method: span(word, end),
            }
        }
    };
    Ok(())
}

/// The offset after at least one space.
fn after_spaces(line: &[u8], at: usize) -> Option<usize> {
    let length = run(&line[at..], is_wsp);
    (length > 0).then_some(at + length)
}

/// `name: value`
fn field(line: &[u8], at: usize) -> Result<Field, Fault> {
    match line.first() {
        Some(b' ' | b'\t') => return Err((at, "a header field (MSRP has no folding)")),
        _ if line.starts_with(HYPHENS) => {
            return Err((
                at,
                "the end line with the id of this frame and `$`, `+` or `#`",
            ));
        }
        _ => {}
    }
    let name = run(line, is_name);
    if name == 0 {
        return Err((at, "a header field, an empty line or the end line"));
    }
    let colon = name + run(&line[name..], is_wsp);
    if line.get(colon) != Some(&b':') {
        return Err((at + colon, "a colon after the name of the header field"));
    }
    Ok(Field {
        start: offset(at),
        name_end: offset(at + name),
        value: offset(at + colon + 1),
        end: offset(at + line.len()),
    })
}

/// `token` of RFC 4975 §9, which has some characters more than that of SIP.
pub(crate) fn is_name(octet: u8) -> bool {
    is_token(octet) || matches!(octet, b'#' | b'$' | b'&' | b'^' | b'{' | b'|' | b'}')
}

/// How many octets of a class stand at the front.
fn run(octets: &[u8], class: impl Fn(u8) -> bool) -> usize {
    octets
        .iter()
        .position(|octet| !class(*octet))
        .unwrap_or(octets.len())
}
