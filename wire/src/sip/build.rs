//! Building messages, malformed ones included: a tester must send what a library refuses to.

use bytes::Bytes;

use super::error::ParseError;
use super::message::{Header, Message};
use super::name;
use super::text::trim;
use super::typed::To;

/// What to do about Content-Length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContentLength {
    /// Written with the true length after the last header, unless a header of that name was given.
    #[default]
    Auto,
    /// Not written.
    Omit,
}

/// Writes a message exactly as told: names, values and order as given, nothing checked.
#[derive(Debug, Clone)]
pub struct Builder {
    head: Vec<u8>,
    body: Bytes,
    content_length: ContentLength,
    has_content_length: bool,
}

impl Builder {
    /// `METHOD uri SIP/2.0`
    pub fn request(method: impl AsRef<[u8]>, uri: impl AsRef<[u8]>) -> Self {
        Self::start_line([method.as_ref(), b" ", uri.as_ref(), b" SIP/2.0"].concat())
    }

    /// `SIP/2.0 status reason`
    pub fn response(status: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::start_line([format!("SIP/2.0 {status:03} ").as_bytes(), reason.as_ref()].concat())
    }

    /// A response that mirrors Via, From, To, Call-ID and `CSeq` of `request` octet for octet (RFC
    /// 3261 §8.2.6.2), and Timestamp in a 100 (§8.2.6.1), in the order of the request. `to_tag` is
    /// added to To where To has no tag.
    pub fn response_to(
        request: &Message,
        status: u16,
        reason: impl AsRef<[u8]>,
        to_tag: Option<&str>,
    ) -> Self {
        let mut response = Self::response(status, reason);
        for header in request.headers() {
            if header.is("To") {
                response = response.header_line(with_tag(request, header, to_tag));
            } else if ["Via", "From", "Call-ID", "CSeq"]
                .iter()
                .any(|name| header.is(name))
                || status == 100 && header.is("Timestamp")
            {
                response = response.header_line(header.line());
            }
        }
        response
    }

    /// Any first line.
    pub fn start_line(line: impl AsRef<[u8]>) -> Self {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(line.as_ref());
        head.extend_from_slice(b"\r\n");
        Self {
            head,
            body: Bytes::new(),
            content_length: ContentLength::default(),
            has_content_length: false,
        }
    }

    /// Appends `name: value`.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.header_line([name.as_ref(), b": ", value.as_ref()].concat())
    }

    /// Appends a field as it is, without line end.
    pub fn header_line(mut self, line: impl AsRef<[u8]>) -> Self {
        let line = line.as_ref();
        let name = line
            .split(|octet| *octet == b':')
            .next()
            .unwrap_or_default();
        self.has_content_length |=
            std::str::from_utf8(trim(name)).is_ok_and(|name| name::same(name, "Content-Length"));
        self.head.extend_from_slice(line);
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// Sets the body octets. Content-Type is a header like any other.
    pub fn body(mut self, octets: impl Into<Bytes>) -> Self {
        self.body = octets.into();
        self
    }

    /// How Content-Length is written.
    pub fn content_length(mut self, how: ContentLength) -> Self {
        self.content_length = how;
        self
    }

    /// The octets.
    pub fn octets(self) -> Bytes {
        let Self {
            mut head,
            body,
            content_length,
            has_content_length,
        } = self;
        if content_length == ContentLength::Auto && !has_content_length {
            head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(&body);
        head.into()
    }

    /// The octets, indexed.
    pub fn build(self) -> Result<Message, ParseError> {
        Message::parse(self.octets())
    }
}

/// The usual reason phrase of a status code, empty when there is none.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 | 606 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity-Info",
        437 => "Unsupported Certificate",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        607 => "Unwanted",
        608 => "Rejected",
        _ => "",
    }
}

/// The To field as written; with the tag, where it has none. A To that cannot be read is left
/// alone: where a tag would belong in it is anyone's guess.
fn with_tag(request: &Message, header: Header<'_>, to_tag: Option<&str>) -> Vec<u8> {
    let line = header.line();
    let tagless = matches!(request.typed::<To>(), Some(Ok(to)) if to.tag().is_none());
    match to_tag {
        Some(tag) if tagless => {
            // Before trailing white space, and never after a fold that has nothing in it.
            let end = header.offset() + trim(line).len() - header.offset();
            let (field, rest) = line.split_at(end);
            [field, b";tag=", tag.as_bytes(), rest].concat()
        }
        _ => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(builder: Builder) -> String {
        String::from_utf8(builder.octets().to_vec()).unwrap()
    }

    #[test]
    fn writes_as_told() {
        let request = Builder::request("MESSAGE", "sip:bob@example.org")
            .header("Via", "SIP/2.0/UDP h")
            .header_line("Subject :\tDinner")
            .header("X", "")
            .body("hello");
        assert_eq!(
            text(request.clone()),
            "MESSAGE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nSubject :\tDinner\r\n\
             X: \r\n\
             Content-Length: 5\r\n\r\nhello"
        );
        assert_eq!(request.build().unwrap().body(), b"hello");
    }

    #[test]
    fn content_length_is_what_was_asked_for() {
        let start = || Builder::start_line("A b SIP/2.0").body("hi");
        assert!(text(start()).contains("Content-Length: 2\r\n\r\n"));
        for own in ["Content-Length: 9", "l: 9", "CONTENT-length : 9"] {
            assert_eq!(
                text(start().header_line(own)),
                format!("A b SIP/2.0\r\n{own}\r\n\r\nhi")
            );
        }
        assert_eq!(
            text(start().content_length(ContentLength::Omit)),
            "A b SIP/2.0\r\n\r\nhi"
        );
    }

    #[test]
    fn sends_what_a_library_refuses() {
        let broken = Builder::start_line("no start line at all")
            .header_line("no colon")
            .header("na me", b"\x00\xff\n")
            .content_length(ContentLength::Omit);
        assert_eq!(
            &broken.octets()[..],
            b"no start line at all\r\nno colon\r\nna me: \x00\xff\n\r\n\r\n"
        );
    }

    #[test]
    fn responses_mirror_the_request() {
        let request = Message::parse(
            "MESSAGE sip:b@h SIP/2.0\r\nv : SIP/2.0/UDP a;branch=1,\r\n SIP/2.0/UDP b\r\n\
             TO:\r\n <sip:b@h> \
             \r\nfrom: <sip:a@h>;tag=1\r\nSubject: x\r\nVia: SIP/2.0/TCP c\r\n\
             Timestamp: 3\r\ni: 1\r\n\
             CSeq: 01 MESSAGE\r\n\r\n",
        )
        .unwrap();
        let response = Builder::response_to(&request, 202, reason_phrase(202), Some("t"));
        assert_eq!(
            text(response),
            "SIP/2.0 202 Accepted\r\nv : SIP/2.0/UDP a;branch=1,\r\n SIP/2.0/UDP b\r\n\
             TO:\r\n <sip:b@h>;tag=t \r\nfrom: <sip:a@h>;tag=1\r\nVia: SIP/2.0/TCP c\r\ni: 1\r\n\
             CSeq: 01 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        let trying = text(Builder::response_to(&request, 100, "Trying", None));
        assert!(trying.contains("TO:\r\n <sip:b@h> \r\n") && trying.contains("Timestamp: 3\r\n"));
    }

    #[test]
    fn a_tag_is_added_only_where_there_is_none() {
        for (to, expected) in [
            ("To: sip:b@h", "To: sip:b@h;tag=t"),
            ("t: sip:b@h;x=\"tag=1\"", "t: sip:b@h;x=\"tag=1\";tag=t"),
            ("To: <sip:b@h;tag=uri>", "To: <sip:b@h;tag=uri>;tag=t"),
            ("To: <sip:b@h>;TAG=1", "To: <sip:b@h>;TAG=1"),
            ("To: \"b <sip:b@h>", "To: \"b <sip:b@h>"),
        ] {
            let request = Message::parse(format!("A b SIP/2.0\r\n{to}\r\n\r\n")).unwrap();
            let response = text(Builder::response_to(&request, 200, "OK", Some("t")));
            assert_eq!(response.lines().nth(1).unwrap(), expected);
        }
    }

    #[test]
    fn phrases() {
        assert_eq!(reason_phrase(202), "Accepted");
        assert_eq!(reason_phrase(299), "");
    }
}
