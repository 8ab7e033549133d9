//! Building frames, malformed ones included: a tester must send what a library refuses to.
//!
//! Nothing here draws random numbers: who builds brings them.

use std::fmt::Display;

use bytes::Bytes;
use memchr::memmem;

use super::end::HYPHENS;
use super::{ByteRange, Flag, Frame, Head, Limits, Method, ParseError, Status, Uri};

/// Writes a frame exactly as told: names, values and order as given, nothing checked.
#[derive(Debug, Clone)]
pub struct Builder {
    head: Vec<u8>,
    body: Option<Bytes>,
    body_end: Bytes,
    end_id: Vec<u8>,
    flag: Vec<u8>,
    end_line: Option<Bytes>,
}

impl Builder {
    /// `MSRP id METHOD`
    pub fn request(method: impl AsRef<[u8]>, transaction_id: impl AsRef<[u8]>) -> Self {
        let id = transaction_id.as_ref();
        Self::start_line([b"MSRP ", id, b" ", method.as_ref()].concat(), id)
    }

    /// `MSRP id status comment`; without a comment nothing follows the status, not even a space.
    pub fn response(transaction_id: impl AsRef<[u8]>, status: u16, comment: Option<&str>) -> Self {
        let id = transaction_id.as_ref();
        let status = format!(" {status:03}");
        let space = if comment.is_some() { " " } else { "" };
        let comment = comment.unwrap_or_default();
        let line = [
            b"MSRP ",
            id,
            status.as_bytes(),
            space.as_bytes(),
            comment.as_bytes(),
        ];
        Self::start_line(line.concat(), id)
    }

    /// The response to a request, with both paths: To-Path is the first hop of the request's
    /// From-Path after a SEND, all of it after other methods; From-Path is our own URI (RFC 4975
    /// §7.2). Where the request has no From-Path the response has no To-Path.
    pub fn response_to(request: &Head, status: u16, comment: Option<&str>, own: &Uri) -> Self {
        let mut response = Self::response(request.transaction_id(), status, comment);
        if let Some(from) = request.header("From-Path") {
            let path = from.value();
            let first = path.split(|octet| *octet == b' ').next().unwrap_or(path);
            let is_send = request.method() == Some(Method::Send);
            response = response.to_path(if is_send { first } else { path });
        }
        response.from_path(own.as_str())
    }

    /// The report on octets of the message that a SEND is of (RFC 4975 §7.1.2 to §7.1.4): To-Path
    /// is its From-Path as it is, Message-ID its Message-ID, From-Path our own URI.
    pub fn report(
        send: &Head,
        transaction_id: impl AsRef<[u8]>,
        range: ByteRange,
        status: &Status,
        own: &Uri,
    ) -> Self {
        let mut report = Self::request("REPORT", transaction_id);
        if let Some(from) = send.header("From-Path") {
            report = report.to_path(from.value());
        }
        report = report.from_path(own.as_str());
        if let Some(id) = send.header("Message-ID") {
            report = report.header("Message-ID", id.value());
        }
        report
            .byte_range(range)
            .header("Status", status.to_string())
    }

    /// Any first line, and the id that the end line is to have.
    pub fn start_line(line: impl AsRef<[u8]>, end_id: impl AsRef<[u8]>) -> Self {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(line.as_ref());
        head.extend_from_slice(b"\r\n");
        Self {
            head,
            body: None,
            body_end: Bytes::from_static(b"\r\n"),
            end_id: end_id.as_ref().to_vec(),
            flag: vec![Flag::Complete.octet()],
            end_line: None,
        }
    }

    /// Appends To-Path. It belongs first (RFC 4975 §9).
    pub fn to_path(self, path: impl AsRef<[u8]>) -> Self {
        self.header("To-Path", path)
    }

    /// Appends From-Path. It belongs after To-Path (RFC 4975 §9).
    pub fn from_path(self, path: impl AsRef<[u8]>) -> Self {
        self.header("From-Path", path)
    }

    /// Appends Byte-Range.
    pub fn byte_range(self, range: impl Display) -> Self {
        self.header("Byte-Range", range.to_string())
    }

    /// Appends `name: value`.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.header_line([name.as_ref(), b": ", value.as_ref()].concat())
    }

    /// Appends a field as it is, without line end.
    pub fn header_line(self, line: impl AsRef<[u8]>) -> Self {
        self.raw(line).raw(b"\r\n")
    }

    /// Appends octets to the head as they are.
    pub fn raw(mut self, octets: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(octets.as_ref());
        self
    }

    /// Sets the body, which may be empty: an empty line goes before it, CRLF after it. Content-Type
    /// is a header like any other, and belongs last (RFC 4975 §7.1).
    pub fn body(mut self, octets: impl Into<Bytes>) -> Self {
        self.body = Some(octets.into());
        self
    }

    /// The flag of the end line; `$` where none is given.
    pub fn flag(self, flag: Flag) -> Self {
        self.flag_octets([flag.octet()])
    }

    /// What stands in place of the flag: nothing, or something that is none.
    pub fn flag_octets(mut self, octets: impl AsRef<[u8]>) -> Self {
        self.flag = octets.as_ref().to_vec();
        self
    }

    /// Ends with the line of another id.
    pub fn end_id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.end_id = id.as_ref().to_vec();
        self
    }

    /// What stands between the body and the end line in place of CRLF.
    pub fn body_end(mut self, octets: impl Into<Bytes>) -> Self {
        self.body_end = octets.into();
        self
    }

    /// What stands in place of the end line, its CRLF included; nothing, for a frame that does not
    /// end.
    pub fn end_line(mut self, octets: impl Into<Bytes>) -> Self {
        self.end_line = Some(octets.into());
        self
    }

    /// What goes before the body: all there is when the body is sent apart, piece by piece. With a
    /// body set, if only an empty one, the empty line is part of it.
    pub fn head_octets(&self) -> Bytes {
        let empty_line: &[u8] = if self.body.is_some() { b"\r\n" } else { b"" };
        [&self.head, empty_line].concat().into()
    }

    /// What goes after the body: CRLF where there is a body, and the end line.
    pub fn end_octets(&self) -> Bytes {
        let mut end = Vec::new();
        if self.body.is_some() {
            end.extend_from_slice(&self.body_end);
        }
        match &self.end_line {
            Some(line) => end.extend_from_slice(line),
            None => {
                for part in [HYPHENS, &self.end_id, &self.flag, b"\r\n"] {
                    end.extend_from_slice(part);
                }
            }
        }
        end.into()
    }

    /// The octets.
    pub fn octets(&self) -> Bytes {
        let body = self.body.clone().unwrap_or_default();
        [self.head_octets(), body, self.end_octets()]
            .concat()
            .into()
    }

    /// The octets, indexed under the default [`Limits`].
    pub fn build(&self) -> Result<Frame, ParseError> {
        Frame::parse(self.octets(), &Limits::default())
    }
}

/// The usual comment of a status code (RFC 4975 §10, RFC 4976 §10.3, RFC 7701 §10.3), empty where
/// there is none.
pub fn usual_comment(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Failure to Resolve Recipient's URI",
        408 => "Request Timeout",
        413 => "Message Too Large",
        415 => "Unsupported Media Type",
        423 => "Interval Out-of-Bounds",
        424 => "Malformed Nickname",
        425 => "Nickname Reserved or In Use",
        428 => "Private Messages Not Supported",
        481 => "Session Does Not Exist",
        501 => "Unknown Method",
        506 => "Session In Use",
        _ => "",
    }
}

/// An identifier of 16 letters and digits out of 80 random bits: enough for a transaction id (RFC
/// 4975 §7.1: 64 bits), a Message-ID, and a session id (§14.1: 80 bits). The bits must come from a
/// source that nobody can guess where they make a session id.
pub fn ident(random: [u8; 10]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = random
        .iter()
        .fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    (0..16)
        .rev()
        .map(|letter| bits >> (letter * 5) & 31)
        .filter_map(|five| LETTERS.get(usize::try_from(five).ok()?))
        .map(|letter| char::from(*letter))
        .collect()
}

/// A transaction id out of random octets that ends no line of `body` (RFC 4975 §7.1): the first
/// from [`ident`] on that does not stand in the body.
///
/// A body that is sent piece by piece can be searched only as it goes; with 80 random bits that is
/// a precaution against bodies made to contain the id, which nobody can guess.
pub fn transaction_id(random: [u8; 10], body: &[u8]) -> String {
    let mut random = random;
    loop {
        let id = ident(random);
        if memmem::find(body, id.as_bytes()).is_none() {
            return id;
        }
        // A body holds fewer ids than it has octets, so this comes to an end.
        for octet in random.iter_mut().rev() {
            *octet = octet.wrapping_add(1);
            if *octet != 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(builder: &Builder) -> String {
        String::from_utf8(builder.octets().to_vec()).unwrap()
    }

    fn send() -> Builder {
        Builder::request("SEND", "t1d2")
            .to_path("msrp://b:2/t;tcp")
            .from_path("msrp://r:1;tcp msrp://a:1/f;tcp")
            .header("Message-ID", "mid1")
            .byte_range("1-2/2")
            .header("Content-Type", "text/plain")
            .body("hi")
    }

    fn own() -> Uri {
        "msrp://b:2/t;tcp".parse().unwrap()
    }

    #[test]
    fn writes_as_told() {
        let whole = "MSRP t1d2 SEND\r\nTo-Path: msrp://b:2/t;tcp\r\n\
            From-Path: msrp://r:1;tcp msrp://a:1/f;tcp\r\nMessage-ID: mid1\r\n\
            Byte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------t1d2$\r\n";
        assert_eq!(text(&send()), whole);
        let frame = send().build().unwrap();
        assert_eq!(frame.defects(), []);
        assert_eq!(
            [send().head_octets(), "hi".into(), send().end_octets()].concat(),
            whole.as_bytes()
        );
        let empty = send().body("").flag(Flag::More);
        assert!(text(&empty).ends_with("plain\r\n\r\n\r\n-------t1d2+\r\n"));
        assert_eq!(
            text(&Builder::request("SEND", "x")),
            "MSRP x SEND\r\n-------x$\r\n"
        );
    }

    #[test]
    fn writes_what_no_one_should() {
        let ends = |builder: Builder, end: &str| {
            let text = text(&builder);
            assert!(text.ends_with(end), "{text}");
        };
        ends(send().end_id("zzzz"), "hi\r\n-------zzzz$\r\n");
        ends(send().flag_octets("?"), "hi\r\n-------t1d2?\r\n");
        ends(send().flag_octets(""), "hi\r\n-------t1d2\r\n");
        ends(send().body_end(""), "hi-------t1d2$\r\n");
        ends(send().end_line(""), "hi\r\n");
        ends(send().end_line("-------t1d2$"), "hi\r\n-------t1d2$");
        ends(send().end_line("").body_end(""), "hi");
        let odd = Builder::start_line("MSRP t1d2 SEND now", "t1d2")
            .header_line("A:b")
            .raw("\0\n");
        assert_eq!(
            text(&odd),
            "MSRP t1d2 SEND now\r\nA:b\r\n\0\n-------t1d2$\r\n"
        );
        assert!(odd.build().is_err());
    }

    /// RFC 4975 §7.2: to the next hop after SEND, all the way after others.
    #[test]
    fn responses_go_back() {
        let to = |method: &str| {
            let request = Builder::request(method, "t1d2")
                .from_path("msrp://r:1;tcp msrp://a:1/f;tcp")
                .build()
                .unwrap();
            text(&Builder::response_to(&request, 200, Some("OK"), &own()))
        };
        assert_eq!(
            to("SEND"),
            "MSRP t1d2 200 OK\r\nTo-Path: msrp://r:1;tcp\r\nFrom-Path: msrp://b:2/t;tcp\r\n\
            -------t1d2$\r\n"
        );
        assert!(to("AUTH").contains("To-Path: msrp://r:1;tcp msrp://a:1/f;tcp\r\n"));
        let lost = Builder::request("SEND", "t1d2").build().unwrap();
        assert_eq!(
            text(&Builder::response_to(&lost, 400, None, &own())),
            "MSRP t1d2 400\r\nFrom-Path: msrp://b:2/t;tcp\r\n-------t1d2$\r\n"
        );
    }

    /// RFC 4975 §7.1.2, §7.1.3.
    #[test]
    fn reports_tell_of_a_message() {
        let frame = send().build().unwrap();
        let range = ByteRange {
            start: 1,
            end: Some(2),
            total: Some(2),
        };
        let report = Builder::report(&frame, "r3p4", range, &Status::new(200, None), &own());
        assert_eq!(
            text(&report),
            "MSRP r3p4 REPORT\r\nTo-Path: msrp://r:1;tcp msrp://a:1/f;tcp\r\n\
            From-Path: msrp://b:2/t;tcp\r\nMessage-ID: mid1\r\nByte-Range: 1-2/2\r\n\
            Status: 000 200\r\n-------r3p4$\r\n"
        );
        assert_eq!(report.build().unwrap().defects(), []);
    }

    #[test]
    fn identifiers_hold_their_bits() {
        assert_eq!(ident([0; 10]), "aaaaaaaaaaaaaaaa");
        assert_eq!(ident([255; 10]), "7777777777777777");
        assert_eq!(ident([0, 0, 0, 0, 0, 0, 0, 0, 0, 33]), "aaaaaaaaaaaaaabb");
        assert_ne!(ident(*b"0123456789"), ident(*b"0123456788"));
    }

    #[test]
    fn a_transaction_id_is_not_in_the_body() {
        assert_eq!(transaction_id([7; 10], b"hello"), ident([7; 10]));
        let taken = [ident([255; 10]), ident([0; 10])].concat();
        assert_eq!(
            transaction_id([255; 10], taken.as_bytes()),
            "aaaaaaaaaaaaaaab"
        );
    }
}
