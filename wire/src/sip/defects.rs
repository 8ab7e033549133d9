//! What is wrong with a message that was taken all the same.
//!
//! [`Message::parse`] keeps whatever can be told apart, because a tester needs the evidence. This
//! module says where such a message breaks the rules of RFC 3261, each with its clause, for reports
//! and for servers that must answer 400. It judges one message alone: nothing that depends on the
//! transaction, the transport or local policy.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use super::error::ValueError;
use super::message::{Header, Message, StartLine};
use super::text::{is_lws, is_wsp};
use super::typed::{
    CSeq, Contact, ContentLengthValue, Expires, From, MaxForwards, MediaType, MinExpires,
    PAssertedIdentity, PPreferredIdentity, RecordRoute, ReplyTo, Route, SipDate, To, TypedHeader,
    Uri, Via, list,
};

/// How binding a rule is (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obligation {
    /// MUST, MUST NOT, or the grammar.
    Must,
    /// SHOULD, SHOULD NOT, or a slip that no reader of the message stumbles over.
    Should,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The octets of the message that break it; empty at the place where something is missing.
    pub range: Range<usize>,
    /// What the rule wants there.
    pub expected: &'static str,
    /// The clause that holds the rule.
    pub clause: &'static str,
    /// How binding it is.
    pub obligation: Obligation,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            range,
            expected,
            clause,
            ..
        } = self;
        write!(
            f,
            "octets {}..{}: expected {expected} ({clause})",
            range.start, range.end
        )
    }
}

impl Message {
    /// Where this message breaks the rules of its protocol, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        let mut found = Defects {
            message: self,
            list: Vec::new(),
        };
        found.in_lines();
        found.in_start_line();
        for header in self.headers() {
            found.in_value(&header);
        }
        found.in_set_of_headers();
        found.between_headers();
        found.in_body();
        found.in_request();
        found.in_response();
        let mut list = found.list;
        list.sort_by_key(|defect| (defect.range.start, defect.range.end));
        list
    }
}

const GRAMMAR: &str = "RFC 3261 §25.1";

struct Defects<'m> {
    message: &'m Message,
    list: Vec<Defect>,
}

impl Defects<'_> {
    fn add(&mut self, range: Range<usize>, expected: &'static str, clause: &'static str) {
        self.push(range, expected, clause, Obligation::Must);
    }

    fn push(
        &mut self,
        range: Range<usize>,
        expected: &'static str,
        clause: &'static str,
        obligation: Obligation,
    ) {
        self.list.push(Defect {
            range,
            expected,
            clause,
            obligation,
        });
    }

    /// Line ends and characters of the head.
    fn in_lines(&mut self) {
        let head = &self.message.octets()[..self.message.body_range().start];
        let mut before = 0;
        // Who ends one line with LF does so with all; the first says it.
        let mut bare_line_feed = None;
        for (at, octet) in head.iter().copied().enumerate() {
            match octet {
                b'\n' if before != b'\r' => {
                    bare_line_feed.get_or_insert(at);
                }
                b'\r' if head.get(at + 1) != Some(&b'\n') => {
                    self.add(at..at + 1, "CR only as a part of CRLF", "RFC 3261 §7");
                }
                b'\r' | b'\n' | b'\t' => {}
                // A quoted-pair may hold any other control character.
                _ if octet.is_ascii_control() && before != b'\\' => {
                    self.add(at..at + 1, "no control character", GRAMMAR);
                }
                _ => {}
            }
            before = octet;
        }
        if let Some(at) = bare_line_feed {
            self.add(at..at + 1, "CRLF at the end of every line", "RFC 3261 §7");
        }
    }

    fn in_start_line(&mut self) {
        let whole = self.message.start_line_range();
        let octets = self.message.octets();
        let (version, length, spaced) = match self.message.start_line() {
            StartLine::Request {
                method,
                uri,
                version,
            } => (
                version,
                method.len() + uri.len() + version.len() + 2,
                whole.clone(),
            ),
            StartLine::Response {
                version, reason, ..
            } => (
                version,
                version.len() + reason.len() + 5,
                whole.start..whole.end - reason.len(),
            ),
        };
        let trailing = octets[whole.end..]
            .iter()
            .take_while(|o| is_wsp(**o))
            .count();
        if whole.len() != length || octets[spaced].contains(&b'\t') || trailing > 0 {
            let range = whole.start..whole.end + trailing;
            self.add(
                range,
                "one space between the parts of the line, none after it",
                GRAMMAR,
            );
        }
        if version != "SIP/2.0" {
            self.add(whole.clone(), "the version `SIP/2.0`", "RFC 3261 §7.1");
        }
        if let Some(range) = self.message.request_uri_range() {
            match Uri::parse(&octets[range.clone()]) {
                Err(ValueError { offset, expected }) => {
                    self.add(range.start + offset..range.end, expected, GRAMMAR);
                }
                Ok(Uri::Sip(sip)) if sip.headers.is_some() => {
                    self.add(range, "a Request-URI without headers", "RFC 3261 §19.1.1");
                }
                Ok(_) => {}
            }
        }
        if let StartLine::Response { status, reason, .. } = self.message.start_line() {
            if !(100..700).contains(&status) {
                self.add(whole, "a status code from 100 to 699", "RFC 3261 §7.2");
            } else if std::str::from_utf8(reason).is_err() {
                self.add(whole.end - reason.len()..whole.end, "UTF-8", GRAMMAR);
            }
        }
    }

    /// A value of a known type must be one; every other is text.
    fn in_value(&mut self, header: &Header<'_>) {
        if std::str::from_utf8(header.raw_value()).is_err() {
            self.add(header.value_range(), "UTF-8", GRAMMAR);
        }
        match &*header.canonical_name() {
            "Contact" => self.typed::<Contact>(header),
            "Content-Length" => self.typed::<ContentLengthValue>(header),
            "Content-Type" => self.typed::<MediaType>(header),
            "CSeq" => self.typed::<CSeq>(header),
            "Date" => {
                self.typed::<SipDate>(header);
                if SipDate::weekday_is_right(&header.value()) == Ok(false) {
                    let expected = "the day of the week of that date";
                    let range = header.value_range();
                    self.push(range, expected, "RFC 3261 §20.17", Obligation::Should);
                }
            }
            "Expires" => self.typed::<Expires>(header),
            "From" => self.typed::<From>(header),
            "Max-Forwards" => self.typed::<MaxForwards>(header),
            "Min-Expires" => self.typed::<MinExpires>(header),
            "P-Asserted-Identity" => self.typed::<PAssertedIdentity>(header),
            "P-Preferred-Identity" => self.typed::<PPreferredIdentity>(header),
            "Record-Route" => self.typed::<RecordRoute>(header),
            "Reply-To" => self.typed::<ReplyTo>(header),
            "Route" => self.typed::<Route>(header),
            "To" => self.typed::<To>(header),
            "Via" => self.typed::<Via>(header),
            _ => {}
        }
    }

    fn typed<T: TypedHeader>(&mut self, header: &Header<'_>) {
        let (range, raw) = (header.value_range(), header.raw_value());
        // Where a value has folds, an offset into what they make of it says little: its start
        // stands.
        let leading = raw.iter().take_while(|octet| is_lws(**octet)).count();
        let origin = (!raw.contains(&b'\n')).then_some(range.start + leading);
        let value = header.value();
        let pieces = if T::LIST {
            list::split(&value)
        } else {
            vec![(0, &*value)]
        };
        for (start, piece) in pieces {
            if let Err(error) = T::parse_value(piece) {
                let at = origin.map_or(range.start, |origin| origin + start + error.offset);
                self.add(at.min(range.end)..range.end, error.expected, GRAMMAR);
            }
        }
    }

    /// What must be there, and what must be there once.
    fn in_set_of_headers(&mut self) {
        const MANDATORY: [&str; 6] = ["Via", "Max-Forwards", "To", "From", "Call-ID", "CSeq"];
        const SINGLE: [&str; 14] = [
            "Call-ID",
            "Content-Disposition",
            "Content-Length",
            "Content-Type",
            "CSeq",
            "Date",
            "Expires",
            "From",
            "Max-Forwards",
            "MIME-Version",
            "Reply-To",
            "Subject",
            "To",
            "User-Agent",
        ];
        let mut seen = HashSet::new();
        for header in self.message.headers() {
            let name = header.canonical_name().into_owned();
            if SINGLE.contains(&name.as_str()) && seen.contains(&name) {
                let range = header.offset()..header.value_range().end;
                self.add(range, "one field of this name", "RFC 3261 §7.3.1");
            }
            seen.insert(name);
        }
        let after = self.message.start_line_range().end;
        for name in MANDATORY {
            if !seen.contains(name) && (name != "Max-Forwards" || self.message.is_request()) {
                self.add(after..after, missing(name), "RFC 3261 §8.1.1");
            }
        }
    }

    /// Values that are well formed and still cannot be meant.
    fn between_headers(&mut self) {
        let message = self.message;
        if let (Some(header), Some(Ok(cseq))) = (message.header("CSeq"), message.typed::<CSeq>()) {
            if message.method().is_some_and(|method| method != cseq.method) {
                let expected = "the method of the start line";
                self.add(header.value_range(), expected, "RFC 3261 §8.1.1.5");
            }
            if cseq.number >= 1 << 31 {
                let expected = "a sequence number below 2^31";
                self.add(header.value_range(), expected, "RFC 3261 §8.1.1.5");
            }
        }
        if let (Some(header), Some(Ok(from))) = (message.header("From"), message.typed::<From>())
            && from.tag().is_none()
        {
            self.add(header.value_range(), "a tag parameter", "RFC 3261 §8.1.1.3");
        }
        if let (Some(header), Some(Ok(via))) = (message.header("Via"), message.typed::<Via>()) {
            let cookie = |branch: &str| {
                branch.len() > 7 && branch.as_bytes()[..7].eq_ignore_ascii_case(b"z9hG4bK")
            };
            if !via.branch().is_some_and(cookie) {
                let expected = "a branch parameter that begins with z9hG4bK and is unique";
                self.add(header.value_range(), expected, "RFC 3261 §8.1.1.7");
            }
        }
    }

    fn in_body(&mut self) {
        let message = self.message;
        let body = message.body_range();
        let lengths = message.typed_all::<ContentLengthValue>();
        if message.content_length().is_none() && lengths.iter().all(Result::is_ok) {
            // Each is well formed, and they differ.
            let values = message
                .headers_named("Content-Length")
                .map(|header| header.value_range());
            if let Some(last) = values.last() {
                self.add(
                    last,
                    "the number of the Content-Length before",
                    "RFC 3261 §20.14",
                );
            }
        }
        if message.missing_body() > 0 {
            let end = message.octets().len();
            self.add(
                end..end,
                "as many octets as Content-Length says",
                "RFC 3261 §18.3",
            );
        }
        if !message.surplus().is_empty() {
            let range = body.end..message.octets().len();
            self.add(range, "the end, as Content-Length says", "RFC 3261 §18.3");
        }
        if !body.is_empty() && message.header("Content-Type").is_none() {
            self.add(
                body.start..body.start,
                "a Content-Type for the body",
                "RFC 3261 §20.15",
            );
        }
        if let (Some(header), Some(Ok(media))) =
            (message.header("Content-Type"), message.typed::<MediaType>())
            && media.kind.eq_ignore_ascii_case("multipart")
            && media.params.get("boundary").is_none()
        {
            let expected = "a boundary parameter";
            self.add(header.value_range(), expected, "RFC 2046 §5.1.1");
        }
    }

    /// What holds for requests of one method.
    fn in_request(&mut self) {
        let message = self.message;
        let contacts = message.headers_named("Contact").count();
        match message.method() {
            Some("INVITE") if contacts == 0 => {
                self.absent("a Contact header field", "RFC 3261 §8.1.1.8");
            }
            Some("MESSAGE") => self.none_of("Contact", "RFC 3428 §4"),
            _ => {}
        }
    }

    /// What holds for responses with one status, some of them to one method.
    fn in_response(&mut self) {
        let message = self.message;
        let Some(status) = message.status() else {
            return;
        };
        // RFC 3261 §8.2.6.2 leaves only 100 free.
        if status > 100
            && let (Some(header), Some(Ok(to))) = (message.header("To"), message.typed::<To>())
            && to.tag().is_none()
        {
            self.add(header.value_range(), "a tag parameter", "RFC 3261 §8.2.6.2");
        }
        let cseq = message.typed::<CSeq>().and_then(Result::ok);
        let method = cseq.as_ref().map(|cseq| cseq.method.as_str());
        let needs = match (status, method) {
            (200..300, Some("INVITE")) => {
                Some(("Contact", "a Contact header field", "RFC 3261 §12.1.1"))
            }
            (401, _) => Some((
                "WWW-Authenticate",
                "a WWW-Authenticate header field",
                "RFC 3261 §20.44",
            )),
            (405, _) => Some(("Allow", "an Allow header field", "RFC 3261 §8.2.1")),
            (407, _) => Some((
                "Proxy-Authenticate",
                "a Proxy-Authenticate header field",
                "RFC 3261 §20.27",
            )),
            (420, _) => Some((
                "Unsupported",
                "an Unsupported header field",
                "RFC 3261 §8.2.2.3",
            )),
            (423, _) => Some((
                "Min-Expires",
                "a Min-Expires header field",
                "RFC 3261 §10.3",
            )),
            _ => None,
        };
        if let Some((name, expected, clause)) = needs
            && message.header(name).is_none()
        {
            self.absent(expected, clause);
        }
        if (200..300).contains(&status) && method == Some("MESSAGE") {
            self.none_of("Contact", "RFC 3428 §7");
            let body = message.body_range();
            if !body.is_empty() {
                self.add(body, "no body in the response", "RFC 3428 §7");
            }
        }
    }

    /// Something is missing after the start line.
    fn absent(&mut self, expected: &'static str, clause: &'static str) {
        let after = self.message.start_line_range().end;
        self.add(after..after, expected, clause);
    }

    fn none_of(&mut self, name: &str, clause: &'static str) {
        for header in self.message.headers_named(name) {
            let range = header.offset()..header.value_range().end;
            self.list.push(Defect {
                range,
                expected: "no field of this name in this message",
                clause,
                obligation: Obligation::Must,
            });
        }
    }
}

fn missing(name: &str) -> &'static str {
    match name {
        "Via" => "a Via header field",
        "Max-Forwards" => "a Max-Forwards header field",
        "To" => "a To header field",
        "From" => "a From header field",
        "Call-ID" => "a Call-ID header field",
        _ => "a CSeq header field",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nTo: <sip:b@h>\r\nFrom: <sip:a@h>;tag=1\r\nCall-ID: 1\r\n\
        CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";

    /// The text and the clause of each defect.
    fn found(text: &str) -> Vec<(String, &'static str)> {
        let message = Message::parse(text.to_owned()).unwrap();
        let show = |d: Defect| (text[d.range].to_owned(), d.clause);
        message.defects().into_iter().map(show).collect()
    }

    fn one(from: &str, to: &str) -> (String, &'static str) {
        assert!(GOOD.contains(from), "{from}");
        let mut defects = found(&GOOD.replace(from, to));
        assert_eq!(defects.len(), 1, "{from} {to} {defects:?}");
        defects.remove(0)
    }

    #[test]
    fn a_good_message_has_none() {
        assert_eq!(found(GOOD), []);
        assert_eq!(found(&format!("\r\n{GOOD}")), []);
        assert_eq!(
            found(
                "SIP/2.0 100 \r\nv: SIP/2.0/UDP c;branch=z9hG4bK1\r\nt: sip:b@h\r\n\
                f: sip:a@h;tag=1\r\ni: 1\r\nCSeq: 1 MESSAGE\r\n\r\n"
            ),
            []
        );
    }

    #[test]
    fn each_rule_has_its_place_and_clause() {
        let to = |text: &str, clause| (text.to_owned(), clause);
        assert_eq!(one("70\r\n", "70\n"), to("\n", "RFC 3261 §7"));
        assert_eq!(one("Call-ID: 1", "Call-ID: 1\r2"), to("\r", "RFC 3261 §7"));
        assert_eq!(one("Call-ID: 1", "Call-ID: 1\0"), to("\0", GRAMMAR));
        assert_eq!(
            one("MESSAGE sip", "MESSAGE  sip"),
            to("MESSAGE  sip:b@h SIP/2.0", GRAMMAR)
        );
        assert_eq!(
            one("2.0\r\nVia", "2.0 \r\nVia"),
            to("MESSAGE sip:b@h SIP/2.0 ", GRAMMAR)
        );
        assert_eq!(one("h SIP/2.0", "h SIP/7.0").1, "RFC 3261 §7.1");
        assert_eq!(one("h SIP/2.0", "h sip/2.0").1, "RFC 3261 §7.1");
        assert_eq!(one("E sip:b@h", "E <sip:b@h>"), to("<sip:b@h>", GRAMMAR));
        assert_eq!(one("E sip:b@h", "E sip:b@h; lr"), to(" lr", GRAMMAR));
        assert_eq!(
            one("E sip:b@h", "E sip:b@h?a=b"),
            to("sip:b@h?a=b", "RFC 3261 §19.1.1")
        );
        assert_eq!(
            one("c;branch", "c;;branch"),
            to(";branch=z9hG4bK1", GRAMMAR)
        );
        assert_eq!(one("K1", "K1,").1, GRAMMAR);
        assert_eq!(
            one("K1", "K1;a=\r\n \"").0,
            " SIP/2.0/UDP c;branch=z9hG4bK1;a=\r\n \""
        );
        assert_eq!(one("z9hG4bK1", "z9hG4bK").1, "RFC 3261 §8.1.1.7");
        assert_eq!(one(";tag=1", "").1, "RFC 3261 §8.1.1.3");
        assert_eq!(one("To: <sip:b@h>", "To: \"b <sip:b@h>"), to("", GRAMMAR));
        assert_eq!(one("Call-ID: 1\r\n", ""), to("", "RFC 3261 §8.1.1"));
        assert_eq!(
            one("To: ", "t: <sip:c@h>\r\nTo: "),
            to("To: <sip:b@h>", "RFC 3261 §7.3.1")
        );
        assert_eq!(
            one("1 MESSAGE", "1 INVITE"),
            to(" 1 INVITE", "RFC 3261 §8.1.1.5")
        );
        assert_eq!(
            one("1 MESSAGE", "2147483648 MESSAGE").1,
            "RFC 3261 §8.1.1.5"
        );
        assert_eq!(
            one("1 MESSAGE", "4294967296 MESSAGE"),
            to("4294967296 MESSAGE", GRAMMAR)
        );
        assert_eq!(one("70", "256"), to("256", GRAMMAR));
        assert_eq!(one("Content-Length: 2", "l: 3"), to("", "RFC 3261 §18.3"));
        assert_eq!(one("Content-Length: 2", "l: 1"), to("i", "RFC 3261 §18.3"));
        assert_eq!(
            one("Content-Type: text/plain\r\n", ""),
            to("", "RFC 3261 §20.15")
        );
        assert_eq!(
            one(
                "Call-ID: 1",
                "Call-ID: 1\r\nDate: Mon, 01 Jan 1970 00:00:00 GMT"
            )
            .1,
            "RFC 3261 §20.17"
        );
        assert_eq!(one("th: 2", "th: five"), to("five", GRAMMAR));
        let lengths: Vec<_> = found(&GOOD.replace("th: 2", "th: 2\r\nl: 3"))
            .into_iter()
            .map(|(_, c)| c)
            .collect();
        assert_eq!(lengths, ["RFC 3261 §7.3.1", "RFC 3261 §20.14"]);
        let response = found("SIP/2.0 700\r\n\r\n");
        assert_eq!(response[0].1, GRAMMAR);
        assert_eq!(response[1].1, "RFC 3261 §7.2");
    }

    #[test]
    fn octets_that_are_not_utf_8() {
        let mut octets = GOOD.as_bytes().to_vec();
        octets.splice(25..25, *b"Subject: \xff\xfe\r\n");
        let defects = Message::parse(octets).unwrap().defects();
        assert_eq!(defects.len(), 1);
        assert_eq!(
            defects[0].to_string(),
            "octets 33..36: expected UTF-8 (RFC 3261 §25.1)"
        );
    }
}
