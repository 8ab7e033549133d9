//! The index of a message: where its start line, header fields and body lie in the octets.
//!
//! This is the only code that walks a whole head, so it is written for speed: one pass, `memchr`
//! for line ends, one allocation for the result. It takes what is unambiguous and odd (bare LF,
//! surplus spaces in the start line): a tester must keep evidence of what a server sends.

use std::ops::Range;

use memchr::memchr;

use super::error::{Limits, ParseError};
use super::text::{digits, is_token, is_wsp, trim};

/// Where the parts of a message lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) start: Start,
    pub(crate) fields: Fields,
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

impl Default for Start {
    fn default() -> Self {
        Self::Response {
            version: (0, 0),
            status: 0,
            reason: (0, 0),
        }
    }
}

/// Where a header field starts, and its value in it. It ends where the next one starts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Field {
    pub(crate) start: u32,
    pub(crate) name_length: u16,
    /// From the start to the octet after the colon.
    pub(crate) value: u16,
}

/// What the Content-Length fields say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Declared {
    /// There is none.
    #[default]
    Absent,
    /// A number; repetitions agree.
    Octets(u64),
    /// Not a number, or two that differ. The offset is that of the offending value.
    Invalid(u32),
}

/// Where and what is wrong, without the cost of an error message on the way that works.
type Fault = (usize, &'static str);

const LIMIT: &str = "the head to end here (limit)";

impl Index {
    /// Indexes the head at the front of `octets`. What follows the empty line is not looked at.
    ///
    /// Fills what the caller has in its place already: the index is large to be moved about.
    pub(crate) fn fill(&mut self, octets: &[u8], limits: &Limits) -> Result<(), ParseError> {
        self.walk(octets, limits)
            .map_err(|(offset, expected)| ParseError::at(octets, offset, expected))
    }

    fn walk(&mut self, octets: &[u8], limits: &Limits) -> Result<(), Fault> {
        // Offsets are kept in 32 bits: half the index, and no limit that anyone would raise so far.
        if u32::try_from(octets.len()).is_err() {
            return Err((u32::MAX as usize, "a message of less than 4 GiB"));
        }
        let mut at;
        (self.start, at) = start_line(octets)?;
        let body = loop {
            match octets[at..] {
                [b'\r', b'\n', ..] => break at + 2,
                [b'\n', ..] => break at + 1,
                _ => at = self.take_field(octets, at, limits)?,
            }
        };
        if body > limits.head {
            return Err((limits.head, LIMIT));
        }
        self.body = offset(body);
        Ok(())
    }

    /// Indexes the header field at `at`; gives the offset of the next line.
    fn take_field(&mut self, octets: &[u8], at: usize, limits: &Limits) -> Result<usize, Fault> {
        if at > limits.head {
            return Err((limits.head, LIMIT));
        }
        if self.fields.len() == limits.headers {
            return Err((at, "no more header fields (limit)"));
        }
        let (field, next) = field(octets, at)?;
        let (name, value) = octets[at..next].split_at(usize::from(field.value));
        if is_content_length(&name[..usize::from(field.name_length)]) {
            self.declared = self
                .declared
                .and(value, field.start + u32::from(field.value));
        }
        self.fields.push(field);
        Ok(next)
    }
}

/// The fields of a head in order. Up to [`Fields::INLINE`] of them live in the message itself, so
/// that indexing and cloning a usual message allocates nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    inline: [Field; Self::INLINE],
    used: u8,
    spilled: Option<Box<Spilled>>,
}

/// The fields beyond those, behind one thin pointer.
#[derive(Debug, Clone, Default)]
struct Spilled(Vec<Field>);

impl Fields {
    const INLINE: usize = 12;

    fn push(&mut self, field: Field) {
        if let Some(slot) = self.inline.get_mut(usize::from(self.used)) {
            *slot = field;
            self.used += 1;
        } else {
            self.spilled.get_or_insert_default().0.push(field);
        }
    }

    fn len(&self) -> usize {
        usize::from(self.used) + self.spilled.as_ref().map_or(0, |spilled| spilled.0.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field> {
        let spilled = self.spilled.as_ref().map(|spilled| spilled.0.as_slice());
        self.inline[..usize::from(self.used)]
            .iter()
            .chain(spilled.unwrap_or_default())
    }
}

impl Declared {
    fn and(self, value: &[u8], at: u32) -> Self {
        match (self, digits(trim(value))) {
            (Self::Invalid(_), _) => self,
            (Self::Absent, Some(number)) => Self::Octets(number),
            (Self::Octets(before), Some(number)) if before == number => self,
            _ => Self::Invalid(at),
        }
    }
}

pub(crate) fn range(span: Span) -> Range<usize> {
    span.0 as usize..span.1 as usize
}

/// Safe after the length check at the top of [`Index::walk`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller checked that all offsets fit"
)]
const fn offset(at: usize) -> u32 {
    at as u32
}

/// Indexes the first line; gives the offset of the next one.
fn start_line(octets: &[u8]) -> Result<(Start, usize), Fault> {
    // Empty lines before the start line are ignored (RFC 3261 §7.5), though kept in the octets.
    let mut at = 0;
    loop {
        match octets[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\n', ..] => at += 1,
            _ => break,
        }
    }
    let Some(length) = line_feed(&octets[at..]) else {
        let expected = if octets.len() == at {
            "a start line"
        } else {
            "the end of the start line"
        };
        return Err((octets.len(), expected));
    };
    let line = without_cr(&octets[at..at + length]);
    let start = match line {
        [b'S' | b's', b'I' | b'i', b'P' | b'p', b'/', ..] => status_line(line, at)?,
        _ => request_line(line, at)?,
    };
    Ok((start, at + length + 1))
}

fn request_line(line: &[u8], at: usize) -> Result<Start, Fault> {
    let method_end = run(line, is_token);
    if method_end == 0 {
        return Err((at, "a method or `SIP/2.0`"));
    }
    let uri_start = method_end + run(&line[method_end..], is_wsp);
    if uri_start == method_end {
        return Err((at + method_end, "a space after the method"));
    }
    // RFC 4475 §3.1.2.8 to §3.1.2.10: surplus spaces leave no doubt about what is meant.
    let version_end = line.len() - run_back(&line[uri_start..], is_wsp);
    let version_start = version_end - run_back(&line[uri_start..version_end], |o| !is_wsp(o));
    let uri_end = version_start - run_back(&line[uri_start..version_start], is_wsp);
    if uri_end == uri_start {
        return Err((at + uri_start, "a Request-URI, a space and `SIP/2.0`"));
    }
    if !is_version(&line[version_start..version_end]) {
        return Err((at + version_start, VERSION));
    }
    Ok(Start::Request {
        method: (offset(at), offset(at + method_end)),
        uri: (offset(at + uri_start), offset(at + uri_end)),
        version: (offset(at + version_start), offset(at + version_end)),
    })
}

fn status_line(line: &[u8], at: usize) -> Result<Start, Fault> {
    let version_end = run(line, |o| !is_wsp(o));
    if !is_version(&line[..version_end]) {
        return Err((at, VERSION));
    }
    let code_start = version_end + run(&line[version_end..], is_wsp);
    let code_end = code_start + run(&line[code_start..], |o| o.is_ascii_digit());
    let status = match line[code_start..code_end] {
        [a, b, c] => [a, b, c]
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0')),
        _ => return Err((at + code_start, "a status code of three digits")),
    };
    // The space after the code is required; who leaves it out means an empty phrase
    // (RFC 4475 §3.1.1.13).
    let reason_start = match line.get(code_end) {
        None => code_end,
        Some(b' ') => code_end + 1,
        Some(_) => return Err((at + code_end, "a space after the status code")),
    };
    Ok(Start::Response {
        version: (offset(at), offset(at + version_end)),
        status,
        reason: (offset(at + reason_start), offset(at + line.len())),
    })
}

/// Indexes the header field that starts at `at`; gives the offset of the next line.
fn field(octets: &[u8], at: usize) -> Result<(Field, usize), Fault> {
    let line = &octets[at..];
    let name_length = run(line, is_token);
    if name_length == 0 {
        return Err((at, "a header field name or an empty line"));
    }
    let mut colon = name_length;
    if line.get(colon) != Some(&b':') {
        // RFC 3261 §7.3.1 lets white space stand before the colon.
        colon += run(&line[colon..], is_wsp);
        if line.get(colon) != Some(&b':') {
            return Err((at + colon, "a colon after the header field name"));
        }
    }
    let mut end = colon + 1;
    loop {
        let Some(length) = line_feed(&line[end..]) else {
            return Err((octets.len(), "the end of the header field"));
        };
        end += length + 1;
        if !matches!(line.get(end), Some(b' ' | b'\t')) {
            break;
        }
    }
    let (Ok(name_length), Ok(value)) = (u16::try_from(name_length), u16::try_from(colon + 1))
    else {
        return Err((at, "a header field name of less than 64 KiB"));
    };
    Ok((
        Field {
            start: offset(at),
            name_length,
            value,
        },
        at + end,
    ))
}

/// Where the first LF is. Header fields are short: eight octets at a time find the end of nearly
/// all of them before a call to `memchr` would have begun its work.
fn line_feed(octets: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const LINE_FEEDS: u64 = u64::from_ne_bytes([b'\n'; 8]);
    let mut rest = octets;
    for _ in 0..8 {
        let Some((chunk, after)) = rest.split_first_chunk::<8>() else {
            break;
        };
        // The lowest octet that is zero after the XOR keeps its high bit here.
        let zero = u64::from_le_bytes(*chunk) ^ LINE_FEEDS;
        let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
        if found != 0 {
            return Some(octets.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    memchr(b'\n', rest).map(|at| octets.len() - rest.len() + at)
}

/// Without the CR that ends a line.
pub(crate) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_content_length(name: &[u8]) -> bool {
    match name.len() {
        1 => matches!(name[0], b'l' | b'L'),
        14 => name == b"Content-Length" || name.eq_ignore_ascii_case(b"Content-Length"),
        _ => false,
    }
}

const VERSION: &str = "`SIP/` and two numbers with a dot";

/// `SIP-Version` of any number, in any case (RFC 3261 §7.1).
fn is_version(octets: &[u8]) -> bool {
    if octets == b"SIP/2.0" {
        return true;
    }
    let Some((name, numbers)) = octets.split_at_checked(4) else {
        return false;
    };
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    name.eq_ignore_ascii_case(b"SIP/")
        && numbers
            .iter()
            .position(|o| *o == b'.')
            .is_some_and(|dot| is_number(&numbers[..dot]) && is_number(&numbers[dot + 1..]))
}

/// How many octets of a class stand at the front.
fn run(octets: &[u8], class: impl Fn(u8) -> bool) -> usize {
    octets
        .iter()
        .position(|o| !class(*o))
        .unwrap_or(octets.len())
}

/// How many octets of a class stand at the end.
fn run_back(octets: &[u8], class: impl Fn(u8) -> bool) -> usize {
    octets
        .iter()
        .rev()
        .position(|o| !class(*o))
        .unwrap_or(octets.len())
}
