//! What is wrong with a frame that was taken all the same.
//!
//! The parser keeps whatever can be framed, because a tester needs the evidence. This module says
//! where such a frame breaks the rules of RFC 4975 and RFC 4976, each with its clause, for reports
//! and for servers that must answer 400. It judges one frame alone: nothing that depends on the
//! session, on other chunks or on local policy.
//!
//! An Expires in a SEND is no defect: the grammar of RFC 4976 §7 has it in every request, though a
//! meaning is given for AUTH alone (§4.6).

use std::collections::HashSet;
use std::ops::Range;

use super::head::{failure_report, seconds, success_report};
use super::{
    ByteRange, Defect, Flag, Frame, Head, Header, Method, Obligation, Path, StartLine, Status, Uri,
    ValueError,
};
use crate::sip::text::is_wsp;
use crate::sip::typed::{MediaType, TypedHeader, ValueResult};

impl Head {
    /// Where the head breaks the rules of its protocol, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        let mut found = Defects::of(self);
        found.in_head();
        found.sorted()
    }
}

impl Frame {
    /// Where the frame breaks the rules of its protocol, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        let mut found = Defects::of(self.head());
        found.in_head();
        found.in_body(self);
        found.in_end(self);
        found.sorted()
    }
}

const GRAMMAR: &str = "RFC 4975 §9";
const REQUESTS: &str = "RFC 4975 §7.1";
const SEND: &str = "RFC 4975 §7.1.1";
const REPORT: &str = "RFC 4975 §7.1.2";
const RESPONSES: &str = "RFC 4975 §7.2";
const RELAY_GRAMMAR: &str = "RFC 4976 §7";
const RELAY_TIMES: &str = "RFC 4976 §4.6";

/// The largest body of a request that is no SEND (RFC 4975 §7.1).
const LARGEST_OTHER_BODY: usize = 10_240;

struct Defects<'h> {
    head: &'h Head,
    list: Vec<Defect>,
}

impl<'h> Defects<'h> {
    fn of(head: &'h Head) -> Self {
        Self {
            head,
            list: Vec::new(),
        }
    }

    fn sorted(mut self) -> Vec<Defect> {
        self.list
            .sort_by_key(|defect| (defect.range.start, defect.range.end));
        self.list
    }

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

    /// Something is missing at that offset.
    fn missing(&mut self, at: usize, expected: &'static str, clause: &'static str) {
        self.add(at..at, expected, clause);
    }

    fn in_head(&mut self) {
        let head = self.head;
        self.in_lines();
        self.in_start_line();
        for header in head.headers() {
            self.in_field(&header);
            self.in_value(&header);
        }
        self.in_set_of_headers();
        self.in_mime_headers();
        match head.method() {
            Some(Method::Send) => self.in_send(),
            Some(Method::Report) => self.in_report(),
            _ => {}
        }
        for name in ["Min-Expires", "Max-Expires"] {
            if let Some(header) = head.header(name)
                && head.status() != Some(423)
            {
                self.add(field(&header), "this field in a 423 only", RELAY_TIMES);
            }
        }
    }

    fn in_lines(&mut self) {
        let octets = self.head.as_bytes();
        let start = self.head.start_line_range().start;
        if start > 0 {
            self.add(0..start, "nothing between two frames", GRAMMAR);
        }
        // Who ends one line with LF does so with all; the first says it.
        let mut before = 0;
        let mut bare_line_feed = None;
        for (at, octet) in octets.iter().copied().enumerate().skip(start) {
            match octet {
                b'\n' if before != b'\r' => {
                    bare_line_feed.get_or_insert(at);
                }
                b'\r' if octets.get(at + 1) != Some(&b'\n') => {
                    self.add(at..at + 1, "CR only as a part of CRLF", GRAMMAR);
                }
                b'\r' | b'\n' | b'\t' => {}
                _ if octet.is_ascii_control() => {
                    self.add(at..at + 1, "no control character", GRAMMAR);
                }
                _ => {}
            }
            before = octet;
        }
        if let Some(at) = bare_line_feed {
            self.add(at..at + 1, "CRLF at the end of every line", GRAMMAR);
        }
    }

    fn in_start_line(&mut self) {
        let head = self.head;
        let line = head.start_line_range();
        let id = head.transaction_id();
        if !is_ident(id.as_bytes()) {
            self.add(head.transaction_id_range(), IDENT, GRAMMAR);
        }
        let spaced = match head.start() {
            StartLine::Request { method } => {
                let name = method.as_str();
                if !name.bytes().all(|octet| octet.is_ascii_uppercase()) {
                    self.add(line.clone(), "a method in capital letters", GRAMMAR);
                }
                format!("MSRP {id} {name}").into_bytes()
            }
            StartLine::Response { status, .. } => {
                if !(200..600).contains(&status) {
                    // Three digits are grammar; what they mean is in the list of §10 and its registry.
                    let expected = "a status code that RFC 4975 or its registry knows";
                    let clause = "RFC 4975 §10";
                    self.push(line.clone(), expected, clause, Obligation::Should);
                }
                let mut spaced = format!("MSRP {id} {status:03}").into_bytes();
                if let Some(range) = head.comment_range() {
                    spaced.push(b' ');
                    spaced.extend_from_slice(&head.as_bytes()[range.clone()]);
                    self.utf_8(range);
                }
                spaced
            }
        };
        if head.as_bytes()[line.clone()] != spaced {
            self.add(
                line,
                "one space between the parts of the start line",
                GRAMMAR,
            );
        }
    }

    /// Name, colon, space, and characters: what holds for every field.
    fn in_field(&mut self, header: &Header<'_>) {
        let name = header.offset()..header.offset() + header.name().len();
        if !header
            .name()
            .starts_with(|first: char| first.is_ascii_alphabetic())
        {
            self.add(name.clone(), "a name that begins with a letter", GRAMMAR);
        }
        let value = header.value_range();
        if name.end + 1 < value.start {
            self.add(
                name.end..value.start,
                "a colon right after the name",
                GRAMMAR,
            );
        }
        if !header.raw_value().starts_with(b" ") {
            self.missing(value.start, "a space after the colon", GRAMMAR);
        }
        self.utf_8(value);
    }

    fn utf_8(&mut self, range: Range<usize>) {
        if let Err(error) = std::str::from_utf8(&self.head.as_bytes()[range.clone()]) {
            self.add(
                range.start + error.valid_up_to()..range.end,
                "UTF-8",
                GRAMMAR,
            );
        }
    }

    /// What holds for the fields that have a grammar of their own.
    fn in_value(&mut self, header: &Header<'_>) {
        let (_, value) = header.trimmed();
        let clause = known_clause(header.name()).unwrap_or(GRAMMAR);
        match header.name().to_ascii_lowercase().as_str() {
            "to-path" | "from-path" | "use-path" => {
                if let Err((error, clause)) = path(value, clause) {
                    self.value::<()>(header, Err(error), clause);
                }
            }
            "message-id" => {
                if !is_ident(value) {
                    self.value::<()>(header, Err(at_front(IDENT)), clause);
                }
            }
            "success-report" => self.value(header, success_report(value), clause),
            "failure-report" => self.value(header, failure_report(value), clause),
            "byte-range" => {
                let range = ByteRange::parse(value);
                self.value(header, range.clone(), clause);
                if range.is_ok_and(|range| !range.is_consistent()) {
                    let expected = "an end that is neither before the start nor beyond the total";
                    self.value::<()>(header, Err(at_front(expected)), SEND);
                }
            }
            "status" => self.value(header, Status::parse(value), clause),
            "expires" | "min-expires" | "max-expires" => {
                self.value(header, seconds(value), clause);
            }
            "content-type" => self.value(header, MediaType::parse_value(value), clause),
            _ => return,
        }
        let trimmed = header.value().len() - value.len();
        if trimmed > 0 && header.raw_value().starts_with(b" ") {
            let expected = "one space before the value and none after it";
            self.add(header.value_range(), expected, clause);
        }
    }

    fn value<T>(&mut self, header: &Header<'_>, read: ValueResult<T>, clause: &'static str) {
        if let Err(error) = read {
            let (start, value) = header.trimmed();
            let end = start + value.len();
            self.add((start + error.offset).min(end)..end, error.expected, clause);
        }
    }

    /// The two paths, and what may be there once.
    fn in_set_of_headers(&mut self) {
        let head = self.head;
        let after = head.start_line_range().end;
        for (place, name, absent, misplaced) in [
            (
                0,
                "To-Path",
                "a To-Path header field",
                "To-Path as the first field",
            ),
            (
                1,
                "From-Path",
                "a From-Path header field",
                "From-Path as the second field, after To-Path",
            ),
        ] {
            match head.headers().position(|header| header.is(name)) {
                None => self.missing(after, absent, GRAMMAR),
                Some(at) if at == place => {}
                Some(at) => {
                    if let Some(header) = head.headers().nth(at) {
                        self.add(field(&header), misplaced, GRAMMAR);
                    }
                }
            }
        }
        let mut seen = HashSet::new();
        for header in head.headers() {
            let name = header.name().to_ascii_lowercase();
            if let Some(clause) = known_clause(&name)
                && !seen.insert(name)
            {
                self.add(field(&header), "one field of this name", clause);
            }
        }
    }

    fn in_mime_headers(&mut self) {
        let head = self.head;
        let is_mime = |header: &Header<'_>| {
            let name = header.name().as_bytes();
            name.len() > 8 && name[..8].eq_ignore_ascii_case(b"Content-")
        };
        let is_response = head.status().is_some();
        if head.has_body() {
            if is_response {
                let end = head.fields_end();
                self.add(
                    end..head.as_bytes().len(),
                    "no body in a response",
                    RESPONSES,
                );
            } else if head.header("Content-Type").is_none() {
                let at = head.fields_end();
                self.missing(at, "a Content-Type for the body", REQUESTS);
            }
            let last = head.headers().last();
            if let (Some(header), Some(last)) = (head.header("Content-Type"), last)
                && !last.is("Content-Type")
            {
                self.add(field(&header), "Content-Type as the last field", REQUESTS);
            }
        } else {
            let clause = if is_response { RESPONSES } else { REQUESTS };
            for header in head.headers().filter(is_mime) {
                self.add(
                    field(&header),
                    "no MIME header field without a body",
                    clause,
                );
            }
        }
        for header in head.headers_named("Content-Transfer-Encoding") {
            self.add(field(&header), "no transfer encoding", SEND);
        }
    }

    fn in_send(&mut self) {
        let head = self.head;
        if head.has_body() && head.header("Message-ID").is_none() {
            let after = head.start_line_range().end;
            self.missing(after, "a Message-ID header field", SEND);
        }
        if head.has_body() && head.header("Byte-Range").is_none() {
            // A chunk after the first must have one; which it is, one frame alone does not tell.
            let after = head.start_line_range().end;
            let expected = "a Byte-Range header field";
            self.push(after..after, expected, SEND, Obligation::Should);
        }
    }

    fn in_report(&mut self) {
        let head = self.head;
        let after = head.start_line_range().end;
        if head.header("Message-ID").is_none() {
            self.missing(after, "a Message-ID header field", REPORT);
        }
        if head.header("Status").is_none() {
            self.missing(after, "a Status header field", REPORT);
        }
        for name in ["Success-Report", "Failure-Report"] {
            if let Some(header) = head.header(name) {
                self.add(field(&header), "no wish for reports in a REPORT", REPORT);
            }
        }
    }

    fn in_body(&mut self, frame: &Frame) {
        let Some(body) = frame.body_range() else {
            return;
        };
        let octets = frame.as_bytes();
        let before_line = &octets[body.end..frame.end_line_range().start];
        if before_line != b"\r\n" {
            let range = body.end..frame.end_line_range().start;
            self.add(range, "CRLF between the body and the end line", REQUESTS);
        }
        let id = frame.transaction_id();
        for flag in [Flag::Complete, Flag::More, Flag::Abort] {
            let line = format!("-------{id}{flag}");
            if let Some(at) = memchr::memmem::find(&octets[body.clone()], line.as_bytes()) {
                let start = body.start + at;
                let expected = "a body without the end line of the frame";
                self.add(start..start + line.len(), expected, REQUESTS);
            }
        }
        match frame.method() {
            Some(Method::Send) => self.length_of_chunk(frame, body.len()),
            Some(_) if body.len() > LARGEST_OTHER_BODY => {
                let range = body.start + LARGEST_OTHER_BODY..body.end;
                self.add(range, "no more than 10240 octets of body", REQUESTS);
            }
            _ => {}
        }
    }

    /// What Byte-Range says beside what came.
    fn length_of_chunk(&mut self, frame: &Frame, length: usize) {
        let (Some(header), Some(Ok(range))) = (frame.header("Byte-Range"), frame.byte_range())
        else {
            return;
        };
        let place = header.value_range();
        let length = length as u64;
        if length > super::chunker::INTERRUPTIBLE_ABOVE && range.end.is_some() {
            let expected = "`*` as the end of a chunk of more than 2048 octets";
            self.add(place.clone(), expected, SEND);
        }
        if length == 0 && range.start != 1 {
            let expected = "a start of 1 where there are no octets";
            self.add(place.clone(), expected, SEND);
        }
        if range.is_consistent() && range.length().is_some_and(|claimed| claimed != length) {
            let expected = "the position of the last octet of the body as end";
            self.add(place.clone(), expected, SEND);
        }
        let end = range.offset().checked_add(length);
        let empty = length == 0 && range.end == Some(0);
        if frame.flag() == Flag::Complete && !empty && range.total.is_some_and(|t| end != Some(t)) {
            let expected = "the position of the last octet as total, as the flag `$` says";
            self.add(place, expected, "RFC 4975 §7.3.1");
        }
    }

    fn in_end(&mut self, frame: &Frame) {
        let line = frame.end_line_range();
        if !frame.as_bytes()[line.clone()].ends_with(b"\r\n") {
            let line_feed = line.end - 1..line.end;
            self.add(line_feed, "CRLF after the end line", GRAMMAR);
        }
        // Only SEND can be interrupted.
        let clause = match frame.method() {
            Some(Method::Send) => return,
            Some(Method::Report) => REPORT,
            Some(_) => REQUESTS,
            None => RESPONSES,
        };
        if frame.flag() != Flag::Complete {
            self.add(line, "the flag `$`", clause);
        }
    }
}

/// The range of a whole field.
fn field(header: &Header<'_>) -> Range<usize> {
    header.offset()..header.value_range().end
}

const IDENT: &str = "4 to 32 letters, digits and `.-+%=`, the first a letter or a digit";

/// `ident`
fn is_ident(octets: &[u8]) -> bool {
    let is_ident_char = |octet: &u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'+' | b'%' | b'=')
    };
    (4..=32).contains(&octets.len())
        && octets[0].is_ascii_alphanumeric()
        && octets.iter().all(is_ident_char)
}

/// URIs that keep to the rules, with one space between them; else what breaks which clause.
fn path(value: &[u8], clause: &'static str) -> Result<(), (ValueError, &'static str)> {
    Path::parse(value).map_err(|error| (error, clause))?;
    let mut at = 0;
    for piece in value.split(|octet| is_wsp(*octet)) {
        if piece.is_empty() {
            let expected = "one space between two URIs";
            let error = at_front(expected).shifted(at);
            return Err((error, clause));
        }
        let strict = Uri::parse(piece).map_err(|error| (error, clause));
        strict
            .and_then(|uri| uri.keeps_clauses())
            .map_err(|(error, clause)| (error.shifted(at), clause))?;
        at += piece.len() + 1;
    }
    Ok(())
}

fn at_front(expected: &'static str) -> ValueError {
    ValueError {
        offset: 0,
        expected,
    }
}

/// The clause of the grammar of a field that may be there once.
fn known_clause(name: &str) -> Option<&'static str> {
    const BASE: [&str; 9] = [
        "To-Path",
        "From-Path",
        "Message-ID",
        "Success-Report",
        "Failure-Report",
        "Byte-Range",
        "Status",
        "Content-Type",
        "Content-Disposition",
    ];
    const RELAY: [&str; 7] = [
        "Expires",
        "Min-Expires",
        "Max-Expires",
        "Use-Path",
        "WWW-Authenticate",
        "Authorization",
        "Authentication-Info",
    ];
    let among = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if among(&BASE) {
        Some(GRAMMAR)
    } else if among(&RELAY) {
        Some(RELAY_GRAMMAR)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Limits;
    use super::*;

    const PATHS: &str =
        "To-Path: msrp://b.example:2/t;tcp\r\nFrom-Path: msrp://a.example:1/f;tcp\r\n";

    fn send() -> String {
        format!(
            "MSRP tid1 SEND\r\n{PATHS}Message-ID: mid1\r\nByte-Range: 1-2/2\r\n\
            Content-Type: text/plain\r\n\r\nhi\r\n-------tid1$\r\n"
        )
    }

    fn report() -> String {
        format!(
            "MSRP tid1 REPORT\r\n{PATHS}Message-ID: mid1\r\nStatus: 000 200 OK\r\n-------tid1$\r\n"
        )
    }

    fn response() -> String {
        format!("MSRP tid1 200 OK\r\n{PATHS}-------tid1$\r\n")
    }

    fn defects(octets: impl Into<bytes::Bytes>) -> Vec<Defect> {
        Frame::parse(octets, &Limits::default()).unwrap().defects()
    }

    #[test]
    fn good_frames_have_none() {
        let bodiless = format!("MSRP tid1 SEND\r\n{PATHS}-------tid1$\r\n");
        let auth = format!(
            "MSRP tid1 423 Interval out of bounds\r\n{PATHS}Min-Expires: 60\r\n\
            Max-Expires: 3600\r\n-------tid1$\r\n"
        );
        let other = format!("MSRP tid1 NICKNAME\r\n{PATHS}X-Odd:  a \r\n-------tid1$\r\n");
        let all = [send(), report(), response(), bodiless, auth, other];
        for octets in all {
            assert_eq!(defects(octets.clone()), [], "{octets}");
        }
        let edits = [
            ("tid1 SEND\r\n", "tid1 SEND\r\n"),
            ("1-2/2", "1-*/*"),
            ("tid1$", "tid1+"),
            ("tid1$", "tid1#"),
            ("hi\r\n", "hi\r\n-------tid2$\r\n-------tid1\r\n"),
            ("Content-Type", "Expires: 600\r\nContent-Type"),
            (
                "Content-Type",
                "Content-Disposition: inline\r\nContent-Type",
            ),
        ];
        for (from, to) in edits {
            let octets = send().replace("1-2/2", if to.len() > 20 { "1-*/*" } else { "1-2/2" });
            assert_eq!(defects(octets.replace(from, to)), [], "{to}");
        }
        let empty = send().replace("1-2/2", "1-0/0").replace("hi\r\n", "\r\n");
        assert_eq!(defects(empty), []);
    }

    /// What is changed in a good frame, and what is told of it.
    fn shown(name: &str, frame: &str, edits: &[(&str, &str)]) -> String {
        let short = |text: &str| {
            if text.len() > 80 {
                "(long)".into()
            } else {
                format!("{text:?}")
            }
        };
        let mut lines = Vec::new();
        for (from, to) in edits {
            assert!(frame.contains(from), "{from}");
            let octets = frame.replacen(from, to, 1);
            let found = defects(octets.clone());
            assert!(!found.is_empty(), "{from} {to}");
            lines.push(format!("{name}: {} as {}", short(from), short(to)));
            lines.extend(found.into_iter().map(|defect| {
                let place = short(&octets[defect.range.clone()]);
                format!("    {defect}, found {place}")
            }));
        }
        lines.join("\n")
    }

    #[test]
    fn each_rule_for_sends_has_its_place_and_clause() {
        let long = format!("\r\n\r\n{}\r\n--", "x".repeat(2049));
        let edits = [
            ("MSRP", "\r\nMSRP"),
            ("SEND\r\n", "SEND\n"),
            ("mid1\r\n", "mid1\r\nX: a\rb\r\n"),
            ("mid1\r\n", "mid1\r\nX: a\0b\r\n"),
            ("MSRP tid1", "MSRP  tid1"),
            ("SEND", "SEND "),
            ("SEND", "Send"),
            ("To-Path: ", "To-Path:"),
            ("To-Path: ", "To-Path : "),
            ("To-Path: ", "To-Path:  "),
            ("Message-ID", "1-X: y\r\nMessage-ID"),
            (
                PATHS,
                "From-Path: msrp://a:1/f;tcp\r\nTo-Path: msrp://b:1/t;tcp\r\n",
            ),
            (PATHS, "To-Path: msrp://b:1/t;tcp\r\n"),
            (PATHS, "From-Path: msrp://b:1/t;tcp\r\n"),
            ("To-Path", "X: y\r\nTo-Path"),
            ("Message-ID", "From-Path: msrp://c:1/d;tcp\r\nMessage-ID"),
            ("t;tcp", "t"),
            ("t;tcp", "t;tcp  msrp://c:1/d;tcp"),
            ("b.example:2", "127.0.0.1"),
            ("msrp://b", "http://b"),
            ("mid1", "mid"),
            ("mid1", "m/id1"),
            ("Message-ID: mid1\r\n", ""),
            ("mid1\r\n", "mid1\r\nSuccess-Report: maybe\r\n"),
            ("mid1\r\n", "mid1\r\nFailure-Report: never\r\n"),
            ("mid1\r\n", "mid1\r\nExpires: soon\r\n"),
            ("mid1\r\n", "mid1\r\nMin-Expires: 1\r\n"),
            ("1-2/2", "0-2/2"),
            ("1-2/2", "9-2/1"),
            ("1-2/2", "1-3/*"),
            ("1-2/2", "1-2/3"),
            ("1-2/2", "1-2"),
            ("\r\n\r\nhi\r\n--", &long),
            (
                "1-2/2\r\nContent-Type: text/plain\r\n\r\nhi",
                "2-1/1\r\nContent-Type: a/b\r\n\r\n",
            ),
            ("Content-Type: text/plain\r\n", ""),
            ("text/plain", "text"),
            ("text/plain\r\n", "text/plain\r\nX: y\r\n"),
            (
                "Content-Type",
                "Content-Transfer-Encoding: base64\r\nContent-Type",
            ),
            ("\r\n\r\nhi\r\n-------", "\r\n-------"),
            ("\r\nhi\r\n", "\r\nhi\n"),
            (
                "1-2/2\r\nContent-Type: text/plain\r\n\r\nhi",
                "1-*/*\r\nContent-Type: a/b\r\n\r\nx-------tid1+",
            ),
            ("tid1$\r\n", "tid1$\n"),
        ];
        insta::assert_snapshot!(shown("SEND", &send(), &edits));
    }

    #[test]
    fn each_other_rule_has_its_place_and_clause() {
        let longer = format!(
            "Content-Type: a/b\r\n\r\n{}\r\n-------tid1$",
            "x".repeat(10_241)
        );
        let in_reports = [
            ("Message-ID: mid1\r\n", ""),
            ("Status: 000 200 OK\r\n", ""),
            ("000 200", "200"),
            (
                "Status",
                "Success-Report: no\r\nFailure-Report: no\r\nStatus",
            ),
            ("tid1$", "tid1+"),
            ("-------tid1$", &longer),
        ];
        let in_responses = [
            ("200 OK", "200  OK\u{1}"),
            ("-------", "Content-Type: a/b\r\n-------"),
            ("-------", "\r\n-------"),
            ("tid1$", "tid1#"),
        ];
        let id = |id: &str| shown("id", &response().replace("tid1", id), &[(id, id)]);
        let auth = response().replace("200 OK", "AUTH");
        let all = [
            shown("REPORT", &report(), &in_reports),
            shown("200", &response(), &in_responses),
            id("tid"),
            id(&"x".repeat(33)),
            id("-id1"),
            shown("AUTH", &auth, &[("tid1$", "tid1#")]),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn octets_that_are_not_utf_8() {
        let mut octets = response().into_bytes();
        octets[14] = 0xff;
        let found = defects(octets);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "octets 14..16: expected UTF-8 (RFC 4975 §9)"
        );
    }

    #[test]
    fn a_head_alone_is_judged_alone() {
        let frame = Frame::parse(send().replace("1-2/2", "1-9/9"), &Limits::default()).unwrap();
        assert_eq!(frame.head().defects(), []);
        assert_eq!(frame.defects().len(), 2);
    }
}
