//! The start line and the header fields of a frame: octets and an index into them.
//!
//! What a head means is read when asked for, one value at a time. Where a header field is there
//! twice the first one speaks; [`Head::defects`] tells of the second.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{Field, Index, Start, range};
use super::{ByteRange, Path, ValueError};
use crate::sip::text::{digits, is_wsp};
use crate::sip::typed::cursor::Cursor;
use crate::sip::typed::{MediaType, TypedHeader, ValueResult};

/// Start line and header fields as they were received or built. Cloning is cheap: octets and index
/// are shared.
#[derive(Clone)]
pub struct Head {
    octets: Bytes,
    index: Arc<Index>,
    has_body: bool,
}

/// Shows the octets, which are all that a head is.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Head").field(&self.octets).finish()
    }
}

/// Heads are equal when their octets are.
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Head {}

/// The first line, without the transaction id that both forms have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'h> {
    /// `MSRP id METHOD`
    Request {
        /// The method.
        method: Method<'h>,
    },
    /// `MSRP id 200 OK`
    Response {
        /// Three digits.
        status: u16,
        /// What stands after the status code and one space. `None` where there is nothing, not even
        /// the space, and where it is not UTF-8.
        comment: Option<&'h str>,
    },
}

/// The method of a request (RFC 4975 §9, RFC 4976 §7). Methods are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'h> {
    /// `SEND`: a chunk of a message, or a sign of life.
    Send,
    /// `REPORT`: what became of a message.
    Report,
    /// `AUTH`: a relay is asked for a URI (RFC 4976).
    Auth,
    /// Any other, to be answered 501 (RFC 4975 §12).
    Other(&'h str),
}

impl<'h> Method<'h> {
    /// The method of that name.
    pub fn from_name(name: &'h str) -> Self {
        match name {
            "SEND" => Self::Send,
            "REPORT" => Self::Report,
            "AUTH" => Self::Auth,
            _ => Self::Other(name),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &'h str {
        match self {
            Self::Send => "SEND",
            Self::Report => "REPORT",
            Self::Auth => "AUTH",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which failures the sender of a SEND wants to hear of (RFC 4975 §5.3, §7.1.4, §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureReport {
    /// Every request is answered, and late failures are reported. Holds where the header is not
    /// there (§7.1.1).
    #[default]
    Yes,
    /// Nothing is answered and nothing reported.
    No,
    /// Failures are answered, success is not.
    Partial,
}

impl FailureReport {
    /// Whether a response of this status may be sent to the request (RFC 4975 §7.1.4, §7.2).
    pub const fn allows_response(self, status: u16) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Partial => status != 200,
        }
    }

    /// As written in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Partial => "partial",
        }
    }
}

/// The value of a Status header field (RFC 4975 §7.1.3, §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Three digits: what the code means. 0 is written `000` and says: the same as in a response.
    pub namespace: u16,
    /// Three digits.
    pub code: u16,
    /// What stands after the code and one space.
    pub comment: Option<String>,
}

impl Status {
    /// A status of the namespace 000.
    pub fn new(code: u16, comment: Option<&str>) -> Self {
        Self {
            namespace: 0,
            code,
            comment: comment.map(str::to_owned),
        }
    }

    /// Reads a header value.
    pub fn parse(value: &[u8]) -> ValueResult<Self> {
        let mut cursor = Cursor::new(value);
        let namespace = three_digits(&mut cursor, "a namespace of three digits")?;
        if cursor.take_while(is_wsp).is_empty() {
            return cursor.error("a space after the namespace");
        }
        let code = three_digits(&mut cursor, "a status code of three digits")?;
        let comment = match cursor.rest() {
            [] => None,
            [b' ', comment @ ..] => match std::str::from_utf8(comment) {
                Ok(comment) => Some(comment.to_owned()),
                Err(error) => {
                    return Cursor::error_at(cursor.at() + 1 + error.valid_up_to(), "UTF-8");
                }
            },
            _ => return cursor.error("a space after the status code"),
        };
        Ok(Self {
            namespace,
            code,
            comment,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.namespace, self.code)?;
        match &self.comment {
            Some(comment) => write!(f, " {comment}"),
            None => Ok(()),
        }
    }
}

/// One header field, borrowed from the head.
#[derive(Debug, Clone, Copy)]
pub struct Header<'h> {
    octets: &'h [u8],
    field: Field,
}

impl<'h> Header<'h> {
    /// The name as written, without white space before the colon.
    pub fn name(&self) -> &'h str {
        ascii(&self.octets[self.field.start as usize..self.field.name_end as usize])
    }

    /// Whether the field has that name, in any case (RFC 4975 §9).
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The value: all after the colon and one space, octet for octet.
    pub fn value(&self) -> &'h [u8] {
        let raw = self.raw_value();
        raw.strip_prefix(b" ").unwrap_or(raw)
    }

    /// The value for printing; octets that are not UTF-8 are replaced.
    pub fn text(&self) -> std::borrow::Cow<'h, str> {
        String::from_utf8_lossy(self.value())
    }

    /// All after the colon.
    pub fn raw_value(&self) -> &'h [u8] {
        &self.octets[self.field.value as usize..self.field.end as usize]
    }

    /// The whole field as written, name to line end exclusive.
    pub fn line(&self) -> &'h [u8] {
        &self.octets[self.field.start as usize..self.field.end as usize]
    }

    /// Offset of the first octet of the name in the frame.
    pub fn offset(&self) -> usize {
        self.field.start as usize
    }

    /// Range of [`Self::raw_value`] in the frame, to mark the place in a report.
    pub fn value_range(&self) -> Range<usize> {
        self.field.value as usize..self.field.end as usize
    }

    /// The value without white space at either end, which no grammar has there, and its offset.
    pub(crate) fn trimmed(&self) -> (usize, &'h [u8]) {
        let raw = self.raw_value();
        let front = raw.iter().take_while(|octet| is_wsp(**octet)).count();
        let back = raw[front..]
            .iter()
            .rev()
            .take_while(|octet| is_wsp(**octet))
            .count();
        (
            self.field.value as usize + front,
            &raw[front..raw.len() - back],
        )
    }
}

impl Head {
    pub(super) fn new(octets: Bytes, index: Index, has_body: bool) -> Self {
        Self {
            octets,
            index: Arc::new(index),
            has_body,
        }
    }

    /// The same head in memory of its own. One that came out of a stream shares the memory of the
    /// read that brought it, all of which lasts as long as the head does.
    pub fn detached(&self) -> Self {
        Self {
            octets: Bytes::copy_from_slice(&self.octets),
            index: Arc::clone(&self.index),
            has_body: self.has_body,
        }
    }

    /// All octets as received, the empty line before a body included.
    pub fn as_bytes(&self) -> &Bytes {
        &self.octets
    }

    /// The first line.
    pub fn start(&self) -> StartLine<'_> {
        match self.index.start {
            Start::Request { method } => StartLine::Request {
                method: Method::from_name(ascii(&self.octets[range(method)])),
            },
            Start::Response { status, comment } => StartLine::Response {
                status,
                comment: comment
                    .and_then(|span| std::str::from_utf8(&self.octets[range(span)]).ok()),
            },
        }
    }

    /// Range of the first line in the frame, without its line end.
    pub fn start_line_range(&self) -> Range<usize> {
        range(self.index.line)
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method<'_>> {
        match self.start() {
            StartLine::Request { method } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.index.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The id that ties a response to its request, and a frame to its end line.
    pub fn transaction_id(&self) -> &str {
        ascii(&self.octets[self.transaction_id_range()])
    }

    /// Range of the transaction id in the frame.
    pub fn transaction_id_range(&self) -> Range<usize> {
        range(self.index.transaction_id)
    }

    /// Whether a body follows, if only an empty one: whether an empty line ends the header section
    /// (RFC 4975 §7.1). A SEND without a body opens a connection or keeps it alive; it is not an
    /// empty message.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// All header fields in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.index.fields.iter().map(|field| Header {
            octets: &self.octets,
            field: *field,
        })
    }

    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.headers().find(|header| header.is(name))
    }

    /// All fields of that name, in order.
    pub fn headers_named<'h>(&'h self, name: &'h str) -> impl Iterator<Item = Header<'h>> {
        self.headers().filter(move |header| header.is(name))
    }

    /// To-Path. An error also where it is missing.
    pub fn to_path(&self) -> ValueResult<Path> {
        self.parsed("To-Path", Path::parse)
            .unwrap_or_else(|| Cursor::error_at(0, "a To-Path header field"))
    }

    /// From-Path. An error also where it is missing.
    pub fn from_path(&self) -> ValueResult<Path> {
        self.parsed("From-Path", Path::parse)
            .unwrap_or_else(|| Cursor::error_at(0, "a From-Path header field"))
    }

    /// Message-ID, which all chunks of a message share (RFC 4975 §7.1.1), in whatever characters as
    /// long as they are UTF-8. It is compared with case.
    pub fn message_id(&self) -> Option<&str> {
        let (_, value) = self.header("Message-ID")?.trimmed();
        std::str::from_utf8(value).ok()
    }

    /// Byte-Range.
    pub fn byte_range(&self) -> Option<ValueResult<ByteRange>> {
        self.parsed("Byte-Range", ByteRange::parse)
    }

    /// Whether Success-Report says yes; the default is no (RFC 4975 §7.1.1).
    pub fn success_report(&self) -> bool {
        matches!(
            self.parsed("Success-Report", success_report),
            Some(Ok(true))
        )
    }

    /// What Failure-Report says. The default, `yes`, also holds where the value is none of the
    /// three.
    pub fn failure_report(&self) -> FailureReport {
        match self.parsed("Failure-Report", failure_report) {
            Some(Ok(value)) => value,
            _ => FailureReport::default(),
        }
    }

    /// Status, which REPORT requests have.
    pub fn status_header(&self) -> Option<ValueResult<Status>> {
        self.parsed("Status", Status::parse)
    }

    /// Expires, in seconds (RFC 4976 §4.6). Defined for AUTH and its response; the grammar has it
    /// everywhere. Numbers beyond 64 bits become the largest.
    pub fn expires(&self) -> Option<ValueResult<u64>> {
        self.parsed("Expires", seconds)
    }

    /// Min-Expires, in seconds: in a 423 (RFC 4976 §4.6).
    pub fn min_expires(&self) -> Option<ValueResult<u64>> {
        self.parsed("Min-Expires", seconds)
    }

    /// Max-Expires, in seconds: in a 423 (RFC 4976 §4.6).
    pub fn max_expires(&self) -> Option<ValueResult<u64>> {
        self.parsed("Max-Expires", seconds)
    }

    /// Use-Path: the way that a relay offers (RFC 4976 §4.4).
    pub fn use_path(&self) -> Option<ValueResult<Path>> {
        self.parsed("Use-Path", Path::parse)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<ValueResult<MediaType>> {
        self.parsed("Content-Type", MediaType::parse_value)
    }

    /// The challenge of a relay, as written (RFC 4976 §7).
    pub fn www_authenticate(&self) -> Option<&[u8]> {
        self.header("WWW-Authenticate").map(|header| header.value())
    }

    /// The answer to a challenge, as written (RFC 4976 §7).
    pub fn authorization(&self) -> Option<&[u8]> {
        self.header("Authorization").map(|header| header.value())
    }

    /// What a relay says after a good answer, as written (RFC 4976 §7).
    pub fn authentication_info(&self) -> Option<&[u8]> {
        self.header("Authentication-Info")
            .map(|header| header.value())
    }

    /// Offset of the first octet after the last header field.
    pub(super) fn fields_end(&self) -> usize {
        self.index.end as usize
    }

    /// The comment of a response, whatever its octets.
    pub(super) fn comment_range(&self) -> Option<Range<usize>> {
        match self.index.start {
            Start::Response { comment, .. } => comment.map(range),
            Start::Request { .. } => None,
        }
    }

    /// Reads the first field of a name. Offsets in errors count from the start of
    /// [`Header::value`].
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> ValueResult<T>,
    ) -> Option<ValueResult<T>> {
        let header = self.header(name)?;
        let (at, value) = header.trimmed();
        let shift = at - header.value_range().start;
        let one_space = usize::from(header.raw_value().first() == Some(&b' '));
        Some(parse(value).map_err(|error| ValueError {
            offset: (error.offset + shift).saturating_sub(one_space),
            ..error
        }))
    }
}

/// `yes` or `no`; literals of the grammar have no case (RFC 4234 §2.3).
pub(super) fn success_report(value: &[u8]) -> ValueResult<bool> {
    if value.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Cursor::error_at(0, "`yes` or `no`")
    }
}

/// `yes`, `no` or `partial`.
pub(super) fn failure_report(value: &[u8]) -> ValueResult<FailureReport> {
    const ALL: [FailureReport; 3] = [
        FailureReport::Yes,
        FailureReport::No,
        FailureReport::Partial,
    ];
    ALL.into_iter()
        .find(|known| value.eq_ignore_ascii_case(known.as_str().as_bytes()))
        .map_or_else(|| Cursor::error_at(0, "`yes`, `no` or `partial`"), Ok)
}

/// `1*DIGIT`, no date and no sign.
pub(super) fn seconds(value: &[u8]) -> ValueResult<u64> {
    digits(value).map_or_else(|| Cursor::error_at(0, "a number of seconds"), Ok)
}

fn three_digits(cursor: &mut Cursor<'_>, expected: &'static str) -> ValueResult<u16> {
    let start = cursor.at();
    match cursor.take_while(|octet| octet.is_ascii_digit()) {
        [a, b, c] => Ok([a, b, c]
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'))),
        _ => Cursor::error_at(start, expected),
    }
}

/// The index holds only spans of visible ASCII for these.
fn ascii(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{Frame, Limits};
    use super::*;

    fn read(lines: &[&str]) -> Frame {
        let head: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
        Frame::parse(format!("{head}-------abcd$\r\n"), &Limits::default()).unwrap()
    }

    #[test]
    fn start_lines() {
        let start = |line| match read(&[line]).start() {
            StartLine::Request { method } => format!("request {method}"),
            StartLine::Response { status, comment } => format!("response {status} {comment:?}"),
        };
        assert_eq!(start("MSRP abcd SEND"), "request SEND");
        assert_eq!(start("MSRP abcd send"), "request send");
        assert_eq!(start("MSRP  abcd   REPORT "), "request REPORT");
        assert_eq!(start("MSRP abcd 200"), "response 200 None");
        assert_eq!(start("MSRP abcd 200 "), "response 200 Some(\"\")");
        assert_eq!(
            start("MSRP abcd 413 Too  big "),
            "response 413 Some(\"Too  big \")"
        );
        assert_eq!(start("MSRP abcd 000 \u{e9}"), "response 0 Some(\"\u{e9}\")");
        assert_eq!(read(&["MSRP abcd AUTH"]).method(), Some(Method::Auth));
        assert_eq!(
            read(&["MSRP abcd auth"]).method(),
            Some(Method::Other("auth"))
        );
        assert_eq!(read(&["MSRP abcd 506"]).status(), Some(506));
        assert_eq!(read(&["MSRP abcd AUTH"]).transaction_id(), "abcd");
        let octets = b"MSRP abcd 400 \xff\r\n-------abcd$\r\n";
        let frame = Frame::parse(&octets[..], &Limits::default()).unwrap();
        assert_eq!(
            frame.start(),
            StartLine::Response {
                status: 400,
                comment: None
            }
        );
    }

    #[test]
    fn values_of_known_fields() {
        let frame = read(&[
            "MSRP abcd SEND",
            "To-Path: msrp://b:2/t;tcp",
            "from-path:  msrp://a:1/f;tcp msrp://r:1;tcp ",
            "Message-ID: Mid-1",
            "message-id: Mid-2",
            "Byte-Range: 1-*/8",
            "Success-Report: YES",
            "Failure-Report: partial",
            "Status: 000 413 Stop it",
            "Expires: 3600",
            "Min-Expires: 99999999999999999999",
            "Max-Expires: -1",
            "Use-Path: msrp://r:1/u;tcp",
            "WWW-Authenticate: Digest realm=\"r\"",
            "Authorization: Digest username=\"a\"",
            "Authentication-Info: nextnonce=\"n\"",
            "Content-Type: Text/Plain;charset=UTF-8",
            "X-Odd:no space",
            "X-Wide:  two ",
        ]);
        assert_eq!(frame.to_path().unwrap().len(), 1);
        assert_eq!(frame.from_path().unwrap().len(), 2);
        assert_eq!(frame.message_id(), Some("Mid-1"));
        assert_eq!(frame.headers_named("MESSAGE-ID").count(), 2);
        assert_eq!(frame.byte_range().unwrap().unwrap().total, Some(8));
        assert!(frame.success_report());
        assert_eq!(frame.failure_report(), FailureReport::Partial);
        let status = frame.status_header().unwrap().unwrap();
        assert_eq!(status, Status::new(413, Some("Stop it")));
        assert_eq!(frame.expires(), Some(Ok(3600)));
        assert_eq!(frame.min_expires(), Some(Ok(u64::MAX)));
        assert!(frame.max_expires().unwrap().is_err());
        assert_eq!(frame.use_path().unwrap().unwrap().len(), 1);
        assert_eq!(frame.www_authenticate(), Some(&b"Digest realm=\"r\""[..]));
        assert_eq!(frame.authorization(), Some(&b"Digest username=\"a\""[..]));
        assert_eq!(frame.authentication_info(), Some(&b"nextnonce=\"n\""[..]));
        assert!(frame.content_type().unwrap().unwrap().is("text/plain"));
        assert_eq!(frame.header("x-odd").unwrap().value(), b"no space");
        assert_eq!(frame.header("X-Wide").unwrap().text(), " two ");
        assert_eq!(frame.headers().count(), 18);
        let odd = frame.header("X-Odd").unwrap();
        assert_eq!(odd.line(), b"X-Odd:no space");
        assert_eq!(&frame.as_bytes()[odd.value_range()], odd.raw_value());
    }

    #[test]
    fn what_is_not_there() {
        let frame = read(&[
            "MSRP abcd SEND",
            "Failure-Report: maybe",
            "Byte-Range:  1-2",
        ]);
        assert_eq!(
            frame.to_path().unwrap_err().to_string(),
            "at octet 0 of the value: expected a To-Path header field"
        );
        assert!(frame.from_path().is_err());
        assert_eq!(frame.message_id(), None);
        assert!(!frame.success_report());
        assert_eq!(frame.failure_report(), FailureReport::Yes);
        // Offsets count in the value as it is shown, after the one space.
        assert_eq!(frame.byte_range().unwrap().unwrap_err().offset, 4);
        assert_eq!(frame.expires(), None);
        assert!(!frame.has_body() && frame.body().is_none());
    }

    #[test]
    fn a_detached_head_is_the_same() {
        let frame = read(&["MSRP abcd SEND", "Message-ID: mid1"]);
        let detached = frame.head().detached();
        assert_eq!(&detached, frame.head());
        assert_eq!(detached.message_id(), Some("mid1"));
        assert_ne!(detached.as_bytes().as_ptr(), frame.as_bytes().as_ptr());
    }

    #[test]
    fn status_values() {
        for text in ["000 200", "000 200 OK", "001 999 ", "000 413 a  b"] {
            assert_eq!(Status::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for (text, offset) in [
            (&b""[..], 0),
            (b"0 200", 0),
            (b"000", 3),
            (b"000 20", 4),
            (b"000 2000", 4),
            (b"000 200OK", 7),
            (b"000 200 \xff", 8),
        ] {
            assert_eq!(Status::parse(text).unwrap_err().offset, offset);
        }
    }

    #[test]
    fn who_may_be_answered() {
        let answers = |report: FailureReport| [200, 413].map(|code| report.allows_response(code));
        assert_eq!(answers(FailureReport::Yes), [true, true]);
        assert_eq!(answers(FailureReport::Partial), [false, true]);
        assert_eq!(answers(FailureReport::No), [false, false]);
    }
}
