//! One SIP message: its octets and an index into them.
//!
//! Whatever was accepted can be given back octet for octet, because it is never taken apart: every
//! accessor shows a part of the one buffer. Meaning is the business of [`super::typed`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::error::{Limits, ParseError};
use super::index::{Declared, Field, Index, Start, range, without_cr};
use super::name;
use super::text::unfold;
use super::typed::{TypedHeader, ValueResult, list};

/// A message as it was received or built. Cloning is cheap: the octets are shared.
#[derive(Clone)]
pub struct Message {
    octets: Bytes,
    index: Index,
}

/// Shows the octets, which are all that a message is.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.octets).finish()
    }
}

/// Messages are equal when their octets are; [`super::compare`] tells more.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Message {}

/// The first line, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'m> {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method as written.
        method: &'m str,
        /// The Request-URI as written; may hold octets that are not UTF-8.
        uri: &'m [u8],
        /// The version as written.
        version: &'m str,
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// The version as written.
        version: &'m str,
        /// Three digits.
        status: u16,
        /// The reason phrase as written, possibly empty.
        reason: &'m [u8],
    },
}

/// One header field, borrowed from the message.
#[derive(Debug, Clone, Copy)]
pub struct Header<'m> {
    line: &'m [u8],
    field: Field,
}

impl<'m> Header<'m> {
    /// The name as written, without white space before the colon.
    pub fn name(&self) -> &'m str {
        ascii(&self.line[..usize::from(self.field.name_length)])
    }

    /// The long form of the name in its usual case: `Subject` for `s`. Unknown names stay as
    /// written.
    pub fn canonical_name(&self) -> Cow<'m, str> {
        Cow::Borrowed(name::canonical(self.name()).unwrap_or(self.name()))
    }

    /// Same header field, whatever case or compact form (RFC 3261 §7.3.1, §7.3.3).
    pub fn is(&self, name: &str) -> bool {
        name::same(self.name(), name)
    }

    /// The value as written, folding and outer white space included, without the final line end.
    pub fn raw_value(&self) -> &'m [u8] {
        &self.line[usize::from(self.field.value)..]
    }

    /// The value unfolded and trimmed (RFC 3261 §7.3.1): what the sender meant.
    pub fn value(&self) -> Cow<'m, [u8]> {
        unfold(self.raw_value())
    }

    /// [`Self::value`] for printing; octets that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'m, str> {
        match self.value() {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
        }
    }

    /// The whole field as written, name to line end exclusive.
    pub fn line(&self) -> &'m [u8] {
        self.line
    }

    /// Offset of the first octet of the name in the message.
    pub fn offset(&self) -> usize {
        self.field.start as usize
    }

    /// Range of the raw value in the message, to mark the place in a report.
    pub fn value_range(&self) -> Range<usize> {
        self.offset() + usize::from(self.field.value)..self.offset() + self.line.len()
    }
}

impl Message {
    /// Indexes `octets` as one message, as a datagram holds it, under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse_with(octets, &Limits::default())
    }

    /// Indexes `octets` under `limits`.
    pub fn parse_with(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> {
        let mut message = Self {
            octets: octets.into(),
            index: Index::default(),
        };
        message.index.fill(&message.octets, limits)?;
        let body = message.index.body as usize;
        if message.octets.len() - body > limits.body {
            let limit = body + limits.body;
            return Err(ParseError::at(
                &message.octets,
                limit,
                "the body to end here (limit)",
            ));
        }
        Ok(message)
    }

    /// A message whose head was indexed while its body was still arriving.
    pub(super) fn assemble(octets: Bytes, index: Index) -> Self {
        Self { octets, index }
    }

    /// All octets as received: parsing and this give the same octets back.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// The first line.
    pub fn start_line(&self) -> StartLine<'_> {
        match self.index.start {
            Start::Request {
                method,
                uri,
                version,
            } => StartLine::Request {
                method: ascii(&self.octets[range(method)]),
                uri: &self.octets[range(uri)],
                version: ascii(&self.octets[range(version)]),
            },
            Start::Response {
                version,
                status,
                reason,
            } => StartLine::Response {
                version: ascii(&self.octets[range(version)]),
                status,
                reason: &self.octets[range(reason)],
            },
        }
    }

    /// Range of the first line in the message, without its line end.
    pub fn start_line_range(&self) -> Range<usize> {
        match self.index.start {
            Start::Request {
                method, version, ..
            } => method.0 as usize..version.1 as usize,
            Start::Response {
                version, reason, ..
            } => version.0 as usize..reason.1 as usize,
        }
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.index.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        match self.start_line() {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The Request-URI of a request, as written.
    pub fn request_uri(&self) -> Option<&[u8]> {
        match self.start_line() {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// Range of the Request-URI in the message.
    pub fn request_uri_range(&self) -> Option<Range<usize>> {
        match self.index.start {
            Start::Request { uri, .. } => Some(range(uri)),
            Start::Response { .. } => None,
        }
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.index.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// All header fields in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let fields = &self.index.fields;
        let head = &self.octets[..self.index.body as usize];
        // A field ends where the next one starts, the last one at the empty line.
        let empty_line = head
            .strip_suffix(b"\n")
            .map(without_cr)
            .unwrap_or_default()
            .len();
        let ends = fields
            .iter()
            .skip(1)
            .map(|next| next.start as usize)
            .chain([empty_line]);
        fields.iter().zip(ends).map(|(field, end)| {
            let line = &head[field.start as usize..end];
            let line = line.strip_suffix(b"\n").map_or(line, without_cr);
            Header {
                line,
                field: *field,
            }
        })
    }

    /// The first field of that name, in any case or compact form.
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.headers().find(|header| header.is(name))
    }

    /// All fields of that name, in order.
    pub fn headers_named<'m>(&'m self, name: &'m str) -> impl Iterator<Item = Header<'m>> {
        self.headers().filter(move |header| header.is(name))
    }

    /// The first value of that type, parsed now. `None` when there is no such field.
    pub fn typed<T: TypedHeader>(&self) -> Option<ValueResult<T>> {
        let header = self.header(T::NAME)?;
        let value = header.value();
        let Some((start, first)) = T::LIST.then(|| list::first(&value)) else {
            return Some(T::parse_value(&value));
        };
        Some(T::parse_value(first).map_err(|error| error.shifted(start)))
    }

    /// Every value of that type: all fields of the name, comma lists split where the header is a
    /// list.
    pub fn typed_all<T: TypedHeader>(&self) -> Vec<ValueResult<T>> {
        let mut values = Vec::new();
        for header in self.headers_named(T::NAME) {
            let value = header.value();
            if T::LIST {
                values.extend(list::split(&value).into_iter().map(|(start, piece)| {
                    T::parse_value(piece).map_err(|error| error.shifted(start))
                }));
            } else {
                values.push(T::parse_value(&value));
            }
        }
        values
    }

    /// What Content-Length says, where it says one valid thing (RFC 3261 §20.14). `None` when it is
    /// missing, not a number, or there are two that differ; numbers beyond `u64` become its
    /// maximum.
    pub fn content_length(&self) -> Option<u64> {
        match self.index.declared {
            Declared::Octets(length) => Some(length),
            Declared::Absent | Declared::Invalid(_) => None,
        }
    }

    /// Body octets: what follows the empty line, cut to Content-Length where that is valid and
    /// smaller (RFC 3261 §18.3: surplus octets of a datagram are discarded).
    pub fn body(&self) -> &[u8] {
        &self.octets[self.body_range()]
    }

    /// The same as [`Self::body`], sharing the message's memory.
    pub fn body_bytes(&self) -> Bytes {
        self.octets.slice(self.body_range())
    }

    /// Range of the body in the message.
    pub fn body_range(&self) -> Range<usize> {
        let start = self.index.body as usize;
        let there = self.octets.len() - start;
        start..start + there.min(self.promised().unwrap_or(there))
    }

    /// Octets after the end of the body that Content-Length gives.
    pub fn surplus(&self) -> &[u8] {
        &self.octets[self.body_range().end..]
    }

    /// How many octets of the body that Content-Length promises are missing (RFC 3261 §18.3: 400).
    pub fn missing_body(&self) -> usize {
        let there = self.octets.len() - self.index.body as usize;
        self.promised()
            .map_or(0, |promised| promised.saturating_sub(there))
    }

    fn promised(&self) -> Option<usize> {
        self.content_length()
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX))
    }
}

/// Tokens and versions are ASCII by the index; the empty string is never reached.
fn ascii(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::sip::typed::{CSeq, Contact, Expires, Via};

    fn parse(text: &str) -> Message {
        Message::parse(text.to_owned()).unwrap()
    }

    fn fails(octets: &'static [u8]) -> (usize, &'static str) {
        let error = Message::parse(octets).unwrap_err();
        (error.offset, error.expected)
    }

    #[test]
    fn reads_a_request() {
        let text = "\r\nMESSAGE sip:bob@example.org SIP/2.0\r\n\
            Via : SIP/2.0/UDP h;branch=z9hG4bK1,\r\n\
            \tSIP/2.0/TCP i\r\ns: Dinner\r\nX-A:one\r\nx-a: two\r\nEmpty:\r\nCSEQ: 7 MESSAGE\r\n\
            l: 5\r\n\r\nhello!!";
        let message = parse(text);
        assert_eq!(message.octets(), text.as_bytes());
        assert!(message.is_request());
        assert_eq!(message.method(), Some("MESSAGE"));
        assert_eq!(message.request_uri(), Some(&b"sip:bob@example.org"[..]));
        assert_eq!(message.status(), None);
        assert_eq!(
            &text[message.start_line_range()],
            "MESSAGE sip:bob@example.org SIP/2.0"
        );
        assert_eq!(message.headers().count(), 7);
        let subject = message.header("Subject").unwrap();
        assert_eq!((subject.name(), &*subject.text()), ("s", "Dinner"));
        assert_eq!(subject.canonical_name(), "Subject");
        assert_eq!(subject.line(), b"s: Dinner");
        assert_eq!(&text[subject.value_range()], " Dinner");
        assert_eq!(&text[subject.offset()..subject.offset() + 2], "s:");
        let via = message.header("v").unwrap();
        assert_eq!(
            via.line(),
            b"Via : SIP/2.0/UDP h;branch=z9hG4bK1,\r\n\tSIP/2.0/TCP i"
        );
        let values: Vec<_> = message.headers_named("X-A").map(|h| h.text()).collect();
        assert_eq!(values, ["one", "two"]);
        assert_eq!(message.header("Empty").unwrap().raw_value(), b"");
        assert_eq!(message.body(), b"hello");
        assert_eq!(message.surplus(), b"!!");
        assert_eq!(message.missing_body(), 0);
        assert_eq!(message.body_bytes(), &b"hello"[..]);

        assert_eq!(message.typed::<CSeq>().unwrap().unwrap().number, 7);
        assert_eq!(
            message.typed::<Via>().unwrap().unwrap().branch(),
            Some("z9hG4bK1")
        );
        let vias = message.typed_all::<Via>();
        assert_eq!(vias.len(), 2);
        assert_eq!(vias[1].as_ref().unwrap().transport, "TCP");
        assert!(message.typed::<Expires>().is_none());
        assert!(message.typed_all::<Contact>().is_empty());
    }

    #[test]
    fn reads_a_response() {
        let message = parse("SIP/2.0 200 = 2**3 \u{43d}\r\nVia: x\r\n\r\n");
        let StartLine::Response {
            version,
            status,
            reason,
        } = message.start_line()
        else {
            panic!("a response");
        };
        assert_eq!(
            (version, status, reason),
            ("SIP/2.0", 200, "= 2**3 \u{43d}".as_bytes())
        );
        assert_eq!(message.status(), Some(200));
        assert_eq!(message.method(), None);
        assert_eq!(parse("SIP/2.0 100 \r\n\r\n").status(), Some(100));
        assert_eq!(parse("SIP/2.0 100\r\n\r\n").status(), Some(100));
    }

    #[test]
    fn takes_what_is_odd_but_clear() {
        let message = parse("OPTIONS  sip:a@b; lr \t SIP/7.0  \nA: 1\n b\n\nbody");
        let StartLine::Request {
            method,
            uri,
            version,
        } = message.start_line()
        else {
            panic!("a request");
        };
        assert_eq!(
            (method, uri, version),
            ("OPTIONS", &b"sip:a@b; lr"[..], "SIP/7.0")
        );
        assert_eq!(message.header("a").unwrap().text(), "1 b");
        assert_eq!(message.body(), b"body");
        assert_eq!(
            parse("RE%47IST%45R x sip/2.0\r\n\r\n").method(),
            Some("RE%47IST%45R")
        );
    }

    #[test]
    fn content_length_rules_the_body() {
        let with = |value: &str| parse(&format!("SIP/2.0 200 OK\r\n{value}\r\n\r\nbody"));
        let message = with("Content-Length: 9");
        assert_eq!((message.body(), message.missing_body()), (&b"body"[..], 5));
        assert_eq!(with("Content-Length: 0").surplus(), b"body");
        assert_eq!(with("L:\r\n 2").body(), b"bo");
        for invalid in [
            "l: -1",
            "l: five",
            "l:",
            "l: 1\r\nContent-Length: 2",
            "l: 1 2",
        ] {
            let message = with(invalid);
            assert_eq!(message.content_length(), None);
            assert_eq!(
                (message.body(), message.surplus()),
                (&b"body"[..], &b""[..]),
                "{invalid}"
            );
        }
        assert_eq!(with("l: 2\r\nContent-Length: 002").body(), b"bo");
        assert_eq!(
            with("l: 99999999999999999999999").content_length(),
            Some(u64::MAX)
        );
        assert!(with("l: 99999999999999999999999").missing_body() > 1 << 40);
    }

    #[test]
    fn errors_have_their_place() {
        assert_eq!(fails(b""), (0, "a start line"));
        assert_eq!(fails(b"\r\n\r\n"), (4, "a start line"));
        assert_eq!(
            fails(b"INVITE sip:a@b SIP/2.0"),
            (22, "the end of the start line")
        );
        assert_eq!(
            fails(b" INVITE a SIP/2.0\r\n\r\n"),
            (0, "a method or `SIP/2.0`")
        );
        assert_eq!(fails(b"INVITE\r\n\r\n"), (6, "a space after the method"));
        assert_eq!(fails(b"INVITE SIP/2.0\r\n\r\n").0, 7);
        assert_eq!(fails(b"GET / HTTP/1.1\r\n\r\n").0, 6);
        assert_eq!(fails(b"A b SIP/2.x\r\n\r\n").0, 4);
        assert_eq!(
            fails(b"SIP/2.0 4294967301 x\r\n\r\n"),
            (8, "a status code of three digits")
        );
        assert_eq!(fails(b"SIP/2 200 OK\r\n\r\n").0, 0);
        assert_eq!(fails(b"SIP/2.0 200OK\r\n\r\n").0, 11);
        assert_eq!(fails(b"A b SIP/2.0\r\n folded: x\r\n\r\n").0, 13);
        assert_eq!(fails(b"A b SIP/2.0\r\n: x\r\n\r\n").0, 13);
        assert_eq!(fails(b"A b SIP/2.0\r\nN\xc3: x\r\n\r\n").0, 14);
        assert_eq!(fails(b"A b SIP/2.0\r\nName\r\n\r\n").0, 17);
        assert_eq!(fails(b"A b SIP/2.0\r\nName\r\n : x\r\n\r\n").0, 17);
        assert_eq!(
            fails(b"A b SIP/2.0\r\nName: x"),
            (20, "the end of the header field")
        );
        assert_eq!(fails(b"A b SIP/2.0\r\nName: x\r\n").0, 22);
        assert_eq!(fails(b"A b SIP/2.0\r\n").0, 13);
    }

    #[test]
    fn limits_hold() {
        let text = "A b SIP/2.0\r\nX: 1\r\nX: 2\r\n\r\nbody";
        let with = |head, headers, body| {
            let limits = Limits {
                head,
                headers,
                body,
            };
            Message::parse_with(text, &limits).map_err(|error| error.offset)
        };
        let head = text.len() - 4;
        assert!(with(head, 2, 4).is_ok());
        assert_eq!(with(head - 1, 2, 4), Err(head - 1));
        assert_eq!(with(5, 2, 4), Err(5));
        assert_eq!(with(head, 1, 4), Err(19));
        assert_eq!(with(head, 2, 3), Err(head + 3));
    }

    #[test]
    fn a_name_without_end_is_refused() {
        let long = format!("A b SIP/2.0\r\n{}: x\r\n\r\n", "n".repeat(70_000));
        assert_eq!(Message::parse(long).unwrap_err().offset, 13);
        let spaced = format!("A b SIP/2.0\r\nn{}: x\r\n\r\n", " ".repeat(70_000));
        assert_eq!(Message::parse(spaced).unwrap_err().offset, 13);
    }

    #[test]
    fn shows_its_octets() {
        let shown = format!("{:?}", parse("A b SIP/2.0\r\n\r\n"));
        assert_eq!(shown, r#"Message(b"A b SIP/2.0\r\n\r\n")"#);
    }

    #[test]
    fn many_fields_are_kept_in_order() {
        let lines: String = (0..100)
            .flat_map(|n| ["X-".to_owned(), n.to_string(), ": 1\r\n".to_owned()])
            .collect();
        let message = parse(&format!("A b SIP/2.0\r\n{lines}\r\n"));
        let names: Vec<_> = message.headers().map(|h| h.name().to_owned()).collect();
        assert_eq!(
            names,
            (0..100).map(|n| format!("X-{n}")).collect::<Vec<_>>()
        );
        assert_eq!(message, message.clone());
    }
}
