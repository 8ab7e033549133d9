//! What is wrong with a description that was taken all the same.
//!
//! It judges one description alone, as one of message sessions: whether it goes with the one it
//! answers, or with the one before it, depends on that one ([`super::setup`], [`super::cema`],
//! [`Description::revision_of`]).

use std::ops::Range;

use super::address::AddressMatch;
use super::description::Description;
use super::lines::{Line, LineEnd};
use super::media::{Attribute, Media};
use super::message::{DISCARD, MessageMedia, direction, max_size, setup};
use super::setup::Setup;
use crate::msrp::Uri;

pub use crate::sip::{Defect, Obligation};

impl Description {
    /// Where this description breaks the rules for descriptions of message sessions, in the order
    /// of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        let mut found = Defects {
            description: self,
            list: Vec::new(),
        };
        found.in_lines();
        found.in_order();
        found.in_session();
        for media in self.media() {
            found.in_media(&media);
        }
        let mut list = found.list;
        list.sort_by_key(|defect| (defect.range.start, defect.range.end));
        list
    }
}

/// The letters of the session part in their order; `t=`, `r=` and `z=` are one group.
pub(super) const SESSION_ORDER: [&[u8]; 12] = [
    b"v", b"o", b"s", b"i", b"u", b"e", b"p", b"c", b"b", b"trz", b"k", b"a",
];

/// The letters of a media section in their order.
const MEDIA_ORDER: [&[u8]; 6] = [b"m", b"i", b"c", b"b", b"k", b"a"];

struct Defects<'d> {
    description: &'d Description,
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

    /// Line ends and empty lines.
    fn in_lines(&mut self) {
        // Who ends one line with LF does so with all; the first says it.
        let mut bare_line_feed = None;
        for line in self.description.lines() {
            let end = line.range().end;
            match line.line_end() {
                LineEnd::CrLf => {}
                LineEnd::Lf => {
                    bare_line_feed.get_or_insert(end..end + 1);
                }
                LineEnd::Missing => {
                    self.add(end..end, "CRLF at the end of every line", "RFC 8866 §9");
                }
            }
            if line.text().is_empty() {
                self.add(line.range(), "no empty line", "RFC 8866 §9");
            }
        }
        if let Some(range) = bare_line_feed {
            self.add(range, "CRLF at the end of every line", "RFC 8866 §9");
        }
    }

    /// Letters that stand where they should not.
    fn in_order(&mut self) {
        let description = self.description;
        let session = description.session_range().end;
        let lines = description.lines();
        self.order_of(
            lines.take_while(|line| line.offset() < session),
            &SESSION_ORDER,
        );
        for media in description.media() {
            self.order_of(media.lines(), &MEDIA_ORDER);
        }
    }

    fn order_of<'l>(&mut self, lines: impl Iterator<Item = Line<'l>>, order: &[&[u8]]) {
        let mut reached = 0;
        for line in lines {
            let Some(kind) = line.kind() else { continue };
            let rank = order.iter().position(|group| group.contains(&kind));
            match rank {
                None => self.add(line.range(), "a letter that belongs here", "RFC 8866 §5"),
                Some(rank) if rank < reached => {
                    self.add(
                        line.range(),
                        "this line before the ones above it",
                        "RFC 8866 §5",
                    );
                }
                Some(rank) => reached = rank,
            }
        }
    }

    fn in_session(&mut self) {
        const MANDATORY: [(u8, &str, &str); 3] = [
            (b'o', "an `o=` line", "RFC 8866 §5.2"),
            (b's', "an `s=` line", "RFC 8866 §5.3"),
            (b't', "a `t=` line", "RFC 8866 §5.9"),
        ];
        let description = self.description;
        let end = description.session_range().end;
        for (kind, expected, clause) in MANDATORY {
            if description.session_line(kind).is_none() {
                self.add(end..end, expected, clause);
            }
        }
        // The other lines that must be single cannot be read when they are not.
        let lines = description.lines();
        for line in lines
            .take_while(|line| line.offset() < end)
            .filter(|line| line.kind() == Some(b'v'))
            .skip(1)
        {
            self.add(line.range(), "one `v=` line", "RFC 8866 §5.1");
        }
        if let Some(line) = description.session_line(b's')
            && line.value().is_empty()
        {
            let expected = "a session name, `-` where there is none";
            self.add(line.range(), expected, "RFC 8866 §5.3");
        }
        for kind in *b"oct" {
            if let Some(line) = description.session_line(kind) {
                self.single_spaces(line);
            }
        }
        if let (Some(line), Some(origin)) = (description.session_line(b'o'), description.origin()) {
            let numeric = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
            if !numeric(&origin.session_id) {
                let expected = "a session id of digits";
                self.add(line.range(), expected, "RFC 8866 §5.2");
            }
            let signed = |text: &str| text.parse::<i64>().is_ok();
            if numeric(&origin.session_id) && !signed(&origin.session_id)
                || i64::try_from(origin.version).is_err()
            {
                let expected = "a session id and a version below 2^63";
                self.add(line.range(), expected, "RFC 3264 §5");
            }
        }
        self.at_most_once(
            description
                .attributes()
                .filter(|it| direction(*it).is_some()),
            "one direction",
            "RFC 8866 §6.7",
        );
    }

    fn single_spaces(&mut self, line: Line<'_>) {
        let value = line.value();
        let doubled = value.windows(2).any(|pair| pair == b"  ");
        if doubled || value.starts_with(b" ") || value.ends_with(b" ") {
            let expected = "one space between two fields, none at either end";
            self.add(line.range(), expected, "RFC 8866 §9");
        }
    }

    fn at_most_once<'a>(
        &mut self,
        attributes: impl Iterator<Item = Attribute<'a>>,
        expected: &'static str,
        clause: &'static str,
    ) {
        for attribute in attributes.skip(1) {
            self.add(attribute.range(), expected, clause);
        }
    }

    fn in_media(&mut self, media: &Media<'_>) {
        for line in media
            .lines()
            .filter(|line| matches!(line.kind(), Some(b'm' | b'c')))
        {
            self.single_spaces(line);
        }
        if media.port() != 0 && media.connection().is_none() {
            let end = media.range().end;
            self.add(end..end, "a `c=` line here or above", "RFC 8866 §5.7");
        }
        let directions = media.attributes().filter(|it| direction(*it).is_some());
        self.at_most_once(directions, "one direction", "RFC 8866 §6.7");
        // What a refused section says besides is nobody's business.
        if media.port() == 0 {
            return;
        }
        match media.message() {
            Some(Ok(message)) => self.in_message(media, &message),
            Some(Err(error)) => {
                let end = media
                    .attributes()
                    .map(|it| it.range())
                    .find(|range| range.end >= error.offset)
                    .map_or(error.offset, |range| range.end);
                self.add(error.offset..end, error.expected, "RFC 4975 §8");
            }
            None => {}
        }
    }

    fn in_message(&mut self, media: &Media<'_>, message: &MessageMedia) {
        const ONCE: [(&str, &str); 4] = [
            ("path", "RFC 4975 §8"),
            ("accept-types", "RFC 4975 §8.6"),
            ("accept-wrapped-types", "RFC 4975 §8.6"),
            ("max-size", "RFC 4975 §8.6"),
        ];
        let end = media.range().end;
        let line = media
            .lines()
            .next()
            .map_or(media.range(), |line| line.range());
        if media.formats() != "*" {
            self.add(line.clone(), "`*` as the only format", "RFC 4975 §8.1");
        }
        if message.path.is_none() {
            self.add(end..end, "an `a=path` attribute", "RFC 4975 §8.2");
        }
        if message.accept_types.is_none() {
            self.add(end..end, "an `a=accept-types` attribute", "RFC 4975 §8.6");
        }
        for (name, clause) in ONCE {
            let same = media.attributes().filter(|it| it.name == name);
            self.at_most_once(same, "one attribute of this name", clause);
        }
        for attribute in media.attributes() {
            self.in_attribute(media, message, attribute);
        }
        self.in_path(media, message, line);
    }

    fn in_attribute(&mut self, media: &Media<'_>, message: &MessageMedia, attribute: Attribute) {
        let range = attribute.value_range();
        match attribute.name {
            "max-size" if max_size(attribute).is_none() => {
                self.add(range, "a number of octets", "RFC 4975 §8.6");
            }
            "setup" => match setup(attribute) {
                None => {
                    let expected = "`active`, `passive` or `actpass`";
                    self.add(range, expected, "RFC 4145 §4");
                }
                Some(Setup::HoldConn) => {
                    let expected = "`active`, `passive` or `actpass`";
                    self.add(range, expected, "RFC 6135 §4.2.1");
                }
                Some(_) => {}
            },
            // Only who uses `setup` says that it follows RFC 6135.
            "connection" if message.setup.is_some() => {
                let expected = "no `a=connection` for MSRP";
                self.add(attribute.range(), expected, "RFC 6135 §4.4");
            }
            "msrp-cema" if attribute.value.is_some() => {
                self.add(range, "no value", "RFC 6714 §5.2");
            }
            "file-selector" if media.attribute("file-transfer-id").is_none() => {
                let expected = "an `a=file-transfer-id` beside it";
                self.add(attribute.range(), expected, "RFC 5547 §8.2");
            }
            _ => {}
        }
    }

    /// The URIs of the path, and whether `m=` and `c=` name the place that they name.
    fn in_path(&mut self, media: &Media<'_>, message: &MessageMedia, line: Range<usize>) {
        let (Some(attribute), Some(path)) = (media.attribute("path"), &message.path) else {
            return;
        };
        for uri in path.iter() {
            if uri.port().is_none() {
                let expected = "a port in every URI";
                self.add(attribute.value_range(), expected, "RFC 4975 §8.2");
            } else if let Err(error) = uri.strict() {
                self.add(attribute.value_range(), error.expected, "RFC 4975 §9");
            }
        }
        // With CEMA a middlebox may have put itself there (RFC 6714 §6.2).
        if message.cema {
            return;
        }
        let discards = message.setup == Some(Setup::Active) && message.port == DISCARD;
        let ports = || path.iter().filter_map(Uri::port);
        if !discards && ports().next().is_some() && !ports().any(|port| port == message.port) {
            self.add(line, "the port of the path", "RFC 4975 §8.1");
        } else if message.connection.is_some()
            && ports().next().is_some()
            && message.line_matches_path() == AddressMatch::Different
        {
            let connection = media
                .lines()
                .chain(self.description.session_line(b'c'))
                .find(|line| line.kind() == Some(b'c'));
            let range = connection.map_or(line, |line| line.range());
            self.add(range, "the address of the path", "RFC 4975 §8.1");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = "v=0\r\no=ann 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n\
        t=0 0\r\nm=message 2855 TCP/MSRP *\r\na=accept-types:text/plain\r\n\
        a=path:msrp://192.0.2.1:2855/s1;tcp\r\na=setup:actpass\r\n";

    fn of(text: &str) -> Vec<Defect> {
        Description::parse(text.to_owned()).unwrap().defects()
    }

    #[test]
    fn good_ones_have_none() {
        assert_eq!(of(GOOD), []);
        // Port 0 needs nothing else; a section of another kind is not judged as a message session.
        let others = "m=message 0 TCP/MSRP *\r\nm=audio 4000 RTP/AVP 0 8\r\n\
            c=IN IP4 192.0.2.4\r\na=rtpmap:0 PCMU/8000\r\n";
        assert_eq!(of(&format!("{GOOD}{others}")), []);
        // Whoever is active waits for nobody: the discard port is no lie.
        let active = GOOD
            .replace("actpass", "active")
            .replace("e 2855 T", "e 9 T");
        assert_eq!(of(&active), []);
        // Only the DNS can tell.
        assert_eq!(
            of(&GOOD.replace("c=IN IP4 192.0.2.1", "c=IN IP4 im.example.org")),
            []
        );
        // With CEMA the lines may name a middlebox.
        let cema = GOOD.replace("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.9");
        assert_eq!(of(&format!("{cema}a=msrp-cema\r\n")), []);
        let ipv6 = GOOD
            .replace("//192.0.2.1:", "//[2001:db8::1]:")
            .replace("c=IN IP4 192.0.2.1", "c=IN IP6 2001:DB8:0::1");
        assert_eq!(of(&ipv6), []);
        let repeated = GOOD.replace("t=0 0\r\n", "t=1 2\r\nr=1 1 0\r\nt=3 4\r\nz=1 2\r\n");
        assert_eq!(of(&repeated), []);
    }

    #[test]
    fn each_rule_has_its_place_and_clause() {
        let mut shown = Vec::new();
        for (from, to) in [
            ("\r\ns=", "\ns="),
            ("actpass\r\n", "actpass"),
            ("t=0 0\r\n", "t=0 0\r\n\r\n"),
            ("o=ann 1 1 IN IP4 192.0.2.1\r\n", ""),
            ("s=-\r\n", ""),
            ("t=0 0\r\n", ""),
            ("s=-", "s="),
            ("v=0\r\n", "v=0\r\nv=0\r\n"),
            (
                "s=-\r\nc=IN IP4 192.0.2.1\r\n",
                "c=IN IP4 192.0.2.1\r\ns=-\r\n",
            ),
            ("t=0 0\r\n", "t=0 0\r\nq=1\r\n"),
            ("t=0 0", "t=0  0"),
            ("c=IN IP4 192.0.2.1", "c= IN IP4 192.0.2.1"),
            ("ann 1 1", "ann abc 1"),
            ("ann 1 1", "ann 9223372036854775808 1"),
            ("ann 1 1", "ann 1 9223372036854775808"),
            ("t=0 0\r\n", "t=0 0\r\na=sendonly\r\na=inactive\r\n"),
            ("c=IN IP4 192.0.2.1\r\n", ""),
            ("MSRP *", "MSRP a"),
            ("MSRP *", "MSRP * "),
            ("a=accept-types:text/plain\r\n", ""),
            ("text/plain", "text"),
            ("a=path:msrp://192.0.2.1:2855/s1;tcp\r\n", ""),
            ("msrp://", "sip:"),
            (":2855/", "/"),
            (";tcp", ""),
            ("e 2855 T", "e 2856 T"),
            ("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2"),
            ("a=setup", "a=path:msrp://192.0.2.1:2855/s1;tcp\r\na=setup"),
            ("a=setup", "a=max-size:1k\r\na=setup"),
            ("a=setup", "a=sendonly\r\na=recvonly\r\na=setup"),
            ("a=setup", "a=connection:new\r\na=setup"),
            ("a=setup", "a=msrp-cema:yes\r\na=setup"),
            ("a=setup", "a=file-selector:name:\"x\"\r\na=setup"),
            ("a=setup", "i=late\r\na=setup"),
            ("actpass", "holdconn"),
            ("actpass", "either"),
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
}
