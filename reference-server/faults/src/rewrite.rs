//! Changes to messages: some header fields become others, the body becomes another, and every octet
//! that is not meant stays.

use bytes::Bytes;
use imspec_reference_server::compose::Field;
use imspec_wire::sip::typed::{NameAddr, Uri};
use imspec_wire::sip::{Header, Limits, Message};

/// What becomes of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// What it was.
    Same,
    /// Nothing.
    Gone,
    /// This line, or several with CRLF between them.
    Line(Vec<u8>),
}

impl Becomes {
    /// Gone where that holds.
    pub(crate) fn gone_if(gone: bool) -> Self {
        if gone { Self::Gone } else { Self::Same }
    }

    /// A field of that name and value.
    pub(crate) fn field(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self::Line([name.as_bytes(), b": ", value.as_ref()].concat())
    }
}

/// A message of the server's own, which was within bounds when it came.
pub(crate) fn read(octets: &Bytes) -> Option<Message> {
    let limits = Limits {
        head: octets.len(),
        headers: octets.len(),
        body: octets.len(),
    };
    Message::parse_with(octets.clone(), &limits).ok()
}

/// Octets of a message changed by `change`; as they are where they are no message.
pub(crate) fn message(octets: &Bytes, change: impl FnOnce(&Message) -> Bytes) -> Bytes {
    read(octets).map_or_else(|| octets.clone(), |message| change(&message))
}

/// The message with its header fields changed.
pub(crate) fn fields(message: &Message, mut change: impl FnMut(&Header<'_>) -> Becomes) -> Bytes {
    let octets = message.octets();
    let mut written = slice(octets, message.start_line_range()).to_vec();
    written.extend_from_slice(b"\r\n");
    let mut is_same = true;
    for field in message.headers() {
        match change(&field) {
            Becomes::Same => written.extend_from_slice(field.line()),
            Becomes::Gone => {
                is_same = false;
                continue;
            }
            Becomes::Line(line) => {
                is_same = false;
                written.extend_from_slice(&line);
            }
        }
        written.extend_from_slice(b"\r\n");
    }
    if is_same {
        return octets.clone();
    }
    written.extend_from_slice(b"\r\n");
    written.extend_from_slice(octets.get(message.body_range().start..).unwrap_or_default());
    written.into()
}

/// The message with another value in the fields of a name.
pub(crate) fn value(message: &Message, name: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> Bytes {
    fields(message, |field| {
        if field.is(name) {
            Becomes::field(name, change(&field.value()))
        } else {
            Becomes::Same
        }
    })
}

/// The message without the fields of some names.
pub(crate) fn without(message: &Message, names: &[&str]) -> Bytes {
    fields(message, |field| {
        Becomes::gone_if(names.iter().any(|name| field.is(name)))
    })
}

/// The message with one field more, or with this one in the place of those of its name.
pub(crate) fn with_field(message: &Message, name: &str, value: impl AsRef<[u8]>) -> Bytes {
    let octets = message.octets();
    let head = octets
        .get(..message.start_line_range().end)
        .unwrap_or_default();
    let rest = without(message, &[name]);
    let rest = rest.get(head.len()..).unwrap_or_default();
    let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let line = [name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat();
    [head, b"\r\n", &line, rest].concat().into()
}

/// The message with another body, and its length told where it was told before.
pub(crate) fn body(message: &Message, body: &[u8]) -> Bytes {
    let length = body.len().to_string();
    let mut octets = value(message, "Content-Length", |_| length.clone().into_bytes()).to_vec();
    let before = message.octets().len() - message.body_range().start;
    octets.truncate(octets.len().saturating_sub(before));
    octets.extend_from_slice(body);
    octets.into()
}

/// The message with another start line.
pub(crate) fn start_line(message: &Message, line: impl AsRef<[u8]>) -> Bytes {
    let rest = message.octets().get(message.start_line_range().end..);
    [line.as_ref(), rest.unwrap_or_default()].concat().into()
}

/// The request with another Request-URI.
pub(crate) fn request_uri(message: &Message, uri: impl AsRef<[u8]>) -> Bytes {
    let method = message.method().unwrap_or_default().as_bytes();
    start_line(message, [method, b" ", uri.as_ref(), b" SIP/2.0"].concat())
}

/// The header lines of an MSRP head changed; the start line stays.
pub(crate) fn send_fields(head: &[u8], change: impl Fn(&Field) -> Becomes) -> Bytes {
    let mut written = Vec::with_capacity(head.len());
    for (number, line) in head.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let bare = line.trim_ascii_end();
        let name_and_value = bare
            .iter()
            .position(|octet| *octet == b':')
            .map(|colon| Field {
                name: String::from_utf8_lossy(bare.get(..colon).unwrap_or_default()).into_owned(),
                value: bare
                    .get(colon + 1..)
                    .unwrap_or_default()
                    .trim_ascii()
                    .to_vec(),
            });
        let becomes = match &name_and_value {
            Some(field) if number > 0 => change(field),
            _ => Becomes::Same,
        };
        match becomes {
            Becomes::Same => written.extend_from_slice(line),
            Becomes::Gone => {}
            Becomes::Line(changed) => {
                written.extend_from_slice(&changed);
                written.extend_from_slice(b"\r\n");
            }
        }
    }
    written.into()
}

/// The value of a header field.
pub(crate) fn text(message: &Message, name: &str) -> Option<String> {
    message.header(name).map(|field| field.text().into_owned())
}

/// The account key of a `sip:` URI, as the server makes it.
pub(crate) fn account_of(uri: &[u8]) -> Option<String> {
    let Ok(Uri::Sip(mut uri)) = Uri::parse(uri) else {
        return None;
    };
    uri.port = None;
    uri.password = None;
    Some(uri.aor_key())
}

/// The account key of the URI in an address field.
pub(crate) fn account_in(message: &Message, name: &str) -> Option<String> {
    let address = NameAddr::parse(&message.header(name)?.value()).ok()?;
    account_of(address.uri.to_string().as_bytes())
}

/// A number for octets, to know them again.
pub(crate) fn digest(octets: &[u8]) -> u64 {
    // FNV-1a: the same in every process.
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn slice(octets: &Bytes, range: std::ops::Range<usize>) -> &[u8] {
    octets.get(range).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sample() -> Message {
        Message::parse(
            "MESSAGE sip:bob@example.org SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nSubject: x\r\n  y\r\nl: 2\r\n\r\nhi",
        )
        .unwrap()
    }

    fn shown(octets: &Bytes) -> String {
        String::from_utf8_lossy(octets).into_owned()
    }

    #[test]
    fn what_is_not_meant_stays() {
        let message = sample();
        assert_eq!(fields(&message, |_| Becomes::Same), message.octets());
        assert_eq!(
            shown(&without(&message, &["Subject"])),
            "MESSAGE sip:bob@example.org SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nl: 2\r\n\r\nhi"
        );
        assert_eq!(
            shown(&body(&message, b"hello")),
            "MESSAGE sip:bob@example.org SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nSubject: x\r\n  y\r\nContent-Length: 5\r\n\r\nhello"
        );
        assert_eq!(
            shown(&with_field(&message, "From", "<sip:c@d>")),
            "MESSAGE sip:bob@example.org SIP/2.0\r\nFrom: <sip:c@d>\r\nSubject: x\r\n  y\r\nl: 2\r\n\r\nhi"
        );
        assert_eq!(
            shown(&request_uri(&message, "sip:x@y")),
            "MESSAGE sip:x@y SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nSubject: x\r\n  y\r\nl: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn lines_of_a_send_change_one_by_one() {
        let head = b"MSRP a SEND\r\nTo-Path: msrp://x;tcp\r\nX-Y: 1\r\n";
        let changed = send_fields(head, |field| Becomes::gone_if(field.is("x-y")));
        assert_eq!(shown(&changed), "MSRP a SEND\r\nTo-Path: msrp://x;tcp\r\n");
    }
}
