//! One `message/cpim` object: its octets and an index into them.

use std::collections::HashMap;

use bytes::Bytes;

use super::date_time::DateTime;
use super::error::Limits;
use super::header::{ContentHeader, Header};
use super::index::{Index, Namespace, declaration, prefix};
use super::typed::{Address, Requirement, Subject};
use super::{
    CORE_NAMESPACE, IMDN_MEDIA_TYPE, IMDN_NAMESPACE, IS_COMPOSING_MEDIA_TYPE, ParseError,
    ValueError,
};
use crate::sip::typed::{MediaType, TypedHeader};

/// A message as it was received or built. Cloning is cheap: the octets are shared.
///
/// Broken rules do not hinder reading where no doubt is left: [`Self::defects`] lists them. Empty
/// lines between the message headers are passed over when a MIME part with a `Content-` header
/// comes later.
#[derive(Debug, Clone)]
pub struct Message {
    octets: Bytes,
    pub(super) index: Index,
}

/// Messages are equal when their octets are.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Message {}

impl Message {
    /// Indexes `octets` as one message under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse_with(octets, &Limits::default())
    }

    /// Indexes `octets` under `limits`.
    pub fn parse_with(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> {
        let octets = octets.into();
        let index = Index::read(&octets, limits)?;
        Ok(Self { octets, index })
    }

    /// All octets as received: parsing and this give the same octets back.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// All octets as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// All message headers in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.index.fields.iter().map(|field| Header {
            line: &self.octets[field.range.clone()],
            name: field.name,
            offset: field.range.start,
            namespace: match &field.namespace {
                Namespace::Core => Some(CORE_NAMESPACE),
                Namespace::Declared(uri) => std::str::from_utf8(&self.octets[uri.clone()]).ok(),
                Namespace::Unknown => None,
            },
        })
    }

    /// The first header of that name in that namespace, whatever its prefix.
    pub fn header_in(&self, namespace: &str, local_name: &str) -> Option<Header<'_>> {
        self.headers()
            .find(|header| header.is(namespace, local_name))
    }

    /// All headers of that name in that namespace.
    pub fn headers_in<'m>(
        &'m self,
        namespace: &'m str,
        local_name: &'m str,
    ) -> impl Iterator<Item = Header<'m>> {
        self.headers()
            .filter(move |header| header.is(namespace, local_name))
    }

    /// The first header of that name in the namespace of RFC 3862: `From`, `cc`.
    pub fn header(&self, name: &str) -> Option<Header<'_>> {
        self.header_in(CORE_NAMESPACE, name)
    }

    /// The first header of that name in the namespace of RFC 5438: `Message-ID`,
    /// `Disposition-Notification`.
    pub fn imdn(&self, name: &str) -> Option<Header<'_>> {
        self.header_in(IMDN_NAMESPACE, name)
    }

    /// The sender.
    pub fn from(&self) -> Option<Result<Address, ValueError>> {
        Some(Address::parse(&self.header("From")?.text()))
    }

    /// The recipients.
    pub fn to(&self) -> Vec<Result<Address, ValueError>> {
        self.addresses("To")
    }

    /// The recipients of a courtesy copy.
    pub fn cc(&self) -> Vec<Result<Address, ValueError>> {
        self.addresses("cc")
    }

    /// When it was sent.
    pub fn date_time(&self) -> Option<Result<DateTime, ValueError>> {
        Some(DateTime::parse(&self.header("DateTime")?.text()))
    }

    /// The subjects, one a language.
    pub fn subjects(&self) -> Vec<Subject> {
        self.headers_in(CORE_NAMESPACE, "Subject")
            .map(|header| Subject {
                language: header.language().map(str::to_owned),
                text: header.value().into_owned(),
            })
            .collect()
    }

    /// What its recipient must understand (RFC 3862 §3.5). A prefix means what was declared for it
    /// before the `Require` header (§3.4).
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut declared: HashMap<String, String> = HashMap::new();
        let mut requirements = Vec::new();
        for header in self.headers() {
            if header.is(CORE_NAMESPACE, "NS")
                && let Some((prefix, uri)) = declaration(header.raw_value())
            {
                let uri = String::from_utf8_lossy(&header.raw_value()[uri]);
                declared.insert(
                    String::from_utf8_lossy(prefix).into_owned(),
                    uri.into_owned(),
                );
            } else if header.is(CORE_NAMESPACE, "Require") {
                let text = header.value();
                let names = text
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty());
                requirements.extend(names.map(|name| requirement(name, &declared)));
            }
        }
        requirements
    }

    /// The headers of the MIME part in order.
    pub fn content_headers(&self) -> impl Iterator<Item = ContentHeader<'_>> {
        self.index.content_fields.iter().map(|field| ContentHeader {
            line: &self.octets[field.range.clone()],
            name: field.name,
            offset: field.range.start,
        })
    }

    /// The first MIME header of that name, in any case.
    pub fn content_header(&self, name: &str) -> Option<ContentHeader<'_>> {
        self.content_headers()
            .find(|header| header.name().eq_ignore_ascii_case(name))
    }

    /// The type of the content.
    pub fn content_type(&self) -> Option<Result<MediaType, ValueError>> {
        let header = self.content_header("Content-Type")?;
        Some(MediaType::parse_value(&header.value()))
    }

    /// Whether the content is a delivery notification (RFC 5438).
    pub fn is_imdn(&self) -> bool {
        self.content_is(IMDN_MEDIA_TYPE)
    }

    /// Whether the content is a composing indication (RFC 3994).
    pub fn is_composing(&self) -> bool {
        self.content_is(IS_COMPOSING_MEDIA_TYPE)
    }

    /// The MIME part: its headers, the empty line, its body.
    pub fn content(&self) -> &[u8] {
        &self.octets[self.index.content..]
    }

    /// The body of the MIME part.
    pub fn body(&self) -> &[u8] {
        &self.octets[self.index.body..]
    }

    /// The same as [`Self::body`], sharing the message's memory.
    pub fn body_bytes(&self) -> Bytes {
        self.octets.slice(self.index.body..)
    }

    fn addresses(&self, name: &str) -> Vec<Result<Address, ValueError>> {
        self.headers()
            .filter(|header| header.is(CORE_NAMESPACE, name))
            .map(|header| Address::parse(&header.text()))
            .collect()
    }

    fn content_is(&self, name: &str) -> bool {
        matches!(self.content_type(), Some(Ok(media_type)) if media_type.is(name))
    }
}

fn requirement(name: &str, declared: &HashMap<String, String>) -> Requirement {
    let before = prefix(name.as_bytes()).len();
    let namespace = match declared.get(&name[..before]) {
        Some(uri) => Some(uri.clone()),
        None if before == 0 => Some(CORE_NAMESPACE.to_owned()),
        None => None,
    };
    Requirement {
        name: name.to_owned(),
        namespace,
        local_name: name[before..].trim_start_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const WHOLE: &str = "From: MS DOE <im:doe@example.org>\r\nTo: <im:ann@example.org>\r\n\
        To: \"Bob, B.\" <im:bob@example.org>\r\ncc: <im:eve@example.org>\r\n\
        DateTime: 2026-11-23T10:00:00+01:00\r\nSubject: rain\\ttoday\r\n\
        Subject:;lang=fr pluie\r\nNS: n <urn:ietf:params:imdn>\r\n\
        n.Message-ID: 34jk324j\r\nRequire: n.Message-ID,cc, other.x\r\n\r\n\
        Content-type: text/plain;\r\n charset=utf-8\r\nContent-ID: <1@h>\r\n\r\n\
        hello\r\n\r\nContent-Type: no header\r\n";

    fn parse(text: &str) -> Message {
        Message::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn shows_every_part() {
        let message = parse(WHOLE);
        assert_eq!(message.as_bytes(), WHOLE.as_bytes());
        assert_eq!(message.headers().count(), 10);
        assert_eq!(message.defects(), []);
        let from = message.from().unwrap().unwrap();
        assert_eq!(from.name.as_deref(), Some("MS DOE"));
        let to: Vec<_> = message.to().into_iter().map(|it| it.unwrap().uri).collect();
        assert_eq!(to, ["im:ann@example.org", "im:bob@example.org"]);
        assert_eq!(message.cc().len(), 1);
        let sent = message.date_time().unwrap().unwrap();
        assert_eq!(sent.unix_seconds, 1_795_424_400);
        let subjects = message.subjects();
        assert_eq!(
            (&subjects[0].language, &*subjects[0].text),
            (&None, "rain\ttoday")
        );
        assert_eq!(subjects[1].language.as_deref(), Some("fr"));
        assert_eq!(subjects[1].text, "pluie");
        let id = message.imdn("Message-ID").unwrap();
        assert_eq!((id.prefix(), id.local_name()), (Some("n"), "Message-ID"));
        assert_eq!(id.raw_value(), b"34jk324j");
        assert_eq!(&WHOLE[id.value_range()], "34jk324j");
        let required = message.requirements();
        let namespaces: Vec<_> = required.iter().map(|it| it.namespace.as_deref()).collect();
        assert_eq!(
            namespaces,
            [Some(IMDN_NAMESPACE), Some(CORE_NAMESPACE), None]
        );
        assert_eq!(required[0].local_name, "Message-ID");
        assert_eq!(required[2].name, "other.x");
        let content_type = message.content_type().unwrap().unwrap();
        assert_eq!(content_type.params.get("charset"), Some("utf-8"));
        let id = message.content_header("CONTENT-ID").unwrap();
        assert_eq!(
            (&*id.value(), id.line()),
            (&b"<1@h>"[..], &b"Content-ID: <1@h>"[..])
        );
        assert_eq!(&WHOLE[id.value_range()], " <1@h>");
        assert_eq!(message.body(), b"hello\r\n\r\nContent-Type: no header\r\n");
        assert_eq!(message.body_bytes(), message.body());
        assert!(message.content().starts_with(b"Content-type"));
        assert!(!message.is_imdn() && !message.is_composing());
    }

    #[test]
    fn names_have_case_and_namespaces_have_no_fixed_prefix() {
        let message = parse(
            "from: <im:a@b>\r\nimdn.Message-ID: early\r\nNS: imdn <urn:other>\r\n\
             imdn.Message-ID: foreign\r\nNS: x <urn:ietf:params:imdn>\r\nx.Message-ID: 7\r\n\
             x.message-id: 8\r\nNS: c <urn:ietf:params:cpim-headers:>\r\nc.To: <im:c@d>\r\n\
             NS: <urn:ietf:params:imdn>\r\nMessage-ID: 9\r\nTo: <im:not@core>\r\n\
             NS: <urn:ietf:params:cpim-headers:>\r\nFrom: <im:e@f>\r\n\r\n\
             Content-Type: message/IMDN+xml\r\n\r\n",
        );
        let ids: Vec<_> = message
            .headers_in(IMDN_NAMESPACE, "Message-ID")
            .map(|header| header.value())
            .collect();
        assert_eq!(ids, ["7", "9"]);
        assert_eq!(message.headers().nth(1).unwrap().namespace(), None);
        let uris: Vec<_> = message.to().into_iter().map(|it| it.unwrap().uri).collect();
        assert_eq!(uris, ["im:c@d"]);
        assert_eq!(message.from().unwrap().unwrap().uri, "im:e@f");
        assert!(message.is_imdn());
    }

    #[test]
    fn recognises_what_is_inside() {
        let with = |kind: &str| parse(&format!("From: <a:b>\r\n\r\nContent-Type: {kind}\r\n\r\n"));
        assert!(with("application/im-iscomposing+xml;charset=utf-8").is_composing());
        assert!(!with("application/im-iscomposing").is_composing());
        assert!(with("message/imdn+xml").is_imdn());
        assert!(!with("none").is_imdn());
    }

    #[test]
    fn where_the_content_begins() {
        for (text, headers, content_headers, body) in [
            // As it should be.
            ("A: 1\r\n\r\nContent-Type: t/p\r\n\r\nx", 1, 1, "x"),
            // An empty line among the headers, and two after them.
            (
                "A: 1\r\n\r\nB: 2\r\n\r\nContent-Type: t/p\r\n\r\nx",
                2,
                1,
                "x",
            ),
            ("A: 1\r\n\r\n\r\nContent-Type: t/p\r\n\r\nx", 1, 1, "x"),
            ("\r\nA: 1\r\n\r\nContent-Type: t/p\r\n\r\nx", 1, 1, "x"),
            // Other MIME headers first.
            ("A: 1\r\n\r\nX: y\r\ncontent-type: t/p\r\n\r\nx", 1, 2, "x"),
            // No Content-Type anywhere: what follows the first empty line is the MIME part.
            ("A: 1\r\n\r\nX: y\r\n\r\nx", 1, 1, "x"),
            ("A: 1\r\n\r\n\r\nx", 1, 0, "x"),
            ("A: 1\r\n\r\nsome text\r\n\r\nx", 1, 0, "some text\r\n\r\nx"),
            // Text that only looks like it.
            (
                "A: 1\r\n\r\ntext\r\n\r\nContent-Type: a/b\r\n",
                1,
                0,
                "text\r\n\r\nContent-Type: a/b\r\n",
            ),
            (
                "A: 1\r\n\r\nContent-Type: t/p\r\n\r\nContent-Type: a/b\r\n\r\n",
                1,
                1,
                "Content-Type: a/b\r\n\r\n",
            ),
            // Parts that never come.
            ("A: 1", 1, 0, ""),
            ("A: 1\r\n", 1, 0, ""),
            ("A: 1\r\n\r\n", 1, 0, ""),
            ("A: 1\r\n\r\nContent-Type: t/p", 1, 1, ""),
            ("A: 1\r\n\r\nContent-Type: t/p\r\n\r\n", 1, 1, ""),
            // LF, and both.
            ("A: 1\n\nContent-Type: t/p\n\nx\n", 1, 1, "x\n"),
            ("A: 1\r\n\nContent-Type: t/p\n\r\nx", 1, 1, "x"),
            // Folds.
            (
                "A: 1\r\n 2\r\n\r\nContent-Type: t/p;\r\n\ta=b\r\n\r\nx",
                1,
                1,
                "x",
            ),
        ] {
            let message = parse(text);
            assert_eq!(message.headers().count(), headers, "{text:?}");
            assert_eq!(
                message.content_headers().count(),
                content_headers,
                "{text:?}"
            );
            assert_eq!(message.body(), body.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn values_are_read_leniently() {
        let message = parse(
            "A:no space\r\nB:  two \r\nC: one\r\n  two\r\nD:;lang=en;x=\"a b;lang=no\" v\r\n\
             E:\r\nF: caf\\u00e9\r\nG:;p\r\n",
        );
        let shown: Vec<_> = message
            .headers()
            .map(|it| (it.name(), it.raw_params().to_vec(), it.value().into_owned()))
            .collect();
        let expected = [
            ("A", &b""[..], "no space"),
            ("B", b"", "two"),
            ("C", b"", "one two"),
            ("D", b";lang=en;x=\"a b;lang=no\"", "v"),
            ("E", b"", ""),
            ("F", b"", "café"),
            ("G", b";p", ""),
        ];
        for (shown, (name, params, value)) in shown.iter().zip(expected) {
            assert_eq!((shown.0, &shown.1[..], &*shown.2), (name, params, value));
        }
        assert_eq!(shown.len(), expected.len());
        let language = |name| message.header(name).unwrap().language();
        assert_eq!(
            (language("D"), language("G"), language("A")),
            (Some("en"), None, None)
        );
        assert_eq!(message.header("B").unwrap().raw_value(), b" two ");
        let latin = Message::parse(&b"A: \xe9\r\n\r\n"[..]).unwrap();
        assert_eq!(latin.header("A").unwrap().value(), "\u{fffd}");
    }

    #[test]
    fn errors_say_where_and_what() {
        let mut shown = Vec::new();
        for octets in [
            &b""[..],
            b"hello",
            b" A 1\r\n",
            b": 1\r\n",
            b"A: 1\r\nhello world\r\n",
            b"\xc3\xa9: 1\r\n",
            b"A\0: 1\r\n",
            b"A: 1\r\n\r\nContent-Type: a/b\r\nhello\r\n\r\n",
            b"A: 1\r\n\r\nContent-Type: a/b\r\n\xff: x\r\n\r\n",
        ] {
            let error = Message::parse(octets).unwrap_err();
            shown.push(format!("{}: {error}\n", octets.escape_ascii()));
        }
        insta::assert_snapshot!(shown.concat());
    }

    #[test]
    fn limits_hold_at_their_octet() {
        let text = "A: 1\r\nBcd: 2\r\n  3\r\n\r\nContent-Type: a/b\r\n\r\nhello";
        let exact = Limits {
            head: text.find("\r\n\r\nhello").unwrap(),
            line: "Content-Type: a/b".len(),
            headers: 3,
            body: 5,
        };
        let parse = |limits| Message::parse_with(text, &limits);
        assert!(parse(exact).is_ok());
        let mut shown = Vec::new();
        for limits in [
            Limits {
                head: exact.head - 1,
                ..exact
            },
            Limits {
                line: exact.line - 1,
                ..exact
            },
            Limits { line: 10, ..exact },
            Limits {
                headers: 2,
                ..exact
            },
            Limits {
                headers: 1,
                ..exact
            },
            Limits { body: 4, ..exact },
        ] {
            shown.push(format!("{}\n", parse(limits).unwrap_err()));
        }
        insta::assert_snapshot!(shown.concat());
    }
}
