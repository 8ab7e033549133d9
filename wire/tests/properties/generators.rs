//! Messages and URIs made up for the property tests.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// A message as it was written down, part by part.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) leading: usize,
    pub(crate) start_line: Vec<u8>,
    pub(crate) line_end: &'static str,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Vec<u8>,
}

/// A header field: the name, what stands between it and the colon, all after the colon.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) before_colon: &'static str,
    pub(crate) value: Vec<u8>,
}

impl Written {
    pub(crate) fn octets(&self) -> Bytes {
        let mut octets = "\r\n".repeat(self.leading).into_bytes();
        octets.extend_from_slice(&self.start_line);
        octets.extend_from_slice(self.line_end.as_bytes());
        for field in &self.fields {
            octets.extend_from_slice(field.name.as_bytes());
            octets.extend_from_slice(field.before_colon.as_bytes());
            octets.push(b':');
            octets.extend_from_slice(&field.value);
            octets.extend_from_slice(self.line_end.as_bytes());
        }
        octets.extend_from_slice(self.line_end.as_bytes());
        octets.extend_from_slice(&self.body);
        octets.into()
    }

    /// Makes it a message of a stream: one right Content-Length, no more than one CRLF before it.
    pub(crate) fn frame(&mut self) {
        let is_length = |name: &str| {
            name.eq_ignore_ascii_case("l") || name.eq_ignore_ascii_case("Content-Length")
        };
        self.fields.retain(|field| !is_length(&field.name));
        let value = format!(" {}", self.body.len()).into_bytes();
        self.fields.push(Field {
            name: "Content-Length".to_owned(),
            before_colon: "",
            value,
        });
        self.leading = self.leading.min(1);
    }
}

pub(crate) fn message() -> impl Strategy<Value = Written> {
    let parts = (
        prop_oneof![4 => Just(0_usize), 1 => 1..4_usize],
        start_line(),
        prop::collection::vec(field(), 0..20),
        prop::collection::vec(any::<u8>(), 0..80),
        prop_oneof![5 => Just("\r\n"), 1 => Just("\n")],
    );
    parts.prop_map(|(leading, start_line, mut fields, body, line_end)| {
        if line_end == "\n" {
            // A value that ends with CR would make the line end CRLF.
            for field in &mut fields {
                field.value.retain(|octet| *octet != b'\r');
            }
        }
        Written {
            leading,
            start_line,
            line_end,
            fields,
            body,
        }
    })
}

fn start_line() -> impl Strategy<Value = Vec<u8>> {
    let request = (
        "[A-Z!%'*+.~-]{1,10}",
        prop_oneof![sip_uri(), "[a-z]{1,5}:[!-~]{1,20}"],
    )
        .prop_map(|(method, uri)| format!("{method} {uri} SIP/2.0").into_bytes());
    let reason = prop::collection::vec(inner(), 0..20);
    let response = (100..700_u16, reason)
        .prop_map(|(code, reason)| [format!("SIP/2.0 {code} ").as_bytes(), &reason].concat());
    prop_oneof![request, response]
}

/// An octet that may stand anywhere in a line.
fn inner() -> impl Strategy<Value = u8> {
    any::<u8>().prop_filter("no line end", |octet| !matches!(octet, b'\r' | b'\n'))
}

fn field() -> impl Strategy<Value = Field> {
    let typed = prop::sample::select(vec![
        (
            "Via",
            "SIP/2.0/UDP h:5060;branch=z9hG4bK1, SIP/2.0/TCP [::1]",
        ),
        ("v", "SIP / 2.0 / TLS a ; received=2001:db8::1"),
        ("From", "\"A \\\" B\" <sip:a@b>;tag=1"),
        ("t", "sip:b@c;x=y"),
        ("m", "<sip:a@b;lr>, \"c, d\" <im:e@f>;q=0.5"),
        ("CSeq", "0009 MESSAGE"),
        ("Date", "Mon, 23 Nov 2026 02:10:33 GMT"),
        ("Expires", "4294967295"),
        ("Max-Forwards", "70"),
        ("Content-Length", "7"),
        ("l", "0"),
        ("c", "text/plain;charset=\"utf-8\""),
        ("Route", "<sip:p1;lr>,<sip:p2;lr>"),
        ("Subject", "Dinner at eight"),
    ])
    .prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let chunk = prop::collection::vec(inner(), 0..15);
    let folded = prop::collection::vec(chunk, 1..4).prop_map(|chunks| chunks.join(&b"\r\n "[..]));
    let other = ("[A-Za-z0-9.!%*_+`'~-]{1,12}", folded);
    (
        prop_oneof![typed, other],
        prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just(" \t")],
        prop_oneof![Just(" "), Just(""), Just("\t"), Just("  "), Just("\r\n ")],
    )
        .prop_map(|((name, value), before_colon, space)| Field {
            name,
            before_colon,
            value: [space.as_bytes(), &value].concat(),
        })
}

/// Messages with some octets changed, put in, or taken out.
pub(crate) fn mutated(messages: impl Strategy<Value = Written>) -> impl Strategy<Value = Bytes> {
    mutated_octets(messages.prop_map(|written| written.octets().to_vec()))
}

/// Octets of which some are changed, put in, or taken out.
pub(crate) fn mutated_octets(
    octets: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Bytes> {
    let octet = prop_oneof![
        2 => prop::sample::select(b"\r\n \t:;,<>\"\\@=/%[]\0\xff-$+#".to_vec()),
        1 => any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..4_u8, octet);
    (octets, prop::collection::vec(change, 0..8)).prop_map(|(mut octets, changes)| {
        for (at, kind, octet) in changes {
            if octets.is_empty() {
                break;
            }
            let at = at.index(octets.len());
            match kind {
                0 => octets[at] = octet,
                1 => octets.insert(at, octet),
                2 => drop(octets.remove(at)),
                _ => octets.truncate(at),
            }
        }
        octets.into()
    })
}

/// Valid `sip:` and `sips:` URIs of every shape.
pub(crate) fn sip_uri() -> impl Strategy<Value = String> {
    let user =
        "([a-zA-Z0-9.!~*'()&=+$,;?/_-]|%[0-9a-fA-F]{2}){1,8}(:[a-z0-9%]{0}[a-z0-9&=+$,]{0,5})?@";
    let host = prop_oneof![
        "[a-zA-Z]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?(\\.[a-z]{2,5}){0,2}",
        "(1?[0-9]{1,2}\\.){3}1?[0-9]{1,2}",
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (0..=65535_u16).prop_map(|port| format!(":{port}"))
    ];
    let params =
        "(;(transport|user|lr|maddr|method|x|Y)(=([a-zA-Z0-9/:&+$]|%[0-9A-F]{2}){1,6})?){0,3}";
    let headers =
        "(\\?[a-z]{1,4}=([a-z0-9/:+$]|%[0-9A-F]{2}){0,6}(&[a-z]{1,4}=[a-zA-Z]{0,3}){0,2})?";
    let scheme = prop::sample::select(vec!["sip:", "sips:", "SIP:", "Sips:"]);
    (
        scheme,
        prop_oneof![Just(String::new()), user.prop_map(|u| u)],
        host,
        port,
        params,
        headers,
    )
        .prop_map(|(scheme, user, host, port, params, headers)| {
            [scheme, &user, &host, &port, &params, &headers].concat()
        })
}

/// A text and the same with the case of some letters changed.
pub(crate) fn letters_in_any_case(
    pattern: &str,
) -> impl Strategy<Value = (String, String)> + use<> {
    let texts = proptest::string::string_regex(pattern).unwrap();
    (texts, any::<u64>()).prop_map(|(text, bits)| {
        let flip = |(at, c): (usize, char)| {
            if bits >> (at % 64) & 1 == 1 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        };
        let other = text.chars().enumerate().map(flip).collect();
        (text, other)
    })
}

/// The text with some of its characters as `%HH`, where the bits say so.
pub(crate) fn escaped_somewhere(text: &str, bits: u64) -> String {
    let escape = |(at, octet): (usize, u8)| {
        if bits >> (at % 64) & 1 == 1 {
            format!("%{octet:02x}")
        } else {
            char::from(octet).to_string()
        }
    };
    text.bytes()
        .enumerate()
        .map(escape)
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn covers_what_it_should() {
    // A generator that never makes folds or compact names would prove less than it seems to.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [false; 5];
    for _ in 0..200 {
        let written = message().new_tree(&mut runner).unwrap().current();
        let octets = written.octets();
        seen[0] |= octets.windows(3).any(|w| w == b"\r\n ");
        seen[1] |= written.fields.iter().any(|field| field.name.len() == 1);
        seen[2] |= written
            .fields
            .iter()
            .any(|field| std::str::from_utf8(&field.value).is_err());
        seen[3] |= octets.starts_with(b"\r\n");
        seen[4] |= written.line_end == "\n";
    }
    assert_eq!(seen, [true; 5]);
}
