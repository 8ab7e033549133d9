//! The index of a message: where its start line, header fields and body lie in the octets.
//!
//! This is the only code that walks a whole head, so it is written for speed: one pass, `memchr` for
//! line ends, one allocation for the result. It takes what is unambiguous and odd (bare LF, surplus
//! spaces in the start line): a tester must keep evidence of what a server sends.

use std::sync::Arc;

use memchr::memchr;

use super::error::{Limits, ParseError};
use super::text::{digits, is_token, is_wsp, trim};

/// Where the parts of a message lie.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) start: Start,
    pub(crate) fields: Arc<[Field]>,
    /// Offset of the first octet after the empty line.
    pub(crate) body: u32,
    pub(crate) declared: Declared,
}

/// A part of the octets.
pub(crate) type Span = (u32, u32);

/// Where the parts of the first line lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Request {
        method: Span,
        uri: Span,
        version: Span,
    },
    Response {
        version: Span,
        status: u16,
        reason: Span,
    },
}

/// Where the parts of a header field lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: Span,
    /// From the colon, exclusive, to the line end, exclusive.
    pub(crate) value: Span,
}

/// What the Content-Length fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// There is none.
    Absent,
    /// A number; repetitions agree.
    Octets(u64),
    /// Not a number, or two that differ. The offset is that of the offending value.
    Invalid(u32),
}

/// Fields that fit without a second allocation. A plain MESSAGE has 8 to 14.
const INLINE: usize = 24;

impl Index {
    /// Indexes the head at the front of `octets`. What follows the empty line is not looked at.
    pub(crate) fn of_head(octets: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        // Offsets are kept in 32 bits: half the index, and no limit that anyone would raise so far.
        if u32::try_from(octets.len()).is_err() {
            return Err(ParseError::at(
                octets,
                u32::MAX as usize,
                "a message of less than 4 GiB",
            ));
        }
        let start_at = skip_empty_lines(octets);
        let (start, mut at) = start_line(octets, start_at)?;
        let mut declared = Declared::Absent;
        let mut fields = Fields::new();
        let body = loop {
            if at > limits.head {
                return Err(ParseError::at(
                    octets,
                    limits.head,
                    "the head to end here (limit)",
                ));
            }
            match octets.get(at) {
                Some(b'\r') if octets.get(at + 1) == Some(&b'\n') => break at + 2,
                Some(b'\n') => break at + 1,
                _ => {}
            }
            if fields.len() == limits.headers {
                return Err(ParseError::at(octets, at, "no more header fields (limit)"));
            }
            let (field, next) = field(octets, at)?;
            if is_content_length(&octets[range(field.name)]) {
                declared = declared.and(octets, field.value);
            }
            fields.push(field);
            at = next;
        };
        if body > limits.head {
            return Err(ParseError::at(
                octets,
                limits.head,
                "the head to end here (limit)",
            ));
        }
        Ok(Self {
            start,
            fields: fields.into_arc(),
            body: offset(body),
            declared,
        })
    }
}

impl Declared {
    fn and(self, octets: &[u8], value: Span) -> Self {
        match (self, digits(trim(&octets[range(value)]))) {
            (Self::Invalid(_), _) => self,
            (Self::Absent, Some(number)) => Self::Octets(number),
            (Self::Octets(before), Some(number)) if before == number => self,
            _ => Self::Invalid(value.0),
        }
    }
}

/// A list that stays on the stack while it is short, and ends as one shared allocation.
struct Fields {
    inline: [Field; INLINE],
    used: usize,
    spilled: Vec<Field>,
}

impl Fields {
    fn new() -> Self {
        let empty = Field {
            name: (0, 0),
            value: (0, 0),
        };
        Self {
            inline: [empty; INLINE],
            used: 0,
            spilled: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.used + self.spilled.len()
    }

    fn push(&mut self, field: Field) {
        if let Some(slot) = self.inline.get_mut(self.used) {
            *slot = field;
            self.used += 1;
        } else {
            self.spilled.push(field);
        }
    }

    fn into_arc(self) -> Arc<[Field]> {
        let inline = &self.inline[..self.used];
        if self.spilled.is_empty() {
            Arc::from(inline)
        } else {
            inline.iter().chain(&self.spilled).copied().collect()
        }
    }
}

pub(crate) fn range(span: Span) -> std::ops::Range<usize> {
    span.0 as usize..span.1 as usize
}

/// Safe after the length check at the top of [`Index::of_head`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller checked that all offsets fit"
)]
const fn offset(at: usize) -> u32 {
    at as u32
}

/// Empty lines before the start line are ignored (RFC 3261 §7.5), though kept in the octets.
fn skip_empty_lines(octets: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match octets[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => at += 1,
            _ => return at,
        }
    }
}

/// Indexes the first line; gives the offset of the next one.
fn start_line(octets: &[u8], at: usize) -> Result<(Start, usize), ParseError> {
    let Some(length) = memchr(b'\n', &octets[at..]) else {
        let expected = if octets.len() == at {
            "a start line"
        } else {
            "the end of the start line"
        };
        return Err(ParseError::at(octets, octets.len(), expected));
    };
    let next = at + length + 1;
    let line_end = at + length;
    let line_end = if line_end > at && octets[line_end - 1] == b'\r' {
        line_end - 1
    } else {
        line_end
    };
    let line = &octets[at..line_end];
    let start = if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        status_line(octets, at, line_end)?
    } else {
        request_line(octets, at, line_end)?
    };
    Ok((start, next))
}

fn request_line(octets: &[u8], at: usize, line_end: usize) -> Result<Start, ParseError> {
    let error = |offset, expected| Err(ParseError::at(octets, offset, expected));
    let method_end = at + run(&octets[at..line_end], is_token);
    if method_end == at {
        return error(at, "a method or `SIP/2.0`");
    }
    let uri_start = method_end + run(&octets[method_end..line_end], is_wsp);
    if uri_start == method_end {
        return error(method_end, "a space after the method");
    }
    // RFC 4475 §3.1.2.8 to §3.1.2.10: surplus spaces leave no doubt about what is meant.
    let version_end = line_end - trailing_wsp(&octets[uri_start..line_end]);
    let version_length = octets[uri_start..version_end]
        .iter()
        .rev()
        .position(|o| is_wsp(*o))
        .unwrap_or(version_end - uri_start);
    let version_start = version_end - version_length;
    let uri_end = version_start - trailing_wsp(&octets[uri_start..version_start]);
    if uri_end == uri_start {
        return error(uri_start, "a Request-URI, a space and `SIP/2.0`");
    }
    if !is_version(&octets[version_start..version_end]) {
        return error(version_start, "`SIP/` and two numbers with a dot");
    }
    Ok(Start::Request {
        method: (offset(at), offset(method_end)),
        uri: (offset(uri_start), offset(uri_end)),
        version: (offset(version_start), offset(version_end)),
    })
}

fn status_line(octets: &[u8], at: usize, line_end: usize) -> Result<Start, ParseError> {
    let error = |offset, expected| Err(ParseError::at(octets, offset, expected));
    let version_end = at + run(&octets[at..line_end], |o| !is_wsp(o));
    if !is_version(&octets[at..version_end]) {
        return error(at, "`SIP/` and two numbers with a dot");
    }
    let code_start = version_end + run(&octets[version_end..line_end], is_wsp);
    let code_end = code_start + run(&octets[code_start..line_end], |o| o.is_ascii_digit());
    let status = match octets[code_start..code_end] {
        [a, b, c] => [a, b, c]
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0')),
        _ => return error(code_start, "a status code of three digits"),
    };
    // The space after the code is required; who leaves it out means an empty phrase
    // (RFC 4475 §3.1.1.13).
    let reason_start = match octets[code_end..line_end].first() {
        None => code_end,
        Some(b' ') => code_end + 1,
        Some(_) => return error(code_end, "a space after the status code"),
    };
    Ok(Start::Response {
        version: (offset(at), offset(version_end)),
        status,
        reason: (offset(reason_start), offset(line_end)),
    })
}

/// Indexes the header field that starts at `at`; gives the offset of the next line.
fn field(octets: &[u8], at: usize) -> Result<(Field, usize), ParseError> {
    let name_end = at + run(&octets[at..], is_token);
    if name_end == at {
        return Err(ParseError::at(
            octets,
            at,
            "a header field name or an empty line",
        ));
    }
    let mut colon = name_end;
    if octets.get(colon) != Some(&b':') {
        // RFC 3261 §7.3.1 lets white space stand before the colon.
        colon += run(&octets[colon..], is_wsp);
        if octets.get(colon) != Some(&b':') {
            return Err(ParseError::at(
                octets,
                colon,
                "a colon after the header field name",
            ));
        }
    }
    let mut line_end = colon + 1;
    loop {
        let Some(length) = memchr(b'\n', &octets[line_end..]) else {
            return Err(ParseError::at(
                octets,
                octets.len(),
                "the end of the header field",
            ));
        };
        line_end += length;
        match octets.get(line_end + 1) {
            Some(b' ' | b'\t') => line_end += 1,
            _ => break,
        }
    }
    let value_end = if octets[line_end - 1] == b'\r' {
        line_end - 1
    } else {
        line_end
    };
    let field = Field {
        name: (offset(at), offset(name_end)),
        value: (offset(colon + 1), offset(value_end)),
    };
    Ok((field, line_end + 1))
}

fn is_content_length(name: &[u8]) -> bool {
    match name.len() {
        1 => matches!(name[0], b'l' | b'L'),
        14 => name.eq_ignore_ascii_case(b"Content-Length"),
        _ => false,
    }
}

/// `SIP-Version` of any number, in any case (RFC 3261 §7.1).
fn is_version(octets: &[u8]) -> bool {
    if octets.len() < 7 || !octets[..4].eq_ignore_ascii_case(b"SIP/") {
        return false;
    }
    let numbers = &octets[4..];
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    match numbers.iter().position(|o| *o == b'.') {
        Some(dot) => is_number(&numbers[..dot]) && is_number(&numbers[dot + 1..]),
        None => false,
    }
}

fn run(octets: &[u8], class: impl Fn(u8) -> bool) -> usize {
    octets
        .iter()
        .position(|o| !class(*o))
        .unwrap_or(octets.len())
}

fn trailing_wsp(octets: &[u8]) -> usize {
    octets
        .iter()
        .rev()
        .position(|o| !is_wsp(*o))
        .unwrap_or(octets.len())
}
