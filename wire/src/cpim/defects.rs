//! What is wrong with a message that was taken all the same.

use std::ops::Range;

use super::CORE_NAMESPACE;
use super::date_time::DateTime;
use super::header::Header;
use super::index::declaration;
use super::message::Message;
use super::text::is_header_name;
use super::typed::Address;
use crate::sip::typed::{MediaType, TypedHeader};

pub use crate::sip::{Defect, Obligation};

impl Message {
    /// Where the message breaks the rules of RFC 3862, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        let mut found = Defects {
            message: self,
            list: Vec::new(),
        };
        found.in_lines();
        for header in self.headers() {
            found.in_header(header);
            found.in_value(header);
        }
        found.in_content();
        found.sorted()
    }

    /// Where it breaks what RFC 4975 §13 asks of such a message in an MSRP session besides, in the
    /// order of the octets: a sender and a recipient, and no second header of most names.
    pub fn defects_in_msrp(&self) -> Vec<Defect> {
        const CLAUSE: &str = "RFC 4975 §13";
        let mut found = Defects {
            message: self,
            list: Vec::new(),
        };
        let end = self.index.fields.last().map_or(0, |last| last.range.end);
        for (name, expected) in [("From", "a `From` header"), ("To", "a `To` header")] {
            if self.header(name).is_none() {
                found.add(end..end, expected, CLAUSE);
            }
        }
        for name in ["From", "DateTime", "Subject", "Require"] {
            for header in self.headers_in(CORE_NAMESPACE, name).skip(1) {
                found.add(of(header), "one header of this name", CLAUSE);
            }
        }
        found.sorted()
    }
}

const FORMAT: &str = "RFC 3862 §2.2";

/// The core headers, to notice other spellings.
const CORE: [&str; 7] = ["From", "To", "cc", "DateTime", "Subject", "NS", "Require"];

struct Defects<'m> {
    message: &'m Message,
    list: Vec<Defect>,
}

impl Defects<'_> {
    fn add(&mut self, range: Range<usize>, expected: &'static str, clause: &'static str) {
        self.list.push(Defect {
            range,
            expected,
            clause,
            obligation: Obligation::Must,
        });
    }

    fn sorted(mut self) -> Vec<Defect> {
        self.list
            .sort_by_key(|defect| (defect.range.start, defect.range.end));
        self.list
    }

    /// Line ends and characters of the message headers, and empty lines among them.
    fn in_lines(&mut self) {
        let message = self.message;
        let head = &message.as_bytes()[..message.index.content];
        let mut before = 0;
        // Who ends one line with LF does so with all; the first says it.
        let mut bare_line_feed = None;
        for (at, octet) in head.iter().copied().enumerate() {
            match octet {
                b'\n' if before != b'\r' => {
                    bare_line_feed.get_or_insert(at);
                }
                b'\r' if head.get(at + 1) != Some(&b'\n') => {
                    self.add(at..at + 1, "CR only as a part of CRLF", FORMAT);
                }
                b'\r' | b'\n' => {}
                _ if octet.is_ascii_control() => {
                    self.add(at..at + 1, "an escape for a control character", FORMAT);
                }
                _ => {}
            }
            before = octet;
        }
        if let Some(at) = bare_line_feed {
            self.add(at..at + 1, "CRLF at the end of every line", FORMAT);
        }
        for stray in &message.index.stray {
            let expected = "no empty line between the headers, one after them";
            self.add(stray.clone(), expected, "RFC 3862 §2");
        }
    }

    /// What any header must look like.
    fn in_header(&mut self, header: Header<'_>) {
        let name = header.offset()..header.offset() + header.name().len();
        if !is_header_name(header.name().as_bytes()) {
            let expected = "a name of letters, digits and some marks, one prefix before it";
            self.add(name.clone(), expected, "RFC 3862 §3.6");
        } else if header.namespace().is_none() {
            let expected = "an `NS` header that declares the prefix before its use";
            self.add(name.clone(), expected, "RFC 3862 §3.4");
        }
        let core = header.namespace() == Some(CORE_NAMESPACE);
        let local = header.local_name();
        if core && !CORE.contains(&local) && CORE.iter().any(|it| it.eq_ignore_ascii_case(local)) {
            self.add(name, "the name in its own case", FORMAT);
        }
        let value = header.value_range();
        let raw = header.raw_value();
        let after_name = header.offset() + header.name().len() + 1 + header.raw_params().len();
        if value.start == after_name {
            self.add(after_name..after_name, "one space before the value", FORMAT);
        }
        let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
        let leading = raw.iter().take_while(|octet| blank(octet)).count();
        if leading > 0 {
            let range = value.start..value.start + leading;
            self.add(range, "one space before the value", FORMAT);
        }
        let trailing = raw.iter().rev().take_while(|octet| blank(octet)).count();
        if trailing > 0 && trailing < raw.len() {
            let range = value.end - trailing..value.end;
            self.add(range, "no white space at the end of a line", FORMAT);
        }
        if let Some(fold) = memchr::memchr(b'\n', raw) {
            let range = value.start + fold + 1..value.end;
            self.add(range, "the whole header in one line", FORMAT);
        }
        if std::str::from_utf8(header.line()).is_err() {
            self.add(of(header), "UTF-8", FORMAT);
        }
    }

    /// A value of a header that RFC 3862 defines must be one.
    fn in_value(&mut self, header: Header<'_>) {
        if header.namespace() != Some(CORE_NAMESPACE) {
            return;
        }
        let text = header.text();
        let raw = header.raw_value();
        let leading = raw.len() - raw.trim_ascii_start().len();
        let mut judge = |error: Option<super::ValueError>, clause| {
            if let Some(error) = error {
                let range = header.value_range();
                let at = (range.start + leading + error.offset).min(range.end);
                self.add(at..range.end, error.expected, clause);
            }
        };
        match header.local_name() {
            "From" => judge(Address::parse(&text).err(), "RFC 3862 §4.1"),
            "To" => judge(Address::parse(&text).err(), "RFC 3862 §4.2"),
            "cc" => judge(Address::parse(&text).err(), "RFC 3862 §4.3"),
            "DateTime" => judge(DateTime::parse(&text).err(), "RFC 3862 §4.4"),
            "NS" if declaration(raw).is_none() => {
                let expected = "`prefix <URI>` or `<URI>`";
                self.add(header.value_range(), expected, "RFC 3862 §4.6");
            }
            "Require" if !text.split(',').all(is_required) => {
                let expected = "names of headers with commas between them";
                self.add(header.value_range(), expected, "RFC 3862 §4.7");
            }
            _ => {}
        }
    }

    fn in_content(&mut self) {
        const CLAUSE: &str = "RFC 3862 §2.4";
        let message = self.message;
        let (content, body) = (message.index.content, message.index.body);
        match message.index.ends {
            (false, _) => {
                let expected = "an empty line and a MIME part";
                self.add(content..content, expected, "RFC 3862 §2");
                return;
            }
            (true, false) if !message.index.content_fields.is_empty() => {
                let expected = "an empty line after the MIME headers";
                self.add(body..body, expected, CLAUSE);
            }
            (true, _) => {}
        }
        match message.content_header("Content-Type") {
            None => self.add(content..content, "a Content-Type of the content", CLAUSE),
            Some(header) => {
                if let Err(error) = MediaType::parse_value(&header.value()) {
                    self.add(header.value_range(), error.expected, CLAUSE);
                }
            }
        }
    }
}

fn is_required(name: &str) -> bool {
    is_header_name(name.trim().as_bytes())
}

fn of(header: Header<'_>) -> Range<usize> {
    header.offset()..header.offset() + header.line().len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = "From: Ann <sip:ann@example.org>\r\nTo: <sip:bob@example.org>\r\n\
        DateTime: 2026-11-23T09:00:00Z\r\nSubject:;lang=en rain\r\n\
        NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk\r\n\
        Require: imdn.Message-ID\r\n\r\nContent-Type: text/plain\r\n\r\nhi";

    fn of(text: &str) -> Vec<Defect> {
        Message::parse(text.to_owned()).unwrap().defects()
    }

    #[test]
    fn a_good_message_has_none() {
        assert_eq!(of(GOOD), []);
        assert_eq!(Message::parse(GOOD).unwrap().defects_in_msrp(), []);
        // Neither the content nor unknown headers are judged.
        assert_eq!(of(&GOOD.replace("hi", "\0\n\n\u{7f}")), []);
        assert_eq!(of(&GOOD.replace("Subject:;lang=en", "X!y:")), []);
        // Any prefix will do.
        assert_eq!(of(&GOOD.replace("imdn.", "z.").replace("imdn <", "z<")), []);
    }

    #[test]
    fn each_rule_has_its_place_and_clause() {
        let mut shown = Vec::new();
        for (from, to) in [
            ("\r\nTo", "\nTo"),
            ("34jk", "34\rjk"),
            ("34jk", "34\tjk"),
            ("34jk", "34\u{7f}jk"),
            ("\r\nTo", "\r\n\r\nTo"),
            ("\r\n\r\nC", "\r\n\r\n\r\nC"),
            ("rain", "rain\r\n again"),
            ("To: ", "To:"),
            ("To: ", "To:  "),
            ("en rain", "en"),
            (".org>\r\nTo", ".org> \r\nTo"),
            ("From:", "From :"),
            ("From:", "FROM:"),
            ("imdn.M", "imdn.a.M"),
            ("imdn.M", "other.M"),
            ("imdn <urn:ietf:params:imdn>", "imdn urn:ietf:params:imdn"),
            ("<sip:ann@example.org>", "sip:ann@example.org"),
            ("<sip:bob@", "<bob@"),
            ("To: ", "cc: <x>\r\nTo: "),
            ("2026-11-23T09:00:00Z", "Mon, 23 Nov 2026 09:00:00 GMT"),
            ("Require: imdn.Message-ID", "Require: a,,b"),
            ("Content-Type: text/plain\r\n", "Content-ID: <1@h>\r\n"),
            ("Content-Type: text/plain\r\n", ""),
            ("text/plain", "text"),
            ("\r\n\r\nhi", ""),
            ("\r\n\r\nContent-Type: text/plain\r\n\r\nhi", ""),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let text = GOOD.replacen(from, to, 1);
            shown.push(format!(
                "{} => {}\n",
                from.escape_debug(),
                to.escape_debug()
            ));
            for defect in of(&text) {
                let octets = text[defect.range.clone()].escape_debug();
                shown.push(format!("    {defect}: `{octets}`\n"));
            }
        }
        insta::assert_snapshot!(shown.concat());
    }

    #[test]
    fn octets_that_are_not_utf_8() {
        let found = Message::parse(&b"X: \xff\r\n\r\nContent-Type: a/b\r\n\r\n\xff"[..])
            .unwrap()
            .defects();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].range.clone(), found[0].expected), (0..4, "UTF-8"));
    }

    #[test]
    fn msrp_asks_for_more() {
        let message = Message::parse(
            "DateTime: 2026-11-23T09:00:00Z\r\nTo: <a:b>\r\nTo: <c:d>\r\ncc: <a:b>\r\n\
             cc: <c:d>\r\nSubject: a\r\nSubject:;lang=fr b\r\n\r\nContent-Type: a/b\r\n\r\n",
        )
        .unwrap();
        assert_eq!(message.defects(), []);
        let shown: Vec<_> = message
            .defects_in_msrp()
            .iter()
            .map(ToString::to_string)
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
